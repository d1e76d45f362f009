#!/usr/bin/env python3
"""`colrow serve` as its users run it: curl's requests, many at a time, clients that leave, SIGTERM."""
import json
import os
import re
import signal
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from processes import children_of
from serve_client import Server
from support import DEMO, ROOT, check, finish, patience, run

FLAGS = ("--tensor-parallel-size=2", "--gpu-memory-utilization=0.1", "--max-model-len=512", "--kv-cache-memory=64MB")
LONG = ("--tensor-parallel-size=2", "--max-model-len=1024", "--kv-cache-memory=64MB")
QUESTIONS = [
    "What is tensor parallelism?", "What is a rank?", "Who are you?", "Why is an all-reduce needed?", "What does colrow do?",
    "What is a KV cache?", "How are attention heads split?", "What is a column-parallel layer?", "What is prefill?", "Hi",
]


def texts_of(events, key):
    parts = [event["choices"][0] for event in events if event != "[DONE]" and event["choices"]]
    return "".join(part["text"] if key == "text" else part["delta"].get("content", "") for part in parts)


def answers(server):
    status, _, text = server.request("GET", "/health")
    check((status, text) == (200, ""), f"/health: {status} {text!r}")
    check(server.request("HEAD", "/health")[0] == 200, "HEAD /health")
    status, _, models = server.request("GET", "/v1/models")
    check(models["data"][0]["id"] == "demo" and models["data"][0]["max_model_len"] == 512, f"/v1/models: {models}")
    check(server.request("GET", "/v1/models/demo")[2]["id"] == "demo", "/v1/models/demo")
    check(server.request("GET", "/v1/models/nope")[0] == 404, "/v1/models/nope")
    status, tokens = server.post("/tokenize", prompt="Hello")
    status, text = server.post("/detokenize", tokens=tokens["tokens"])
    check(text == {"prompt": "<|begin_of_text|>Hello"}, f"/tokenize and back: {tokens} {text}")
    body = {"prompt": "Tensor parallelism", "max_tokens": 24, "temperature": 0}
    status, whole = server.post("/v1/completions", **body)
    events = server.events("/v1/completions", **body)
    check(events[-1] == "[DONE]", "a stream ends with [DONE]")
    check(texts_of(events, "text") == whole["choices"][0]["text"], "a stream has the text of the whole answer")
    alone = run("generate", DEMO, "-p", "Tensor parallelism", "-n", 24, "-q", "-tp", 1)
    check(alone.stdout.strip() == whole["choices"][0]["text"].strip(), "the server's text is that of colrow generate")
    status, several = server.post("/v1/completions", prompt=[[0, 1242], [1242, 384]], n=2, temperature=1, seed=1, max_tokens=3)
    check([c["index"] for c in several["choices"]] == [0, 1, 2, 3], "two prompts with two answers each")
    status, scored = server.post("/v1/completions", prompt="Tensor parallelism", echo=True, max_tokens=0, logprobs=1)
    logprobs = scored["choices"][0]["logprobs"]
    check(len(logprobs["tokens"]) == 3 and logprobs["token_logprobs"][0] is None, f"echo with log-probabilities: {logprobs}")
    # the prompt's last token, scored as a prompt's and as an answer's
    status, drawn = server.post("/v1/completions", prompt=[0, 1242], max_tokens=1, temperature=0, logprobs=1)
    check(drawn["choices"][0]["logprobs"]["token_logprobs"][0] == logprobs["token_logprobs"][2],
          f"one log-probability, prompt or answer: {drawn['choices'][0]['logprobs']} {logprobs}")


def as_many_at_a_time(server):
    """The lab: 50 chat requests at each concurrency; every answer equal to the one given alone."""
    alone = {question: server.chat(question) for question in QUESTIONS}
    for concurrency in (1, 5, 10, 20):
        jobs = [QUESTIONS[i % len(QUESTIONS)] for i in range(50)]
        wrong, lock, begin = [], threading.Lock(), time.time()

        def work():
            while True:
                with lock:
                    if not jobs:
                        return
                    question = jobs.pop()
                try:
                    answer = server.chat(question)
                except Exception as error:
                    answer = f"{type(error).__name__}: {error}"
                if answer != alone[question]:
                    wrong.append((question, answer))

        threads = [threading.Thread(target=work) for _ in range(concurrency)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.read_log()
        seconds = time.time() - begin
        print(f"concurrency {concurrency:2}: success {1 - len(wrong) / 50:.2f}, {50 / seconds:.1f} requests/s", flush=True)
        check(not wrong, f"concurrency {concurrency}: {wrong[:2]}")


def client_leaves(server):
    """Its pages are free within a step or two."""
    body = json.dumps({"prompt": "Tensor", "max_tokens": 500, "ignore_eos": True, "stream": True, "n": 4, "temperature": 1})
    plain = socket.create_connection((server.host, server.port))
    plain.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    check(plain.recv(100).startswith(b"HTTP/1.1 200"), "a stream begins")
    plain.close()
    check(server.wait_for(lambda: server.metric("vllm:num_requests_running") == 0 and server.metric("vllm:kv_cache_usage_perc") == 0),
          "pages of a client that left are free")
    check(server.request("GET", "/load")[2]["server_load"] == 0, "/load is 0 again")


SLOW = {"prompt": "Tensor", "max_tokens": 480, "ignore_eos": True, "n": 4, "temperature": 1, "seed": 3, "logprobs": 5}


def read_slowly(server):
    """A client that asks for a stream and reads none of it, until the stream is paused."""
    text = json.dumps({**SLOW, "stream": True})
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.connect((server.host, server.port))
    plain.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
    check(server.wait_for(lambda: server.metric("colrow_paused_sequences") == 4, 30), "a slow reader's sequences are paused")
    return plain


def client_is_slow(server):
    """256 KiB are kept for it, then its sequences pause, and only they; nothing is lost."""
    whole, alone = server.post("/v1/completions", **SLOW)[1], server.chat(QUESTIONS[0])
    plain = read_slowly(server)
    check(server.wait_for(lambda: server.metric("vllm:num_requests_running") == 0), "the engine has nothing else to do")
    check(server.metric("vllm:kv_cache_usage_perc") > 0, "a slow reader keeps its pages")
    # the kernel may still take some of it, and the stream go on for a moment
    check(server.wait_for(lambda: 128 << 10 < server.metric("colrow_http_buffered_bytes") < 512 << 10),
          f"buffered: {server.metric('colrow_http_buffered_bytes')}")
    check(server.wait_for(lambda: server.metric("vllm:num_requests_running") == 0), "it pauses again")
    tokens = server.metric("vllm:generation_tokens_total")
    time.sleep(0.2)
    check(server.metric("vllm:generation_tokens_total") == tokens, "nothing is computed for a slow reader")
    check(server.chat(QUESTIONS[0]) == alone, "others are answered meanwhile")
    data = b""
    while b"[DONE]" not in data:
        piece = plain.recv(1 << 20)
        if not check(piece, "a slow reader's stream goes on"):
            return
        data += piece
    plain.close()
    rest, stream = data.split(b"\r\n\r\n", 1)[1], b""
    while rest:
        length, _, rest = rest.partition(b"\r\n")
        stream, rest = stream + rest[: int(length, 16)], rest[int(length, 16) + 2 :]
    texts = {}
    for event in [event for event in stream.decode().split("\n\n") if event.startswith("data: {")]:
        for choice in json.loads(event[6:])["choices"]:
            texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
    check([texts[i] for i in range(4)] == [choice["text"] for choice in whole["choices"]], "a slow reader gets the whole text")
    check(server.wait_for(lambda: server.metric("vllm:kv_cache_usage_perc") == 0), "and its pages are free")


def slow_client_is_dropped():
    seconds = patience(4)  # until it is paused, too
    with Server(*FLAGS, f"--stalled-timeout={seconds}") as server:
        begun = time.time()
        plain = read_slowly(server)
        check(server.wait_for(lambda: server.metric("colrow_http_dropped_slow_total") == 1, 2 * seconds), "who reads nothing for long is dropped")
        check(time.time() - begun > seconds - 0.1, "but not at once")
        check(server.wait_for(lambda: server.metric("vllm:kv_cache_usage_perc") == 0 and server.metric("colrow_paused_sequences") == 0),
              "and its pages are free")
        check(server.request("GET", "/load")[2]["server_load"] == 0, "/load is 0 again")
        plain.close()
        check_end(server)


def dashboards(server):
    """The names in deploy/ are names that the server has."""
    _, _, text = server.request("GET", "/metrics")
    known = set(re.findall(r"^(\S+?)\{", text, re.M))
    folder = os.path.join(ROOT, "deploy")
    with open(os.path.join(folder, "grafana-dashboard.json")) as file:
        queries = [target["expr"] for panel in json.load(file)["panels"] for target in panel["targets"]]
    with open(os.path.join(folder, "alerts.yml")) as file:
        queries.append("".join(line for line in file if "expr" in line or line.lstrip().startswith(("max by", "and min"))))
    used = set(re.findall(r"\b(?:vllm:|colrow_)\w+", " ".join(queries)))
    check(len(used) > 15 and used <= known, f"deploy/ names metrics that are not there: {used - known}")


def bad_requests(server):
    connection = server.connect()
    for body, status in (("{", 400), ('{"prompt": 5}', 400), ('{"prompt": "a", "model": "nope"}', 404), ('{"prompt": "a", "temperature": 9}', 400)):
        got, _, answer = server.request("POST", "/v1/completions", body, connection=connection)
        check(got == status and set(answer["error"]) == {"message", "type", "param", "code"}, f"{body}: {got} {answer}")
    check(server.request("POST", "/v1/completions", "{}", {"Content-Type": "text/plain"})[0] == 400, "another content type")
    check(server.request("GET", "/nope")[0] == 404 and server.request("DELETE", "/health")[0] == 405, "no such path, no such method")


def metrics(server):
    check(server.metric("vllm:request_success_total", finished_reason="length") > 0, "finished requests are counted")
    check(server.metric("vllm:generation_tokens_total") > 1000, "tokens are counted")
    check(server.metric("vllm:time_to_first_token_seconds_count") > 0, "times are observed")
    check(server.metric("colrow_rank_step_seconds_total", rank="1") > 0, "each rank's time is there")
    check(server.metric("colrow_rank_memory_bytes", kind="weights", rank="0") > 0, "each rank's memory is there")
    log = server.read_log()
    check("POST /v1/chat/completions 200" in log and "first token after" in log, "a line for each request")
    check("tensor parallelism" not in log.lower(), "no text in the log")


def ranks_of(server):
    """Who computes: forked by keepers, which are the server's children."""
    return [rank for keeper in children_of(server.process.pid) for rank in children_of(keeper)]


def rank_dies(server):
    """The ranks start again, what runs is answered to its end, and so is the next request."""
    ranks = ranks_of(server)
    result = []
    body = {"prompt": "Tensor", "max_tokens": 500, "ignore_eos": True, "temperature": 0.8, "seed": 5}
    undisturbed = server.post("/v1/completions", **body)
    thread = threading.Thread(target=lambda: result.append(server.post("/v1/completions", **body)))
    generated = server.metric("vllm:generation_tokens_total")
    thread.start()
    server.wait_for(lambda: server.metric("vllm:generation_tokens_total") > generated)
    os.kill(ranks[-1], signal.SIGKILL)
    thread.join()
    check(result[0][0] == 200 and result[0][1]["choices"] == undisturbed[1]["choices"], f"a request when a rank died: {result}")
    check(server.wait_for(lambda: server.request("GET", "/health")[0] == 200), "the ranks are ready again")
    check(server.post("/v1/completions", prompt="Tensor", max_tokens=3)[0] == 200, "a request after a rank died")
    check(server.metric("colrow_rank_restarts_total") == 1, "the restart is counted")
    check(server.metric("colrow_recovery_seconds_count") == 1 and server.metric("colrow_recovery_seconds_sum") > 0, "the recovery is measured")
    check(server.metric("colrow_replayed_tokens_total") > 0 and server.metric("colrow_requests_given_up_total") == 0, "what is replayed is counted")
    log = server.read_log()
    check(re.search(r"rank 1 \(pid \d+\) was killed by signal 9.*; restarted in [\d.]+ s, 1 request goes on", log), f"the log tells of it: {log[-500:]}")


def drains(server):
    """SIGTERM: what runs finishes, what is new gets 503, the exit status is 0."""
    result = {}

    def stream():
        result["events"] = server.events("/v1/completions", prompt="Tensor", max_tokens=400, ignore_eos=True, temperature=0)

    late = server.connect()
    late.connect()
    thread = threading.Thread(target=stream)
    thread.start()
    server.wait_for(lambda: server.metric("vllm:num_requests_running") > 0)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.02)
    try:
        status, fields, answer = server.request("POST", "/v1/completions", {"prompt": "a"}, connection=late)
        if "events" not in result:
            check(status == 503 and "retry-after" in fields, f"a request while draining: {status} {answer}")
    except OSError:
        check("events" in result or not thread.is_alive(), "a connection that was open is answered while draining")
    thread.join()
    check(result.get("events", [None])[-1] == "[DONE]", "what ran has finished")
    check_end(server)


def check_end(server):
    status = server.stop()
    check(status == 0, f"the exit status is 0, not {status}: {server.read_log()[-500:]}")


def queue_is_bounded():
    with Server(*FLAGS, "--max-num-seqs=1", "--max-num-queued-requests=1") as server:
        statuses, threads = [], []

        def ask():
            status, fields, _ = server.request("POST", "/v1/completions", {"prompt": "Tensor", "max_tokens": 400, "ignore_eos": True})
            statuses.append((status, "retry-after" in fields))

        for _ in range(12):
            threads.append(threading.Thread(target=ask))
            threads[-1].start()
        for thread in threads:
            thread.join()
        check((429, True) in statuses and (200, False) in statuses, f"a full queue: {statuses}")
        check(server.metric("vllm:admission_rejections_total") > 0, "rejections are counted")
        check_end(server)


def queue_is_bounded_by_tokens():
    with Server(*LONG, "--max-num-seqs=1", "--max-num-queued-tokens=1000") as server:
        results = []

        def ask(prompt_tokens, max_tokens):
            body = {"prompt": [65] * prompt_tokens, "max_tokens": max_tokens, "ignore_eos": True}
            results.append(server.request("POST", "/v1/completions", body))
            return results[-1]

        def begin(prompt_tokens, max_tokens):
            thread = threading.Thread(target=ask, args=(prompt_tokens, max_tokens))
            thread.start()
            return thread

        def waiting():
            return server.metric("vllm:num_requests_waiting")

        def with_one_running(part):
            """`part` while a long answer has the only place; again where that was over too soon."""
            for _ in range(5):
                generated = server.metric("vllm:generation_tokens_total")
                threads = [begin(10, 1000)]
                server.wait_for(lambda: server.metric("vllm:generation_tokens_total") > generated)
                done = part(threads)
                for thread in threads:
                    thread.join()
                if done:
                    return
            check(False, f"{part.__name__}: the answer before is always over too soon")

        def too_many_tokens(threads):
            threads += [begin(600, 1), begin(600, 1)]  # 600 leave room for more
            server.wait_for(lambda: waiting() == 2, 1)
            status, fields, answer = ask(1, 1)
            if status == 200:
                return False
            said = answer["error"]["message"]
            check(status == 429 and int(fields["retry-after"]) > 0, f"too many tokens wait: {status} {fields}")
            check("2 requests with 1200 tokens are waiting already (--max-num-queued-tokens)" in said, f"the sentence: {said}")
            return True

        def one_that_leaves(threads):
            leaver = server.connect()
            leaver.request("POST", "/v1/completions", json.dumps({"prompt": [65] * 1000, "max_tokens": 1}), {"Content-Type": "application/json"})
            server.wait_for(lambda: waiting() == 1, 1)
            refused = ask(1, 1)[0] == 429
            leaver.close()
            server.wait_for(lambda: waiting() == 0)
            check(not refused or ask(1, 1)[0] == 200, "who has left is counted no more")
            return refused

        with_one_running(too_many_tokens)
        check(server.metric("vllm:admission_rejections_total", reason="max_num_queued_tokens") == 1, "it is counted")
        check(ask(1, 1)[0] == 200, "what was answered is counted no more")
        with_one_running(one_that_leaves)
        statuses = [result[0] for result in results]
        check(statuses.count(429) == 2 and statuses.count(200) == len(statuses) - 2, f"all others are answered: {statuses}")
        check_end(server)


def long_prompts_are_shown():
    """A stream that begins with the log-probabilities of long prompts, which another thread writes, shows what a whole answer does."""
    ids = [[(i * 7 + k) % 900 + 10 for i in range(length)] for k, length in enumerate((900, 5, 1000))]
    body = {"prompt": ids, "n": 2, "echo": True, "logprobs": 5, "max_tokens": 6, "temperature": 1, "seed": 3}
    with Server(*LONG) as server:
        status, whole = server.post("/v1/completions", **body)
        check(status == 200 and len(whole["choices"]) == 6, f"whole: {status} {str(whole)[:300]}")
        found = {i: {"text": "", "logprobs": {}} for i in range(6)}
        events = server.events("/v1/completions", **body)
        check(events.pop() == "[DONE]", "the end")
        for event in events:
            for choice in event["choices"]:
                into = found[choice["index"]]
                into["text"] += choice["text"]
                for name, items in choice["logprobs"].items():
                    into["logprobs"].setdefault(name, []).extend(items)
        for choice in whole["choices"]:
            streamed = found[choice["index"]]
            check(streamed["text"] == choice["text"], f"choice {choice['index']}: the text")
            for name, items in choice["logprobs"].items():
                check(streamed["logprobs"][name] == items, f"choice {choice['index']}: {name}")
        # one that leaves while its event is written, and one that reads late
        for late in (False, True):
            connection = server.connect()
            connection.request("POST", "/v1/completions", json.dumps({**body, "stream": True}), {"Content-Type": "application/json"})
            if late:
                time.sleep(2)
                text = connection.getresponse().read().decode()
                check(text.count("data: ") == len(events) + 1 or text.endswith("data: [DONE]\n\n"), "a late reader has all of it")
            else:
                server.wait_for(lambda: server.metric("vllm:num_requests_running") > 0)
            connection.close()
        check(server.wait_for(lambda: server.metric("vllm:kv_cache_usage_perc") == 0), "all pages are free")
        check_end(server)


def keys():
    with Server(*FLAGS, "--api-key=one", "--host=127.0.0.1", "--log-format=json") as server:
        check(server.request("GET", "/v1/models")[0] == 401, "without a key")
        check(server.request("GET", "/v1/models", headers={"Authorization": "Bearer one"})[0] == 200, "with a key")
        check(server.request("GET", "/health")[0] == 200, "/health needs no key")
        chat = {"messages": [{"role": "user", "content": "a"}], "max_tokens": 1}
        for path, body in (("/v1/models", None), ("/v1/completions", {"prompt": "a", "max_tokens": 1}), ("/v1/chat/completions", chat),
                           ("/v1/messages", chat), ("/v1/messages/count_tokens", chat), ("/v1/responses", {"input": "a", "max_output_tokens": 1})):
            for fields, status in (({}, 401), ({"X-Api-Key": "one"}, 200), ({"X-Api-Key": "two"}, 401), ({"Authorization": "Bearer one"}, 200),
                                   ({"X-Api-Key": "one", "Authorization": "Bearer one"}, 200), ({"X-Api-Key": "one", "Authorization": "Bearer two"}, 401),
                                   ({"X-Api-Key": "two", "Authorization": "Bearer one"}, 401)):
                found = server.request("POST" if body else "GET", path, body, fields)
                check(found[0] == status, f"{path} with {fields}: {found[0]} {found[2]}, expected {status}")
        server.request("POST", "/v1/completions", {"prompt": "a", "max_tokens": 1}, {"Authorization": "Bearer one"})
        lines = lambda: [json.loads(line) for line in server.read_log().splitlines() if line.startswith("{")]
        check(server.wait_for(lambda: any(line.get("completion_tokens") == 1 for line in lines())), f"lines are JSON: {lines()}")
        check_end(server)


with Server(*FLAGS) as server:
    for part in (answers, as_many_at_a_time, client_leaves, client_is_slow, bad_requests, metrics, dashboards, rank_dies, drains):
        part(server)
queue_is_bounded()
queue_is_bounded_by_tokens()
long_prompts_are_shown()
slow_client_is_dropped()
keys()
def ranks_are_gone_for_good():
    """Without restarts a dead rank ends the server with the sentence: whoever started it sees the truth."""
    with Server(*FLAGS, "--rank-restarts", 0) as server:
        result = []
        thread = threading.Thread(target=lambda: result.append(server.post("/v1/completions", prompt="Tensor", max_tokens=500, ignore_eos=True)))
        thread.start()
        server.wait_for(lambda: server.metric("vllm:num_requests_running") > 0)
        os.kill(ranks_of(server)[-1], signal.SIGKILL)
        thread.join()
        check(result[0][0] == 503 and "rank 1" in result[0][1]["error"]["message"], f"a request when a rank died: {result}")
        check(server.process.wait(timeout=patience(10)) == 1, f"exit status {server.process.returncode}")
        check(re.search(r"colrow: error: rank 1 \(pid \d+\) was killed by signal 9", server.read_log()), "the log says why")


ranks_are_gone_for_good()


def name_of_the_folder():
    with Server(*FLAGS, name=None) as server:
        for name in (DEMO, "demo"):
            status, answer = server.post("/v1/completions", model=name, prompt="a", max_tokens=1)
            check(status == 200 and answer["model"] == name, f"the folder's name {name}: {answer}")
        check(server.post("/v1/completions", model="other", prompt="a", max_tokens=1)[0] == 404, "another name")


name_of_the_folder()


def without_a_tokenizer():
    """A folder that has none: tokens are asked for and shown as numbers."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("config.json", "model.safetensors"):
            os.symlink(os.path.join(DEMO, name), os.path.join(folder, name))
        with Server("--kv-cache-memory=16MB", model=folder) as server:
            status, answer = server.post("/v1/completions", prompt=[0, 1242, 384], max_tokens=3, temperature=0, logprobs=2)
            check(status == 200, f"log-probabilities without a tokenizer: {status} {answer}")
            shown = answer["choices"][0]["logprobs"]
            named = shown["tokens"] + list(shown["top_logprobs"][-1])
            check(len(shown["tokens"]) == 3 and all(re.fullmatch(r"token_id:\d+", name) for name in named), f"names of tokens: {named}")
            status, answer = server.post("/v1/completions", prompt="Tensor", max_tokens=3)
            check(status == 400 and "tokenizer" in answer["error"]["message"], f"a text without a tokenizer: {status} {answer}")


without_a_tokenizer()
with Server(*FLAGS, "--block-size=16", "--max-model-len=auto") as server:
    check("--block-size 16 changes nothing" in server.read_log(), "another block size")
    check(server.request("GET", "/v1/models")[2]["data"][0]["max_model_len"] == 1024, "the context that fits")
finish("serve")
