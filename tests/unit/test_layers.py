#!/usr/bin/env python3
"""The folders are the architecture: a file includes only from its own folder and from those above it in the list of
ARCHITECTURE.md. Also: file names are unique, nobody but cmd/ calls exit(), and no file outgrows its room."""
import os
import re
import sys

ROOT = os.environ.get("SOURCE_DIR", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
LAYERS = ["base", "device", "comm", "hf", "text", "model", "engine", "server", "cmd"]
LINES_MAX = 650  # about 600; kernels and tables excepted
failures = []


def sources():
    for folder, _, files in os.walk(os.path.join(ROOT, "src")):
        for name in files:
            if name.endswith((".c", ".h")):
                yield os.path.relpath(os.path.join(folder, name), ROOT)


seen = {}
checked = 0
for path in sorted(sources()):
    layer = path.split(os.sep)[1]
    if layer not in LAYERS:
        failures.append(f"{path}: src/{layer} is not in the list of folders")
        continue
    text = open(os.path.join(ROOT, path), encoding="utf-8").read()
    for included in re.findall(r'#\s*include\s+"([^"]+)"', text):
        checked += 1
        if included.startswith("colrow/"):  # the public headers
            continue
        if not os.path.exists(os.path.join(ROOT, "src", included)):
            failures.append(f'{path}: includes "{included}", which is not below src/')
        elif LAYERS.index(included.split("/")[0]) > LAYERS.index(layer):
            failures.append(f'{path}: includes "{included}" from a folder below its own')
    name = os.path.basename(path)
    if name in seen:
        failures.append(f"{path}: {seen[name]} has the same name")
    seen[name] = path
    if layer != "cmd" and re.search(r"[^_\w.>](?<!_)(exit|abort)\s*\(", re.sub(r"//.*|\"(\\.|[^\"])*\"", "", text)):
        if not re.search(r"// may exit:", text):
            failures.append(f"{path}: calls exit() or abort(); only cmd/ may")
    if text.count("\n") > LINES_MAX and not re.search(r"kernel|table|matmul|attention", path):
        failures.append(f"{path}: {text.count(chr(10))} lines; is there a second thing in it?")
    if re.search(r"\b(utils|common|misc|helpers)\.[ch]$", name):
        failures.append(f"{path}: the name says nothing")

for failure in failures:
    print(failure)
print(f"{checked} includes in {len(seen)} files checked")
sys.exit(1 if failures else 0)
