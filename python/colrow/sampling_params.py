"""How the tokens of a request are drawn: vLLM's `SamplingParams` in its names, order and defaults."""

from __future__ import annotations

import copy
import ctypes
import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from . import structs
from .library import byref, ids_array, library

_GREEDY_BELOW = 1e-5
_LEAST_TEMPERATURE = 1e-2  # vLLM's; lower ones make infinities


class RequestOutputKind(Enum):
    """What an async engine hands out: all so far, the new part, or only the end."""

    CUMULATIVE = 0
    DELTA = 1
    FINAL_ONLY = 2


@dataclass
class SamplingParams:
    """Sampling parameters of a request.

    Parameters
    ----------
    n : int
        Sequences of one prompt.
    presence_penalty, frequency_penalty : float
        From -2 to 2; 0: none.
    repetition_penalty : float
        Above 0; 1: none.
    temperature : float
        From 0, greedy, to 2.
    top_p, top_k, min_p : float, int, float
        What is drawn from; 1, 0 and 0: all tokens.
    seed : int, optional
        The same seed brings the same answer.
    stop : str or list of str, optional
        Texts before which an answer ends.
    stop_token_ids : list of int, optional
        Tokens with which it ends.
    ignore_eos : bool
        Go on after the end token.
    max_tokens : int, optional
        New tokens at most; None: up to the context's end.
    min_tokens : int
        No end before so many.
    logprobs, prompt_logprobs : int, optional
        Log-probabilities of the token and so many of the best ones, of answer and prompt; -1: of all.
    detokenize : bool
        Whether outputs have texts.
    skip_special_tokens, include_stop_str_in_output : bool
        What these texts hold.
    output_kind : RequestOutputKind
        For the async engine.
    logit_bias : dict of int to float, optional
        Added to logits.

    Notes
    -----
    vLLM's other parameters are here by name, and refused unless they have their defaults.
    """

    n: int = 1
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    watermarking: bool | None = None
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    max_tokens: int | None = 16
    min_tokens: int = 0
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    prompt_logprob_token_ids: Any = None
    prompt_logprob_start: int | None = None
    logprob_token_ids: list[int] | None = None
    flat_logprobs: bool = False
    detokenize: bool = True
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    include_stop_str_in_output: bool = False
    output_kind: RequestOutputKind = RequestOutputKind.CUMULATIVE
    stream_interval: int | None = None
    skip_clone: bool = False
    structured_outputs: Any = None
    logit_bias: dict[int, float] | None = None
    allowed_token_ids: list[int] | None = None
    extra_args: dict[str, Any] | None = None
    bad_words: list[str] | None = field(default=None)
    skip_reading_prefix_cache: bool | None = None
    thinking_token_budget: int | None = None
    repetition_detection: Any = None

    def __post_init__(self) -> None:
        for name in _NOT_HERE:
            value = getattr(self, name)
            if value is not None and value is not False and value != []:
                raise ValueError(f"SamplingParams: {name} is {value!r}, which colrow does not have; leave it out")
        if self.seed == -1:
            self.seed = None
        if self.stop is None:
            self.stop = []
        elif isinstance(self.stop, str):
            self.stop = [self.stop]
        else:
            self.stop = list(self.stop)
        self.stop_token_ids = list(dict.fromkeys(self.stop_token_ids or []))
        self.bad_words = []
        for name in ("logprobs", "prompt_logprobs"):
            if getattr(self, name) is True:
                setattr(self, name, 1)
        _check_numbers(self)
        _check_lists(self)
        if self.temperature < _GREEDY_BELOW:
            self.temperature, self.top_p, self.top_k, self.min_p = 0.0, 1.0, 0, 0.0
            if self.n > 1:
                raise ValueError(f"n must be 1 when using greedy sampling, got {self.n}.")
        elif self.temperature < _LEAST_TEMPERATURE:
            self.temperature = _LEAST_TEMPERATURE

    @staticmethod
    def from_optional(**values: Any) -> SamplingParams:
        """Returns parameters in which None stands for a default."""
        return SamplingParams(**{name: value for name, value in values.items()
                                 if value is not None or name == "max_tokens"})

    def clone(self) -> SamplingParams:
        """Returns a copy that shares nothing."""
        return copy.deepcopy(self)


_NOT_HERE = ("watermarking", "prompt_logprob_token_ids", "prompt_logprob_start", "logprob_token_ids", "flat_logprobs",
             "stream_interval", "structured_outputs", "allowed_token_ids", "extra_args", "bad_words",
             "thinking_token_budget", "repetition_detection")


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


def _whole(params: SamplingParams, name: str, least: int) -> None:
    value = getattr(params, name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} must be an int, but is of type {type(value)}")
    _require(value >= least, f"{name} must be at least {least}, got {value}.")
    _require(value < 2**31, f"{name} must be less than {2**31}, got {value}.")


def _number(params: SamplingParams, name: str) -> float:
    value = getattr(params, name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} must be a number, but is of type {type(value)}")
    _require(math.isfinite(value), f"{name} must be a finite number, got {value}.")
    return value


def _check_numbers(params: SamplingParams) -> None:
    for name in ("presence_penalty", "frequency_penalty"):
        value = _number(params, name)
        _require(-2 <= value <= 2, f"{name} must be in [-2, 2], got {value}.")
    value = _number(params, "repetition_penalty")
    _require(value > 0, f"repetition_penalty must be greater than zero, got {value}.")
    value = _number(params, "temperature")
    _require(0 <= value <= 2, f"temperature must be in [0, 2], got {value}.")
    value = _number(params, "top_p")
    _require(0 < value <= 1, f"top_p must be in (0, 1], got {value}.")
    value = _number(params, "min_p")
    _require(0 <= value <= 1, f"min_p must be in [0, 1], got {value}.")
    for name, least in (("n", 1), ("top_k", -1), ("max_tokens", 1), ("min_tokens", 0), ("logprobs", -1),
                        ("prompt_logprobs", -1)):
        _whole(params, name, least)
    for name in ("n", "top_k", "min_tokens"):
        _require(getattr(params, name) is not None, f"{name} must be an int, but is None")
    if params.max_tokens is not None:
        _require(params.min_tokens <= params.max_tokens, f"min_tokens must be less than or equal to "
                 f"max_tokens={params.max_tokens}, got {params.min_tokens}.")
    if params.seed is not None:
        _require(isinstance(params.seed, int) and 0 <= params.seed < 2**64,
                 f"seed must be an int from 0 to 2**64 - 1, got {params.seed!r}.")


def _check_lists(params: SamplingParams) -> None:
    for text in params.stop or []:
        _require(isinstance(text, str), f"stop must be a str or a list of str, got {text!r} in it.")
        _require(text != "", "stop cannot contain an empty string.")
    _require(not params.stop or params.detokenize,
             "stop strings are only supported when detokenize is True. Set detokenize=True to use stop.")
    for token in params.stop_token_ids or []:
        _require(isinstance(token, int), f"stop_token_ids must contain only integers, got {params.stop_token_ids}.")
    if params.logit_bias is not None:
        try:  # clamped to [-100, 100], as vLLM does
            params.logit_bias = {int(token): min(100.0, max(-100.0, float(bias)))
                                 for token, bias in params.logit_bias.items()}
        except (TypeError, ValueError, AttributeError):
            raise ValueError(f"logit_bias must map token ids to numbers, got {params.logit_bias!r}.") from None


def sampling_struct(params: SamplingParams, vocab_size: int, priority: int = 0) -> tuple[structs.Sampling, list[Any]]:
    """Returns `params` as C has them, and what has to live as long.

    Parameters
    ----------
    params : SamplingParams
    vocab_size : int
        Of the model: what -1 log-probabilities mean.
    priority : int
        Smaller goes first, with the policy "priority".
    """
    sampling = structs.Sampling()
    library().colrow_sampling_init_sized(None, byref(sampling), ctypes.sizeof(sampling))
    for name in ("temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty",
                 "min_tokens", "n"):
        setattr(sampling, name, getattr(params, name))
    sampling.top_k = max(params.top_k, 0)
    sampling.max_tokens = params.max_tokens or 0
    for name in ("ignore_eos", "include_stop_str_in_output", "skip_special_tokens"):
        setattr(sampling, name, int(bool(getattr(params, name))))
    if params.seed is not None:
        sampling.has_seed, sampling.seed = 1, params.seed
    if params.logprobs is not None:
        sampling.logprobs = vocab_size if params.logprobs == -1 else params.logprobs
    sampling.prompt_logits = int(params.prompt_logprobs is not None)
    if not -2**63 <= priority < 2**63:
        raise ValueError(f"priority is {priority}; expected a number of 64 bits")
    sampling.priority = priority
    texts = [text.encode() for text in params.stop or []]
    stop = (ctypes.c_char_p * len(texts))(*texts)
    lengths = (ctypes.c_size_t * len(texts))(*map(len, texts))
    stop_ids = ids_array(params.stop_token_ids or [], "stop_token_ids")
    bias = params.logit_bias or {}
    for token in bias:
        if not 0 <= token < vocab_size:
            raise ValueError(f"logit_bias: token id {token}; expected 0 to {vocab_size - 1} (vocab_size {vocab_size})")
    biases = (structs.TokenBias * len(bias))(*(structs.TokenBias(token, value) for token, value in bias.items()))
    sampling.stop, sampling.stop_lengths, sampling.n_stop = stop, lengths, len(texts)
    sampling.stop_token_ids, sampling.n_stop_token_ids = stop_ids, len(stop_ids)
    sampling.logit_bias, sampling.n_logit_bias = biases, len(biases)
    return sampling, [stop, lengths, stop_ids, biases, texts]
