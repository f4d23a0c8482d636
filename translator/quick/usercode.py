"""Code of ring 3 under paging, compiled: which pages it is made of, and where these are shown.

Processes that run one program show its pages, the same frames, at the same addresses.  So blocks
know the frames that they were made from (table.add_page), and belong to no process.  A page is
*active* while the tables say what its word in `WORDS` says; a load of CR3 or invlpg looks at those
that are.  Blocks of a page that is no longer so are put aside, and come back, when the page is
executed again, with the same frame.  What Python has to know of all this it finds in a log.
"""

from __future__ import annotations

from collections.abc import Callable

from translator.quick import layout as lay
from translator.quick.compiler import host_mmap, put8, put32, put64, s64, u8, u32
from translator.quick.paging import (
    A_FETCH,
    A_MARK,
    A_USER,
    ACTIVE_PAGES,
    BASES,
    BLOCKS,
    CODE,
    COMPILED,
    COUNTS,
    FD,
    FRAME_SHIFT,
    IN_ROWS,
    KINDS,
    LISTS,
    LOG,
    LOG_COUNT,
    NOW,
    ON,
    PAGES,
    RAM,
    STALE,
    TABLES,
    TLB,
    VIEW,
    WORDS,
    walk,
)
from translator.quick.table import drop_block, find_block, key_of, open_block
from translator.state import FIELDS, JUMP_CACHE_ENTRIES

# A page's word: its frame + 1, and:
ACTIVE, LISTED = 1 << 31, 1 << 30
W_FRAME = LISTED - 1
# A line of the log: a page, bits, and above them its frame. WATCHED: writes to it are to be seen;
# GONE: it is not active now; OTHER: another frame than at the last time.
L_PAGE, L_WATCHED, L_GONE, L_OTHER, L_FRAME = 0xFFFFF, 1 << 20, 1 << 21, 1 << 22, 24
LOG_MAX = 1 << 21  # more than there are pages
# Bits of a page's byte in IN_ROWS: there is a row of it (spaces.py), Python has read it, and
# compiled code must not translate it.
HAS_ROW, IS_READ, IS_OPEN, IS_MARKED = 1, 2, 4, 8
IS_BARRED = IS_OPEN | IS_MARKED
_READ, _SHARED_FIXED = 1, 0x11  # of the host's mmap
_RESERVED = 0x4032  # MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS, MAP_NORESERVE
_WINDOW = 1 << 32
_CACHE = FIELDS["jump_cache"].offset


def note(ctx: int, line: int) -> int:
    """Add a line to the log."""
    count = s64(ctx + LOG_COUNT)
    put64(s64(ctx + LOG) + 8 * count, line)
    put64(ctx + LOG_COUNT, count + 1)
    put64(ctx + STALE, 1)
    return 0


def has_log_room(ctx: int, lines: int) -> int:
    """Whether so many lines can be added."""
    return s64(ctx + LOG_COUNT) + lines < LOG_MAX


# -- blocks ----------------------------------------------------------------------------------------
def put_aside(blocks: int, page: int) -> int:
    """Let nothing lead to the code of a page that its frame belongs to, until `bring_back`."""
    node = u32(s64(blocks + lay.PAGE_HEADS) + 4 * page)
    count = 0
    while node:
        at = s64(blocks + lay.NODES) + lay.NODE_SIZE * node
        block = u32(at + lay.N_BLOCK)
        row = s64(blocks + lay.BLOCKS) + lay.BLOCK_SIZE * block
        if u32(at + lay.N_WORD) and u32(row + lay.B_STATE) & lay.VALID:
            drop_block(blocks, block)
            put32(row + lay.B_STATE, u32(row + lay.B_STATE) | lay.ASIDE)
            put64(blocks + lay.DEAD, s64(blocks + lay.DEAD) - 1)
            count += 1
        node = u32(at + lay.N_NEXT)
    return count


def forget_aside(blocks: int, page: int) -> int:
    """Never bring back what was put aside of a page."""
    node = u32(s64(blocks + lay.PAGE_HEADS) + 4 * page)
    while node:
        at = s64(blocks + lay.NODES) + lay.NODE_SIZE * node
        row = s64(blocks + lay.BLOCKS) + lay.BLOCK_SIZE * u32(at + lay.N_BLOCK)
        state = u32(row + lay.B_STATE)
        if state & lay.ASIDE:
            put32(row + lay.B_STATE, state & ~lay.ASIDE)
            put64(blocks + lay.DEAD, s64(blocks + lay.DEAD) + 1)
        node = u32(at + lay.N_NEXT)
    return 0


def is_whole(blocks: int, row: int) -> int:
    """Whether all pages that a block depends on are active with the frames it was made from."""
    first = u32(row + lay.B_NODE)
    words = s64(blocks + lay.WORDS)
    for node in range(first, first + u32(row + lay.B_NODE_COUNT)):
        at = s64(blocks + lay.NODES) + lay.NODE_SIZE * node
        word = u32(at + lay.N_WORD)
        if word and u32(words + 4 * u32(at + lay.N_PAGE)) != word:
            return 0
    return 1


def bring_back(blocks: int, page: int, word: int) -> int:
    """Let code that was put aside be found again, if this was the last page it waited for.

    Return whether there is code of the page and its frame.
    """
    head = s64(blocks + lay.PAGE_HEADS) + 4 * page
    node = u32(head)
    is_known = 0
    while node:
        at = s64(blocks + lay.NODES) + lay.NODE_SIZE * node
        block = u32(at + lay.N_BLOCK)
        row = s64(blocks + lay.BLOCKS) + lay.BLOCK_SIZE * block
        state = u32(row + lay.B_STATE)
        if not state & (lay.VALID | lay.ASIDE):  # it never comes back
            put32(head, u32(at + lay.N_NEXT))
            node = u32(at + lay.N_NEXT)
            continue
        if u32(at + lay.N_WORD) == word:
            is_known = 1
            if state & lay.ASIDE and is_whole(blocks, row):
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
        head = at + lay.N_NEXT
        node = u32(head)
    return is_known


# -- pages -----------------------------------------------------------------------------------------
def give_back(ctx: int, view: int, first: int, last: int) -> int:
    """Make the pages of a window inaccessible; 0, or minus an error number."""
    base = s64(ctx + BASES + 8 * view) + (first << 12)
    done = host_mmap(base, last - first << 12, 0, _RESERVED, -1, 0)
    return 0 if done == base else done


def empty_view(ctx: int, view: int) -> int:
    """Empty a whole window, as the host has no room to split a mapping; 0, or -1."""
    for i in range(0, s64(ctx + COUNTS + 8 * view)):
        put32(s64(ctx + TABLES + 8 * view) + 4 * u32(s64(ctx + LISTS + 8 * view) + 4 * i), 0)
    put64(ctx + COUNTS + 8 * view, 0)
    base = s64(ctx + BASES + 8 * view)
    return 0 if host_mmap(base, _WINDOW, 0, _RESERVED, -1, 0) == base else -1


def protect(ctx: int, frame: int) -> int:
    """Map a frame read-only wherever it is, because code comes from it; 0: the host refuses."""
    is_file = failed = 0
    if frame < s64(ctx + PAGES):
        put8(s64(ctx + CODE) + frame, 1)
        is_file = u8(s64(ctx + KINDS) + frame) <= 1
    for view in range(0, 2):
        table = s64(ctx + TABLES + 8 * view)
        pages = s64(ctx + LISTS + 8 * view)
        left = 0
        for i in range(0, s64(ctx + COUNTS + 8 * view)):
            page = u32(pages + 4 * i)
            entry = u32(table + 4 * page)
            if not entry & NOW or entry >> FRAME_SHIFT != frame:
                continue
            if is_file:
                place = s64(ctx + BASES + 8 * view) + (page << 12)
                done = host_mmap(place, 4096, _READ, _SHARED_FIXED, s64(ctx + FD), frame << 12)
                left = left | (done != place)
                put32(table + 4 * page, entry & ~NOW)
            else:  # memory of others (runtime/embed), which the next access maps
                left = left | give_back(ctx, view, page, page + 1)
                put32(table + 4 * page, 0)
        if left:
            failed = failed | empty_view(ctx, view)
    return not failed


def show_page(ctx: int, blocks: int, page: int, frame: int) -> int:
    """Let the compiled translator read an active page, if it may."""
    if s64(ctx + TLB) or frame >= s64(ctx + PAGES) or u8(s64(ctx + KINDS) + frame) > 1:
        return 0
    if u8(s64(ctx + IN_ROWS) + page) & IS_BARRED or not s64(blocks + lay.PAGES):
        return 0
    put64(s64(blocks + lay.PAGES) + 8 * page, s64(ctx + RAM) + (frame << 12))
    return 1


def activate(ctx: int, page: int) -> int:
    """Note that code of a page is about to be used: 1.

    Below 0: -1 - error code of a page fault. 0: Python has to empty the log first.
    """
    at = s64(ctx + WORDS) + 4 * page
    word = u32(at)
    if word & ACTIVE:
        return 1
    found = walk(ctx, page << 12, A_USER | A_FETCH | A_MARK)
    if found < 0:
        return found
    if not has_log_room(ctx, 2):
        return 0
    frame = found >> 8
    has_code = u8(s64(ctx + CODE) + frame) if frame < s64(ctx + PAGES) else 0
    if not has_code and not protect(ctx, frame):
        return 0
    if not word & LISTED:
        pages = s64(ctx + ACTIVE_PAGES)
        put32(pages + 4 * u32(pages) + 4, page)  # the number of pages comes first
        put32(pages, u32(pages) + 1)
    old = word & W_FRAME
    word = frame + 1 | ACTIVE | LISTED
    put32(at, word)
    if old and old != frame + 1:
        note(ctx, page | L_OTHER)
    blocks = s64(ctx + BLOCKS)
    is_known = 0
    if blocks:
        is_known = bring_back(blocks, page, word)
        show_page(ctx, blocks, page, frame)
    if not is_known:
        note(ctx, frame << L_FRAME | L_WATCHED | page)
    return 1


def wake(ctx: int, blocks: int, row: int) -> int:
    """Bring a block back whose other pages nobody has asked for yet; 0: they are others."""
    first = u32(row + lay.B_NODE)
    words = s64(ctx + WORDS)
    for node in range(first, first + u32(row + lay.B_NODE_COUNT)):
        at = s64(blocks + lay.NODES) + lay.NODE_SIZE * node
        word = u32(at + lay.N_WORD)
        page = u32(at + lay.N_PAGE)
        if not word or u32(words + 4 * page) == word:
            continue
        if u8(s64(ctx + IN_ROWS) + page) & IS_OPEN or activate(ctx, page) != 1:
            return 0
        if u32(words + 4 * page) != word:
            return 0
    return u32(row + lay.B_STATE) & lay.VALID


def recall(ctx: int, blocks: int, pc: int) -> int:
    """Bring back the code at a place of an active page, if any was put aside."""
    page = (pc & 0xFFFFFFFF) >> 12
    word = u32(s64(ctx + WORDS) + 4 * page)
    node = u32(s64(blocks + lay.PAGE_HEADS) + 4 * page) if word & ACTIVE else 0
    while node:
        at = s64(blocks + lay.NODES) + lay.NODE_SIZE * node
        row = s64(blocks + lay.BLOCKS) + lay.BLOCK_SIZE * u32(at + lay.N_BLOCK)
        if u32(row + lay.B_STATE) & lay.ASIDE and key_of(row) == pc and wake(ctx, blocks, row):
            return 1
        node = u32(at + lay.N_NEXT)
    return 0


def deactivate(ctx: int, page: int) -> int:
    """Put the code of a page aside."""
    at = s64(ctx + WORDS) + 4 * page
    put32(at, u32(at) & ~ACTIVE)
    blocks = s64(ctx + BLOCKS)
    flags = s64(ctx + IN_ROWS) + page
    if blocks:
        if s64(blocks + lay.PAGES):
            put64(s64(blocks + lay.PAGES) + 8 * page, 0)
        put_aside(blocks, page)
    if not blocks or u8(flags) & IS_READ:
        put8(flags, u8(flags) & ~IS_READ)
        note(ctx, page | L_GONE)
    return 1


def differs(ctx: int, page: int, word: int) -> int:
    """Whether an active page is no longer what the tables say."""
    now = walk(ctx, page << 12, A_USER | A_FETCH)
    return 1 if now < 0 or (now >> 8) + 1 != word & W_FRAME else 0


def verify_pages(ctx: int) -> int:
    """Look at all active pages; return how many are so no longer. The log must have room."""
    pages = s64(ctx + ACTIVE_PAGES)
    words = s64(ctx + WORDS)
    kept = gone = 0
    for i in range(1, u32(pages) + 1):
        page = u32(pages + 4 * i)
        word = u32(words + 4 * page)
        if word & ACTIVE and differs(ctx, page, word):
            deactivate(ctx, page)
            gone += 1
        if u32(words + 4 * page) & ACTIVE:
            kept += 1
            put32(pages + 4 * kept, page)
        else:
            put32(words + 4 * page, word & W_FRAME)
    put32(pages, kept)
    return gone


def forget_jumps(st: int) -> int:
    """Let computed jumps be looked up again (Cpu.flush_jump_cache)."""
    for i in range(0, JUMP_CACHE_ENTRIES):
        put64(st + _CACHE + 16 * i, -1)
    return 0


# -- for native code that goes on by itself --------------------------------------------------------
def supply(ctx: int, blocks: int) -> int:
    """Let the translator read the page that it missed; 0: Python does."""
    if s64(ctx + VIEW) != 1 or s64(ctx + TLB) or not s64(ctx + ON) or not s64(ctx + COMPILED):
        return 0
    page = s64(blocks + lay.MISSING)
    if u8(s64(ctx + IN_ROWS) + page) & IS_BARRED:
        return 0
    found = activate(ctx, page)
    if found < 0:
        return miss_page(blocks, page)
    if not found:
        return 0
    return show_page(ctx, blocks, page, (u32(s64(ctx + WORDS) + 4 * page) & W_FRAME) - 1)


def miss_page(blocks: int, page: int) -> int:
    """Let a page be absent as long as one block is made; 0: there are too many."""
    count = s64(blocks + lay.ABSENT_COUNT)
    if count >= lay.ABSENT_MAX:
        return 0
    put64(blocks + lay.ABSENT_LIST + 8 * count, page)
    put64(blocks + lay.ABSENT_COUNT, count + 1)
    put64(s64(blocks + lay.PAGES) + 8 * page, lay.ABSENT)
    return 1


def forget_absent(blocks: int) -> int:
    """Ask again for pages that could not be read."""
    for i in range(0, s64(blocks + lay.ABSENT_COUNT)):
        page = s64(blocks + lay.ABSENT_LIST + 8 * i)
        put64(s64(blocks + lay.PAGES) + 8 * page, 0)
    put64(blocks + lay.ABSENT_COUNT, 0)
    return 0


PUBLIC = {"protect", "activate", "verify_pages", "put_aside", "forget_aside"}
FUNCTIONS: list[Callable[..., int]] = [
    note, has_log_room, put_aside, forget_aside, is_whole, bring_back, give_back, empty_view,
    protect, show_page, activate, wake, recall, deactivate, differs, verify_pages, forget_jumps,
    supply, miss_page, forget_absent,
]  # fmt: skip
