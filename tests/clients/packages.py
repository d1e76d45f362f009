"""A Python that has a client's packages: $CLIENTS_PYTHON where it has them, else a virtual environment that is made for
the purpose, below $CLIENTS_FOLDER (kept for the next time) or in a temporary folder (removed at the end)."""
import atexit
import os
import shutil
import subprocess
import sys
import tempfile


def python_with(name, requirements, module):
    """-> path of a Python that can import `module`. `requirements`: what pip is asked for, pinned."""
    given = os.environ.get("CLIENTS_PYTHON", sys.executable)
    if can_import(given, module):
        return given
    folder = os.environ.get("CLIENTS_FOLDER")
    if not folder:
        folder = tempfile.mkdtemp(prefix="colrow-clients-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    place = os.path.join(folder, name)
    python = os.path.join(place, "bin/python")
    if not can_import(python, module):
        print(f"{name}: installing {' '.join(requirements)} into {place}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements], check=True)
    return python


def can_import(python, module):
    return (os.path.exists(python) and
            subprocess.run([python, "-c", f"import importlib.util as u, sys; sys.exit(not u.find_spec('{module}'))"], check=False).returncode == 0)
