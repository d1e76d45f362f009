#!/usr/bin/env python3
"""`colrow launch` starts Python scripts and modules as torchrun does: which Python, arguments, environment, standard
streams, exit status; and what cannot be started is refused once, in one sentence."""
import os
import stat
import subprocess
import sys
import tempfile

from python_case import COLROW, ROOT
from support import check, finish

SAY = """
import os, sys
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")
os.write(1, (" ".join([__name__, sys.executable, *sys.argv[1:], *(os.environ.get(name, "-") for name in names)]) + "\\n").encode())
"""


def launch(*words, folder, **variables):
    dropped = ("PYTHON_EXEC", "VIRTUAL_ENV", "OMP_NUM_THREADS", "MASTER_ADDR", "MASTER_PORT")
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    command = [os.path.abspath(COLROW), "launch", *map(str, words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**environment, **variables}, check=False)


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


def lines(done):
    check(done.returncode == 0, f"{done.args}: {done.stdout}{done.stderr}")
    return sorted(done.stdout.splitlines())


def check_starts(folder):
    expected = [f"__main__ {sys.executable} a -b --nproc-per-node 9 {rank} {rank} 3 3 0 127.0.0.1 29500 1" for rank in range(3)]
    arguments = ["a", "-b", "--nproc-per-node", "9"]
    own = {"PYTHON_EXEC": sys.executable}
    for words in (["--nproc-per-node", 3, "say.py"], ["--nproc_per_node=3", "say.py"], ["-n", 3, "--", "say.py"],
                  ["--standalone", "-n", 3, os.path.join(folder, "say.py")],
                  ["-n", 3, "-m", "package.say"], ["-m", "--nproc-per-node", 3, "package.say"],
                  ["--module", "-n", 3, "--", "package.say"]):
        found = lines(launch(*words, *arguments, folder=folder, **own))
        check(found == expected, f"{words}: {found}")
    (alone,) = lines(launch("say.py", folder=folder, **own))
    check(alone == f"__main__ {sys.executable} 0 0 1 1 0 127.0.0.1 29500 -", f"one process: {alone}")
    (kept,) = lines(launch("say.py", folder=folder, OMP_NUM_THREADS="7", MASTER_PORT="1234", **own))
    check(kept.endswith("127.0.0.1 1234 7"), f"what the environment says stays: {kept}")


def check_interpreters(folder):
    """PYTHON_EXEC, then the virtual environment, then python3 of PATH, then python."""
    write(f"{folder}/venv/bin/python", f'#!/bin/sh\necho venv "$@"\nexec {sys.executable} "$@"\n', 0o755)
    write(f"{folder}/path/python", "#!/bin/sh\necho python of PATH\n", 0o755)
    said = launch("say.py", "x", folder=folder, VIRTUAL_ENV=f"{folder}/venv")
    check(said.stdout.startswith("venv -u say.py x\n__main__"), f"the virtual environment: {said.stdout}{said.stderr}")
    said = launch("say.py", folder=folder, VIRTUAL_ENV=f"{folder}/venv", PYTHON_EXEC=sys.executable)
    check(said.stdout.startswith("__main__"), f"PYTHON_EXEC: {said.stdout}{said.stderr}")
    said = launch("say.py", folder=folder, PATH=f"{folder}/path", VIRTUAL_ENV=f"{folder}/nowhere")
    check(said.stdout == "python of PATH\n", f"python of PATH: {said.stdout}{said.stderr}")
    write(f"{folder}/path/python3", "#!/bin/sh\necho python3 of PATH\n", 0o755)
    said = launch("say.py", folder=folder, PATH=f"{folder}/path")
    check(said.stdout == "python3 of PATH\n", f"python3 of PATH: {said.stdout}{said.stderr}")
    write(f"{folder}/own.py", "#!/bin/sh\necho its own first line\n", 0o755)
    said = launch("--no-python", "./own.py", folder=folder, PYTHON_EXEC=sys.executable)
    check(said.stdout == "its own first line\n", f"--no-python: {said.stdout}{said.stderr}")


def check_package(folder):
    """`python -m colrow launch script.py` and the script `colrow` of a package run scripts with their own Python."""
    write(f"{folder}/path/python3", "#!/bin/sh\necho the wrong Python\n", 0o755)
    environment = {**os.environ, "PYTHONPATH": os.path.join(os.path.abspath(ROOT), "python"), "PATH": f"{folder}/path:{os.environ['PATH']}"}
    environment.pop("PYTHON_EXEC", None)
    done = subprocess.run([sys.executable, "-m", "colrow", "launch", "say.py"], cwd=folder, capture_output=True, text=True,
                          env=environment, check=False)
    check(done.stdout.startswith(f"__main__ {sys.executable} "), f"python -m colrow launch: {done.stdout}{done.stderr}")


def check_ends(folder):
    own = {"PYTHON_EXEC": sys.executable}
    write(f"{folder}/end.py", "import os, sys, time\nif os.environ['RANK'] != sys.argv[1]: time.sleep(600)\nsys.exit(int(sys.argv[2]))\n")
    for rank, status in ((0, 3), (2, 42)):
        done = launch("-n", 3, "end.py", rank, status, folder=folder, **own)
        check(done.returncode == status, f"rank {rank} exits {status}: {done.returncode} {done.stderr}")
    write(f"{folder}/raise.py", "raise KeyError('what is missing')\n")
    done = launch("-n", 2, "raise.py", folder=folder, **own)
    check(done.returncode == 1 and "KeyError: 'what is missing'" in done.stderr, f"{done.returncode} {done.stderr}")
    write(f"{folder}/die.py", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    done = launch("die.py", folder=folder, **own)
    check(done.returncode == 128 + 9, f"killed: {done.returncode} {done.stderr}")
    done = launch("-n", 2, "-m", "package.missing", folder=folder, **own)
    check(done.returncode == 1 and "package.missing" in done.stderr, f"{done.returncode} {done.stderr}")


def check_refusals(folder):
    own = {"PYTHON_EXEC": sys.executable}
    for words, command, variables in (
            (["missing.py", "No such file"], ["-n", 2, "missing.py"], own),
            (["/nowhere/python"], ["say.py"], {"PYTHON_EXEC": "/nowhere/python"}),
            (["python3", "PATH", "PYTHON_EXEC"], ["say.py"], {"PATH": f"{folder}/empty"}),
            (["--module", "--no-python"], ["-m", "--no-python", "say.py"], own),
            (["no program given"], ["-m"], own),
            (["./say.py", "Permission denied"], ["--no-python", "./say.py"], own)):
        done = launch(*command, folder=folder, **variables)
        one = done.stderr.startswith("colrow: error:") and done.stderr.count("\n") == 1
        check(done.returncode != 0 and one and all(word in done.stderr for word in words), f"{command}: {done.returncode} {done.stderr}")


with tempfile.TemporaryDirectory(prefix="colrow-launch-") as work:
    work = os.path.realpath(work)
    write(f"{work}/say.py", SAY)
    write(f"{work}/package/__init__.py", "")
    write(f"{work}/package/say.py", SAY)
    assert not os.stat(f"{work}/say.py").st_mode & stat.S_IXUSR
    check_starts(work)
    check_interpreters(work)
    check_package(work)
    check_ends(work)
    check_refusals(work)
finish("Python under colrow launch")
