"""Tasks: stacks of inner levels, hardware task switches, the I/O permission map (SDM vol. 3, 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.system import descriptors, segments, stacks
from runtime.system.descriptors import (
    GP,
    NP,
    TS_FAULT,
    TSS16,
    TSS16_BUSY,
    TSS32,
    TSS32_BUSY,
    Descriptor,
    Memory,
    error_code,
    require,
)
from runtime.system.segments import CS, DS, ES, FS, GS, SS
from translator import flags
from translator.faults import GuestFault
from translator.state import FIELDS, GPRS, SEGMENTS

if TYPE_CHECKING:
    from runtime.cpu import Cpu

JUMP, CALL, RETURN, INTERRUPT = "jump", "call", "return", "interrupt"
NT = 1 << 14
_TR, _TR_BASE = FIELDS["tr"].offset // 2, FIELDS["tr_base"].offset // 4
_TR_LIMIT, _TR_ATTR = FIELDS["tr_limit"].offset // 4, FIELDS["tr_attr"].offset // 4
_CR0, _REST = FIELDS["cr0"].offset // 4, FIELDS["eflags_rest"].offset // 4
_CR3, _DR7 = FIELDS["cr3"].offset // 4, FIELDS["dr7"].offset // 4
_FULL = 0xFFFFFFFF
_CR0_PG, _CR0_TS = 1 << 31, 1 << 3
_LOCAL_BREAKPOINTS = 0x155
# Size of the part that is read and written, and offsets of CR3, EIP, the LDT selector, the T word.
_SIZE16, _SIZE32 = 0x2C, 0x68
_EIP16, _LDT16, _EIP32, _CR3_32, _LDT32, _T32, _MAP32 = 0x0E, 0x2A, 0x20, 0x1C, 0x60, 0x64, 0x66
_SEGMENTS16: tuple[int, ...] = (ES, CS, SS, DS)
_SEGMENTS32 = (*_SEGMENTS16, FS, GS)


def _is_wide(attr: int) -> bool:
    return bool(attr & 8 << 8)


def stack_of(cpu: Cpu, mem: Memory, level: int, ext: int = 0) -> tuple[int, int]:
    """Return selector and pointer of the task's stack for an inner level."""
    base, limit, attr = cpu.r32[_TR_BASE], cpu.r32[_TR_LIMIT], cpu.r32[_TR_ATTR]
    if _is_wide(attr):
        at, size = 8 * level + 4, 4
    else:
        at, size = 4 * level + 2, 2
    # The manual of today asks for 6 bytes of a 32-bit entry, hardware and older manuals for 8.
    if at + 2 * size - 1 > limit or not attr:
        raise GuestFault(TS_FAULT, error=error_code(cpu.r16[_TR], ext))
    place = base + at
    pointer = mem.load_system(place & _FULL, 8 * size)
    return mem.load_system(place + size & _FULL, 16), pointer


def check_port(cpu: Cpu, mem: Memory, port: int, size: int) -> None:
    """Fault unless the task may use a port: IOPL or, bit by bit, its map (SDM vol. 1, 19.5)."""
    if not cpu.r32[_CR0] & segments.CR0_PE:
        return
    rest = cpu.r32[_REST]
    if not rest & segments.EFLAGS_VM and segments.privilege(cpu) <= rest >> flags.IOPL & 3:
        return
    base, limit, attr = cpu.r32[_TR_BASE], cpu.r32[_TR_LIMIT], cpu.r32[_TR_ATTR]
    if not _is_wide(attr) or limit < _SIZE32 - 1:
        raise GuestFault(GP)
    at = mem.load_system(base + _MAP32 & _FULL, 16) + (port >> 3)
    if at + 1 > limit:
        raise GuestFault(GP)
    if mem.load_system(base + at & _FULL, 16) >> (port & 7) & (1 << size) - 1:
        raise GuestFault(GP)


# -- switching -------------------------------------------------------------------------------------
def switch_through(
    cpu: Cpu,
    mem: Memory,
    gate: Descriptor,
    why: str,
    next_eip: int,
    ext: int = 0,
    eflags: int = -1,
) -> None:
    """Switch to the task that a gate, which was checked, names."""
    selector = gate.target
    require(not selector & 4, GP, selector, ext)
    found = descriptors.fetch(cpu, mem, selector, GP, ext)
    require(found.kind in (TSS16, TSS32), GP, selector, ext)
    require(found.is_present, NP, selector, ext)
    switch(cpu, mem, found, why, next_eip, ext, eflags)


def return_to_last(cpu: Cpu, mem: Memory, next_eip: int) -> None:
    """Return from a nested task: iret with NT set."""
    selector = mem.load_system(cpu.r32[_TR_BASE], 16)
    require(not selector & 4, TS_FAULT, selector)
    found = descriptors.fetch(cpu, mem, selector, TS_FAULT)
    require(found.kind in (TSS16_BUSY, TSS32_BUSY), TS_FAULT, selector)
    require(found.is_present, NP, selector)
    switch(cpu, mem, found, RETURN, next_eip)


def switch(
    cpu: Cpu,
    mem: Memory,
    new: Descriptor,
    why: str,
    next_eip: int,
    ext: int = 0,
    eflags: int = -1,
) -> None:
    """Switch to the task of a task state that is present and of the right kind.

    Faults before the switch leave the old task as it was; later ones are the new task's, whose
    EIP they restart at.  *eflags* is what to save if not EFLAGS.
    """
    size = _SIZE32 if new.is_wide else _SIZE16
    require(new.limit >= size - 1, TS_FAULT, new.selector, ext)
    state = _read(mem, new.base, size)
    if eflags < 0:
        eflags = cpu.eflags & ~(NT if why == RETURN else 0)
    _save(cpu, mem, next_eip, eflags)
    old_selector = cpu.r16[_TR]
    if why in (JUMP, RETURN):
        old = descriptors.find(cpu, mem, old_selector)
        if old is not None:
            descriptors.set_busy(mem, old, is_busy=False)
    if why in (CALL, INTERRUPT):
        mem.store_system(new.base, old_selector, 16)
    if why != RETURN:
        new = descriptors.set_busy(mem, new, is_busy=True)
    descriptors.put_tr(cpu, new)
    cpu.r32[_CR0] |= _CR0_TS
    cpu.r32[_DR7] &= ~_LOCAL_BREAKPOINTS
    _load(cpu, mem, state, is_wide=new.is_wide, is_nested=why in (CALL, INTERRUPT))


def _read(mem: Memory, base: int, size: int) -> bytes:
    """Read a task state, whose pages must all be there to be written, too."""
    words = [mem.load_system(base + at & _FULL, 32) for at in range(0, size, 4)]
    return b"".join(word.to_bytes(4, "little") for word in words)


def _save(cpu: Cpu, mem: Memory, next_eip: int, eflags: int) -> None:
    """Write the dynamic part of the old task's state."""
    base = cpu.r32[_TR_BASE]
    registers = [getattr(cpu, name) for name in GPRS]
    if _is_wide(cpu.r32[_TR_ATTR]):
        numbers, at, size = [next_eip, eflags, *registers], _EIP32, 4
        kept = _SEGMENTS32
    else:
        numbers, at, size = [next_eip, eflags, *registers], _EIP16, 2
        kept = _SEGMENTS16
    mask = (1 << 8 * size) - 1
    for number in numbers:
        mem.store_system(base + at & _FULL, number & mask, 8 * size)
        at += size
    for index in kept:
        mem.store_system(base + at & _FULL, getattr(cpu, SEGMENTS[index]), 16)
        at += size


def _load(cpu: Cpu, mem: Memory, state: bytes, *, is_wide: bool, is_nested: bool) -> None:
    """Load registers from a task state, then what its selectors name."""

    def number(at: int, size: int) -> int:
        return int.from_bytes(state[at : at + size], "little")

    size = 4 if is_wide else 2
    at = _EIP32 if is_wide else _EIP16
    if is_wide and cpu.r32[_CR0] & _CR0_PG:
        assert cpu.system is not None
        cpu.system.write_cr3(number(_CR3_32, 4))
    eip, eflags = number(at, size), number(at + size, size)
    if is_nested:
        eflags |= NT
    cpu.eflags = eflags & (0x3F7FD7 if is_wide else 0x7FD7) | 2
    cpu.eip = eip
    for index, name in enumerate(GPRS):
        value = number(at + (2 + index) * size, size)
        setattr(cpu, name, value)  # the upper halves are undefined after a 16-bit task state
    kept = _SEGMENTS32 if is_wide else _SEGMENTS16
    selectors = [0] * 6
    for place, index in enumerate(kept):
        selectors[index] = number(at + (10 + place) * size, 2)
    ldt = number(_LDT32 if is_wide else _LDT16, 2)
    is_virtual = bool(eflags & segments.EFLAGS_VM)
    _load_segments(cpu, mem, selectors, ldt, is_virtual=is_virtual)
    if is_wide and number(_T32, 2) & 1:
        assert cpu.system is not None
        cpu.system.debug.task_trap()


def _load_segments(
    cpu: Cpu, mem: Memory, selectors: list[int], ldt: int, *, is_virtual: bool
) -> None:
    """Load LDTR and the segment registers; a fault is the new task's."""
    cpl = 3 if is_virtual else selectors[CS] & 3
    try:
        # Until they are checked, they are unusable, of the new task's level.
        for index, selector in enumerate(selectors):
            attr = cpl << segments.DPL_SHIFT if index == SS else 0
            segments.set_segment(cpu, index, selector, 0, 0, attr)
        descriptors.load_ldt(cpu, mem, 0)
        descriptors.put_ldt_selector(cpu, ldt)
        descriptors.load_ldt(cpu, mem, ldt, TS_FAULT)
        if is_virtual:
            for index, selector in enumerate(selectors):
                segments.set_real_segment(cpu, index, selector)
            return
        _load_code(cpu, mem, selectors[CS], cpl)
        found = descriptors.check_stack(cpu, mem, selectors[SS], cpl, TS_FAULT)
        descriptors.put(cpu, SS, descriptors.mark_accessed(mem, found))
        for index in (DS, ES, FS, GS):
            if selectors[index] & 0xFFFC:
                found = descriptors.check_data(cpu, mem, selectors[index], cpl, TS_FAULT)
                descriptors.put(cpu, index, descriptors.mark_accessed(mem, found))
        _, _, limit, _ = segments.segment(cpu, CS)
        if cpu.eip > limit:
            raise GuestFault(GP)
    finally:
        segments.update_context(cpu)


def _load_code(cpu: Cpu, mem: Memory, selector: int, cpl: int) -> None:
    found = descriptors.fetch(cpu, mem, selector, TS_FAULT)
    require(found.is_code, TS_FAULT, selector)
    suits = found.dpl <= cpl if found.is_conforming else found.dpl == cpl
    require(suits, TS_FAULT, selector)
    require(found.is_present, NP, selector)
    descriptors.put(cpu, CS, descriptors.mark_accessed(mem, found))


def push_error(cpu: Cpu, mem: Memory, error: int, ext: int) -> None:
    """Push an exception's error code on the stack of the task that handles it."""
    stack = stacks.current(cpu, mem, ext)
    stack.push(error, 4 if _is_wide(cpu.r32[_TR_ATTR]) else 2)
    stack.commit(cpu)
