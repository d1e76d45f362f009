"""What the C library refuses or loses, as exceptions that carry its sentence."""

from __future__ import annotations


class ColrowError(Exception):
    """Something failed; the text is the C library's sentence.

    Attributes
    ----------
    error_class : str
        The kind of failure, as `colrow_error_class_name()` names it ("too large", ...).
    """

    error_class = "internal"


class UsageError(ColrowError, ValueError):
    """An option, or how a function was called."""

    error_class = "usage"


class ModelError(ColrowError, OSError):
    """The model's files, or others named in options."""

    error_class = "model"


class InvalidRequestError(ColrowError, ValueError):
    """This request is wrong; another one may succeed."""

    error_class = "invalid request"


class TooLargeError(ColrowError, ValueError):
    """A good request that no engine with these options takes."""

    error_class = "too large"


class BusyError(ColrowError, RuntimeError):
    """There is no room now; the same request may succeed later."""

    error_class = "busy"


class GroupLostError(ColrowError, RuntimeError):
    """A rank died, stopped or was late, and was not brought back."""

    error_class = "group lost"


class NoMemoryError(ColrowError, MemoryError):
    """Memory is missing."""

    error_class = "memory"


class SystemCallError(ColrowError, OSError):
    """The operating system refused something."""

    error_class = "io"


class CancelledRequestError(ColrowError, RuntimeError):
    """It was ended from outside."""

    error_class = "cancelled"


class InternalError(ColrowError, RuntimeError):
    """A bug of colrow."""

    error_class = "internal"


# by the numbers of enum colrow_error_class
CLASSES = [InternalError, UsageError, ModelError, InvalidRequestError, TooLargeError, BusyError, GroupLostError,
           NoMemoryError, SystemCallError, CancelledRequestError, InternalError]


def error_of(number: int, sentence: str) -> ColrowError:
    """Returns the exception for a class of `enum colrow_error_class` and its sentence."""
    return CLASSES[number if 0 < number < len(CLASSES) else -1](sentence)
