"""vLLM's place of `LLM`."""

from ..llm import LLM

__all__ = ["LLM"]
