"""Shapes and stencils that are kept for the next run of a program, and taken as they are."""

from __future__ import annotations

import ctypes
import random
import struct
from pathlib import Path

import pytest

from runtime.blocktable import BlockTable
from runtime.images import IMAGES_MAX, WORTH, Images
from runtime.quick import Quick
from tests.runtime.test_quick import Bench, places, text
from translator.quick import layout as at
from translator.tiers.stencil import Stencil

PROGRAM = b"the first page of a program"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use an empty cache directory for what is saved here; stencils come from memory."""
    monkeypatch.setenv("JITEMU_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def bench(code: bytes, name: bytes = PROGRAM) -> tuple[Bench, Quick]:
    made = Bench(code)
    made.engine.begin(name)
    assert made.engine.quick is not None
    return made, made.engine.quick


def test_next_run_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same blocks come out of an image, and no shape and no stencil is looked up."""
    code = text("flags")[:0x40000]
    spots = list(places(random.Random(6), len(code), 300))
    first, quick = bench(code)
    first.blocks(spots, is_quick=True)  # compiles what is missing
    quick.images.be_saved()
    made = first.blocks(spots, is_quick=True)
    assert sum(block != "none" for block in made) > 200
    quick.images.save()
    first.close()

    def fail(self: Quick, *arguments: int) -> bool:
        raise AssertionError("something is missing")

    second, quick = bench(code)
    monkeypatch.setattr(Quick, "_add_shape", fail)
    monkeypatch.setattr(Quick, "_add_stencil", fail)
    usable = [spot for spot, block in zip(spots, made, strict=True) if block != "none"]
    assert second.blocks(usable, is_quick=True) == [block for block in made if block != "none"]
    assert quick.images.loaded == 1
    second.close()


def test_images_are_a_programs_own() -> None:
    """Another program has none; runs that need more add to them, up to a limit."""
    code = text("flags")[:0x40000]
    spots = list(places(random.Random(7), len(code), 40 * (IMAGES_MAX + 2)))
    for number in range(IMAGES_MAX + 2):
        made, quick = bench(code)
        made.blocks(spots[: 40 * (number + 1)], is_quick=True)
        quick.images.save()
        assert quick.images.loaded <= min(number + 1, IMAGES_MAX)
        made.close()
    assert quick.images.loaded > 2
    other, quick = bench(code, b"another one")
    other.blocks(spots[:3], is_quick=True)
    assert quick.images.loaded == 0
    other.close()


def test_shapes_only() -> None:
    """A run that needed new shapes, but no stencils of them, leaves an image too."""
    made, quick = bench(bytes(0x1000))
    for number in range(WORTH):
        assert quick.images.add_shape(struct.pack("<2Q4q", number, 3 << 56, 0, 0, 0, 0))
    quick.images.save()
    quick.reset()
    quick.images.load()
    assert quick.images.loaded == 1
    assert made.engine.cache.table.get(at.SHAPE_COUNT) == WORTH
    made.close()


def test_other_support_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image names places in the arena: where these differ, it is not taken."""
    code = text("flags")[:0x40000]
    spots = list(places(random.Random(8), len(code), 60))
    first, quick = bench(code)
    first.blocks(spots, is_quick=True)
    quick.images.save()
    assert quick.images.loaded == 1
    quick.images.check = b"elsewhere"
    quick.images.load()
    assert quick.images.loaded == 0
    first.close()


def constants_of(quick: Quick, number: int) -> list[bytes]:
    """Return what the constants of a shape's only stencil are, in the arena."""
    row = quick._row(number)
    (stencil,) = struct.unpack_from("<q", row, at.S_SINGLE + 8 * 15)
    head = struct.unpack("<6q", ctypes.string_at(stencil, 48))
    assert head[:6] == (8, 0, 0, 0, 0, 2)
    found = []
    for i in range(2):
        fields = ctypes.string_at(stencil + at.T_ROWS + at.CONSTANT_ROW * i, at.CONSTANT_ROW)
        _, _, place = struct.unpack("<3q", fields)
        assert place % 16 == 0
        found.append(bytes(quick.cache.arena.code[place : place + 16]))
    return found


def test_constants_come_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vector constants are placed anew wherever there is room."""
    monkeypatch.setattr("runtime.images.WORTH", 1)
    first, second = b"first constant..", b"another constant"
    shape = struct.pack("<2Q4q", 0x90, 1 << 56, 0, 0, 0, 0)
    stencil = Stencil(bytes(8), b"", (), (), (), ((0, -4, first), (4, -4, second)))
    made, quick = bench(bytes(0x1000))
    layout = quick._lay_out(stencil)
    assert layout is not None
    assert quick.images.add_shape(shape)
    assert quick.images.add_stencil([shape], 15, *layout)
    assert constants_of(quick, 0) == [first, second]
    quick.images.save()
    made.close()
    made, quick = bench(bytes(0x1000))
    quick.cache.constant(b"something before")
    quick.images.load()
    assert quick.images.loaded == 1
    assert constants_of(quick, 0) == [first, second]
    made.close()


def test_nothing_is_kept_twice() -> None:
    """What is needed again, because the tables were emptied, is one stencil."""
    code = text("flags")[:0x40000]
    spots = list(places(random.Random(9), len(code), 100))
    made, quick = bench(code)
    made.blocks(spots, is_quick=True)
    fresh, shapes = len(quick.images.fresh), len(quick.images.fresh_shapes)
    assert fresh > 50
    for _ in range(3):
        made.blocks(spots, is_quick=True)  # after emptying the tables
    assert (len(quick.images.fresh), len(quick.images.fresh_shapes)) == (fresh, shapes)
    made.close()


def test_no_room_for_shapes() -> None:
    """What does not fit is left out, and nothing else is lost."""
    made, quick = bench(text("flags")[:0x1000])
    table: BlockTable = made.engine.cache.table
    quick.install(0x10000, 0)
    table.set(at.SHAPE_LIMIT, table.get(at.SHAPE_COUNT))
    images: Images = quick.images
    assert not images.add_shape(struct.pack("<2Q4q", 0x1234, 2 << 56, 0, 0, 0, 0))
    table.set(at.SHAPE_LIMIT, table.get(at.SHAPE_COUNT) + 1)
    assert images.add_shape(struct.pack("<2Q4q", 0x1234, 2 << 56, 0, 0, 0, 0))
    assert images.add_shape(struct.pack("<2Q4q", 0x1234, 2 << 56, 0, 0, 0, 0))
    assert table.get(at.SHAPE_COUNT) == table.get(at.SHAPE_LIMIT)
    made.close()
