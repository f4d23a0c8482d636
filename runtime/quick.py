"""The compiled translator (translator/quick) at work for one engine: its tables, and new blocks.

It knows shapes, stencils and pages once it was told of them; what it does not know it names, and
is asked again.  What it cannot do, the engine does the long way.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import time
from functools import cache
from typing import TYPE_CHECKING

from runtime import codestore, native
from runtime.blocktable import Block
from runtime.codecache import Full, key_of
from runtime.guestcode import CONTEXT_SHIFT, LOCATION_PRECISE, PAGE_SIZE
from runtime.images import Images
from runtime.writer import make_stub
from translator.mode import USER_CONTEXT, Context, Model, context_of, is_usual
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
_SHAPES_MAX = 1 << 13
_PAIRS_MAX = 1 << 14
_READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
_RECIPES_MAX = 1 << 18
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


_forms = cache(form_table)


class Pages(dict[int, bytes]):
    """Page number -> contents, mirrored in a table of addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.area, self.address = native.reserve(8 * _PAGES, _READ_WRITE)
        self.table = memoryview(self.area).cast("Q")

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
        table = cache.table
        self.fields, self.address = table.fields, table.address
        self.areas: list[mmap.mmap] = []  # what `reset` empties
        self.make = cache.arena.function(
            "install", ctypes.c_int64, *[ctypes.c_int64] * 3, keep_gil=True
        )
        self.absent: list[int] = []  # pages that cannot be read, while a block is made
        self.model = Model.MAX
        self._use_forms(self.model)
        self._set(at.PAGES, self.pages.address)
        self.recipe_rows = self._area(at.RECIPES, 56 * _RECIPES_MAX)
        self._set(at.RECIPE_LIMIT, _RECIPES_MAX)
        self.shapes = self._area(at.SHAPE_ROWS, at.SHAPE_SIZE * _SHAPES_MAX)
        self._set(at.SHAPE_LIMIT, _SHAPES_MAX)
        self._area(at.SHAPES, 32 * 2 * _SHAPES_MAX)
        self._set(at.SHAPES_MASK, 2 * _SHAPES_MAX - 1)
        self._area(at.PAIRS, 32 * 2 * _PAIRS_MAX)
        self._set(at.PAIRS_MASK, 2 * _PAIRS_MAX - 1)
        self._set(at.PAIR_LIMIT, _PAIRS_MAX)
        self.images = Images(cache)
        self._set(at.FPR0, FIELDS["fpr0"].offset)
        self._set(at.MOST, code.max_insns)
        self._set(at.RECOVERS, int(code.recovers_flags))
        self._set(at.LEAVE, cache.arena.symbols[LEAVE])
        self.reset()
        self.look = cache.arena.function("peek", *[ctypes.c_int64] * 3, keep_gil=True)
        code.shows = self.shows  # type: ignore[method-assign]
        recipes.quick, recipes.on_clear = self.recipe, self.reset

    def _area(self, field: int, size: int) -> memoryview:
        area, address = native.reserve(size, _READ_WRITE)
        self.areas.append(area)
        self._set(field, address)
        return memoryview(area)

    def _use_forms(self, model: Model) -> None:
        """Translate code of a processor from now on."""
        self.model, self.forms = model, bytearray(_forms(model))
        self._set(at.FORMS, native.address_of(self.forms))
        self._set(at.MODEL, model)

    def _set(self, field: int, value: int) -> None:
        self.fields[field // 8] = value

    def reset(self) -> None:
        """Forget all stencils: the arena was emptied, and their constants with it."""
        for area in self.areas:
            area.madvise(mmap.MADV_DONTNEED)
        self.blobs: list[bytearray] = []
        for field in (at.SHAPE_COUNT, at.PAIR_COUNT, at.RECIPE_COUNT):
            self._set(field, 0)
        self.images.forget()
        self.is_ready = False

    def _prepare(self) -> bool:
        """Tell of the services, once their stencils exist, and of what earlier runs needed."""
        self.images.load()
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
        if location & LOCATION_PRECISE or not is_usual(location >> CONTEXT_SHIFT):
            return None
        if not (self.is_ready or self._prepare()):
            return None
        context = context_of(location >> CONTEXT_SHIFT)
        if context.mode.model != self.model:
            self._use_forms(context.mode.model)
        self._set(at.BASE, context.cs_base)
        self._set(at.LIMIT, context.cs_limit)
        self.cache.check_room()
        make, address, key = self.make, self.address, key_of(location)
        try:
            while (number := make(address, key, fpu)) < 0:
                if number == -at.FULL or not self._supply(-number):
                    break
        finally:
            self._forget_absent()
        if number == -at.FULL:
            raise Full
        if number < 0:
            return None
        block = Block(self.cache.table, number)
        self.cache.register(block)
        return block

    def shows(self, address: int, context: Context = USER_CONTEXT) -> bool:
        """Answer GuestCode.shows."""
        if context.number:
            return self.code.peek(address, context).is_shown
        try:
            while (found := self.look(self.address, address)) < 0:
                if not self._supply(-found):
                    break
        finally:
            self._forget_absent()
        return self.code.peek(address).is_shown if found < 0 else bool(found & at.SHOWN)

    def _forget_absent(self) -> None:
        """Ask again for pages that could not be read: nobody says when they can be."""
        for page in self.absent:
            self.pages.table[page] = 0
        self.absent.clear()

    def _supply(self, status: int) -> bool:
        """Tell compiled code what it missed; False if that is impossible."""
        started = time.thread_time()
        done = self._find(status)
        self.statistics.add_translating(time.thread_time() - started)
        return done

    def _find(self, status: int) -> bool:
        fields = self.fields
        if status == at.NEED_PAGE:
            page = fields[at.MISSING // 8]
            if page in self.code.open_pages or self.code.is_marked(page):
                return False
            found = self.pages.get(page) or self.code.read_page(page)
            if not found:  # Look-ahead knows nothing of it then, and blocks end before it.
                self.pages.table[page] = at.ABSENT
                self.absent.append(page)
                return True
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
        key = _key(low, high)
        facts = codestore.find_facts(key)
        if facts is None:
            facts = at.facts(shape_of(key))
            codestore.keep_facts(key, facts)
        return self.images.add_shape(struct.pack("<2Q4q", low, high, *facts))

    def _row(self, number: int) -> bytes:
        return bytes(self.shapes[at.SHAPE_SIZE * number : at.SHAPE_SIZE * (number + 1)])

    def _shape_key(self, number: int) -> bytes:
        return _key(*struct.unpack_from("<2Q", self._row(number), at.S_KEY))

    def _add_stencil(self, number: int, what: int) -> bool:
        live, jump = what & 0xFF, what >> 8
        numbers = (number, jump - 1) if jump else (number,)
        stencil = STORE.derive(Request(tuple(self._shape_key(n) for n in numbers), live))
        if stencil is None:
            return False
        made = self._lay_out(stencil)
        if made is None:
            return False
        shapes = []
        for row in map(self._row, numbers):
            shapes.append(row[at.S_KEY : at.S_KEY + 16] + row[: at.FACTS_SIZE])
        return self.images.add_stencil(shapes, live, *made)

    def _place(self, stencil: Stencil) -> int:
        """Return the address of a stencil as compiled code reads it; 0 if it cannot."""
        made = self._lay_out(stencil)
        if made is None or made[1]:
            return 0
        self.blobs.append(made[0])
        return native.address_of(made[0])

    def _lay_out(self, stencil: Stencil) -> tuple[bytearray, list[tuple[int, bytes]]] | None:
        """Return a stencil as compiled code reads it, and the fields of its constants.

        None if it cannot: where it names what is not there.
        """
        rows: list[int] = []
        for hole in stencil.holes:
            rows += (hole.offset, hole.size, hole.insn, hole.slot, hole.addend)
        for branch in stencil.branches:
            rows += (branch.offset, branch.addend)
            if branch.insn >= 0:
                rows += (at.TO_LINK, branch.insn, branch.slot)
            elif branch.symbol == NEXT:
                rows += (at.TO_NEXT, 0, 0)
            elif branch.symbol in self.cache.arena.symbols:
                rows += (at.TO_PLACE, self.cache.arena.symbols[branch.symbol], 0)
            elif branch.symbol == "over":
                rows += (at.TO_LABEL, 0, 0)
            else:
                return None
        for fault in stencil.faults:
            rows += fault
        sizes = (len(stencil.code), len(stencil.cold), len(stencil.holes), len(stencil.branches))
        counts = (len(stencil.faults), len(stencil.constants))
        fields = []
        for offset, addend, data in stencil.constants:
            rows += (offset, addend, 0)
            fields.append((8 * (len(sizes) + len(counts) + len(rows) - 1), data))
        numbers = (*sizes, *counts, *rows)
        blob = struct.pack(f"<{len(numbers)}q", *numbers) + stencil.code + stencil.cold
        return bytearray(blob), fields

    def recipe(self, number: int) -> tuple[Shape, Slots] | None:
        """Return the insn of a recipe that compiled code named, or None."""
        index = number - RECIPE_FLAG
        if not 0 <= index < self.fields[at.RECIPE_COUNT // 8]:
            return None
        shape, *slots = struct.unpack_from("<7q", self.recipe_rows, 56 * index)
        return shape_of(self._shape_key(shape)), [*slots, *[0] * (len(SLOT_INDEX) - 6)]


def _key(low: int, high: int) -> bytes:
    """Return a shape's key from its two numbers."""
    return (low.to_bytes(8, "little") + high.to_bytes(8, "little"))[: high >> 56]


def make(engine: Engine) -> Quick | None:
    """Return the compiled translator of an engine whose blocks are made of stencils."""
    return Quick(engine) if isinstance(engine.strategy, Stencils) else None
