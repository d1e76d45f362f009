"""`LLM`: a model on ranks of this machine that answers batches, with vLLM's interface."""

from __future__ import annotations

import os
import threading
from typing import Any, Callable, NoReturn, Sequence, Tuple, TypeVar

from .engine import Engine
from .engine_args import EngineArgs
from .errors import BusyError
from .launched import launched, on_rank_0
from .model_folder import read_json
from .outputs import RequestOutput
from .progress import Progress
from .prompts import ReadPrompt, one_each, read_chats, read_prompts
from .requests import RequestState
from .sampling_params import SamplingParams
from .tokenizer import Tokenizer

_T = TypeVar("_T")
_Request = Tuple[ReadPrompt, SamplingParams, int, str]


class LLM:
    """A model that answers prompts.

    In a script that `colrow launch` has started several times, rank 0 opens it for all processes: each of them makes
    the same calls, and gets the answers to those of rank 0. distributed_executor_backend="mp" gives each its own.

    Parameters
    ----------
    model : str or path
        A HuggingFace folder, or ``org/name`` of the HuggingFace cache.
    tensor_parallel_size : int
        Ranks that share the weights.
    dtype : str
        "auto", "bfloat16", "float16" or "float32".
    seed : int
        For requests that have none.
    gpu_memory_utilization : float
        The share of this machine's memory that all of colrow may take.
    kv_cache_memory_bytes : int, optional
        For keys and values of all ranks together; None: from that share.
    max_model_len : int, optional
        Context in tokens; None: the model's; -1: what fits.
    **kwargs
        Other arguments of `EngineArgs`: vLLM's, as far as colrow knows them, and colrow's own (docs/python.md).

    Attributes
    ----------
    llm_engine : Engine
        On rank 0; others of a launched script have none.

    Raises
    ------
    TypeError, ValueError
        An argument that colrow does not have, or not with this value.
    ColrowError
        The library's sentence: a file is missing or wrong, memory does not suffice, ...
    """

    def __init__(self, model: str | os.PathLike[str], *, tensor_parallel_size: int = 1, dtype: Any = "auto",
                 seed: int = 0, gpu_memory_utilization: float = 0.92, kv_cache_memory_bytes: int | None = None,
                 max_model_len: int | None = None, **kwargs: Any) -> None:
        args = EngineArgs(model, tensor_parallel_size=tensor_parallel_size, dtype=dtype, seed=seed,
                          gpu_memory_utilization=gpu_memory_utilization,
                          kv_cache_memory_bytes=kv_cache_memory_bytes, max_model_len=max_model_len, **kwargs)
        backend = kwargs.get("distributed_executor_backend")
        self._shared = backend != "mp" and launched() > 1
        if backend == "external_launcher":
            _check_world(tensor_parallel_size, kwargs.get("pipeline_parallel_size"))
        self.request_counter = 0
        self._lock = threading.RLock()
        self._queued: list[_Request] = []
        self._engine: Engine | None = None
        self._n_ranks, folder = self._everywhere(lambda: self._open(args))
        self._tokenizer = self._engine.tokenizer if self._engine else Tokenizer(folder)

    def _open(self, args: EngineArgs) -> tuple[int, str]:
        self._engine = Engine(args)
        return self._engine.info["n_ranks"], self._engine.folder

    def _everywhere(self, work: Callable[[], _T]) -> _T:
        """Returns what `work` brings here, or for all processes of a launched script on rank 0."""
        return on_rank_0(work) if self._shared else work()

    @property
    def llm_engine(self) -> Engine:
        """The engine."""
        if self._engine is None:
            raise RuntimeError("the engine of this model is in the process with RANK 0")
        return self._engine

    @classmethod
    def from_engine_args(cls, engine_args: EngineArgs) -> LLM:
        """Returns a model opened with these arguments."""
        return cls(engine_args.model, revision=engine_args.revision, **engine_args.arguments)

    def get_tokenizer(self) -> Tokenizer:
        """Returns the model's tokenizer."""
        return self._tokenizer

    def get_world_size(self, include_dp: bool = True) -> int:
        """Returns the number of ranks."""
        return self._n_ranks

    def get_default_sampling_params(self) -> SamplingParams:
        """Returns what holds where a request says nothing: generation_config.json's numbers, as vLLM reads them."""
        config = read_json(self._tokenizer.name_or_path, "generation_config.json")
        names = {"repetition_penalty": "repetition_penalty", "temperature": "temperature", "top_k": "top_k",
                 "top_p": "top_p", "min_p": "min_p", "max_new_tokens": "max_tokens"}
        return SamplingParams(**{ours: config[theirs] for theirs, ours in names.items()
                                 if config.get(theirs) is not None})

    def generate(self, prompts: Any, sampling_params: SamplingParams | Sequence[SamplingParams] | None = None, *,
                 use_tqdm: bool | Callable[..., Any] = True, lora_request: None = None,
                 priority: int | Sequence[int] | None = None) -> list[RequestOutput]:
        """Answers prompts; all of them at once is fastest.

        Parameters
        ----------
        prompts : str, list of int, dict, or a list of these
            Texts, token ids, or {"prompt": ...}, {"prompt_token_ids": ...}.
        sampling_params : SamplingParams or list, optional
            One for all prompts, or one for each; None: the model's.
        use_tqdm : bool or callable
            Show a progress bar, where tqdm is installed.
        priority : int or list of int, optional
            Smaller goes first, with scheduling_policy="priority".

        Returns
        -------
        list of RequestOutput
            In the order of the prompts.

        Raises
        ------
        ColrowError
            A prompt that cannot be answered; then none is.
        """
        _refuse(lora_request=lora_request)
        with self._lock:
            return self._everywhere(lambda: self._run(self._requests(
                read_prompts(prompts, self.get_tokenizer()), sampling_params, priority), use_tqdm))

    def chat(self, messages: Any, sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
             use_tqdm: bool | Callable[..., Any] = True, lora_request: None = None,
             priority: int | Sequence[int] | None = None, chat_template: str | None = None,
             chat_template_content_format: str = "auto", add_generation_prompt: bool = True,
             continue_final_message: bool = False, tools: list[dict[str, Any]] | None = None,
             chat_template_kwargs: dict[str, Any] | None = None) -> list[RequestOutput]:
        """Answers chats, written by the model's template.

        Parameters
        ----------
        messages : list of dict, or list of such lists
            Each message has a role and a content.
        chat_template : str, optional
            The text of a template, or its file; None: the model's.
        add_generation_prompt : bool
            End with the beginning of an answer.
        continue_final_message : bool
            The answer goes on with the last message; without `add_generation_prompt`.
        tools : list of dict, optional
            Functions that the model may call.
        chat_template_kwargs : dict, optional
            More variables of the template, such as enable_thinking.

        Returns
        -------
        list of RequestOutput
            In the order of the chats. See `generate()`.
        """
        _refuse(lora_request=lora_request)
        if chat_template_content_format not in ("auto", "string"):
            raise ValueError(f"chat_template_content_format is {chat_template_content_format!r}; expected 'auto' or "
                             "'string'")
        with self._lock:
            return self._everywhere(lambda: self._run(self._requests(
                read_chats(messages, self.get_tokenizer(), add_generation_prompt, chat_template=chat_template,
                           tools=tools, continue_final_message=continue_final_message, variables=chat_template_kwargs),
                sampling_params, priority), use_tqdm))

    def enqueue(self, prompts: Any, sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
                lora_request: None = None, priority: int | Sequence[int] | None = None,
                use_tqdm: bool = True) -> list[str]:
        """Keeps prompts for `wait_for_completion()`; returns the ids of their requests."""
        _refuse(lora_request=lora_request)
        with self._lock:
            requests = self._requests(read_prompts(prompts, self.get_tokenizer()), sampling_params, priority)
            self._queued += requests
            return [request[3] for request in requests]

    def wait_for_completion(self, *, use_tqdm: bool | Callable[..., Any] = True) -> list[RequestOutput]:
        """Answers what `enqueue()` has kept, in its order."""
        with self._lock:
            requests, self._queued = self._queued, []
            return self._everywhere(lambda: self._run(requests, use_tqdm))

    def beam_search(self, *_: Any, **__: Any) -> NoReturn:
        """Refuses: colrow draws answers, and does not search for them."""
        raise ValueError("colrow has no beam search; n= and temperature= of SamplingParams bring several answers")

    def _no_pooling(self, *_: Any, **__: Any) -> NoReturn:
        """Refuses: colrow has no models that turn texts into vectors, classes or scores."""
        raise ValueError("colrow generates text; it has no embed(), encode(), classify(), score() or reward()")

    embed = encode = classify = score = reward = _no_pooling

    def _requests(self, prompts: list[ReadPrompt], params: Any, priority: Any) -> list[_Request]:
        params = one_each(self.get_default_sampling_params() if params is None else params, SamplingParams,
                          len(prompts), "sampling_params")
        priorities = one_each(0 if priority is None else priority, int, len(prompts), "priority")
        first = self.request_counter
        self.request_counter += len(prompts)
        return [(prompt, params[i], priorities[i], str(first + i)) for i, prompt in enumerate(prompts)]

    def _run(self, requests: list[_Request], use_tqdm: bool | Callable[..., Any]) -> list[RequestOutput]:
        progress = Progress(len(requests), use_tqdm)
        states: list[RequestState] = []
        alive: dict[int, RequestState] = {}
        try:
            for prompt, params, priority, name in requests:
                state = RequestState(name, prompt.text, prompt.ids, params, self.get_tokenizer())
                states.append(state)
                while True:
                    try:
                        alive[self.llm_engine.submit(prompt.ids, params, priority, prompt.cache_salt)] = state
                        break
                    except BusyError:
                        if not alive:  # nothing that would make room
                            raise
                        self._take_one(alive, progress)
            while alive:
                self._take_one(alive, progress)
        except BaseException:  # Ctrl-C too: nobody would take their outputs
            for number in alive:
                self.llm_engine.cancel(number)
            raise
        finally:
            progress.close()
        return [state.output() for state in states]

    def _take_one(self, alive: dict[int, RequestState], progress: Progress) -> None:
        """Runs the engine up to its next output."""
        output = self.llm_engine.poll(wait=True)
        if output is None:
            raise RuntimeError("the engine has nothing to do, but requests are open: a bug of colrow")
        state = alive.get(output.request)
        if state is None:  # of a batch that was given up
            return
        state.take(output, self.llm_engine.info["vocab_size"])
        if state.finished:
            del alive[output.request]
            progress.done(len(state.ids), sum(len(sequence.ids) for sequence in state.sequences))

    def close(self) -> None:
        """Ends the ranks, at once; else they end with the object."""
        if self._engine is not None:
            self._engine.close()

    def __enter__(self) -> LLM:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def _check_world(tensor: int | None, pipeline: int | None) -> None:
    ranks = (tensor or 1) * (pipeline or 1)
    if ranks != launched():
        raise ValueError(f"distributed_executor_backend is 'external_launcher' with {ranks} ranks, but `colrow launch` "
                         f"has started {launched()} processes; the numbers must be the same")


def _refuse(**given: Any) -> None:
    """Raises for arguments of vLLM that colrow does not have."""
    for name, value in given.items():
        if value:
            raise ValueError(f"{name} is {value!r:.100}, which colrow does not have here; leave it out")
