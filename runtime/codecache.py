"""Plans and stencils -> installed host code: where it lies, its links, what is dropped."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterable

from runtime.blocktable import Block, BlockTable
from runtime.guestcode import CONTEXT_SHIFT, LOCATION_PRECISE, pages_of
from runtime.native import FAULTS_MAX, Arena
from runtime.writer import Stub, Writer, make_stub
from translator.planner import Plan
from translator.quick import layout as at
from translator.shape import SHAPES, SHAPES_MAX
from translator.strategies import Piece
from translator.tiers.hostasm import MAX_ALIGNED
from translator.tiers.stencil import Stencil

_GET4S = struct.Struct("<i").unpack_from
DEAD_LIMIT = 50_000  # dropped blocks that may take room before everything is dropped
CONSTANTS_SIZE = 1 << 20  # vector constants of stencils
SIZE_MIN = 1 << 20  # of the room for host code
SIZE_DEFAULT = 64 << 20
FAULTS_OF_BLOCK = 1 << 16  # rows of the fault table that a block may need
_BLOCK_MAX = 64 * 1024  # bytes of a block


class Full(Exception):  # noqa: N818 (a condition, not an error)
    """The arena has no room; the caller must reset it when no thread runs in it."""


class Blocks:
    """The blocks by location; the oldest, where x87 stacks have their own."""

    def __init__(self, table: BlockTable) -> None:
        self.table = table

    def get(self, location: int) -> Block | None:
        """Return the block for a location."""
        table = self.table
        number = table.first(table.address, key_of(location), _mode(location))
        return Block(table, number) if number else None

    def __getitem__(self, location: int) -> Block:
        block = self.get(location)
        if block is None:
            raise KeyError(location)
        return block

    def __contains__(self, location: int) -> bool:
        return self.get(location) is not None

    def __len__(self) -> int:
        return len(self.table) - self.table.get(at.DEAD)


class CodeCache:
    """All installed blocks of one guest. Not thread-safe: the engine holds its lock."""

    shared_lock: threading.RLock | None = None  # of all engines that share an arena

    def __init__(self, arena: Arena, stub: Callable[[], Stencil]) -> None:
        self.arena, self.stub_stencil = arena, stub
        self.table = BlockTable(arena)
        self.table.set(at.FAULT_LIMIT, FAULTS_MAX - FAULTS_OF_BLOCK)
        self.table.set(at.DEAD_LIMIT, DEAD_LIMIT)
        self.blocks = Blocks(self.table)
        self.is_watched = False  # `register` must be called for every block
        self.stub: Stub | None = None
        self.call: Stencil | None = None  # the piece that leaves for a hook, and...
        self.resumptions: list[int] = []  # ...offsets behind such pieces, for those who ask
        self.limit = 0  # offset where the last block may begin
        self.written = 0  # bytes of host code before the last reset
        self.resets = -1
        self.first = arena.used
        self.clear()
        self.set_size(SIZE_DEFAULT)

    def set_size(self, size: int) -> None:
        """Let host code take so many bytes, or what the arena has, before all of it is dropped."""
        self.limit = min(max(size, SIZE_MIN) + self.first, len(self.arena.code) - (1 << 20))
        self.table.set(at.ROOM, self.limit - _BLOCK_MAX)

    @property
    def size(self) -> int:
        """Bytes that host code takes now."""
        return self.arena.used - self.first

    def clear(self) -> None:
        """Forget everything."""
        self.written += self.arena.used - self.first
        self.resets += 1
        self.table.clear()
        self.constants: dict[bytes, int] = {}
        self.arena.reset()
        self.constants_at = (self.arena.used + 63) & -64
        self.arena.used = self.first = self.constants_end = self.constants_at + CONSTANTS_SIZE

    # -- finding -----------------------------------------------------------------------------------
    # A location is the guest pc, plus LOCATION_PRECISE in precise floating-point mode.
    def find(self, location: int, fpu: int) -> Block | None:
        """Return the block for a location and x87 stack."""
        table = self.table
        number = table.find(table.address, key_of(location), _mode(location), fpu)
        return Block(table, number) if number else None

    def at_host(self, address: int) -> Block | None:
        """Return the block whose code holds a host address."""
        table = self.table
        number = table.at_offset(table.address, address - self.arena.base)
        return Block(table, number) if number else None

    def address(self, block: Block) -> int:
        """Return where a block's host code starts."""
        return self.arena.base + block.offset

    # -- installing --------------------------------------------------------------------------------
    def install(
        self, location: int, plan: Plan, pieces: list[Piece], tails: dict[str, Piece], checks: int
    ) -> Block:
        """Place a block's code.

        *tails* are the cold exits that its pieces name as links; the first *checks* pieces are the
        prologue, of which the last charges the budget.
        """
        start = (self.arena.used + 15) & -16
        self.check_room()
        writer = Writer(self.arena, self.constant, start)
        checked = 0
        for number, piece in enumerate(pieces, 1):
            if len(piece.stencil.branches) > MAX_ALIGNED:
                writer.is_far = True
            elif piece.stencil.branches:
                writer.align(piece.stencil)
            writer.hot(piece)
            if piece.stencil is self.call:
                self.resumptions.append(start + len(writer.code))
            if number == checks:
                checked = len(writer.code)
        writer.cold()
        for name, piece in tails.items():
            writer.labels[name] = start + len(writer.code)
            writer.hot(piece)
            writer.cold()
        if self.stub is None:
            self.stub = make_stub(self.stub_stencil())
        links = writer.stubs(self.stub)
        writer.finish()
        table, options = self.table, plan.options
        state = _mode(location) | options.max_insns << at.STATE_SHIFT
        if options.ends_at_store:
            state |= at.OPEN
        if options.recovers:
            state |= at.RECOVERING
        fpu = at.ANY_FPU if plan.fpu is None else plan.fpu
        number = table.add(table.address, key_of(location), state, fpu, options.fpu, start)
        for site, stub, target in links:
            table.add_link(table.address, number, site, stub, target)
        for page in pages_of(plan):
            table.add_page(table.address, number, page)
        table.open(table.address, number, len(writer.code), checked)
        block = Block(table, number)
        self.register(block)
        return block

    def check_room(self) -> None:
        """Raise Full if no more block can be placed."""
        table = self.table
        if not table.has_room(table.address, self.arena.used) or len(SHAPES) > SHAPES_MAX:
            raise Full

    def register(self, block: Block) -> None:
        """Do nothing: here others learn of blocks that were placed; see `is_watched`."""

    @property
    def constants_left(self) -> int:
        """Bytes of constants that there is room for."""
        return self.constants_end - self.constants_at - 64

    def constant(self, data: bytes, align: int = 16) -> int:
        """Return the place of a constant, in the arena; placed once."""
        place = self.constants.get(data)
        if place is None:
            place = (self.constants_at + align - 1) & -align
            if place + len(data) > self.constants_end:
                raise Full
            self.constants_at = place + len(data)
            self.arena.code[place : place + len(data)] = data
            self.constants[data] = place
        return place

    # -- links -------------------------------------------------------------------------------------
    def link(self, site: int, target: Block) -> None:
        """Let a link jump straight to a block, if both are still there."""
        if target.is_valid:
            self.table.link_to(self.table.address, site, target.number)

    def taken(self, block: Block) -> set[int]:
        """Return the guest addresses that a block's links have led to."""
        found = set()
        for link in block.links:
            (displacement,) = _GET4S(self.arena.code, link.site)
            if link.site + 4 + displacement != link.stub:
                found.add(link.target)
        return found

    # -- dropping ----------------------------------------------------------------------------------
    def invalidate(self, pages: Iterable[int]) -> list[Block]:
        """Drop every block that depends on these pages; return them."""
        dropped = []
        heads = self.table.page_heads
        for page in pages:
            if heads[page]:
                for block in self.table.of_page(page):
                    dropped.append(block)
                    self.drop(block)
                heads[page] = 0
        return dropped

    def drop(self, block: Block) -> None:
        """Forget a block: nothing leads to it any more; its code stays until the next reset."""
        if block.is_valid:
            self.table.drop(self.table.address, block.number)


def key_of(location: int) -> int:
    """Return what the table knows a location by, its floating-point mode apart."""
    return location & 0xFFFFFFFF | location >> CONTEXT_SHIFT << 32


def _mode(location: int) -> int:
    return at.PRECISE if location & LOCATION_PRECISE else 0
