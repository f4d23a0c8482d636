"""Virtual-8086 mode under Linux (vm86, vm86old): what each case returns.

No 64-bit kernel has these calls, and qemu-i386 has them in part only (it fails most of vm86old; of
what it runs, int3 and stepping are equal).  programs/vm86.txt follows from the kernel's source.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.building import build
from tests.running import ANY, SLOW, STRATEGIES, jitemu, run

PROGRAM = Path(__file__).parent / "programs" / "vm86.c"


@pytest.mark.parametrize(
    "strategy",
    [pytest.param(s, marks=[] if s in (ANY, "interp") else SLOW) for s in STRATEGIES],
)
def test_vm86(strategy: str) -> None:
    """Interrupts, flags, faults, steps and signals end the call as in the kernel."""
    got = run([*jitemu(strategy), build(PROGRAM)])
    assert got.status == 0, got.stderr
    assert got.stdout.decode() == PROGRAM.with_suffix(".txt").read_text()
