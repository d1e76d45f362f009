"""An open engine: requests go in, outputs come out. `LLM` and `AsyncLLMEngine` are made of it."""

from __future__ import annotations

import ctypes
import select
import weakref
from ctypes import c_uint64, c_void_p
from typing import Any, Sequence

from .. import structs
from ..engine_args import EngineArgs
from ..library import byref, check, ids_array, library
from ..sampling_params import SamplingParams, sampling_struct
from ..tokenizer import Tokenizer

_LOADING, _READY = 0, 1
_LOOK_MS = 50  # so often is looked for Ctrl-C while ranks load


def _close(handle: c_void_p) -> None:
    if handle.value:
        library().colrow_close(handle)
        handle.value = None


class Engine:
    """A model on its ranks. One thread at a time may use it.

    Parameters
    ----------
    args : EngineArgs
        Opens when the ranks have loaded; Ctrl-C ends that.

    Attributes
    ----------
    tokenizer : Tokenizer
    folder : str
        The model's.
    info : dict
        What the engine has chosen: `struct colrow_info`.

    Raises
    ------
    ColrowError
        With the library's sentence.
    """

    def __init__(self, args: EngineArgs) -> None:
        options, self._kept, self.folder = args.options()
        self._handle = c_void_p()
        check(library().colrow_open_begin(byref(options), byref(self._handle)))
        self._finalizer = weakref.finalize(self, _close, self._handle)
        try:
            self._await_ready()
            self.tokenizer = Tokenizer.of_engine(self._handle, self.folder)
        except BaseException:
            self._finalizer()
            raise
        info = structs.Info()
        library().colrow_get_info_sized(self._handle, byref(info), ctypes.sizeof(info))
        self.info: dict[str, Any] = structs.as_dict(info)

    def _await_ready(self) -> None:
        poller = select.poll()
        poller.register(self.fd(), select.POLLIN)
        while self.gauges()["state"] != _READY:
            poller.poll(_LOOK_MS)
            self.advance()

    def _open_handle(self) -> c_void_p:
        if not self._handle.value:
            raise RuntimeError("this engine is closed")
        return self._handle

    def fd(self) -> int:
        """Returns what is readable while `advance()` has something to do; the engine's."""
        return int(library().colrow_fd(self._open_handle()))

    def advance(self) -> int:
        """Does what can be done without waiting; returns how many requests are alive."""
        return check(library().colrow_advance(self._open_handle()))

    def poll(self, wait: bool) -> structs.Output | None:
        """Returns the next output, valid until the next call; None: there is none.

        Parameters
        ----------
        wait : bool
            Run steps until there is one, or no request is left.
        """
        output = structs.Output()
        found = check(library().colrow_poll_sized(self._open_handle(), int(wait), byref(output), ctypes.sizeof(output)))
        return output if found else None

    def submit(self, ids: Sequence[int], params: SamplingParams, priority: int = 0,
               cache_salt: str | None = None) -> int:
        """Takes a prompt; its outputs come from `poll()`.

        Parameters
        ----------
        ids : sequence of int
            The prompt's tokens.
        params : SamplingParams
        priority : int
            Smaller goes first, with the policy "priority".
        cache_salt : str, optional
            Share the prefix cache only with prompts of the same salt.

        Returns
        -------
        int
            The request's number.
        """
        sampling, kept = sampling_struct(params, self.info["vocab_size"], priority)
        array = ids_array(ids)
        prompt = structs.Prompt(struct_size=ctypes.sizeof(structs.Prompt), ids=array, n_ids=len(array))
        if cache_salt:
            salt = cache_salt.encode()
            prompt.cache_salt, prompt.cache_salt_length = salt, len(salt)
        if not len(array):  # no ids mean a text to C
            prompt.text = b""
            prompt.no_special_tokens = 1
        request = c_uint64()
        check(library().colrow_submit(self._open_handle(), byref(prompt), byref(sampling), None, None, byref(request)))
        del kept
        return request.value

    def cancel(self, request: int) -> None:
        """Ends a request; one that is over already is left alone."""
        if self._handle.value:
            library().colrow_cancel(self._handle, request)

    def gauges(self) -> dict[str, Any]:
        """Returns what is so now: `struct colrow_gauges`."""
        gauges = structs.Gauges()
        library().colrow_get_gauges_sized(self._open_handle(), byref(gauges), ctypes.sizeof(gauges))
        return structs.as_dict(gauges)

    def statistics(self) -> dict[str, Any]:
        """Returns what has been so far: `struct colrow_statistics`."""
        statistics = structs.Statistics()
        library().colrow_get_statistics_sized(self._open_handle(), byref(statistics), ctypes.sizeof(statistics))
        return structs.as_dict(statistics)

    def close(self) -> None:
        """Ends the ranks. The engine is of no use afterwards."""
        self._finalizer()
