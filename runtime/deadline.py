"""A timer of the host that makes the calling thread leave guest code when it is over."""

from __future__ import annotations

import ctypes
import os
import struct
import threading

from runtime import native
from runtime.host import Sys, check, syscall

_MONOTONIC, _THREAD_ID = 1, 4  # CLOCK_MONOTONIC, SIGEV_THREAD_ID (timer_create(2))
_SECOND = 1_000_000_000


class Deadline:
    """Sets the stop flag of the guest thread that its maker runs (`native.bind`), natively."""

    def __init__(self) -> None:
        """Make a timer of the calling thread, which is not set; OSError if there are too many."""
        event = struct.pack(
            "<QiiI44x", 0, native.KICK_SIGNAL, _THREAD_ID, threading.get_native_id()
        )
        made = ctypes.c_int()
        check(syscall(Sys.TIMER_CREATE, _MONOTONIC, event, ctypes.addressof(made)))
        self._id: int | None = made.value
        self._value = ctypes.create_string_buffer(32)
        self._at = ctypes.addressof(self._value)
        self._owner = os.getpid()

    def set(self, delay: int) -> None:
        """Be over in *delay* ns, once; what was set before is forgotten."""
        struct.pack_into("<qqqq", self._value, 0, 0, 0, *divmod(max(delay, 1), _SECOND))
        syscall(Sys.TIMER_SETTIME, self._id or 0, 0, self._at, 0)

    def close(self) -> None:
        """Give the timer back."""
        if self._id is not None and os.getpid() == self._owner:
            syscall(Sys.TIMER_DELETE, self._id)
        self._id = None
