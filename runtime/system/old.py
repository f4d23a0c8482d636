"""What the 80286 does at a fault in real mode that later processors do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from translator.insn import Mem
from translator.semantics import STRINGS
from translator.state import FIELDS

if TYPE_CHECKING:
    from runtime.system.processor import Processor

_CX, _SP = 1, 4
_LAST = 0xFFFF  # offset of a word that crosses
_WRITERS = frozenset({"movs", "stos", "ins"})
_DF = FIELDS["df"].offset // 4
_SEGMENT_OVERRUN = 13


def before_fault(p: Processor, vector: int) -> None:
    """Change what an insn has changed when it finds that a word crosses the end of a segment.

    String insns have stepped the registers of their accesses up to that one, and counted once, or
    twice where they write; pop to memory has popped (tests/vectors/README.md).
    """
    cpu = p.cpu
    if vector != _SEGMENT_OVERRUN:
        return
    insn = p.engine._decode(cpu)
    if not insn.mode.is_real:
        return
    if insn.mnemonic == "pop" and cpu.r32[_SP] & 0xFFFF != _LAST:
        _add(p, _SP, 2)
    elif insn.mnemonic in STRINGS:
        places = [operand for operand in insn.operands if isinstance(operand, Mem)]
        if insn.mnemonic == "movs":
            places.reverse()  # it reads first
        step = places[0].width // 8 * (1 if cpu.r32[_DF] == 1 else -1)
        for number, place in enumerate(places, 1):
            crosses = cpu.r32[place.base] & 0xFFFF == _LAST
            _add(p, place.base, step)
            if crosses:
                writes = insn.mnemonic in _WRITERS and number == len(places)
                _add(p, _CX, -(1 + writes) if insn.rep else 0)
                break


def _add(p: Processor, register: int, change: int) -> None:
    old = p.cpu.r32[register]
    p.cpu.r32[register] = old & 0xFFFF0000 | old + change & 0xFFFF
