"""A CPU's state and guest memory, for compiled code: hidden parts of segment registers, EFLAGS."""

from __future__ import annotations

from collections.abc import Callable

from translator.mode import ANY_MODEL, CONTEXT_MODE_SHIFT, NO_SSE, Mode
from translator.quick.compiler import (
    host_gs,
    put8,
    put16,
    put32,
    put64,
    s64,
    u8,
    u16,
    u32,
)
from translator.quick.paging import (
    A_MARK,
    A_USER,
    A_WRITE,
    BASES,
    CODE,
    FILLED,
    FRAME_SHIFT,
    KINDS,
    NOW,
    PAGES,
    RAM,
    SPACE,
    TABLES,
    VIEW,
    walk,
)
from translator.state import FIELDS, SEGMENTS

EIP, ESP, INFO, STOP = (FIELDS[n].offset for n in ("eip", "esp", "exit_info", "stop"))
SZP, CF, OF, AF, DF = (FIELDS[n].offset for n in ("szp", "cf", "of", "af", "df"))
REST, BUDGET, CONTEXT = (FIELDS[n].offset for n in ("eflags_rest", "budget", "context"))
ATTENTION, SHADOW, MEMORY = (FIELDS[n].offset for n in ("attention", "shadow", "memory_base"))
EAX, ECX, EDX = (FIELDS[n].offset for n in ("eax", "ecx", "edx"))
CR0, CR4, DR7 = (FIELDS[n].offset for n in ("cr0", "cr4", "dr7"))
CR4_TSD = 4
GDT, GDT_LIMIT = FIELDS["gdtr_base"].offset, FIELDS["gdtr_limit"].offset
IDT, IDT_LIMIT = FIELDS["idtr_base"].offset, FIELDS["idtr_limit"].offset
LDT, LDT_LIMIT, LDT_ATTR = (FIELDS[f"ldtr_{n}"].offset for n in ("base", "limit", "attr"))
TR, TR_LIMIT, TR_ATTR = (FIELDS[f"tr_{n}"].offset for n in ("base", "limit", "attr"))
SELECTORS, SEG_BASES = FIELDS["es"].offset, FIELDS["es_base"].offset
HIDDEN = FIELDS["es_rspan"].offset  # of ES; the others follow
ROW = FIELDS["cs_rspan"].offset - HIDDEN
WSPAN, LOW, LIMIT, ATTR = (
    FIELDS[f"es_{n}"].offset - HIDDEN for n in ("wspan", "low", "limit", "attr")
)
for _i, _name in enumerate(SEGMENTS):
    assert FIELDS[f"{_name}_rspan"].offset == HIDDEN + ROW * _i
    assert FIELDS[f"{_name}_attr"].offset == HIDDEN + ROW * _i + ATTR
    assert FIELDS[f"{_name}_base"].offset == SEG_BASES + 4 * _i
    assert FIELDS[_name].offset == SELECTORS + 2 * _i
ES, CS, SS, DS, FS, GS = range(6)
# Of a descriptor's second word (SDM vol. 3, 3.4.5).
ACCESSED, WRITABLE, DOWN, IS_CODE = 1 << 8, 1 << 9, 1 << 10, 1 << 11
MEMORY_KIND, PRESENT, BIG, PAGED = 1 << 12, 1 << 15, 1 << 22, 1 << 23
DPL = 13
RIGHTS = 0x00F0FF00
# Flat: base 0, all of 4 GiB, 32 bits, present, accessed, code not conforming but readable.
FLAT_MASK = 0xFFDF9F00 & ~(1 << 21) | 0xFF
FLAT_DATA = 0xCF0000 | PRESENT | MEMORY_KIND | WRITABLE | ACCESSED
FLAT_CODE = FLAT_DATA | IS_CODE
TF, IF, IOPL, NT, RF, VM = 1 << 8, 1 << 9, 12, 1 << 14, 1 << 16, 1 << 17
STEPS = TF | 1 << 31  # as runtime/interpreting.py has it: insn by insn
NO_SHADOW = 0xFFFFFFFF
FULL = 0xFFFFFFFF
# Mode of flat code; the privilege level is added, the model, and that there is no SSE.
MODE = Mode(cpl=0, system=True).number
CPL_BITS = 3 << 6
assert MODE & CPL_BITS == CPL_BITS
PLAIN = MODE & ~CPL_BITS
INT32, TRAP32 = 14, 15
TSS32_BUSY = 11
CR0_TS = 8
AC = 1 << 18  # in EFLAGS; in CR0 it is AM
ARITHMETIC = 0x8D5
IRET_ALWAYS = 0x8D5 | 1 << 10 | 1 << 8 | 1 << 14 | 1 << 16 | 1 << 18 | 1 << 21
IRET_RING0 = 3 << 12 | 3 << 19


# -- memory ----------------------------------------------------------------------------------------
def host_of(ctx: int, view: int, address: int, size: int, write: int) -> int:
    """Return the host address of RAM at a linear address, as a view sees it; 0: Python looks."""
    if (address & 0xFFF) + size > 0x1000:
        return 0
    entry = u32(s64(ctx + TABLES + 8 * view) + 4 * (address >> 12))
    if entry & (NOW if write else FILLED):
        return s64(ctx + RAM) + (entry >> FRAME_SHIFT << 12) + (address & 0xFFF)
    page = walk(ctx, address, A_MARK | (A_WRITE if write else 0) | (A_USER if view else 0))
    if page < 0:
        return 0
    frame = page >> 8
    if frame >= s64(ctx + PAGES):
        return 0
    kind = u8(s64(ctx + KINDS) + frame)
    if kind > 1 or (write and (kind or u8(s64(ctx + CODE) + frame))):
        return 0
    return s64(ctx + RAM) + (frame << 12) + (address & 0xFFF)


def descriptor_at(ctx: int, st: int, selector: int) -> int:
    """Return the host address of a selector's descriptor; 0: Python looks."""
    if not selector & 0xFFFC:
        return 0
    if selector & 4:
        if not u32(st + LDT_ATTR) & PRESENT or selector | 7 > u32(st + LDT_LIMIT):
            return 0
        base = u32(st + LDT)
    else:
        if selector | 7 > u16(st + GDT_LIMIT):
            return 0
        base = u32(st + GDT)
    return host_of(ctx, 0, base + (selector & 0xFFF8) & FULL, 8, 0)


def is_flat(at: int, wanted: int) -> int:
    """Whether a descriptor describes a flat segment."""
    return u32(at) == 0xFFFF and u32(at + 4) & FLAT_MASK == wanted


def stack_at(ctx: int, st: int, selector: int, level: int) -> int:
    """Return the host address of the flat descriptor for SS at a level; 0: Python looks."""
    at = descriptor_at(ctx, st, selector)
    if not at or not is_flat(at, FLAT_DATA):
        return 0
    return at if u32(at + 4) >> DPL & 3 == level and selector & 3 == level else 0


# -- the processor's state -------------------------------------------------------------------------
def set_flat(st: int, index: int, selector: int, attr: int) -> int:
    """Load a segment register with a flat segment."""
    put16(st + SELECTORS + 2 * index, selector)
    put32(st + SEG_BASES + 4 * index, 0)
    row = st + HIDDEN + ROW * index
    put64(row, FULL)
    put64(row + WSPAN, -1 if attr & IS_CODE else FULL)
    put32(row + LOW, 0)
    put32(row + LIMIT, FULL)
    put32(row + ATTR, attr & RIGHTS)
    return 0


def set_null(st: int, index: int, selector: int) -> int:
    """Make FS or GS unusable."""
    put16(st + SELECTORS + 2 * index, selector)
    put32(st + SEG_BASES + 4 * index, 0)
    row = st + HIDDEN + ROW * index
    put64(row, -1)
    put64(row + WSPAN, -1)
    put32(row + LOW, 0)
    put32(row + LIMIT, 0)
    put32(row + ATTR, 0)
    return 0


def level_of(st: int) -> int:
    """Return the privilege level."""
    return u32(st + HIDDEN + ROW * SS + ATTR) >> DPL & 3


def enter_level(ctx: int, st: int, level: int) -> int:
    """Run flat code of a privilege level from now on: context, window, host segment."""
    kept = s64(st + CONTEXT) >> 32 & (NO_SSE | ANY_MODEL) << CONTEXT_MODE_SHIFT
    number = kept | (PLAIN | (3 - level) << 6) << CONTEXT_MODE_SHIFT
    view = 0
    if level == 3:
        number = number | s64(ctx + SPACE)
        view = 1
    put64(st + CONTEXT, number << 32)
    if s64(ctx + VIEW) != view:
        base = s64(ctx + BASES + 8 * view)
        put64(ctx + VIEW, view)
        put64(st + MEMORY, base)
        host_gs(base)
    return 0


def eflags(st: int) -> int:
    """Return EFLAGS, exact (Cpu.eflags)."""
    szp = s64(st + SZP)
    parity = (szp ^ szp >> 32) & 0xFF
    parity = parity ^ parity >> 4
    parity = parity ^ parity >> 2
    parity = parity ^ parity >> 1
    value = u32(st + REST) & 0x3FFFFF | 2 | u8(st + CF) & 1 | u8(st + AF) & 0x10
    value = value | (parity & 1 ^ 1) << 2 | (u8(st + OF) & 1) << 11
    if szp & FULL == 0:
        value = value | 0x40
    if szp < 0:
        value = value | 0x80
    if u32(st + DF) != 1:
        value = value | 0x400
    return value


def set_eflags(st: int, value: int) -> int:
    """Set EFLAGS (Cpu.eflags)."""
    put8(st + CF, value & 1)
    put8(st + OF, value >> 11 & 1)
    put8(st + AF, value & 0x10)
    low = 0 if value & 0x40 else 0x100
    put64(st + SZP, low | (value >> 2 & 1 ^ 1) << 32 | (value >> 7 & 1) << 63)
    put32(st + DF, FULL if value & 0x400 else 1)
    rest = value & ~(ARITHMETIC | 0x402) & 0x3FFFFF
    put32(st + REST, u32(st + REST) & 1 << 31 | rest)
    return 0


def executed(st: int, eip: int) -> int:
    """Go on behind an insn."""
    put32(st + EIP, eip & FULL)
    put64(st + BUDGET, s64(st + BUDGET) - 1)
    return 1


FUNCTIONS: list[Callable[..., int]] = [
    host_of, descriptor_at, is_flat, stack_at, set_flat, set_null, level_of, enter_level, eflags,
    set_eflags, executed,
]  # fmt: skip
