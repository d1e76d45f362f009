"""What users give as prompts, in vLLM's forms: texts, token ids, dicts with either, and chats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence, TypeVar

from .tokenizer import Tokenizer

_T = TypeVar("_T")
_KEYS = {"prompt", "prompt_token_ids", "cache_salt"}


@dataclass
class ReadPrompt:
    """A prompt as an engine takes it."""

    text: str | None
    ids: list[int]
    cache_salt: str | None = None


def is_ids(value: Any) -> bool:
    """Whether it is a list of whole numbers."""
    return isinstance(value, (list, tuple)) and all(hasattr(item, "__index__") for item in value)


def read_prompt(prompt: Any, tokenizer: Tokenizer, where: str = "the prompt") -> ReadPrompt:
    """Returns one prompt.

    Parameters
    ----------
    prompt : str, sequence of int or dict
        With "prompt" or "prompt_token_ids", and maybe "cache_salt".
    tokenizer : Tokenizer
    where : str
        Which one it is, for errors.

    Raises
    ------
    TypeError, ValueError
        It is nothing of these.
    """
    if hasattr(prompt, "tolist"):
        prompt = prompt.tolist()
    salt = None
    if isinstance(prompt, dict):
        others = set(prompt) - _KEYS
        if others or ("prompt" in prompt) == ("prompt_token_ids" in prompt):
            raise ValueError(f"{where} is a dict with {', '.join(map(repr, prompt)) or 'nothing'}; expected 'prompt' "
                             "or 'prompt_token_ids', and maybe 'cache_salt'")
        salt = prompt.get("cache_salt")
        prompt = prompt["prompt"] if "prompt" in prompt else prompt["prompt_token_ids"]
        if hasattr(prompt, "tolist"):
            prompt = prompt.tolist()
    if isinstance(prompt, str):
        return ReadPrompt(prompt, tokenizer.encode(prompt), salt)
    if not is_ids(prompt):
        raise TypeError(f"{where} is {prompt!r:.100}; expected a text, token ids, or a dict with either")
    return ReadPrompt(None, [int(token) for token in prompt], salt)


def read_prompts(prompts: Any, tokenizer: Tokenizer) -> list[ReadPrompt]:
    """Returns prompts that are one or several."""
    if hasattr(prompts, "tolist"):
        prompts = prompts.tolist()
    if isinstance(prompts, (str, dict)) or (is_ids(prompts) and len(prompts) > 0):
        return [read_prompt(prompts, tokenizer)]
    if not isinstance(prompts, Sequence):
        raise TypeError(f"prompts are {prompts!r:.100}; expected a text, token ids, or a list of these")
    return [read_prompt(prompt, tokenizer, f"prompt {i}") for i, prompt in enumerate(prompts)]


def read_chats(messages: Any, tokenizer: Tokenizer, add_generation_prompt: bool, **form: Any) -> list[ReadPrompt]:
    """Returns chats that are one or several as prompts; the template writes special tokens.

    Parameters
    ----------
    **form
        As for `Tokenizer.render_chat()`.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise TypeError(f"messages are {messages!r:.100}; expected a list of messages, or of such lists")
    chats = [messages] if isinstance(messages[0], dict) else messages
    texts = [tokenizer.render_chat(chat, add_generation_prompt, **form) for chat in chats]
    return [ReadPrompt(text, tokenizer.encode(text, add_special_tokens=False)) for text in texts]


def one_each(value: Any, kind: type[_T], n: int, what: str) -> list[_T]:
    """Returns one value for each of `n` prompts.

    Parameters
    ----------
    value : kind or sequence of kind
        One for all, or one for each.
    """
    values = [value] * n if isinstance(value, kind) else list(value)
    if len(values) != n:
        raise ValueError(f"The lengths of prompts ({n}) and {what} ({len(values)}) must be the same.")
    for one in values:
        if not isinstance(one, kind):
            raise TypeError(f"{what}: {one!r:.100} is no {kind.__name__}")
    return values
