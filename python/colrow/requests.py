"""A request on its way: what `poll()` brings piece by piece becomes a `RequestOutput`."""

from __future__ import annotations

import ctypes
import heapq
import math
from dataclasses import dataclass, field
from typing import Any, Sequence

from . import structs
from .errors import error_of
from .outputs import CompletionOutput, Logprob, RequestOutput
from .sampling_params import RequestOutputKind, SamplingParams
from .tokenizer import Tokenizer

try:
    import numpy
except ImportError:  # slower for log-probabilities of prompts, the same otherwise
    numpy = None  # type: ignore[assignment]

_STOP, _FAILED = 1, 4
_FINISH_REASONS = {1: "stop", 2: "length", 3: "abort"}


@dataclass
class _Sequence:
    """One of the n sequences, and how much of it has been handed out."""

    text: str = ""
    ids: list[int] = field(default_factory=list)
    logprobs: list[dict[int, Logprob]] = field(default_factory=list)
    cumulative: float = 0.0
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    text_given: int = 0
    ids_given: int = 0


class RequestState:
    """What is known of a request.

    Parameters
    ----------
    request_id : str
    prompt : str, optional
    ids : list of int
        The prompt's tokens.
    params : SamplingParams
    tokenizer : Tokenizer
    """

    def __init__(self, request_id: str, prompt: str | None, ids: list[int], params: SamplingParams,
                 tokenizer: Tokenizer) -> None:
        self.request_id = request_id
        self.prompt = prompt
        self.ids = ids
        self.params = params
        self.tokenizer = tokenizer
        self.sequences = [_Sequence() for _ in range(params.n)]
        self.n_open = params.n
        self.cached_tokens = 0
        self.metrics: dict[str, Any] = {}
        self.prompt_logprobs: list[dict[int, Logprob] | None] | None = None
        if params.prompt_logprobs is not None:
            self.prompt_logprobs = [None] * len(ids)

    @property
    def finished(self) -> bool:
        """Whether every sequence has ended."""
        return self.n_open == 0

    def take(self, out: structs.Output, vocab_size: int) -> None:
        """Adds an output of this request.

        Raises
        ------
        ColrowError
            The request failed.
        """
        if out.finish == _FAILED:
            raise error_of(out.error_class, (out.error or b"the request failed").decode("utf-8", "replace"))
        sequence = self.sequences[out.index]
        if out.n_prompt_logits and self.prompt_logprobs is not None:
            self._take_prompt(out, vocab_size)
        if out.n_ids:
            sequence.ids += out.ids[:out.n_ids]
            if out.n_logprobs:
                self._take_logprobs(sequence, out)
        if out.text_length and self.params.detokenize:
            sequence.text += ctypes.string_at(out.text, out.text_length).decode("utf-8", "replace")
        self.cached_tokens = out.cached_tokens
        if out.finish:
            self.n_open -= 1
            sequence.finish_reason = _FINISH_REASONS[out.finish]
            if out.finish == _STOP:
                sequence.stop_reason = self._stop_reason(sequence, out)
            self.metrics = {"queue_seconds": out.queue_seconds, "preemptions": out.preemptions}

    def _stop_reason(self, sequence: _Sequence, out: structs.Output) -> int | str | None:
        """vLLM's: a stop text, a stop token, an end token that only generation_config.json names."""
        if out.stop_token >= 0:
            return int(out.stop_token)
        if out.stop_reason:
            return ctypes.string_at(out.stop_reason, out.stop_reason_length).decode("utf-8", "replace")
        last = sequence.ids[-1] if sequence.ids else None
        return None if last == self.tokenizer.eos_token_id else last

    def _logprob(self, token: int, logprob: float, rank: int) -> Logprob:
        return Logprob(logprob, rank, self.tokenizer.decode_token(token))

    def _take_logprobs(self, sequence: _Sequence, out: structs.Output) -> None:
        for i in range(out.n_ids):
            row = out.logprobs[i * out.n_logprobs:(i + 1) * out.n_logprobs]
            sequence.cumulative += row[0].logprob
            position: dict[int, Logprob] = {}
            for entry in row:
                position.setdefault(entry.id, self._logprob(entry.id, entry.logprob, entry.rank))
            sequence.logprobs.append(position)

    def _take_prompt(self, out: structs.Output, vocab_size: int) -> None:
        best = self.params.prompt_logprobs or 0
        best = vocab_size if best == -1 else min(best, vocab_size)
        assert self.prompt_logprobs is not None  # take() asked
        for i in range(out.n_prompt_logits):
            at = out.prompt_position + i + 1  # what this row predicts
            if at >= len(self.ids):
                continue
            begin = ctypes.addressof(out.prompt_logits.contents) + 4 * vocab_size * i
            row = (ctypes.c_float * vocab_size).from_address(begin)
            scored = score_row(row, self.ids[at], best)
            self.prompt_logprobs[at] = {token: self._logprob(token, *entry) for token, entry in scored.items()}

    def output(self, indices: Sequence[int] | None = None) -> RequestOutput:
        """Returns the request as it is now.

        Parameters
        ----------
        indices : sequence of int, optional
            Of the sequences that it shall show; None: all.
        """
        delta = self.params.output_kind is RequestOutputKind.DELTA
        outputs = [self._completion(i, delta) for i in (range(len(self.sequences)) if indices is None else indices)]
        return RequestOutput(self.request_id, self.prompt, self.ids, self.prompt_logprobs, outputs, self.finished,
                             self.metrics or None, num_cached_tokens=self.cached_tokens)

    def _completion(self, index: int, delta: bool) -> CompletionOutput:
        sequence = self.sequences[index]
        text_from, ids_from = (sequence.text_given, sequence.ids_given) if delta else (0, 0)
        sequence.text_given, sequence.ids_given = len(sequence.text), len(sequence.ids)
        wanted = self.params.logprobs is not None
        return CompletionOutput(index, sequence.text[text_from:], sequence.ids[ids_from:],
                                sequence.cumulative if wanted else None,
                                sequence.logprobs[ids_from:] if wanted else None,
                                finish_reason=sequence.finish_reason, stop_reason=sequence.stop_reason)


def score_row(row: Any, token: int, n_best: int) -> dict[int, tuple[float, int]]:
    """Returns log-probability and rank of a token and the best ones.

    Parameters
    ----------
    row : array of float
        Logits over the vocabulary.
    token : int
    n_best : int
        So many beside it.
    """
    return (_score_numpy if numpy is not None else _score_plain)(row, token, n_best)


def _score_numpy(row: Any, token: int, n_best: int) -> dict[int, tuple[float, int]]:
    logits = numpy.ctypeslib.as_array(row).astype(numpy.float64)
    total = logits.max() + math.log(numpy.exp(logits - logits.max()).sum())
    scored = {token: (float(logits[token] - total), 1 + int((logits > logits[token]).sum()))}
    if n_best:
        candidates = numpy.arange(len(logits))
        if n_best < len(logits):
            candidates = numpy.flatnonzero(logits >= numpy.partition(logits, -n_best)[-n_best])
        order = candidates[numpy.argsort(-logits[candidates], kind="stable")][:n_best]
        for rank, best in enumerate(order.tolist(), 1):
            scored.setdefault(best, (float(logits[best] - total), rank))
    return scored


def _score_plain(row: Any, token: int, n_best: int) -> dict[int, tuple[float, int]]:
    logits = list(row)
    largest = max(logits)
    total = largest + math.log(math.fsum(math.exp(value - largest) for value in logits))
    scored = {token: (logits[token] - total, 1 + sum(value > logits[token] for value in logits))}
    for rank, best in enumerate(heapq.nsmallest(n_best, range(len(logits)), key=lambda i: (-logits[i], i)), 1):
        scored.setdefault(best, (logits[best] - total, rank))
    return scored
