"""The table of installed blocks, as Python sees it: numbers in, Blocks out.

Compiled code (translator/quick/table.py) finds, adds, links and drops blocks, so that most never
exist as Python objects.  A Block is a number that knows its table.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from runtime import native
from runtime.guestcode import CONTEXT_SHIFT, LOCATION_PRECISE
from runtime.native import FAULTS_MAX, Arena
from translator.mode import context_of
from translator.planner import Options
from translator.quick import layout as at

BLOCKS_MAX, LINKS_MAX, NODES_MAX = 1 << 21, 1 << 22, 1 << 22
_SPARE = 1 << 16  # links and nodes that one block may need
_PAGES = 1 << 20
_BLOCK = struct.Struct("<14I")
_LINK = struct.Struct("<6I")
_NODE = struct.Struct("<4I")


class Link(NamedTuple):
    """A jump that may be patched: where its field is, where it goes unlinked, whose it is."""

    site: int  # offset of the 32-bit field
    stub: int  # offset of its exit stub
    target: int  # guest address
    owner: Block


class Row(NamedTuple):
    """What the table says of a block, in the order of layout.B_PC and the following."""

    pc: int
    state: int
    fpu: int
    entry: int
    offset: int
    size: int
    checked: int
    chain: int
    link: int
    link_count: int
    node: int
    node_count: int
    incoming: int
    context: int


class Block:
    """An installed block; what it says is true until the table is cleared."""

    __slots__ = ("generation", "number", "table")

    def __init__(self, table: BlockTable, number: int) -> None:
        self.table, self.number, self.generation = table, number, table.generation

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Block) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[int, int, int]:
        return id(self.table), self.generation, self.number

    @property
    def row(self) -> Row:
        """All numbers of it."""
        return self.table.row(self.number)

    @property
    def is_valid(self) -> bool:
        """Whether guest code may still be led to it."""
        table = self.table
        return self.generation == table.generation and bool(table.row(self.number).state & at.VALID)

    @property
    def pc(self) -> int:
        """Guest address."""
        return self.row.pc

    @property
    def location(self) -> int:
        """Guest address, floating-point mode and context."""
        row = self.row
        place = row.pc | row.context << CONTEXT_SHIFT
        return place | LOCATION_PRECISE if row.state & at.PRECISE else place

    @property
    def fpu(self) -> int | None:
        """The x87 stack that it was made for; None: any."""
        fpu = self.row.fpu
        return None if fpu == at.ANY_FPU else fpu

    @property
    def offset(self) -> int:
        """Where its host code begins in the arena."""
        return self.row.offset

    @property
    def size(self) -> int:
        """Bytes of host code."""
        return self.row.size

    @property
    def checked(self) -> int:
        """Offset in the code behind which the budget has been charged."""
        return self.row.checked

    @property
    def options(self) -> Options:
        """With which its plan can be made again."""
        row = self.row
        return Options(
            row.entry,
            bool(row.state & at.PRECISE),
            bool(row.state & at.OPEN),
            row.state >> at.STATE_SHIFT,
            bool(row.state & at.RECOVERING),
            context_of(row.context),
        )

    @property
    def parts(self) -> list[tuple[int, Options]]:
        """Of a region: address and options of each of its nodes."""
        return self.table.parts.get(self.number, [])

    @parts.setter
    def parts(self, parts: list[tuple[int, Options]]) -> None:
        self.table.parts[self.number] = parts
        place = at.BLOCK_SIZE * self.number + at.B_STATE
        self.table.rows[place] |= at.REGION

    @property
    def links(self) -> list[Link]:
        """Its own links."""
        row = self.row
        return [self.table.link(n) for n in range(row.link, row.link + row.link_count)]

    @property
    def incoming(self) -> list[Link]:
        """The links that lead to it now."""
        found = []
        number = self.row.incoming
        while number:
            found.append(self.table.link(number))
            number = _LINK.unpack_from(self.table.link_rows, at.LINK_ROW * number)[5]
        return found

    @property
    def pages(self) -> list[int]:
        """The guest pages that it depends on."""
        row, nodes = self.row, self.table.nodes
        places = range(row.node, row.node + row.node_count)
        return [_NODE.unpack_from(nodes, at.NODE_SIZE * number)[1] for number in places]


class BlockTable:
    """Tables in memory that compiled code shares, and what it can do with them."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.generation = 0
        self.parts: dict[int, list[tuple[int, Options]]] = {}
        self.memory = bytearray(at.CONTEXT_SIZE)
        self.fields = memoryview(self.memory)[: at.CONTEXT_HEAD].cast("q")
        self.address = native.address_of(self.memory)
        self._areas: list[mmap.mmap] = []
        self.rows = self._area(at.BLOCKS, at.BLOCK_SIZE * BLOCKS_MAX)
        self.link_rows = self._area(at.LINK_ROWS, at.LINK_ROW * LINKS_MAX)
        self.nodes = self._area(at.NODES, at.NODE_SIZE * NODES_MAX)
        self._area(at.BUCKETS, 4 * at.BUCKETS_SIZE)
        self._area(at.NOTES, 4 * FAULTS_MAX)
        self.page_heads = self._area(at.PAGE_HEADS, 4 * _PAGES).cast("I")
        for mode in range(2):
            self._area(at.HASHES + 8 * mode, 16 * at.HASH_SIZE)
        self.hashes = [self.get(at.HASHES), self.get(at.HASHES + 8)]
        self.set(at.BLOCK_LIMIT, BLOCKS_MAX - 2)
        self.set(at.LINK_LIMIT, LINKS_MAX - _SPARE)
        self.set(at.NODE_LIMIT, NODES_MAX - _SPARE)
        self.set(at.ARENA, arena.base)
        self.set(at.FAULTS, arena.fault_address)
        self.set(at.FAULT_COUNT, arena.fault_count_address)
        self.set(at.USED, arena.used_address)
        # What these do stands in table.py; the context comes first.
        self.find = self._function("find_block", 3)
        self.first = self._function("first_block", 2)
        self.at_offset = self._function("block_at", 1)
        self.has_room = self._function("has_room", 1)
        self.add = self._function("add_block", 5)
        self.add_link = self._function("add_link", 4)
        self.add_page = self._function("add_page", 2)
        self.open = self._function("open_block", 3)
        self.link_to = self._function("link_to", 2)
        self.drop = self._function("drop_block", 1)

    def _function(self, name: str, count: int) -> ctypes._FuncPointer:
        arguments = [ctypes.c_int64] * (count + 1)
        return self.arena.function(name, ctypes.c_int64, *arguments, keep_gil=True)  # type: ignore[no-any-return]

    def _area(self, field: int, size: int) -> memoryview:
        area, address = native.reserve(size, mmap.PROT_READ | mmap.PROT_WRITE)
        self._areas.append(area)
        self.set(field, address)
        return memoryview(area)

    def get(self, field: int) -> int:
        """Return a field of the context."""
        return self.fields[field // 8]

    def set(self, field: int, value: int) -> None:
        """Set a field of the context."""
        self.fields[field // 8] = value

    def clear(self) -> None:
        """Forget all blocks."""
        self.generation += 1
        self.parts = {}
        for area in self._areas:
            area.madvise(mmap.MADV_DONTNEED)  # all zero again
        for field in (at.BLOCK_COUNT, at.LINK_COUNT, at.NODE_COUNT, at.DEAD):
            self.set(field, 0)
        for mode in range(2):
            self.set(at.HASH_USED + 8 * mode, 0)

    def __len__(self) -> int:
        return self.get(at.BLOCK_COUNT)

    def __iter__(self) -> Iterator[Block]:
        return (Block(self, number) for number in range(1, len(self) + 1))

    def row(self, number: int) -> Row:
        """Return what is known of a block."""
        return Row._make(_BLOCK.unpack_from(self.rows, at.BLOCK_SIZE * number))

    def link(self, number: int) -> Link:
        """Return a link."""
        site, stub, target, owner, *_ = _LINK.unpack_from(self.link_rows, at.LINK_ROW * number)
        return Link(site, stub, target, Block(self, owner))

    def of_page(self, page: int) -> list[Block]:
        """Return the blocks that depend on a page, and forget those that never will again."""
        found, kept = [], []
        number = self.page_heads[page]
        while number:
            block, _, following, word = _NODE.unpack_from(self.nodes, at.NODE_SIZE * number)
            state = _BLOCK.unpack_from(self.rows, at.BLOCK_SIZE * block)[1]
            if state & at.VALID:
                found.append(Block(self, block))
            if state & (at.VALID | at.ASIDE):
                kept.append((number, block, word))
            number = following
        following = 0
        for number, block, word in kept:
            _NODE.pack_into(self.nodes, at.NODE_SIZE * number, block, page, following, word)
            following = number
        self.page_heads[page] = following
        return found

    def expect(self, block: Block, word: Callable[[int], int]) -> list[int]:
        """Let a block know the words of pages that are not active; return those pages."""
        row, found = block.row, []
        for number in range(row.node, row.node + row.node_count):
            place = at.NODE_SIZE * number
            owner, page, following, known = _NODE.unpack_from(self.nodes, place)
            if not known and (wanted := word(page)):
                _NODE.pack_into(self.nodes, place, owner, page, following, wanted)
                found.append(page)
        return found

    def pages(self, first: int, last: int) -> list[int]:
        """Return the pages of a range that blocks depended on."""
        heads = self.page_heads[first : last + 1].tolist()
        return [page for page, head in enumerate(heads, first) if head]


class TableLock:
    """Reentrant; also keeps native code from going on by itself with these tables."""

    def __init__(self, table: BlockTable, lock: threading.RLock | None = None) -> None:
        self._lock = lock or threading.RLock()
        self._depth = 0
        self._word = table.fields[at.LOCK // 8 : at.LOCK // 8 + 1]
        self._address = table.address + at.LOCK
        arguments = [ctypes.c_int64] * 2
        self._swap = table.arena.function("swap", ctypes.c_int64, *arguments, keep_gil=True)

    def acquire(self) -> None:
        """Wait for it: for Python threads, then for the microseconds of a native one."""
        self._lock.acquire()
        if not self._depth:
            while self._swap(self._address, 1):
                time.sleep(0)
        self._depth += 1

    def release(self) -> None:
        """Let go."""
        self._depth -= 1
        if not self._depth:
            self._word[0] = 0
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *details: object) -> None:
        self.release()
