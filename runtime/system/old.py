"""What the 80286 does that later processors do not: faults in real mode, LOADALL."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from runtime.system import segments
from runtime.system.segments import CS, DS, ES, SS
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


# -- LOADALL ---------------------------------------------------------------------------------------
_CR0 = FIELDS["cr0"].offset // 4
_TABLE, _TABLE_SIZE = 0x800, 102
_WORDS, _CACHES = 0x16, 0x36  # where the table's words begin behind MSW, and its descriptors
_MSW = 6
_MSW_BITS, _PE = 0xF, 1


def loadall(p: Processor) -> None:
    """Load every register from the 102 bytes at physical address 800h; PE cannot be cleared.

    Layout: Intel, "Undocumented iAPX 286 Test Instruction", pages 1 to 4; Ralf Brown's list, 0F 05.
    """
    cpu, r32, r16 = p.cpu, p.cpu.r32, p.cpu.r16
    data = bytes(p.access.load_system(_TABLE + at, 8) for at in range(_TABLE_SIZE))
    (msw,) = struct.unpack_from("<H", data, _MSW)
    tr, flags, ip, ldt, ds, ss, cs, es, *general = struct.unpack_from("<16H", data, _WORDS)
    r32[_CR0] = r32[_CR0] & (~_MSW_BITS | _PE) | msw & _MSW_BITS
    cpu.eflags = flags & 0x7FFF | 2
    cpu.eip = ip
    for index, value in zip((7, 6, 5, 4, 3, 2, 1, 0), general, strict=True):
        r32[index] = r32[index] & 0xFFFF0000 | value
    hidden = list(struct.iter_unpack("<HBBH", data[_CACHES:]))
    for index, selector, cache in ((ES, es, 0), (CS, cs, 1), (SS, ss, 2), (DS, ds, 3)):
        low, high, rights, limit = hidden[cache]
        segments.set_segment(cpu, index, selector, low | high << 16, limit, rights << 8)
    for name, selector, cache in (
        ("gdtr", -1, 4),
        ("ldtr", ldt, 5),
        ("idtr", -1, 6),
        ("tr", tr, 7),
    ):
        low, high, rights, limit = hidden[cache]
        r32[FIELDS[f"{name}_base"].offset // 4] = low | high << 16
        if selector < 0:
            r16[FIELDS[f"{name}_limit"].offset // 2] = limit
        else:
            r16[FIELDS[name].offset // 2] = selector
            r32[FIELDS[f"{name}_limit"].offset // 4] = limit
            r32[FIELDS[f"{name}_attr"].offset // 4] = rights << 8
    p.update_paging()
