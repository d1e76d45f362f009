#!/usr/bin/env python3
"""A model by its name, from a HuggingFace cache that a variable names: main, a branch, a commit; what is not there is
refused with the name, the cache and the revision."""
import os
import tempfile

from python_case import DEMO, SMALL, need_demo, refused
from support import check, finish

need_demo()
from colrow import LLM, AutoTokenizer, SamplingParams  # noqa: E402

COMMIT = "0123456789" * 4
one = SamplingParams(temperature=0, max_tokens=4)
with LLM(DEMO, **SMALL) as llm:
    wanted = llm.generate("Each rank", one, use_tqdm=False)[0].outputs[0].text
with tempfile.TemporaryDirectory() as cache:
    place = os.path.join(cache, "models--someone--demo")
    os.makedirs(os.path.join(place, "refs"))
    os.makedirs(os.path.join(place, "snapshots"))
    for name in ("main", "other"):
        with open(os.path.join(place, "refs", name), "w", encoding="ascii") as file:
            file.write(COMMIT)
    os.symlink(os.path.realpath(DEMO), os.path.join(place, "snapshots", COMMIT))
    os.environ["HF_HUB_CACHE"] = cache
    for name, revision in (("someone/demo", None), ("someone/demo", "other"), ("someone/demo@other", None), ("someone/demo", COMMIT)):
        check(AutoTokenizer.from_pretrained(name, revision=revision).eos_token == "<|end|>", f"{name} {revision}: the tokenizer")
        with LLM(name, revision=revision, **SMALL) as llm:
            check(llm.generate("Each rank", one, use_tqdm=False)[0].outputs[0].text == wanted, f"{name} {revision}: the answer")
    refused(check, ValueError, ["someone/demo", cache, "third"], lambda: LLM("someone/demo", revision="third"))
    refused(check, ValueError, ["someone/else", cache, "main"], lambda: LLM("someone/else"))
finish("models by name")
