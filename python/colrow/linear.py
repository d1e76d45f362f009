"""`ColumnParallelLinear` and `RowParallelLinear`, as in Megatron and vLLM, on numpy arrays of float32."""

from __future__ import annotations

from typing import Any

from .library import byref
from .parallel_state import _numpy, check_parallel, floats, parallel_library, pointer, tensor_part
from .structs import Linear


class _ParallelLinear:
    """y = x W^T + b over the tensor-parallel group.

    Attributes
    ----------
    weight : numpy.ndarray
        This rank's part.
    bias : numpy.ndarray or None
    """

    def __init__(self, input_size: int, output_size: int, bias: bool, skip_bias_add: bool) -> None:
        self.input_size = input_size
        self.output_size = output_size
        self.skip_bias_add = skip_bias_add
        self._has_bias = bias
        self.weight: Any = None
        self.bias: Any = None

    def _keep(self, weight: Any, bias: Any, rows: slice, columns: slice, bias_part: slice) -> None:
        whole = floats(weight, "the weight")
        if whole.shape != (self.output_size, self.input_size):
            raise ValueError(f"the weight is {whole.shape}; expected {(self.output_size, self.input_size)}")
        if self._has_bias != (bias is not None):
            raise ValueError(f"the layer was made with bias={self._has_bias}, but a bias is "
                             f"{'missing' if bias is None else 'given'}")
        self.weight = _numpy().ascontiguousarray(whole[rows, columns])
        if bias is not None:
            whole_bias = floats(bias, "the bias")
            if whole_bias.shape != (self.output_size,):
                raise ValueError(f"the bias is {whole_bias.shape}; expected {(self.output_size,)}")
            self.bias = _numpy().ascontiguousarray(whole_bias[bias_part])

    def _multiply(self, function: str, input_: Any, n_in: int, n_out: int, **flags: bool) -> tuple[Any, Any]:
        if self.weight is None:
            raise RuntimeError("the layer has no weights; load_weights() gives them")
        x = floats(input_, "the input")
        if x.ndim < 1 or x.shape[-1] != n_in:
            raise ValueError(f"the input is {x.shape}; expected {n_in} features")
        output = _numpy().empty((*x.shape[:-1], n_out), dtype=_numpy().float32)
        linear = Linear(self.input_size, self.output_size, pointer(self.weight), pointer(self.bias),
                        int(self.skip_bias_add), int(flags.get("gather_output", False)),
                        int(flags.get("input_is_parallel", False)))
        rows = x.size // n_in if n_in else 0
        check_parallel(getattr(parallel_library(), function)(byref(linear), pointer(x), rows, pointer(output)))
        return output, self.bias if self.skip_bias_add else None


class ColumnParallelLinear(_ParallelLinear):
    """A product whose output features are split over the ranks; no collective, unless the output is gathered.

    Parameters
    ----------
    input_size, output_size : int
        Of the whole matrix.
    bias : bool
    gather_output : bool
        Every rank gets all features.
    skip_bias_add : bool
        Leave the bias to the caller.
    """

    def __init__(self, input_size: int, output_size: int, bias: bool = True, gather_output: bool = False,
                 skip_bias_add: bool = False) -> None:
        super().__init__(input_size, output_size, bias, skip_bias_add)
        self.gather_output = gather_output

    def load_weights(self, weight: Any, bias: Any = None) -> None:
        """Keeps this rank's part of a whole weight [output_size, input_size] and bias [output_size]."""
        part = tensor_part(self.output_size)
        self._keep(weight, bias, part, slice(None), part)

    def __call__(self, input_: Any) -> tuple[Any, Any]:
        """Returns the product [..., features] and the bias that was left out, or None."""
        part = tensor_part(self.output_size)
        n_out = self.output_size if self.gather_output else part.stop - part.start
        return self._multiply("colrow_column_parallel_linear", input_, self.input_size, n_out,
                              gather_output=self.gather_output)

    forward = __call__


class RowParallelLinear(_ParallelLinear):
    """A product whose input features are split over the ranks: one all-reduce, and every rank has the sum.

    Parameters
    ----------
    input_size, output_size : int
        Of the whole matrix.
    bias : bool
        The same on every rank, added once.
    input_is_parallel : bool
        The input is this rank's part already.
    skip_bias_add : bool
        Leave the bias to the caller.
    """

    def __init__(self, input_size: int, output_size: int, bias: bool = True, input_is_parallel: bool = True,
                 skip_bias_add: bool = False) -> None:
        super().__init__(input_size, output_size, bias, skip_bias_add)
        self.input_is_parallel = input_is_parallel

    def load_weights(self, weight: Any, bias: Any = None) -> None:
        """Keeps this rank's part of a whole weight [output_size, input_size], and the bias [output_size]."""
        self._keep(weight, bias, slice(None), tensor_part(self.input_size), slice(None))

    def __call__(self, input_: Any) -> tuple[Any, Any]:
        """Returns the sum [..., output_size] and the bias that was left out, or None."""
        part = tensor_part(self.input_size)
        n_in = part.stop - part.start if self.input_is_parallel else self.input_size
        return self._multiply("colrow_row_parallel_linear", input_, n_in, self.output_size,
                              input_is_parallel=self.input_is_parallel)

    forward = __call__
