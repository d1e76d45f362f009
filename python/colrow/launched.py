"""Scripts that `colrow launch` has started several times: one engine, on rank 0, and its answers in every process."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Callable, TypeVar

from . import parallel_state

_BEAT_SECONDS = 1.0  # so often rank 0 tells those who wait that it is at work; the launcher's --timeout ends silence
_T = TypeVar("_T")


def launched() -> int:
    """Returns how many processes `colrow launch` has started for this program; 1: none but this one."""
    size = os.environ.get("WORLD_SIZE", "1")
    return int(size) if size.isdecimal() and "RANK" in os.environ else 1


class _Heartbeat:
    """Tells the other ranks that there is nothing yet, as long as rank 0 works."""

    def __enter__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="colrow-heartbeat", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        try:
            while not self._over.wait(_BEAT_SECONDS):
                parallel_state.broadcast_nothing()
        except parallel_state.ParallelError:
            pass  # a rank is gone: the launcher ends us all, and says why

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()


def _attempt(work: Callable[[], _T]) -> tuple[_T | None, Exception | None]:
    with _Heartbeat():
        try:
            return work(), None
        except Exception as error:  # pylint: disable=broad-except
            return None, error


def on_rank_0(work: Callable[[], _T]) -> _T:
    """Returns what `work` brings on rank 0, on all ranks; what it raises there is raised on all of them."""
    if launched() == 1:
        return work()
    parallel_state.ensure_model_parallel_initialized()
    if parallel_state.get_tensor_model_parallel_world_size() != launched():
        raise RuntimeError("a model is shared by all processes of the launcher, but these have pipeline stages")
    mine = _attempt(work) if parallel_state.get_rank() == 0 else None
    value, failure = parallel_state.broadcast_object(mine)
    if failure is not None:
        raise failure
    return value  # type: ignore[no-any-return]
