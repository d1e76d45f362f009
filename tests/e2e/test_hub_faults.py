#!/usr/bin/env python3
"""`colrow pull` against ../shared's hub (goldens/hub/fake_hub.py), with each of its kinds of fault, once and for good: a
pull ends with the whole repository or with a sentence, nothing wrong has a name, and the next pull completes."""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request

from support import COLROW, DEMO, SHARED, check, finish, patience, skip

PROGRAM = os.path.join(SHARED, "goldens/hub/fake_hub.py")
if not os.path.exists(PROGRAM):
    skip(f"there is no {PROGRAM}")
if "without libcurl" in subprocess.run([COLROW, "pull", "org/demo"], capture_output=True, text=True, timeout=patience(60),
                                       env={**os.environ, "HF_HOME": "/none", "HF_HUB_OFFLINE": "", "HF_ENDPOINT": "http://127.0.0.1:9"}).stderr:
    skip("this colrow was built without libcurl")
work = tempfile.mkdtemp(prefix="colrow-hub-faults-")
shutil.copytree(DEMO, os.path.join(work, "root/org/demo"))
server = subprocess.Popen([sys.executable, PROGRAM, "--root", os.path.join(work, "root"), "--cdn", "--page", "2", "--seconds", "3000"],
                          stdout=subprocess.PIPE, text=True)
URL = server.stdout.readline().split()[1]
FILES = {name: open(os.path.join(DEMO, name), "rb").read() for name in os.listdir(DEMO)}
kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "TRANSFORMERS")) and not k.lower().endswith("_proxy")}


def faults(*specs):
    request = urllib.request.Request(URL + "/_fake/faults", data=json.dumps(specs).encode(), method="POST")
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).read()


def pull(home):
    environment = {**kept, "HF_HOME": home, "HF_ENDPOINT": URL, "HF_HUB_DOWNLOAD_TIMEOUT": "300"}
    return subprocess.run([COLROW, "pull", "org/demo", "--part-size", "2MB"], capture_output=True, text=True, timeout=patience(300), env=environment)


def wrong(home):
    blobs, found = os.path.join(home, "hub/models--org--demo/blobs"), []
    for name in os.listdir(blobs) if os.path.isdir(blobs) else []:
        with open(os.path.join(blobs, name), "rb") as file:
            data = file.read()
        if name not in (hashlib.sha256(data).hexdigest(), hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()):
            found.append(name)
    return found


def whole(done):
    folder = done.stdout.strip()
    return done.returncode == 0 and all(open(os.path.join(folder, name), "rb").read() == FILES[name] for name in os.listdir(folder)) \
        and {"config.json", "tokenizer.json", "model.safetensors"} <= set(os.listdir(folder))


GET = ",method=GET"
# (fault, does one pull get over it?)
CASES = [(kind + GET + ",times=2", True) for kind in ("short=5", "cut=1000", "length=7", "norange", "416", "badrange=3", "slow=1", "wait=0.1",
                                                   "status=503", "status=429:0", "drop=X-Repo-Commit", "set=ETag:x", "weak", "gzip", "reset")]
CASES += [("corrupt=9,times=1,file=*.safetensors" + GET, True), ("redirect=,times=1" + GET, True)]
CASES += [(kind + GET, True) for kind in ("norange", "416", "badrange=3", "weak", "gzip", "cut=900000,where=cdn")]
CASES += [(kind + GET, False) for kind in ("corrupt=9", "length=7,where=cdn", "reset,where=api", "status=404,where=hub", "gated", "norepo", "norev",
                                         "noentry", "redirect=http://127.0.0.1:9", "status=429:900")]
ended = {True: 0, False: 0}
for spec, passes in CASES:
    home = tempfile.mkdtemp(dir=work)
    faults(spec)
    done = pull(home)
    ended[done.returncode == 0] += 1
    good = whole(done) if passes else done.returncode == 1 and "colrow: error: " in done.stderr
    check(good and not wrong(home), f"{spec}: {done} {wrong(home)}")
    faults()
    done = pull(home)
    check(whole(done) and not wrong(home), f"after {spec}: {done}")
server.kill()
server.wait()
shutil.rmtree(work)
print(f"{len(CASES)} faults: {ended[True]} pulls got over theirs, {ended[False]} ended with a sentence")
finish("pulls from the shared hub")
