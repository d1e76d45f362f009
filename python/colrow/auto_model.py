"""`AutoModelForCausalLM`: a model on tensor-parallel ranks with Transformers' interface."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
from types import SimpleNamespace
from typing import Any, Callable

from .arrays import array_of, check_device, rows_of
from .forward import CausalLMOutput, logits_of
from .launched import launched, on_rank_0
from .llm import LLM
from .model_folder import read_json
from .program import find_program
from .sampling_params import SamplingParams

_NEW_TOKENS = 20  # Transformers', where nobody says how many
_TOP_K = 50  # likewise, where it draws


class PretrainedConfig(SimpleNamespace):
    """config.json as attributes.

    Attributes
    ----------
    _tp_plan : dict of str to str
        Module patterns and their tensor-parallel styles, as the ranks have them.
    """

    def to_dict(self) -> dict[str, Any]:
        """Returns config.json's values."""
        return {name: value for name, value in vars(self).items() if name != "_tp_plan"}


class GenerationMixin:
    """What a loaded model can do.

    Attributes
    ----------
    config : PretrainedConfig
    generation_config : dict
        generation_config.json's values.
    tp_size : int
        Ranks that share the weights.
    tp_plan : dict of str to str
        Module patterns and their styles, as the ranks have them; also `_tp_plan` and `config._tp_plan`.
    device : str
        "cpu".
    """

    def __init__(self, open_model: Callable[[], LLM], tp_plan: Any) -> None:
        self.llm: LLM | None = None  # where the engine is: with a launcher, on rank 0

        def describe() -> tuple[dict[str, Any], dict[str, Any], int, dict[str, str]]:
            self.llm = open_model()
            engine = self.llm.llm_engine
            return (read_json(engine.folder, "config.json"), read_json(engine.folder, "generation_config.json"),
                    engine.info["tensor_parallel_size"],
                    plan_in_use(engine.folder, engine.info["tensor_parallel_size"], tp_plan))

        config, self.generation_config, self.tp_size, plan = on_rank_0(describe)
        self.config = PretrainedConfig(**config)
        self.config._tp_plan = self._tp_plan = self.tp_plan = plan
        self.device = "cpu"

    def eval(self) -> GenerationMixin:
        """Returns itself: there is nothing else."""
        return self

    def to(self, device: Any = None) -> GenerationMixin:
        """Returns itself: colrow computes on CPUs."""
        check_device(device)
        return self

    def __call__(self, input_ids: Any = None, attention_mask: Any = None, **others: Any) -> CausalLMOutput:
        """Returns the logits of tokens, which are computed at once.

        Parameters
        ----------
        input_ids : [rows, tokens]
            Lists, a numpy array or a torch tensor.
        attention_mask : [rows, tokens], optional
            0 where a row is only filled up; logits are 0 there.

        Returns
        -------
        CausalLMOutput
            With `logits` [rows, tokens, vocab_size], of the kind of `input_ids`.
        """
        _refuse_others("a model", others)
        rows, kind = rows_of(input_ids, "input_ids")
        return CausalLMOutput(logits_of(self.llm, rows, _masks(attention_mask, rows), kind))

    def generate(self, input_ids: Any = None, attention_mask: Any = None, *, inputs: Any = None,
                 max_new_tokens: int | None = None, max_length: int | None = None, min_new_tokens: int = 0,
                 do_sample: bool | None = None, temperature: float | None = None, top_p: float | None = None,
                 top_k: int | None = None, min_p: float | None = None, repetition_penalty: float | None = None,
                 num_return_sequences: int = 1, eos_token_id: int | list[int] | None = None,
                 pad_token_id: int | None = None, seed: int | None = None, **others: Any) -> Any:
        """Goes on from tokens.

        Parameters
        ----------
        input_ids : [rows, tokens]
            Lists, a numpy array or a torch tensor.
        attention_mask : [rows, tokens], optional
            0 where a row is only filled up.
        max_new_tokens, max_length : int, optional
            Of the answer, or of both; neither: generation_config.json's, else 20 new ones.
        do_sample : bool, optional
            Draw with `temperature`, `top_p`, `top_k` (50) and `min_p`; False: the likeliest token each time.
        num_return_sequences : int
            Answers for each row.
        pad_token_id : int, optional
            Fills up shorter answers; None: the model's, else its end token.
        seed : int, optional
            The same seed brings the same answers; None: the engine's.

        Returns
        -------
        [rows * num_return_sequences, tokens]
            `input_ids` with the answers behind them, of the same kind.

        Raises
        ------
        ValueError
            An argument that colrow does not have, or whose value is wrong.
        """
        _refuse_others("generate()", others)
        rows, kind = rows_of(inputs if input_ids is None else input_ids, "input_ids")
        masks = _masks(attention_mask, rows)
        prompts = [[token for token, seen in zip(row, mask) if seen] for row, mask in zip(rows, masks)]
        defaults = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": min_p,
                    "repetition_penalty": repetition_penalty}
        draw = self.generation_config.get("do_sample", False) if do_sample is None else do_sample
        params = self._params(bool(draw), defaults, num_return_sequences, min_new_tokens, seed, eos_token_id)
        lengths = [self._new_tokens(max_new_tokens, max_length, len(row)) for row in rows]
        each = []
        for length in lengths:
            params["max_tokens"] = length
            each.append(SamplingParams(**params))
        repeat = 1 if draw else num_return_sequences
        if repeat > 1:
            raise ValueError(f"num_return_sequences is {num_return_sequences}, but do_sample is False: all answers "
                             "would be the same")

        def answer() -> list[list[list[int]]]:
            assert self.llm is not None  # this is rank 0
            outputs = self.llm.generate(prompts, each, use_tqdm=False)
            return [[completion.token_ids for completion in output.outputs] for output in outputs]

        answers = [row + ids for row, completions in zip(rows, on_rank_0(answer)) for ids in completions]
        pad = self._pad_token(pad_token_id)
        width = max(map(len, answers))
        return array_of([answer + [pad] * (width - len(answer)) for answer in answers], kind)

    def _params(self, draw: bool, given: dict[str, Any], n: int, least: int, seed: int | None,
                eos: Any) -> dict[str, Any]:
        values = {name: self.generation_config.get(name) if value is None else value for name, value in given.items()}
        if draw and values["top_k"] is None:
            values["top_k"] = _TOP_K
        if not draw:
            values = {"temperature": 0.0, "repetition_penalty": values["repetition_penalty"]}
        params = {name: value for name, value in values.items() if value is not None}
        params.update(n=n if draw else 1, min_tokens=least, seed=seed, skip_special_tokens=False)
        if eos is not None:
            params.update(stop_token_ids=[eos] if isinstance(eos, int) else list(eos), ignore_eos=True)
        return params

    def _new_tokens(self, max_new_tokens: int | None, max_length: int | None, n_prompt: int) -> int:
        if max_new_tokens is None and max_length is None:
            max_new_tokens = self.generation_config.get("max_new_tokens")
            max_length = self.generation_config.get("max_length")
        if max_new_tokens is not None:
            return max_new_tokens
        if max_length is None:
            return _NEW_TOKENS
        if max_length <= n_prompt:
            raise ValueError(f"max_length is {max_length}, but input_ids have {n_prompt} tokens; say max_new_tokens")
        return max_length - n_prompt

    def _pad_token(self, given: int | None) -> int:
        for value in (given, self.generation_config.get("pad_token_id"), getattr(self.config, "pad_token_id", None),
                      self.generation_config.get("eos_token_id"), getattr(self.config, "eos_token_id", None)):
            value = value[0] if isinstance(value, list) and value else value
            if isinstance(value, int):
                return value
        return 0

    def close(self) -> None:
        """Ends the ranks, at once; else they end with the object."""
        if self.llm is not None:
            self.llm.close()


_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "num_beams": (None, 1), "use_cache": (None, True), "return_dict_in_generate": (None, False),
    "output_scores": (None, False), "synced_gpus": (None, False), "early_stopping": (None, False, True),
    "length_penalty": (None, 1.0), "no_repeat_ngram_size": (None, 0), "return_dict": (None, True),
    "output_attentions": (None, False), "output_hidden_states": (None, False)}

# What from_pretrained() of Transformers takes, and means nothing here, or only this.
_LOADING: dict[str, tuple[Any, ...]] = {
    "low_cpu_mem_usage": (True, False), "use_safetensors": (True,), "trust_remote_code": (True, False),
    "attn_implementation": ("eager", "sdpa", "flash_attention_2"), "use_cache": (True,)}


def _refuse_others(whose: str, others: dict[str, Any]) -> None:
    for name, value in others.items():
        if value not in _NEUTRAL.get(name, (None,)):
            raise ValueError(f"{whose} has no {name}={value!r:.100} here; leave it out (docs/python.md)")


def _masks(attention_mask: Any, rows: list[list[int]]) -> list[list[int]]:
    if attention_mask is None:
        return [[1] * len(row) for row in rows]
    masks, _ = rows_of(attention_mask, "attention_mask")
    if [len(mask) for mask in masks] != [len(row) for row in rows]:
        raise ValueError("attention_mask has another shape than input_ids")
    return masks


class AutoModelForCausalLM:
    """Opens models by name."""

    @staticmethod
    def from_pretrained(model: str | os.PathLike[str], *, tp_plan: str | dict[str, str] | None = None,
                        tp_size: int | None = None, dtype: Any = None, torch_dtype: Any = None,
                        device_map: Any = None, **arguments: Any) -> GenerationMixin:
        """Returns a model on `tp_size` ranks.

        Parameters
        ----------
        model : str or path
            A HuggingFace folder, or ``org/name`` of the HuggingFace cache.
        tp_plan : str or dict, optional
            "auto": colrow's plan for the family; a dict of module patterns to styles is laid over it.
        tp_size : int, optional
            Ranks; None: as many as the launcher has started processes, or 1 without one. With a launcher the model is
            opened once, by rank 0, and every process gets its answers.
        dtype : str or torch.dtype, optional
            None, "auto": the checkpoint's.
        **arguments
            Other arguments of `EngineArgs`.
        """
        if device_map not in (None, "auto", "cpu"):
            raise ValueError(f"device_map is {device_map!r}; colrow computes on cpu")
        if tp_plan is not None and tp_plan != "auto" and not isinstance(tp_plan, dict):
            raise ValueError(f"tp_plan is {tp_plan!r}; expected 'auto' or a dict of module patterns to styles")
        for name in [name for name, values in _LOADING.items() if arguments.get(name, values[0]) in (*values, None)]:
            arguments.pop(name, None)
        plan = tp_plan if isinstance(tp_plan, dict) else None
        kind = dtype if dtype is not None else torch_dtype
        ranks = tp_size or launched()
        return GenerationMixin(lambda: LLM(model, tensor_parallel_size=ranks, dtype="auto" if kind is None else kind,
                                           tp_plan=plan,
                                           distributed_executor_backend="mp", **arguments), plan)


@functools.lru_cache(maxsize=16)
def _plan_text(folder: str, ranks: int, plan: str | None) -> str:
    command = [find_program(), "plan", folder, "-tp", str(ranks), "--json"]
    if plan is not None:
        command += ["--tp-plan", "/dev/stdin"]
    done = subprocess.run(command, input=plan or "", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"colrow plan: {done.stderr.strip()}")
    return done.stdout


def plan_in_use(folder: str, ranks: int, tp_plan: dict[str, str] | None = None) -> dict[str, str]:
    """Returns module patterns and styles, as the ranks of a model have them.

    Parameters
    ----------
    folder : str
    ranks : int
    tp_plan : dict, optional
        What is laid over colrow's plan.
    """
    text = _plan_text(folder, ranks, None if tp_plan is None else json.dumps(tp_plan))
    plan: dict[str, str] = {}
    for parameter in json.loads(text)["parameters"]:
        module = re.sub(r"\.\d+\.", ".*.", re.sub(r"\.(weight|bias)$", "", parameter["name"]))
        if parameter["style"] not in (None, "replicate"):
            plan.setdefault(module, parameter["style"])
    return plan
