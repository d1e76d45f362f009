"""What a model says of given tokens: their logits, at once."""

from __future__ import annotations

import ctypes
from typing import Any, Iterator

from . import parallel_state
from .arrays import as_kind, numeric
from .errors import error_of
from .launched import launched, on_rank_0
from .llm import LLM
from .sampling_params import SamplingParams

_FAILED = 4  # COLROW_FAILED


class CausalLMOutput:
    """The answer of a model that is called.

    Attributes
    ----------
    logits : [rows, tokens, vocab_size]
        float32.
    """

    def __init__(self, logits: Any) -> None:
        self.logits = logits

    def __getitem__(self, index: int | str) -> Any:
        return (self.logits,)[index] if isinstance(index, int) else vars(self)[index]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.logits,))


def logits_of(llm: LLM | None, rows: list[list[int]], masks: list[list[int]], kind: str | None) -> Any:
    """Returns the logits of rows of tokens, in every process of a launched script.

    Parameters
    ----------
    llm : LLM, optional
        On rank 0.
    rows, masks : [rows, tokens]
        Of one length; 0 in a mask: not a token of the text.
    kind : str, optional
        What comes back, as for `array_of()`.
    """
    numpy = numeric("logits are arrays")
    if len({len(row) for row in rows}) > 1:
        raise ValueError("the rows of input_ids have different numbers of tokens; fill them up with padding=True")
    found: list[Any] = []

    def work() -> tuple[int, ...]:
        assert llm is not None  # this is rank 0
        found.append(numpy.stack([_row_logits(llm, row, mask) for row, mask in zip(rows, masks)]))
        return tuple(found[0].shape)

    shape = on_rank_0(work)
    logits = found[0] if found else numpy.zeros(shape, dtype=numpy.float32)
    return as_kind(parallel_state.broadcast(logits) if launched() > 1 else logits, kind)


def _row_logits(llm: LLM, row: list[int], mask: list[int]) -> Any:
    engine = llm.llm_engine
    places = [place for place, seen in enumerate(mask) if seen]
    vocab_size = engine.info["vocab_size"]
    numpy = numeric("logits are arrays")
    logits = numpy.zeros((len(row), vocab_size), dtype=numpy.float32)
    params = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0, ignore_eos=True)
    request = engine.submit([row[place] for place in places], params)
    while True:
        out = engine.poll(wait=True)
        if out is None or out.request != request:
            raise RuntimeError("the engine answers another request: a model is called while it generates")
        if out.finish == _FAILED:
            raise error_of(out.error_class, (out.error or b"the request failed").decode("utf-8", "replace"))
        if out.n_prompt_logits:
            size = out.n_prompt_logits * vocab_size
            begin = ctypes.addressof(out.prompt_logits.contents)
            part = numpy.ctypeslib.as_array((ctypes.c_float * size).from_address(begin))
            at = places[out.prompt_position:out.prompt_position + out.n_prompt_logits]
            logits[at] = part.reshape(-1, vocab_size)
        if out.finish:
            return logits
