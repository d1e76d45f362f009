"""A server under test, and requests to it; the standard library is all they need."""
import http.client
import json
import os
import re
import select
import signal
import subprocess
import time

import support
from processes import children_of


class Server:
    """`colrow serve` on a free port, until the block ends."""

    def __init__(self, *flags, model=support.DEMO, name="demo", environment=None, hidden=False):
        names = ["--served-model-name", name] if name else []
        if not hidden and os.geteuid() != 0:
            names.append("--core-dumps")  # tests look into /proc, where only root may see processes that hold prompts
        self.command = [support.COLROW, "serve", str(model), "--port", "0", *names, *map(str, flags)]
        self.environment = {**os.environ, **(environment or {})}
        self.log = []

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True, env=self.environment)
        until = time.time() + 120
        while True:
            line = self.process.stderr.readline()
            self.log.append(line)
            found = re.search(r"serving .* at https?://([^:]+):(\d+)", line)
            if found:
                break
            if not line or time.time() > until:
                raise RuntimeError("the server does not start: " + "".join(self.log))
        self.host, self.port = found[1], int(found[2])
        os.set_blocking(self.process.stderr.fileno(), False)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def children(self):
        """Those that load: keepers of ranks, or ranks; not the launcher that started them."""
        return [pid for pid in children_of(self.process.pid) if support.name_of(pid) != "colrow launcher"]

    def read_log(self):
        """What the server has said since; also keeps its pipe from filling."""
        while select.select([self.process.stderr], [], [], 0)[0]:
            text = os.read(self.process.stderr.fileno(), 65536).decode()
            if not text:
                break
            self.log.append(text)
        return "".join(self.log)

    def stop(self, seconds=60):
        self.process.send_signal(signal.SIGTERM)
        until = time.time() + seconds
        while self.process.poll() is None and time.time() < until:
            self.read_log()
            time.sleep(0.02)
        return self.process.poll()

    def connect(self, timeout=300):  # many cores may be busy, and sanitizers are slow
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def request(self, method, path, body=None, headers=None, connection=None):
        """-> (status, headers as a dict, body: JSON where it is, else text)"""
        own = connection or self.connect()
        data = None if body is None else body if isinstance(body, (str, bytes)) else json.dumps(body)
        own.request(method, path, data, {**({"Content-Type": "application/json"} if data else {}), **(headers or {})})
        answer = own.getresponse()
        text = answer.read().decode()
        if connection is None:
            own.close()
        fields = {k.lower(): v for k, v in answer.getheaders()}
        if fields.get("content-type", "").startswith("application/json") and text:
            text = json.loads(text)
        return answer.status, fields, text

    def post(self, path, **body):
        status, _, answer = self.request("POST", path, body)
        return status, answer

    def chat(self, text, **body):
        body = {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 32, **body}
        status, answer = self.post("/v1/chat/completions", **body)
        if status != 200:
            raise RuntimeError(f"{status} {answer}")
        return answer["choices"][0]["message"]["content"]

    def events(self, path, **body):
        """The data of a stream's events: objects, and the text [DONE]."""
        status, fields, text = self.request("POST", path, {**body, "stream": True})
        if status != 200:
            raise RuntimeError(f"{status} {text}")
        return [event[6:] if event == "data: [DONE]" else json.loads(event[6:]) for event in text.split("\n\n") if event]

    def metric(self, name, **labels):
        """The sum of a metric's samples with these labels."""
        _, _, text = self.request("GET", "/metrics")
        total = 0.0
        for line in text.splitlines():
            found = re.match(re.escape(name) + r"\{(.*)\} (\S+)$", line)
            if found and all(f'{key}="{value}"' in found[1] for key, value in labels.items()):
                total += float(found[2])
        return total

    def wait_for(self, condition, seconds=10):
        until = time.time() + seconds
        while time.time() < until:
            if condition():
                return True
            time.sleep(0.02)
        return False
