"""Rows of tokens as lists, numpy arrays or torch tensors: what tokenizers make and models take."""

from __future__ import annotations

from typing import Any

from .prompts import is_ids

try:
    import numpy
except ImportError:  # then there are lists alone
    numpy = None  # type: ignore[assignment]


def numeric(what: str) -> Any:
    """Returns numpy.

    Raises
    ------
    ImportError
        It is not installed; `what` says who needs it.
    """
    if numpy is None:
        raise ImportError(f"{what} of numpy, which is not installed; pip install numpy")
    return numpy


if numpy is not None:
    class TokenArray(numpy.ndarray):
        """Stands for a torch tensor where torch is not installed: a numpy array that scripts may send to a device."""

        def to(self, device: Any = None, **_: Any) -> TokenArray:
            """Returns itself: colrow computes on CPUs."""
            check_device(device)
            return self

        def cpu(self) -> TokenArray:
            """Returns itself."""
            return self

        def numpy(self) -> Any:
            """Returns the same numbers as a plain array."""
            return self.view(numpy.ndarray)


def check_device(device: Any) -> None:
    """Refuses devices other than the CPU; None is the CPU."""
    if device is not None and str(device) != "cpu":
        raise ValueError(f"the device is {device}; colrow computes on cpu")


def as_kind(array: Any, kind: str | None) -> Any:
    """Returns a numpy array as what `kind` names: see `array_of()`."""
    if kind == "pt":
        try:
            import torch
        except ImportError:
            return array.view(TokenArray)
        return torch.from_numpy(array)
    return array if kind == "np" else array.tolist()


def array_of(rows: list[list[int]], kind: str | None) -> Any:
    """Returns rows of whole numbers as an array.

    Parameters
    ----------
    rows : list of list of int
        As long as each other, unless `kind` is None.
    kind : str, optional
        "np": numpy; "pt": torch, or numpy where torch is not installed; None: the list itself.
    """
    if kind is None:
        return rows
    if kind not in ("np", "pt"):
        raise ValueError(f"return_tensors is {kind!r}; expected None, 'np' or 'pt'")
    if len({len(row) for row in rows}) > 1:
        raise ValueError("the texts have different numbers of tokens; an array of them needs padding=True")
    numbers = numeric(f"return_tensors={kind!r} makes arrays")
    return as_kind(numbers.array(rows, dtype=numbers.int64).reshape(len(rows), -1), kind)


def rows_of(values: Any, name: str) -> tuple[list[list[int]], str | None]:
    """Returns rows of whole numbers that are lists, a numpy array or a torch tensor, and which of them it is.

    Parameters
    ----------
    values : [rows, columns] or [columns]
    name : str
        For errors.
    """
    kind = None
    if hasattr(values, "tolist"):
        torch_like = type(values).__module__.startswith("torch") or hasattr(values, "cpu")
        kind = "pt" if torch_like else "np"
        values = values.tolist()
    if values and is_ids(values):
        values = [values]
    if not isinstance(values, (list, tuple)) or not values or not all(is_ids(row) for row in values):
        raise TypeError(f"{name} is {values!r:.100}; expected rows of whole numbers")
    return [list(map(int, row)) for row in values], kind
