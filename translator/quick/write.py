"""A planned block -> host code in the arena: strategies/stencils.py and codecache.py, compiled."""

from __future__ import annotations

from collections.abc import Callable

from translator.quick import known
from translator.quick import layout as lay
from translator.quick.compiler import copy, put8, put16, put32, put64, s64, u32
from translator.quick.known import has_stencil
from translator.quick.plan import (
    ALL,
    DEPTH,
    LIMIT,
    add_span,
    ends_at,
    enter_context,
    fetch,
    find_shape,
    form,
    fpu_after,
    fpu_allows,
    linear,
    liveness,
    look,
    target_of,
    turn,
)
from translator.quick.scan import number, prefix_kind, scan
from translator.shape import SLOT_INDEX
from translator.tiers.hostasm import MAX_ALIGNED
from translator.tiers.stencil import ST0

_ADDRESS = 0xFFFFFFFF
_LINE = 64  # bytes of a cache line
_NOP = 0x90
_PC, _NEXT, _TOP, _COUNT, _FPU, _RECIPE, _REST = (
    8 * SLOT_INDEX[name] for name in ("pc", "next", "top", "count", "fpu", "recipe", "rest")
)
RECIPE_FLAG = 0x50000000  # the number of a recipe of this translator: see runtime/quick.py
# Slots of services, as items behind the last real one.
_HERE, _AFTER, _NAMED = (lay.ITEMS + lay.ITEM_SIZE * (lay.ITEMS_MAX + i) for i in range(3))


def add_piece(ctx: int, count: int, stencil: int, item: int) -> int:
    """Note what comes next in the block; return the next number."""
    piece = ctx + lay.PIECES + lay.PIECE_SIZE * count
    put64(piece, stencil)
    put64(piece + 8, item)
    return count + 1


def choose(ctx: int, pieces: int) -> int:
    """Find the stencils of all items; return the number of pieces, or minus a status."""
    count = s64(ctx + lay.COUNT)
    recipe = s64(ctx + lay.RECIPE_AT)
    index = 0
    while index < count:
        item = ctx + lay.ITEMS + lay.ITEM_SIZE * index
        row = s64(item + lay.I_SHAPE)
        if index == recipe:
            pieces = add_piece(ctx, pieces, s64(ctx + lay.RECIPE), ctx + _NAMED)
        writes = s64(row + lay.S_GROUPS) >> 8 & 255
        live = s64(item + lay.I_LIVE) & writes
        jump = 0
        if index + 1 < count:
            jump = s64(item + lay.ITEM_SIZE + lay.I_SHAPE)
            if not (
                s64(jump + lay.S_BITS) & lay.FUSIBLE and s64(jump + lay.S_GROUPS) & writes & 255
            ):
                jump = 0
        stencil = has_stencil(ctx, row, jump, live)
        if stencil == 0:
            put64(ctx + lay.MISSING, s64(row + lay.S_NUMBER))
            put64(ctx + lay.MISSING2, (s64(jump + lay.S_NUMBER) + 1 if jump else 0) << 8 | live)
            return -lay.NEED_STENCIL
        if s64(stencil + lay.T_BRANCHES) > MAX_ALIGNED:
            return -lay.GIVE_UP
        pieces = add_piece(ctx, pieces, stencil, item)
        index += 2 if jump else 1
    return pieces


def align(stencil: int, at: int, arena: int) -> int:
    """Pad so that no link's field crosses a cache line; return the new place."""
    branches = s64(stencil + lay.T_BRANCHES)
    if branches == 0:
        return at
    rows = stencil + lay.T_ROWS + lay.HOLE_ROW * s64(stencil + lay.T_HOLES)
    while 1:
        crosses = 0
        for i in range(0, branches):
            row = rows + lay.BRANCH_ROW * i
            if s64(row + 16) == lay.TO_LINK and (at + s64(row)) & (_LINE - 1) > _LINE - 4:
                crosses = 1
        if not crosses:
            break
        put8(arena + at, _NOP)
        at += 1
    return at


def fill(ctx: int, stencil: int, item: int, at: int, cold_at: int, faults: int) -> int:
    """Fill in a placed stencil; return the number of fault rows, or -1 if there are too many."""
    arena = s64(ctx + lay.ARENA)
    split = s64(stencil + lay.T_CODE)
    slots = item + lay.I_SLOTS
    row = stencil + lay.T_ROWS
    for _i in range(0, s64(stencil + lay.T_HOLES)):
        offset = s64(row)
        size = s64(row + 8)
        slot = s64(row + 24)
        mine = slots + lay.ITEM_SIZE * s64(row + 16)
        value = 0
        if slot >= ST0:
            value = s64(ctx + lay.FPR0) + 16 * ((s64(mine + _TOP) + slot - ST0) & 7)
        else:
            value = s64(mine + 8 * slot)
        value += s64(row + 32)
        place = arena + offset + (at if offset < split else cold_at)
        if size < 0:  # counted from the field itself
            size = -size
            value -= place
        if size == 4:
            put32(place, value)
        elif size == 8:
            put64(place, value)
        elif size == 2:
            put16(place, value)
        else:
            put8(place, value)
        row += lay.HOLE_ROW
    links = s64(ctx + lay.LINKS)
    for _j in range(0, s64(stencil + lay.T_BRANCHES)):
        offset = s64(row)
        addend = s64(row + 8)
        kind = s64(row + 16)
        target = s64(row + 24)
        place = offset + (at if offset < split else cold_at)
        if kind == lay.TO_LINK:
            if links >= lay.LINKS_MAX:
                return -1
            link = ctx + lay.LINK_LIST + 16 * links
            put32(link, place)
            put32(link + 4, addend)
            put32(link + 8, s64(slots + lay.ITEM_SIZE * target + 8 * s64(row + 32)))
            links += 1
        elif kind == lay.TO_NEXT:
            put32(arena + place, at + split + addend - place)
        elif kind == lay.TO_LABEL:
            put32(arena + place, s64(ctx + lay.SIZE) + addend - place)
        else:
            put32(arena + place, target + addend - place)
        row += lay.BRANCH_ROW
    put64(ctx + lay.LINKS, links)
    for _k in range(0, s64(stencil + lay.T_FAULTS)):
        if faults >= lay.FAULT_ROWS_MAX:
            return -1
        recovery = s64(row + 8)
        insn = s64(row + 16)
        out = ctx + lay.FAULT_ROWS + 16 * faults
        access = at + s64(row)
        pc = s64(slots + lay.ITEM_SIZE * insn + _PC) if insn >= 0 else s64(row + 24)
        if recovery < 0:
            recovery = s64(ctx + lay.LEAVE)
        else:
            recovery += at if recovery < split else cold_at
        # In order of the accesses.
        while out > ctx + lay.FAULT_ROWS and u32(out - 16) > access:
            put64(out, s64(out - 16))
            put64(out + 8, s64(out - 8))
            out -= 16
        put32(out, access)
        put32(out + 4, recovery)
        put32(out + 8, pc)
        put32(out + 12, s64(item + lay.ITEM_SIZE * insn + lay.I_NOTE) if insn >= 0 else 0)
        faults += 1
        row += lay.FAULT_ROW
    for _l in range(0, s64(stencil + lay.T_CONSTANTS)):
        offset = s64(row)
        place = offset + (at if offset < split else cold_at)
        put32(arena + place, s64(row + 16) + s64(row + 8) - place)
        row += lay.CONSTANT_ROW
    return faults


def code_of(stencil: int) -> int:
    """Return the address of a stencil's code."""
    rows = stencil + lay.T_ROWS + lay.HOLE_ROW * s64(stencil + lay.T_HOLES)
    rows += lay.BRANCH_ROW * s64(stencil + lay.T_BRANCHES) + lay.FAULT_ROW * s64(
        stencil + lay.T_FAULTS
    )
    return rows + lay.CONSTANT_ROW * s64(stencil + lay.T_CONSTANTS)


def place_code(stencil: int, at: int, arena: int) -> int:
    """Copy a stencil's straight code; return its end."""
    size = s64(stencil + lay.T_CODE)
    copy(arena + at, code_of(stencil), size)
    return at + size


def place_cold(stencil: int, at: int, arena: int) -> int:
    """Copy a stencil's cold code; return its end."""
    size = s64(stencil + lay.T_COLD)
    if size:
        copy(arena + at, code_of(stencil) + s64(stencil + lay.T_CODE), size)
    return at + size


def stubs(ctx: int, at: int) -> int:
    """Append the exit stub of every link and point the links at them; return the end."""
    arena = s64(ctx + lay.ARENA)
    stub = s64(ctx + lay.STUB)
    size = s64(stub)
    for i in range(0, s64(ctx + lay.LINKS)):
        link = ctx + lay.LINK_LIST + 16 * i
        site = u32(link)
        copy(arena + at, stub + 32, size)
        put32(arena + at + s64(stub + 8), u32(link + 8))
        put32(arena + at + s64(stub + 16), site)
        leave = at + s64(stub + 24)
        put32(arena + leave, s64(ctx + lay.LEAVE) - (leave + 4))
        put32(arena + site, at + u32(link + 4) - site)
        put32(link + 4, at)
        at += size
    return at


def take_notes(ctx: int, count: int) -> int:
    """Note of all insns what a fault of theirs needs, if the flags are exact there."""
    dropped = 0
    untouched = ALL
    for i in range(0, count):
        item = ctx + lay.ITEMS + lay.ITEM_SIZE * i
        row = s64(item + lay.I_SHAPE)
        note = lay.NOTED if dropped else lay.NOTED | lay.EXACT
        if untouched == ALL:
            note = note | lay.UNTOUCHED
        if s64(row + lay.S_BITS) & lay.UPDATES:
            note = note | lay.WRITING
        put64(item + lay.I_NOTE, note | s64(item + lay.I_SLOTS + _REST) << lay.LEFT_SHIFT)
        writes = s64(row + lay.S_GROUPS) >> 8 & 255
        dropped = dropped & ~writes | writes & ~s64(item + lay.I_LIVE)
        untouched = untouched & ~writes
    return 0


def keep_faults(ctx: int, faults: int) -> int:
    """Add the block's rows to the fault table; return how many there are then."""
    count = s64(s64(ctx + lay.FAULT_COUNT))
    rows = s64(ctx + lay.FAULTS) + 12 * count
    notes = s64(ctx + lay.NOTES) + 4 * count
    for i in range(0, faults):
        row = ctx + lay.FAULT_ROWS + 16 * i
        put64(rows + 12 * i, s64(row))
        put32(rows + 12 * i + 8, u32(row + 8))
        put32(notes + 4 * i, u32(row + 12))
    return count + faults


def service_slots(ctx: int, pc: int) -> int:
    """Fill in the slots of the stencils that are no insns."""
    here = ctx + _HERE + lay.I_SLOTS
    fpu = s64(ctx + lay.FPU)
    put64(here + _PC, pc)
    put64(here + _COUNT, s64(ctx + lay.COUNT))
    put64(here + _FPU, fpu if fpu >= 0 else 0)
    put64(ctx + _AFTER + lay.I_SLOTS + _PC, s64(ctx + lay.INTERP_AT))
    put64(ctx + _AFTER + lay.I_SLOTS + _NEXT, s64(ctx + lay.END) & _ADDRESS)
    recipe = s64(ctx + lay.RECIPE_AT)
    if recipe >= 0:
        index = s64(ctx + lay.RECIPE_COUNT)
        item = ctx + lay.ITEMS + lay.ITEM_SIZE * recipe
        out = s64(ctx + lay.RECIPES) + 56 * index
        put64(out, s64(s64(item + lay.I_SHAPE) + lay.S_NUMBER))
        for i in range(0, 6):
            put64(out + 8 + 8 * i, s64(item + lay.I_SLOTS + 8 * i))
        put64(ctx + _NAMED + lay.I_SLOTS + _RECIPE, RECIPE_FLAG | index)
    return 0


def translate(ctx: int, pc: int, fpu: int, most: int, start: int) -> int:
    """Translate the block at *pc* to offset *start* of the arena; return a status."""
    status = form(ctx, pc, fpu, most)
    if status:
        return status
    count = s64(ctx + lay.COUNT)
    if s64(ctx + lay.RECIPE_AT) >= 0 and s64(ctx + lay.RECIPE_COUNT) >= s64(ctx + lay.RECIPE_LIMIT):
        return lay.GIVE_UP
    pieces = 0
    if s64(ctx + lay.FPU) >= 0:
        pieces = add_piece(ctx, pieces, s64(ctx + lay.GUARD), ctx + _HERE)
    if count:
        pieces = add_piece(ctx, pieces, s64(ctx + lay.BUDGET), ctx + _HERE)
    checks = pieces
    pieces = choose(ctx, pieces)
    if pieces < 0:
        return -pieces
    if s64(ctx + lay.INTERP_AT) >= 0:
        pieces = add_piece(ctx, pieces, s64(ctx + lay.INTERP), ctx + _AFTER)
    else:
        last = s64(ctx + lay.ITEMS + lay.ITEM_SIZE * (count - 1) + lay.I_SHAPE)
        if not (s64(last + lay.S_BITS) & lay.TERMINAL):
            pieces = add_piece(ctx, pieces, s64(ctx + lay.GOTO), ctx + _AFTER)
    service_slots(ctx, pc)
    take_notes(ctx, count)
    arena = s64(ctx + lay.ARENA)
    at = start
    put64(ctx + lay.CHECKED, 0)
    for i in range(0, pieces):
        piece = ctx + lay.PIECES + lay.PIECE_SIZE * i
        at = align(s64(piece), at, arena)
        put64(piece + 16, at)
        at = place_code(s64(piece), at, arena)
        if i + 1 == checks:
            put64(ctx + lay.CHECKED, at - start)
    over_at = cold_at = at
    for i in range(0, pieces):
        cold_at += s64(s64(ctx + lay.PIECES + lay.PIECE_SIZE * i) + lay.T_COLD)
    over_at = cold_at
    put64(ctx + lay.SIZE, over_at)  # where the label `over` is
    put64(ctx + lay.LINKS, 0)
    faults = 0
    for has_cold in range(0, 2):
        for i in range(0, pieces):
            piece = ctx + lay.PIECES + lay.PIECE_SIZE * i
            stencil = s64(piece)
            if (s64(stencil + lay.T_COLD) > 0) == has_cold:
                place = s64(piece + 16)
                cold_at = at - s64(stencil + lay.T_CODE)  # so offsets beyond the split fall right
                at = place_cold(stencil, at, arena)
                faults = fill(ctx, stencil, s64(piece + 8), place, cold_at, faults)
                if faults < 0:
                    return lay.GIVE_UP
    if count:
        stencil = s64(ctx + lay.OVER)
        at = place_code(stencil, over_at, arena)
        cold_at = over_at
        at = place_cold(stencil, at, arena)
        faults = fill(ctx, stencil, ctx + _HERE, over_at, cold_at, faults)
        if faults < 0:
            return lay.GIVE_UP
    at = stubs(ctx, at)
    put64(s64(ctx + lay.FAULT_COUNT), keep_faults(ctx, faults))
    if s64(ctx + lay.RECIPE_AT) >= 0:
        put64(ctx + lay.RECIPE_COUNT, s64(ctx + lay.RECIPE_COUNT) + 1)
    put64(ctx + lay.SIZE, at - start)
    return 0


def peek(ctx: int, pc: int) -> int:
    """Look at the code of a Linux program at *pc*; see plan.look."""
    put64(ctx + lay.PAGE_COUNT, 0)
    enter_context(ctx, 0)
    return look(ctx, pc, DEPTH, LIMIT)


PUBLIC = {*known.PUBLIC, "translate", "peek"}
FUNCTIONS: list[Callable[..., int]] = [
    *known.FUNCTIONS,
    prefix_kind, number, scan, enter_context, linear, ends_at, fetch, find_shape, add_span, look,
    turn, fpu_allows, fpu_after, form, target_of, liveness, add_piece, choose, align, fill, code_of,
    place_code, place_cold, stubs, take_notes, keep_faults, service_slots,
    translate, peek,
]  # fmt: skip
