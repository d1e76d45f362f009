#!/usr/bin/env python3
"""Every Python example of docs/python.md runs as it stands there, in a process of its own, and says something."""
import os
import re

from examples_case import PYTHON, ROOT, has, run_example
from support import check, finish

with open(os.path.join(ROOT, "docs/python.md"), encoding="utf-8") as file:
    examples = re.findall(r"^```python\n(.*?)^```", file.read(), re.M | re.S)
check(len(examples) >= 2, f"only {len(examples)} examples are found; has their form changed?")
without = []
for number, example in enumerate(examples, 1):
    missing = [module for module in re.findall(r"^import (numpy|torch)\b", example, re.M) if not has(module)]
    if missing:
        without.append(f"example {number}, for {missing[0]}")
        continue
    done = run_example(PYTHON, "-c", example)
    check(done.returncode == 0 and done.stdout.strip(), f"example {number}: {done.stdout}{done.stderr}")
finish(f"{len(examples)} examples of docs/python.md" + (f" (skipped: {', '.join(without)})" if without else ""))
