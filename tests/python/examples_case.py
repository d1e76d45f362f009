"""What tests of examples share: which Python runs them, and with what. PYTHON_FOR_EXAMPLES names a Python that has the
package (tests/clients/python_package.py makes one); otherwise it is this one, with the package of the repository."""
import os
import subprocess
import sys

if os.environ.get("PACKAGE_IS_INSTALLED"):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
    from support import COLROW, DEMO, ROOT, skip  # noqa: F401
    PATH = {}
else:
    from python_case import COLROW, DEMO, ROOT, skip  # noqa: F401
    PATH = {"PYTHONPATH": os.path.join(os.path.abspath(ROOT), "python")}

PYTHON = os.environ.get("PYTHON_FOR_EXAMPLES", sys.executable)
ENVIRONMENT = {**os.environ, **PATH, "PYTHON_EXEC": PYTHON}
INSTALLED = os.path.join(os.path.dirname(PYTHON), "colrow")
LAUNCH = [INSTALLED if os.environ.get("PACKAGE_IS_INSTALLED") else os.path.abspath(COLROW), "launch"]

if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")


def has(module):
    """Whether the examples' Python has it."""
    return subprocess.run([PYTHON, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0


def run_example(*command, folder=ROOT, **variables):
    """Runs a command in the repository; -> the finished process."""
    return subprocess.run([*map(str, command)], cwd=folder, env={**ENVIRONMENT, **variables}, capture_output=True, text=True,
                          check=False)
