#!/usr/bin/env python3
"""How `colrow serve` ends: SIGTERM, SIGINT and SIGHUP let what runs finish, to its last byte; a second signal and the end of
--shutdown-timeout cut it off and name it. And SIGHUP with files of keys and certificates, which are read again."""
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

from serve_client import Server
from support import COLROW, DEMO, check, finish, patience, skip

if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")
FLAGS = ("-tp", "2", "--kv-cache-memory", "64MB", "--max-model-len", "512", "--host", "127.0.0.1")
LONG = {"prompt": "Tensor", "max_tokens": 480, "ignore_eos": True, "temperature": 0}
folder = tempfile.TemporaryDirectory()


def raw(server, body, path="/v1/completions", fields="", receive_buffer=None):
    """A request that is sent, and whose answer nobody reads yet."""
    s = socket.socket()
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.settimeout(60)
    s.connect((server.host, server.port))
    text = body if isinstance(body, str) else json.dumps(body)
    s.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\n{fields}Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
    return s


def read_all(s):
    pieces = []
    try:
        while piece := s.recv(1 << 16):
            pieces.append(piece)
    except ConnectionResetError:
        pieces.append(b"(reset)")
    s.close()
    return b"".join(pieces)


def runs(server, n=1):
    return server.wait_for(lambda: server.metric("vllm:num_requests_running") >= n)


def lets_all_finish(number):
    with Server(*FLAGS, "--shutdown-timeout", "300") as server:
        whole = server.post("/v1/completions", **LONG)[1]["choices"][0]["text"]
        idle = server.connect()
        check(server.request("GET", "/version", connection=idle)[0] == 200, "a connection that stays open")
        half = socket.create_connection((server.host, server.port), timeout=60)
        half.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n")
        several = [raw(server, {**LONG, "stream": i % 2 == 0}) for i in range(4)]
        runs(server, 4)
        server.process.send_signal(number)
        check(server.wait_for(lambda: f"{number.name}: 4 requests may finish within 300 s" in server.read_log()), "the log says what is waited for")
        for connection in (None, idle):
            status, fields, answer = server.request("POST", "/v1/completions", LONG, connection=connection)
            check(status == 503 and fields["retry-after"] == "1" and fields["connection"] == "close" and "shutting down" in answer["error"]["message"],
                  f"a new request while draining: {status} {fields} {answer}")
        for path in ("/health", "/ping", "/health?ready"):
            status, fields, answer = server.request("GET", path)
            check(status == 503 and "the server is shutting down; 4 requests are still running" in answer["error"]["message"], f"{path}: {status} {answer}")
        check(server.request("GET", "/health?live")[0] == 200, "it is alive while requests finish")
        load = server.request("GET", "/load")[2]
        check(load["server_load"] == 4 and "shutting down" in load["unavailable"], f"/load: {load}")
        half.sendall(b'{"prompt": "ab"}')
        check(read_all(half).startswith(b"HTTP/1.1 503 "), "a request that was half sent when the signal came")
        for i, s in enumerate(several):
            data = read_all(s)
            if i % 2:
                text = json.loads(data.split(b"\r\n\r\n", 1)[1])["choices"][0]["text"]
            else:
                text = "".join(json.loads(line[6:])["choices"][0]["text"] for line in data.decode().splitlines() if line.startswith("data: {"))
            check(text == whole, f"{number.name}: answer {i} is whole: {len(text)} of {len(whole)} characters")
        check(server.process.wait(timeout=patience(20)) == 0, f"the exit status is {server.process.poll()}")
        check("cut off" not in server.read_log(), "nothing was cut off")


def sends_the_last_byte():
    """The last request is over, but its client has yet to take 2 MB of it."""
    with Server(*FLAGS) as server:
        big = {**LONG, "n": 6, "temperature": 1, "seed": 5, "logprobs": 20}
        expected = len(json.dumps(server.post("/v1/completions", **big)[1]["choices"][5]["logprobs"]["tokens"]))
        s = raw(server, big, receive_buffer=4096)
        check(server.wait_for(lambda: server.request("GET", "/load")[2]["server_load"] == 1) and
              server.wait_for(lambda: server.request("GET", "/load")[2]["server_load"] == 0, 60), "the answer is made")
        buffered = server.metric("colrow_http_buffered_bytes")
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        check(server.process.poll() is None and buffered > 300000, f"it waits for a client that has {buffered:.0f} bytes to take")
        data = read_all(s)
        head, body = data.split(b"\r\n\r\n", 1)
        check(int(re.search(rb"content-length: (\d+)", head)[1]) == len(body), "the client gets all of its answer")
        check(len(json.dumps(json.loads(body)["choices"][5]["logprobs"]["tokens"])) == expected, "as it should be")
        check(server.process.wait(timeout=patience(20)) == 0, "the exit status")


def a_second_signal_cuts():
    with Server(*FLAGS) as server:
        several = [raw(server, {**LONG, "stream": i == 0}, fields=f"X-Request-Id: mine-{i}\r\n") for i in range(10)]
        first = several[0].recv(1000)  # it has begun
        runs(server, 10)
        server.process.send_signal(signal.SIGTERM)
        check(server.wait_for(lambda: "10 requests may finish" in server.read_log()), "it drains")
        begun = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        status = server.process.wait(timeout=patience(20))
        took = time.monotonic() - begun
        check(status == 128 + signal.SIGINT and took < patience(1), f"a second signal: exit status {status} after {took:.2f} s")
        log = server.read_log()
        check("SIGINT: 10 requests are cut off:" in log, f"how many were cut off: {log[-800:]}")
        named = set(re.findall(r"mine-\d", "".join(line for line in log.splitlines() if "cut off: " in line)))
        check(named == {f"mine-{i}" for i in range(10)}, f"which were cut off: {named}")
        first += read_all(several[0])
        check(b"200 OK" in first and b"shutting down" in first and first.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"), f"a stream that is cut off says so: {first[-300:]}")
        rest = [read_all(s) for s in several[1:]]
        check(all(data.startswith(b"HTTP/1.1 503 ") for data in rest), "the others get 503")
    with Server(*FLAGS) as server:  # nothing to cut off: an orderly end
        s = socket.create_connection((server.host, server.port))
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGTERM)
        check(server.process.wait(timeout=patience(20)) == 0, "two signals to an idle server: 0")
        s.close()


def the_timeout_cuts():
    with Server(*FLAGS, "--shutdown-timeout", "0.3") as server:
        s = raw(server, {**LONG, "n": 24, "temperature": 1}, fields="X-Request-Id: too-long\r\n")
        runs(server, 24)
        begun = time.monotonic()
        status = server.stop()
        took = time.monotonic() - begun
        data = read_all(s)
        if data.startswith(b"HTTP/1.1 200 "):
            print("the timeout: this machine answers 24 times 480 tokens within 0.3 s")
            return
        check(status == 0 and 0.25 < took < patience(2), f"the end of the timeout: {status} after {took:.2f} s")
        check("0.3 s are over: 1 request is cut off:" in server.read_log() and "cut off: too-long" in server.read_log(), "what was cut off")
        check(data.startswith(b"HTTP/1.1 503 "), f"its client is told: {data[:60]}")


def lets_finish_what_waits_for_a_restart():
    """SIGTERM while the ranks are being started again: the restart goes on, and what waits for it is answered."""
    gate, slow = os.path.join(folder.name, "gate"), os.path.join(folder.name, "slow")
    with open(slow, "w", encoding="ascii") as script:
        script.write(f'#!/bin/sh\nwhile [ ! -e "{gate}" ]; do sleep 0.02; done\nexec "{COLROW}" "$@"\n')
    os.chmod(slow, 0o755)
    open(gate, "w").close()
    with Server(*FLAGS, "--rank-program", slow) as server:
        whole = server.post("/v1/completions", **LONG)[1]["choices"][0]["text"]
        with open(f"/proc/{server.process.pid}/task/{server.process.pid}/children", encoding="ascii") as pids:
            ranks = [int(word) for word in pids.read().split()]
        os.unlink(gate)
        running = raw(server, {**LONG, "stream": True})
        runs(server)
        os.kill(ranks[-1], signal.SIGKILL)
        begun = time.monotonic()
        check(server.wait_for(lambda: server.request("GET", "/health")[0] == 503), "/health knows that a rank is gone")
        print(f"/health is 503 {(time.monotonic() - begun) * 1e3:.0f} ms after a rank was killed", flush=True)
        times = []
        for path in ("/health", "/ping", "/health?ready", "/health?live"):
            asked = time.monotonic()
            status, _, answer = server.request("GET", path)
            times.append(time.monotonic() - asked)
            if path.endswith("live"):
                check(status == 200, f"{path} while ranks are started again: {status}")
            else:
                check(status == 503 and re.search(r"the ranks are being started again: .*rank \d.*was killed by signal 9", answer["error"]["message"]),
                      f"{path} while ranks are started again: {status} {answer}")
        check(max(times) < patience(0.05), f"/health takes {max(times) * 1e3:.1f} ms")
        check("started again" in server.request("GET", "/load")[2]["unavailable"], "/load agrees")
        check(re.search(r"^colrow_ready\{\} 0\.0$", server.request("GET", "/metrics")[2], re.M), "and so does colrow_ready")
        waits = raw(server, LONG)
        check(server.wait_for(lambda: server.metric("vllm:num_requests_waiting") == 2), "two requests wait for the ranks")
        server.process.send_signal(signal.SIGTERM)
        check(server.wait_for(lambda: "SIGTERM: 2 requests may finish" in server.read_log()), "it drains")
        time.sleep(0.2)
        check(server.process.poll() is None, "and waits for the ranks")
        open(gate, "w").close()
        text = "".join(json.loads(line[6:])["choices"][0]["text"] for line in read_all(running).decode().splitlines() if line.startswith("data: {"))
        check(text == whole, f"what ran when the rank was killed is finished: {len(text)} of {len(whole)} characters")
        data = read_all(waits)
        check(data.startswith(b"HTTP/1.1 200 ") and json.loads(data.split(b"\r\n\r\n", 1)[1])["choices"][0]["text"] == whole, f"what waited is answered: {data[:100]}")
        check(server.process.wait(timeout=patience(20)) == 0, "the exit status")


def health_is_quick_under_load():
    with Server(*FLAGS) as server:
        threads = [threading.Thread(target=lambda: server.post("/v1/completions", **{**LONG, "n": 8, "temperature": 1})) for _ in range(8)]
        for thread in threads:
            thread.start()
        runs(server, 8)
        times, connection = [], server.connect()
        while any(thread.is_alive() for thread in threads) and len(times) < 200:
            begun = time.monotonic()
            check(server.request("GET", "/health", connection=connection)[0] == 200, "/health under load")
            times.append(time.monotonic() - begun)
            time.sleep(0.005)
        for thread in threads:
            thread.join()
        times.sort()
        print(f"/health under load, {len(times)} times: median {times[len(times) // 2] * 1e3:.1f} ms, largest {times[-1] * 1e3:.1f} ms", flush=True)
        check(times[len(times) * 9 // 10] < patience(0.05), f"/health under load: nine of ten within {times[len(times) * 9 // 10] * 1e3:.1f} ms")
        check(server.stop() == 0, "the exit status")


def nohup_is_kept():
    """SIGHUP ends a server without such files, but not one that was started with nohup."""
    ignoring = Server(*FLAGS)
    ignoring.command = ["/bin/sh", "-c", 'trap "" HUP; exec "$@"', "sh", *ignoring.command]
    with ignoring as server:
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        check(server.request("GET", "/health")[0] == 200, "SIGHUP was to be ignored")
        check(server.stop() == 0, "the exit status")


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


def certificate(name):
    """-> (certificate, key)"""
    cert, key = os.path.join(folder.name, name + ".pem"), os.path.join(folder.name, name + ".key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=" + name,
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


def reads_keys_again():
    path = write(os.path.join(folder.name, "keys"), "# first\none\ntwo\n")
    with Server(*FLAGS, "--api-key-file", path, "--api-key", "always", environment={"VLLM_API_KEY": "unused"}) as server:
        def opens(key):
            return server.request("GET", "/v1/models", headers={"Authorization": "Bearer " + key})[0] == 200

        def hang_up(says):
            before = server.read_log().count(says)
            server.process.send_signal(signal.SIGHUP)
            check(server.wait_for(lambda: server.read_log().count(says) > before), f"the log has no {says!r}: {server.read_log()[-500:]}")

        check([opens(key) for key in ("one", "two", "three", "always", "unused")] == [True, True, False, True, False], "the keys at first")
        running = raw(server, {**LONG, "stream": True}, fields="Authorization: Bearer one\r\n")
        open_one = server.connect()
        check(server.request("GET", "/v1/models", headers={"X-Api-Key": "one"}, connection=open_one)[0] == 200, "an open connection")
        write(path, "three\n")
        hang_up(f"SIGHUP: {path} was read again: 2 API keys")
        check([opens(key) for key in ("one", "two", "three", "always", "unused")] == [False, False, True, True, False], "the keys now")
        check(server.request("GET", "/v1/models", headers={"X-Api-Key": "one"}, connection=open_one)[0] == 401, "an old key on an open connection")
        check(read_all_of_stream(running), "a stream that an old key began goes on")
        for text, says in (("", f"{path} holds no key"), ("# nothing\n", f"{path} holds no key"), ("a b\n", f"{path}: key 2 holds a blank")):
            write(path, text)
            hang_up(says)
            check("the API keys stay as they were" in server.read_log(), "they stay")
            check([opens(key) for key in ("three", "always", "")] == [True, True, False], f"the keys after a file {text!r}")
        os.unlink(path)
        hang_up(f"SIGHUP: {path}")
        os.mkfifo(path)
        hang_up(f"{path} is no regular file")
        check(opens("three") and server.request("GET", "/health")[0] == 200, "the server does not wait at a pipe")
        check(server.stop() == 0, "the exit status")


def read_all_of_stream(s):
    data = b""
    while b"[DONE]" not in data:
        piece = s.recv(1 << 16)
        if not piece:
            return False
        data += piece
    s.close()
    return True


def reads_certificates_again():
    if not shutil.which("openssl"):
        print("certificates: skipped, there is no openssl to make one")
        return
    first, second = certificate("first"), certificate("second")
    cert, key = os.path.join(folder.name, "cert.pem"), os.path.join(folder.name, "key.pem")

    def put(pair):
        shutil.copy(pair[0], cert)
        shutil.copy(pair[1], key)

    put(first)
    with Server(*FLAGS, "--ssl-certfile", cert, "--ssl-keyfile", key) as server:
        def connect(pair):
            context = ssl.create_default_context(cafile=pair[0])
            plain = socket.create_connection((server.host, server.port), timeout=60)
            return context.wrap_socket(plain, server_hostname="127.0.0.1")

        def trusted(pair):
            try:
                connect(pair).close()
                return True
            except ssl.SSLCertVerificationError:
                return False

        def hang_up(says):
            before = server.read_log().count(says)
            server.process.send_signal(signal.SIGHUP)
            check(server.wait_for(lambda: server.read_log().count(says) > before), f"the log has no {says!r}: {server.read_log()[-500:]}")

        def ask(s):
            s.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            return s.recv(1000).startswith(b"HTTP/1.1 200 ")

        check(trusted(first) and not trusted(second), "the first certificate")
        old = connect(first)
        check(ask(old), "a connection under the first certificate")
        put(second)
        check(trusted(first), "nothing changes before the signal")
        hang_up(f"SIGHUP: {cert} was read again")
        check(trusted(second) and not trusted(first), "the second certificate")
        check(ask(old), "the connection under the first goes on")
        old.close()
        shutil.copy(first[1], key)  # the wrong key
        hang_up("does not belong to the certificate")
        write(cert, "nothing")
        hang_up(f"{cert}: no certificate chain in PEM could be read")
        os.unlink(cert)
        hang_up("the certificate stays as it was")
        check(trusted(second), "the second certificate stays")
        check(server.stop() == 0, "the exit status")


for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    lets_all_finish(number)
sends_the_last_byte()
a_second_signal_cuts()
the_timeout_cuts()
lets_finish_what_waits_for_a_restart()
health_is_quick_under_load()
nohup_is_kept()
reads_keys_again()
reads_certificates_again()
finish("serve_ending")
