"""What requests bring: vLLM's `RequestOutput` and `CompletionOutput`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional


@dataclass
class Logprob:
    """The log-probability of a token.

    Attributes
    ----------
    logprob : float
    rank : int
        Among all tokens; 1: the likeliest.
    decoded_token : str
    """

    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


SampleLogprobs = List[Dict[int, Logprob]]
PromptLogprobs = List[Optional[Dict[int, Logprob]]]


@dataclass
class CompletionOutput:
    """One sequence of a request.

    Attributes
    ----------
    index : int
        0 to n - 1.
    text : str
    token_ids : list of int
        With the end token, where one ended it.
    cumulative_logprob : float, optional
        The sum over the tokens, where log-probabilities were asked for.
    logprobs : list of dict of int to Logprob, optional
        One for each token: the token itself and the best ones.
    finish_reason : str, optional
        "stop", "length" or "abort"; None: it goes on.
    stop_reason : int or str, optional
        The text or token that ended it; None: the tokenizer's end token.
    """

    index: int
    text: str
    token_ids: list[int]
    cumulative_logprob: float | None
    logprobs: SampleLogprobs | None
    routed_experts: Any = None
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    lora_request: Any = None

    def finished(self) -> bool:
        """Whether nothing more will come."""
        return self.finish_reason is not None


class RequestOutput:
    """A request and its sequences.

    Attributes
    ----------
    request_id : str
    prompt : str, optional
        None: it was given as token ids.
    prompt_token_ids : list of int
    prompt_logprobs : list of dict of int to Logprob, optional
        One for each token of the prompt; None for the first, which nothing predicts.
    outputs : list of CompletionOutput
    finished : bool
    metrics : dict, optional
        `queue_seconds` and `preemptions`.
    num_cached_tokens : int
        Of the prompt, found in the prefix cache.
    """

    def __init__(self, request_id: str, prompt: str | None, prompt_token_ids: list[int] | None,
                 prompt_logprobs: PromptLogprobs | None, outputs: list[CompletionOutput], finished: bool,
                 metrics: Any = None, lora_request: Any = None, num_cached_tokens: int | None = None) -> None:
        self.request_id = request_id
        self.prompt = prompt
        self.prompt_token_ids = prompt_token_ids
        self.prompt_logprobs = prompt_logprobs
        self.outputs = outputs
        self.finished = finished
        self.metrics = metrics
        self.lora_request = lora_request
        self.encoder_prompt = None
        self.encoder_prompt_token_ids = None
        self.num_cached_tokens = num_cached_tokens

    def __repr__(self) -> str:
        names = ("request_id", "prompt", "prompt_token_ids", "prompt_logprobs", "outputs", "finished", "metrics",
                 "lora_request", "num_cached_tokens")
        return f"RequestOutput({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"
