"""What an operating system does all the time, compiled: segments, gates, fast system calls.

In: the context of paging (paging.py) and a CPU's state, where guest code left at an insn of the
interp tier or for an interrupt.  Each function does the common case, in 32-bit protected mode with
flat ES CS SS DS, and returns 1; or it returns 0, having changed nothing, and Python does it
(runtime/system).  `tests/system/test_quick.py` compares the two.
"""

from __future__ import annotations

from collections.abc import Callable

from translator.mode import CONTEXT_MODE_SHIFT, MODE_BITS, SHARED, Mode
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
    SYSENTER_CS,
    SYSENTER_EIP,
    SYSENTER_ESP,
    TABLES,
    VIEW,
    walk,
)
from translator.state import FIELDS, SEGMENTS

_EIP, _ESP, _INFO, _STOP = (FIELDS[n].offset for n in ("eip", "esp", "exit_info", "stop"))
_SZP, _CF, _OF, _AF, _DF = (FIELDS[n].offset for n in ("szp", "cf", "of", "af", "df"))
_REST, _BUDGET, _CONTEXT = (FIELDS[n].offset for n in ("eflags_rest", "budget", "context"))
_ATTENTION, _SHADOW, _MEMORY = (FIELDS[n].offset for n in ("attention", "shadow", "memory_base"))
_ECX, _EDX = FIELDS["ecx"].offset, FIELDS["edx"].offset
_CR0, _DR7 = FIELDS["cr0"].offset, FIELDS["dr7"].offset
_GDT, _GDT_LIMIT = FIELDS["gdtr_base"].offset, FIELDS["gdtr_limit"].offset
_IDT, _IDT_LIMIT = FIELDS["idtr_base"].offset, FIELDS["idtr_limit"].offset
_LDT, _LDT_LIMIT, _LDT_ATTR = (FIELDS[f"ldtr_{n}"].offset for n in ("base", "limit", "attr"))
_TR, _TR_LIMIT, _TR_ATTR = (FIELDS[f"tr_{n}"].offset for n in ("base", "limit", "attr"))
_SELECTORS, _SEG_BASES = FIELDS["es"].offset, FIELDS["es_base"].offset
_HIDDEN = FIELDS["es_rspan"].offset  # of ES; the others follow
_ROW = FIELDS["cs_rspan"].offset - _HIDDEN
_WSPAN, _LOW, _LIMIT, _ATTR = (
    FIELDS[f"es_{n}"].offset - _HIDDEN for n in ("wspan", "low", "limit", "attr")
)
for _i, _name in enumerate(SEGMENTS):
    assert FIELDS[f"{_name}_rspan"].offset == _HIDDEN + _ROW * _i
    assert FIELDS[f"{_name}_attr"].offset == _HIDDEN + _ROW * _i + _ATTR
    assert FIELDS[f"{_name}_base"].offset == _SEG_BASES + 4 * _i
    assert FIELDS[_name].offset == _SELECTORS + 2 * _i
_ES, _CS, _SS, _DS, _FS, _GS = range(6)
# Of a descriptor's second word (SDM vol. 3, 3.4.5).
_ACCESSED, _WRITABLE, _DOWN, _IS_CODE = 1 << 8, 1 << 9, 1 << 10, 1 << 11
_MEMORY_KIND, _PRESENT, _BIG, _PAGED = 1 << 12, 1 << 15, 1 << 22, 1 << 23
_DPL = 13
_RIGHTS = 0x00F0FF00
# Flat: base 0, all of 4 GiB, 32 bits, present, accessed, code not conforming but readable.
_FLAT_MASK = 0xFFDF9F00 & ~(1 << 21) | 0xFF
_FLAT_DATA = 0xCF0000 | _PRESENT | _MEMORY_KIND | _WRITABLE | _ACCESSED
_FLAT_CODE = _FLAT_DATA | _IS_CODE
_TF, _IF, _IOPL, _NT, _RF, _VM = 1 << 8, 1 << 9, 12, 1 << 14, 1 << 16, 1 << 17
_STEPS = _TF | 1 << 31  # as runtime/interpreting.py has it: insn by insn
_NO_SHADOW = 0xFFFFFFFF
_FULL = 0xFFFFFFFF
# Mode and context of flat code; the privilege level is added.
_MODE = Mode(cpl=0, system=True).number
_CPL_BITS = 3 << 6
assert _MODE & _CPL_BITS == _CPL_BITS
_PLAIN = _MODE & ~_CPL_BITS
_INT32, _TRAP32 = 14, 15
_TSS32_BUSY = 11
_CR0_TS = 8
_ARITHMETIC = 0x8D5
_IRET_ALWAYS = 0x8D5 | 1 << 10 | 1 << 8 | 1 << 14 | 1 << 16 | 1 << 18 | 1 << 21
_IRET_RING0 = 3 << 12 | 3 << 19


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
        if not u32(st + _LDT_ATTR) & _PRESENT or selector | 7 > u32(st + _LDT_LIMIT):
            return 0
        base = u32(st + _LDT)
    else:
        if selector | 7 > u16(st + _GDT_LIMIT):
            return 0
        base = u32(st + _GDT)
    return host_of(ctx, 0, base + (selector & 0xFFF8) & _FULL, 8, 0)


def is_flat(at: int, wanted: int) -> int:
    """Whether a descriptor describes a flat segment."""
    return u32(at) == 0xFFFF and u32(at + 4) & _FLAT_MASK == wanted


# -- the processor's state -------------------------------------------------------------------------
def set_flat(st: int, index: int, selector: int, attr: int) -> int:
    """Load a segment register with a flat segment."""
    put16(st + _SELECTORS + 2 * index, selector)
    put32(st + _SEG_BASES + 4 * index, 0)
    row = st + _HIDDEN + _ROW * index
    put64(row, _FULL)
    put64(row + _WSPAN, -1 if attr & _IS_CODE else _FULL)
    put32(row + _LOW, 0)
    put32(row + _LIMIT, _FULL)
    put32(row + _ATTR, attr & _RIGHTS)
    return 0


def set_null(st: int, index: int, selector: int) -> int:
    """Make FS or GS unusable."""
    put16(st + _SELECTORS + 2 * index, selector)
    put32(st + _SEG_BASES + 4 * index, 0)
    row = st + _HIDDEN + _ROW * index
    put64(row, -1)
    put64(row + _WSPAN, -1)
    put32(row + _LOW, 0)
    put32(row + _LIMIT, 0)
    put32(row + _ATTR, 0)
    return 0


def level_of(st: int) -> int:
    """Return the privilege level."""
    return u32(st + _HIDDEN + _ROW * _SS + _ATTR) >> _DPL & 3


def enter_level(ctx: int, st: int, level: int) -> int:
    """Run flat code of a privilege level from now on: context, window, host segment."""
    number = (_PLAIN | (3 - level) << 6) << CONTEXT_MODE_SHIFT | SHARED
    view = 0
    if level == 3:
        number = number | s64(ctx + SPACE)
        view = 1
    put64(st + _CONTEXT, number << 32)
    if s64(ctx + VIEW) != view:
        base = s64(ctx + BASES + 8 * view)
        put64(ctx + VIEW, view)
        put64(st + _MEMORY, base)
        host_gs(base)
    return 0


def eflags(st: int) -> int:
    """Return EFLAGS, exact (Cpu.eflags)."""
    szp = s64(st + _SZP)
    parity = (szp ^ szp >> 32) & 0xFF
    parity = parity ^ parity >> 4
    parity = parity ^ parity >> 2
    parity = parity ^ parity >> 1
    value = u32(st + _REST) & 0x3FFFFF | 2 | u8(st + _CF) & 1 | u8(st + _AF) & 0x10
    value = value | (parity & 1 ^ 1) << 2 | (u8(st + _OF) & 1) << 11
    if szp & _FULL == 0:
        value = value | 0x40
    if szp < 0:
        value = value | 0x80
    if u32(st + _DF) != 1:
        value = value | 0x400
    return value


def set_eflags(st: int, value: int) -> int:
    """Set EFLAGS (Cpu.eflags)."""
    put8(st + _CF, value & 1)
    put8(st + _OF, value >> 11 & 1)
    put8(st + _AF, value & 0x10)
    low = 0 if value & 0x40 else 0x100
    put64(st + _SZP, low | (value >> 2 & 1 ^ 1) << 32 | (value >> 7 & 1) << 63)
    put32(st + _DF, _FULL if value & 0x400 else 1)
    rest = value & ~(_ARITHMETIC | 0x402) & 0x3FFFFF
    put32(st + _REST, u32(st + _REST) & 1 << 31 | rest)
    return 0


def executed(st: int, eip: int) -> int:
    """Go on behind an insn."""
    put32(st + _EIP, eip & _FULL)
    put64(st + _BUDGET, s64(st + _BUDGET) - 1)
    return 1


# -- segment registers -----------------------------------------------------------------------------
def load_segment(ctx: int, st: int, index: int, selector: int) -> int:
    """Load ES DS FS GS, or SS at its level."""
    level = level_of(st)
    if not selector & 0xFFFC:
        if index < _FS:
            return 0
        return 1 + set_null(st, index, selector)
    at = descriptor_at(ctx, st, selector)
    if not at:
        return 0
    high = u32(at + 4)
    dpl = high >> _DPL & 3
    if index < _FS:
        if not is_flat(at, _FLAT_DATA):
            return 0
        if (
            dpl < level
            or dpl < selector & 3
            or (index == _SS and (dpl != level or dpl != selector & 3))
        ):
            return 0
        return 1 + set_flat(st, index, selector, high)
    # FS GS: any data that goes up.
    wanted = _PRESENT | _MEMORY_KIND | _ACCESSED
    if high & (wanted | _IS_CODE | _DOWN) != wanted or dpl < level or dpl < selector & 3:
        return 0
    low = u32(at)
    limit = low & 0xFFFF | high & 0xF0000
    if high & _PAGED:
        limit = limit << 12 | 0xFFF
    put16(st + _SELECTORS + 2 * index, selector)
    put32(st + _SEG_BASES + 4 * index, low >> 16 | (high & 0xFF) << 16 | high & 0xFF000000)
    row = st + _HIDDEN + _ROW * index
    put64(row, limit)
    put64(row + _WSPAN, limit if high & _WRITABLE else -1)
    put32(row + _LOW, 0)
    put32(row + _LIMIT, limit)
    put32(row + _ATTR, high & _RIGHTS)
    return 1


def pop_segment(ctx: int, st: int, index: int, behind: int) -> int:
    """Pop ES DS FS GS."""
    top = u32(st + _ESP)
    at = host_of(ctx, s64(ctx + VIEW), top, 2, 0)
    if not at or not load_segment(ctx, st, index, u16(at)):
        return 0
    put32(st + _ESP, top + 4)
    return executed(st, behind)


# -- gates -----------------------------------------------------------------------------------------
def deliver(ctx: int, st: int, vector: int, how: int, error: int) -> int:
    """Send control to the handler of a vector. *how*: BY_INT, SAVES_RF, HAS_ERROR."""
    if not is_plain(st) or 8 * vector + 7 > u16(st + _IDT_LIMIT):
        return 0
    gate = host_of(ctx, 0, u32(st + _IDT) + 8 * vector & _FULL, 8, 0)
    if not gate:
        return 0
    high = u32(gate + 4)
    kind = high >> 8 & 0x1F
    level = level_of(st)
    if (kind != _INT32 and kind != _TRAP32) or not high & _PRESENT:
        return 0
    if how & BY_INT and high >> _DPL & 3 < level:
        return 0
    selector = u32(gate) >> 16
    code = descriptor_at(ctx, st, selector)
    if not code or not is_flat(code, _FLAT_CODE):
        return 0
    rights = u32(code + 4)
    inner = rights >> _DPL & 3
    if inner > level:
        return 0
    top = u32(st + _ESP)
    saved_ss = u16(st + _SELECTORS + 2 * _SS)
    flags = eflags(st)
    count = 4 if how & HAS_ERROR else 3
    stack = 0
    ss = 0
    if inner < level:
        count += 2
        place = 4 + 8 * inner
        if u32(st + _TR_ATTR) >> 8 & 0x1F != _TSS32_BUSY or place + 7 > u32(st + _TR_LIMIT):
            return 0
        tss = host_of(ctx, 0, u32(st + _TR) + place & _FULL, 6, 0)
        if not tss:
            return 0
        new = u32(tss)
        ss = u16(tss + 4)
        data = descriptor_at(ctx, st, ss)
        if not data or not is_flat(data, _FLAT_DATA):
            return 0
        if u32(data + 4) >> _DPL & 3 != inner or ss & 3 != inner:
            return 0
        stack = host_of(ctx, 0, new - 4 * count & _FULL, 4 * count, 1)
        if not stack:
            return 0
        set_flat(st, _SS, ss, u32(data + 4))
        put32(stack + 4 * count - 4, saved_ss)
        put32(stack + 4 * count - 8, top)
        put32(st + _ESP, new - 4 * count)
    else:
        stack = host_of(ctx, 1 if level == 3 else 0, top - 4 * count & _FULL, 4 * count, 1)
        if not stack:
            return 0
        put32(st + _ESP, top - 4 * count)
    if how & HAS_ERROR:
        put32(stack, error)
        stack += 4
    put32(stack, u32(st + _EIP))
    put32(stack + 4, u16(st + _SELECTORS + 2 * _CS))
    put32(stack + 8, flags | (_RF if how & SAVES_RF else 0))
    cleared = _TF | _RF | _NT | _VM | (_IF if kind == _INT32 else 0)
    put32(st + _REST, u32(st + _REST) & ~cleared)
    set_flat(st, _CS, selector & ~3 | inner, rights)
    put32(st + _EIP, u32(gate) & 0xFFFF | high & 0xFFFF0000)
    enter_level(ctx, st, inner)
    return 1


def interrupt_return(ctx: int, st: int) -> int:
    """Return from a handler to the same or an outer level, in flat code."""
    rest = u32(st + _REST)
    level = level_of(st)
    if rest & _NT:
        return 0
    top = u32(st + _ESP)
    view = s64(ctx + VIEW)
    stack = host_of(ctx, view, top, 12, 0)
    if not stack:
        return 0
    selector = u16(stack + 4)
    image = u32(stack + 8)
    if image & (_VM | _TF):
        return 0
    outer = selector & 3
    code = descriptor_at(ctx, st, selector)
    if outer < level or not code or not is_flat(code, _FLAT_CODE):
        return 0
    rights = u32(code + 4)
    if rights >> _DPL & 3 != outer:
        return 0
    eip = u32(stack)
    if outer > level:
        more = host_of(ctx, view, top + 12 & _FULL, 8, 0)
        if not more:
            return 0
        ss = u16(more + 4)
        data = descriptor_at(ctx, st, ss)
        if not data or not is_flat(data, _FLAT_DATA):
            return 0
        if u32(data + 4) >> _DPL & 3 != outer or ss & 3 != outer:
            return 0
        for i in range(0, 6):
            attr = u32(st + _HIDDEN + _ROW * i + _ATTR)
            is_inner = attr >> _DPL & 3 < outer and attr & (_IS_CODE | _DOWN) != _IS_CODE | _DOWN
            if is_inner and i != _CS and i != _SS:
                if i < _FS:
                    return 0
                set_null(st, i, 0)
        set_flat(st, _SS, ss, u32(data + 4))
        put32(st + _ESP, u32(more))
    else:
        put32(st + _ESP, top + 12)
    writable = _IRET_ALWAYS
    if level <= rest >> _IOPL & 3:
        writable = writable | _IF
    if level == 0:
        writable = writable | _IRET_RING0
    if not u32(st + _DR7) & 0xFF:
        image = image & ~_RF
    set_eflags(st, eflags(st) & ~writable | image & writable)
    set_flat(st, _CS, selector, rights)
    enter_level(ctx, st, outer)
    return executed(st, eip)


# -- fast system calls -----------------------------------------------------------------------------
def fixed(st: int, code: int, stack: int, level: int) -> int:
    """Load flat CS and SS of a privilege level, whatever the tables say."""
    attr = _FLAT_DATA | level << _DPL
    set_flat(st, _CS, code & 0xFFFC | level, attr | _IS_CODE)
    set_flat(st, _SS, stack & 0xFFFC | level, attr)
    return 0


def sysenter(ctx: int, st: int) -> int:
    """Go to ring 0."""
    selector = s64(ctx + SYSENTER_CS) & 0xFFFF
    if not selector & 0xFFFC:
        return 0
    put32(st + _REST, u32(st + _REST) & ~(_VM | _IF))
    fixed(st, selector, selector + 8, 0)
    put32(st + _ESP, s64(ctx + SYSENTER_ESP))
    enter_level(ctx, st, 0)
    return executed(st, s64(ctx + SYSENTER_EIP))


def sysexit(ctx: int, st: int) -> int:
    """Return to ring 3."""
    selector = s64(ctx + SYSENTER_CS) & 0xFFFF
    if not selector & 0xFFFC:
        return 0
    fixed(st, selector + 16, selector + 24, 3)
    put32(st + _ESP, u32(st + _ECX))
    enter_level(ctx, st, 3)
    return executed(st, u32(st + _EDX))


# -- what guest code leaves for --------------------------------------------------------------------
def is_plain(st: int) -> int:
    """Whether this is the common case, and nobody asks for anything."""
    if u32(st + _ATTENTION) or u32(st + _STOP) or u32(st + _REST) & _STEPS:
        return 0
    mode = s64(st + _CONTEXT) >> 32 + CONTEXT_MODE_SHIFT & (1 << MODE_BITS) - 1
    return mode & ~_CPL_BITS == _PLAIN


def interrupt(ctx: int, st: int) -> int:
    """Execute int n, EIP being behind it."""
    return deliver(ctx, st, u32(st + _INFO), BY_INT, 0)


def execute(ctx: int, st: int) -> int:
    """Execute the insn at EIP, which the interp tier would."""
    if not is_plain(st):
        return 0
    eip = u32(st + _EIP)
    view = s64(ctx + VIEW)
    code = host_of(ctx, view, eip, 4, 0)
    if not code:
        return 0
    level = level_of(st)
    op = u8(code)
    if op == 0x8E:  # mov sreg, r16
        modrm = u8(code + 1)
        index = modrm >> 3 & 7
        # SS casts a shadow.
        if modrm < 0xC0 or index > _GS or (index < _DS and index != _ES):
            return 0
        if not load_segment(ctx, st, index, u16(st + 4 * (modrm & 7))):
            return 0
        return executed(st, eip + 2)
    if op == 0x07:
        return pop_segment(ctx, st, _ES, eip + 1)
    if op == 0x1F:
        return pop_segment(ctx, st, _DS, eip + 1)
    if op == 0xCF:
        return interrupt_return(ctx, st)
    if op != 0x0F:
        return 0
    op = u8(code + 1)
    if op == 0xA1:
        return pop_segment(ctx, st, _FS, eip + 2)
    if op == 0xA9:
        return pop_segment(ctx, st, _GS, eip + 2)
    if op == 0x34:
        return sysenter(ctx, st)
    if level:
        return 0
    if op == 0x35:
        return sysexit(ctx, st)
    if op == 0x06:
        put32(st + _CR0, u32(st + _CR0) & ~_CR0_TS)
        return executed(st, eip + 2)
    return 0


BY_INT, SAVES_RF, HAS_ERROR = 1, 2, 4
PUBLIC = {"deliver", "interrupt", "execute"}
FUNCTIONS: list[Callable[..., int]] = [
    host_of, descriptor_at, is_flat, set_flat, set_null, level_of, enter_level, eflags, set_eflags,
    executed, load_segment, pop_segment, is_plain, deliver, interrupt_return, fixed, sysenter,
    sysexit, interrupt, execute,
]  # fmt: skip
