#!/usr/bin/env python3
"""colrow and huggingface_hub share a cache: what one has written the other reads, and what one has begun the other
completes. Run with a Python that has huggingface_hub, COLROW at the program; hub_cache_versions.py does so with the newest
version and with the last on requests. A small hub (tests/e2e/hub_server.py) serves the demo model."""
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
from hub_client import demo_files, hub_environment, run_hub, wrong_blobs  # noqa: E402
from hub_server import Hub  # noqa: E402
from support import DEMO, check, finish  # noqa: E402

files = demo_files()
hub = Hub({"org/demo": {"main": {**files, "pytorch_model.bin": b"twin"}, "v2": {**files, "config.json": files["config.json"] + b"\n"}}})
temporary = tempfile.TemporaryDirectory(prefix="colrow-hub-client-")
environment = hub_environment(temporary.name, HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_TELEMETRY="1",
                              HF_HUB_DISABLE_PROGRESS_BARS="1")
os.environ.clear()
os.environ.update(environment)
import huggingface_hub  # noqa: E402

FOLDER = os.path.join(temporary.name, "hub/models--org--demo")
GENERATE = ("-p", "Hello", "--max-tokens", "4", "--seed", "1", "-q")


def colrow(*arguments, **more):
    return run_hub(*arguments, environment={**environment, **more})


def asked():
    """GETs of files: what was fetched."""
    return sorted({path for (_, path), size in hub.sent.items() if size})


def is_right(what):
    info = huggingface_hub.scan_cache_dir()
    check(not info.warnings and not wrong_blobs(FOLDER), f"{what}: {info.warnings} {wrong_blobs(FOLDER)}")
    return {ref: revision for repository in info.repos for revision in repository.revisions for ref in revision.refs}


# --- colrow writes, Python reads ---
expected = colrow("generate", DEMO, *GENERATE).stdout
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
hub.sent.clear()
check(huggingface_hub.snapshot_download("org/demo", allow_patterns=wanted) == folder and not asked(), f"online it fetches nothing: {asked()}")
revisions = is_right("what colrow wrote")
check(set(revisions) == {"main"} and revisions["main"].nb_files == len(wanted), f"its revision: {revisions}")

# --- Python adds a revision to it, which colrow reads; and headers alone disturb nobody ---
hub.sent.clear()
second = huggingface_hub.snapshot_download("org/demo", revision="v2", allow_patterns=wanted)
check(asked() == ["config.json"], f"Python fetches what differs: {asked()}")
done = colrow("generate", "org/demo@v2", *GENERATE, HF_HUB_OFFLINE="1")
check(done.returncode == 0 and done.stdout == expected, f"colrow reads Python's revision: {done}")
check(colrow("pull", "org/demo@v2").stdout.strip() == second and set(is_right("both")) == {"main", "v2"}, "and finds it whole")
check(colrow("rm", "org/demo").returncode == 0, "rm")
check(not huggingface_hub.scan_cache_dir().repos, "nothing is left for Python")
done = colrow("inspect", "org/demo")
check(done.returncode == 0 and not is_right("headers alone"), f"inspect: {done}")
done = colrow("generate", "org/demo", "--stream-from-hub", "-tp", "2", *GENERATE)
check(done.returncode == 0 and done.stdout == expected and not is_right("a streamed model"), f"--stream-from-hub: {done}")
try:
    huggingface_hub.snapshot_download("org/demo", local_files_only=True)
    check(False, "Python takes headers for a snapshot")
except Exception as error:  # its class has another name in each version
    check("snapshot" in str(error) or "cached" in str(error) or "disk" in str(error), f"Python says that there is none: {error}")

# --- Python writes, colrow reads ---
huggingface_hub.snapshot_download("org/demo", allow_patterns=wanted)
hub.log.clear()
done = colrow("generate", "org/demo", *GENERATE)
check(done.returncode == 0 and done.stdout == expected and not hub.log, f"colrow reads Python's snapshot, and asks nobody: {done} {hub.log}")
hub.sent.clear()
check(colrow("pull", "org/demo").stdout.strip() == folder and not asked(), f"pull has nothing to do: {asked()}")
check(set(is_right("what Python wrote")) == {"main"}, "Python still finds it")
check(colrow("rm", "org/demo").returncode == 0 and not huggingface_hub.scan_cache_dir().repos, "colrow removes what Python wrote")

# --- one begins, the other completes ---
huggingface_hub.hf_hub_download("org/demo", "config.json")
hub.sent.clear()
done = colrow("generate", "org/demo", *GENERATE)
check(done.returncode == 0 and done.stdout == expected and "config.json" not in asked() and "model.safetensors" in asked(),
      f"colrow completes what Python began: {done.stderr} {asked()}")
is_right("begun by Python")
colrow("rm", "org/demo")
done = colrow("pull", "org/demo", "--include", "*.json")
hub.sent.clear()
check(huggingface_hub.snapshot_download("org/demo", allow_patterns=wanted) == folder and asked() == ["model.safetensors"],
      f"Python completes what colrow began: {asked()}")
check(set(is_right("begun by colrow")) == {"main"} and colrow("generate", "org/demo", *GENERATE, HF_HUB_OFFLINE="1").stdout == expected, "and colrow reads it")
hub.stop()
finish(f"huggingface_hub {huggingface_hub.__version__} and colrow on one cache")
