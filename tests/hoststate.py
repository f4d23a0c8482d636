"""What a guest must leave alone in the process that runs it: descriptors, signals."""

from __future__ import annotations

import os
import signal


def descriptors() -> dict[int, str]:
    """Return what is open in this process."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the listing itself
    return found


def dispositions() -> list[object]:
    """Return what signals do here; SIGALRM is the test's own time limit."""
    numbers = sorted(n for n in signal.valid_signals() if n < 32 and n != signal.SIGALRM)
    return [signal.getsignal(n) for n in numbers]
