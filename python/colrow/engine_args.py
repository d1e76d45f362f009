"""What an engine is opened with: vLLM's arguments, and those that only colrow has."""

from __future__ import annotations

import ctypes
import json
import math
import os
import tempfile
from typing import Any, Callable

from . import structs
from .library import byref, library, program_path
from .model_folder import find_model

LOG_LEVELS = {"debug": 0, "info": 1, "warning": 2, "error": 3}


def _whole(name: str, value: Any, bits: int = 31) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueError(f"{name} is {value!r}; expected a whole number")
    if not -2**bits <= int(value) < 2**bits:
        raise ValueError(f"{name} is {value}; expected a number of {bits + 1} bits")
    return int(value)


def _long(name: str, value: Any) -> int:
    return _whole(name, value, 63)


def _seed(name: str, value: Any) -> int:
    number = _whole(name, value, 64)
    if number < 0:
        raise ValueError(f"{name} is {value}; expected 0 to 2**64 - 1")
    return number


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}; expected a number")
    return float(value)


def _flag(name: str, value: Any) -> int:
    if not isinstance(value, (bool, int)) or value not in (0, 1):
        raise ValueError(f"{name} is {value!r}; expected True or False")
    return int(value)


def _text(name: str, value: Any) -> bytes:
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str) or "\0" in text:
        raise ValueError(f"{name} is {value!r}; expected a text")
    return text.encode()


def _dtype(name: str, value: Any) -> bytes:
    text = str(value)  # torch.bfloat16 is "torch.bfloat16"
    return _text(name, {"half": "float16", "float": "float32"}.get(text, text.replace("torch.", "")))


def _model_len(name: str, value: Any) -> int:
    return -1 if value == "auto" else _long(name, value)


def _level(name: str, value: Any) -> int:
    if value not in LOG_LEVELS:
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(LOG_LEVELS)}")
    return LOG_LEVELS[value]


# argument: (member of colrow_options, how it is read); None leaves the library's default
_ARGUMENTS: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "tensor_parallel_size": ("tensor_parallel_size", _whole),
    "pipeline_parallel_size": ("pipeline_parallel_size", _whole),
    "dtype": ("dtype", _dtype),
    "max_model_len": ("max_model_len", _model_len),
    "max_num_seqs": ("max_num_seqs", _whole),
    "max_num_batched_tokens": ("max_num_batched_tokens", _whole),
    "gpu_memory_utilization": ("gpu_memory_utilization", _number),
    "kv_cache_memory_bytes": ("kv_cache_memory", _long),
    "kv_cache_dtype": ("kv_cache_dtype", _dtype),
    "enable_prefix_caching": ("enable_prefix_caching", _flag),
    "enable_expert_parallel": ("enable_expert_parallel", _flag),
    "scheduling_policy": ("scheduling_policy", _text),
    "kv_offloading_size": ("kv_offloading_size", _number),
    "swap_space": ("kv_offloading_size", _number),
    "seed": ("seed", _seed),
    "tp_plan": ("tp_plan", _text),
    "tp_plan_replace": ("tp_plan_replace", _text),
    "pp_layer_partition": ("pp_layer_partition", _text),
    "reduction_leaves": ("reduction_leaves", _whole),
    "product_order": ("product_order", _text),
    "threads_per_rank": ("threads_per_rank", _whole),
    "collective_timeout": ("collective_timeout", _number),
    "step_timeout": ("step_timeout", _number),
    "canary_interval": ("canary_interval", _number),
    "rank_restarts": ("restarts", _whole),
    "rank_program": ("rank_program", _text),
    "confinement": ("confinement", _flag),
    "core_dumps": ("core_dumps", _flag),
    "prompt_logits": ("prompt_logits", _flag),
    "log_level": ("log_level", _level),
}

# vLLM's arguments that change nothing here whatever they are.
_WITHOUT_EFFECT = {"trust_remote_code", "enforce_eager", "disable_log_stats", "disable_custom_all_reduce",
                   "block_size", "max_parallel_loading_workers", "enable_log_requests", "disable_log_requests",
                   "compilation_config", "max_logprobs"}

# vLLM's arguments with the values that mean what colrow does anyway.
_ONLY = {
    "runner": ("auto", "generate"), "convert": ("auto", "none"), "tokenizer": (None,), "tokenizer_mode": ("auto", "hf"),
    "skip_tokenizer_init": (False,), "quantization": (None,), "tokenizer_revision": (None,), "chat_template": (None,),
    "cpu_offload_gb": (0,), "hf_overrides": (None, {}), "load_format": ("auto", "safetensors"), "device": ("auto", "cpu"),
    "distributed_executor_backend": (None, "mp"), "data_parallel_size": (1,), "enable_chunked_prefill": (None, True),
    "enable_lora": (False,), "speculative_config": (None,), "generation_config": ("auto",), "logits_processors": (None,),
    "structured_outputs_config": (None,), "attention_config": (None,), "quantization_config": (None,),
    "kv_offloading_backend": (None, "native"), "allowed_local_media_path": ("",), "mm_processor_kwargs": (None,),
    "pooler_config": (None,), "nnodes": (1,), "prefill_context_parallel_size": (1,), "decode_context_parallel_size": (1,),
}


class EngineArgs:
    """Arguments of an engine.

    Parameters
    ----------
    model : str or path
        A HuggingFace folder, or ``org/name`` of the HuggingFace cache.
    revision : str, optional
        Of a name.
    **arguments
        vLLM's, as far as colrow knows them, and colrow's own (docs/python.md). One that is None keeps its default.

    Raises
    ------
    TypeError
        colrow has no such argument.
    ValueError
        It has, but not this value.
    """

    def __init__(self, model: str | os.PathLike, *, revision: str | None = None, **arguments: Any) -> None:
        self.model = model
        self.revision = revision
        self.arguments = arguments
        for name, value in arguments.items():
            if name in _ARGUMENTS or name in _WITHOUT_EFFECT:
                continue
            if name not in _ONLY:
                raise TypeError(f"colrow has no argument {name}; leave it out (docs/python.md lists those it has)")
            same = name == "tokenizer" and value == model
            if not same and not any(value is known or value == known for known in _ONLY[name]):
                raise ValueError(f"{name} is {value!r}, which colrow does not have; expected "
                                 f"{' or '.join(map(repr, _ONLY[name]))}")

    def options(self) -> tuple[structs.Options, list, str]:
        """Returns them as C has them, what has to live as long, and the model's folder."""
        folder = find_model(self.model, self.revision)
        options = structs.Options()
        library().colrow_options_init_sized(byref(options), ctypes.sizeof(options))
        options.model = folder.encode()
        options.prompt_logits = 1  # as `colrow serve` has it: some room for SamplingParams.prompt_logprobs
        options.log_level = LOG_LEVELS["warning"]
        program = program_path()
        if program:
            options.rank_program = program.encode()
        kept: list = []
        for name, value in self.arguments.items():
            if value is None or name not in _ARGUMENTS:
                continue
            if name in ("tp_plan", "tp_plan_replace") and isinstance(value, dict):
                value = _plan_file(name, value, kept)
            member, read = _ARGUMENTS[name]
            setattr(options, member, read(name, value))
        return options, kept, folder


def _plan_file(name: str, plan: dict, kept: list) -> str:
    """Writes a plan for the library, which reads files; it goes with `kept`."""
    if not all(isinstance(text, str) for item in plan.items() for text in item):
        raise ValueError(f"{name} is {plan!r}; expected module patterns and styles, all of them str")
    file = tempfile.NamedTemporaryFile("w", suffix=".json", prefix="colrow-plan-", encoding="utf-8")
    json.dump(plan, file)
    file.flush()
    kept.append(file)
    return file.name


class AsyncEngineArgs(EngineArgs):
    """Arguments of an async engine; the same."""
