"""vLLM's place of `EngineArgs`."""

from ..engine_args import AsyncEngineArgs, EngineArgs

__all__ = ["AsyncEngineArgs", "EngineArgs"]
