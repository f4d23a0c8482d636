"""A place in guest code -> items with live flags: planner.form and planner.look, compiled."""

from __future__ import annotations

from translator.mode import CONTEXT_MODE_SHIFT, Mode, Segments
from translator.planner import PEEK, PEEK_BYTES
from translator.planner import WINDOW as FORM_BYTES
from translator.quick import layout as lay
from translator.quick.compiler import copy, put64, s64
from translator.quick.scan import SEGMENTED, TRUNCATED, scan

ALL = 15  # every flag group
_ADDRESS = 0xFFFFFFFF
_FACTOR = 0x1E3779B97F4A7C15
_SLACK = 32  # bytes that scan may look at behind an insn's start
DEPTH, LIMIT = 2, PEEK  # as look has them
CHECKED = Mode(segments=Segments.CHECKED).number


def enter_context(ctx: int, number: int) -> int:
    """Translate in a context from now on; base and limit of segments that are looked up stay."""
    put64(ctx + lay.SYSTEM, number)
    kind = number >> CONTEXT_MODE_SHIFT & SEGMENTED
    if kind != CHECKED:
        put64(ctx + lay.BASE, (number & 0xFFFF) << 4 if kind else 0)
        put64(ctx + lay.LIMIT, 0xFFFF if kind else _ADDRESS)
    return 0


def linear(ctx: int, pc: int) -> int:
    """Return the linear address of an offset in CS."""
    return (s64(ctx + lay.BASE) + pc) & _ADDRESS


def ends_at(ctx: int, size: int, scratch: int) -> int:
    """Let a copy of guest code end before an absent page; the insn there is truncated."""
    put64(ctx + lay.WINDOW_SIZE, size)
    for i in range(0, _SLACK >> 3):
        put64(scratch + size + 8 * i, 0)
    return scratch


def fetch(ctx: int, pc: int, size: int, scratch: int) -> int:
    """Return the address of a copy of guest code, or 0: the page in lay.MISSING is unknown.

    It is shorter than *size* where an absent page begins, as `GuestCode.fetch` has it.
    """
    room = s64(ctx + lay.LIMIT) - pc + 1
    if size > room and s64(ctx + lay.SYSTEM):
        size = room if room > 0 else 0
        if size == 0:
            put64(ctx + lay.WINDOW_SIZE, 0)
            return scratch
    pc = linear(ctx, pc)
    page = pc >> 12
    offset = pc & 4095
    code = s64(s64(ctx + lay.PAGES) + 8 * page)
    put64(ctx + lay.WINDOW_SIZE, size)
    if code == 0:
        put64(ctx + lay.MISSING, page)
        return 0
    if code == lay.ABSENT:
        return ends_at(ctx, 0, scratch)
    left = 4096 - offset
    if size + _SLACK <= left:
        return code + offset
    copy(scratch, code + offset, left if left < size else size)
    if left < size:
        page = (page + 1) & 0xFFFFF
        code = s64(s64(ctx + lay.PAGES) + 8 * page)
        if code == 0:
            put64(ctx + lay.MISSING, page)
            return 0
        if code == lay.ABSENT:
            return ends_at(ctx, left, scratch)
        copy(scratch + left, code, size - left)
    return scratch


def find_shape(ctx: int) -> int:
    """Return the row of the shape that was scanned, or 0."""
    low = s64(ctx + lay.KEY_LOW)
    high = s64(ctx + lay.KEY_HIGH)
    mask = s64(ctx + lay.SHAPES_MASK)
    index = (low ^ high * _FACTOR) * _FACTOR >> 40 & mask
    table = s64(ctx + lay.SHAPES)
    while 1:
        entry = table + 32 * index
        row = s64(entry + 16)
        if row == 0 or (s64(entry) == low and s64(entry + 8) == high):
            return row
        index = (index + 1) & mask
    return 0


def add_span(ctx: int, address: int, size: int) -> int:
    """Note the pages of a range that the block depends on."""
    last = (address + size - 1) >> 12 & 0xFFFFF
    page = address >> 12 & 0xFFFFF
    while 1:
        count = s64(ctx + lay.PAGE_COUNT)
        known = 0
        for i in range(0, count):
            if s64(ctx + lay.PAGE_LIST + 8 * i) == page:
                known = 1
        if not known and count < lay.PAGES_MAX:
            put64(ctx + lay.PAGE_LIST + 8 * count, page)
            put64(ctx + lay.PAGE_COUNT, count + 1)
        if page == last:
            return 0
        page = (page + 1) & 0xFFFFF
    return 0


def look(ctx: int, pc: int, depth: int, limit: int) -> int:
    """Return needed | shown << 4 | changed << 8 of the code at an address, or minus a status."""
    needed = defined = count = changed = pending = shown = 0
    while count < limit:
        code = fetch(ctx, pc, PEEK_BYTES, ctx + lay.WINDOWS + lay.WINDOW * (depth + 1))
        if code == 0:
            return -lay.NEED_PAGE
        end = code + s64(ctx + lay.WINDOW_SIZE)
        at = code
        bits = target = 0
        while count < limit:
            bits = 0
            status = scan(ctx, at, end)
            if status == TRUNCATED:
                break
            if status:
                return -lay.GIVE_UP
            row = find_shape(ctx)
            if row == 0:
                return -lay.NEED_SHAPE
            bits = s64(row + lay.S_BITS)
            groups = s64(row + lay.S_GROUPS)
            count += 1
            at += s64(ctx + lay.LENGTH)
            if bits & lay.LEAKS or not (bits & lay.SUPPORTED) or (bits & lay.EXPOSES and defined):
                bits = 0
                break
            if bits & lay.EXPOSES:
                shown = 1
                changed = changed | pending
            pending = pending | groups >> 24 & 255
            needed = needed | groups & 255 & ~defined
            defined = defined | groups >> 8 & 255
            if needed | defined == ALL:
                add_span(ctx, linear(ctx, pc), at - code)
                if needed and shown:
                    return ALL
                return needed | shown << 4 | changed << 8
            if bits & lay.TERMINAL:
                target = pc + (at - code) + s64(ctx + lay.IMM)
                target = target & (0xFFFF if bits & lay.WRAPS else _ADDRESS)
                break
            bits = 0
        size = at - code
        add_span(ctx, linear(ctx, pc), size if size > 0 else 1)
        if bits == 0:
            break
        if bits & lay.JUMP:
            pc = target
            continue
        if not (bits & lay.COND) or depth == 0 or shown or needed:
            break
        taken = look(ctx, target, depth - 1, limit - count)
        if taken < 0:
            return taken
        other = look(ctx, (pc + size) & _ADDRESS, depth - 1, limit - count)
        if other < 0:
            return other
        if (taken | other) & 16 and defined:
            break
        both = (taken | other) & (ALL & ~defined | 16)
        return both | ((taken | other) >> 8 | pending) << 8
    return ALL


def turn(mask: int, top: int) -> int:
    """Turn a mask of ST(i) into one of physical registers."""
    mask = mask << top
    return (mask | mask >> 8) & 0xFF


def fpu_allows(need: int, fpu: int) -> int:
    """Whether an insn runs without a stack fault."""
    top = fpu >> 8
    tags = fpu & 0xFF
    refused = turn(need & 255, top) & ~tags or turn(need >> 8 & 255, top) & tags
    return 0 if refused else 1


def fpu_after(need: int, fpu: int) -> int:
    """Return TOP << 8 | tags behind an insn."""
    mode = need >> 40 & 255
    if mode == lay.MMX:
        return 0x00FF
    if mode == lay.EMPTY:
        return 0
    top = fpu >> 8
    tags = fpu & 0xFF
    tags = (tags | turn(need >> 24 & 255, top)) & ~turn(need >> 32 & 255, top)
    return ((top + (need >> 16 & 255)) & 7) << 8 | tags


def form(ctx: int, pc: int, fpu: int, most: int) -> int:
    """Plan a block into lay.ITEMS; return a status."""
    put64(ctx + lay.PAGE_COUNT, 0)
    put64(ctx + lay.FPU, -1)
    put64(ctx + lay.INTERP_AT, -1)
    put64(ctx + lay.RECIPE_AT, -1)
    code = fetch(ctx, pc, FORM_BYTES, ctx + lay.WINDOWS)
    if code == 0:
        return lay.NEED_PAGE
    end = code + s64(ctx + lay.WINDOW_SIZE)
    first_fpu = fpu
    at = code
    count = 0
    item = ctx + lay.ITEMS
    while count < most:
        here = (pc + (at - code)) & _ADDRESS
        status = scan(ctx, at, end)
        if status == TRUNCATED:
            if count == 0:
                return lay.GIVE_UP
            break
        if status:
            return lay.GIVE_UP
        row = find_shape(ctx)
        if row == 0:
            return lay.NEED_SHAPE
        bits = s64(row + lay.S_BITS)
        need = s64(row + lay.S_FPU)
        length = s64(ctx + lay.LENGTH)
        refused = 0 if bits & lay.SUPPORTED else 1
        if not refused and bits & lay.HAS_FPU and not fpu_allows(need, fpu):
            refused = 1
        if refused:
            put64(ctx + lay.INTERP_AT, here)
            at += length
            break
        after = (here + length) & _ADDRESS
        imm = s64(ctx + lay.IMM)
        slots = item + lay.I_SLOTS
        put64(item + lay.I_SHAPE, row)
        put64(slots, imm & _ADDRESS)
        put64(slots + 8, s64(ctx + lay.IMM2))
        put64(slots + 16, s64(ctx + lay.DISP) & _ADDRESS)
        put64(slots + 24, here)
        put64(slots + 32, after)
        put64(slots + 40, (after + imm) & (0xFFFF if bits & lay.WRAPS else _ADDRESS))
        put64(slots + 48, 0)
        put64(slots + 56, 0)
        at += length
        if bits & lay.HAS_FPU:
            put64(ctx + lay.FPU, first_fpu)
            put64(slots + 56, 0 if need >> 40 & 255 == lay.MMX else fpu >> 8)
            fpu = fpu_after(need, fpu)
            put64(slots + 48, fpu)
        count += 1
        item += lay.ITEM_SIZE
        if bits & lay.TERMINAL or after < here:
            break
    for i in range(0, count):
        slots = ctx + lay.ITEMS + lay.ITEM_SIZE * i + lay.I_SLOTS
        put64(slots + 64, count - i)
        put64(slots + 72, count - i - 1)
    put64(ctx + lay.END, pc + (at - code))
    put64(ctx + lay.COUNT, count)
    add_span(ctx, linear(ctx, pc), at - code)
    return liveness(ctx, count)


def target_of(ctx: int, count: int, which: int) -> int:
    """Return a successor of the block, or -1."""
    if count:
        item = ctx + lay.ITEMS + lay.ITEM_SIZE * (count - 1)
        row = s64(item + lay.I_SHAPE)
        bits = s64(row + lay.S_BITS)
        targets = s64(row + lay.S_TARGETS)
        if bits & lay.TERMINAL:
            if bits & lay.COND:
                return s64(item + lay.I_SLOTS + 8 * (targets >> 8 * which & 255))
            if bits & lay.LINK and which == 0:
                return s64(item + lay.I_SLOTS + 8 * (targets & 255))
            return -1
    return s64(ctx + lay.END) & _ADDRESS if which == 0 else -1


def liveness(ctx: int, count: int) -> int:
    """Fill in the live masks: planner._liveness."""
    live = ALL
    shown = changed = 0
    if s64(ctx + lay.INTERP_AT) < 0 and count:
        for which in range(0, 2):
            target = target_of(ctx, count, which)
            if target >= 0:
                ahead = look(ctx, target, DEPTH, LIMIT)
                if ahead < 0:
                    return -ahead
                if which == 0:
                    live = 0
                live = live | ahead & 15
                if ahead & 16:
                    shown = ALL
                changed = changed | ahead >> 8
    if live:
        live = live | shown
        shown = changed = 0
    pending = shown  # what this block leaves, and a fault in a successor would show
    fused_reads = 0  # what a jump reads that is compiled together with the insn before it
    index = count - 1
    while index >= 0:
        item = ctx + lay.ITEMS + lay.ITEM_SIZE * index
        row = s64(item + lay.I_SHAPE)
        bits = s64(row + lay.S_BITS)
        groups = s64(row + lay.S_GROUPS)
        reads = groups & 255
        setter = s64(item - lay.ITEM_SIZE + lay.I_SHAPE) if index and bits & lay.FUSIBLE else 0
        if setter and s64(setter + lay.S_GROUPS) >> 8 & reads:
            put64(item + lay.I_LIVE, live)
            fused_reads = reads
            index -= 1
            continue
        writes = groups >> 8 & 255
        registers = groups >> 24 & 255
        need = live & writes
        if shown & writes:
            hidden = shown & writes & ~live
            can = 0
            if hidden and not (groups >> 32 & 255 & changed):
                can = groups >> 16 & 255
            if pending & writes:
                # The successor finds the flags of this insn by its number, all of them or none.
                is_all = writes == ALL and can == ALL and hidden == ALL and pending == ALL
                if is_all and not bits & lay.EXPOSES:
                    put64(ctx + lay.RECIPE_AT, index)
                else:  # what the planner notes of later insns here is for regions only
                    can = can & ~pending
                pending = pending & ~writes
            need = need | hidden & ~can
        put64(item + lay.I_LIVE, live & ~writes | need)
        if writes:
            live = live & ~writes
            shown = shown & ~writes
            if shown == 0:
                changed = 0
        if shown:
            changed = changed | registers
        live = live | reads | fused_reads & ~writes
        fused_reads = 0
        if bits & lay.LEAKS:
            live = ALL
            shown = changed = 0
        elif bits & lay.EXPOSES:
            shown = ALL & ~live
        index -= 1
    return 0
