"""The table of installed blocks, compiled: found by location, page or host code; linked; dropped.

Blocks are rows in order of their host code, never reused until everything is dropped.  Links that
lead to a block are a chain, so that dropping it sends them back to their stubs; so are the blocks
that depend on a page, and those whose addresses have one hash.
"""

from __future__ import annotations

from collections.abc import Callable

from translator.quick import layout as lay
from translator.quick.compiler import publish64, put32, put64, s64, u32


def row_of(ctx: int, block: int) -> int:
    """Return the address of a block's row."""
    return s64(ctx + lay.BLOCKS) + lay.BLOCK_SIZE * block


def link_of(ctx: int, link: int) -> int:
    """Return the address of a link's row."""
    return s64(ctx + lay.LINK_ROWS) + lay.LINK_ROW * link


def key_of(row: int) -> int:
    """Return the guest address of a block and, above it, the number of its context."""
    return u32(row + lay.B_PC) | u32(row + lay.B_CONTEXT) << 32


def hash_of(pc: int) -> int:
    """Hash a block's key as jitemu_lookup does."""
    return (pc * lay.HASH_FACTOR >> lay.HASH_SHIFT) & (lay.HASH_SIZE - 1)


def bucket_of(ctx: int, pc: int) -> int:
    """Return the address of the first block's number among those of one hash."""
    return s64(ctx + lay.BUCKETS) + 4 * (hash_of(pc) & (lay.BUCKETS_SIZE - 1))


# -- finding ---------------------------------------------------------------------------------------
def find_block(ctx: int, pc: int, mode: int, fpu: int) -> int:
    """Return the block for an address, a mode (0 or lay.PRECISE) and an x87 stack, or 0."""
    block = u32(bucket_of(ctx, pc))
    while block:
        row = row_of(ctx, block)
        if key_of(row) == pc and u32(row + lay.B_STATE) & lay.PRECISE == mode:
            its = u32(row + lay.B_FPU)
            if its == lay.ANY_FPU or its == fpu:
                return block
        block = u32(row + lay.B_CHAIN)
    return 0


def first_block(ctx: int, pc: int, mode: int) -> int:
    """Return the oldest block for an address and a mode, whatever its x87 stack, or 0."""
    found = 0
    block = u32(bucket_of(ctx, pc))
    while block:
        row = row_of(ctx, block)
        if key_of(row) == pc and u32(row + lay.B_STATE) & lay.PRECISE == mode:
            found = block
        block = u32(row + lay.B_CHAIN)
    return found


def block_at(ctx: int, offset: int) -> int:
    """Return the last block whose host code begins at an offset or before it, or 0."""
    low = 0
    high = s64(ctx + lay.BLOCK_COUNT)
    while low < high:
        middle = (low + high + 1) >> 1
        if u32(row_of(ctx, middle) + lay.B_OFFSET) <= offset:
            low = middle
        else:
            high = middle - 1
    return low


def link_at(ctx: int, site: int) -> int:
    """Return the link whose field is at an offset, or 0."""
    row = row_of(ctx, block_at(ctx, site))
    link = u32(row + lay.B_LINK)
    for _i in range(0, u32(row + lay.B_LINK_COUNT)):
        if u32(link_of(ctx, link) + lay.L_SITE) == site:
            return link
        link += 1
    return 0


# -- the hash tables of jitemu_lookup --------------------------------------------------------------
def hash_entry(ctx: int, pc: int, which: int) -> int:
    """Return the address of an address's entry, which may still be empty."""
    table = s64(ctx + lay.HASHES + 8 * which)
    index = hash_of(pc)
    while 1:
        entry = table + 16 * index
        key = s64(entry)
        if key == 0 or key == pc + 1:
            return entry
        index = (index + 1) & (lay.HASH_SIZE - 1)
    return 0


def hash_set(ctx: int, pc: int, which: int, code: int) -> int:
    """Let an address lead to host code."""
    entry = hash_entry(ctx, pc, which)
    # The code first: a reader that sees the key must see the code.
    publish64(entry + 8, code)
    if s64(entry) == 0:
        used = ctx + lay.HASH_USED + 8 * which
        put64(used, s64(used) + 1)
        publish64(entry, pc + 1)
    return 0


def hash_block(ctx: int, block: int) -> int:
    """Let a block's address lead to it."""
    row = row_of(ctx, block)
    which = 1 if u32(row + lay.B_STATE) & lay.PRECISE else 0
    if s64(ctx + lay.HASH_USED + 8 * which) * 2 > lay.HASH_SIZE:
        crowded(ctx, which)
    code = s64(ctx + lay.ARENA) + u32(row + lay.B_OFFSET)
    return hash_set(ctx, key_of(row), which, code)


def crowded(ctx: int, which: int) -> int:
    """Keep the newest blocks only; a lookup of another one is a miss."""
    entry = s64(ctx + lay.HASHES + 8 * which)
    for _i in range(0, lay.HASH_SIZE):
        publish64(entry, 0)
        publish64(entry + 8, 0)
        entry += 16
    put64(ctx + lay.HASH_USED + 8 * which, 0)
    mode = lay.PRECISE if which else 0
    block = s64(ctx + lay.BLOCK_COUNT)
    left = lay.HASH_SIZE >> 2
    while block and left:
        row = row_of(ctx, block)
        state = u32(row + lay.B_STATE)
        pc = key_of(row)
        if state & lay.VALID and state & lay.PRECISE == mode:
            code = s64(ctx + lay.ARENA) + u32(row + lay.B_OFFSET)
            if first_block(ctx, pc, mode) == block:
                hash_set(ctx, pc, which, code)
                left -= 1
        block -= 1
    return 0


# -- adding ----------------------------------------------------------------------------------------
def has_room(ctx: int, start: int) -> int:
    """Whether one more block can be placed at an offset."""
    blocks = s64(ctx + lay.BLOCK_COUNT)
    dead = s64(ctx + lay.DEAD)
    if dead > s64(ctx + lay.DEAD_LIMIT) and dead * 2 > blocks:
        return 0
    if s64(s64(ctx + lay.FAULT_COUNT)) > s64(ctx + lay.FAULT_LIMIT):
        return 0
    if s64(ctx + lay.LINK_COUNT) > s64(ctx + lay.LINK_LIMIT):
        return 0
    if s64(ctx + lay.NODE_COUNT) > s64(ctx + lay.NODE_LIMIT):
        return 0
    return 1 if blocks < s64(ctx + lay.BLOCK_LIMIT) and start <= s64(ctx + lay.ROOM) else 0


def add_block(ctx: int, pc: int, state: int, fpu: int, entry: int, start: int) -> int:
    """Add a block, which nothing finds before `open_block`; return its number."""
    block = s64(ctx + lay.BLOCK_COUNT) + 1
    put64(ctx + lay.BLOCK_COUNT, block)
    row = row_of(ctx, block)
    put32(row + lay.B_PC, pc)
    put32(row + lay.B_CONTEXT, pc >> 32)
    put32(row + lay.B_STATE, state | lay.VALID)
    put32(row + lay.B_FPU, fpu)
    put32(row + lay.B_ENTRY, entry)
    put32(row + lay.B_OFFSET, start)
    put32(row + lay.B_LINK, s64(ctx + lay.LINK_COUNT) + 1)
    put32(row + lay.B_LINK_COUNT, 0)
    put32(row + lay.B_NODE, s64(ctx + lay.NODE_COUNT) + 1)
    put32(row + lay.B_NODE_COUNT, 0)
    put32(row + lay.B_INCOMING, 0)
    return block


def add_link(ctx: int, block: int, site: int, stub: int, target: int) -> int:
    """Add a link of the newest block; it leads to its stub."""
    number = s64(ctx + lay.LINK_COUNT) + 1
    put64(ctx + lay.LINK_COUNT, number)
    link = link_of(ctx, number)
    put32(link + lay.L_SITE, site)
    put32(link + lay.L_STUB, stub)
    put32(link + lay.L_TARGET, target)
    put32(link + lay.L_OWNER, block)
    put32(link + lay.L_TO, 0)
    put32(link + lay.L_NEXT, 0)
    count = row_of(ctx, block) + lay.B_LINK_COUNT
    put32(count, u32(count) + 1)
    return 0


def add_page(ctx: int, block: int, page: int) -> int:
    """Note that the newest block depends on a page."""
    number = s64(ctx + lay.NODE_COUNT) + 1
    put64(ctx + lay.NODE_COUNT, number)
    node = s64(ctx + lay.NODES) + lay.NODE_SIZE * number
    head = s64(ctx + lay.PAGE_HEADS) + 4 * page
    put32(node + lay.N_BLOCK, block)
    put32(node + lay.N_PAGE, page)
    put32(node + lay.N_NEXT, u32(head))
    put32(head, number)
    words = s64(ctx + lay.WORDS)
    word = u32(words + 4 * page) if words else 0
    put32(node + lay.N_WORD, word if word >> 31 else 0)
    count = row_of(ctx, block) + lay.B_NODE_COUNT
    put32(count, u32(count) + 1)
    return 0


def open_block(ctx: int, block: int, size: int, checked: int) -> int:
    """Let the newest block, whose code is in place, be found."""
    row = row_of(ctx, block)
    put32(row + lay.B_SIZE, size)
    put32(row + lay.B_CHECKED, checked)
    pc = key_of(row)
    is_first = first_block(ctx, pc, u32(row + lay.B_STATE) & lay.PRECISE) == 0
    bucket = bucket_of(ctx, pc)
    put32(row + lay.B_CHAIN, u32(bucket))
    put32(bucket, block)
    if is_first:
        hash_block(ctx, block)
    return 0


# -- links -----------------------------------------------------------------------------------------
def patch(ctx: int, site: int, offset: int) -> int:
    """Let a jump lead to an offset.

    One store, within a cache line (see `align`): other threads may be running this very jump.
    """
    put32(s64(ctx + lay.ARENA) + site, offset - (site + 4))
    return 0


def link_to(ctx: int, site: int, block: int) -> int:
    """Let a link jump straight to a block, if both are still there and it may."""
    number = link_at(ctx, site)
    if number == 0:
        return 0
    link = link_of(ctx, number)
    owner = u32(link + lay.L_OWNER)
    mine = row_of(ctx, owner)
    row = row_of(ctx, block)
    if not u32(mine + lay.B_STATE) & u32(row + lay.B_STATE) & lay.VALID:
        return 0
    pc = key_of(row)
    differs = (u32(mine + lay.B_STATE) ^ u32(row + lay.B_STATE)) & lay.PRECISE
    differs = differs | u32(mine + lay.B_CONTEXT) ^ u32(row + lay.B_CONTEXT)
    if differs or u32(link + lay.L_TARGET) != u32(row + lay.B_PC):
        return 0  # everything was dropped meanwhile, and the site belongs to another jump now
    if key_of(mine) == pc and block < owner and u32(row + lay.B_FPU) != lay.ANY_FPU:
        return 0  # x87 variants of one address only chain forward, or they would chase each other
    before = u32(link + lay.L_TO)
    if before != block:
        if before:
            leave_chain(ctx, before, number)
        put32(link + lay.L_TO, block)
        put32(link + lay.L_NEXT, u32(row + lay.B_INCOMING))
        put32(row + lay.B_INCOMING, number)
        patch(ctx, site, u32(row + lay.B_OFFSET))
    return 1


def leave_chain(ctx: int, block: int, link: int) -> int:
    """Take a link out of those that lead to a block."""
    place = row_of(ctx, block) + lay.B_INCOMING
    while u32(place) and u32(place) != link:
        place = link_of(ctx, u32(place)) + lay.L_NEXT
    if u32(place):
        put32(place, u32(link_of(ctx, link) + lay.L_NEXT))
    return 0


# -- dropping --------------------------------------------------------------------------------------
def drop_block(ctx: int, block: int) -> int:
    """Let nothing lead to a block any more; its code stays. Return whether it was still there."""
    row = row_of(ctx, block)
    state = u32(row + lay.B_STATE)
    if not state & lay.VALID:
        return 0
    put32(row + lay.B_STATE, state & ~lay.VALID)
    put64(ctx + lay.DEAD, s64(ctx + lay.DEAD) + 1)
    link = u32(row + lay.B_INCOMING)
    while link:
        its = link_of(ctx, link)
        patch(ctx, u32(its + lay.L_SITE), u32(its + lay.L_STUB))
        put32(its + lay.L_TO, 0)
        link = u32(its + lay.L_NEXT)
    put32(row + lay.B_INCOMING, 0)
    pc = key_of(row)
    mode = state & lay.PRECISE
    was_first = first_block(ctx, pc, mode) == block
    place = bucket_of(ctx, pc)
    while u32(place) and u32(place) != block:
        place = row_of(ctx, u32(place)) + lay.B_CHAIN
    if u32(place):
        put32(place, u32(row + lay.B_CHAIN))
    if was_first:
        other = first_block(ctx, pc, mode)
        which = 1 if mode else 0
        entry = hash_entry(ctx, pc, which)
        if other:  # a remaining variant takes the first place
            hash_block(ctx, other)
        elif s64(entry):
            publish64(entry + 8, 0)  # a null code is a miss
    return 1


PUBLIC = {
    "find_block", "first_block", "block_at", "has_room", "add_block", "add_link", "add_page",
    "open_block", "link_to", "drop_block",
}  # fmt: skip
FUNCTIONS: list[Callable[..., int]] = [
    row_of, link_of, key_of, hash_of, bucket_of, find_block, first_block, block_at, link_at,
    hash_entry, hash_set, hash_block, crowded, has_room, add_block, add_link, add_page,
    open_block, patch, link_to, leave_chain, drop_block,
]  # fmt: skip
