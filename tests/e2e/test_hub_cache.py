#!/usr/bin/env python3
"""Repositories by name: commands take org/name from HuggingFace's cache, `colrow list` and `colrow rm` show and remove
what is in it. The cache is made here, as huggingface_hub lays it out."""
import hashlib
import json
import os
import tempfile

from hub_client import demo_files, hub_environment, run_hub
from support import DEMO, check, finish

COMMITS = [c * 40 for c in "abc"]
temporary = tempfile.TemporaryDirectory(prefix="colrow-hub-")
work = temporary.name
CACHE = os.path.join(work, "hub")


def colrow(*arguments, **more):
    return run_hub(*arguments, environment=hub_environment(work, **{"HF_HUB_OFFLINE": "1", **more}))


def put(repository, commit, ref, files):
    """files: name -> bytes, as blobs with links to them."""
    folder = os.path.join(CACHE, "models--" + repository.replace("/", "--"))
    for name, data in files.items():
        blob = hashlib.sha256(data).hexdigest()
        for path, write in ((os.path.join(folder, "blobs", blob), lambda p: open(p, "wb").write(data)),
                            (os.path.join(folder, "snapshots", commit, name),
                             lambda p: os.symlink("../" * (2 + name.count("/")) + "blobs/" + blob, p))):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if not os.path.lexists(path):
                write(path)
    if ref:
        path = os.path.join(folder, "refs", ref)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            file.write(commit)
    return folder


done = colrow("list")
check(done.returncode == 0 and "holds no repositories" in done.stdout, f"an empty cache: {done}")
demo = demo_files()
folder = put("org/demo", COMMITS[0], "main", demo)
put("org/demo", COMMITS[1], "refs/pr/1", {**demo, "more/README.md": b"other"})
put("org/other", COMMITS[2], None, {"config.json": b"{}"})

flags = ("-p", "Hello", "--max-tokens", "4", "--seed", "1", "-q")
by_path = colrow("generate", DEMO, *flags)
for name in ("org/demo", "org/demo@main", "org/demo@refs/pr/1", "org/demo@aaaaaaa"):
    done = colrow("generate", name, *flags)
    check(done.returncode == 0 and done.stdout == by_path.stdout, f"generate {name}: {done.returncode} {done.stderr}")
for command in (("inspect", "org/demo"), ("plan", "org/demo", "-tp", "2"), ("tokenize", "org/demo", "-p", "a")):
    done = colrow(*command, HF_HUB_OFFLINE="1")
    check(done.returncode == 0, f"{command}: {done.stderr}")
for name, environment, says in (("org/none", {}, "colrow pull org/none"), ("org/none", {}, "HF_HUB_OFFLINE is set"),
                                ("org/demo@v9", {}, "there are: "), ("org/demo@a..b", {}, "is no revision"),
                                ("org/demo", {"HF_HUB_CACHE": work + "/x"}, work + "/x")):
    done = colrow("inspect", name, **environment)
    check(done.returncode in (1, 2) and says in done.stderr and done.stderr.count("\n") == 1, f"{name} {environment}: {done.stderr}")

listed = json.loads(colrow("list", "--json").stdout)["snapshots"]
sizes = {(row["repository"], row["revision"][0]): (row["files"], row["size"], row["refs"]) for row in listed}
whole = sum(map(len, demo.values()))
check(sizes == {("org/demo", "a"): (len(demo), whole, ["main"]), ("org/demo", "b"): (len(demo) + 1, whole + 5, ["refs/pr/1"]),
                ("org/other", "c"): (1, 2, [])}, f"list --json: {listed}")
table = colrow("list").stdout
check("org/demo" in table and "(refs/pr/1)" in table and "ago" in table or "just now" in table, f"list: {table}")

done = colrow("rm", "org/demo@refs/pr/1")
check(done.returncode == 0 and "removed 1 file and 1 ref, 5 B" in done.stdout, f"rm of a revision: {done}")
check(colrow("generate", "org/demo", *flags).stdout == by_path.stdout, "what another revision needs stays")
blob = os.path.join(folder, "blobs", hashlib.sha256(demo["config.json"]).hexdigest())
os.rename(blob, blob + ".away")
done = colrow("generate", "org/demo", *flags)
check(done.returncode == 1 and "the cache is broken" in done.stderr and "config.json" in done.stderr, f"a blob is missing: {done.stderr}")
check("missing" in colrow("list").stdout, "list says what is missing")
os.rename(blob + ".away", blob)
for name, status, says in (("org/none", 1, "is not in the cache"), ("org/demo@v9", 1, "no such revision"), ("org", 2, "no name of a repository")):
    done = colrow("rm", name)
    check(done.returncode == status and says in done.stderr, f"rm {name}: {done}")
done = colrow("rm", "org/demo", "org/other@ccccccc")
check(done.returncode == 0 and not os.path.exists(folder) and os.listdir(CACHE) == [], f"rm of all: {done} {os.listdir(CACHE)}")
finish("repositories by name")
