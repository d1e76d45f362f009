"""Finds libcolrow, loads it with ctypes and declares the functions that this package calls."""

from __future__ import annotations

import ctypes
import functools
import os
from ctypes import POINTER, byref, c_char_p, c_int, c_int32, c_size_t, c_uint64, c_void_p
from typing import Any, Sequence

from . import structs
from .errors import error_of

_SONAME = "libcolrow.so.0"
_NATIVE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "native")

# name: (result, arguments)
_FUNCTIONS = {
    "colrow_error": (c_char_p, []),
    "colrow_error_class": (c_int, []),
    "colrow_version": (c_char_p, []),
    "colrow_options_init_sized": (None, [POINTER(structs.Options), c_size_t]),
    "colrow_open_begin": (c_int, [POINTER(structs.Options), POINTER(c_void_p)]),
    "colrow_close": (None, [c_void_p]),
    "colrow_sampling_init_sized": (None, [c_void_p, POINTER(structs.Sampling), c_size_t]),
    "colrow_finish_name": (c_char_p, [c_int]),
    "colrow_submit": (c_int, [c_void_p, POINTER(structs.Prompt), POINTER(structs.Sampling), c_void_p, c_void_p,
                              POINTER(c_uint64)]),
    "colrow_cancel": (c_int, [c_void_p, c_uint64]),
    "colrow_fd": (c_int, [c_void_p]),
    "colrow_advance": (c_int, [c_void_p]),
    "colrow_poll_sized": (c_int, [c_void_p, c_int, POINTER(structs.Output), c_size_t]),
    "colrow_get_gauges_sized": (None, [c_void_p, POINTER(structs.Gauges), c_size_t]),
    "colrow_get_info_sized": (None, [c_void_p, POINTER(structs.Info), c_size_t]),
    "colrow_get_statistics_sized": (None, [c_void_p, POINTER(structs.Statistics), c_size_t]),
    "colrow_tokenizer_open": (c_int, [c_char_p, POINTER(c_void_p)]),
    "colrow_get_tokenizer": (c_void_p, [c_void_p]),
    "colrow_tokenizer_close": (None, [c_void_p]),
    "colrow_tokenizer_encode": (c_int, [c_void_p, c_char_p, c_size_t, c_int, POINTER(c_void_p), POINTER(c_int)]),
    "colrow_tokenizer_decode": (c_int, [c_void_p, POINTER(c_int32), c_int, c_int, POINTER(c_void_p),
                                        POINTER(c_size_t)]),
    "colrow_tokenizer_apply_chat_template": (c_int, [c_void_p, POINTER(structs.Message), c_int, c_int,
                                                     POINTER(c_void_p), POINTER(c_size_t)]),
}


def library_path() -> str:
    """Where libcolrow is.

    Returns
    -------
    str
        ``COLROW_LIBRARY`` where it is set; else the one in this package; else the system's.
    """
    given = os.environ.get("COLROW_LIBRARY")
    if given:
        return given
    packed = os.path.join(_NATIVE, "lib", _SONAME)
    return packed if os.path.exists(packed) else _SONAME


def program_path() -> str | None:
    """Where the program `colrow` of this package is; None where the library shall find it by itself."""
    packed = os.path.join(_NATIVE, "bin", "colrow")
    if os.environ.get("COLROW_RANK_PROGRAM") or os.environ.get("COLROW_LIBRARY") or not os.path.exists(packed):
        return None
    return packed


def declare(library: ctypes.CDLL, functions: dict[str, Any]) -> ctypes.CDLL:
    """Gives functions of a library their types."""
    for name, (result, arguments) in functions.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


@functools.lru_cache(maxsize=None)
def library() -> ctypes.CDLL:
    """Returns the loaded library; calls release Python's lock.

    Raises
    ------
    ImportError
        It cannot be loaded; the text says what to do.
    """
    path = library_path()
    try:
        loaded = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(f"cannot load {path}: {error}; install this package with `pip install ./python`, or set "
                          "COLROW_LIBRARY to a libcolrow.so.0 of this version") from None
    return declare(loaded, _FUNCTIONS)


@functools.lru_cache(maxsize=None)
def libc() -> ctypes.CDLL:
    """Returns the C library, for memory that colrow hands out."""
    loaded = ctypes.CDLL(None)
    loaded.free.restype = None
    loaded.free.argtypes = [c_void_p]
    return loaded


def check(result: int) -> int:
    """Raises what the last call on this thread left, when its result is negative."""
    if result < 0:
        raise last_error()
    return result


def last_error() -> Exception:
    """Returns the failure of the last call on this thread as an exception."""
    lib = library()
    kind = lib.colrow_error_class()
    return error_of(kind, lib.colrow_error().decode("utf-8", "replace"))


def take_text(pointer: c_void_p, length: int) -> str:
    """Returns a text that colrow handed out, and frees it."""
    try:
        return ctypes.string_at(pointer, length).decode("utf-8", "replace")
    finally:
        libc().free(pointer)


def take_ids(pointer: c_void_p, n: int) -> list[int]:
    """Returns token ids that colrow handed out, and frees them."""
    try:
        return ctypes.cast(pointer, POINTER(c_int32))[:n] if n else []
    finally:
        libc().free(pointer)


def ids_array(ids: Sequence[Any], what: str = "the prompt") -> ctypes.Array[c_int32]:
    """Returns token ids as C has them.

    Parameters
    ----------
    ids : sequence of int
    what : str
        Whose they are, for the error.

    Raises
    ------
    TypeError, ValueError
        An id is no whole number, or does not fit.
    """
    array = (c_int32 * len(ids))()
    for i, token in enumerate(ids):
        if isinstance(token, bool) or not hasattr(token, "__index__"):
            raise TypeError(f"{what}: token id {i} is {token!r}; expected a whole number")
        if not 0 <= int(token) < 2**31:
            raise ValueError(f"{what}: token id {i} is {int(token)}; expected 0 to {2**31 - 1}")
        array[i] = int(token)
    return array


__all__ = ["byref", "check", "declare", "ids_array", "last_error", "libc", "library", "library_path", "program_path",
           "take_ids", "take_text"]
