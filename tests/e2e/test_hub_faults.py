#!/usr/bin/env python3
"""`colrow pull` against ../shared's hub (goldens/hub/fake_hub.py), with each of its kinds of fault, once and for good: a
pull ends with the whole repository or with a sentence, nothing wrong has a name, and the next pull completes."""
import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request

from hub_client import demo_files, has_libcurl, hub_environment, run_hub, wrong_blobs
from support import DEMO, SHARED, check, finish, skip

PROGRAM = os.path.join(SHARED, "goldens/hub/fake_hub.py")
if not os.path.exists(PROGRAM):
    skip(f"there is no {PROGRAM}")
if not has_libcurl():
    skip("this colrow was built without libcurl")
temporary = tempfile.TemporaryDirectory(prefix="colrow-hub-faults-")
work = temporary.name
shutil.copytree(DEMO, os.path.join(work, "root/org/demo"))
server = subprocess.Popen([sys.executable, PROGRAM, "--root", os.path.join(work, "root"), "--cdn", "--page", "2", "--seconds", "3000"],
                          stdout=subprocess.PIPE, text=True)
atexit.register(server.kill)
URL = server.stdout.readline().split()[1]
FILES = demo_files()


def faults(*specs):
    request = urllib.request.Request(URL + "/_fake/faults", data=json.dumps(specs).encode(), method="POST")
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).read()


def pull(home):
    environment = hub_environment(home, HF_ENDPOINT=URL, HF_HUB_DOWNLOAD_TIMEOUT="300")
    return run_hub("pull", "org/demo", "--part-size", "2MB", environment=environment)


def wrong(home):
    return wrong_blobs(os.path.join(home, "hub/models--org--demo"))


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
print(f"{len(CASES)} faults: {ended[True]} pulls got over theirs, {ended[False]} ended with a sentence")
finish("pulls from the shared hub")
