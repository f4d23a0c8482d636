"""SIGTERM and SIGHUP -> an orderly end, with the terminal as it was, before the process dies."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType

_SIGNALS = signal.SIGTERM, signal.SIGHUP


@contextlib.contextmanager
def orderly(end: Callable[[int], None]) -> Iterator[None]:
    """Call *end* with the number of such a signal, in the main thread; a second one kills."""

    def take(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        end(number)

    taken = [number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, take)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def die(number: int) -> None:
    """End this process by a signal that `orderly` took; from any thread."""
    os.kill(os.getpid(), number)
