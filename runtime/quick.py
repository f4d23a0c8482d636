"""The compiled translator (translator/quick) at work for one engine: its tables, and new blocks.

It knows shapes, stencils and pages once it was told of them; what it does not know it names, and
is asked again.  What it cannot do, the engine does the long way.
"""

from __future__ import annotations

import ctypes
import struct
import time
from typing import TYPE_CHECKING

from runtime import codestore, native
from runtime.codecache import Block, Link, make_stub
from runtime.guestcode import LOCATION_PRECISE, PAGE_SIZE
from translator.planner import Options
from translator.quick import layout as at
from translator.quick.scan import form_table
from translator.quick.write import RECIPE_FLAG
from translator.shape import SLOT_INDEX, Shape, Slots, shape_of
from translator.state import FIELDS
from translator.strategies.stencils import Stencils, service
from translator.tiers.stencil import LEAVE, NEXT, Request, Stencil
from translator.tiers.store import STORE

if TYPE_CHECKING:
    from runtime.dispatch import Engine

_PAGES = 1 << 20
_SHAPES_SIZE = 1 << 14  # entries; at most half are used
_PAIRS_SIZE = 1 << 14
_RECIPES_MAX = 1 << 18
_TIMED = 16  # of so many blocks one is timed
_FACTOR = 0x1E3779B97F4A7C15
_MASK = 0xFFFFFFFFFFFFFFFF
_HEADER = struct.calcsize("P") * 4  # of a bytes object, behind which its contents lie
_SERVICES = (
    (at.BUDGET, b"!budget"),
    (at.OVER, b"!over"),
    (at.GUARD, b"!guard"),
    (at.GOTO, b"!goto"),
    (at.INTERP, b"!interp"),
    (at.RECIPE, b"!recipe"),
)
_FORMS = form_table()


class Pages(dict[int, bytes]):
    """Page number -> contents, mirrored in a table of addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = bytearray(8 * _PAGES)
        self.table = memoryview(self.memory).cast("Q")

    def pop(self, page: int, *default: bytes | None) -> bytes | None:  # type: ignore[override]
        """Forget a page."""
        self.table[page] = 0
        return super().pop(page, *default)

    def __delitem__(self, page: int) -> None:
        """Forget a page."""
        self.pop(page)

    def clear(self) -> None:
        """Forget all pages."""
        for page in self:
            self.table[page] = 0
        super().clear()

    def tell(self, page: int, code: bytes) -> None:
        """Let compiled code see a page, which this dictionary keeps alive."""
        assert self.get(page) is code
        self.table[page] = id(code) + _HEADER


class Quick:
    """Installs blocks by compiled code. Not thread-safe: the engine holds its lock."""

    def __init__(self, engine: Engine) -> None:
        code, cache, recipes = engine.code, engine.cache, engine.recipes
        self.code, self.cache, self.statistics = code, cache, engine.statistics
        self.pages = code.pages = Pages()
        self.memory = bytearray(at.CONTEXT_SIZE)
        self.fields = memoryview(self.memory)[: at.CONTEXT_HEAD].cast("q")
        self.page_list = memoryview(self.memory)[at.PAGE_LIST : at.LINK_LIST].cast("q")
        self.link_list = memoryview(self.memory)[at.LINK_LIST : at.LABELS].cast("I")
        self.address = native.address_of(self.memory)
        self.kept: list[bytearray] = []
        self.run = cache.arena.function(
            "translate", ctypes.c_int64, *[ctypes.c_int64] * 5, keep_gil=True
        )
        self._set(at.FORMS, native.address_of(self._keep(bytearray(_FORMS))))
        self._set(at.PAGES, native.address_of(self.pages.memory))
        self.recipe_rows = self._keep(bytearray(56 * _RECIPES_MAX))
        self._set(at.RECIPES, native.address_of(self.recipe_rows))
        self._set(at.RECIPE_LIMIT, _RECIPES_MAX)
        arena = cache.arena
        self._set(at.ARENA, arena.base)
        self._set(at.LEAVE, arena.symbols[LEAVE])
        self._set(at.FPR0, FIELDS["fpr0"].offset)
        self._set(at.FAULTS, arena.fault_address)
        self._set(at.FAULT_COUNT, arena.fault_count_address)
        self.is_ready = False
        self.shapes: list[bytes] = []  # keys
        self.reset()
        self.look = cache.arena.function("peek", *[ctypes.c_int64] * 3, keep_gil=True)
        code.shows = self.shows  # type: ignore[method-assign]
        recipes.quick, recipes.on_clear = self.recipe, self.reset

    def _keep(self, data: bytearray) -> bytearray:
        self.kept.append(data)
        return data

    def _set(self, field: int, value: int) -> None:
        self.fields[field // 8] = value

    def reset(self) -> None:
        """Forget all stencils: the arena was emptied, and their constants with it."""
        self.shapes.clear()
        self.rows: list[int] = []
        self.blobs: list[bytearray] = []
        self.places: dict[int, int] = {}  # id of a stencil -> address of its copy
        self.shape_table = bytearray(32 * _SHAPES_SIZE)
        self.pair_table = bytearray(32 * _PAIRS_SIZE)
        self.pair_count = 0
        self._set(at.SHAPES, native.address_of(self.shape_table))
        self._set(at.SHAPES_MASK, _SHAPES_SIZE - 1)
        self._set(at.PAIRS, native.address_of(self.pair_table))
        self._set(at.PAIRS_MASK, _PAIRS_SIZE - 1)
        self._set(at.RECIPE_COUNT, 0)
        self.is_ready = False

    def _prepare(self) -> bool:
        """Tell of the services, once their stencils exist."""
        for field, name in _SERVICES:
            place = self._place(service(name))
            if not place:
                return False
            self._set(field, place)
        stub = make_stub(service(b"!stub"))
        data = struct.pack("<4Q", len(stub.code), stub.pc, stub.site, stub.leave) + stub.code
        blob = bytearray(data)
        self.blobs.append(blob)
        self._set(at.STUB, native.address_of(blob))
        self.is_ready = True
        return True

    # -- blocks ------------------------------------------------------------------------------------
    def install(self, location: int, fpu: int) -> Block | None:
        """Translate and install a block; None if it must be done the long way. Full."""
        if location >= LOCATION_PRECISE or not (self.is_ready or self._prepare()):
            return None
        cache, code, statistics = self.cache, self.code, self.statistics
        # Asking for the time takes a third of the time: ask for a few blocks, and multiply.
        is_timed = not statistics.blocks % _TIMED
        begun = time.thread_time() - statistics.translate_seconds if is_timed else 0.0
        arena = cache.arena
        start = (arena.used + 15) & -16
        cache.check_room(start)
        run, address, most = self.run, self.address, code.max_insns
        while True:
            status = run(address, location, fpu, most, start)
            if status == at.DONE:
                break
            if not self._supply(status):
                return None
        fields = self.fields
        size = fields[at.SIZE // 8]
        its_fpu = fields[at.FPU // 8]
        arena.used = start + size
        cache.serial += 1
        block = Block(
            location,
            its_fpu if its_fpu >= 0 else None,
            start,
            size,
            location,
            Options(fpu, False, False, most, code.recovers_flags),
            cache.serial,
            checked=fields[at.CHECKED // 8],
        )
        statistics.blocks += 1
        statistics.insns_translated += fields[at.COUNT // 8]
        rows = self.link_list[: 4 * fields[at.LINKS // 8]].tolist()
        links, sites = cache.links, block.sites
        for i in range(0, len(rows), 4):
            site = rows[i]
            links[site] = Link(site, rows[i + 1], rows[i + 2], block)
            sites.append(site)
        cache.register(block, self.page_list[: fields[at.PAGE_COUNT // 8]].tolist())
        if is_timed:  # without what _supply has counted
            spent = time.thread_time() - statistics.translate_seconds - begun
            statistics.translate_seconds += spent * _TIMED
        return block

    def shows(self, address: int) -> bool:
        """Answer GuestCode.shows."""
        while (found := self.look(self.address, address)) < 0:
            if not self._supply(-found):
                return self.code.peek(address).is_shown
        return bool(found & at.SHOWN)

    def _supply(self, status: int) -> bool:
        """Tell compiled code what it missed; False if that is impossible."""
        started = time.thread_time()
        done = self._find(status)
        self.statistics.translate_seconds += time.thread_time() - started
        return done

    def _find(self, status: int) -> bool:
        fields = self.fields
        if status == at.NEED_PAGE:
            page = fields[at.MISSING // 8]
            if page in self.code.open_pages:
                return False
            found = self.pages.get(page) or self.code.read_page(page)
            if len(found) != PAGE_SIZE or page not in self.pages:
                return False
            self.pages.tell(page, found)
            return True
        if status == at.NEED_SHAPE:
            low, high = (fields[f // 8] & _MASK for f in (at.KEY_LOW, at.KEY_HIGH))
            return self._add_shape(low, high)
        if status == at.NEED_STENCIL:
            return self._add_stencil(fields[at.MISSING // 8], fields[at.MISSING2 // 8])
        return False

    # -- tables ------------------------------------------------------------------------------------
    def _add_shape(self, low: int, high: int) -> bool:
        if len(self.shapes) * 2 >= _SHAPES_SIZE:
            return False
        key = (low.to_bytes(8, "little") + high.to_bytes(8, "little"))[: high >> 56]
        facts = codestore.find_facts(key)
        if facts is None:
            facts = at.facts(shape_of(key))
            codestore.keep_facts(key, facts)
        row = bytearray(struct.pack("<5q128x", *facts, len(self.shapes)))
        self.blobs.append(row)
        self.shapes.append(key)
        address = native.address_of(row)
        self.rows.append(address)
        _insert(self.shape_table, _SHAPES_SIZE - 1, low, high, low ^ high * _FACTOR, address)
        return True

    def _add_stencil(self, number: int, what: int) -> bool:
        live, jump = what & 0xFF, what >> 8
        setter = self.shapes[number]
        keys = (setter, self.shapes[jump - 1]) if jump else (setter,)
        stencil = STORE.find(Request(keys, live))
        place = self._place(stencil) if stencil is not None else 0
        if not place:
            return False
        if not jump:
            ctypes.c_int64.from_address(self.rows[number] + at.S_SINGLE + 8 * live).value = place
            return True
        if self.pair_count * 2 >= _PAIRS_SIZE:
            return False
        self.pair_count += 1
        row, key = self.rows[number], self.rows[jump - 1] << 4 | live
        _insert(self.pair_table, _PAIRS_SIZE - 1, row, key, row ^ key * _FACTOR, place)
        return True

    def _place(self, stencil: Stencil) -> int:
        """Return the address of a stencil as compiled code reads it; 0 if it cannot."""
        rows: list[int] = []
        for hole in stencil.holes:
            rows += (hole.offset, hole.size, hole.insn, hole.slot, hole.addend)
        for branch in stencil.branches:
            rows += (branch.offset, branch.addend)
            if branch.insn >= 0:
                rows += (at.B_LINK, branch.insn, branch.slot)
            elif branch.symbol == NEXT:
                rows += (at.B_NEXT, 0, 0)
            elif branch.symbol in self.cache.arena.symbols:
                rows += (at.B_PLACE, self.cache.arena.symbols[branch.symbol], 0)
            elif branch.symbol == "over":
                rows += (at.B_LABEL, 0, 0)
            else:
                return 0
        for fault in stencil.faults:
            rows += fault
        for offset, addend, data in stencil.constants:
            rows += (offset, addend, self.cache.constant(data))
        sizes = (len(stencil.code), len(stencil.cold), len(stencil.holes), len(stencil.branches))
        counts = (len(stencil.faults), len(stencil.constants))
        numbers = (*sizes, *counts, *rows)
        blob = bytearray(struct.pack(f"<{len(numbers)}q", *numbers) + stencil.code + stencil.cold)
        self.blobs.append(blob)
        return native.address_of(blob)

    def recipe(self, number: int) -> tuple[Shape, Slots] | None:
        """Return the insn of a recipe that compiled code named, or None."""
        index = number - RECIPE_FLAG
        if not 0 <= index < self.fields[at.RECIPE_COUNT // 8]:
            return None
        shape, *slots = struct.unpack_from("<7q", self.recipe_rows, 56 * index)
        return shape_of(self.shapes[shape]), [*slots, *[0] * (len(SLOT_INDEX) - 6)]


def _insert(table: bytearray, mask: int, low: int, high: int, mixed: int, value: int) -> None:
    """Add an entry to a hash table that compiled code searches."""
    index = _arithmetic(mixed * _FACTOR) >> 40 & mask
    while any(table[32 * index + 16 : 32 * index + 24]):
        index = (index + 1) & mask
    struct.pack_into("<QQQ", table, 32 * index, low, high & _MASK, value)


def _arithmetic(number: int) -> int:
    """Return a number as signed 64 bits."""
    number &= _MASK
    return number - (1 << 64) if number >> 63 else number


def make(engine: Engine) -> Quick | None:
    """Return the compiled translator of an engine whose blocks are made of stencils."""
    return Quick(engine) if isinstance(engine.strategy, Stencils) else None
