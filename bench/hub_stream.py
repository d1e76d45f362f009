#!/usr/bin/env python3
"""How long `--stream-from-hub` takes to the first token, beside the time that the weights' bytes take on the link, and how
many bytes each rank asks the hub for, beside its share of the plan. The hub is tests/e2e/hub_server.py on this machine,
whose files leave it at --rate.

    COLROW=build/release/colrow bench/hub_stream.py --tp 2 --rate 25

A model of random weights is made for it (`colrow synth`), about 20 MB a layer."""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "e2e"))
from hub_client import demo_files, hub_environment  # noqa: E402
from hub_server import Hub  # noqa: E402
from support import COLROW  # noqa: E402

MB = 1000 * 1000


def make_model(folder, layers):
    """-> {name: bytes}: the demo model's config in another size, its tokenizer, random weights."""
    files = demo_files()
    config = json.loads(files["config.json"])
    config.update(hidden_size=1024, intermediate_size=2304, num_hidden_layers=layers, num_attention_heads=16, num_key_value_heads=8,
                  head_dim=64)
    path = os.path.join(folder, "config.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)
    subprocess.run([COLROW, "synth", path, os.path.join(folder, "model"), "--max-shard-size", "100MB"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    made = {n: open(os.path.join(folder, "model", n), "rb").read() for n in os.listdir(os.path.join(folder, "model"))}
    return {**{n: d for n, d in files.items() if n.startswith("tokenizer")}, **made}


def shares_of(model, flags):
    plan = json.loads(subprocess.run([COLROW, "plan", model, *flags, "--json"], check=True, capture_output=True, text=True).stdout)
    return [rank["file_bytes"] for rank in plan["ranks"]]


def measure(arguments, hub, environment):
    hub.sent.clear()
    hub.first_at = None
    begun = time.monotonic()
    done = subprocess.run([COLROW, "generate", "org/bench", "--stream-from-hub", "-p", "Hello", "--max-tokens", "1", "-q",
                           *arguments], capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return time.monotonic() - begun, hub.first_at - begun, hub.free_at - hub.first_at


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tp", type=int, default=2)
    parser.add_argument("--rate", type=float, default=25, help="MB of files in a second")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    flags = ["-tp", str(given.tp)]
    with tempfile.TemporaryDirectory(prefix="colrow-hub-stream-") as work:
        hub = Hub({"org/bench": {"main": make_model(work, given.layers)}}, rate=given.rate * MB)
        shares = shares_of(os.path.join(work, "model"), flags)
        environment = hub_environment(os.path.join(work, "home"), HF_ENDPOINT=hub.url)
        print(f"{sum(shares) / MB:.1f} MB of weights for {given.tp} ranks, at {given.rate:g} MB/s: {sum(shares) / given.rate / MB:.2f} s")
        worst = 0
        for i in range(given.repeats):
            took, before, busy = measure(flags, hub, environment)
            asked = [sum(n for (who, _), n in hub.sent.items() if who == f"rank {r}") for r in range(given.tp)]
            off = [100 * (a / s - 1) for a, s in zip(asked, shares)]
            worst = max(worst, *map(abs, off))
            print(f"  (first byte after {before:.2f} s, the last {busy:.2f} s later; load {os.getloadavg()[0]:.1f})")
            print(f"{'cold' if i == 0 else 'headers known'}: first token after {took:.2f} s, {took / (sum(shares) / given.rate / MB):.3f} of the "
                  f"link's time; " + "; ".join(f"rank {r}: {a / MB:.2f} MB, {o:+.2f} %" for r, (a, o) in enumerate(zip(asked, off))))
        print(f"no rank's bytes were further than {worst:.2f} % from its share")
        hub.stop()


main()
