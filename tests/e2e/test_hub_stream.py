#!/usr/bin/env python3
"""`--stream-from-hub`: the answers are those of the folder, for each split; each rank asks the hub for its own bytes, which
no file of the cache gets; nobody but the hub sees the token; links that are cut, refuse or lie; ranks that die find their
weights with their keepers, and keepers that die fetch them again."""
import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile

from hub_client import demo_files, has_libcurl, hub_environment, run_hub, wrong_blobs
from hub_server import Hub
from processes import children_of
from serve_client import Server
from support import COLROW, DEMO, check, finish, patience, skip

if not has_libcurl():
    skip("this colrow was built without libcurl")
temporary = tempfile.TemporaryDirectory(prefix="colrow-hub-stream-")
work = temporary.name
FILES = demo_files()
hub = Hub({"org/demo": {"main": FILES}})
GENERATE = ("-p", "Hello", "--max-tokens", "6", "--seed", "1", "-q")


def environment_of(home, **more):
    return hub_environment(home, **{"HF_ENDPOINT": hub.url, "HF_HUB_DOWNLOAD_TIMEOUT": "300", **more})


def stream(home, *arguments, **more):
    hub.log.clear()
    hub.sent.clear()
    return run_hub("generate", "org/demo", "--stream-from-hub", *GENERATE, *arguments, environment=environment_of(home, **more))


def fresh():
    return tempfile.mkdtemp(dir=work)


def by_rank():
    sums = {}
    for (who, _), size in hub.sent.items():
        if who.startswith("rank "):
            sums[int(who[5:])] = sums.get(int(who[5:]), 0) + size
    return [sums[r] for r in sorted(sums)]


def shares(*flags):
    done = subprocess.run([COLROW, "plan", DEMO, *flags, "--json"], capture_output=True, text=True, check=True)
    return [rank["file_bytes"] for rank in json.loads(done.stdout)["ranks"]]


def weights_in(home):
    """Files of the cache that are as large as the weights."""
    return [name for folder, _, names in os.walk(home) for name in names
            if os.path.getsize(os.path.join(folder, name)) * 2 > len(FILES["model.safetensors"])]


expected = run_hub("generate", DEMO, *GENERATE, environment=environment_of(fresh())).stdout

# --- each split ---
home = fresh()
for flags in (("-tp", "1"), ("-tp", "2"), ("-tp", "4"), ("-tp", "3"), ("-tp", "2", "-pp", "2"), ("-pp", "2")):
    done = stream(home, *flags)
    check(done.returncode == 0 and done.stdout == expected, f"{flags}: {done}")
    asked, planned = by_rank(), shares(*flags)
    # blocks of rows are whole, and the demo model has few: what all ask together is exact
    check(sum(asked) == sum(planned) and all(abs(a / p - 1) < 0.25 for a, p in zip(asked, planned)), f"{flags}: {asked}, of {planned}")
check(not weights_in(home) and os.listdir(home + "/hub/models--org--demo/refs") == [] and not wrong_blobs(home + "/hub/models--org--demo"),
      f"the cache has no weights: {weights_in(home)}")
check(not os.path.isdir(home + "/hub/models--org--demo/snapshots") or not os.listdir(home + "/hub/models--org--demo/snapshots"), "and no snapshot")
done = run_hub("list", environment=environment_of(home))
check(done.returncode == 0, f"list: {done}")
check(sum(1 for e in hub.log if e[0] == "hub" and e[1] == "file") <= 40, "the hub redirects each connection of each rank once at most")


# --- two nodes, each with its own cache ---
def two_nodes(*flags):
    """-> (are both content, and is it the answer, [bytes that each rank asked for])"""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    hub.sent.clear()
    nodes = [subprocess.Popen([COLROW, "generate", "org/demo", "--stream-from-hub", *GENERATE, *flags, "--nnodes", "2", "--node-rank", node,
                               "--master-addr", "127.0.0.1", "--master-port", port], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              stdin=subprocess.DEVNULL, env=environment_of(fresh())) for node in "10"]
    said = [node.communicate(timeout=patience(300)) for node in nodes]
    check([node.returncode for node in nodes] == [0, 0] and said[1][0] == expected, f"two nodes, {flags}: {said}")
    return by_rank()


check(two_nodes("-tp", "1", "-pp", "2") == shares("-tp", "1", "-pp", "2"), f"stages: {by_rank()}")
gaps = two_nodes("-tp", "2")
TRIED = len(FILES["model.safetensors"])  # at most, by a rank that asks for several ranges and gets the whole file
check(all(p < a < 1.5 * p + TRIED for a, p in zip(gaps, shares("-tp", "2"))), f"of a hub with one range at a time pieces of rows come with gaps: {gaps}")
hub.several = True
exact = two_nodes("-tp", "2")
check(all(p <= a < 1.05 * p + 150 * 2048 for a, p in zip(exact, shares("-tp", "2"))),
      f"of one with several ranges a request they come alone, with their heads: {exact}")
hub.faults = [lambda handler, kind, path: "cut 50000" if handler.headers.get("Range", "").count(",") and next(cuts, None) is not None else None]
cuts = iter(range(3))
two_nodes("-tp", "2")
hub.faults, hub.several = [], False

# --- who sees the token ---
hub.token = "hf_secret"
done = stream(fresh(), "-tp", "2", HF_TOKEN="hf_secret")
seen = {(place, token) for place, _, _, token, _ in hub.log}
check(done.returncode == 0 and seen == {("hub", "Bearer hf_secret"), ("cdn", None)}, f"who saw the token: {seen} {done.stderr}")
hub.token = None


# --- faults ---
def on(times, what, kind=("file", "cdn"), after=0):
    state = [after, times]

    def fault(handler, asked, _):
        if asked not in kind or "rank" not in handler.headers.get("User-Agent", ""):
            return None
        if state[0] > 0:
            state[0] -= 1
            return None
        state[1] -= 1
        return what if state[1] >= 0 else None
    return fault


home = fresh()
passing = [on(9, "cut 3000"), on(3, "cut 0"), on(3, "reset"), on(2, (503, "Busy", {})), on(1, (429, "Slow", {"Retry_After": "0"})), on(2, "shorter 5"),
           on(1, "other-range 9"), on(1, "no-range"), on(1, "refuse-range"), on(2, (403, "", {}), kind=("cdn",), after=9), on(1, "longer 9"), on(1, "coded")]
for i, fault in enumerate(passing):
    hub.faults = [fault]
    done = stream(home, "-tp", "2")
    check(done.returncode == 0 and done.stdout == expected, f"passing fault {i}: {done}")
staying = [(on(9999, "no-range"), "byte ranges"), (on(9999, "cut 0", after=5), "6 tries"), (on(9999, (503, "Busy", {}), after=20), "503"),
           (on(9999, (403, "GatedRepo", {}), kind=("file",)), "is gated"), (on(9999, (429, "", {"Retry_After": "3600"})), "limits how much"),
           (on(9999, "other-range 3"), "another range")]
for i, (fault, says) in enumerate(staying):
    hub.faults = [fault]
    done = stream(home, "-tp", "2")
    check(done.returncode == 1 and says in done.stderr and "rank" in done.stderr, f"staying fault {i}: {done}")
hub.faults = []
done = stream(home, "-tp", "2", "--rank-restarts", "0", HF_ENDPOINT="http://127.0.0.1:9")
check(done.returncode == 1 and "does not answer" in done.stderr, f"nobody listens: {done}")

# --- a whole snapshot is used, and no note without its hub ---
whole = fresh()
run_hub("pull", "org/demo", environment=environment_of(whole))
done = stream(whole, "-tp", "2")
check(done.returncode == 0 and done.stdout == expected and not hub.log, f"all is in the cache: {hub.log} {done}")
ranges = os.path.join(home, "hub/models--org--demo/.colrow/ranges", hub.commits["org/demo", "main"])
done = run_hub("logits", ranges, "--input-ids", "1,2", "--output", work + "/none", environment=environment_of(home, HF_HUB_OFFLINE="1"))
check(done.returncode != 0 and "HF_HUB_OFFLINE" in done.stderr, f"its folder, offline: {done}")

# --- ranks die, then a keeper ---
with Server("--stream-from-hub", "-tp", "2", "--max-model-len=256", "--kv-cache-memory=16MB", model="org/demo", name="demo",
            environment=environment_of(home)) as server:
    def text():
        connection = http.client.HTTPConnection(server.host, server.port, timeout=patience(60))
        connection.request("POST", "/v1/completions", json.dumps({"model": "demo", "prompt": "Hello", "max_tokens": 6, "temperature": 0}),
                           {"Content-Type": "application/json"})
        return json.load(connection.getresponse())["choices"][0]["text"]

    first, keepers = text(), sorted(server.children())
    hub.sent.clear()
    rank = children_of(keepers[0])[0]
    os.kill(rank, signal.SIGKILL)
    check(text() == first and not by_rank() and sorted(server.children()) == keepers, f"a rank dies: nothing is fetched: {by_rank()}")
    os.kill(keepers[1], signal.SIGKILL)
    check(text() == first, "a keeper dies")
    fetched = by_rank()
    check(len(fetched) == 1 and shares("-tp", "2")[0] <= fetched[0] <= 2 * TRIED,
          f"its successor fetches, alone, with the gaps: {fetched}")
hub.stop()
finish("weights from the hub")
