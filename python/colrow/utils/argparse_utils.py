"""`FlexibleArgumentParser`: argparse that takes underscores in flags, as vLLM's does."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any, Sequence


def dashed(argument: str) -> str:
    """Returns a flag with dashes where it may have had underscores; its value stays."""
    name, equals, value = argument.partition("=")
    return (name.replace("_", "-") if re.match(r"--\w", name) else name) + equals + value


class FlexibleArgumentParser(argparse.ArgumentParser):
    """argparse's, with --max_model_len for --max-model-len."""

    def parse_known_args(  # type: ignore[override]
            self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """Reads what it knows of `args`, or of the command line; returns this and the rest."""
        return super().parse_known_args([dashed(item) for item in (sys.argv[1:] if args is None else args)], namespace)


__all__ = ["FlexibleArgumentParser"]
