"""Ends a slice of a guest's run from outside: when its time is over, or at Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.personalities.linux.process import Process

_active: Watch | None = None


class Watch:
    """While entered, pauses the guest after *timeout* seconds and at SIGINT.

    Python's own handler cannot run while the main thread runs guest code: the interpreter writes
    the signal's number into a pipe, and a thread reads it there.
    """

    def __init__(self, process: Process, timeout: float | None) -> None:
        self._process = process
        self._timeout = timeout
        self._handler: Any = None  # the one that SIGINT has in Python
        self._seen = False
        self._thread: threading.Thread | None = None
        self._ends: list[int] = []
        self._old_fd = -1
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and callable(handler := signal.getsignal(signal.SIGINT)):
            self._handler = handler

    @property
    def kept(self) -> frozenset[int]:
        """Signals that stay the host's as long as the guest does not care."""
        return frozenset({int(signal.SIGINT)} if self._handler is not None else ())

    def __enter__(self) -> Watch:
        """Start watching."""
        global _active
        if self._handler is None and self._timeout is None:
            return self
        fds = self._process.vfs.fds
        self._ends = [fds.reserve(end) for end in os.pipe()]
        os.set_blocking(self._ends[1], False)
        if self._handler is not None:
            self._old_fd = signal.set_wakeup_fd(self._ends[1], warn_on_full_buffer=False)
            signal.signal(signal.SIGINT, self._note)
            _active = self
        self._thread = threading.Thread(target=self._wait, daemon=True)
        # Signals are for the guest's own threads.
        old = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self._thread.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
        return self

    def _note(self, number: int, frame: Any) -> None:
        self._seen = True

    def _wait(self) -> None:
        end = None if self._timeout is None else time.monotonic() + self._timeout
        reader = self._ends[0]
        waiting = select.poll()  # select() takes no descriptor above 1023
        waiting.register(reader, select.POLLIN)
        while True:
            left = None if end is None else max(0.0, end - time.monotonic()) * 1000
            if not waiting.poll(left):
                if end is not None and time.monotonic() < end:
                    continue  # rounded down
                self._process.pause_from_outside("timeout")
                end = None
                continue
            numbers = os.read(reader, 256)
            if 0 in numbers:  # the slice is over
                return
            if signal.SIGINT in numbers:
                self._process.pause_from_outside("interrupt")

    def __exit__(self, *details: object) -> None:
        """Stop watching."""
        global _active
        if self._thread is not None:
            os.write(self._ends[1], b"\0")
            self._thread.join()
        if self._handler is not None:
            _active = None
            signal.set_wakeup_fd(self._old_fd)
            signal.signal(signal.SIGINT, self._handler)
        for end in self._ends:
            self._process.vfs.fds.release(end)

    def raise_interrupt(self) -> None:
        """Do what Python does at SIGINT, if one came."""
        if self._seen:
            self._seen = False
            self._handler(int(signal.SIGINT), None)

    def forget(self) -> None:
        """In a forked child of the guest: SIGINT is the guest's own, and kills it."""
        with contextlib.suppress(ValueError):
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _after_fork() -> None:
    if _active is not None:
        _active.forget()


os.register_at_fork(after_in_child=_after_fork)
