#!/usr/bin/env python3
"""The folders are the architecture: a file includes only from its own folder and from those above it in the list of
ARCHITECTURE.md. Also: names of files and functions are unique, nobody but cmd/ calls exit(), no file outgrows its
room, a TODO names its issue, and every header is included by someone."""
import collections
import os
import re
import sys

ROOT = os.environ.get("SOURCE_DIR", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
LAYERS = ["base", "device", "comm", "hf", "text", "model", "engine", "server", "cmd"]
LINES_MAX = 650  # about 600; kernels and tables excepted
# A name means one function in the whole tree, so that grep and backtraces lead to it. Kernels are the exception: the
# files of one operation give each instruction set the same names, which is how they are read side by side.
SHARED_NAMES = "src/device/cpu/"
FUNCTION = re.compile(r"^(?!typedef|return|extern|else)[a-z][\w \*]*?\b(\w+)\([^;{}()]*(?:\([^;{}()]*\)[^;{}()]*)*\)\s*\{", re.M)
failures = []


def sources():
    for folder, _, files in os.walk(os.path.join(ROOT, "src")):
        for name in files:
            if name.endswith((".c", ".h")):
                yield os.path.relpath(os.path.join(folder, name), ROOT)


seen = {}
functions = collections.defaultdict(set)
includes = set()
checked = 0
for path in sorted(sources()):
    layer = path.split(os.sep)[1]
    if layer not in LAYERS:
        failures.append(f"{path}: src/{layer} is not in the list of folders")
        continue
    text = open(os.path.join(ROOT, path), encoding="utf-8").read()
    for included in re.findall(r'#\s*include\s+"([^"]+)"', text):
        checked += 1
        includes.add(included)
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
    for function in FUNCTION.findall(text):
        functions[function].add(path)
    for torn in re.findall(r"^ +(?:const )?(?:struct )?\w+\n +[\w*]+(?:\[\w*\])?; *// .*", text, re.M):
        failures.append(f"{path}: a long comment tore this declaration; put it above: {' '.join(torn.split())}")
    for todo in re.findall(r"\b(?:TODO|FIXME|XXX)\b.*", text):
        if not re.match(r"TODO\(#\d+\)", todo):
            failures.append(f"{path}: \"{todo}\" names no issue: TODO(#123)")
    if re.search(r"\b(utils|common|misc|helpers)\.[ch]$", name):
        failures.append(f"{path}: the name says nothing")

for function, paths in sorted(functions.items()):
    if len(paths) > 1 and not all(path.startswith(SHARED_NAMES) for path in paths):
        failures.append(f"{function}() stands in {', '.join(sorted(paths))}; a name means one function")
for path in sorted(seen.values()):
    if path.endswith(".h") and os.path.relpath(path, "src") not in includes:
        failures.append(f"{path}: nobody includes it")
if len(functions) < 1000:
    failures.append(f"only {len(functions)} functions were found; has their form changed?")

for failure in failures:
    print(failure)
print(f"{checked} includes in {len(seen)} files checked, {len(functions)} functions")
sys.exit(1 if failures else 0)
