"""Where vLLM keeps its servers."""
