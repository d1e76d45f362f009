"""vLLM's places of what has moved there."""
