#!/usr/bin/env python3
"""org/name without `colrow pull`: commands fetch what they need of a repository that is not in the cache, and no more than
that; what cannot be fetched is a sentence. The hub is hub_server.py."""
import http.client
import json
import os
import tempfile

from hub_client import demo_files, has_libcurl, hub_environment, run_hub, wrong_blobs
from hub_server import Hub
from serve_client import Server
from support import DEMO, check, finish, skip

if not has_libcurl():
    skip("this colrow was built without libcurl")
temporary = tempfile.TemporaryDirectory(prefix="colrow-hub-names-")
work = temporary.name
FILES = demo_files()
WEIGHTS = len(FILES["model.safetensors"])
hub = Hub({"org/demo": {"main": {**FILES, "pytorch_model.bin": b"twin"}, "v2": {**FILES, "README.md": b"2"}},
           "org/bad": {"main": {"config.json": FILES["config.json"], "model.safetensors": b"\xff" * 100}}})
GENERATE = ("-p", "Hello", "--max-tokens", "4", "--seed", "1", "-q")


def colrow(home, *arguments, **more):
    hub.log.clear()
    hub.sent.clear()
    return run_hub(*arguments, environment=hub_environment(home, **{"HF_ENDPOINT": hub.url, **more}))


def fresh():
    return tempfile.mkdtemp(dir=work)


def folder_of(home):
    return os.path.join(home, "hub", "models--org--demo")


def asked():
    """Requests for files."""
    return [entry for entry in hub.log if entry[1] in ("file", "cdn")]


def snapshots(home):
    return os.listdir(folder_of(home) + "/snapshots") if os.path.isdir(folder_of(home) + "/snapshots") else []


# --- plan, inspect and tokenize need no weights, and a cache that has none is nobody's snapshot ---
home = fresh()


def tensors(done):
    return [{**tensor, "file": os.path.basename(tensor["file"])} for tensor in json.loads(done.stdout)["tensors"]]


by_path = colrow(home, "inspect", DEMO, "--json")
done = colrow(home, "tokenize", "org/demo", "-p", "a b")
check(done.returncode == 0 and done.stdout == colrow(home, "tokenize", DEMO, "-p", "a b").stdout, f"tokenize: {done}")
done = colrow(home, "inspect", "org/demo", "--json")
check(done.returncode == 0 and tensors(done) == tensors(by_path), f"inspect: {done.stderr}")
check(hub.sent["", "model.safetensors"] <= 131072 and not snapshots(home), f"only the header of the weights came: {hub.sent}")
done = colrow(home, "plan", "org/demo", "-tp", "2", "--json")
same = json.loads(colrow(home, "plan", DEMO, "-tp", "2", "--json").stdout)
check(done.returncode == 0 and json.loads(done.stdout)["ranks"] == same["ranks"] and not asked(), f"plan: {done.stderr} {asked()}")
done = colrow(home, "doctor", "org/demo", "--json")
rows = {row["name"]: row for row in json.loads(done.stdout)["findings"]} if done.stdout else {}
check("colrow serve org/demo -tp" in rows.get("serve with", {}).get("found", "") and not asked(), f"doctor: {rows} {done.stderr} {asked()}")
check(not wrong_blobs(folder_of(home)), "blobs are what they are called")

# --- those that need weights fetch them, once, and the cache is as `colrow pull` writes it ---
expected = colrow(home, "generate", DEMO, *GENERATE).stdout
done = colrow(home, "generate", "org/demo", *GENERATE)
check(done.returncode == 0 and done.stdout == expected and done.stderr == "", f"generate: {done}")
check(hub.sent["", "model.safetensors"] == WEIGHTS and ("", "pytorch_model.bin") not in hub.sent, f"weights came once: {hub.sent}")
pulled = colrow(home, "pull", "org/demo").stdout.strip()
check(not asked() and snapshots(home) == [os.path.basename(pulled)], f"pull has nothing to do: {asked()}")
done = colrow(home, "generate", "org/demo", *GENERATE, HF_ENDPOINT="http://127.0.0.1:9")
check(done.returncode == 0 and done.stdout == expected and not hub.log, f"what is there needs no hub: {done}")
done = colrow(home, "generate", "org/demo@v2", *GENERATE)
check(done.returncode == 0 and done.stdout == expected and not asked()[1:], f"another revision: what is the same is there: {asked()}")
done = colrow(fresh(), "verify", "org/demo", "--tp", "1,2", "-q")
check(done.returncode == 0, f"verify: {done}")

# --- a snapshot of another program that lacks the weights ---
os.remove(pulled + "/model.safetensors")
done = colrow(home, "generate", "org/demo", *GENERATE)
check(done.returncode == 0 and done.stdout == expected and os.path.exists(pulled + "/model.safetensors"), f"weights were missing: {done}")
os.remove(os.path.realpath(pulled + "/tokenizer.json"))
done = colrow(home, "generate", "org/demo", *GENERATE, HF_HUB_OFFLINE="1")
check(done.returncode == 1 and "the cache is broken" in done.stderr and not hub.log, f"offline: {done}")
done = colrow(home, "generate", "org/demo", *GENERATE)
check(done.returncode == 0 and done.stdout == expected, f"a blob was missing: {done}")

# --- a server goes by the repository's name ---
with Server("-tp", "2", model="org/demo@main", name=None, environment=hub_environment(fresh(), HF_ENDPOINT=hub.url)) as server:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    connection.request("GET", "/v1/models")
    names = [model["id"] for model in json.load(connection.getresponse())["data"]]
    connection.request("POST", "/v1/completions", json.dumps({"model": "org/demo", "prompt": "Hello", "max_tokens": 4}),
                       {"Content-Type": "application/json"})
    answer = json.load(connection.getresponse())
    connection.close()
check("org/demo" in names and answer.get("choices"), f"serve org/demo@main: {names} {answer}")

# --- what cannot be ---
here = fresh()
os.mkdir(os.path.join(here, "models"))
for arguments, more, says in (
        (("generate", "org/none", *GENERATE), {}, "no such repository"), (("generate", "org/demo@v9", *GENERATE), {}, 'no revision "v9"'),
        (("plan", "org/none"), {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"), (("inspect", "org/none"), {"HF_ENDPOINT": "http://127.0.0.1:9"}, "does not answer"),
        (("inspect", "org/bad"), {}, "the header length is"), (("generate", "org/none", "--stream-from-hub"), {"HF_HUB_OFFLINE": "1"}, "reads weights from the hub, and HF_HUB_OFFLINE")):
    done = colrow(fresh(), *arguments, **more)
    last = (done.stderr.strip().splitlines() or [""])[-1]
    check(done.returncode in (1, 2) and "colrow: error: " in last and says in last, f"{arguments} {more}: {done}")
os.chdir(here)
done = colrow(fresh(), "inspect", "models/dmeo")
check(done.returncode == 1 and "does not exist as a folder" in done.stderr and not hub.log, f"a mistyped folder: {done}")
os.chdir(work)
hub.faults = [lambda handler, kind, path: (403, "GatedRepo", {}) if kind in ("file", "cdn") else None]
for command in (("generate", "org/demo", *GENERATE), ("inspect", "org/demo"), ("generate", "org/demo", "--stream-from-hub", *GENERATE)):
    home = fresh()
    done = colrow(home, *command)
    check(done.returncode == 1 and "is gated" in done.stderr and not wrong_blobs(folder_of(home)), f"gated: {command}: {done}")
hub.faults = [lambda handler, kind, path: (lambda items: [{**i, "size": 1 << 43, "lfs": None} if i["path"] == "tokenizer.json" else i for i in items])
              if kind == "tree" else None]
for command in (("generate", "org/demo", *GENERATE), ("inspect", "org/demo"), ("generate", "org/demo", "--stream-from-hub", *GENERATE)):
    done = colrow(fresh(), *command)
    check(done.returncode == 1 and "has room for" in done.stderr and not asked(), f"no room: {command}: {done}")
hub.faults = []
hub.stop()
finish("repositories that are not in the cache")
