"""What tests of the hub's cache share: an environment in which nothing but the test's own settings counts, and files of
the cache that are not what their names say."""
import hashlib
import os
import subprocess

from support import COLROW, DEMO, patience


def hub_environment(home, **more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "TRANSFORMERS")) and not k.lower().endswith("_proxy")}
    return {**kept, "HF_HOME": home, **more}


def run_hub(*arguments, environment):
    return subprocess.run([COLROW, *arguments], capture_output=True, text=True, timeout=patience(300), env=environment, stdin=subprocess.DEVNULL)


def has_libcurl():
    done = run_hub("pull", "org/demo", environment=hub_environment("/none", HF_ENDPOINT="http://127.0.0.1:9"))
    return "without libcurl" not in done.stderr


def demo_files():
    return {name: open(os.path.join(DEMO, name), "rb").read() for name in os.listdir(DEMO)}


def blob_names(data):
    """As the hub names a file: by its sha256, or as git does."""
    return hashlib.sha256(data).hexdigest(), hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def wrong_blobs(folder):
    """Names of blobs of a repository's folder in the cache that are not what their names say."""
    blobs, found = os.path.join(folder, "blobs"), []
    for name in os.listdir(blobs) if os.path.isdir(blobs) else []:
        with open(os.path.join(blobs, name), "rb") as file:
            if name not in blob_names(file.read()):
                found.append("blobs/" + name)
    return found
