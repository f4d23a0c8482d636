"""Changes of linear memory, compiled: loads of CR3, invlpg, and what code has to know of them.

A processor's TLB forgets; here pages that are still what the tables say may stay, and the others
are emptied.  Code was made of linear pages: for that of rings 0 to 2, `rows`
(runtime/system/coderows.py) say which frames these were, so that a glance at the tables tells
whether the code is still the right one.  usercode.py does the same for ring 3.
"""

from __future__ import annotations

from collections.abc import Callable

from translator.quick import layout as lay
from translator.quick import usercode
from translator.quick.compiler import publish64, put32, put64, s64, swap64, u8, u32
from translator.quick.paging import (
    A_FETCH,
    A_USER,
    ACTIVE_PAGES,
    COUNTS,
    DIRECTORIES,
    FRAME_SHIFT,
    IN_ROWS,
    IS_ACCESSED,
    IS_GLOBAL,
    KEPT,
    LISTS,
    ON,
    PAE,
    ROOT,
    ROW_COUNT,
    ROWS,
    TABLES,
    TLB,
    WORDS,
    entry_at,
    state_of,
    walk,
)
from translator.quick.usercode import (
    ACTIVE,
    HAS_ROW,
    deactivate,
    differs,
    empty_view,
    forget_jumps,
    give_back,
    has_log_room,
    verify_pages,
)
from translator.state import FIELDS

_CR3 = FIELDS["cr3"].offset
PDPTE_RESERVED = 0x7FFFFF00000001E6 | -1 << 63  # of a directory register of PAE
MAX_64 = 0x7FFFFFFFFFFFFFFF
SEEN = 1 << 31  # of a window's entry, while its list is gone through
# A row: the page, bits, and above them its frame.
R_PAGE = 0xFFFFF
R_USER, R_GLOBAL = 1 << 20, 1 << 21
R_FRAME = 24
NO_FRAME = 0xFFFFFFF


# -- windows ---------------------------------------------------------------------------------------
def still(ctx: int, view: int, page: int, entry: int) -> int:
    """Whether a window's entry is what an access would find now."""
    now = walk(ctx, page << 12, A_USER if view else 0)
    return now >= 0 and now & IS_ACCESSED and state_of(ctx, now) == entry


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
        put32(at, u32(at) & ~SEEN)
    put64(ctx + COUNTS + 8 * view, kept)
    return empty_view(ctx, view) if failed else 0


def flush_windows(ctx: int, keep_global: int) -> int:
    """Do what a load of CR3 does to both windows."""
    return flush_view(ctx, 0, keep_global) | flush_view(ctx, 1, keep_global)


def empty_frame(ctx: int, frame: int) -> int:
    """Empty the pages that show a frame; 0, or -1.

    Code that is written to comes here again and again: the lists must not grow by that.
    """
    done = 0
    for view in range(0, 2):
        table = s64(ctx + TABLES + 8 * view)
        pages = s64(ctx + LISTS + 8 * view)
        kept = failed = 0
        for i in range(0, s64(ctx + COUNTS + 8 * view)):
            page = u32(pages + 4 * i)
            entry = u32(table + 4 * page)
            if entry and entry >> FRAME_SHIFT == frame:
                put32(table + 4 * page, 0)
                failed = failed | give_back(ctx, view, page, page + 1)
            elif entry:
                put32(pages + 4 * kept, page)
                kept += 1
        put64(ctx + COUNTS + 8 * view, kept)
        if failed:
            done = done | empty_view(ctx, view)
    return done


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
        if skip_global and row & R_GLOBAL:
            continue
        if (row ^ row_now(ctx, row & R_PAGE)) & ~R_GLOBAL:
            return i
    return -1


def load_directories(ctx: int, value: int) -> int:
    """Load the four directory registers of PAE; 0: Python finds out what is wrong."""
    base = value & 0xFFFFFFE0
    for i in range(0, 4):
        at = entry_at(ctx, base + 8 * i, 8)
        if not at or (s64(at) & 1 and s64(at) & PDPTE_RESERVED):
            return 0
    for j in range(0, 4):
        put64(ctx + DIRECTORIES + 8 * j, s64(entry_at(ctx, base + 8 * j, 8)) & MAX_64)
    return 1


def load_root(ctx: int, st: int, blocks: int, value: int) -> int:
    """Load CR3; 0: Python does it, also where code of ring 0 is concerned."""
    if not s64(ctx + ON) or s64(ctx + TLB) or not has_log_room(ctx, u32(s64(ctx + ACTIVE_PAGES))):
        return 0
    old = s64(ctx + ROOT)
    if s64(ctx + PAE) and not load_directories(ctx, value):
        return 0
    put64(ctx + ROOT, value & 0xFFFFF000)
    is_other = differing(ctx, s64(ctx + ROWS), 0, s64(ctx + ROW_COUNT), 1) >= 0
    if is_other or swap64(blocks + lay.LOCK, 1):
        put64(ctx + ROOT, old)
        return 0
    if verify_pages(ctx):
        forget_jumps(st)
    publish64(blocks + lay.LOCK, 0)
    put32(st + _CR3, value)
    flush_windows(ctx, 1)
    return 1


def forget_page(ctx: int, st: int, blocks: int, address: int) -> int:
    """Do what invlpg does; 0: Python does it, because code of ring 0 is concerned."""
    page = address >> 12
    if s64(ctx + TLB) or u8(s64(ctx + IN_ROWS) + page) & HAS_ROW or not has_log_room(ctx, 1):
        return 0
    word = u32(s64(ctx + WORDS) + 4 * page)
    if word & ACTIVE and differs(ctx, page, word):
        if swap64(blocks + lay.LOCK, 1):
            return 0
        deactivate(ctx, page)
        forget_jumps(st)
        publish64(blocks + lay.LOCK, 0)
    return not empty_page(ctx, page)


PUBLIC = {"flush_windows", "empty_frame", "empty_page", "row_now", "differing", *usercode.PUBLIC}
FUNCTIONS: list[Callable[..., int]] = [
    *usercode.FUNCTIONS, still, flush_view, flush_windows, empty_frame, empty_page, row_now,
    differing, load_directories, load_root, forget_page,
]  # fmt: skip
