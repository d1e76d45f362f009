#!/usr/bin/env python3
"""hub_cache_client.py with huggingface_hub 2.4 and 0.36, each in an environment of its own (packages.py)."""
import os
import subprocess
import sys

from packages import python_with

HERE = os.path.dirname(os.path.abspath(__file__))
VERSIONS = ("2.4.0", "0.36.2")
failed = []
os.environ["CLIENTS_PYTHON"] = "/nowhere"  # one Python has one version
for version in VERSIONS:
    python = python_with(f"huggingface_hub-{version}", [f"huggingface_hub=={version}"], "huggingface_hub")
    if subprocess.run([python, os.path.join(HERE, "hub_cache_client.py")], check=False).returncode != 0:
        failed.append(version)
print("huggingface_hub: " + (f"failed: {', '.join(failed)}" if failed else "all versions passed"))
sys.exit(1 if failed else 0)
