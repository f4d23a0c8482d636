"""What the compiled translator knows of insns: shapes and stencils, as earlier runs left them.

A program finds what it needed before in one piece, an image, and adds to it: tables that are
copied, not parsed.  Without an image all is found piece by piece; images say nothing of the guest.
"""

from __future__ import annotations

import ctypes
import struct
from _blake2 import blake2b  # hashlib would load OpenSSL
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from runtime import codestore, native
from runtime.store.library import Library
from runtime.store.pack import Item
from translator.quick import layout as at
from translator.tiers.services import SERVICES
from translator.tiers.stencil import Request
from translator.tiers.store import STORE, plain, restore

if TYPE_CHECKING:
    from runtime.codecache import CodeCache

IMAGES_MAX = 8  # of one program: each run that needs much more adds one
WORTH = 24  # shapes and stencils that make saving worth while
_MAX = 1 << 15  # stencils that are kept to be saved
_ALIGN = 32  # of constants


class Fresh(NamedTuple):
    """A stencil that no image holds."""

    shapes: list[bytes]  # of its insn and of the jump behind it: rows of an image
    live: int
    blob: bytearray
    constants: list[tuple[int, bytes]]  # where its fields are, and what they mean


class Images:
    """The shapes and stencils of one engine, in the tables of its code cache."""

    def __init__(self, cache: CodeCache) -> None:
        self.cache = cache
        self.library: Library | None = None  # of the program; none: nothing is loaded or saved
        self.loaded = 0  # images of it
        # By shapes and live flags: each reset of the code cache makes the tables forget them, and
        # then the same are added again.
        self.fresh: dict[tuple[object, ...], Fresh] = {}
        self.fresh_shapes: dict[bytes, int] = {}  # also those that no stencil was needed of
        self.kept: list[bytearray] = []  # what addresses in the tables lead to
        self.address = cache.table.address
        arena = cache.arena
        symbols = repr(sorted(arena.symbols.items())).encode()
        self.check = blake2b(symbols, digest_size=16).digest()

        def function(name: str, count: int) -> ctypes._FuncPointer:
            arguments = [ctypes.c_int64] * (count + 1)
            return arena.function(name, ctypes.c_int64, *arguments, keep_gil=True)  # type: ignore[no-any-return]

        self._add_shape, self._add_stencil = function("add_shape", 2), function("add_stencil", 4)
        self._adopt_shapes, self._adopt = function("adopt_shapes", 3), function("adopt", 5)

    def begin(self, program: bytes) -> None:
        """Take images of a program from now on; *program* is something that only it has."""
        self.library = codestore.images(program)
        self.be_saved()

    def be_saved(self) -> None:
        """Leave what was needed so far to somebody else to save."""
        self.fresh, self.fresh_shapes = {}, {}

    def forget(self) -> None:
        """Forget all shapes and stencils, whose tables were emptied."""
        self.kept = []

    def add_shape(self, shape: bytes) -> bool:
        """Add a shape, as an image has it; False if there is no room."""
        if len(self.fresh_shapes) < _MAX:
            self.fresh_shapes.setdefault(shape, len(self.fresh_shapes))
        return bool(self._row(shape))

    def _row(self, shape: bytes) -> int:
        buffer = bytearray(shape)
        at_ = native.address_of(buffer)
        return int(self._add_shape(self.address, at_, at_ + 16))

    def add_stencil(
        self, shapes: list[bytes], live: int, blob: bytearray, constants: list[tuple[int, bytes]]
    ) -> bool:
        """Add a stencil, whose shapes are known; False if there is no room. Full."""
        for field, data in constants:
            struct.pack_into("<q", blob, field, self.cache.constant(data))
        rows = [self._row(shape) for shape in shapes]
        place = native.address_of(blob)
        jump = rows[1] if len(rows) > 1 else 0
        if not all(rows) or not self._add_stencil(self.address, rows[0], jump, live, place):
            return False
        self.kept.append(blob)
        if self.library is not None and len(self.fresh) < _MAX:
            self.fresh.setdefault((*shapes, live), Fresh(shapes, live, blob, constants))
        return True

    # -- on disk -----------------------------------------------------------------------------------
    def load(self) -> None:
        """Add what earlier runs of the program needed."""
        self.loaded = 0
        while self.library is not None and self.loaded < IMAGES_MAX:
            found = self.library.find(_key(self.loaded))
            if found is None or found[0] != self.check or len(found[4]) > self.cache.constants_left:
                return
            self._load(*found[1:5])
            for request, stencil in found[5]:
                STORE.keep(Request(*request), restore(stencil))
            self.loaded += 1

    def _load(self, shapes: bytes, stencils: bytes, codes: bytes, constants: bytes) -> None:
        count = len(shapes) // at.IMAGE_SHAPE
        rows = bytearray(8 * count + 8)
        # An image may have shapes only; nothing has no address.
        shape_rows, entries, code = (bytearray(b or bytes(8)) for b in (shapes, stencils, codes))
        place = self.cache.constant(constants, _ALIGN) if constants else 0
        row_list = native.address_of(rows)
        self._adopt_shapes(self.address, native.address_of(shape_rows), count, row_list)
        number = len(stencils) // at.IMAGE_STENCIL
        address = native.address_of(code)
        self._adopt(self.address, row_list, native.address_of(entries), number, address, place)
        self.kept.append(code)

    def save(self) -> None:
        """Keep what this run needed besides."""
        if (
            self.library is None
            or self.loaded >= IMAGES_MAX
            or len(self.fresh_shapes) + len(self.fresh) < WORTH
        ):
            return
        # Services too, or every run would have to open the packs of all stencils for them.
        used = (
            [] if self.loaded else [(r, s) for r, s in STORE.known.items() if r.keys[0] in SERVICES]
        )
        image = encode(dict(self.fresh_shapes), self.fresh.values())
        value = (self.check, *image, plain(tuple(used)))
        if self.library.save({_key(self.loaded): Item(value, 0)}):
            self.be_saved()
            self.loaded += 1


def _key(number: int) -> bytes:
    return b"image %10d" % number


def encode(shapes: dict[bytes, int], fresh: Iterable[Fresh]) -> tuple[bytes, bytes, bytes, bytes]:
    """Return shapes, stencils, their code and their constants as an image has them.

    *shapes* numbers some shapes; those of the stencils are added.
    """
    places: dict[bytes, int] = {}
    constants, codes, entries = bytearray(), bytearray(), []
    for item in fresh:
        numbers = [shapes.setdefault(shape, len(shapes)) for shape in item.shapes]
        jump = numbers[1] + 1 if len(numbers) > 1 else 0
        entries.append(struct.pack("<4I", numbers[0], jump, item.live, len(codes)))
        blob = bytearray(item.blob)
        for field, data in item.constants:
            if data not in places:
                constants += bytes(-len(constants) % _ALIGN)
                places[data] = len(constants)
                constants += data
            struct.pack_into("<q", blob, field, places[data])
        codes += blob + bytes(-len(blob) % 8)
    return b"".join(shapes), b"".join(entries), bytes(codes), bytes(constants)
