"""How a guest process ends, and how its host process follows it."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from typing import NamedTuple

from runtime import host
from runtime.host import Sys
from runtime.personalities.linux import signals


class End(NamedTuple):
    """How the process ended: exit status, or the signal that killed it; `note` is for stderr."""

    status: int = 0
    signal: int = 0
    note: str = ""


def tell(text: str) -> None:
    """Print one line for the user; a stderr that takes none is no reason to fail."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(f"jitemu: {text}", file=sys.stderr, flush=True)


def die(end: End) -> None:
    """End this host process as the guest ended: the same status or really by the same signal."""
    if end.signal:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        host.syscall(Sys.RT_SIGACTION, end.signal, bytes(32), 0, 8)  # SIG_DFL
        signals.set_host_mask(0)
        os.kill(os.getpid(), end.signal)
        os._exit(128 + end.signal)
    os._exit(end.status)
