"""What is compiled already: found in memory, else asked for on disk once."""

from __future__ import annotations

from translator.tiers.stencil import Hole, Stencil
from translator.tiers.store import Fresh, Shelf, plain

STENCIL = Stencil(b"\x90", b"", (Hole(0, 4, 0, 1, -4),), (), (), ((1, 2, b"x"),))


def test_source_is_asked_once() -> None:
    asked = []

    def source(key: bytes) -> object:
        asked.append(key)
        return plain(STENCIL) if key == b"there" else None

    shelf = Shelf[bytes](10)
    shelf.source = source
    assert shelf.find(b"there") == STENCIL
    assert isinstance(shelf.find(b"there").holes[0], Hole)
    assert asked == [b"there"]
    assert shelf.find(b"not there") is None
    assert not shelf.fresh


def test_fresh_ones_are_taken_once() -> None:
    shelf = Shelf[bytes](10)
    shelf.add(b"key", STENCIL, 3)
    assert shelf.find(b"key") == STENCIL
    assert shelf.take_fresh() == {b"key": Fresh(STENCIL, 3)}
    assert shelf.take_fresh() == {}
    assert shelf.find(b"key") == STENCIL
