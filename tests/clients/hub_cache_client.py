#!/usr/bin/env python3
"""huggingface_hub reads the cache that colrow wrote: run with a Python that has huggingface_hub, COLROW at the program.
A small hub (tests/e2e/hub_server.py) serves the demo model."""
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
from hub_client import demo_files, hub_environment, run_hub  # noqa: E402
from hub_server import Hub  # noqa: E402
from support import check, finish  # noqa: E402

files = demo_files()
hub = Hub({"org/demo": {"main": {**files, "pytorch_model.bin": b"twin"}}})
temporary = tempfile.TemporaryDirectory(prefix="colrow-hub-client-")
environment = hub_environment(temporary.name, HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_TELEMETRY="1")
os.environ.clear()
os.environ.update(environment)
import huggingface_hub  # noqa: E402


def colrow(*arguments):
    return run_hub(*arguments, environment=environment)


done = colrow("pull", "org/demo")
check(done.returncode == 0, f"pull: {done.stderr}")
folder = done.stdout.strip()
wanted = sorted(os.listdir(folder))
hub.log.clear()
check(huggingface_hub.snapshot_download("org/demo", local_files_only=True, allow_patterns=wanted) == folder, "Python finds colrow's snapshot")
for name in wanted:
    found = huggingface_hub.hf_hub_download("org/demo", name, local_files_only=True)
    check(found == os.path.join(folder, name) and open(found, "rb").read() == files[name], f"{name} through Python")
check(not hub.log, f"and asks nobody: {hub.log}")
info = huggingface_hub.scan_cache_dir()
check(not info.warnings and [r.repo_id for r in info.repos] == ["org/demo"], f"scan_cache_dir: {info.warnings}")
revision = next(iter(next(iter(info.repos)).revisions))
check(set(revision.refs) == {"main"} and revision.nb_files == len(wanted), f"its revision: {revision}")
check(colrow("rm", "org/demo").returncode == 0, "rm")
check(not huggingface_hub.scan_cache_dir().repos, "nothing is left for Python")
hub.stop()
finish(f"huggingface_hub {huggingface_hub.__version__} on colrow's cache")
