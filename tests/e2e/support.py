"""What the end-to-end tests share; the standard library is all they need."""
import array
import hashlib
import json
import os
import struct
import subprocess
import sys
import tempfile

ROOT = os.environ.get("SOURCE_DIR", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
COLROW = os.environ.get("COLROW", os.path.join(ROOT, "build/release/colrow"))
SHARED = os.environ.get("SHARED_DIR", os.path.join(ROOT, "..", "shared"))
SANITIZE = os.environ.get("SANITIZE", "")
DEMO = os.path.join(ROOT, "models/demo")
SKIPPED = 77
failures = []


def patience(seconds):
    """What takes at most `seconds` on a machine with free cores; sanitizers and neighbours stretch it."""
    return seconds * (4 if SANITIZE else 1) * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def skip(why):
    print("skipped:", why)
    sys.exit(SKIPPED)


def name_of(pid):
    """Of a process; "": there is none."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""


def check(condition, what):
    if not condition:
        failures.append(what)
        print("FAILED:", what, flush=True)
    return condition


def finish(what):
    print(f"{what}: {len(failures)} failed")
    sys.exit(1 if failures else 0)


def run(*arguments, isa=None, stdin=None, timeout=300, quiet=True):
    """Runs colrow; returns the finished process with text output."""
    environment = dict(os.environ)
    if isa:
        environment["COLROW_ISA"] = isa
    command = [COLROW, *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, env=environment)


class Safetensors:
    """A safetensors file: tensors as (shape, array of numbers), metadata as a dict."""

    TYPES = {"F32": "f", "I64": "q", "I32": "i"}

    def __init__(self, path, only=None):
        with open(path, "rb") as file:
            data = file.read()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        self.metadata = header.pop("__metadata__", {})
        self.tensors = {}
        for name, entry in header.items():
            if only and name not in only:
                continue
            begin, end = entry["data_offsets"]
            values = array.array(self.TYPES[entry["dtype"]])
            values.frombytes(data[8 + length + begin : 8 + length + end])
            self.tensors[name] = (entry["shape"], values)

    def __getitem__(self, name):
        return self.tensors[name][1]


def logits_file(model, ids, *flags, isa=None):
    """Runs `colrow logits`; returns (values, sha256) or fails the test."""
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as out, tempfile.NamedTemporaryFile("w", suffix=".txt") as text:
        text.write(" ".join(map(str, ids)))
        text.flush()
        done = run("logits", model, "--input-ids", text.name, "--output", out.name, "-q", *flags, isa=isa)
        if done.returncode != 0:
            check(False, f"colrow logits {model} {flags} {isa}: {done.stderr.strip()}")
            return None, None
        with open(out.name, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        return Safetensors(out.name)["logits"], digest


def isas():
    """The instruction sets of this machine, ascending."""
    flags = ""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("flags"):
                flags = " " + line.split(":")[1].strip() + " "
                break
    names = ["reference"]
    if " avx2 " in flags and " fma " in flags and " f16c " in flags:
        names.append("avx2")
        if " avx512f " in flags and " avx512bw " in flags and " avx512vl " in flags and " avx512dq " in flags:
            names.append("avx512")
            if " avx512_bf16 " in flags:
                names.append("avx512bf16")
                if " amx_tile " in flags and " amx_bf16 " in flags:
                    names.append("amx")
    return names
