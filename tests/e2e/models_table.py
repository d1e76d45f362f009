"""The table of docs/models.md: for each golden what was found, one row, written by test_goldens_split.py."""
import glob
import json
import os
import re
import tempfile

from support import ROOT, SHARED, run

PAGE = os.path.join(ROOT, "docs/models.md")
BEGIN, END = "<!-- written by `make models-doc` -->", "<!-- end -->"
HEAD = ("| model_type | golden | ranks | rope | window | tokenizer | chat template | float32 error | bfloat16 |",
        "|---|---|---|---|---|---|---|---|---|")

# Real files of each family that shared/ has: folders of data/tokenizers, templates of data/templates/llama.cpp.
TOKENIZERS = {"llama": ["llama-2-7b", "llama-3.2", "llama-3.3", "smollm2"], "mistral": ["mistral-v0.3"],
              "qwen2": ["qwen2", "qwen2.5"],
              "qwen2_5_vl_text": ["qwen2.5"], "qwen3": ["qwen3"], "qwen3_vl_text": ["qwen3"], "smollm3": ["smollm3"],
              "gemma": ["gemma"],
              "gemma2": ["gemma"], "phi3": ["phi-3-mini"]}
TEMPLATES = {"llama": "meta-llama-Llama-3.2-3B-Instruct", "mistral": "mistralai-Mistral-Nemo-Instruct-2407",
             "qwen2": "Qwen-Qwen2.5-7B-Instruct",
             "qwen3": "Qwen-Qwen3-0.6B", "smollm3": "HuggingFaceTB-SmolLM3-3B", "gemma2": "google-gemma-2-2b-it",
             "gemma4_text": "google-gemma-4-31B-it", "phi3": "microsoft-Phi-3.5-mini-instruct",
             "apertus": "Apertus-8B-Instruct",
             "seed_oss": "ByteDance-Seed-OSS", "cohere2": "CohereForAI-c4ai-command-r7b-12-2024-tool_use",
             "ministral3": "mistralai-Ministral-3-14B-Reasoning-2512", "gpt_oss": "openai-gpt-oss-120b", "granite": "ibm-granite-granite-3.3-2B-Instruct",
             "granitemoehybrid": "ibm-granite-granite-4.0", "lfm2_moe": "LFM2-8B-A1B",
             "nemotron_h": "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"}


def config_of(folder):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    return config, config.get("text_config", config)


def ranges(numbers):
    """1-4, 6, 8"""
    parts = []
    for n in numbers:
        if parts and parts[-1][1] == n - 1:
            parts[-1][1] = n
        else:
            parts.append([n, n])
    return ", ".join(f"{a}-{b}" if b > a else str(a) for a, b in parts)


def rope_of(text):
    if text["model_type"] == "bloom":
        return "ALiBi"
    if text["model_type"] in ("nemotron_h", "kimi_linear") or text.get("position_embedding_type", "rope") != "rope":
        return "none"
    nested = text.get("rope_parameters") or {}
    ropes = [nested or text.get("rope_scaling") or {}]
    if nested and all(isinstance(one, dict) for one in nested.values()):
        ropes = list(nested.values())
    kinds = []
    for one in ropes:
        kind = one.get("rope_type") or one.get("type") or "default"
        partial = one.get("partial_rotary_factor", text.get("partial_rotary_factor", text.get("rotary_pct", 1.0)))
        kinds.append(kind + (f" {partial:g}" if partial != 1.0 else ""))
    if "rope_local_base_freq" in text:
        kinds.append("default")
    return ", ".join(sorted(set(kinds)))


def window_of(text):
    window = text.get("sliding_window")
    types = text.get("layer_types") or []
    slides = text.get("use_sliding_window", True) and window and (not types or "sliding_attention" in types)
    if not slides:
        return "none"
    return f"{window}" if not types else f"{window} in {types.count('sliding_attention')} of {len(types)} layers"


_tokenized = {}


def tokenizer_result(name):
    """"qwen2 246/246": texts whose ids are those of `tokenizers`."""
    if name not in _tokenized:
        with open(os.path.join(SHARED, f"goldens/text/tokenizers/{name}.json"), encoding="utf-8") as file:
            cases = json.load(file)["cases"]
        with tempfile.TemporaryDirectory() as alone:  # the vectors are those of tokenizer.json without its neighbours
            os.symlink(os.path.abspath(os.path.join(SHARED, "data/tokenizers", name, "tokenizer.json")),
                       os.path.join(alone, "tokenizer.json"))
            done = run("tokenize", alone, "--json", stdin=json.dumps([case["text"] for case in cases]))
        found = json.loads(done.stdout) if done.returncode == 0 else []
        equal = sum(ids == case["ids"] for ids, case in zip(found, cases))
        _tokenized[name] = f"{name} {equal}/{len(cases)}"
    return _tokenized[name]


_rendered = {}


def template_result(name):
    """"google-gemma-2-2b-it 20/20": contexts that are rendered as Jinja2 does, or refused where it refuses."""
    if name not in _rendered:
        with open(os.path.join(SHARED, "goldens/text/templates.json"), encoding="utf-8") as file:
            goldens = json.load(file)
        cases = [case for case in goldens["cases"] if case["template"] == name + ".jinja"]
        equal = 0
        for case in cases:
            variables = json.dumps({**goldens["defaults"], **goldens["contexts"][case["context"]]})
            done = run("template", os.path.join(SHARED, f"data/templates/llama.cpp/{name}.jinja"), "--now",
                       "2026-11-21T10:09:00", stdin=variables)
            equal += done.stdout == case.get("output") if done.returncode == 0 else "output" not in case
        _rendered[name] = f"{name} {equal}/{len(cases)}"
    return _rendered[name]


def row_of(name, sizes, float32, bfloat16):
    """`float32`: the larger of two errors; `bfloat16`: mean and largest error, as parts of Transformers' own."""
    config, text = config_of(os.path.join(SHARED, "goldens", name))
    kind = text.get("model_type", config["model_type"])
    outer = f" in {config['model_type']}" if text is not config else ""
    tokenizers = ", ".join(tokenizer_result(one) for one in TOKENIZERS.get(kind, []))
    template = template_result(TEMPLATES[kind]) if kind in TEMPLATES else ""
    return (f"| {kind}{outer} | {name} | {ranges(sizes)} | {rope_of({'model_type': kind, **text})} | {window_of(text)} | {tokenizers} | {template} "
            f"| {float32:.1e} | {bfloat16[0]:.2f}, {bfloat16[1]:.2f} |")


def golden_folders():
    paths = sorted(glob.glob(os.path.join(SHARED, "goldens/*/golden.safetensors")))
    return [os.path.basename(os.path.dirname(path)) for path in paths]


def page_parts():
    with open(PAGE, encoding="utf-8") as file:
        before, rest = file.read().split(BEGIN)
    return before, rest.split(END)[0], rest.split(END)[1]


def written_rows():
    """golden: row, as the page has them."""
    rows = [line for line in page_parts()[1].splitlines() if line.startswith("| ")][1:]
    return {re.split(r" *\| *", line)[2]: line for line in rows}


def write_rows(rows):
    before, _, after = page_parts()
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(before + BEGIN + "\n" + "\n".join([*HEAD, *sorted(rows)]) + "\n" + END + after)
