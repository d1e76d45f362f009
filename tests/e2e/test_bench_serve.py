#!/usr/bin/env python3
"""`colrow bench serve` against a server whose timing is known: figures, arrivals, concurrency, prefixes, seeds, failures."""
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support import check, finish, run

FIRST, GAP = 0.06, 0.02  # seconds to the first piece, and between pieces


class Pretended(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    requests, running, most, times = [], 0, 0, []
    fails = 0  # every so many-th request
    lock = threading.Lock()

    def log_message(self, *_):
        pass

    def piece(self, text):
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def do_GET(self):
        body = b'{"object":"list","data":[{"id":"pretended/model"}]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        kind = type(self)
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path not in ("/v1/completions", "/v1/chat/completions"):
            self.send_error(404)
            return
        with kind.lock:
            kind.requests.append((self.path, request))
            kind.times.append(time.monotonic())
            number = len(kind.requests)
            kind.running += 1
            kind.most = max(kind.most, kind.running)
        fails = kind.fails and number % kind.fails == 0
        try:
            if not fails:
                self.pieces(request)
        finally:
            # over before the client can know it: its next request is never counted beside this one
            with kind.lock:
                kind.running -= 1
        if fails:
            body = b'{"error":{"message":"too much","type":"x","param":null,"code":429}}'
            self.send_response(429)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            self.piece("data: [DONE]\n\n")
            self.wfile.write(b"0\r\n\r\n")

    def pieces(self, request):
        """all of an answer but its end"""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        chat = "messages" in request
        n = request["max_tokens"]
        if chat:
            self.piece('data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n')
        for i in range(n):
            time.sleep(GAP if i else FIRST)
            choice = {"delta": {"content": "x"}} if chat else {"text": "x"}
            self.piece("data: " + json.dumps({"choices": [choice]}) + "\n\n")
        prompt = 7 if chat else len(request["prompt"])
        self.piece("data: " + json.dumps({"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": n}}) + "\n\n")

    @classmethod
    def clear(cls, fails=0):
        cls.requests, cls.times, cls.running, cls.most, cls.fails = [], [], 0, 0, fails


class Listener(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, *_):
        pass  # clients that left


def bench(*flags, status=0):
    done = run("bench", "serve", "--base-url", url, "--json", "-q", *flags)
    check(done.returncode == status, f"bench serve {flags}: {done.returncode} {done.stderr}")
    return json.loads(done.stdout) if done.stdout else None


def test_figures():
    for backend in ("openai", "openai-chat"):
        Pretended.clear()
        got = bench("--backend", backend, "--num-prompts", "8", "--max-concurrency", "2", "--input-len", "30", "--output-len", "6")
        check(got["completed"] == 8 and got["failed"] == 0 and got["model_id"] == "pretended/model", f"{backend}: {got}")
        check(got["total_output_tokens"] == 48 and got["total_input_tokens"] == (240 if backend == "openai" else 56), f"{backend}: tokens {got}")
        slack = 10  # other tests run beside this one: what would be found are wrong units and wrong beginnings
        check(1e3 * FIRST <= got["median_ttft_ms"] < 1e3 * FIRST * slack, f"{backend}: TTFT {got['median_ttft_ms']}")
        check(1e3 * GAP <= got["median_itl_ms"] < 1e3 * GAP * slack, f"{backend}: ITL {got['median_itl_ms']}")
        check(1e3 * GAP <= got["median_tpot_ms"] < 1e3 * GAP * slack, f"{backend}: TPOT {got['median_tpot_ms']}")
        least = 1e3 * (FIRST + 5 * GAP)
        check(least <= got["median_e2el_ms"] < least * slack and got["p99_e2el_ms"] >= got["median_e2el_ms"], f"{backend}: E2EL {got['median_e2el_ms']}")
        check(Pretended.most == 2 and got["max_concurrent_requests"] == 2, f"{backend}: {Pretended.most} at once")
        check(abs(got["request_throughput"] - 8 / got["duration"]) < 1e-6, f"{backend}: throughput")
        path, request = Pretended.requests[0]
        check(path == ("/v1/completions" if backend == "openai" else "/v1/chat/completions") and request["ignore_eos"] is True
              and request["stream_options"] == {"include_usage": True} and request["temperature"] == 0, f"{backend}: request {path} {request}")
        if backend == "openai":
            check(all(len(r["prompt"]) == 30 and all(10 <= i < 256 for i in r["prompt"]) for _, r in Pretended.requests), "prompts are ids")


def test_arrivals():
    Pretended.clear()
    got = bench("--num-prompts", "40", "--request-rate", "40", "--input-len", "5", "--output-len", "1", "--seed", "3")
    took = Pretended.times[-1] - Pretended.times[0]
    check(0.6 < took < 8 and got["request_rate"] == 40, f"40 arrivals at 40 a second took {took:.2f} s")
    gaps = {}
    for burstiness in ("0.2", "1000"):
        Pretended.clear()
        bench("--num-prompts", "30", "--request-rate", "30", "--burstiness", burstiness, "--input-len", "5", "--output-len", "1")
        between = sorted(b - a for a, b in zip(Pretended.times, Pretended.times[1:]))
        gaps[burstiness] = between[len(between) // 2]
    check(1.5 * gaps["0.2"] < gaps["1000"] and gaps["1000"] > 0.02, f"median gaps by burstiness: {gaps}")


def test_seeds_and_lengths():
    drawn = []
    for seed in ("1", "1", "2"):
        Pretended.clear()
        bench("--num-prompts", "20", "--max-concurrency", "1", "--input-len", "20", "--output-len", "2", "--random-range-ratio", "0.5", "--seed", seed,
              "--random-prefix-len", "4")
        drawn.append([r for _, r in Pretended.requests])
    check(drawn[0] == drawn[1] and drawn[0] != drawn[2], "a seed decides everything")
    lengths = {len(r["prompt"]) for r in drawn[0]}
    check(len(lengths) > 5 and 14 <= min(lengths) and max(lengths) <= 34, f"lengths: {lengths}")
    check({r["max_tokens"] for r in drawn[0]} == {1, 2, 3}, "lengths of answers")
    check(len({tuple(r["prompt"][:4]) for r in drawn[0]}) == 1 and len({tuple(r["prompt"][4:]) for r in drawn[0]}) == 20, "one prefix, other rests")
    Pretended.clear()
    figures = bench("--dataset-name", "prefix_repetition", "--num-prompts", "12", "--prefix-repetition-prefix-len", "16", "--prefix-repetition-suffix-len", "4",
                    "--prefix-repetition-num-prefixes", "3", "--prefix-repetition-output-len", "1")
    prompts = [r["prompt"] for _, r in Pretended.requests]
    check(len({tuple(p[:16]) for p in prompts}) == 3 and len({tuple(p[16:]) for p in prompts}) == 12, "three prefixes, four times each")
    first, repeated = figures["median_ttft_first_use_ms"], figures["median_ttft_repeated_ms"]
    check(min(first, repeated) >= FIRST * 1e3, f"times of a prefix's first use and of its repetitions: {first} {repeated}")
    check(abs(figures["ttft_repeated_over_first_use"] * first - repeated) < 1e-3, f"their ratio: {figures}")


def test_failures():
    Pretended.clear(fails=4)
    got = bench("--num-prompts", "12", "--max-concurrency", "3", "--input-len", "5", "--output-len", "2", status=1)
    check(got["completed"] == 9 and got["failed"] == 3, f"failures are counted: {got}")
    Pretended.clear()
    got = bench("--num-prompts", "2", "--input-len", "5", "--output-len", "40", "--request-timeout", "0.3", status=1)
    check(got["failed"] == 2, "late ones fail")
    Pretended.clear()
    done = run("bench", "serve", "--base-url", url, "--num-prompts", "2", "--num-warmups", "1", "--input-len", "5", "--output-len", "2")
    check(done.returncode == 0 and len(Pretended.requests) == 3, f"a warm-up: {done.stderr}")
    for line in ("Successful requests:                     2", "Benchmark duration (s):", "Output token throughput (tok/s):", "Mean TTFT (ms):", "Median TPOT (ms):",
                 "P99 ITL (ms):", "P99 E2EL (ms):", "============ Serving Benchmark Result ============", "---------------Time to First Token----------------"):
        check(line in done.stdout, f"the table lacks {line!r}:\n{done.stdout}")
    for flags, says in ((["--base-url", "https://a"], "--base-url"), (["--base-url", "http://127.0.0.1:1"], "refused"), (["--backend", "x"], "--backend"),
                        (["--base-url", url, "--endpoint", "/nope"], "failed"), (["--dataset-name", "x"], "--dataset-name")):
        bad = run("bench", "serve", "--num-prompts", "1", "--model", "m", "--input-len", "1", "--output-len", "1", *flags)
        check(bad.returncode in (1, 2) and says in bad.stderr, f"{flags}: {bad.returncode} {bad.stderr}")


server = Listener(("127.0.0.1", 0), Pretended)
url = f"http://127.0.0.1:{server.server_address[1]}"
threading.Thread(target=server.serve_forever, daemon=True).start()
for test in (test_figures, test_arrivals, test_seeds_and_lengths, test_failures):
    started = time.monotonic()
    test()
    print(f"{test.__name__}: {time.monotonic() - started:.1f} s", flush=True)
server.shutdown()
finish("bench serve")
