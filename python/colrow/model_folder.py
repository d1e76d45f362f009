"""Where a model's files are: a folder, or a name in huggingface_hub's cache, fetched into it if need be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from .program import find_program


def hub_cache() -> str:
    """Returns the folder of the HuggingFace cache, as its variables say."""
    given = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if given:
        return os.path.expanduser(given)
    home = os.environ.get("HF_HOME")
    if not home:
        home = os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return os.path.join(os.path.expanduser(home), "hub")


def find_model(model: str | os.PathLike[str], revision: str | None = None) -> str:
    """Returns the folder of a model.

    Parameters
    ----------
    model : str or path
        A folder, or ``org/name`` or ``org/name@revision`` of the hub: what the cache has of it counts, and what it
        does not have is fetched, unless HF_HUB_OFFLINE says otherwise.
    revision : str, optional
        Branch, tag or commit, of a name; None: main.

    Raises
    ------
    ValueError
        It is neither, or cannot be fetched.
    """
    name = os.path.expanduser(os.fspath(model))
    if "\0" in name:
        raise ValueError("model: the path holds a NUL character")
    if os.path.isdir(name) or name.startswith((".", "/")) or name.count("/") > 1:
        return name  # the library says what is missing
    name, _, named = name.partition("@")
    revision = revision or named or None
    cache = hub_cache()
    place = os.path.join(cache, "models--" + name.replace("/", "--"))
    commit = revision or "main"
    try:
        with open(os.path.join(place, "refs", commit), encoding="ascii") as file:
            commit = file.read().strip()
    except OSError:
        pass  # it may be a commit
    folder = os.path.join(place, "snapshots", commit)
    if os.path.exists(os.path.join(folder, "config.json")):  # it comes last
        return folder
    missing = f"{name} is no folder, and {cache} has no revision {revision or 'main'} of it"
    if _offline():
        raise ValueError(f"{missing}; download it first, or give the path of a folder")
    return _fetch(f"{name}@{revision}" if revision else name, missing)


def _offline() -> bool:
    values = (os.environ.get(name, "").upper() for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return any(value in ("1", "ON", "YES", "TRUE") for value in values)


def _fetch(repository: str, missing: str) -> str:
    """Has `colrow pull` fetch a repository; returns its folder. On a terminal its progress is seen."""
    seen = sys.stderr is not None and sys.stderr.isatty()
    command = [find_program(), "pull", *([] if seen else ["--quiet"]), repository]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=None if seen else subprocess.PIPE, check=False)
    if done.returncode != 0:
        said = " ".join((done.stderr or b"the sentence above says why").decode("utf-8", "replace").split())
        raise ValueError(f"{missing}; `colrow pull` does not bring it: {said.replace('colrow: error: ', '')}")
    return done.stdout.decode("utf-8", "surrogateescape").rstrip("\n").split("\n")[-1]


def read_json(folder: str, name: str) -> dict[str, Any]:
    """Returns the object in a file of a model's folder; {}: there is no such file.

    Raises
    ------
    ValueError
        It holds something else.
    """
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        try:
            value = json.load(file)
        except ValueError as error:
            raise ValueError(f"{path}: is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: holds no JSON object")
    return value
