"""Paging, compiled: the page walk, and mapping the page of an access that faulted (SDM vol. 3, 4).

Linear memory is shown by two windows of host address space, for supervisor and user code, whose
pages are inaccessible until `fill_page` maps them with the rights that the walk found: the host's
page tables are the guest's TLB.  The fault handler calls it and tries the access again.

32-bit paging with 4 MiB pages (PSE, PSE-36), and PAE with 2 MiB pages and NX.  Accessed and dirty
bits are set as the processor sets them: only by accesses that succeed.
"""

from __future__ import annotations

from collections.abc import Callable

from translator.quick.compiler import host_mmap, put32, put64, s64, u8, u32

# The context: offsets of 64-bit fields.
ON, PAE, PROTECTS, LARGE, GLOBAL, HAS_NX, ROOT, A20 = range(0, 64, 8)
DIRECTORIES = 64  # the four PDPTE registers
RAM, PAGES = 96, 104  # host address of physical memory; number of its pages
# Bytes a physical page: 0 RAM, 1 ROM, 2 neither, 3 memory that only walks read; 1 if it has code.
KINDS, CODE = 112, 120
FD = 128
# Of each window: its base, its table (u32 a page, 0: empty), the list of pages filled since the
# last flush (u32, some may be empty again), and how many that are.
BASES, TABLES, LISTS, COUNTS = 136, 152, 168, 184
COUNT_MAX, AROUND = 200, 208  # length of the lists; pages mapped at once, at most
VIEW = 216  # the window that guest code runs in now
FILLS = 224  # pages mapped by faults
ABSENT = 232  # what a walk reads where no memory is
TLB = 240  # a table of 8 bytes a linear page instead of page tables: frame << 8 and TLB_*; 0: none
SPACE = 248  # number of the address space, for code of ring 3
SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP = 256, 264, 272  # copies of the registers
# Of code: address and number of rows (spaces.py); a byte a linear page; whether Python has to read
# the log, an array of numbers; pages that are active, and words of all pages (usercode.py).
ROWS, ROW_COUNT, IN_ROWS, STALE = 280, 288, 296, 304
LOG, LOG_COUNT, ACTIVE_PAGES, WORDS = 384, 392, 400, 408
BLOCKS = 416  # the table of blocks (layout.py), of an engine that puts code aside; 0: of none
COMPILED = 312  # whether system.py may do what it can
CALLEES = 328  # address of rows for those who answer for ports and devices (accesses.py)
TSC_ON, TSC_OFFSET = 336, 344  # whether rdtsc shows the host's clock, and what is added (ns)
SHOWN, SHOWN_PAGES = 352, 256  # frame (u32) that each page below 1 MiB shows; 0: its own
# Address of the table of compiled devices (natives.py), and whether ports are theirs, too.
NATIVES, NATIVE_PORTS = 360, 368
MISSING_FLAGS = 376  # of EFLAGS, that the processor does not have
KNOWN_LEAVES = 424  # what cpuid answers: the number of rows, then these (rare.py)
PAGING_SIZE = 512
TLB_READ, TLB_WRITE, TLB_EXECUTE = 1, 2, 4

# Kinds of access, and what else `walk` is told.
A_WRITE, A_USER, A_FETCH, A_MARK = 1, 2, 4, 8
# What `walk` found: frame << 8 and these bits; or -1 - error code, for a page fault.
MAY_WRITE, IS_GLOBAL, IS_ACCESSED = 1, 2, 4
# An entry of a window's table: frame << 4 and these bits.
FILLED, NOW, MAY, KEPT = 1, 2, 4, 8
FRAME_SHIFT = 4

_P, _RW, _US, _A, _D, _PS, _G = 1, 2, 4, 32, 64, 128, 256
_E_PRESENT, _E_RESERVED = 1, 8
_FRAME_PAE = 0xFFFFFFF000  # 40 bits of physical address
_RESERVED_PAE = 0x7FFFFF0000000000
_READ, _READ_WRITE, _SHARED_FIXED = 1, 3, 0x11  # of the host's mmap


def entry_at(ctx: int, address: int, size: int) -> int:
    """Return the host address of a table's entry, or 0 where no memory is."""
    page = address >> 12
    if page >= s64(ctx + PAGES) or u8(s64(ctx + KINDS) + page) == 2:
        return 0
    return s64(ctx + RAM) + address


def denied(ctx: int, kind: int, error: int) -> int:
    """Return what `walk` returns for a page fault."""
    error = error | (kind & 3) << 1
    if kind & A_FETCH and s64(ctx + HAS_NX):
        error = error | 16
    return -1 - error


def forbids(ctx: int, kind: int, rights: int, nx: int) -> int:
    """Whether the rights that all levels grant forbid an access."""
    if kind & A_USER and not rights & _US:
        return 1
    if kind & A_WRITE and not rights & _RW and (kind & A_USER or s64(ctx + PROTECTS)):
        return 1
    return 1 if kind & A_FETCH and nx else 0


def shown(ctx: int, frame: int) -> int:
    """Return the frame that a physical page shows: another one where expanded memory is."""
    if frame < SHOWN_PAGES and s64(ctx + SHOWN):
        return u32(s64(ctx + SHOWN) + 4 * frame)
    return frame


def found(ctx: int, kind: int, frame: int, rights: int, leaf: int, marked: int) -> int:
    """Return what `walk` returns for a page."""
    bits = IS_ACCESSED if marked & _A else 0
    if leaf & _D and (rights & _RW or not (kind & A_USER or s64(ctx + PROTECTS))):
        bits = bits | MAY_WRITE
    if leaf & _G and s64(ctx + GLOBAL):
        bits = bits | IS_GLOBAL
    return shown(ctx, frame & (s64(ctx + A20) >> 12)) << 8 | bits


def mark32(ctx: int, kind: int, at: int, entry: int, wanted: int) -> int:
    """Set bits of an entry, if this access marks; return the entry as it is now."""
    if kind & A_MARK and at and entry | wanted != entry:
        put32(at, entry | wanted)
        return entry | wanted
    return entry


def walk32(ctx: int, address: int, kind: int) -> int:
    """Walk the tables of 32-bit paging."""
    mask = s64(ctx + A20)
    used = _A | _D if kind & A_WRITE else _A
    upper_at = entry_at(ctx, (s64(ctx + ROOT) + (address >> 22) * 4) & mask, 4)
    upper = u32(upper_at) if upper_at else s64(ctx + ABSENT) & 0xFFFFFFFF
    if not upper & _P:
        return denied(ctx, kind, 0)
    if upper & _PS and s64(ctx + LARGE):
        if upper & 0x200000:
            return denied(ctx, kind, _E_PRESENT | _E_RESERVED)
        if forbids(ctx, kind, upper, 0):
            return denied(ctx, kind, _E_PRESENT)
        upper = mark32(ctx, kind, upper_at, upper, used)
        frame = (upper >> 12) & 0xFFC00 | (upper >> 13 & 0xFF) << 20 | address >> 12 & 0x3FF
        return found(ctx, kind, frame, upper, upper, upper)
    leaf_at = entry_at(ctx, ((upper & 0xFFFFF000) + (address >> 12 & 0x3FF) * 4) & mask, 4)
    leaf = u32(leaf_at) if leaf_at else s64(ctx + ABSENT) & 0xFFFFFFFF
    if not leaf & _P:
        return denied(ctx, kind, 0)
    if forbids(ctx, kind, upper & leaf, 0):
        return denied(ctx, kind, _E_PRESENT)
    upper = mark32(ctx, kind, upper_at, upper, _A)
    leaf = mark32(ctx, kind, leaf_at, leaf, used)
    return found(ctx, kind, leaf >> 12, upper & leaf, leaf, upper & leaf)


def walk_pae(ctx: int, address: int, kind: int) -> int:
    """Walk the tables of PAE paging; only low halves of entries are marked."""
    mask = s64(ctx + A20)
    used = _A | _D if kind & A_WRITE else _A
    pointer = s64(ctx + DIRECTORIES + (address >> 30) * 8)
    if not pointer & _P:
        return denied(ctx, kind, 0)
    has_nx = s64(ctx + HAS_NX)
    upper_at = entry_at(ctx, ((pointer & _FRAME_PAE) + (address >> 21 & 0x1FF) * 8) & mask, 8)
    upper = s64(upper_at) if upper_at else s64(ctx + ABSENT)
    if not upper & _P:
        return denied(ctx, kind, 0)
    if upper & _RESERVED_PAE or (upper < 0 and not has_nx):
        return denied(ctx, kind, _E_PRESENT | _E_RESERVED)
    if upper & _PS:
        if upper & 0x1FE000:
            return denied(ctx, kind, _E_PRESENT | _E_RESERVED)
        if forbids(ctx, kind, upper, upper < 0):
            return denied(ctx, kind, _E_PRESENT)
        marked = mark32(ctx, kind, upper_at, upper & 0xFFFFFFFF, used)
        frame = (upper & _FRAME_PAE) >> 12 & ~0x1FF | address >> 12 & 0x1FF
        return found(ctx, kind, frame, upper, marked, marked)
    leaf_at = entry_at(ctx, ((upper & _FRAME_PAE) + (address >> 12 & 0x1FF) * 8) & mask, 8)
    leaf = s64(leaf_at) if leaf_at else s64(ctx + ABSENT)
    if not leaf & _P:
        return denied(ctx, kind, 0)
    if leaf & _RESERVED_PAE or (leaf < 0 and not has_nx):
        return denied(ctx, kind, _E_PRESENT | _E_RESERVED)
    if forbids(ctx, kind, upper & leaf, (upper | leaf) < 0):
        return denied(ctx, kind, _E_PRESENT)
    first = mark32(ctx, kind, upper_at, upper & 0xFFFFFFFF, _A)
    second = mark32(ctx, kind, leaf_at, leaf & 0xFFFFFFFF, used)
    return found(ctx, kind, (leaf & _FRAME_PAE) >> 12, upper & leaf, second, first & second)


def walk_tlb(ctx: int, address: int, kind: int) -> int:
    """Look a page up in a table that Python filled."""
    entry = s64(s64(ctx + TLB) + (address >> 12) * 8)
    needed = TLB_EXECUTE if kind & A_FETCH else TLB_WRITE if kind & A_WRITE else TLB_READ
    if not entry & needed:
        return denied(ctx, kind, _E_PRESENT if entry else 0)
    return entry >> 8 << 8 | (MAY_WRITE if entry & TLB_WRITE else 0) | IS_ACCESSED


def walk(ctx: int, address: int, kind: int) -> int:
    """Find the page of a linear address: frame << 8 and bits, or -1 - error code."""
    if s64(ctx + TLB):
        return walk_tlb(ctx, address, kind)
    if not s64(ctx + ON):
        frame = shown(ctx, (address & s64(ctx + A20)) >> 12)
        return frame << 8 | MAY_WRITE | IS_GLOBAL | IS_ACCESSED
    if s64(ctx + PAE):
        return walk_pae(ctx, address, kind)
    return walk32(ctx, address, kind)


def state_of(ctx: int, page: int) -> int:
    """Return the entry for a page that `walk` found; 0 if no memory is there."""
    frame = page >> 8
    if frame >= s64(ctx + PAGES):
        return 0
    kind = u8(s64(ctx + KINDS) + frame)
    if kind > 1:
        return 0
    bits = FILLED | (KEPT if page & IS_GLOBAL else 0)
    if page & MAY_WRITE and not kind:
        bits = bits | (MAY if u8(s64(ctx + CODE) + frame) else MAY | NOW)
    return frame << FRAME_SHIFT | bits


def fill_page(ctx: int, view: int, address: int, kind: int) -> int:
    """Map the page of an access that faulted, and neighbours that are alike.

    1: it may be tried again. 0: a device, ROM, code or a crowded window, which is for Python.
    Below 0: -1 - error code of a page fault.
    """
    page = walk(ctx, address, kind | A_MARK)
    if page < 0:
        return page
    state = state_of(ctx, page)
    if not state or (kind & A_WRITE and not state & NOW):
        return 0
    count_at = ctx + COUNTS + 8 * view
    listed = s64(count_at)
    most = s64(ctx + AROUND)
    if listed + most > s64(ctx + COUNT_MAX):
        return 0
    first = address >> 12
    table = s64(ctx + TABLES + 8 * view)
    count = 1
    user = A_USER if view else 0
    while count < most and first + count < 0x100000 and not u32(table + 4 * (first + count)):
        beside = walk(ctx, (first + count) << 12, user)
        if beside < 0 or not beside & IS_ACCESSED:
            break
        if state_of(ctx, beside) != state + (count << FRAME_SHIFT):
            break
        count += 1
    prot = _READ_WRITE if state & NOW else _READ
    base = s64(ctx + BASES + 8 * view) + (first << 12)
    offset = (state >> FRAME_SHIFT) << 12
    if host_mmap(base, count << 12, prot, _SHARED_FIXED, s64(ctx + FD), offset) != base:
        return 0
    pages = s64(ctx + LISTS + 8 * view)
    for i in range(0, count):
        put32(table + 4 * (first + i), state + (i << FRAME_SHIFT))
        put32(pages + 4 * (listed + i), first + i)
    put64(count_at, listed + count)
    put64(ctx + FILLS, s64(ctx + FILLS) + count)
    return 1


def fill_fault(ctx: int, host: int, error: int) -> int:
    """Try to serve a fault of guest code at a host address: 1 if the access may be tried again."""
    view = s64(ctx + VIEW)
    address = host - s64(ctx + BASES + 8 * view)
    if address < 0 or address >> 32:
        return 0
    kind = (A_WRITE if error & 2 else 0) | (A_USER if view else 0)
    return 1 if fill_page(ctx, view, address, kind) > 0 else 0


PUBLIC = {"walk", "fill_page", "fill_fault"}
FUNCTIONS: list[Callable[..., int]] = [
    entry_at, denied, forbids, shown, found, mark32, walk32, walk_pae, walk_tlb, walk, state_of,
    fill_page, fill_fault,
]  # fmt: skip
