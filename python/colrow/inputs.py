"""vLLM's types of prompts: dicts with a text or with token ids."""

from __future__ import annotations

from typing import List, TypedDict, Union


class _Salted(TypedDict, total=False):
    cache_salt: str


class TextPrompt(_Salted):
    """A text."""

    prompt: str


class TokensPrompt(_Salted):
    """Token ids."""

    prompt_token_ids: List[int]


PromptType = Union[str, List[int], TextPrompt, TokensPrompt]

__all__ = ["PromptType", "TextPrompt", "TokensPrompt"]
