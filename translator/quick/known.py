"""The shapes and stencils that compiled code knows: added one by one, or as a saved image."""

from __future__ import annotations

from collections.abc import Callable

from translator.quick import layout as lay
from translator.quick.compiler import copy, put64, s64, u32
from translator.quick.plan import find_shape

_FACTOR = 0x1E3779B97F4A7C15


def row_at(ctx: int, number: int) -> int:
    """Return the row of a shape."""
    return s64(ctx + lay.SHAPE_ROWS) + lay.SHAPE_SIZE * number


def put_entry(table: int, mask: int, low: int, high: int, mixed: int, value: int) -> int:
    """Add an entry to a hash table that has room."""
    index = mixed * _FACTOR >> 40 & mask
    while s64(table + 32 * index + 16):
        index = (index + 1) & mask
    entry = table + 32 * index
    put64(entry, low)
    put64(entry + 8, high)
    put64(entry + 16, value)
    return 0


def add_shape(ctx: int, key: int, facts: int) -> int:
    """Add the shape whose key is at an address, if it is new; return its row, 0: no room."""
    low = s64(key)
    high = s64(key + 8)
    put64(ctx + lay.KEY_LOW, low)
    put64(ctx + lay.KEY_HIGH, high)
    row = find_shape(ctx)
    if row:
        return row
    number = s64(ctx + lay.SHAPE_COUNT)
    if number >= s64(ctx + lay.SHAPE_LIMIT):
        return 0
    put64(ctx + lay.SHAPE_COUNT, number + 1)
    row = row_at(ctx, number)
    copy(row, facts, lay.FACTS_SIZE)
    put64(row + lay.S_NUMBER, number)
    put64(row + lay.S_KEY, low)
    put64(row + lay.S_KEY + 8, high)
    mask = s64(ctx + lay.SHAPES_MASK)
    put_entry(s64(ctx + lay.SHAPES), mask, low, high, low ^ high * _FACTOR, row)
    return row


def add_stencil(ctx: int, row: int, jump: int, live: int, stencil: int) -> int:
    """Add the stencil of an insn, or of one with the jump behind it; return whether it fits."""
    if jump == 0:
        put64(row + lay.S_SINGLE + 8 * live, stencil)
        return 1
    count = s64(ctx + lay.PAIR_COUNT)
    if count >= s64(ctx + lay.PAIR_LIMIT):
        return 0
    put64(ctx + lay.PAIR_COUNT, count + 1)
    key = jump << 4 | live
    mask = s64(ctx + lay.PAIRS_MASK)
    put_entry(s64(ctx + lay.PAIRS), mask, row, key, row ^ key * _FACTOR, stencil)
    return 1


def find_pair(ctx: int, setter: int, jump: int, live: int) -> int:
    """Return the stencil of two insns, or 0."""
    key = jump << 4 | live
    mask = s64(ctx + lay.PAIRS_MASK)
    table = s64(ctx + lay.PAIRS)
    index = (setter ^ key * _FACTOR) * _FACTOR >> 40 & mask
    while 1:
        entry = table + 32 * index
        stencil = s64(entry + 16)
        if stencil == 0 or (s64(entry) == setter and s64(entry + 8) == key):
            return stencil
        index = (index + 1) & mask
    return 0


def has_stencil(ctx: int, row: int, jump: int, live: int) -> int:
    """Return the stencil of one insn or two, or 0."""
    return find_pair(ctx, row, jump, live) if jump else s64(row + lay.S_SINGLE + 8 * live)


def adopt_shapes(ctx: int, shapes: int, count: int, rows: int) -> int:
    """Add the shapes of an image; write the address of each one's row, or 0, to *rows*."""
    for i in range(0, count):
        shape = shapes + lay.IMAGE_SHAPE * i
        put64(rows + 8 * i, add_shape(ctx, shape, shape + 16))
    return 0


def adopt(ctx: int, rows: int, stencils: int, count: int, codes: int, constants: int) -> int:
    """Add the stencils of an image, whose shapes have these rows.

    *codes* is the address of their code, *constants* the offset of their constants in the arena.
    """
    for i in range(0, count):
        entry = stencils + lay.IMAGE_STENCIL * i
        stencil = codes + u32(entry + 12)
        place = stencil + lay.T_ROWS + lay.HOLE_ROW * s64(stencil + lay.T_HOLES)
        place += lay.BRANCH_ROW * s64(stencil + lay.T_BRANCHES)
        place += lay.FAULT_ROW * s64(stencil + lay.T_FAULTS)
        for _j in range(0, s64(stencil + lay.T_CONSTANTS)):
            put64(place + 16, s64(place + 16) + constants)
            place += lay.CONSTANT_ROW
        row = s64(rows + 8 * u32(entry))
        jump = s64(rows + 8 * (u32(entry + 4) - 1)) if u32(entry + 4) else 0
        is_whole = row and (jump or u32(entry + 4) == 0)
        if is_whole and has_stencil(ctx, row, jump, u32(entry + 8)) == 0:
            add_stencil(ctx, row, jump, u32(entry + 8), stencil)
    return 0


PUBLIC = {"add_shape", "add_stencil", "adopt_shapes", "adopt"}
FUNCTIONS: list[Callable[..., int]] = [
    row_at, put_entry, add_shape, add_stencil, find_pair, has_stencil, adopt_shapes, adopt,
]  # fmt: skip
