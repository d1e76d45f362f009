#!/usr/bin/env python3
"""A real Prometheus reads /metrics, answers every query of the dashboard, and evaluates every alert; promtool has nothing to
say but that vLLM's names hold a colon."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from serve_client import Server
from support import ROOT, check, finish, patience, skip

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
ALERTS = os.path.join(ROOT, "deploy/alerts.yml")
if not PROMETHEUS or not PROMTOOL:
    skip("there is no prometheus (apt-get install prometheus)")


class Prometheus:
    """One of our own, that reads `target` several times a second, until the block ends."""

    def __init__(self, target):
        self.folder = tempfile.mkdtemp(prefix="colrow-prometheus-")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        config = os.path.join(self.folder, "prometheus.yml")
        with open(config, "w", encoding="ascii") as file:
            file.write(f"global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 1s}}\nrule_files: [{ALERTS}]\n"
                       f"scrape_configs: [{{job_name: colrow, static_configs: [{{targets: ['{target}']}}]}}]\n")
        checked = subprocess.run([PROMTOOL, "check", "config", config], capture_output=True, text=True)
        check(checked.returncode == 0 and "5 rules found" in checked.stdout, f"the configuration: {checked.stdout}{checked.stderr}")
        self.log = open(os.path.join(self.folder, "log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen([PROMETHEUS, f"--config.file={config}", f"--storage.tsdb.path={self.folder}/data", "--log.level=warn",
                                         f"--web.listen-address=127.0.0.1:{self.port}"], stdout=self.log, stderr=self.log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, path, **parameters):
        """The data of an answer of its API, or a text that says what is wrong."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            return error.read().decode()
        except OSError as error:
            return str(error)

    def query(self, expression):
        """The series of an expression; none, and `self.wrong` says why, when it cannot be answered."""
        data = self.ask("query", query=expression)
        self.wrong = "" if isinstance(data, dict) else data
        return data["result"] if isinstance(data, dict) else []

    def wait_for(self, what, condition, seconds=30):
        until = time.monotonic() + patience(seconds)
        while not condition():
            if time.monotonic() > until or self.process.poll() is not None:
                self.log.seek(0)
                return check(False, f"{what}; Prometheus says {self.log.read()[-2000:]!r}")
            time.sleep(0.2)
        return True


def promtool_has_nothing_to_say(server):
    text = server.request("GET", "/metrics")[2]
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True)
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    # vLLM's names are what its dashboards look for: they stay, whatever a linter thinks of them
    of_vllm = re.compile(r"vllm:\w+ metric names should not contain ':'$|vllm:iteration_tokens_total non-counter metrics should not have \"_total\" suffix$")
    ours = [line for line in said if not of_vllm.match(line)]
    check(done.returncode in (0, 3) and not ours, f"promtool check metrics: {done.returncode} {ours}")
    renamed = re.sub("iteration_tokens_total", "iteration_tokens", text.replace("vllm:", "vllm_"))
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=renamed, capture_output=True, text=True)
    check((done.returncode, done.stdout, done.stderr) == (0, "", ""), f"and with other names: {done.stdout}{done.stderr}")
    done = subprocess.run([PROMTOOL, "check", "rules", ALERTS], capture_output=True, text=True)
    check(done.returncode == 0 and "5 rules found" in done.stdout, f"promtool check rules: {done.stdout}{done.stderr}")


def work(server):
    for question in ("Hi", "What is a rank?", "Who are you?"):
        server.chat(question)
    server.events("/v1/completions", prompt="Tensor", max_tokens=20, n=2, temperature=1)
    server.post("/v1/completions", prompt="")


def dashboard_is_answered(prometheus):
    with open(os.path.join(ROOT, "deploy/grafana-dashboard.json"), encoding="utf-8") as file:
        dashboard = json.load(file)
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for expression in expressions:
        asked = expression.replace("$__rate_interval", "10s").replace("$model", ".*")
        check("$" not in asked, f"a variable that the dashboard does not have: {expression}")
        result = prometheus.query(asked)
        check(result, f"the dashboard's query {expression} has no answer: {prometheus.wrong}")
    for variable in dashboard["templating"]["list"]:
        found = re.fullmatch(r"label_values\(([\w:]+), (\w+)\)", variable["query"])
        if found:
            values = prometheus.ask(f"label/{found[2]}/values", **{"match[]": found[1]})
            check(values == ["demo"], f"the dashboard's variable {variable['name']}: {values}")
    return len(expressions)


def rules_of(prometheus):
    data = prometheus.ask("rules")
    return [rule for group in data["groups"] for rule in group["rules"]] if isinstance(data, dict) else []


def alerts_are_evaluated(prometheus):
    def evaluated():
        rules = rules_of(prometheus)
        return len(rules) == 5 and all(rule["health"] == "ok" for rule in rules)

    prometheus.wait_for(f"all alerts are evaluated: {[(rule['name'], rule['health'], rule.get('lastError')) for rule in rules_of(prometheus)]}", evaluated)
    check(all(rule["state"] == "inactive" for rule in rules_of(prometheus)), "no alert without a reason")
    for rule in rules_of(prometheus):
        names = set(re.findall(r"\b(?:vllm:|colrow_)\w+", rule["query"]))
        check(names and all(prometheus.query(f"count({name})") for name in names), f"{rule['name']} looks at series that are there: {names}")


def lost_rank_is_told(prometheus, server):
    os.kill(server.children()[0], signal.SIGKILL)
    prometheus.wait_for("an alert when a rank died",
                        lambda: any(rule["name"] == "ColrowRanksRestarted" and rule["state"] == "firing" for rule in rules_of(prometheus)))


with Server("-tp", 2, "--max-model-len=512", "--kv-cache-memory=64MB", "--disable-log-requests") as colrow:
    work(colrow)
    promtool_has_nothing_to_say(colrow)
    with Prometheus(f"{colrow.host}:{colrow.port}") as reader:
        if reader.wait_for("it reads the server", lambda: reader.query("up == 1")):
            work(colrow)
            # two samples at least: rates need them
            reader.wait_for("it has read twice", lambda: reader.query("rate(vllm:generation_tokens_total[10s])"))
            n = dashboard_is_answered(reader)
            alerts_are_evaluated(reader)
            lost_rank_is_told(reader, colrow)
            print(f"{n} queries of the dashboard, {len(rules_of(reader))} alerts")
finish("Prometheus")
