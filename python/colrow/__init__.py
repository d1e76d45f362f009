"""colrow: HuggingFace language models with tensor parallelism on CPUs, the same bits on any number of ranks.

`LLM` and `SamplingParams` have vLLM's names, defaults and outputs.
"""

from __future__ import annotations

from .async_engine import AsyncLLM, AsyncLLMEngine
from .auto_model import AutoModelForCausalLM
from .auto_tokenizer import AutoTokenizer
from .engine_args import AsyncEngineArgs, EngineArgs
from .errors import (BusyError, CancelledRequestError, ColrowError, GroupLostError, InternalError, InvalidRequestError,
                     ModelError, NoMemoryError, SystemCallError, TooLargeError, UsageError)
from .inputs import PromptType, TextPrompt, TokensPrompt
from .llm import LLM
from .llm_engine import LLMEngine
from .outputs import CompletionOutput, Logprob, RequestOutput
from .sampling_params import RequestOutputKind, SamplingParams
from .tokenizer import Tokenizer
from .version import __version__

__all__ = ["LLM", "AsyncEngineArgs", "AsyncLLM", "AsyncLLMEngine", "AutoModelForCausalLM", "AutoTokenizer", "BusyError",
           "CancelledRequestError", "ColrowError", "CompletionOutput", "EngineArgs", "GroupLostError", "InternalError",
           "InvalidRequestError", "LLMEngine", "Logprob", "ModelError", "NoMemoryError", "PromptType", "RequestOutput",
           "RequestOutputKind", "SamplingParams", "SystemCallError", "TextPrompt", "TokensPrompt", "TooLargeError",
           "Tokenizer", "UsageError", "__version__"]
