"""What waits at a processor's pins: INTR, NMI, and Python functions to be called between insns.

Whoever asks makes the guest's thread leave at its next block, by the flag that stop requests use,
too (`poke`).  What cannot be served there, because IF is 0, is remembered in `attention`: then host
code leaves the insns that may set IF to the interp tier, and `executed` looks again behind them.
So host code pays nothing while nothing waits.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime import native
from translator import flags
from translator.state import FIELDS

if TYPE_CHECKING:
    from runtime.cpu import Cpu
    from translator.insn import Insn

_ATTENTION = FIELDS["attention"].offset
# The bytes of `attention`, each written by itself so that threads need no lock.
_INTR, _NMI, _IN_NMI, _CALLS = range(_ATTENTION, _ATTENTION + 4)
_SHADOW, _EIP = FIELDS["shadow"].offset // 4, FIELDS["eip"].offset // 4
_REST = FIELDS["eflags_rest"].offset // 4
_IF = 1 << flags.IF
_NOWHERE = 0xFFFFFFFF
NMI, INTR = 2, -1  # what `next_interrupt` returns: a vector, or that INTA is to be asked


class Requests:
    """The requests of one processor; every method but `executed` may be called by any thread."""

    def __init__(self, cpu: Cpu) -> None:
        self.cpu = cpu
        self.calls: deque[Callable[[], object]] = deque()
        self.thread = 0  # that runs the guest

    def reset(self) -> None:
        """Forget what NMI and shadows there are; the INTR pin stays as it is driven."""
        self.cpu.r8[_NMI] = self.cpu.r8[_IN_NMI] = 0
        self.cpu.r32[_SHADOW] = _NOWHERE

    def set_intr(self, level: bool) -> None:
        """Drive the INTR pin."""
        self.cpu.r8[_INTR] = 1 if level else 0
        if level and (self.thread != threading.get_ident() or self.cpu.r32[_REST] & _IF):
            native.poke(self.cpu)

    def nmi(self) -> None:
        """Pulse the NMI pin."""
        self.cpu.r8[_NMI] = 1
        native.poke(self.cpu)

    def call(self, function: Callable[[], object]) -> None:
        """Call a function in the guest's thread, between two insns.

        What a callback of an insn (a port, a device) asks for is called right behind that insn.
        """
        self.calls.append(function)
        self.cpu.r8[_CALLS] = 1
        native.poke(self.cpu)

    # -- for the guest's thread --------------------------------------------------------------------
    def run_calls(self) -> None:
        """Call what was asked for; what a call asks for is called behind the next insn."""
        if self.cpu.r8[_CALLS]:
            self.cpu.r8[_CALLS] = 0
            for _ in range(len(self.calls)):
                self.calls.popleft()()

    def next_interrupt(self) -> int:
        """Return what may be accepted now, IF and pins being as they are: NMI, INTR; 0: nothing."""
        r8 = self.cpu.r8
        if r8[_NMI] and not r8[_IN_NMI]:
            return NMI
        return INTR if r8[_INTR] and self.cpu.r32[_REST] & _IF else 0

    @property
    def is_urgent(self) -> bool:
        """Whether guest code has to be left for something."""
        return bool(self.cpu.r8[_CALLS] or self.next_interrupt())

    def begin_nmi(self) -> None:
        """Accept an NMI: no other comes before the next iret (SDM vol. 3, 6.7.1)."""
        self.cpu.r8[_NMI], self.cpu.r8[_IN_NMI] = 0, 1

    def in_shadow(self) -> bool:
        """Whether the last insn lets one more be executed: sti, mov ss, pop ss."""
        return bool(self.cpu.r32[_SHADOW] == self.cpu.r32[_EIP])

    def end_shadow(self) -> None:
        """Take note that the insn behind it is executed now."""
        self.cpu.r32[_SHADOW] = _NOWHERE

    def executed(self, insn: Insn) -> None:
        """Look again behind an insn that the interp tier executed while something waited."""
        if insn.mnemonic == "iret":
            self.cpu.r8[_IN_NMI] = 0
        self.behind()

    def behind(self) -> None:
        """Look again behind an insn."""
        self.run_calls()
        if self.next_interrupt():
            native.poke(self.cpu)
