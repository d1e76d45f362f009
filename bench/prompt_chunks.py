#!/usr/bin/env python3
"""What the number of prompt rows beside decoding does under load, computed from how long steps of a machine take.

usage: bench/prompt_chunks.py 8:49,16:83,32:156,48:227,128:605,256:1237 [--head-ms 1.0] [--clients 8,32] [--rate 0.3] [--chunks 16,40,64,96,128,256]

The list has milliseconds by rows of a step (`colrow bench latency MODEL -tp 2 --batch-size 1 --input-len ROWS --output-len 1`); between and beyond, straight
lines. --head-ms is what a row that decodes costs besides, for its logits. Prompts and answers are those of bench/serve_peers.py; steps are filled as
src/engine/scheduler.c does: all that decode, then prompts in order, up to so many rows or twice as many as decode.
"""
import argparse
import bisect
import random
import statistics

ROWS_MAX, PER_DECODING = 512, 2


class Steps:
    def __init__(self, text, head_ms):
        pairs = sorted(tuple(float(n) for n in pair.split(":")) for pair in text.split(","))
        self.rows, self.ms = zip(*pairs)
        self.head_ms = head_ms

    def seconds(self, decoding, prompts):
        rows = decoding + prompts
        if rows <= self.rows[0]:
            ms = self.ms[0]
        else:
            i = min(len(self.rows) - 1, bisect.bisect_left(self.rows, rows))
            ms = self.ms[i - 1] + (self.ms[i] - self.ms[i - 1]) * (rows - self.rows[i - 1]) / (self.rows[i] - self.rows[i - 1])
        return (ms + self.head_ms * decoding) / 1e3


class Request:
    def __init__(self, arrival, chance):
        self.arrival, self.left, self.wanted, self.made, self.last = arrival, chance.randint(128, 512), chance.randint(64, 256), 0, None


def fill(running, chunk):
    """(those that decode, [(request, rows of its prompt)])"""
    decoding = [r for r in running if r.left == 0]
    room = ROWS_MAX if not decoding else min(ROWS_MAX - len(decoding), max(chunk, PER_DECODING * len(decoding)))
    prompts = []
    for r in running:
        rows = min(room, r.left)
        if rows > 0:
            prompts.append((r, rows))
            room -= rows
    return decoding, prompts


def simulate(steps, chunk, clients=0, rate=0.0, n=300):
    """(output tok/s, times to the first token, times between tokens), seconds"""
    chance, gaps = random.Random(1), random.Random(2)
    arrivals, now, tokens, done, started = [], 0.0, 0, 0, 0
    for _ in range(n if rate else 0):
        arrivals.append((arrivals[-1] if arrivals else 0) + gaps.expovariate(rate))
    running, first, between = [], [], []
    while done < n:
        while started < n and (arrivals[started] <= now if rate else len(running) < clients):
            running.append(Request(arrivals[started] if rate else now, chance))
            started += 1
        if not running:
            now = arrivals[started]
            continue
        decoding, prompts = fill(running, chunk)
        now += steps.seconds(len(decoding), sum(rows for _, rows in prompts))
        for r, rows in prompts:
            r.left -= rows
        for r in decoding + [r for r, _ in prompts if r.left == 0]:
            r.made, tokens = r.made + 1, tokens + 1
            if r.made == 1:
                first.append(now - r.arrival)
            else:
                between.append(now - r.last)
            r.last = now
            if r.made == r.wanted:
                running.remove(r)
                done += 1
    return tokens / now, first, between


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps")
    parser.add_argument("--head-ms", type=float, default=1.0)
    parser.add_argument("--clients", default="8,32")
    parser.add_argument("--rate", type=float, default=0.3, help="requests a second that arrive by chance")
    parser.add_argument("--chunks", default="16,40,64,96,128,256")
    args = parser.parse_args()
    steps = Steps(args.steps, args.head_ms)
    loads = [(f"{n} clients", {"clients": int(n), "n": max(100, 6 * int(n))}) for n in args.clients.split(",")] + [(f"{args.rate}/s", {"rate": args.rate})]
    print("| load | prompt rows | output tok/s | median TTFT, ms | p99 TTFT, ms | p99 ITL, ms |\n|---|---|---|---|---|---|")
    for name, load in loads:
        for chunk in (int(c) for c in args.chunks.split(",")):
            speed, first, between = simulate(steps, chunk, **load)
            print(f"| {name} | {chunk} | {speed:.1f} | {statistics.median(first) * 1e3:.0f} | {sorted(first)[len(first) * 99 // 100] * 1e3:.0f} | "
                  f"{sorted(between)[len(between) * 99 // 100] * 1e3:.0f} |")


if __name__ == "__main__":
    main()
