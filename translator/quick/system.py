"""What an operating system does all the time, compiled: segments, gates, fast system calls.

In: the context of paging (paging.py) and a CPU's state, where guest code left at an insn of the
interp tier or for an interrupt.  Each function does the common case, in 32-bit protected mode with
flat ES CS SS DS, int n also in real mode, and returns 1; or it returns 0, having changed nothing,
and Python does it (runtime/system).  `tests/system/test_quick.py` compares the two.
"""

from __future__ import annotations

from collections.abc import Callable

from translator.mode import (
    ANY_MODEL,
    CONTEXT_MODE_SHIFT,
    MODE_BITS,
    MODEL_BITS,
    MODEL_SHIFT,
    NO_SSE,
    Mode,
    Model,
    Segments,
)
from translator.quick import rare, registers
from translator.quick.compiler import (
    host_clock,
    put16,
    put32,
    put64,
    s64,
    u8,
    u16,
    u32,
)
from translator.quick.paging import (
    COMPILED,
    MISSING_FLAGS,
    SYSENTER_CS,
    SYSENTER_EIP,
    SYSENTER_ESP,
    TSC_OFFSET,
    TSC_ON,
    VIEW,
)
from translator.quick.rare import BEHIND, fx_insn, identify, memory_at
from translator.quick.registers import (
    AC,
    ACCESSED,
    ATTENTION,
    ATTR,
    BUDGET,
    CONTEXT,
    CPL_BITS,
    CR0,
    CR0_TS,
    CR4,
    CR4_TSD,
    CS,
    DOWN,
    DPL,
    DR7,
    DS,
    EAX,
    ECX,
    EDX,
    EIP,
    ES,
    ESP,
    FLAT_CODE,
    FLAT_DATA,
    FS,
    FULL,
    GS,
    HIDDEN,
    IDT,
    IDT_LIMIT,
    IF,
    INFO,
    INT32,
    IOPL,
    IRET_ALWAYS,
    IRET_RING0,
    IS_CODE,
    LIMIT,
    LOW,
    MEMORY_KIND,
    NT,
    PAGED,
    PLAIN,
    PRESENT,
    REST,
    RF,
    RIGHTS,
    ROW,
    SEG_BASES,
    SELECTORS,
    SS,
    STEPS,
    STOP,
    TF,
    TR,
    TR_ATTR,
    TR_LIMIT,
    TRAP32,
    TSS32_BUSY,
    VM,
    WRITABLE,
    WSPAN,
    descriptor_at,
    eflags,
    enter_level,
    executed,
    host_of,
    is_flat,
    level_of,
    set_eflags,
    set_flat,
    set_null,
    stack_at,
)
from translator.quick.spaces import forget_page, load_root

MAX, I386, I486 = int(Model.MAX), int(Model.I386), int(Model.I486)
PENTIUM, PENTIUM3 = int(Model.PENTIUM), int(Model.PENTIUM3)
REAL = Mode(False, False, Segments.REAL, protected=False, cpl=0, system=True).number
_LONGEST = 8  # bytes of the insns that are known here


# -- segment registers -----------------------------------------------------------------------------
def load_segment(ctx: int, st: int, index: int, selector: int) -> int:
    """Load ES DS FS GS."""
    level = level_of(st)
    if not selector & 0xFFFC:
        if index < FS:
            return 0
        return 1 + set_null(st, index, selector)
    at = descriptor_at(ctx, st, selector)
    if not at:
        return 0
    high = u32(at + 4)
    dpl = high >> DPL & 3
    if index < FS:
        if not is_flat(at, FLAT_DATA):
            return 0
        if dpl < level or dpl < selector & 3:
            return 0
        return 1 + set_flat(st, index, selector, high)
    # FS GS: any data that goes up.
    wanted = PRESENT | MEMORY_KIND | ACCESSED
    if high & (wanted | IS_CODE | DOWN) != wanted or dpl < level or dpl < selector & 3:
        return 0
    low = u32(at)
    limit = low & 0xFFFF | high & 0xF0000
    if high & PAGED:
        limit = limit << 12 | 0xFFF
    put16(st + SELECTORS + 2 * index, selector)
    put32(st + SEG_BASES + 4 * index, low >> 16 | (high & 0xFF) << 16 | high & 0xFF000000)
    row = st + HIDDEN + ROW * index
    put64(row, limit)
    put64(row + WSPAN, limit if high & WRITABLE else -1)
    put32(row + LOW, 0)
    put32(row + LIMIT, limit)
    put32(row + ATTR, high & RIGHTS)
    return 1


def pop_segment(ctx: int, st: int, index: int, behind: int) -> int:
    """Pop ES DS FS GS."""
    top = u32(st + ESP)
    at = host_of(ctx, s64(ctx + VIEW), top, 2, 0)
    if not at or not load_segment(ctx, st, index, u16(at)):
        return 0
    put32(st + ESP, top + 4)
    return executed(st, behind)


# -- gates -----------------------------------------------------------------------------------------
def deliver(ctx: int, st: int, vector: int, how: int, error: int) -> int:
    """Send control to the handler of a vector. *how*: BY_INT, SAVES_RF, HAS_ERROR."""
    if not is_plain(ctx, st) or 8 * vector + 7 > u16(st + IDT_LIMIT):
        return 0
    gate = host_of(ctx, 0, u32(st + IDT) + 8 * vector & FULL, 8, 0)
    if not gate:
        return 0
    high = u32(gate + 4)
    kind = high >> 8 & 0x1F
    level = level_of(st)
    if (kind != INT32 and kind != TRAP32) or not high & PRESENT:
        return 0
    if how & BY_INT and high >> DPL & 3 < level:
        return 0
    selector = u32(gate) >> 16
    code = descriptor_at(ctx, st, selector)
    if not code or not is_flat(code, FLAT_CODE):
        return 0
    rights = u32(code + 4)
    inner = rights >> DPL & 3
    if inner > level:
        return 0
    top = u32(st + ESP)
    saved_ss = u16(st + SELECTORS + 2 * SS)
    flags = eflags(st)
    count = 4 if how & HAS_ERROR else 3
    stack = 0
    ss = 0
    if inner < level:
        count += 2
        place = 4 + 8 * inner
        if u32(st + TR_ATTR) >> 8 & 0x1F != TSS32_BUSY or place + 7 > u32(st + TR_LIMIT):
            return 0
        tss = host_of(ctx, 0, u32(st + TR) + place & FULL, 6, 0)
        if not tss:
            return 0
        new = u32(tss)
        ss = u16(tss + 4)
        data = stack_at(ctx, st, ss, inner)
        if not data:
            return 0
        stack = host_of(ctx, 0, new - 4 * count & FULL, 4 * count, 1)
        if not stack:
            return 0
        set_flat(st, SS, ss, u32(data + 4))
        put32(stack + 4 * count - 4, saved_ss)
        put32(stack + 4 * count - 8, top)
        put32(st + ESP, new - 4 * count)
    else:
        stack = host_of(ctx, 1 if level == 3 else 0, top - 4 * count & FULL, 4 * count, 1)
        if not stack:
            return 0
        put32(st + ESP, top - 4 * count)
    if how & HAS_ERROR:
        put32(stack, error)
        stack += 4
    put32(stack, u32(st + EIP))
    put32(stack + 4, u16(st + SELECTORS + 2 * CS))
    put32(stack + 8, flags | (RF if how & SAVES_RF else 0))
    cleared = TF | RF | NT | VM | (IF if kind == INT32 else 0)
    put32(st + REST, u32(st + REST) & ~cleared)
    set_flat(st, CS, selector & ~3 | inner, rights)
    put32(st + EIP, u32(gate) & 0xFFFF | high & 0xFFFF0000)
    enter_level(ctx, st, inner)
    return 1


def deliver_real(ctx: int, st: int, vector: int) -> int:
    """Send control through the vector table of real mode."""
    entry = host_of(ctx, 0, u32(st + IDT) + 4 * vector & FULL, 4, 0)
    top = u32(st + ESP)
    offset = top & 0xFFFF
    if 4 * vector + 3 > u16(st + IDT_LIMIT) or not entry or offset < 6:
        return 0
    stack = host_of(ctx, 0, u32(st + SEG_BASES + 4 * SS) + offset - 6 & FULL, 6, 1)
    if not stack:
        return 0
    put16(stack, u32(st + EIP))
    put16(stack + 2, u16(st + SELECTORS + 2 * CS))
    put16(stack + 4, eflags(st))
    put32(st + ESP, top - 6)
    put32(st + REST, u32(st + REST) & ~(TF | IF | AC))
    selector = u16(entry + 2)
    put16(st + SELECTORS + 2 * CS, selector)
    put32(st + SEG_BASES + 4 * CS, selector << 4)
    put64(st + CONTEXT, s64(st + CONTEXT) & ~(0xFFFF << 32) | selector << 32)
    put32(st + EIP, u16(entry))
    return 1


def interrupt_return(ctx: int, st: int) -> int:
    """Return from a handler to the same or an outer level, in flat code."""
    rest = u32(st + REST)
    level = level_of(st)
    if rest & NT:
        return 0
    top = u32(st + ESP)
    view = s64(ctx + VIEW)
    stack = host_of(ctx, view, top, 12, 0)
    if not stack:
        return 0
    selector = u16(stack + 4)
    image = u32(stack + 8)
    if image & (VM | TF) or (image & IF and u8(st + ATTENTION)):  # INTR waits for IF
        return 0
    outer = selector & 3
    if outer == 3 and image & u32(st + CR0) & AC:  # that ring checks alignment
        return 0
    code = descriptor_at(ctx, st, selector)
    if outer < level or not code or not is_flat(code, FLAT_CODE):
        return 0
    rights = u32(code + 4)
    if rights >> DPL & 3 != outer:
        return 0
    eip = u32(stack)
    if outer > level:
        more = host_of(ctx, view, top + 12 & FULL, 8, 0)
        if not more:
            return 0
        ss = u16(more + 4)
        data = stack_at(ctx, st, ss, outer)
        if not data:
            return 0
        for i in range(0, 6):
            attr = u32(st + HIDDEN + ROW * i + ATTR)
            is_inner = attr >> DPL & 3 < outer and attr & (IS_CODE | DOWN) != IS_CODE | DOWN
            if is_inner and i != CS and i != SS:
                if i < FS:
                    return 0
                set_null(st, i, 0)
        set_flat(st, SS, ss, u32(data + 4))
        put32(st + ESP, u32(more))
    else:
        put32(st + ESP, top + 12)
    writable = IRET_ALWAYS
    if level <= rest >> IOPL & 3:
        writable = writable | IF
    if level == 0:
        writable = writable | IRET_RING0
    writable = writable & ~s64(ctx + MISSING_FLAGS)
    if not u32(st + DR7) & 0xFF:
        image = image & ~RF
    set_eflags(st, eflags(st) & ~writable | image & writable)
    set_flat(st, CS, selector, rights)
    enter_level(ctx, st, outer)
    return executed(st, eip)


# -- fast system calls -----------------------------------------------------------------------------
def fixed(st: int, code: int, stack: int, level: int) -> int:
    """Load flat CS and SS of a privilege level, whatever the tables say."""
    attr = FLAT_DATA | level << DPL
    set_flat(st, CS, code & 0xFFFC | level, attr | IS_CODE)
    set_flat(st, SS, stack & 0xFFFC | level, attr)
    return 0


def sysenter(ctx: int, st: int) -> int:
    """Go to ring 0."""
    selector = s64(ctx + SYSENTER_CS) & 0xFFFF
    if not selector & 0xFFFC:
        return 0
    put32(st + REST, u32(st + REST) & ~(VM | IF))
    fixed(st, selector, selector + 8, 0)
    put32(st + ESP, s64(ctx + SYSENTER_ESP))
    enter_level(ctx, st, 0)
    return executed(st, s64(ctx + SYSENTER_EIP))


def sysexit(ctx: int, st: int) -> int:
    """Return to ring 3."""
    selector = s64(ctx + SYSENTER_CS) & 0xFFFF
    if not selector & 0xFFFC or u32(st + REST) & u32(st + CR0) & AC:
        return 0
    fixed(st, selector + 16, selector + 24, 3)
    put32(st + ESP, u32(st + ECX))
    enter_level(ctx, st, 3)
    return executed(st, u32(st + EDX))


# -- what guest code leaves for --------------------------------------------------------------------
def mode_now(ctx: int, st: int) -> int:
    """Return the mode but for what does not matter; -1 if somebody asks for more than INTR."""
    if not s64(ctx + COMPILED) or s64(st + BUDGET) < 0:
        return -1
    if u32(st + ATTENTION) >> 8 or u32(st + STOP) or u32(st + REST) & STEPS:
        return -1
    mode = s64(st + CONTEXT) >> 32 + CONTEXT_MODE_SHIFT & (1 << MODE_BITS) - 1
    return mode & ~(NO_SSE | ANY_MODEL)


def is_plain(ctx: int, st: int) -> int:
    """Whether this is the common case."""
    return mode_now(ctx, st) & ~CPL_BITS == PLAIN


def has(st: int, model: int) -> int:
    """Whether the processor is a model or a later one."""
    its = s64(st + CONTEXT) >> 32 + CONTEXT_MODE_SHIFT + MODEL_SHIFT & (1 << MODEL_BITS) - 1
    return 1 if its == MAX or its >= model else 0


def interrupt(ctx: int, st: int) -> int:
    """Execute int n, EIP being behind it."""
    if mode_now(ctx, st) == REAL:
        return deliver_real(ctx, st, u32(st + INFO)) if has(st, I386) else 0
    return deliver(ctx, st, u32(st + INFO), BY_INT, 0)


def read_tsc(ctx: int, st: int, behind: int) -> int:
    """Execute rdtsc, if the counter follows the host's clock."""
    if not s64(ctx + TSC_ON) or (level_of(st) and u32(st + CR4) & CR4_TSD):
        return 0
    count = host_clock() + s64(ctx + TSC_OFFSET)
    put32(st + EAX, count)
    put32(st + EDX, count >> 32)
    return executed(st, behind)


def verify_write(ctx: int, st: int, selector: int, behind: int) -> int:
    """Execute verw in ring 0: ZF says whether a selector names writable data."""
    at = descriptor_at(ctx, st, selector)
    if not at:
        return 0
    high = u32(at + 4)
    wanted = MEMORY_KIND | WRITABLE
    is_writable = high & (wanted | IS_CODE) == wanted and high >> DPL & 3 >= selector & 3
    set_eflags(st, eflags(st) & ~0x40 | (0x40 if is_writable else 0))
    return executed(st, behind)


def execute(ctx: int, st: int, blocks: int) -> int:
    """Execute the insn at EIP, which the interp tier would."""
    if not is_plain(ctx, st):
        return 0
    eip = u32(st + EIP)
    view = s64(ctx + VIEW)
    code = host_of(ctx, view, eip, 1, 0)
    if not code:
        return 0
    level = level_of(st)
    op = u8(code)
    if op == 0x07:
        return pop_segment(ctx, st, ES, eip + 1)
    if op == 0x1F:
        return pop_segment(ctx, st, DS, eip + 1)
    if op == 0xCF:
        return interrupt_return(ctx, st)
    if (eip & 0xFFF) + _LONGEST > 0x1000 and not host_of(ctx, view, eip, 3, 0):
        return 0
    if op == 0x2E and host_of(ctx, view, eip, _LONGEST, 0):  # CS: Linux has it before verw
        eip += 1
        code += 1
        op = u8(code)
    if op == 0x8E:  # mov sreg, r16
        modrm = u8(code + 1)
        index = modrm >> 3 & 7
        # SS casts a shadow.
        if index > GS or (index < DS and index != ES):
            return 0
        if modrm < 0xC0:
            if not host_of(ctx, view, eip, _LONGEST, 0):
                return 0
            place = memory_at(st, code + 1)
            source = host_of(ctx, view, place & FULL, 2, 0)
            if not source or not load_segment(ctx, st, index, u16(source)):
                return 0
            return executed(st, eip + 1 + (place >> BEHIND))
        if not load_segment(ctx, st, index, u16(st + 4 * (modrm & 7))):
            return 0
        return executed(st, eip + 2)
    if op != 0x0F:
        return 0
    op = u8(code + 1)
    if op == 0xA1:
        return pop_segment(ctx, st, FS, eip + 2)
    if op == 0xA9:
        return pop_segment(ctx, st, GS, eip + 2)
    if op == 0x34 and has(st, PENTIUM3):
        return sysenter(ctx, st)
    if op == 0x31 and has(st, PENTIUM):
        return read_tsc(ctx, st, eip + 2)
    if op == 0xA2 and has(st, PENTIUM):
        return identify(ctx, st, eip + 2)
    if op == 0xAE and has(st, PENTIUM3) and host_of(ctx, view, eip, _LONGEST, 0):
        return fx_insn(ctx, st, code + 2, eip)
    if level:
        return 0
    if op == 0x35 and has(st, PENTIUM3):
        return sysexit(ctx, st)
    if op == 0x06:
        put32(st + CR0, u32(st + CR0) & ~CR0_TS)
        return executed(st, eip + 2)
    modrm = u8(code + 2)
    if op == 0x00 and modrm == 0x2D and host_of(ctx, view, eip, _LONGEST - 1, 0):  # verw [disp32]
        place = host_of(ctx, view, u32(code + 3), 2, 0)
        return verify_write(ctx, st, u16(place), eip + 7) if place else 0
    if op == 0x22 and modrm >> 3 == 0o33:  # mov cr3, r32
        if not load_root(ctx, st, blocks, u32(st + 4 * (modrm & 7))):
            return 0
        return executed(st, eip + 3)
    if op == 0x01 and modrm >> 3 == 0o7 and modrm & 7 != 4 and modrm & 7 != 5 and has(st, I486):
        # invlpg [r32]
        if not forget_page(ctx, st, blocks, u32(st + 4 * (modrm & 7))):
            return 0
        return executed(st, eip + 3)
    return 0


BY_INT, SAVES_RF, HAS_ERROR = 1, 2, 4
PUBLIC = {"deliver", "interrupt", "execute"}
FUNCTIONS: list[Callable[..., int]] = [
    *registers.FUNCTIONS, *rare.FUNCTIONS, load_segment, pop_segment, mode_now, is_plain, deliver,
    deliver_real, interrupt_return, fixed, has, sysenter, sysexit, interrupt, read_tsc,
    verify_write, execute,
]  # fmt: skip
