"""Guest code that leaves for a block that native code can find or make, goes on without Python."""

from __future__ import annotations

from collections.abc import Callable

from translator.mode import (
    ANY_MODEL,
    CONTEXT_MODE_SHIFT,
    MODE_BITS,
    MODEL_BITS,
    MODEL_SHIFT,
    NO_SSE,
    UNUSUAL,
    Mode,
)
from translator.quick import layout as lay
from translator.quick import table, write
from translator.quick.compiler import cycles, publish64, put32, put64, s64, swap64, u8, u16, u32
from translator.quick.paging import (
    A_USER,
    A_WRITE,
    COMPILED,
    IN_ROWS,
    ON,
    TLB,
    VIEW,
    WORDS,
    walk,
)
from translator.quick.plan import CHECKED, enter_context
from translator.quick.scan import SEGMENTED
from translator.quick.system import HAS_ERROR, SAVES_RF, deliver, is_plain
from translator.quick.table import (
    add_block,
    add_link,
    add_page,
    find_block,
    has_room,
    link_to,
    open_block,
    row_of,
)
from translator.quick.usercode import ACTIVE, IS_OPEN, activate, forget_absent, recall, supply
from translator.quick.write import translate
from translator.state import FIELDS

_EIP, _STOP, _FPU = (FIELDS[name].offset for name in ("eip", "stop", "fpu"))
_CONTEXT, _PAGING = FIELDS["context"].offset, FIELDS["paging"].offset
_CR2, _SZP_HIGH = FIELDS["cr2"].offset, FIELDS["szp"].offset + 4
_FLAT_USER = Mode(system=True).number
RECIPE = 1  # the upper two bits of szp where it is the number of a recipe (runtime/flagrecovery.py)
_PF, _WRITE, _SIGSEGV = 14, 2, 11
_INFO, _FAULT_PC, _BUDGET = (FIELDS[n].offset for n in ("exit_info", "fault_pc", "budget"))
_FAULT_ADDRESS, _FAULT_ERROR = FIELDS["fault_address"].offset, FIELDS["fault_error"].offset
_UNUSUAL, _SEGMENTS = UNUSUAL << 32, 32 + CONTEXT_MODE_SHIFT
_MODEL = 32 + CONTEXT_MODE_SHIFT + MODEL_SHIFT  # in a block's key
_FCW, _FSW, _MXCSR, _HASH = (FIELDS[n].offset for n in ("fcw", "fsw", "mxcsr", "hash_table"))
_CR0, _NO_FPU = FIELDS["cr0"].offset, 0xC  # EM, TS
_MASKS, _ES, _SSE_MASKS = 0x3F, 0x80, 0x1F80  # as runtime/dispatch.py has them


def install(ctx: int, pc: int, fpu: int) -> int:
    """Translate a block and add it to the table; return its number, or minus a status.

    *pc* is the block's key: above 32 bits stands the number of a context.
    """
    begun = cycles()
    enter_context(ctx, pc >> 32)
    block = make(ctx, pc, fpu)
    put64(ctx + lay.CYCLES, s64(ctx + lay.CYCLES) + cycles() - begun)
    return block


def make(ctx: int, pc: int, fpu: int) -> int:
    """Do what `install` does."""
    if pc >> _MODEL & (1 << MODEL_BITS) - 1 != s64(ctx + lay.MODEL):
        return -lay.GIVE_UP
    used = s64(ctx + lay.USED)
    start = (s64(used) + 15) & -16
    if not has_room(ctx, start):
        return -lay.FULL
    most = s64(ctx + lay.MOST)
    status = translate(ctx, pc & 0xFFFFFFFF, fpu, most, start)
    if status:
        return -status
    size = s64(ctx + lay.SIZE)
    put64(used, start + size)
    state = lay.RECOVERING if s64(ctx + lay.RECOVERS) else 0
    state = state | most << lay.STATE_SHIFT
    block = add_block(ctx, pc, state, s64(ctx + lay.FPU), fpu, start)
    for i in range(0, s64(ctx + lay.LINKS)):
        link = ctx + lay.LINK_LIST + 16 * i
        add_link(ctx, block, u32(link), u32(link + 4), u32(link + 8))
    for j in range(0, s64(ctx + lay.PAGE_COUNT)):
        add_page(ctx, block, s64(ctx + lay.PAGE_LIST + 8 * j))
    open_block(ctx, block, size, s64(ctx + lay.CHECKED))
    put64(ctx + lay.MADE, s64(ctx + lay.MADE) + 1)
    put64(ctx + lay.MADE_INSNS, s64(ctx + lay.MADE_INSNS) + s64(ctx + lay.COUNT))
    return block


def is_new(ctx: int, state: int) -> int:
    """Whether a page of ring 3 that is about to run becomes active only now, or faults."""
    mode = s64(state + _CONTEXT) >> _SEGMENTS & (1 << MODE_BITS) - 1
    if mode & ~(NO_SSE | ANY_MODEL) != _FLAT_USER or s64(ctx + TLB) or not s64(ctx + ON):
        return 0
    page = u32(state + _EIP) >> 12
    if not s64(ctx + COMPILED) or u32(s64(ctx + WORDS) + 4 * page) & ACTIVE:
        return 0
    if u8(s64(ctx + IN_ROWS) + page) & IS_OPEN:  # it must not be protected
        return 0
    found = activate(ctx, page)
    if found < 0:
        # Flags that the block before left to be recovered are Python's.
        if u32(state + _SZP_HIGH) >> 30 == RECIPE or not is_plain(ctx, state):
            return 0
        put32(state + _CR2, u32(state + _EIP))
        return deliver(ctx, state, _PF, SAVES_RF | HAS_ERROR, -1 - found)
    return found


def next_block(ctx: int, state: int, site: int) -> int:
    """Return the block where a thread goes on, linked to the jump it came by; 0: ask Python."""
    # Floating-point exceptions that the guest unmasked are for Python: precise mode.
    if u16(state + _FCW) & _MASKS != _MASKS or u16(state + _FSW) & _ES:
        return 0
    if u32(state + _MXCSR) & _SSE_MASKS != _SSE_MASKS:
        return 0
    if u32(state + _CR0) & _NO_FPU or s64(state + _HASH) != s64(ctx + lay.HASHES):
        return 0
    pc = u32(state + _EIP) | s64(state + _CONTEXT)
    fpu = u16(state + _FPU)
    block = find_block(ctx, pc, 0, fpu)
    if block == 0 and s64(state + _PAGING) and is_new(s64(state + _PAGING), state):
        pc = u32(state + _EIP) | s64(state + _CONTEXT)
        block = find_block(ctx, pc, 0, fpu)
    if block == 0 and s64(state + _PAGING) and recall(s64(state + _PAGING), ctx, pc):
        block = find_block(ctx, pc, 0, fpu)
    if block == 0:
        if not s64(ctx + lay.PROCEEDS) & lay.WITH_NEW:
            return 0
        # What Python knows of segments that are looked up, it says itself.
        if pc & _UNUSUAL or pc >> _SEGMENTS & SEGMENTED == CHECKED:
            return 0
        block = install(ctx, pc, fpu)
        paging = s64(state + _PAGING)
        while block == -lay.NEED_PAGE and paging and supply(paging, ctx):
            block = install(ctx, pc, fpu)
        forget_absent(ctx)
        if block < 0:
            return 0
    if site:
        link_to(ctx, site, block)
    return block


def proceed(ctx: int, state: int, site: int) -> int:
    """Return the host address where a thread goes on, or 0: the dispatcher has to do it."""
    if not s64(ctx + lay.PROCEEDS) or u32(state + _STOP):
        return 0
    if swap64(ctx + lay.LOCK, 1):
        return 0
    block = next_block(ctx, state, site)
    code = s64(ctx + lay.ARENA) + u32(row_of(ctx, block) + lay.B_OFFSET) if block else 0
    publish64(ctx + lay.LOCK, 0)
    return code


def fault_note(ctx: int, offset: int) -> int:
    """Return the note on the access at an offset of the arena; 0: there is none."""
    table = s64(ctx + lay.FAULTS)
    low = 0
    high = s64(s64(ctx + lay.FAULT_COUNT))
    while low < high:
        middle = (low + high) >> 1
        access = u32(table + 12 * middle)
        if access == offset:
            return u32(s64(ctx + lay.NOTES) + 4 * middle)
        if access < offset:
            low = middle + 1
        else:
            high = middle
    return 0


def page_fault(paging: int, state: int, ctx: int) -> int:
    """Deliver the page fault of an access, the flags being exact; 0: Python sees what it was."""
    if not s64(paging + COMPILED) or u32(state + _INFO) != _SIGSEGV:
        return 0
    note = fault_note(ctx, s64(state + _FAULT_PC) - s64(ctx + lay.ARENA))
    if not note & lay.EXACT:
        return 0
    if note & lay.UNTOUCHED and u32(state + _SZP_HIGH) >> 30 == RECIPE:
        return 0
    kind = A_USER if s64(paging + VIEW) else 0
    if note & lay.WRITING or u16(state + _FAULT_ERROR) & _WRITE:
        kind = kind | A_WRITE
    address = u32(state + _FAULT_ADDRESS)
    found = walk(paging, address, kind)
    if found >= 0:
        return 0
    left = note >> lay.LEFT_SHIFT
    put64(state + _BUDGET, s64(state + _BUDGET) + left)
    before = u32(state + _CR2)
    put32(state + _CR2, address)
    if deliver(paging, state, _PF, SAVES_RF | HAS_ERROR, -1 - found):
        return 1
    put64(state + _BUDGET, s64(state + _BUDGET) - left)
    put32(state + _CR2, before)
    return 0


def swap(address: int, value: int) -> int:
    """Store eight bytes and return what was there: how Python takes the lock."""
    return swap64(address, value)


def clock() -> int:
    """Return the counter that `install` measures with."""
    return cycles()


PUBLIC = {*table.PUBLIC, *write.PUBLIC, "install", "proceed", "page_fault", "swap", "clock"}
FUNCTIONS: list[Callable[..., int]] = [
    *table.FUNCTIONS, *write.FUNCTIONS, make, install, is_new, next_block, proceed, fault_note,
    page_fault, swap, clock,
]  # fmt: skip
