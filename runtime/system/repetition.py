"""What `rep` counts and where it points, for string insns that go in blocks (`streams`, `moves`).

SDM Vol. 2B, REP/REPE/REPZ/REPNE/REPNZ: eCX, eSI and eDI have the width of addresses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from translator import flags
from translator.insn import Mem
from translator.state import FIELDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cpu import Cpu
    from translator.insn import Insn

_EIP, _REST = FIELDS["eip"].offset // 4, FIELDS["eflags_rest"].offset // 4
_DF, _BUDGET = FIELDS["df"].offset // 4, FIELDS["budget"].offset // 8
_FULL = 0xFFFFFFFF
_ECX = 1


def goes_in_blocks(cpu: Cpu, insn: Insn) -> bool:
    """Tell whether nothing is to be seen between two iterations: no wraps, no TF."""
    return not insn.mode.wraps and not cpu.r32[_REST] & 1 << flags.TF


def goes_up(cpu: Cpu) -> bool:
    """Tell whether string insns go upwards."""
    return bool(cpu.r32[_DF] == 1)


class Repetition:
    """The iterations of a repeated insn that are still to come."""

    def __init__(self, cpu: Cpu, insn: Insn, memory: Mem, registers: Sequence[int]) -> None:
        """Begin; registers are the ones that its iterations move on, numbers of GPRs."""
        self._cpu, self._insn, self._registers = cpu, insn, registers
        self.is_down = not goes_up(cpu)
        self.size = memory.width // 8  # bytes of an item
        self.mask = 0xFFFF if insn.addr_width == 16 else _FULL
        self.moved = False

    @property
    def count(self) -> int:
        """How many iterations are left."""
        return int(self._cpu.r32[_ECX]) & self.mask

    def offset(self, register: int) -> int:
        """Where a register points in its segment."""
        return int(self._cpu.r32[register]) & self.mask

    def advance(self, items: int) -> None:
        """Count iterations that are done; each costs one insn of the budget."""
        r32, mask = self._cpu.r32, self.mask
        distance = -items * self.size if self.is_down else items * self.size
        for register in self._registers:
            low = r32[register] + distance & mask
            r32[register] = r32[register] & ~mask & _FULL | low
        r32[_ECX] = r32[_ECX] & ~mask & _FULL | self.count - items
        self._cpu.r64[_BUDGET] = self._cpu.r64[_BUDGET] - items & 0xFFFFFFFFFFFFFFFF
        self.moved = True

    def end(self) -> bool:
        """Step over the insn if it is through; return whether any iteration was done."""
        if self.moved and not self.count:
            r32, mode = self._cpu.r32, self._insn.mode
            wraps = mode.code32 or not mode.is_real
            r32[_EIP] = r32[_EIP] + self._insn.length & (_FULL if wraps else 0xFFFF)
        return self.moved
