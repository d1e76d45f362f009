#!/usr/bin/env python3
"""Every Python example of docs/python.md runs as it stands there, in a process of its own, and says something.
PYTHON_FOR_EXAMPLES names the Python that runs them: tests/clients/python_package.py gives one with the package."""
import os
import re
import subprocess
import sys

if os.environ.get("PACKAGE_IS_INSTALLED"):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
    from support import DEMO, ROOT, check, finish, skip
    PATH = {}
else:
    from python_case import DEMO, ROOT, skip
    from support import check, finish
    PATH = {"PYTHONPATH": os.path.join(os.path.abspath(ROOT), "python")}

PYTHON = os.environ.get("PYTHON_FOR_EXAMPLES", sys.executable)
if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")


def has(module):
    return subprocess.run([PYTHON, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0


with open(os.path.join(ROOT, "docs/python.md"), encoding="utf-8") as file:
    examples = re.findall(r"^```python\n(.*?)^```", file.read(), re.M | re.S)
check(len(examples) >= 2, f"only {len(examples)} examples are found; has their form changed?")
without = []
for number, example in enumerate(examples, 1):
    missing = [module for module in re.findall(r"^import (numpy|torch)\b", example, re.M) if not has(module)]
    if missing:
        without.append(f"example {number}, for {missing[0]}")
        continue
    done = subprocess.run([PYTHON, "-c", example], cwd=ROOT, env={**os.environ, **PATH}, capture_output=True, text=True, check=False)
    check(done.returncode == 0 and done.stdout.strip(), f"example {number}: {done.stdout}{done.stderr}")
finish(f"{len(examples)} examples of docs/python.md" + (f" (skipped: {', '.join(without)})" if without else ""))
