"""The progress bar of a batch: tqdm's, where tqdm is."""

from __future__ import annotations

import os
import time
from typing import Any, Callable


class Progress:
    """Counts requests that are done, and the rate of tokens, as vLLM shows them.

    Parameters
    ----------
    n_requests : int
    use_tqdm : bool or callable
        Whether to show it; a callable makes the bar.
    """

    def __init__(self, n_requests: int, use_tqdm: bool | Callable[..., Any]) -> None:
        make = use_tqdm if callable(use_tqdm) else _tqdm() if use_tqdm and os.environ.get("RANK", "0") == "0" else None
        self._bar = make and make(total=n_requests, desc="Processed prompts", dynamic_ncols=True,
                                  postfix="est. speed input: 0.00 toks/s, output: 0.00 toks/s")
        self._begun = time.monotonic()
        self._read = self._written = 0

    def done(self, n_read: int, n_written: int) -> None:
        """Notes a request that is over, with the tokens of its prompt and answers."""
        self._read += n_read
        self._written += n_written
        if self._bar is None:
            return
        seconds = max(time.monotonic() - self._begun, 1e-9)
        self._bar.postfix = (f"est. speed input: {self._read / seconds:.2f} toks/s, "
                             f"output: {self._written / seconds:.2f} toks/s")
        self._bar.update(1)

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()


def _tqdm() -> Callable[..., Any] | None:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    bar: Callable[..., Any] = tqdm
    return bar
