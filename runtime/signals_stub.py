"""Stand-in for runtime/native.py: host signal handlers in Python, for tests without native code.

Only the main thread can catch, siginfo is a guess (signal number and SI_USER), and a signal between
a check and a blocking call is noticed late. The native version has none of these limits.
"""

from __future__ import annotations

import signal
import struct
from types import FrameType
from typing import Protocol


class _Stoppable(Protocol):
    def request_stop(self) -> None:
        """Make the thread leave guest code."""


_bound: list[_Stoppable] = []
_pending: list[tuple[int, bytes]] = []


def bind(cpu: _Stoppable) -> None:
    """Tell which guest thread the calling host thread runs; signals are recorded for it."""
    _bound[:] = [cpu]


def unbind(cpu: _Stoppable) -> None:
    """Undo `bind`: the host thread runs no guest code any more."""
    if cpu in _bound:
        _bound.remove(cpu)


def _record(signo: int, _frame: FrameType | None) -> None:
    _pending.append((signo, struct.pack("<iii", signo, 0, 0).ljust(128, b"\0")))
    for cpu in _bound:
        cpu.request_stop()


def catch(signo: int, flags: int = 0) -> None:
    """Record *signo* from now on; *flags* may hold SA_NOCLDSTOP and SA_NOCLDWAIT."""
    signal.signal(signo, _record)


def default(signo: int, flags: int = 0) -> None:
    """Give *signo* its default action."""
    signal.signal(signo, signal.SIG_DFL)


def ignore(signo: int) -> None:
    """Ignore *signo*."""
    signal.signal(signo, signal.SIG_IGN)


def take_pending(cpu: _Stoppable) -> list[tuple[int, bytes]]:
    """Drain the recorded signals: (number, host siginfo)."""
    taken, _pending[:] = list(_pending), []
    return taken
