"""vLLM's place of `AsyncLLMEngine`."""

from ..async_engine import AsyncLLMEngine

__all__ = ["AsyncLLMEngine"]
