#!/usr/bin/env python3
"""Models whose layers keep a state in a server: see serving_alike.py. Models of tests/data/families, and goldens where those are."""
from serving_alike import EP, check_golden, check_shipped
from support import finish

for case in ("nemotron_h-5-17", "nemotron_h-8-2", "granitemoehybrid-5-15", "kimi_linear-3-18"):
    check_shipped(case, (1, 7, 64), ((2,), (2, EP)))
for case in ("falcon_h1-5-16", "lfm2-5-19"):
    check_shipped(case, (1, 7, 64), ((2,),))
for name in ("lfm2", "falcon-h1", "olmo-hybrid", "qwen3-5-text"):
    check_golden(name, (7,), ((2,),))
for name in ("lfm2-moe", "granitemoehybrid", "nemotron-h", "qwen3-next", "qwen3-5-moe-text", "kimi-linear"):
    check_golden(name, (7,), ((2, EP),))
finish("serving states")
