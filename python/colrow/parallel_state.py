"""Process groups and collectives of `colrow/parallel.h` in the words of vLLM's `parallel_state`, on numpy arrays.

Programs started by `colrow launch --nproc-per-node N -- python script.py` call `initialize_model_parallel()`. Sums are
bit-identical on every rank. Without a launcher the world is one rank.
"""

from __future__ import annotations

import array
import ctypes
import functools
import pickle
from ctypes import POINTER, c_char_p, c_float, c_int, c_size_t
from typing import Any, Callable

from .library import byref, declare, library
from .structs import Linear

_FLOATS = POINTER(c_float)
_FUNCTIONS = {
    "colrow_parallel_init": (c_int, [c_int, c_int]),
    "colrow_parallel_finalize": (None, []),
    "colrow_parallel_error": (c_char_p, []),
    "colrow_rank": (c_int, []),
    "colrow_local_rank": (c_int, []),
    "colrow_world_size": (c_int, []),
    "colrow_tensor_parallel_rank": (c_int, []),
    "colrow_tensor_parallel_world_size": (c_int, []),
    "colrow_pipeline_parallel_rank": (c_int, []),
    "colrow_pipeline_parallel_world_size": (c_int, []),
    "colrow_pipeline_parallel_previous_rank": (c_int, []),
    "colrow_pipeline_parallel_next_rank": (c_int, []),
    "colrow_tensor_part": (None, [c_size_t, POINTER(c_size_t), POINTER(c_size_t)]),
    "colrow_all_reduce": (c_int, [_FLOATS, c_size_t]),
    "colrow_all_gather": (c_int, [_FLOATS, c_size_t, _FLOATS]),
    "colrow_reduce_scatter": (c_int, [_FLOATS, c_size_t, _FLOATS]),
    "colrow_broadcast": (c_int, [_FLOATS, c_size_t, c_int]),
    "colrow_barrier": (c_int, []),
    "colrow_send": (c_int, [_FLOATS, c_size_t, c_int]),
    "colrow_recv": (c_int, [_FLOATS, c_size_t, c_int]),
    "colrow_column_parallel_linear": (c_int, [POINTER(Linear), _FLOATS, c_size_t, _FLOATS]),
    "colrow_row_parallel_linear": (c_int, [POINTER(Linear), _FLOATS, c_size_t, _FLOATS]),
}


class ParallelError(RuntimeError):
    """A call or a collective failed; the text is the C library's sentence. The group is over after a collective."""


@functools.lru_cache(maxsize=None)
def parallel_library() -> ctypes.CDLL:
    """Returns the library with the functions of `colrow/parallel.h`."""
    return declare(library(), _FUNCTIONS)


def check_parallel(result: int) -> None:
    """Raises what the last call left, when its result is negative."""
    if result < 0:
        raise ParallelError(parallel_library().colrow_parallel_error().decode("utf-8", "replace"))


def _numpy() -> Any:
    try:
        import numpy
    except ImportError:
        raise ImportError("arrays of parallel_state are numpy's; install numpy") from None
    return numpy


def floats(values: Any, what: str) -> Any:
    """Returns an array as C wants it: contiguous float32.

    Raises
    ------
    TypeError
        It is no float32 array: sums in another type would be other numbers.
    """
    numpy = _numpy()
    if not isinstance(values, numpy.ndarray) or values.dtype != numpy.float32:
        found = getattr(values, "dtype", type(values).__name__)
        raise TypeError(f"{what} is {found}; expected a numpy array of float32")
    return numpy.ascontiguousarray(values)


def pointer(values: Any) -> Any:
    """Returns the address of a float32 array for C; None: NULL."""
    return None if values is None else values.ctypes.data_as(_FLOATS)


def initialize_model_parallel(tensor_model_parallel_size: int = 0, pipeline_model_parallel_size: int = 1) -> None:
    """Makes the groups; every rank of the world calls it.

    Parameters
    ----------
    tensor_model_parallel_size : int
        Ranks of a tensor-parallel group, which are adjacent; 0: what the pipeline leaves.
    pipeline_model_parallel_size : int
        Stages. Their product is the size of the world.
    """
    check_parallel(parallel_library().colrow_parallel_init(tensor_model_parallel_size, pipeline_model_parallel_size))


def ensure_model_parallel_initialized(tensor_model_parallel_size: int = 0,
                                      pipeline_model_parallel_size: int = 1) -> None:
    """Makes the groups unless they are there already."""
    if not model_parallel_is_initialized():
        initialize_model_parallel(tensor_model_parallel_size, pipeline_model_parallel_size)


def model_parallel_is_initialized() -> bool:
    """Whether the groups are there."""
    return bool(parallel_library().colrow_world_size() > 0)


def destroy_model_parallel() -> None:
    """Leaves the groups."""
    parallel_library().colrow_parallel_finalize()


def _named(function: str, text: str) -> Callable[[], int]:
    def ask() -> int:
        return int(getattr(parallel_library(), function)())
    ask.__doc__ = text
    return ask


get_rank = _named("colrow_rank", "Returns this process's number in the world.")
get_local_rank = _named("colrow_local_rank", "Returns its number on this machine.")
get_world_size = _named("colrow_world_size", "Returns the number of processes.")
get_tensor_model_parallel_rank = _named("colrow_tensor_parallel_rank",
                                        "Returns the number in the tensor-parallel group.")
get_tensor_model_parallel_world_size = _named("colrow_tensor_parallel_world_size", "Returns that group's size.")
get_pipeline_model_parallel_rank = _named("colrow_pipeline_parallel_rank", "Returns the number of this stage.")
get_pipeline_model_parallel_world_size = _named("colrow_pipeline_parallel_world_size", "Returns the number of stages.")
get_pipeline_model_parallel_prev_rank = _named("colrow_pipeline_parallel_previous_rank",
                                               "Returns the rank of the world with the stage before; -1: none.")
get_pipeline_model_parallel_next_rank = _named("colrow_pipeline_parallel_next_rank",
                                               "Returns the rank of the world with the stage behind; -1: none.")


def tensor_part(n: int) -> slice:
    """Returns this tensor rank's part of `n` columns, rows or features."""
    begin, end = c_size_t(), c_size_t()
    parallel_library().colrow_tensor_part(n, byref(begin), byref(end))
    return slice(begin.value, end.value)


def tensor_model_parallel_all_reduce(input_: Any) -> Any:
    """Returns the sum of an array over the tensor-parallel group, on every rank the same bits.

    Parameters
    ----------
    input_ : numpy.ndarray
        float32, of one shape on all ranks; it stays as it is.
    """
    output = floats(input_, "the input of all_reduce").copy()
    check_parallel(parallel_library().colrow_all_reduce(pointer(output), output.size))
    return output


def tensor_model_parallel_all_gather(input_: Any, dim: int = -1) -> Any:
    """Returns the arrays of the tensor-parallel group side by side along `dim`; all have one shape."""
    numpy = _numpy()
    data = floats(input_, "the input of all_gather")
    parts = numpy.empty((get_tensor_model_parallel_world_size(), *data.shape), dtype=numpy.float32)
    check_parallel(parallel_library().colrow_all_gather(pointer(data), data.size, pointer(parts)))
    return numpy.concatenate(list(parts), axis=dim)


def tensor_model_parallel_reduce_scatter(input_: Any, dim: int = -1) -> Any:
    """Returns this rank's part, along `dim`, of the sum over the tensor-parallel group."""
    numpy = _numpy()
    size = get_tensor_model_parallel_world_size()
    data = floats(input_, "the input of reduce_scatter")
    if size < 1 or data.shape[dim] % size:
        raise ValueError(f"reduce_scatter: {data.shape[dim]} does not divide evenly over {size} ranks")
    parts = numpy.ascontiguousarray(numpy.stack(numpy.split(data, size, axis=dim)))
    output = numpy.empty(parts.shape[1:], dtype=numpy.float32)
    check_parallel(parallel_library().colrow_reduce_scatter(pointer(parts), output.size, pointer(output)))
    return output


def broadcast(input_: Any, src: int = 0) -> Any:
    """Returns the array of rank `src` of the tensor-parallel group; `input_` has its shape on all of them."""
    output = floats(input_, "the input of broadcast").copy()
    check_parallel(parallel_library().colrow_broadcast(pointer(output), output.size, src))
    return output


def broadcast_object(obj: Any = None, src: int = 0) -> Any:
    """Returns the object of rank `src` of the tensor-parallel group, by pickle.

    Parameters
    ----------
    obj : object
        On rank `src`; what others give does not count.
    """
    mine = get_tensor_model_parallel_rank() == src
    data = pickle.dumps(obj) if mine else b""
    sizes = array.array("f", [len(data) >> 16, len(data) & 0xFFFF])  # exact, each
    _broadcast_floats(sizes, src)
    while sizes[0] < 0:  # nothing yet
        _broadcast_floats(sizes, src)
    n = int(sizes[0]) << 16 | int(sizes[1])
    values = array.array("f", list(data) if mine else [0]) * (1 if mine else n)  # a byte in each
    _broadcast_floats(values, src)
    return obj if mine else pickle.loads(bytes(map(int, values)))


def broadcast_nothing(src: int = 0) -> None:
    """Tells those who wait in `broadcast_object()` that rank `src`, which calls this, is still at work."""
    _broadcast_floats(array.array("f", [-1, 0]), src)


def _broadcast_floats(values: array.array[float], src: int) -> None:
    if len(values):
        place = (c_float * len(values)).from_buffer(values)
        check_parallel(parallel_library().colrow_broadcast(place, len(values), src))


def barrier() -> None:
    """Waits for the tensor-parallel group."""
    check_parallel(parallel_library().colrow_barrier())


def send(tensor: Any, dst: int) -> None:
    """Sends an array to a rank of the world: a neighbouring stage."""
    data = floats(tensor, "what is sent")
    check_parallel(parallel_library().colrow_send(pointer(data), data.size, dst))


def recv(shape: tuple[int, ...], src: int) -> Any:
    """Returns an array of this shape from a rank of the world."""
    numpy = _numpy()
    output = numpy.empty(shape, dtype=numpy.float32)
    check_parallel(parallel_library().colrow_recv(pointer(output), output.size, src))
    return output
