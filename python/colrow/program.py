"""The program `colrow`, which the wheel carries: `colrow serve`, `colrow launch` and all others."""

from __future__ import annotations

import os
import shutil
import sys

from .library import library_path, program_path


def find_program() -> str:
    """Returns the path of the program: that of this package, or beside the library, or in PATH.

    Raises
    ------
    FileNotFoundError
        There is none.
    """
    beside = os.path.join(os.path.dirname(os.path.abspath(library_path())), "colrow")
    given = os.environ.get("COLROW_RANK_PROGRAM")
    for path in (given, program_path(), beside if os.path.isfile(beside) else None, shutil.which("colrow")):
        if path and not _is_this(path):
            return path
    raise FileNotFoundError("cannot find the program colrow; set COLROW_RANK_PROGRAM to its path")


def _is_this(path: str) -> bool:
    """Whether it is the script of this package, which would run itself for ever."""
    return os.path.realpath(path) == os.path.realpath(sys.argv[0])


def main(arguments: list[str] | None = None) -> None:
    """Becomes the program, with this process's arguments or those given."""
    program = find_program()
    os.environ.setdefault("PYTHON_EXEC", sys.executable)  # `colrow launch script.py` takes this Python
    os.execv(program, [program, *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    main()
