#!/usr/bin/env python3
"""A model by its name, from a HuggingFace cache that a variable names: main, a branch, a commit; what is not there is
fetched from the hub that a variable names, or refused with the name, the cache and the revision."""
import os
import tempfile

from python_case import DEMO, SMALL, need_demo, refused
from hub_client import demo_files, has_libcurl, wrong_blobs
from hub_server import Hub
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
    os.environ["HF_HUB_CACHE"], os.environ["HF_HUB_OFFLINE"] = cache, "1"
    for name, revision in (("someone/demo", None), ("someone/demo", "other"), ("someone/demo@other", None), ("someone/demo", COMMIT)):
        check(AutoTokenizer.from_pretrained(name, revision=revision).eos_token == "<|end|>", f"{name} {revision}: the tokenizer")
        with LLM(name, revision=revision, **SMALL) as llm:
            check(llm.generate("Each rank", one, use_tqdm=False)[0].outputs[0].text == wanted, f"{name} {revision}: the answer")
    refused(check, ValueError, ["someone/demo", cache, "third"], lambda: LLM("someone/demo", revision="third"))
    refused(check, ValueError, ["someone/else", cache, "main"], lambda: LLM("someone/else"))


def check_fetching(cache):
    """What the cache does not have comes from the hub, once; a cut-off snapshot is completed; a refusal is one sentence."""
    hub = Hub({"org/demo": {"main": demo_files(), "old": demo_files()}})
    os.environ.update({"HF_HUB_CACHE": cache, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"})
    check(AutoTokenizer.from_pretrained("org/demo").eos_token == "<|end|>" and hub.log, "a tokenizer from the hub")
    n_asked = len(hub.log)
    with LLM("org/demo", **SMALL) as model:
        check(model.generate("Each rank", one, use_tqdm=False)[0].outputs[0].text == wanted, "the answer of a fetched model")
    check(len(hub.log) == n_asked, "what the cache has is asked for again")
    place = os.path.join(cache, "models--org--demo")
    check(not wrong_blobs(place), "the cache holds wrong bytes")
    (snapshot,) = os.listdir(os.path.join(place, "snapshots"))
    os.unlink(os.path.join(place, "snapshots", snapshot, "config.json"))
    check(AutoTokenizer.from_pretrained("org/demo").eos_token_id == 5, "a snapshot that was cut off")
    check(os.path.exists(os.path.join(place, "snapshots", snapshot, "config.json")), "it is whole again")
    check(AutoTokenizer.from_pretrained("org/demo", revision="old").eos_token_id == 5, "another revision")
    refused(check, ValueError, ["org/nothing", cache, "colrow pull", hub.url], lambda: LLM("org/nothing"))
    hub.stop()


skipped = "" if has_libcurl() else " (skipped: fetching, since colrow is built without libcurl)"
if not skipped:
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING", "TRANSFORMERS"))]:
        del os.environ[name]
    with tempfile.TemporaryDirectory() as home:
        check_fetching(home)
finish("models by name" + skipped)
