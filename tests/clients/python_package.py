#!/usr/bin/env python3
"""The Python package as users get it, in fresh virtual environments with nothing of the repository on their path.
`pip install ./python`: it is whole, answers on 1 and 2 ranks as the program does, the scripts of examples/python have
the texts of `colrow generate` at 1, 2 and 4 ranks, every example of docs/python.md runs, mypy --strict and pip check have
nothing to say. The wheel of tools/make_wheel.sh: twine check, and it answers where the libraries that it carries are
hidden (with bwrap). The source distribution builds. COLROW_BUILD_DIR names a build to take library and program from;
--quick leaves the source distribution unbuilt."""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
DEMO = os.path.join(ROOT, "models/demo")
QUESTION = "What is a rank?"
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
TYPED = """
from colrow import LLM, RequestOutput, SamplingParams
outputs: list[RequestOutput] = LLM("m").generate(["a"], SamplingParams(temperature=0))
text: str = outputs[0].outputs[0].text
"""
BUILD = {"COLROW_BUILD_DIR": os.path.abspath(os.environ["COLROW_BUILD_DIR"])} if os.environ.get("COLROW_BUILD_DIR") else {}


def run(*command, folder, **variables):
    """Runs a command in a folder that is not the repository's; -> what it printed. Says what failed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("COLROW_LIBRARY", "COLROW_BUILD", "PYTHON"))}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**environment, **variables}, check=False)
    if done.returncode != 0:
        sys.exit(f"FAILED: {' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def environment_of(work, name, *packages, **variables):
    """-> the Python of a new virtual environment with these packages, which fit each other."""
    print(f"{name}: pip install {' '.join(packages)}".replace(f"{work}/", "").replace(ROOT, "."), flush=True)
    run(sys.executable, "-m", "venv", f"{work}/{name}", folder=work)
    python = f"{work}/{name}/bin/python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages, folder=work, **variables)
    run(python, "-m", "pip", "check", folder=work)
    return python


def answers(python, work, *around):
    """Checks that package and program of an environment say the same; `around` stands in front of both commands."""
    said = run(*around, python, "-c", ANSWERS, DEMO, folder=work)
    program = os.path.join(os.path.dirname(python), "colrow")
    wanted = run(*around, program, "generate", DEMO, "--chat", "-q", "-p", QUESTION, folder=work)
    assert said == wanted and len(said) > 20, f"the package says {said!r}, the program {wanted!r}"
    return said


def check_types(python, work):
    """mypy --strict on the package, and on a program that uses it: the package has types for others."""
    run(python, "-m", "pip", "install", "--quiet", "mypy", folder=work)
    mypy = (python, "-m", "mypy", "--strict", "--cache-dir", f"{work}/mypy")
    config = os.path.join(ROOT, "python/pyproject.toml")
    print("mypy --strict:", run(*mypy, "--config-file", config, "colrow", folder=os.path.join(ROOT, "python")), end="")
    with open(f"{work}/program.py", "w", encoding="utf-8") as file:
        file.write(TYPED)
    assert "Success" in run(*mypy, "program.py", folder=work)


def check_installed(work):
    """`pip install ./python`, and what a newcomer does next."""
    python = environment_of(work, "newcomer", os.path.join(ROOT, "python"), **BUILD)
    (package,) = glob.glob(f"{work}/newcomer/lib/python*/site-packages/colrow")
    for name in ("py.typed", "native/lib/libcolrow.so.0", "native/bin/colrow"):
        assert os.path.exists(os.path.join(package, name)), f"{name} is not in the package"
    said = answers(python, work)
    assert run(python, "-m", "colrow", "--version", folder=work).startswith("colrow ")
    assert "--tensor-parallel-size" in run(python, "-m", "colrow.entrypoints.openai.api_server", "--help", folder=work)
    run(python, "-m", "pip", "install", "--quiet", "aiohttp", folder=work)  # of the load test
    variables = {"PYTHON_FOR_EXAMPLES": python, "PACKAGE_IS_INSTALLED": "1", "COLROW": f"{work}/newcomer/bin/colrow"}
    for test in ("test_tutorials", "test_python_page"):
        print(run(sys.executable, os.path.join(ROOT, f"tests/python/{test}.py"), "-v", folder=work, **variables), end="")
    check_types(python, work)
    run(python, "-m", "pip", "uninstall", "--quiet", "-y", "colrow", folder=work)
    left = glob.glob(f"{work}/newcomer/lib/python*/site-packages/colrow*") + glob.glob(f"{work}/newcomer/bin/colrow")
    assert not left, f"uninstalled, and these are left: {left}"
    return said


OF_PYTHON = ("libffi",)  # ctypes itself needs it


def without_libraries(wheel_libraries):
    """-> the beginning of a command that runs in a system without the libraries that the wheel carries."""
    hidden = []
    for name in wheel_libraries:
        stem = re.sub(r"-[0-9a-f]{8}\b", "", os.path.basename(name)).split(".so")[0]
        for path in glob.glob(f"/usr/lib/*/{stem}.so*") + glob.glob(f"/usr/lib/*/{stem}-[0-9]*.so*"):
            if not os.path.islink(path) and not path.endswith(".a") and stem not in OF_PYTHON:
                hidden += ["--ro-bind", "/dev/null", path]
    assert hidden, f"none of {wheel_libraries} is this system's"
    return ["bwrap", "--dev-bind", "/", "/", *hidden, "--"], len(hidden) // 3


def check_wheel(work, said):
    """The wheel for other systems, on one without the libraries that it carries."""
    print(run(os.path.join(ROOT, "tools/make_wheel.sh"), f"{work}/dist", folder=work, WHEEL_TOOLS=f"{work}/tools", **BUILD), end="")
    (wheel,) = glob.glob(f"{work}/dist/colrow-*-py3-none-manylinux_*.whl")
    python = environment_of(work, "other-system", wheel)
    assert answers(python, work) == said
    libraries = glob.glob(f"{work}/other-system/lib/python*/site-packages/colrow.libs/*.so*")
    around, n_hidden = without_libraries(libraries)
    if not shutil.which("bwrap") or subprocess.run([*around, "true"], capture_output=True, check=False).returncode != 0:
        print("skipped: the wheel on a system without these libraries, which needs bwrap and its right to mount")
        return
    assert answers(python, work, *around) == said
    print(f"{os.path.basename(wheel)} answers where {n_hidden} files of this system's libraries are hidden")


def check_source(work, said):
    """The source distribution has all that it is built from."""
    (source,) = glob.glob(f"{work}/dist/colrow-*.tar.gz")
    if "--quick" in sys.argv:
        print("skipped: building the source distribution (--quick)")
        return
    assert answers(environment_of(work, "from-source", source), work) == said


with tempfile.TemporaryDirectory(prefix="colrow-package-") as folder_of_work:
    text = check_installed(folder_of_work)
    check_wheel(folder_of_work, text)
    check_source(folder_of_work, text)
print("the Python package: passed")
