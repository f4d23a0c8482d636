"""Changes of linear memory, compiled: loads of CR3, invlpg, and what code has to know of them.

A processor's TLB forgets; here pages that are still what the tables say may stay, and the others
are emptied.  Code was made of linear pages: `rows` (runtime/system/coderows.py) say which frames
these were, so that a glance at the tables tells whether the code is still the right one.
"""

from __future__ import annotations

from collections.abc import Callable

from translator.mode import ANY_MODEL, CONTEXT_MODE_SHIFT, MODE_BITS, NO_SSE, Mode
from translator.quick import layout as lay
from translator.quick.compiler import host_mmap, put32, put64, s64, u8, u32
from translator.quick.paging import (
    A_FETCH,
    A_USER,
    BASES,
    COUNTS,
    FRAME_SHIFT,
    IN_ROWS,
    IS_ACCESSED,
    IS_GLOBAL,
    KEPT,
    LISTS,
    ON,
    PAE,
    ROOT,
    ROWS,
    SPACE,
    SPACES,
    STALE,
    TABLES,
    TLB,
    state_of,
    walk,
)
from translator.quick.table import drop_block, find_block, key_of, open_block
from translator.state import FIELDS

_CR3 = FIELDS["cr3"].offset
SPACES_SIZE = 1024  # entries of the table that finds spaces by CR3: CR3, number; u32 each
SEEN = 1 << 31  # of a window's entry, while its list is gone through
_RESERVED = 0x4032  # of the host's mmap: MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS, MAP_NORESERVE
_WINDOW = 1 << 32
# A row: the page, bits, and above them its frame.
R_PAGE = 0xFFFFF
R_SUPER, R_USER, R_GLOBAL, R_DEAD = (1 << i for i in range(20, 24))
R_FRAME = 24
NO_FRAME = 0xFFFFFFF
_FLAT_USER = Mode(system=True).number


# -- windows ---------------------------------------------------------------------------------------
def still(ctx: int, view: int, page: int, entry: int) -> int:
    """Whether a window's entry is what an access would find now."""
    now = walk(ctx, page << 12, A_USER if view else 0)
    return now >= 0 and now & IS_ACCESSED and state_of(ctx, now) == entry


def give_back(ctx: int, view: int, first: int, last: int) -> int:
    """Make the pages of a window inaccessible; 0, or minus an error number."""
    base = s64(ctx + BASES + 8 * view) + (first << 12)
    done = host_mmap(base, last - first << 12, 0, _RESERVED, -1, 0)
    return 0 if done == base else done


def flush_view(ctx: int, view: int, keep_global: int) -> int:
    """Empty the pages of a window that are no longer right; 0, or minus an error number."""
    table = s64(ctx + TABLES + 8 * view)
    pages = s64(ctx + LISTS + 8 * view)
    kept = failed = 0
    first = last = -1
    for i in range(0, s64(ctx + COUNTS + 8 * view)):
        page = u32(pages + 4 * i)
        entry = u32(table + 4 * page)
        if entry == 0 or entry & SEEN:
            continue
        if (keep_global and entry & KEPT) or still(ctx, view, page, entry):
            put32(table + 4 * page, entry | SEEN)
            put32(pages + 4 * kept, page)
            kept += 1
            continue
        put32(table + 4 * page, 0)
        if page != last:
            if last >= 0:
                failed = failed | give_back(ctx, view, first, last)
            first = page
        last = page + 1
    if last >= 0:
        failed = failed | give_back(ctx, view, first, last)
    for j in range(0, kept):
        at = table + 4 * u32(pages + 4 * j)
        put32(at, 0 if failed else u32(at) & ~SEEN)
    put64(ctx + COUNTS + 8 * view, 0 if failed else kept)
    if failed:  # the host has no room to split a mapping
        base = s64(ctx + BASES + 8 * view)
        return 0 if host_mmap(base, _WINDOW, 0, _RESERVED, -1, 0) == base else -1
    return 0


def flush_windows(ctx: int, keep_global: int) -> int:
    """Do what a load of CR3 does to both windows."""
    return flush_view(ctx, 0, keep_global) | flush_view(ctx, 1, keep_global)


def showing(ctx: int, view: int, frame: int, first: int) -> int:
    """Return the index, from one on, in a window's list of a page that shows a frame, or -1."""
    table = s64(ctx + TABLES + 8 * view)
    pages = s64(ctx + LISTS + 8 * view)
    for i in range(first, s64(ctx + COUNTS + 8 * view)):
        entry = u32(table + 4 * u32(pages + 4 * i))
        if entry and entry >> FRAME_SHIFT == frame:
            return i
    return -1


def empty_page(ctx: int, page: int) -> int:
    """Do what invlpg does to both windows."""
    for view in range(0, 2):
        at = s64(ctx + TABLES + 8 * view) + 4 * page
        if u32(at) and not still(ctx, view, page, u32(at)):
            put32(at, 0)
            if give_back(ctx, view, page, page + 1):
                return -1
    return 0


# -- code ------------------------------------------------------------------------------------------
def row_now(ctx: int, page: int) -> int:
    """Return the row of a page as it is now."""
    found = walk(ctx, page << 12, 0)
    frame = found >> 8 if found >= 0 else NO_FRAME
    row = frame << R_FRAME | page
    if found >= 0 and found & IS_GLOBAL:
        row = row | R_GLOBAL
    if walk(ctx, page << 12, A_USER | A_FETCH) >= 0:
        row = row | R_USER
    return row


def differing(ctx: int, rows: int, first: int, count: int, skip_global: int) -> int:
    """Return the index of the first row from one on that is no longer so, or -1."""
    for i in range(first, count):
        row = s64(rows + 8 * i)
        if row & R_DEAD or (skip_global and row & R_GLOBAL):
            continue
        if (row ^ row_now(ctx, row & R_PAGE)) & ~(R_SUPER | R_GLOBAL):
            return i
    return -1


def has_common(blocks: int, page: int) -> int:
    """Whether there is code of a page that no space owns: other than flat code of ring 3."""
    node = u32(s64(blocks + lay.PAGE_HEADS) + 4 * page)
    while node:
        at = s64(blocks + lay.NODES) + lay.NODE_SIZE * node
        row = s64(blocks + lay.BLOCKS) + lay.BLOCK_SIZE * u32(at + lay.N_BLOCK)
        mode = u32(row + lay.B_CONTEXT) >> CONTEXT_MODE_SHIFT & (1 << MODE_BITS) - 1
        if u32(row + lay.B_STATE) & lay.VALID and mode & ~(NO_SSE | ANY_MODEL) != _FLAT_USER:
            return 1
        node = u32(at + lay.N_NEXT)
    return 0


def returning(ctx: int, rows: int, first: int, count: int) -> int:
    """Return the index of the first row from one on that is so again, and in use, or -1."""
    for i in range(first, count):
        row = s64(rows + 8 * i)
        now = walk(ctx, (row & R_PAGE) << 12, A_USER | A_FETCH)
        if now >= 0 and now & IS_ACCESSED and now >> 8 == row >> R_FRAME:
            return i
    return -1


def is_of_space(row: int, space: int) -> int:
    """Whether a block is flat code of ring 3 in a space; space -1: in any."""
    context = u32(row + lay.B_CONTEXT)
    mode = context >> CONTEXT_MODE_SHIFT & (1 << MODE_BITS) - 1
    is_flat = mode & ~(NO_SSE | ANY_MODEL) == _FLAT_USER
    return is_flat and (space < 0 or context & 0xFFFF == space)


def put_aside(blocks: int, page: int, space: int) -> int:
    """Let nothing lead to a space's code of a page, until `bring_back`; return how much it was."""
    node = u32(s64(blocks + lay.PAGE_HEADS) + 4 * page)
    count = 0
    while node:
        at = s64(blocks + lay.NODES) + lay.NODE_SIZE * node
        block = u32(at + lay.N_BLOCK)
        row = s64(blocks + lay.BLOCKS) + lay.BLOCK_SIZE * block
        if u32(row + lay.B_STATE) & lay.VALID and is_of_space(row, space):
            drop_block(blocks, block)
            put32(row + lay.B_STATE, u32(row + lay.B_STATE) | lay.ASIDE)
            put64(blocks + lay.DEAD, s64(blocks + lay.DEAD) - 1)
            count += 1
        node = u32(at + lay.N_NEXT)
    return count


def forget_aside(blocks: int, page: int, space: int) -> int:
    """Never bring back what was put aside of a page; space -1: of all spaces."""
    node = u32(s64(blocks + lay.PAGE_HEADS) + 4 * page)
    while node:
        at = s64(blocks + lay.NODES) + lay.NODE_SIZE * node
        row = s64(blocks + lay.BLOCKS) + lay.BLOCK_SIZE * u32(at + lay.N_BLOCK)
        state = u32(row + lay.B_STATE)
        if state & lay.ASIDE and is_of_space(row, space):
            put32(row + lay.B_STATE, state & ~lay.ASIDE)
            put64(blocks + lay.DEAD, s64(blocks + lay.DEAD) + 1)
        node = u32(at + lay.N_NEXT)
    return 0


def has_row(ctx: int, space: int, page: int) -> int:
    """Whether code of a space was made from a page that still is what it was."""
    own = s64(ctx + ROWS) + 16 * space
    rows = s64(own)
    for i in range(0, s64(own + 8)):
        if s64(rows + 8 * i) & R_PAGE == page:
            return 1
    return 0


def is_whole(ctx: int, blocks: int, row: int, space: int) -> int:
    """Whether all pages that a block depends on are what they were."""
    first = u32(row + lay.B_NODE)
    for node in range(first, first + u32(row + lay.B_NODE_COUNT)):
        at = s64(blocks + lay.NODES) + lay.NODE_SIZE * node
        if not has_row(ctx, space, u32(at + lay.N_PAGE)):
            return 0
    return 1


def bring_back(ctx: int, blocks: int, page: int, space: int) -> int:
    """Let code that was put aside be found again, if this was the last page it waited for."""
    node = u32(s64(blocks + lay.PAGE_HEADS) + 4 * page)
    count = 0
    while node:
        at = s64(blocks + lay.NODES) + lay.NODE_SIZE * node
        block = u32(at + lay.N_BLOCK)
        row = s64(blocks + lay.BLOCKS) + lay.BLOCK_SIZE * block
        state = u32(row + lay.B_STATE)
        if state & lay.ASIDE and is_of_space(row, space) and is_whole(ctx, blocks, row, space):
            state = state & ~lay.ASIDE
            other = find_block(blocks, key_of(row), state & lay.PRECISE, u32(row + lay.B_ENTRY))
            if other and state & lay.REGION:  # made meanwhile, and worth less
                drop_block(blocks, other)
                other = 0
            if other:
                put32(row + lay.B_STATE, state)
                put64(blocks + lay.DEAD, s64(blocks + lay.DEAD) + 1)
            else:
                put32(row + lay.B_STATE, state | lay.VALID)
                open_block(blocks, block, u32(row + lay.B_SIZE), u32(row + lay.B_CHECKED))
                count += 1
        node = u32(at + lay.N_NEXT)
    return count


def keeps_code(ctx: int, blocks: int, space: int) -> int:
    """Whether all code stays right in a space that ROOT leads to now, so that Python need not look.

    What was read of other pages is forgotten.
    """
    table = s64(ctx + ROWS)
    own = table + 16 * space
    if differing(ctx, s64(own), 0, s64(own + 8), 0) >= 0:
        return 0
    rows = s64(table)
    count = s64(table + 8)
    i = differing(ctx, rows, 0, count, 1)
    while i >= 0:
        row = s64(rows + 8 * i)
        if row & R_SUPER or has_common(blocks, row & R_PAGE):
            return 0
        i = differing(ctx, rows, i + 1, count, 1)
    i = differing(ctx, rows, 0, count, 1)
    while i >= 0:
        row = s64(rows + 8 * i)
        put64(rows + 8 * i, row | R_DEAD)
        put64(s64(blocks + lay.PAGES) + 8 * (row & R_PAGE), 0)
        put64(ctx + STALE, 1)
        i = differing(ctx, rows, i + 1, count, 1)
    # What other spaces read is read again for this one, which has to note it.
    for j in range(0, count):
        row = s64(rows + 8 * j)
        page = row & R_PAGE
        if not row & (R_DEAD | R_SUPER) and not has_row(ctx, space, page):
            if has_common(blocks, page):
                return 0
            put64(rows + 8 * j, row | R_DEAD)
            put64(s64(blocks + lay.PAGES) + 8 * page, 0)
            put64(ctx + STALE, 1)
    return 1


def load_root(ctx: int, st: int, blocks: int, value: int) -> int:
    """Load CR3; 0: Python does it."""
    if not s64(ctx + ON) or s64(ctx + PAE) or s64(ctx + TLB):
        return 0
    entry = s64(ctx + SPACES) + 8 * (value >> 12 & (SPACES_SIZE - 1))
    if u32(entry) != value or not u32(entry + 4):
        return 0
    old = s64(ctx + ROOT)
    put64(ctx + ROOT, value & 0xFFFFF000)
    if not keeps_code(ctx, blocks, u32(entry + 4)):
        put64(ctx + ROOT, old)
        return 0
    put64(ctx + SPACE, u32(entry + 4))
    put32(st + _CR3, value)
    flush_windows(ctx, 1)
    return 1


def forget_page(ctx: int, address: int) -> int:
    """Do what invlpg does; 0: Python does it, because code is concerned."""
    page = address >> 12
    if s64(ctx + TLB) or u8(s64(ctx + IN_ROWS) + page):
        return 0
    return not empty_page(ctx, page)


PUBLIC = {
    "flush_windows", "showing", "empty_page", "row_now", "differing", "has_common", "put_aside",
    "forget_aside", "bring_back", "returning",
}  # fmt: skip
FUNCTIONS: list[Callable[..., int]] = [
    still, give_back, flush_view, flush_windows, showing, empty_page, row_now, differing,
    has_common, returning, is_of_space, put_aside, forget_aside, has_row, is_whole, bring_back,
    keeps_code, load_root, forget_page,
]  # fmt: skip
