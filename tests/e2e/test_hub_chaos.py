#!/usr/bin/env python3
"""Faults at random, one after the other, in pulls of one repository into caches that live on: links that are cut, refuse,
lie about lengths and bytes; disks that fill up; pulls that are killed at random moments, alone or beside another. What has
a name in the cache is right after each of them, and a pull without a fault completes what is there.

HUB_FAULTS=1000 for that many (40), HUB_SEED=N for others. Prints how each kind ended."""
import collections
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading

from hub_client import has_libcurl, hub_environment, wrong_blobs
from hub_server import Hub
from support import COLROW, check, finish, patience, skip

FAULTS, SEED = int(os.environ.get("HUB_FAULTS", "40")), int(os.environ.get("HUB_SEED", "15"))
if not has_libcurl():
    skip("this colrow was built without libcurl")
draw = random.Random(SEED)
PART = 65536
FILES = {"config.json": b'{"model_type": "llama"}', "tokenizer.json": draw.randbytes(70000), "empty.txt": b"",
         "model-00001-of-00002.safetensors": draw.randbytes(7 * PART + 77), "model-00002-of-00002.safetensors": draw.randbytes(3 * PART),
         "model.safetensors.index.json": b"{}", "same.txt": b"same", "also.txt": b"same"}
hub = Hub({"org/model": {"main": FILES}})
temporary = tempfile.TemporaryDirectory(prefix="colrow-hub-chaos-")
COMMIT = hub.commits["org/model", "main"]
MOST = max(map(len, FILES.values()))


def cache_of(home):
    return os.path.join(home, "hub/models--org--model")


def start(home, limit=None):
    command = [COLROW, "pull", "-q", "--part-size", str(PART), "--max-workers", str(draw.choice((1, 3, 8))), "org/model"]
    if limit:
        command = ["bash", "-c", f'trap "" XFSZ; ulimit -f {limit}; exec "$@"', "limited", *command]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                            env=hub_environment(home, HF_ENDPOINT=hub.url, HF_HUB_DOWNLOAD_TIMEOUT="300"))


def wrong_things(home):
    """What has a name in the cache, and is not what the name says."""
    folder = cache_of(home)
    wrong = wrong_blobs(folder)
    for base, _, names in os.walk(folder + "/snapshots"):
        for name in names:
            with open(os.path.join(base, name), "rb") as file:  # a link to nothing raises
                if file.read() != FILES.get(name):
                    wrong.append("snapshots/" + name)
    if os.path.exists(folder + "/refs/main"):
        with open(folder + "/refs/main", encoding="ascii") as file:
            if file.read() != COMMIT or set(os.listdir(f"{folder}/snapshots/{COMMIT}")) != set(FILES):
                wrong.append("refs/main before all is there")
    return wrong


def request_fault():
    """-> (its kind, a function for Hub.faults): for some of the requests to come, of some files."""
    n = draw.choice((0, 1, draw.randrange(PART), draw.randrange(MOST)))
    kind, what, where = draw.choice((
        ("cut", f"cut {n}", ("file", "cdn")), ("reset", "reset", ("file", "cdn", "tree", "revision")), ("too short", f"shorter {n}", ("file", "cdn")),
        ("too long", f"longer {n or 1}", ("file", "cdn")), ("wrong byte", f"wrong-byte {n}", ("file", "cdn")),
        ("other range", f"other-range {n or 1}", ("file", "cdn")), ("no ranges", "no-range", ("file", "cdn")), ("416", "refuse-range", ("file", "cdn")),
        ("gzip", "coded", ("file", "cdn")), ("429", (429, "Slow", {"Retry_After": "0"}), ("file", "cdn", "tree", "revision")),
        ("5xx", (draw.choice((500, 502, 503, 504)), "", {}), ("file", "cdn", "tree", "revision")), ("expired", (403, "", {}), ("cdn",)),
        ("gated", (403, "GatedRepo", {}), ("file",)), ("gone", (404, "EntryNotFound", {}), ("file",)), ("next page elsewhere", "elsewhere", ("tree",)),
        ("bad list", lambda items: [{**i, draw.choice(("path", "size", "oid")): draw.choice(("../x", -1, None))} for i in items], ("tree",))))
    left, skipped, word = draw.choice((1, 1, 2, 3)), draw.randrange(6), draw.choice(("", "", "00001", "tokenizer"))
    state = [skipped, left]

    def fault(_, asked, path):
        if asked not in where or (asked == "file" and word not in path):
            return None
        state[0] -= 1
        if state[0] >= 0 or state[1] <= 0:
            return None
        state[1] -= 1
        return what
    return kind, fault


def killed(home, others):
    """Ends a pull once the hub has had so many requests, or a moment later."""
    reached, left, size = threading.Event(), [draw.randrange(14)], draw.choice((0, 20000, PART - 1))

    def count(_, kind, _path):
        left[0] -= 1
        if left[0] < 0:
            reached.set()
        return f"cut {size}" if left[0] < 0 and kind in ("file", "cdn") and draw.random() < 0.5 else None
    hub.faults = [count]
    pulls = [start(home) for _ in range(1 + others)]
    while not reached.wait(0.005) and pulls[0].poll() is None:
        pass
    if draw.random() < 0.5:
        threading.Event().wait(draw.random() * 0.02)
    pulls[0].send_signal(draw.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)))
    return [(p.communicate(timeout=patience(300))[1], p.returncode) for p in pulls]


def one_fault(home):
    """-> (its kind, [(stderr, status)])"""
    pick = draw.random()
    if pick < 0.3:
        return ("killed", killed(home, 0)) if pick < 0.24 else ("killed beside another", killed(home, 1))
    if pick < 0.4:
        hub.faults = []
        pull = start(home, limit=draw.choice((1, 8, 64, 128, 256, 400)))
        return "disk full", [(pull.communicate(timeout=patience(300))[1], pull.returncode)]
    kind, fault = request_fault()
    hub.faults = [fault]
    pull = start(home)
    return kind, [(pull.communicate(timeout=patience(300))[1], pull.returncode)]


ended = collections.defaultdict(collections.Counter)
resumed, home = 0, tempfile.mkdtemp(dir=temporary.name)
for i in range(FAULTS):
    kind, ends = one_fault(home)
    hub.faults = []
    for errors, status in ends:
        ended[kind]["completed" if status == 0 else "killed" if status < 0 or status == 128 + signal.SIGTERM else "a sentence"] += 1
        check(status <= 0 or status == 128 + signal.SIGTERM or "colrow: error: " in errors, f"{i} {kind}: {status} {errors}")
    check(not wrong_things(home), f"{i} {kind}: {wrong_things(home)}")
    if draw.random() < 0.4 or i == FAULTS - 1:
        last = start(home)
        errors = last.communicate(timeout=patience(300))[1]
        check(last.returncode == 0 and not wrong_things(home) and os.path.exists(cache_of(home) + "/refs/main"),
              f"{i} {kind}, then none: {last.returncode} {errors} {wrong_things(home)}")
        check(os.listdir(cache_of(home) + "/.colrow") == [], f"{i} {kind}: unfinished: {os.listdir(cache_of(home) + '/.colrow')}")
        resumed += 1
        shutil.rmtree(home)
        home = tempfile.mkdtemp(dir=temporary.name)
hub.stop()
for kind, ends in sorted(ended.items()):
    print(f"{kind}: " + ", ".join(f"{n} {how}" for how, n in sorted(ends.items())))
print(f"{FAULTS} faults (seed {SEED}), {resumed} caches completed behind up to several of them each")
finish("faults at random")
