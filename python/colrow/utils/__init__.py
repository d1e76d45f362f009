"""vLLM's places of what its examples import beside the engine."""

from __future__ import annotations

import uuid

from .argparse_utils import FlexibleArgumentParser


def random_uuid() -> str:
    """Returns a name for a request that no other one has."""
    return uuid.uuid4().hex


__all__ = ["FlexibleArgumentParser", "random_uuid"]
