"""vLLM's place of `AsyncLLM`."""

from ...async_engine import AsyncLLM

__all__ = ["AsyncLLM"]
