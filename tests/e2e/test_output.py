#!/usr/bin/env python3
"""Standard output that is full, closed or left, and files that are devices, pipes, links or have no room: each an exit status
that is not 0 and one sentence, or all the bytes; and nothing of the user's is replaced that is not a regular file."""
import json
import os
import re
import resource
import shutil
import stat
import subprocess
import tempfile
import threading

from support import COLROW, DEMO, ROOT, check, finish, skip

if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")
folder = tempfile.mkdtemp()
IDS = ["logits", DEMO, "--input-ids", "1,5,9", "-q", "--output"]


def start(*arguments, **options):
    return subprocess.run([COLROW, *arguments], stderr=subprocess.PIPE, timeout=120, stdin=subprocess.DEVNULL, **options)


def sentence(done, what, part):
    text = done.stderr.decode()
    check(done.returncode == 1, f"{what}: exit status {done.returncode}, expected 1")
    lines = [line for line in text.splitlines() if line]
    check(len(lines) == 1 and lines[0].startswith("colrow: error: ") and part in text, f"{what}: said {text!r}")


# every command, plain and as JSON
commands = [["--version"], ["--help"], ["help", "bench", "comm"], ["generate", "--help"], ["inspect", DEMO], ["inspect", DEMO, "--json"],
            ["inspect", "--machine"], ["plan", DEMO], ["plan", DEMO, "-tp", "2"], ["plan", DEMO, "-tp", "2", "--json"],
            ["tokenize", DEMO, "-p", "hi"], ["bench", "--help"], ["bench", "comm", "-tp", "2", "--json"],
            ["generate", DEMO, "-p", "hi", "-n", "2", "-q"], ["generate", DEMO, "-p", "hi", "-n", "2", "-q", "--json"],
            ["generate", DEMO, "-p", "hi", "-p", "ho", "-n", "2", "-q", "-tp", "2"],
            ["verify", DEMO, "--tp", "1,2", "--tokens", "4", "--generate", "1"], [*IDS, "-"]]
for command in commands:
    short = " ".join(command).replace(DEMO, "DEMO")
    if os.path.exists("/dev/full"):
        with open("/dev/full", "wb") as full:
            sentence(start(*command, stdout=full), f"{short} > /dev/full", "standard output: cannot write: No space left on device")
    closed = subprocess.run(["sh", "-c", 'exec "$0" "$@" >&-', COLROW, *command], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=120)
    sentence(closed, f"{short} >&-", "standard output: cannot write: Bad file descriptor")
    read, write = os.pipe()
    os.close(read)
    sentence(start(*command, stdout=write), f"{short} | (a reader that left)", "standard output: cannot write: Broken pipe")
    os.close(write)

# a reader that leaves in the middle of an answer ends it at once
process = subprocess.Popen([COLROW, "generate", DEMO, "-p", "Tensor", "-n", "900", "--ignore-eos", "-tp", "2", "-q"],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
process.stdout.read(10)
process.stdout.close()
message = process.stderr.read().decode()
process.stderr.close()
check(process.wait(timeout=60) == 1 and message.count("\n") == 1 and "Broken pipe" in message, f"a reader left: {process.returncode} {message!r}")

# closed standard input is no empty prompt
closed = subprocess.run(["sh", "-c", 'exec "$0" generate "$1" -q <&-', COLROW, DEMO], capture_output=True, timeout=120)
sentence(closed, "generate <&-", "standard input: cannot read")

# where --output may lead
whole = os.path.join(folder, "whole")
check(start(*IDS, whole).returncode == 0, "a new file")
with open(whole, "rb") as file:
    wanted = file.read()


def same(path, what):
    with open(path, "rb") as file:
        check(file.read() == wanted, f"{what}: other bytes")


def leftovers():
    return [name for name in os.listdir(folder) if ".new" in name]


done = start(*IDS, "-", stdout=subprocess.PIPE)
check(done.stdout == wanted, "--output -")
for name in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
    done = start(*IDS, name, stdout=subprocess.PIPE)
    check(done.returncode == 0 and done.stdout == wanted, f"--output {name}: {done.stderr!r}")
with open(os.path.join(folder, "appended"), "ab") as file:  # what the shell opened is written, not replaced
    file.write(b"before")
    file.flush()
    check(start(*IDS, "/dev/stdout", stdout=file).returncode == 0, "/dev/stdout >> file")
with open(os.path.join(folder, "appended"), "rb") as file:
    check(file.read() == b"before" + wanted, "/dev/stdout >> file: replaced")
check(start(*IDS, "/dev/fd/77").returncode == 1, "a descriptor that is not open")

fifo = os.path.join(folder, "fifo")
os.mkfifo(fifo)
got = []


def read_fifo():
    with open(fifo, "rb") as file:
        got.append(file.read())


reader = threading.Thread(target=read_fifo)
reader.start()
check(start(*IDS, fifo).returncode == 0, "a FIFO")
reader.join(20)
check(got == [wanted] and stat.S_ISFIFO(os.stat(fifo).st_mode), "a FIFO: its reader got other bytes, or it is gone")

real, link, dangling = (os.path.join(folder, name) for name in ("real", "link", "dangling"))
with open(real, "wb") as file:
    file.write(b"old")
os.chmod(real, 0o640)
os.symlink("real", link)
os.symlink("later", dangling)
for path, target in ((link, real), (dangling, os.path.join(folder, "later"))):
    check(start(*IDS, path).returncode == 0 and os.path.islink(path), f"{path}: no link any more")
    same(target, path)
check(stat.S_IMODE(os.stat(real).st_mode) == 0o640, "the mode of a file that is replaced")
os.symlink("loop", os.path.join(folder, "loop"))
sentence(start(*IDS, os.path.join(folder, "loop")), "a link to itself", "symbolic link")

try:
    node = os.path.join(folder, "null")
    os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    check(start(*IDS, node).returncode == 0 and stat.S_ISCHR(os.stat(node).st_mode), "a device was replaced")
    node = os.path.join(folder, "full")
    os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, 7))
    sentence(start(*IDS, node), "a full device", "No space left")
    check(stat.S_ISCHR(os.stat(node).st_mode), "a full device was replaced")
except PermissionError:
    print("no device nodes here: not tried")

for path, part in ((folder, "is a folder"), (folder + "/none/x", "cannot create"), (folder + "/none/", "no such folder"), ("", "is empty"),
                   (whole + "/x", "Not a directory")):
    done = start(*IDS, path)
    check(done.returncode in (1, 2) and part in done.stderr.decode(), f"--output {path!r}: {done.returncode} {done.stderr!r}")


def as_nobody():
    os.setgid(65534)
    os.setuid(65534)


if os.getuid() == 0 and subprocess.run([COLROW, "--version"], capture_output=True, preexec_fn=as_nobody).returncode == 0:
    os.chmod(folder, 0o755)
    os.chmod(real, 0o444)
    sentence(start(*IDS, real, preexec_fn=as_nobody), "a file without permission", "Permission denied")
    sentence(start(*IDS, os.path.join(folder, "new"), preexec_fn=as_nobody), "a folder without permission", "Permission denied")
    os.chmod(real, 0o666)  # the folder takes no new file, but this one may be written
    with open(real, "wb"):
        pass
    check(start(*IDS, real, preexec_fn=as_nobody).returncode == 0, "a file that may be written in a folder that may not")
    same(real, "written in place")


def no_large_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))


sentence(start(*IDS, whole, preexec_fn=no_large_files), "ulimit -f", "ulimit -f")
done = start("synth", os.path.join(DEMO, "config.json"), os.path.join(folder, "model"), preexec_fn=no_large_files)
sentence(done, "ulimit -f, synth", "File too large")
check(os.listdir(os.path.join(folder, "model")) == ["config.json"], "ulimit -f: half a file is left")
same(whole, "after failures")
check(not leftovers(), f"left: {leftovers()}")

# names that are not UTF-8
latin = os.path.join(os.fsencode(folder), b"caf\xe9")
os.symlink(os.fsencode(os.path.abspath(DEMO)), latin)
for command in ((b"generate", latin, b"-p", b"h\xe9", b"-n", b"2", b"-q", b"--json"), (b"inspect", latin, b"--json"), (b"plan", latin, b"--json"),
                (b"verify", latin, b"--tp", b"1", b"--tokens", b"2", b"--generate", b"1", b"--json")):
    done = subprocess.run([os.fsencode(COLROW), *command], capture_output=True, timeout=120)
    text = done.stdout.decode("utf-8", "surrogateescape")
    if done.returncode == 0:
        value = json.loads(done.stdout.decode("utf-8"))
        check("caf\ufffd" in json.dumps(value, ensure_ascii=False), f"{command}: {text[:100]}")
    else:
        check(done.stderr.count(b"\n") == 1 and b"UTF-8" in done.stderr, f"{command}: {done.returncode} {done.stderr!r}")

# nothing writes to standard output but its owner
for place, _, names in os.walk(os.path.join(ROOT, "src")):
    for name in names:
        if name.endswith(".c") and name != "output.c":
            with open(os.path.join(place, name), encoding="utf-8") as file:
                text = file.read()
            check(not re.search(r"(?<!/)\bstdout\b|(?<![\w])(printf|puts|putchar)\(", text), f"{name} writes to stdout by itself")
shutil.rmtree(folder)
finish("output")
