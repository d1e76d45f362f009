#!/usr/bin/env python3
"""`colrow pull` against a hub that cuts, lies, redirects and refuses: what is in the cache is right at any time, and a
later try goes on where one ended. No step waits for a time: what has to have happened is seen in the hub's log."""
import json
import os
import random
import signal
import subprocess
import tempfile
import threading

from hub_client import hub_environment, run_hub, wrong_blobs
from hub_server import Hub
from support import COLROW, check, finish, patience, skip

SEED = 20261129
random.seed(SEED)
PART = 65536
temporary = tempfile.TemporaryDirectory(prefix="colrow-pull-")
work = temporary.name
FILES = {
    "config.json": b'{"model_type": "llama"}', "tokenizer.json": random.randbytes(70000), "empty.txt": b"",
    "model-00001-of-00002.safetensors": random.randbytes(5 * PART + 77), "model-00002-of-00002.safetensors": random.randbytes(1000),
    "model.safetensors.index.json": b"{}", "additional_chat_templates/tool use.jinja": b"template", "same.txt": b"same", "also.txt": b"same",
}
OTHER = {"pytorch_model.bin": b"bin", "consolidated.safetensors": b"twin", "original/params.json": b"{}", "README.md": b"read me",
         "onnx/model.onnx": b"onnx"}
NEXT = {**FILES, "config.json": b'{"model_type": "qwen2"}'}
hub = Hub({"org/model": {"main": {**FILES, **OTHER}, "refs/pr/1": NEXT}, "org/bin": {"main": {"config.json": b"{}", "model.bin": b"x"}}})
faults_injected = 0


def environment(home, **more):
    return hub_environment(home, **{"HF_ENDPOINT": hub.url, "HF_HUB_DOWNLOAD_TIMEOUT": "300", **more})


def command(*arguments):
    return [COLROW, "pull", "--part-size", str(PART), *arguments]


def pull(home, *arguments, **more):
    return run_hub(*command(*arguments)[1:], environment=environment(home, **more))


def fresh():
    return tempfile.mkdtemp(dir=work)


def cache_of(home, repository="org/model"):
    return os.path.join(home, "hub", "models--" + repository.replace("/", "--"))


def wrong_things(home, repository="org/model"):
    """What has a name in the cache and is not what the name says."""
    folder = cache_of(home, repository)
    wrong = wrong_blobs(folder)
    known = {**FILES, **OTHER}
    for base, _, names in os.walk(folder + "/snapshots"):
        for name in names:
            path = os.path.join(base, name)
            inside = os.path.relpath(path, folder + "/snapshots").split("/", 1)[1]
            data = open(path, "rb").read() if os.path.exists(path) else None
            if data != known.get(inside) and data != NEXT.get(inside):
                wrong.append("snapshots/" + inside)
    for base, _, names in os.walk(folder + "/refs"):
        for name in names:
            with open(os.path.join(base, name), "rb") as file:
                ref = file.read().decode()
            if not os.path.exists(f"{folder}/snapshots/{ref}/config.json"):
                wrong.append(f"ref {name} {ref!r}")
    return wrong


def complete(home, revision="main", files=None, repository="org/model"):
    commit = hub.commits[hub.renamed.get(repository, repository), revision]
    folder = f"{cache_of(home, repository)}/snapshots/{commit}"
    for path, data in (files or FILES).items():
        if not os.path.islink(f"{folder}/{path}") or open(f"{folder}/{path}", "rb").read() != data:
            return f"{path} is not there"
    found = {os.path.relpath(os.path.join(b, n), folder) for b, _, names in os.walk(folder) for n in names}
    if found != set(files or FILES):
        return f"found {found}"
    with open(f"{cache_of(home, repository)}/refs/{revision}", "rb") as file:
        return "" if file.read() == commit.encode() else "the ref is wrong"


def on(times, what, kind=None, path=None, after=0):
    """A fault for the next `times` requests of that kind whose path holds `path`, the first `after` left out."""
    state = [after, times]

    def fault(_, asked, name):
        global faults_injected
        if asked not in (kind or ("file", "cdn")) or (path and path not in name):
            return None
        if state[0] > 0:
            state[0] -= 1
            return None
        if state[1] <= 0:
            return None
        state[1] -= 1
        faults_injected += 1
        return what
    return fault


done = pull(fresh(), "--dry-run", "org/model")
if "without libcurl" in done.stderr:
    skip("this colrow was built without libcurl")

# --- a whole repository, twice, and another revision of it ---
home = fresh()
done = pull(home, "org/model")
check(done.returncode == 0 and not complete(home) and not wrong_things(home), f"a pull: {done} {complete(home)} {wrong_things(home)}")
check(done.stdout.strip() == f"{cache_of(home)}/snapshots/{hub.commits['org/model', 'main']}", f"prints the folder: {done.stdout}")
check(os.listdir(cache_of(home) + "/.colrow") == [], "nothing unfinished is left")
tree = json.load(open(f"{cache_of(home)}/trees/{hub.commits['org/model', 'main']}.json", encoding="utf-8"))
check(set(tree["files"]) == {**FILES, **OTHER}.keys() and tree["format_version"] == 1, "trees/ lists all files")
ranges = [entry[4] for entry in hub.log if entry[0] == "cdn" and entry[4]]
check(len(ranges) == 6, f"six ranges of the large file: {ranges}")
hub.log.clear()
done = pull(home, "org/model")
check(done.returncode == 0 and [e for e in hub.log if e[1] in ("file", "cdn")] == [], f"the second time nothing is fetched: {hub.log}")
hub.log.clear()
done = pull(home, "org/model@refs/pr/1", "-q")
check(done.returncode == 0 and not complete(home, "refs/pr/1", NEXT) and not complete(home), f"another revision: {done}")
check([e[2] for e in hub.log if e[1] == "file"] == ["config.json"], "only what differs is fetched")
os.remove(os.path.realpath(f"{cache_of(home)}/snapshots/{hub.commits['org/model', 'main']}/same.txt"))
check(pull(home, "org/model").returncode == 0 and not complete(home), "a missing blob is fetched again")
done = pull(home, "org/model", "--include", "*.md", "--include", "onnx/*", HF_HOME=fresh())
check(done.returncode == 0 and sorted(os.listdir(done.stdout.strip())) == ["README.md", "onnx"], f"--include: {done}")

# --- faults that pass: one pull gets over them ---
LARGE = "model-00001"
passing = [on(2, "cut 30000"), on(1, "cut 0"), on(3, "reset"), on(2, (503, "Busy", {})), on(1, (429, "Slow", {"Retry_After": "0"})),
           on(1, "shorter 5"), on(1, "wrong-byte 3", path=LARGE, kind=("file",)), on(1, "wrong-byte 1234", kind=("cdn",)),
           on(1, "other-range 9"), on(99, "no-range"), on(99, "refuse-range"), on(1, (403, "", {}), kind=("cdn",)), on(1, "longer 9"),
           on(2, "reset", kind=("revision",)), on(1, (500, "", {}), kind=("tree",)), on(1, "coded"), on(99, "cut 50000", kind=("cdn",))]
for i, fault in enumerate(passing):
    hub.faults, home = [fault], fresh()
    done = pull(home, "org/model")
    check(done.returncode == 0 and not complete(home) and not wrong_things(home),
          f"passing fault {i}: {done.stderr} {complete(home)} {wrong_things(home)}")

# --- faults that stay: a sentence, nothing wrong, and the next try without them completes ---
staying = [(on(999, "wrong-byte 5", kind=("cdn",)), "sha256", 1), (on(999, "wrong-byte 0", kind=("file",), path="tokenizer"), "git sha1", 1),
           (on(999, "cut 0", kind=("cdn",)), "6 tries", 1), (on(999, "shorter 100", kind=("cdn",)), "6 tries", 1),
           (on(999, (503, "Busy", {}), kind=("cdn",)), "503", 1), (on(999, (429, "", {"Retry_After": "3600"})), "limits how much", 1),
           (on(999, (403, "GatedRepo", {})), "is gated", 1), (on(999, (404, "EntryNotFound", {}), path="also"), "does not have it", 1),
           (on(999, (401, "", {}), kind=("revision",)), "HF_TOKEN", 1), (on(999, "reset", kind=("tree",)), "does not answer", 1),
           (on(999, "elsewhere", kind=("tree",)), "another host", 1),
           (on(999, lambda items: [{**i, "path": "../" + i["path"]} for i in items], kind=("tree",)), "below the repository", 1),
           (on(999, lambda items: [{**i, "oid": "../../x"} for i in items], kind=("tree",)), "hexadecimal", 1),
           (on(999, lambda items: [{**i, "size": -1, "lfs": None} for i in items], kind=("tree",)), "size", 1),
           (on(999, lambda items: [{**i, "size": 1 << 43, "lfs": None} for i in items], kind=("tree",)), "has room for", 1),
           (on(999, lambda items: {"error": 1}, kind=("tree",)), "expected a list", 1)]
for i, (fault, says, status) in enumerate(staying):
    hub.faults, home = [fault], fresh()
    done = pull(home, "org/model")
    last = (done.stderr.strip().splitlines() or [""])[-1]
    check(done.returncode == status and says in last and not wrong_things(home), f"staying fault {i}: {done} {wrong_things(home)}")
    hub.faults = []
    done = pull(home, "org/model")
    check(done.returncode == 0 and not complete(home), f"after staying fault {i}: {done} {complete(home)}")
hub.faults = []
for name, says in (("org/none", "no such repository"), ("org/model@v9", 'no revision "v9"'), ("org/bin", "no safetensors"), ("org", "no name of a")):
    done = pull(fresh(), name)
    check(done.returncode in (1, 2) and says in done.stderr and "Traceback" not in done.stderr, f"{name}: {done}")
done = pull(fresh(), "org/model", HF_HUB_OFFLINE="1")
check(done.returncode == 2 and "HF_HUB_OFFLINE" in done.stderr, f"offline: {done}")
done = pull(fresh(), "org/model", HF_ENDPOINT="http://127.0.0.1:9")
check(done.returncode == 1 and "does not answer" in done.stderr, f"nobody listens: {done}")
hub.renamed["org/old"] = "org/model"
home = fresh()
done = pull(home, "org/old")
check(done.returncode == 0 and "is called org/model now" in done.stderr and not complete(home, repository="org/old"), f"renamed: {done}")

# --- the token reaches the hub and nobody else ---
hub.token = "hf_secret"
hub.log.clear()
home = fresh()
check(pull(home, "org/model").returncode == 1 and not wrong_things(home), "without the token there is no such repository")
hub.log.clear()
done = pull(home, "org/model", HF_TOKEN="hf_secret")
seen = {(place, token) for place, _, _, token, _ in hub.log}
check(done.returncode == 0 and seen == {("hub", "Bearer hf_secret"), ("cdn", None)}, f"who saw the token: {seen} {done.stderr}")
hub.token = None

# --- resumed: what came is not asked for again ---
home = fresh()
hub.faults = [on(999, (500, "", {}), kind=("cdn",), path=None, after=3)]
check(pull(home, "org/model", "--max-workers", "1").returncode == 1, "three requests are served, then none")
hub.faults, asked = [], len([e for e in hub.log if e[0] == "cdn"])
hub.log.clear()
check(pull(home, "org/model").returncode == 0 and not complete(home), "the next one completes")
asked = len([e for e in hub.log if e[0] == "cdn"])
check(asked == 7 - 3, f"seven requests for LFS files, of which three were served: {asked} more")

# --- killed at any moment, again and again; then one that may end ---
home = fresh()
for victim in range(12):
    reached = threading.Event()
    left = [victim]

    def count(_, kind, path):
        global faults_injected
        if kind in ("file", "cdn"):
            left[0] -= 1
            if left[0] < 0:
                faults_injected += not reached.is_set()
                reached.set()
                return "cut 20000"
        return None
    hub.faults = [count]
    process = subprocess.Popen(command("org/model"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(home))
    while not reached.wait(0.05) and process.poll() is None:
        pass
    process.send_signal(random.choice((signal.SIGKILL, signal.SIGTERM)))
    process.wait(patience(60))
    check(not wrong_things(home), f"killed after {victim} requests: {wrong_things(home)}")
hub.faults = []
done = pull(home, "org/model")
check(done.returncode == 0 and not complete(home) and not wrong_things(home), f"after all the kills: {done} {complete(home)}")

# --- a disk that fills up ---
home = fresh()
limited = f'trap "" XFSZ; ulimit -f 256; exec {" ".join(command("org/model"))}'
done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, timeout=patience(300), env=environment(home))
faults_injected += 1
check(done.returncode == 1 and "cannot write" in done.stderr and not wrong_things(home), f"no room: {done} {wrong_things(home)}")
check(pull(home, "org/model").returncode == 0 and not complete(home), "with room")

# --- --include that no file has, though there are weights ---
home = fresh()
done = pull(home, "org/model", "--include", "nope*")
check(done.returncode == 2 and "no file matches --include" in done.stderr and not os.path.exists(cache_of(home) + "/refs/main"), f"--include: {done}")

# --- four at once: each file comes once ---
home = fresh()
hub.log.clear()
several = [subprocess.Popen(command("org/model"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(home)) for _ in range(4)]
ends = [p.communicate(timeout=patience(300)) + (p.returncode,) for p in several]
check(all(end[2] == 0 for end in ends) and not complete(home) and not wrong_things(home), f"four at once: {ends}")
asked = len([e for e in hub.log if e[0] == "cdn"])
check(asked == 7, f"seven requests for LFS files in all: {asked}")
hub.stop()
print(f"{faults_injected} requests met a fault (seed {SEED})")
finish("pulls")
