"""Segment registers with their hidden parts, and the context that follows from them.

Whoever changes CS, SS, a limit, CR0.PE or AM, CR4.OSFXSR, EFLAGS.VM or AC calls `update_context`
afterwards: translated code is found by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from translator.faults import GuestFault
from translator.mode import Mode, Model, Segments, TooManyContexts, context_number, interned
from translator.state import FIELDS, SEGMENTS

if TYPE_CHECKING:
    from runtime.cpu import Cpu

ES, CS, SS, DS, FS, GS = range(6)
CR0_PE, CR0_AM, CR4_OSFXSR = 1, 1 << 18, 1 << 9
EFLAGS_VM, EFLAGS_AC = 1 << 17, 1 << 18
# Access rights as they stand in a descriptor's second word (SDM vol. 3, 3.4.5).
ACCESSED, WRITABLE, DOWN, CODE = 1 << 8, 1 << 9, 1 << 10, 1 << 11
READABLE, CONFORMING = WRITABLE, DOWN
MEMORY, PRESENT, AVL, BIG, PAGES = 1 << 12, 1 << 15, 1 << 20, 1 << 22, 1 << 23
DPL_SHIFT = 13
REAL_ATTR = PRESENT | MEMORY | WRITABLE | ACCESSED
RIGHTS = 0x00F0FF00
KIND = 15 << 8  # of a system segment or gate
_FULL = 0xFFFFFFFF
_ATTR = {i: FIELDS[f"{name}_attr"].offset // 4 for i, name in enumerate(SEGMENTS)}
_LIMIT = {i: FIELDS[f"{name}_limit"].offset // 4 for i, name in enumerate(SEGMENTS)}
_LOW = {i: FIELDS[f"{name}_low"].offset // 4 for i, name in enumerate(SEGMENTS)}
_BASE = {i: FIELDS[f"{name}_base"].offset // 4 for i, name in enumerate(SEGMENTS)}
_RSPAN = {i: FIELDS[f"{name}_rspan"].offset // 8 for i, name in enumerate(SEGMENTS)}
_WSPAN = {i: FIELDS[f"{name}_wspan"].offset // 8 for i, name in enumerate(SEGMENTS)}
_SELECTOR = {i: FIELDS[name].offset // 2 for i, name in enumerate(SEGMENTS)}
_CR0, _REST = FIELDS["cr0"].offset // 4, FIELDS["eflags_rest"].offset // 4
_CR4 = FIELDS["cr4"].offset // 4
_WITH_SSE = frozenset({Model.PENTIUM3, Model.MAX})
_CONTEXT = FIELDS["context"].offset // 8
_NONE = 0xFFFFFFFFFFFFFFFF
_GP = 13


def set_segment(cpu: Cpu, index: int, selector: int, base: int, limit: int, attr: int) -> None:
    """Load a segment register and its hidden part: base, limit in bytes, rights (0: unusable)."""
    cpu.r16[_SELECTOR[index]] = selector
    cpu.r32[_BASE[index]] = base
    cpu.r32[_LIMIT[index]] = limit
    cpu.r32[_ATTR[index]] = attr
    low, span = extent(limit, attr)
    cpu.r32[_LOW[index]] = low
    is_code = attr & CODE
    readable = attr & PRESENT and (not is_code or attr & READABLE)
    writable = attr & PRESENT and not is_code and attr & WRITABLE
    cpu.r64[_RSPAN[index]] = span & _NONE if readable else _NONE
    cpu.r64[_WSPAN[index]] = span & _NONE if writable else _NONE


def extent(limit: int, attr: int) -> tuple[int, int]:
    """Return a segment's lowest offset, and how far beyond it the highest is (-1: it is empty)."""
    if attr & DOWN and not attr & CODE:
        low = limit + 1
        return low & _FULL, (_FULL if attr & BIG else 0xFFFF) - low
    return 0, limit


def set_real_segment(cpu: Cpu, index: int, selector: int) -> None:
    """Load a segment register as real and virtual-8086 mode do; limit and rights of 64 KiB."""
    set_segment(cpu, index, selector, selector << 4, 0xFFFF, REAL_ATTR)


def segment(cpu: Cpu, index: int) -> tuple[int, int, int, int]:
    """Return selector, base, limit and rights of a segment register."""
    r32 = cpu.r32
    return cpu.r16[_SELECTOR[index]], r32[_BASE[index]], r32[_LIMIT[index]], r32[_ATTR[index]]


def span(cpu: Cpu, index: int, *, write: bool) -> tuple[int, int]:
    """Return the lowest offset of accesses, and how far beyond it the highest may be, or -1."""
    value = int(cpu.r64[_WSPAN[index] if write else _RSPAN[index]])
    return cpu.r32[_LOW[index]], value - (value >> 63 << 64)


def privilege(cpu: Cpu) -> int:
    """Return the current privilege level; under Linux it is always 3."""
    if cpu.system is None:
        return 3
    if not cpu.r32[_CR0] & CR0_PE:
        return 0
    if cpu.r32[_REST] & EFLAGS_VM:
        return 3
    return int(cpu.r32[_ATTR[SS]] >> DPL_SHIFT & 3)


def checks_alignment(cpu: Cpu) -> bool:
    """Whether an access to data that are not aligned is #AC (SDM vol. 3, 6.15)."""
    r32 = cpu.r32
    return bool(r32[_REST] & EFLAGS_AC and r32[_CR0] & CR0_AM) and privilege(cpu) == 3


def mode_of_cpu(cpu: Cpu) -> Mode:
    """Return the mode that the registers say."""
    system = cpu.system
    protected = bool(cpu.r32[_CR0] & CR0_PE)
    vm86 = protected and bool(cpu.r32[_REST] & EFLAGS_VM)
    is_real = vm86 or not protected
    mode = Mode(
        code32=bool(cpu.r32[_ATTR[CS]] & BIG) and not vm86,
        stack32=bool(cpu.r32[_ATTR[SS]] & BIG) and not vm86,
        segments=_real_kind(cpu) if is_real else _protected_kind(cpu),
        protected=protected,
        vm86=vm86,
        cpl=privilege(cpu),
        model=Model.MAX if system is None else system.model,
        system=system is not None,
        watches=0 if system is None else system.watches,
        has_sse=system is None or bool(cpu.r32[_CR4] & CR4_OSFXSR) or system.model not in _WITH_SSE,
        checks_alignment=checks_alignment(cpu),
    )
    return interned(mode)


def _real_kind(cpu: Cpu) -> Segments:
    r32 = cpu.r32
    for i in range(6):
        if r32[_LIMIT[i]] != 0xFFFF or r32[_ATTR[i]] & (BIG | CODE | DOWN):
            return Segments.CHECKED
    is_paragraph = r32[_BASE[CS]] == cpu.r16[_SELECTOR[CS]] << 4
    return Segments.REAL if is_paragraph else Segments.CHECKED


def _protected_kind(cpu: Cpu) -> Segments:
    for i in (ES, CS, SS, DS):
        span = cpu.r64[_RSPAN[i] if i == CS else _WSPAN[i]]
        if cpu.r32[_BASE[i]] or cpu.r32[_LOW[i]] or span != _FULL:
            return Segments.CHECKED
    return Segments.FLAT


def update_context(cpu: Cpu) -> None:
    """Compute which translated code the CPU runs from now on."""
    mode = mode_of_cpu(cpu)
    selector, base, limit, _ = segment(cpu, CS)
    # Each address space has its own code of ring 3.
    space = cpu.system.space if cpu.system is not None and mode.cpl == 3 else 0
    try:
        number = context_number(mode, selector, base, limit, space)
    except TooManyContexts:
        raise GuestFault(_GP, error=selector & 0xFFFC) from None
    cpu.r64[_CONTEXT] = number << 32


def set_flat(cpu: Cpu, cpl: int, code: int = 0x08, data: int = 0x10) -> None:
    """Load all segment registers with flat 32-bit segments of a privilege level."""
    attr = PRESENT | MEMORY | ACCESSED | WRITABLE | BIG | PAGES | cpl << DPL_SHIFT
    for index in (ES, SS, DS, FS, GS):
        set_segment(cpu, index, data | cpl, 0, _FULL, attr)
    set_segment(cpu, CS, code | cpl, 0, _FULL, attr | CODE)
