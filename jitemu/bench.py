"""`jitemu bench`: hands its arguments to the benchmarks of the checkout that this package is in."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from jitemu.complain import complain


def bench(words: Sequence[str]) -> int:
    """Become `python -m benchmarks`; return only if there is no checkout.

    The guests' sources are no part of an installed package, and measuring needs a process whose
    memory holds nothing of ours.
    """
    checkout = Path(__file__).resolve().parent.parent
    if not (checkout / "benchmarks" / "__main__.py").exists():
        complain("bench: needs the project's checkout (pip install -e, or python -m jitemu there)")
        return 1
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(checkout), *([inherited] if inherited else [])])
    environment = {**os.environ, "PYTHONPATH": path}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", "benchmarks", *words], environment)
