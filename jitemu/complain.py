"""Text for the user -> one line on stderr, if there is one."""

from __future__ import annotations

import contextlib
import sys


def complain(text: str) -> None:
    """Print `jitemu: text`; without a stderr there is nobody to tell."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(f"jitemu: {text}", file=sys.stderr, flush=True)
