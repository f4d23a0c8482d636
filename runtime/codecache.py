"""Plans and stencils -> installed host code: block table, links, invalidation."""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from runtime import native
from runtime.guestcode import PAGE_SHIFT
from runtime.native import FAULTS_MAX, Arena
from runtime.nativecode import HASH_SIZE
from translator.planner import Options, Plan
from translator.shape import PC, SHAPES, SHAPES_MAX, SLOT_INDEX, Slots
from translator.state import FIELDS
from translator.strategies import Piece
from translator.tiers.hostasm import CACHE_LINE, JUMP, NOP
from translator.tiers.stencil import LEAVE, NEXT, ST0, Stencil

_PUT4, _PUT4S = struct.Struct("<I").pack_into, struct.Struct("<i").pack_into
_GET4S = struct.Struct("<i").unpack_from
_FPR0 = FIELDS["fpr0"].offset
TOP = SLOT_INDEX["top"]
_PACK = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}
_MASKS = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFFFFFF, 8: 0xFFFFFFFFFFFFFFFF}
_EMPTY = 0xFFFFFFFFFFFFFFFF
DEAD_LIMIT = 50_000  # dropped blocks that may take room before everything is dropped
CONSTANTS_SIZE = 1 << 20  # vector constants of stencils
SIZE_MIN = 1 << 20  # of the room for host code
SIZE_DEFAULT = 64 << 20  # Python's own tables of that much code take several times as much
FAULTS_OF_BLOCK = 1 << 16  # rows of the fault table that a block may need
MAX_ALIGNED = 8  # branches of a piece that can be aligned; larger ones jump through a jump


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
    pc: int
    options: Options  # with which its plan can be made again
    serial: int
    incoming: list[Link] = field(default_factory=list)
    pages: tuple[int, ...] = ()
    is_valid: bool = True
    sites: list[int] = field(default_factory=list)  # of its own links
    checked: int = 0  # offset in the code behind which the budget has been charged
    # Of a region: address and options of each of its nodes.
    parts: list[tuple[int, Options]] = field(default_factory=list)


class Stub(NamedTuple):
    """The exit stub of a link: code, and the offsets of its three fields."""

    code: bytes
    pc: int
    site: int
    leave: int


def make_stub(stencil: Stencil) -> Stub:
    """Find the fields of the stub stencil."""
    places = {hole.slot: hole.offset for hole in stencil.holes}
    (leave,) = stencil.branches
    return Stub(stencil.code, places[PC], places[SLOT_INDEX["site"]], leave.offset)


class Full(Exception):  # noqa: N818 (a condition, not an error)
    """The arena has no room; the caller must reset it when no thread runs in it."""


class CodeCache:
    """All installed blocks of one guest. Not thread-safe: the engine holds its lock."""

    def __init__(self, arena: Arena, tables: list[memoryview], stub: Callable[[], Stencil]) -> None:
        self.arena, self.tables, self.stub_stencil = arena, tables, stub
        self.stub: Stub | None = None
        self.limit = len(arena.code) - (1 << 20)  # offset where the last block may begin
        self.serial = 0
        self.written = 0  # bytes of host code before the last reset
        self.resets = -1
        self.first = arena.used
        self.order: list[Block] = []
        self.clear()
        self.set_size(SIZE_DEFAULT)

    def set_size(self, size: int) -> None:
        """Let host code take so many bytes, or what the arena has, before all of it is dropped."""
        self.limit = min(max(size, SIZE_MIN) + self.first, len(self.arena.code) - (1 << 20))

    @property
    def size(self) -> int:
        """Bytes that host code takes now."""
        return self.arena.used - self.first

    def clear(self) -> None:
        """Forget everything."""
        self.written += self.arena.used - self.first
        self.resets += 1
        for block in self.order:  # links and blocks refer to each other
            block.incoming.clear()
        # A location is the guest pc, plus LOCATION_PRECISE in precise floating-point mode.
        self.blocks: dict[int, Block] = {}  # location -> the first variant
        self.variants: dict[tuple[int, int], Block] = {}
        self.by_page: dict[int, set[Block]] = {}
        self.links: dict[int, Link] = {}  # site -> link
        self.starts: list[int] = []
        self.order = []
        self.constants: dict[bytes, int] = {}
        self.used_hash = [0, 0]
        for table in self.tables:
            table[:] = _EMPTY_TABLE
        self.arena.reset()
        self.constants_at = (self.arena.used + 63) & -64
        self.arena.used = self.first = self.constants_end = self.constants_at + CONSTANTS_SIZE

    # -- finding -----------------------------------------------------------------------------------
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

    # -- installing --------------------------------------------------------------------------------
    def install(
        self, location: int, plan: Plan, pieces: list[Piece], tails: dict[str, Piece], checks: int
    ) -> Block:
        """Place a block's code.

        *tails* are the cold exits that its pieces name as links; the first *checks* pieces are the
        prologue, of which the last charges the budget.
        """
        arena = self.arena
        start = (arena.used + 15) & -16
        self.check_room(start)
        self.serial += 1
        block = Block(location, plan.fpu, start, 0, plan.pc, plan.options, self.serial)
        writer = _Writer(self, start)
        for number, piece in enumerate(pieces, 1):
            if len(piece.stencil.branches) > MAX_ALIGNED:
                writer.is_far = True
            elif piece.stencil.branches:
                writer.align(piece.stencil)
            writer.hot(piece)
            if number == checks:
                block.checked = len(writer.code)
        writer.cold()
        for name, piece in tails.items():
            writer.labels[name] = start + len(writer.code)
            writer.hot(piece)
            writer.cold()
        if self.stub is None:
            self.stub = make_stub(self.stub_stencil())
        writer.stubs(block, self.stub)
        writer.finish()
        block.size = len(writer.code)
        pages = {
            (address + i) >> PAGE_SHIFT & 0xFFFFF
            for address, size in plan.looked_at
            for i in (*range(0, size, 1 << PAGE_SHIFT), size - 1)
        }
        self.register(block, pages)
        return block

    def check_room(self, start: int) -> None:
        """Raise Full if a block cannot be placed at an offset."""
        dead = len(self.order) - len(self.blocks) - len(self.variants)
        if (
            start + 64 * 1024 > self.limit
            or dead > max(DEAD_LIMIT, len(self.blocks))
            or self.arena.fault_count > FAULTS_MAX - FAULTS_OF_BLOCK
            or len(SHAPES) > SHAPES_MAX
        ):
            raise Full

    def register(self, block: Block, pages: Iterable[int]) -> None:
        """Make a placed block known, which depends on some pages."""
        location = block.location
        if location in self.blocks:
            self.variants[location, block.fpu or 0] = block
        else:
            self.blocks[location] = block
            self._hash_add(location, self.address(block))
        self.starts.append(block.offset)
        self.order.append(block)
        block.pages = tuple(pages)
        for page in block.pages:
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

    def constant(self, data: bytes) -> int:
        """Return the place of a constant, in the arena; placed once."""
        place = self.constants.get(data)
        if place is None:
            place = (self.constants_at + 15) & -16
            if place + len(data) > self.constants_end:
                raise Full
            self.constants_at = place + len(data)
            self.arena.code[place : place + len(data)] = data
            self.constants[data] = place
        return place

    # -- links -------------------------------------------------------------------------------------
    def link(self, site: int, target: Block) -> None:
        """Let a link jump straight to a block."""
        link = self.links.get(site)
        if link is None or not link.owner.is_valid or not target.is_valid:
            return
        if link.target != target.pc or link.owner.location >> 32 != target.location >> 32:
            return  # everything was dropped meanwhile, and the site belongs to another jump now
        if (
            target.location == link.owner.location
            and target.serial <= link.owner.serial
            and target.fpu is not None
        ):
            if target is not link.owner:
                # x87 variants of one address only chain forward, or they would chase each other
                return
            if target.fpu != link.owner.fpu:
                return
        self._patch(site, target.offset)
        target.incoming.append(link)

    def taken(self, block: Block) -> set[int]:
        """Return the guest addresses that a block's links have led to."""
        found = set()
        for site in block.sites:
            link = self.links.get(site)
            if link is not None:
                (displacement,) = _GET4S(self.arena.code, site)
                if site + 4 + displacement != link.stub:
                    found.add(link.target)
        return found

    def _patch(self, site: int, offset: int) -> None:
        # One store: other threads may be running this very jump (see _Writer.align).
        native.stores[32](self.arena.base + site, offset - (site + 4) & 0xFFFFFFFF)

    # -- invalidation ------------------------------------------------------------------------------
    def invalidate(self, pages: Iterable[int]) -> list[Block]:
        """Drop every block that depends on these pages; return them."""
        dropped = []
        for page in pages:
            for block in self.by_page.pop(page, ()):
                if block.is_valid:
                    dropped.append(block)
                    self.drop(block)
        return dropped

    def drop(self, block: Block) -> None:
        """Forget a block: nothing leads to it any more; its code stays until the next reset."""
        if not block.is_valid:
            return
        block.is_valid = False
        for link in block.incoming:
            if link.owner.is_valid or link.owner is block:
                self._patch(link.site, link.stub)
        block.incoming.clear()
        for site in block.sites:
            self.links.pop(site, None)
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
    """Hash a guest address as jitemu_lookup does."""
    return (pc * 2654435761 >> 12) & (HASH_SIZE - 1)


_EMPTY_TABLE = memoryview(struct.pack("<Qq", _EMPTY, 0) * HASH_SIZE).cast("Q")


class _Writer:
    """Lays out one block's code before it is copied into the arena."""

    def __init__(self, cache: CodeCache, start: int) -> None:
        self.cache, self.start = cache, start
        self.code = bytearray()
        self.faults: list[int] = []  # rows of the fault table, three numbers each
        self.colds: list[tuple[Piece, int]] = []
        self.links: list[tuple[int, int, int]] = []  # offset of the field, addend, guest target
        self.labels: dict[str, int] = {}
        self.forward: list[tuple[int, int, str]] = []
        self.is_far = False  # links go through jumps of their own
        self.symbols = cache.arena.symbols
        self.leave = self.symbols[LEAVE]

    def align(self, stencil: Stencil) -> None:
        """Pad so that no link's field crosses a cache line: then patching it is atomic."""
        at = self.start + len(self.code)
        sites = [branch.offset for branch in stencil.branches if branch.insn >= 0]
        pad = 0
        while any((at + pad + site) % CACHE_LINE > CACHE_LINE - 4 for site in sites):
            pad += 1
        self.code += NOP * pad

    def hot(self, piece: Piece) -> None:
        """Append a piece's straight code and fill its holes."""
        stencil, slots = piece
        code = self.code
        at = len(code)
        code += stencil.code
        if stencil.cold:
            self.colds.append((piece, at))
            return
        for offset, size, insn, slot, addend in stencil.holes:
            if size == 4 and slot < ST0:
                _PUT4(code, at + offset, slots[insn][slot] + addend & 0xFFFFFFFF)
            else:
                self._put(at + offset, size, slots[insn], slot, addend)
        if stencil.branches or stencil.constants:
            self._branches(stencil, slots, at, at)
        for access, recovery, insn, pc in stencil.faults:
            self.faults += (
                self.start + at + access,
                self.leave if recovery < 0 else self.start + at + recovery,
                slots[insn][PC] if insn >= 0 else pc,
            )

    def cold(self) -> None:
        """Append the cold parts collected so far."""
        for (stencil, slots), at in self.colds:
            split = len(stencil.code)
            cold_at = len(self.code) - split  # so that offsets beyond the split fall right
            self.code += stencil.cold
            for offset, size, insn, slot, addend in stencil.holes:
                base = at if offset < split else cold_at
                self._put(base + offset, size, slots[insn], slot, addend)
            self._branches(stencil, slots, at, cold_at)
            for access, recovery, insn, pc in stencil.faults:
                target = self.leave
                if recovery >= 0:
                    target = self.start + (at if recovery < split else cold_at) + recovery
                number = slots[insn][PC] if insn >= 0 else pc
                self.faults += (self.start + at + access, target, number)
        self.colds.clear()

    def _put(self, at: int, size: int, slots: Slots, slot: int, addend: int) -> None:
        number = _FPR0 + 16 * (slots[TOP] + slot - ST0 & 7) if slot >= ST0 else slots[slot]
        if size < 0:
            size = -size
            number -= self.cache.arena.base + self.start + at
        struct.pack_into(_PACK[size], self.code, at, number + addend & _MASKS[size])

    def _branches(self, stencil: Stencil, slots: list[Slots], hot_at: int, cold_at: int) -> None:
        split = len(stencil.code)
        for offset, addend, symbol, insn, slot in stencil.branches:
            at = (hot_at if offset < split else cold_at) + offset
            if insn >= 0:
                self.links.append((at, addend, slots[insn][slot]))
            elif symbol == NEXT:
                _PUT4S(self.code, at, hot_at + split + addend - at)
            elif symbol in self.symbols:
                self._relative(at, addend, self.symbols[symbol])
            else:
                self.forward.append((at, addend, symbol))
        for offset, addend, data in stencil.constants:
            at = (hot_at if offset < split else cold_at) + offset
            self._relative(at, addend, self.cache.constant(data))

    def _relative(self, at: int, addend: int, target: int) -> None:
        _PUT4S(self.code, at, target + addend - (self.start + at))

    def stubs(self, block: Block, stub: Stub) -> None:
        """Append the exit stub of every link and point the links at them."""
        code, start = self.code, self.start
        links = self.cache.links
        if self.is_far:
            self.links = self._trampolines()
        for at, addend, target in self.links:
            place = len(code)
            site = start + at
            code += stub.code
            _PUT4(code, place + stub.pc, target)
            _PUT4(code, place + stub.site, site)
            _PUT4S(code, place + stub.leave, self.leave - (start + place + stub.leave + 4))
            _PUT4S(code, at, place + addend - at)
            links[site] = Link(site, start + place, target, block)
            block.sites.append(site)
        for at, addend, name in self.forward:
            _PUT4S(code, at, self.labels[name] + addend - (start + at))

    def _trampolines(self) -> list[tuple[int, int, int]]:
        """Append one jump for each address that is linked to; return the fields of the jumps."""
        code = self.code
        fields: dict[int, int] = {}
        for at, addend, target in self.links:
            field = fields.get(target)
            if field is None:
                while (self.start + len(code) + 1) % CACHE_LINE > CACHE_LINE - 4:
                    code += NOP
                code += JUMP + bytes(4)
                field = fields[target] = len(code) - 4
            _PUT4S(code, at, field - 1 + addend - at)
        return [(field, -4, target) for target, field in fields.items()]

    def finish(self) -> None:
        """Copy everything into the arena."""
        arena = self.cache.arena
        code, start = self.code, self.start
        arena.code[start : start + len(code)] = code
        arena.used = start + len(code)
        faults = self.faults
        if faults:
            if any(faults[i] > faults[i + 3] for i in range(0, len(faults) - 3, 3)):
                rows = sorted(zip(faults[::3], faults[1::3], faults[2::3], strict=True))
                faults = [number for row in rows for number in row]
            arena.add_faults(array("I", faults).tobytes())
