"""`AsyncLLMEngine`: answers of an engine as async iterators, in one asyncio loop and without a thread."""

from __future__ import annotations

import asyncio
from typing import Any, AsyncGenerator

from .engine import Engine
from .engine_args import EngineArgs
from .errors import BusyError, ColrowError
from .outputs import RequestOutput
from .prompts import read_prompt
from .requests import RequestState
from .sampling_params import RequestOutputKind, SamplingParams
from .tokenizer import Tokenizer

_BUSY_SECONDS = 0.05  # after which a request is tried again that had no room


class _Stream:
    """A request whose outputs somebody awaits."""

    def __init__(self, state: RequestState) -> None:
        self.state = state
        self.number: int | None = None
        self.changed: list[int] = []  # sequences with news, in the order in which these came
        self.failure: BaseException | None = None
        self.aborted = False
        self.wake = asyncio.Event()


class AsyncLLMEngine:
    """A model that answers many requests at once. It belongs to the loop in which `generate()` is first used.

    Parameters
    ----------
    engine : Engine
        `from_engine_args()` opens one.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.errored = False
        self._streams: dict[str, _Stream] = {}
        self._by_number: dict[int, _Stream] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def from_engine_args(cls, engine_args: EngineArgs) -> AsyncLLMEngine:
        """Opens a model; returns when its ranks have loaded."""
        return cls(Engine(engine_args))

    @property
    def is_running(self) -> bool:
        """Whether requests are taken."""
        return not self.errored

    async def get_tokenizer(self) -> Tokenizer:
        """Returns the model's tokenizer."""
        return self.engine.tokenizer

    async def generate(self, prompt: Any, sampling_params: SamplingParams, request_id: str, *,
                       lora_request: None = None, priority: int = 0) -> AsyncGenerator[RequestOutput, None]:
        """Answers a prompt step by step.

        Parameters
        ----------
        prompt : str, list of int or dict
        sampling_params : SamplingParams
            Its `output_kind` says whether outputs hold all so far, the new part, or only the end comes.
        request_id : str
            A name that no other open request has.
        priority : int
            Smaller goes first, with scheduling_policy="priority".

        Yields
        ------
        RequestOutput
            With the sequence that has news; with all n of them at the end, where only that is asked for.

        Raises
        ------
        ColrowError
            The request is refused, or fails. Leaving the iterator ends the request.
        """
        if lora_request is not None:
            raise ValueError("lora_request is given, which colrow does not have; leave it out")
        if request_id in self._streams:
            raise ValueError(f"Request id {request_id} already running.")
        self._attach()
        read = read_prompt(prompt, self.engine.tokenizer)
        stream = _Stream(RequestState(request_id, read.text, read.ids, sampling_params, self.engine.tokenizer))
        self._streams[request_id] = stream
        try:
            await self._submit(stream, read, sampling_params, priority)
            while True:
                await stream.wake.wait()
                stream.wake.clear()
                for output in self._news(stream):
                    yield output
                if stream.failure:
                    raise stream.failure
                if stream.state.finished:
                    return
        finally:
            self._forget(stream)

    async def _submit(self, stream: _Stream, read: Any, params: SamplingParams, priority: int) -> None:
        while not stream.aborted:
            try:
                stream.number = self.engine.submit(read.ids, params, priority, read.cache_salt)
                self._by_number[stream.number] = stream
                return
            except BusyError:
                if not self._by_number:  # nothing that would make room
                    raise
                await asyncio.sleep(_BUSY_SECONDS)
        raise asyncio.CancelledError(f"request {stream.state.request_id} was aborted")

    def _news(self, stream: _Stream) -> list[RequestOutput]:
        state = stream.state
        if state.params.output_kind is RequestOutputKind.FINAL_ONLY:
            return [state.output()] if state.finished else []
        changed, stream.changed = list(dict.fromkeys(stream.changed)), []
        outputs = [state.output([index]) for index in changed]
        for output in outputs[:-1]:
            output.finished = False
        return outputs

    def _forget(self, stream: _Stream) -> None:
        self._streams.pop(stream.state.request_id, None)
        known = stream.number is not None and self._by_number.pop(stream.number, None) is not None
        if known and stream.number is not None and not stream.state.finished:
            self.engine.cancel(stream.number)

    def _attach(self) -> None:
        """Has the running loop look after the engine."""
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return
        if self._by_number:
            raise RuntimeError("this engine answers requests of another event loop")
        self._detach()
        self._loop = loop
        loop.add_reader(self.engine.fd(), self._on_readable)

    def _detach(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self.engine.fd())
        self._loop = None

    def _on_readable(self) -> None:
        """Lets the engine do what it can, and wakes those who wait for what has come."""
        try:
            self.engine.advance()
            while (output := self.engine.poll(wait=False)) is not None:
                self._take(output)
        except ColrowError as error:  # the group is over
            self.errored = True
            self._detach()
            for stream in list(self._by_number.values()):
                stream.failure = stream.failure or error
                stream.wake.set()

    def _take(self, output: Any) -> None:
        stream = self._by_number.get(output.request)
        if stream is None:  # nobody waits for it any more
            return
        try:
            stream.state.take(output, self.engine.info["vocab_size"])
            stream.changed.append(output.index)
        except ColrowError as error:
            stream.failure = error
        stream.wake.set()

    async def abort(self, request_id: str) -> None:
        """Ends a request: its iterator brings a last output with the reason "abort"."""
        stream = self._streams.get(request_id)
        if stream is None:
            return
        stream.aborted = True
        if stream.number is not None:
            self.engine.cancel(stream.number)

    async def check_health(self) -> None:
        """Raises RuntimeError when the ranks are lost for good."""
        if self.errored:
            raise RuntimeError("the ranks of this engine are lost; open the model again")

    def shutdown(self) -> None:
        """Ends the ranks."""
        self._detach()
        self.engine.close()


AsyncLLM = AsyncLLMEngine
