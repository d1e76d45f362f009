#!/usr/bin/env python3
"""Mixtures of experts in a server, with experts cut, with whole ones, and with both at once: see serving_alike.py. Models of
tests/data/families, and goldens where those are."""
from serving_alike import EP, check_golden, check_shipped
from support import finish

BOTH = (4, EP, "--expert-parallel-size", 2)
for case in ("qwen3_moe-6-4", "ernie4_5_moe-3-2", "deepseek_v32-1-9", "glm_moe_dsa-1-1"):
    check_shipped(case, (1, 7, 64), ((2,), (2, EP)))
for name in ("mixtral", "qwen2-moe", "qwen3-moe", "granitemoe", "glm4-moe", "minimax-m2", "ernie4-5-moe",
             "deepseek-v3", "mistral4", "deepseek-v32", "glm-moe-dsa"):
    check_golden(name, (7,), ((2,), (2, EP)) + ((BOTH,) if name in ("mixtral", "qwen3-moe") else ()))
for name in ("gpt-oss", "llama4-text", "mimo-v2-flash"):
    check_golden(name, (7,), ((2, EP),), preempts=False)
finish("serving experts")
