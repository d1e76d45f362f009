"""`LLMEngine`: a model whose steps a program runs itself, with vLLM's interface."""

from __future__ import annotations

from typing import Any, Iterable

from .engine import Engine
from .engine_args import EngineArgs
from .errors import BusyError, ColrowError
from .outputs import RequestOutput
from .prompts import ReadPrompt, read_prompt
from .requests import RequestState
from .sampling_params import RequestOutputKind, SamplingParams
from .tokenizer import Tokenizer


class LLMEngine:
    """A model that answers requests step by step. One thread at a time may use it.

    Parameters
    ----------
    engine : Engine
        `from_engine_args()` opens one.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._waiting: list[tuple[RequestState, ReadPrompt, int]] = []
        self._numbers: dict[str, int] = {}
        self._states: dict[int, RequestState] = {}

    @classmethod
    def from_engine_args(cls, engine_args: EngineArgs) -> LLMEngine:
        """Opens a model; returns when its ranks have loaded."""
        return cls(Engine(engine_args))

    def get_tokenizer(self) -> Tokenizer:
        """Returns the model's tokenizer."""
        return self.engine.tokenizer

    def add_request(self, request_id: str, prompt: Any, params: SamplingParams, *, priority: int = 0) -> None:
        """Takes a request; its outputs come from `step()`.

        Parameters
        ----------
        request_id : str
            A name that no other open request has.
        prompt : str, list of int or dict
        params : SamplingParams
        priority : int
            Smaller goes first, with scheduling_policy="priority".

        Raises
        ------
        ColrowError, ValueError, TypeError
            The request is refused.
        """
        if request_id in self._numbers or any(state.request_id == request_id for state, _, _ in self._waiting):
            raise ValueError(f"Request id {request_id} already running.")
        read = read_prompt(prompt, self.engine.tokenizer)
        entry = (RequestState(request_id, read.text, read.ids, params, self.engine.tokenizer), read, priority)
        if self._waiting or not self._submit(*entry):
            self._waiting.append(entry)

    def _submit(self, state: RequestState, read: ReadPrompt, priority: int) -> bool:
        """Whether there was room."""
        try:
            number = self.engine.submit(read.ids, state.params, priority, read.cache_salt)
        except BusyError:
            if not self._states:  # nothing that would make room
                raise
            return False
        self._numbers[state.request_id], self._states[number] = number, state
        return True

    def step(self) -> list[RequestOutput]:
        """Runs steps until there is something new; returns it, in the order in which it came."""
        while self._waiting and self._submit(*self._waiting[0]):
            del self._waiting[0]
        news: dict[tuple[int, int], RequestState] = {}
        output = self.engine.poll(wait=True)
        while output is not None:
            state = self._states.get(output.request)
            if state is not None:
                self._take(state, output)
                news[output.request, output.index] = state
            output = self.engine.poll(wait=False)
        return self._outputs(news)

    def _take(self, state: RequestState, output: Any) -> None:
        try:
            state.take(output, self.engine.info["vocab_size"])
        except ColrowError:
            self._forget(output.request)
            raise
        if state.finished:
            self._forget(output.request)

    def _outputs(self, news: dict[tuple[int, int], RequestState]) -> list[RequestOutput]:
        """Of several sequences of a request, the last one says that it is finished."""
        last = {number: index for number, index in news}
        found = []
        for (number, index), state in news.items():
            if state.params.output_kind is not RequestOutputKind.FINAL_ONLY:
                found.append(state.output([index]))
                found[-1].finished = state.finished and last[number] == index
            elif state.finished and last[number] == index:
                found.append(state.output())
        return found

    def _forget(self, number: int) -> None:
        state = self._states.pop(number)
        del self._numbers[state.request_id]

    def abort_request(self, request_ids: str | Iterable[str]) -> None:
        """Ends requests, of which nothing more comes; names that no request has are left alone."""
        for name in [request_ids] if isinstance(request_ids, str) else list(request_ids):
            self._waiting = [entry for entry in self._waiting if entry[0].request_id != name]
            number = self._numbers.get(name)
            if number is not None:
                self.engine.cancel(number)
                self._forget(number)

    def get_num_unfinished_requests(self) -> int:
        """Returns how many requests are open."""
        return len(self._states) + len(self._waiting)

    def has_unfinished_requests(self) -> bool:
        """Whether a request is open."""
        return self.get_num_unfinished_requests() > 0

    def shutdown(self) -> None:
        """Ends the ranks."""
        self.engine.close()
