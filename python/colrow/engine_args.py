"""What an engine is opened with: vLLM's arguments, and those that only colrow has."""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import os
import tempfile
from typing import Any, Callable, TypeVar

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


def _json(name: str, value: Any) -> bytes:
    return _text(name, json.dumps(value) if isinstance(value, dict) else value)


def _dtype(name: str, value: Any) -> bytes:
    text = str(value)  # torch.bfloat16 is "torch.bfloat16"
    return _text(name, {"half": "float16", "float": "float32"}.get(text, text.replace("torch.", "")))


def _quantization(name: str, value: Any) -> bytes:
    if value not in ("int8", "int4", "none"):
        raise ValueError(f"{name} is {value!r}, which colrow does not have; expected 'int8', 'int4' or None: a checkpoint "
                         "that is quantised says so itself")
    return _text(name, value)


def _model_len(name: str, value: Any) -> int:
    return -1 if value == "auto" else _long(name, value)


def _level(name: str, value: Any) -> int:
    if value not in LOG_LEVELS:
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(LOG_LEVELS)}")
    return LOG_LEVELS[value]


# argument: (member of colrow_options, how it is read); None leaves the library's default
ARGUMENTS: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "tensor_parallel_size": ("tensor_parallel_size", _whole),
    "pipeline_parallel_size": ("pipeline_parallel_size", _whole),
    "dtype": ("dtype", _dtype),
    "max_model_len": ("max_model_len", _model_len),
    "max_num_seqs": ("max_num_seqs", _whole),
    "max_num_batched_tokens": ("max_num_batched_tokens", _whole),
    "gpu_memory_utilization": ("gpu_memory_utilization", _number),
    "kv_cache_memory_bytes": ("kv_cache_memory", _long),
    "kv_cache_dtype": ("kv_cache_dtype", _dtype),
    "quantization": ("quantization", _quantization),
    "quantization_group_size": ("quantization_group_size", _whole),
    "quantization_lm_head": ("quantization_lm_head", _text),
    "enable_prefix_caching": ("enable_prefix_caching", _flag),
    "enable_expert_parallel": ("enable_expert_parallel", _flag),
    "expert_parallel_size": ("expert_parallel_size", _whole),
    "decode_context_parallel_size": ("decode_context_parallel_size", _whole),
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
    "speculative_config": ("speculative_config", _json),
}

# vLLM's arguments that change nothing here whatever they are.
WITHOUT_EFFECT = {"trust_remote_code", "enforce_eager", "disable_log_stats", "disable_custom_all_reduce",
                  "block_size", "max_parallel_loading_workers", "enable_log_requests", "disable_log_requests",
                  "compilation_config", "max_logprobs", "attention_backend", "use_tqdm_on_load",
                  "safetensors_load_strategy", "numa_bind", "served_model_name", "max_seq_len_to_capture"}

# vLLM's arguments with the values that mean what colrow does anyway.
ONLY: dict[str, tuple[Any, ...]] = {
    "runner": ("auto", "generate"), "convert": ("auto", "none"), "tokenizer": (None,), "tokenizer_mode": ("auto", "hf"),
    "skip_tokenizer_init": (False,), "tokenizer_revision": (None,), "chat_template": (None,),
    "cpu_offload_gb": (0,), "hf_overrides": (None, {}), "load_format": ("auto", "safetensors"), "device": ("auto", "cpu"),
    "distributed_executor_backend": (None, "mp", "external_launcher"), "data_parallel_size": (1,), "enable_chunked_prefill": (None, True),
    "enable_lora": (False,), "generation_config": ("auto",), "logits_processors": (None,),
    "structured_outputs_config": (None,), "attention_config": (None,), "quantization_config": (None,),
    "kv_offloading_backend": (None, "native"), "allowed_local_media_path": ("",), "mm_processor_kwargs": (None,),
    "pooler_config": (None,), "nnodes": (1,), "prefill_context_parallel_size": (1,),
}


SWITCHES = {"trust_remote_code", "enforce_eager", "disable_log_stats", "disable_custom_all_reduce",
             "enable_log_requests", "disable_log_requests", "use_tqdm_on_load", "numa_bind"}
_SHORT = {"tensor_parallel_size": ("-tp",), "pipeline_parallel_size": ("-pp",), "quantization": ("-q",),
          "data_parallel_size": ("-dp",)}
_Args = TypeVar("_Args", bound="EngineArgs")


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

    def __init__(self, model: str | os.PathLike[str], *, revision: str | None = None, **arguments: Any) -> None:
        self.model = model
        self.revision = revision
        self.arguments = arguments
        for name, value in arguments.items():
            if name in ARGUMENTS or name in WITHOUT_EFFECT:
                continue
            if name not in ONLY:
                raise TypeError(f"colrow has no argument {name}; leave it out (docs/python.md lists those it has)")
            same = value is None or (name == "tokenizer" and value == model)
            if not same and not any(value is known or value == known for known in ONLY[name]):
                raise ValueError(f"{name} is {value!r}, which colrow does not have; expected "
                                 f"{' or '.join(map(repr, ONLY[name]))}")

    @staticmethod
    def add_cli_args(parser: Any) -> Any:
        """Adds all of them to a parser of argparse, or a group of one, as flags with vLLM's names; returns it."""
        return add_engine_flags(parser)

    @classmethod
    def from_cli_args(cls: type[_Args], args: argparse.Namespace) -> _Args:
        """Returns the arguments of an engine in what a parser has read; the others there are left alone."""
        known = {name: value for name, value in vars(args).items() if value is not None
                 and (name in ARGUMENTS or name in WITHOUT_EFFECT or name in ONLY)}
        return cls(args.model, revision=getattr(args, "revision", None), **known)

    def options(self) -> tuple[structs.Options, list[Any], str]:
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
        kept: list[Any] = []
        for name, value in self.arguments.items():
            if value is None or name not in ARGUMENTS:
                continue
            if name in ("tp_plan", "tp_plan_replace") and isinstance(value, dict):
                value = _plan_file(name, value, kept)
            member, read = ARGUMENTS[name]
            setattr(options, member, read(name, value))
        return options, kept, folder


def _plan_file(name: str, plan: dict[Any, Any], kept: list[Any]) -> str:
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


def _flag_form(name: str) -> dict[str, Any]:
    """How argparse reads an argument, from how it is checked."""
    if name in ARGUMENTS:
        read = ARGUMENTS[name][1]
        if read is _flag:
            return {"action": argparse.BooleanOptionalAction}
        forms: dict[Any, Any] = {_whole: int, _number: float, _long: bytes_or_number, _seed: int,
                                 _model_len: bytes_or_number}
        return {"type": forms.get(read, str)}
    examples = [value for value in ONLY.get(name, ()) if value is not None] or [""]
    if name in SWITCHES or isinstance(examples[0], bool):
        return {"action": argparse.BooleanOptionalAction}
    if isinstance(examples[0], dict) or name.endswith("_config"):
        return {"type": json.loads}
    return {"type": type(examples[0])}


def bytes_or_number(text: str) -> int | str:
    """Returns a number as vLLM's flags have it: 4096, 4k (4000), 4K (4096), 1.5G; "auto" stays.

    Raises
    ------
    ValueError
        It is none.
    """
    if text == "auto":
        return text
    factor = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12,
              "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}.get(text[-1:], 1)
    return int(text) if factor == 1 else int(float(text[:-1]) * factor)


def add_engine_flags(parser: Any) -> Any:
    """Adds flags for all arguments of an engine to a parser; those that are not given are None, the default."""
    parser.add_argument("--model", help="a HuggingFace folder, or org/name of the HuggingFace cache")
    parser.add_argument("--revision", help="of a name")
    for name in (*ARGUMENTS, *sorted(WITHOUT_EFFECT), *ONLY):
        flags = ["--" + name.replace("_", "-"), *_SHORT.get(name, ())]
        known = " or ".join(str(value) for value in ONLY.get(name, ()) if value is not None)
        what = "as `colrow generate --help` has it" if name in ARGUMENTS else "changes nothing here"
        parser.add_argument(*flags, default=None, help=f"taken for vLLM's sake: {known}" if known else what,
                            **_flag_form(name))
    return parser
