#!/usr/bin/env python3
"""`pip install ./python` into a fresh virtual environment, with nothing of the repository on its path: the package is
whole, answers on 1 and 2 ranks as the program does, `python -m colrow` and the alias of vLLM's server are there, and
every example of docs/python.md runs. COLROW_BUILD_DIR names a build to take library and program from."""
import glob
import os
import subprocess
import sys
import tempfile
import zipfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
DEMO = os.path.realpath(os.path.join(ROOT, "models/demo"))
ANSWERS = """
import sys
from colrow import LLM, SamplingParams
ids = []
for ranks in (1, 2):
    with LLM(sys.argv[1], tensor_parallel_size=ranks, gpu_memory_utilization=0.2, max_model_len=512) as llm:
        ids.append(llm.chat([{"role": "user", "content": "What is a rank?"}], SamplingParams(temperature=0, max_tokens=99))[0])
assert ids[0].outputs[0].token_ids == ids[1].outputs[0].token_ids
print(ids[0].outputs[0].text)
"""


def run(*command, folder, **variables):
    """Runs a command in a folder that is not the repository's; -> what it printed. Says what failed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("COLROW_LIBRARY", "PYTHON"))}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**environment, **variables}, check=False)
    if done.returncode != 0:
        sys.exit(f"FAILED: {' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


with tempfile.TemporaryDirectory(prefix="colrow-package-") as work:
    run(sys.executable, "-m", "venv", f"{work}/venv", folder=work)
    python = f"{work}/venv/bin/python"
    pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check")
    build = os.environ.get("COLROW_BUILD_DIR")
    made = {"COLROW_BUILD_DIR": os.path.abspath(build)} if build else {}
    print("building the wheel", flush=True)
    run(*pip, "wheel", "--no-deps", "-w", f"{work}/wheels", os.path.join(ROOT, "python"), folder=work, **made)
    (wheel,) = glob.glob(f"{work}/wheels/colrow-*-py3-none-linux_*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("colrow/py.typed", "colrow/native/lib/libcolrow.so.0", "colrow/native/bin/colrow"):
        assert name in names, f"{name} is not in the wheel: {names}"
    run(*pip, "install", wheel, folder=work)
    run(*pip, "check", folder=work)
    said = run(python, "-c", ANSWERS, DEMO, folder=work)
    program = run(f"{work}/venv/bin/colrow", "generate", DEMO, "--chat", "-q", "-p", "What is a rank?", folder=work)
    assert said == program and len(said) > 20, f"the package says {said!r}, the program {program!r}"
    version = run(python, "-m", "colrow", "--version", folder=work)
    assert version.startswith("colrow "), version
    assert "--tensor-parallel-size" in run(python, "-m", "colrow.entrypoints.openai.api_server", "--help", folder=work)
    run(*pip, "install", "numpy", folder=work)
    variables = {"PYTHON_FOR_EXAMPLES": python, "PACKAGE_IS_INSTALLED": "1"}
    print(run(sys.executable, os.path.join(ROOT, "tests/python/test_python_page.py"), folder=work, **variables), end="")
    run(*pip, "uninstall", "-y", "colrow", folder=work)
    left = glob.glob(f"{work}/venv/lib/python*/site-packages/colrow*") + glob.glob(f"{work}/venv/bin/colrow")
    assert not left, f"uninstalled, and these are left: {left}"
print("pip install ./python: passed")
