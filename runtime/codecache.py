"""Plans and stencils -> installed host code: executable memory, block table, links, invalidation."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from runtime.native import Arena
from runtime.nativecode import HASH_SIZE
from translator.planner import Plan
from translator.strategies import Piece
from translator.tiers.stencil import LEAVE, NEXT, Stencil, hole_number

_PACK = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}
_MASKS = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFFFFFF, 8: 0xFFFFFFFFFFFFFFFF}
_EMPTY = 0xFFFFFFFFFFFFFFFF
PAGE_SHIFT = 12
LOCATION_PRECISE = 1 << 32
CONSTANTS_SIZE = 1 << 20  # vector constants of stencils


class Link(NamedTuple):
    """A jump that may be patched: where its field is, where it goes unlinked, whose it is."""

    site: int  # offset of the 32-bit field
    stub: int  # offset of its exit stub
    target: int  # guest address
    owner: Block


@dataclass(slots=True, eq=False)
class Block:
    """An installed block."""

    location: int
    fpu: int | None
    offset: int  # of its host code
    size: int
    plan: Plan
    serial: int
    incoming: list[Link] = field(default_factory=list)
    pages: tuple[int, ...] = ()
    is_valid: bool = True
    checked: int = 0  # offset in the code behind which the budget has been charged


class Full(Exception):  # noqa: N818 (a condition, not an error)
    """The arena has no room; the caller must reset it when no thread runs in it."""


class CodeCache:
    """All installed blocks of one guest. Not thread-safe: the engine holds its lock."""

    def __init__(self, arena: Arena, tables: list[memoryview], stub: Callable[[], Stencil]) -> None:
        self.arena, self.tables, self.stub = arena, tables, stub
        self.limit = len(arena.code) - (1 << 20)
        self.serial = 0
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        # A location is the guest pc, plus LOCATION_PRECISE in precise floating-point mode.
        self.blocks: dict[int, Block] = {}  # location -> the first variant
        self.variants: dict[tuple[int, int], Block] = {}
        self.by_page: dict[int, set[Block]] = {}
        self.links: dict[int, Link] = {}  # site -> link
        self.starts: list[int] = []
        self.order: list[Block] = []
        self.constants: dict[bytes, int] = {}
        self.used_hash = [0, 0]
        for table in self.tables:
            table[:] = _EMPTY_TABLE
        self.arena.reset()
        self.constants_at = (self.arena.used + 63) & -64
        self.arena.used = self.constants_end = self.constants_at + CONSTANTS_SIZE

    # -- finding -------------------------------------------------------------------------------------
    def find(self, location: int, fpu: int) -> Block | None:
        """Return the block for a location and x87 stack."""
        block = self.blocks.get(location)
        if block is None or block.fpu is None or block.fpu == fpu:
            return block
        return self.variants.get((location, fpu))

    def at_host(self, address: int) -> Block | None:
        """Return the block whose code holds a host address."""
        offset = address - self.arena.base
        index = bisect_right(self.starts, offset) - 1
        return self.order[index] if index >= 0 else None

    def address(self, block: Block) -> int:
        """Return where a block's host code starts."""
        return self.arena.base + block.offset

    # -- installing ------------------------------------------------------------------------------------
    def install(
        self, location: int, plan: Plan, pieces: list[Piece], tails: dict[str, Piece], checks: int
    ) -> Block:
        """Place a block's code.

        *tails* are the cold exits that its pieces name as links; the first *checks* pieces are the
        prologue, of which the last charges the budget.
        """
        arena = self.arena
        start = (arena.used + 15) & -16
        if start + 64 * 1024 > self.limit:
            raise Full
        self.serial += 1
        block = Block(location, plan.fpu, start, 0, plan, self.serial)
        writer = _Writer(self, start)
        for number, piece in enumerate(pieces, 1):
            writer.hot(piece)
            if number == checks:
                block.checked = len(writer.code)
        writer.cold()
        for name, piece in tails.items():
            writer.labels[name] = start + len(writer.code)
            writer.hot(piece)
            writer.cold()
        writer.stubs(block, self.stub())
        writer.finish()
        block.size = len(writer.code)
        self._register(block)
        return block

    def _register(self, block: Block) -> None:
        location = block.location
        if location in self.blocks:
            self.variants[location, block.fpu or 0] = block
        else:
            self.blocks[location] = block
            self._hash_add(location, self.address(block))
        self.starts.append(block.offset)
        self.order.append(block)
        pages = {
            (address + i) >> PAGE_SHIFT & 0xFFFFF
            for address, size in block.plan.looked_at
            for i in (*range(0, size, 1 << PAGE_SHIFT), size - 1)
        }
        block.pages = tuple(pages)
        for page in pages:
            self.by_page.setdefault(page, set()).add(block)

    def _hash_add(self, location: int, code: int) -> None:
        mode, pc = location >> 32, location & 0xFFFFFFFF
        if self.used_hash[mode] * 2 > HASH_SIZE:
            self._rehash(mode)
        table = self.tables[mode]
        index = _hash(pc)
        while table[2 * index] not in (_EMPTY, pc):
            index = (index + 1) & (HASH_SIZE - 1)
        if table[2 * index] == _EMPTY:
            self.used_hash[mode] += 1
        # The code first: a reader that sees the key must see the code.
        table[2 * index + 1] = code
        table[2 * index] = pc

    def _hash_remove(self, location: int) -> None:
        table, pc = self.tables[location >> 32], location & 0xFFFFFFFF
        index = _hash(pc)
        while table[2 * index] != _EMPTY:
            if table[2 * index] == pc:
                table[2 * index + 1] = 0  # a null code is a miss
                return
            index = (index + 1) & (HASH_SIZE - 1)

    def _rehash(self, mode: int) -> None:
        """Drop what was removed; a table that is still crowded only makes lookups miss."""
        self.tables[mode][:] = _EMPTY_TABLE
        self.used_hash[mode] = 0
        mine = [(at, b) for at, b in self.blocks.items() if at >> 32 == mode]
        for location, block in mine[-HASH_SIZE // 4 :]:
            self._hash_add(location, self.address(block))

    # -- links -------------------------------------------------------------------------------------------
    def link(self, site: int, target: Block) -> None:
        """Let a link jump straight to a block."""
        link = self.links.get(site)
        if link is None or not link.owner.is_valid or not target.is_valid:
            return
        if target.location == link.owner.location and target.serial <= link.owner.serial and target.fpu is not None:
            if target is not link.owner:
                return  # x87 variants of one address only chain forward, or they would chase each other
            if target.fpu != link.owner.plan.fpu:
                return
        self._patch(site, target.offset)
        target.incoming.append(link)

    def _patch(self, site: int, offset: int) -> None:
        struct.pack_into("<i", self.arena.code, site, offset - (site + 4))

    # -- invalidation ------------------------------------------------------------------------------------
    def invalidate(self, pages: Iterable[int]) -> int:
        """Drop every block that depends on these pages; return how many."""
        count = 0
        for page in pages:
            for block in self.by_page.pop(page, ()):
                count += block.is_valid
                self.drop(block)
        return count

    def drop(self, block: Block) -> None:
        """Forget a block: nothing leads to it any more; its code stays until the next reset."""
        if not block.is_valid:
            return
        block.is_valid = False
        for link in block.incoming:
            if link.owner.is_valid or link.owner is block:
                self._patch(link.site, link.stub)
        block.incoming.clear()
        for page in block.pages:
            others = self.by_page.get(page)
            if others is not None:
                others.discard(block)
        if self.blocks.get(block.location) is block:
            del self.blocks[block.location]
            self._hash_remove(block.location)
            # A remaining variant takes the first place.
            for key, other in list(self.variants.items()) if self.variants else ():
                if key[0] == block.location:
                    del self.variants[key]
                    self.blocks[block.location] = other
                    self._hash_add(block.location, self.address(other))
                    break
        elif self.variants.get((block.location, block.fpu or 0)) is block:
            del self.variants[block.location, block.fpu or 0]


def _hash(pc: int) -> int:
    """The hash that jitemu_lookup computes."""
    return (pc * 2654435761 >> 12) & (HASH_SIZE - 1)


_EMPTY_TABLE = memoryview(b"\xff" * (16 * HASH_SIZE)).cast("Q")


class _Writer:
    """Lays out one block's code before it is copied into the arena."""

    def __init__(self, cache: CodeCache, start: int) -> None:
        self.cache, self.start = cache, start
        self.code = bytearray()
        self.faults: list[tuple[int, int, int]] = []
        self.colds: list[tuple[Piece, int]] = []
        self.links: list[tuple[int, int, int]] = []  # offset of the field, addend, guest target
        self.labels: dict[str, int] = {}
        self.forward: list[tuple[int, int, str]] = []
        self.leave = cache.arena.symbols[LEAVE]

    def hot(self, piece: Piece) -> None:
        """Append a piece's straight code and fill its holes."""
        stencil = piece.stencil
        at = len(self.code)
        self.code += stencil.code
        if stencil.cold:
            self.colds.append((piece, at))
        else:
            self._fill(piece, at, at, 0, len(stencil.code))
        for fault in stencil.faults if not stencil.cold else ():
            self._fault(fault.access + at, self.leave, fault.pc, fault.pc_value, piece)

    def cold(self) -> None:
        """Append the cold parts collected so far."""
        for piece, at in self.colds:
            stencil = piece.stencil
            split = len(stencil.code)
            cold_at = len(self.code) - split  # so that offsets beyond the split fall right
            self.code += stencil.cold
            self._fill(piece, at, cold_at, 0, split + len(stencil.cold))
            for fault in stencil.faults:
                recovery = self.leave
                if fault.recovery >= 0:
                    base = at if fault.recovery < split else cold_at
                    recovery = self.start + base + fault.recovery
                self._fault(fault.access + at, recovery, fault.pc, fault.pc_value, piece)
        self.colds.clear()

    def _fault(self, access: int, recovery: int, symbol: str, number: int, piece: Piece) -> None:
        if symbol:
            number = piece.slots[int(symbol[1 : symbol.index("_")])]["pc"]
        self.faults.append((self.start + access, recovery, number))

    def _fill(self, piece: Piece, hot_at: int, cold_at: int, low: int, high: int) -> None:
        stencil, slots, code = piece.stencil, piece.slots, self.code
        split = len(stencil.code)
        for offset, size, symbol, addend in stencil.holes:
            number = hole_number(symbol, slots[int(symbol[1 : symbol.index("_")])]) + addend
            at = (hot_at if offset < split else cold_at) + offset
            struct.pack_into(_PACK[size], code, at, number & _MASKS[size])
        for offset, _, symbol, addend in stencil.jumps:
            at = (hot_at if offset < split else cold_at) + offset
            if symbol == NEXT:
                self._relative(at, addend, self.start + hot_at + split)
            elif symbol.startswith("link"):
                index, name = symbol[4:].split("_", 1)
                number = slots[int(index)].get(name)
                if number is None:
                    self.forward.append((at, addend, name))
                else:
                    self.links.append((at, addend, number))
            else:
                self._relative(at, addend, self.cache.arena.symbols[symbol])
        for offset, addend, data in stencil.constants:
            at = (hot_at if offset < split else cold_at) + offset
            self._relative(at, addend, self._constant(data))

    def _constant(self, data: bytes) -> int:
        """Return the place of a constant, in the arena; placed once."""
        place = self.cache.constants.get(data)
        if place is None:
            arena = self.cache.arena
            place = (self.cache.constants_at + 15) & -16
            if place + len(data) > self.cache.constants_end:
                raise Full
            self.cache.constants_at = place + len(data)
            arena.code[place : place + len(data)] = data
            self.cache.constants[data] = place
        return place

    def _relative(self, at: int, addend: int, target: int) -> None:
        struct.pack_into("<i", self.code, at, target + addend - (self.start + at))

    def stubs(self, block: Block, stub: Stencil) -> None:
        """Append the exit stub of every link and point the links at them."""
        for at, addend, target in self.links:
            place = len(self.code)
            site = self.start + at
            self.hot(Piece(stub, [{"pc": target, "site": site}]))
            self._relative(at, addend, self.start + place)
            self.cache.links[site] = Link(site, self.start + place, target, block)
        for at, addend, name in self.forward:
            self._relative(at, addend, self.labels[name])

    def finish(self) -> None:
        """Copy everything into the arena."""
        arena = self.cache.arena
        arena.code[self.start : self.start + len(self.code)] = bytes(self.code)
        arena.used = self.start + len(self.code)
        if self.faults:
            self.faults.sort()
            arena.add_faults(b"".join(struct.pack("<III", *row) for row in self.faults))
