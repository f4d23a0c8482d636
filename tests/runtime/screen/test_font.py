"""The character generators and code page 437."""

from __future__ import annotations

import pytest

from runtime.screen.codepage import CODES, CP437, shown
from runtime.screen.font import HEIGHTS, font
from tests.generate import fonts

pytestmark = pytest.mark.particular


def glyph(character: str, height: int) -> list[int]:
    """Return the rows of a character."""
    start = CODES[character] * height
    return list(font(height)[start : start + height])


def test_code_page() -> None:
    """256 different characters, of which those of Python's own table that it knows."""
    assert len(set(CP437)) == 256
    assert CP437[128:] == bytes(range(128, 256)).decode("cp437")
    assert shown(b"A\0\xff\x01\xb3") == "A  ☺│"


@pytest.mark.parametrize("height", HEIGHTS)
def test_each_character_has_its_glyph(height: int) -> None:
    """No two look the same, but those that show nothing."""
    assert len(font(height)) == 256 * height
    seen: dict[tuple[int, ...], str] = {}
    for character in CP437:
        rows = tuple(glyph(character, height))
        if not any(rows):
            assert character in "\0 \xa0", character
        else:
            same = seen.setdefault(rows, character)
            assert same == character or {same, character} == {"Θ", "θ"}, same + character


@pytest.mark.parametrize("height", HEIGHTS)
def test_lines_join(height: int) -> None:
    """Each arm of a box drawing character reaches its edge, where the neighbour's begins."""
    for character in CP437:
        if (found := fonts.arms(character)) is None:
            continue
        rows = glyph(character, height)
        plain = {1: glyph("│", height)[0], 2: glyph("║", height)[0]}
        assert rows[0] == plain.get(found.get("UP", 0), 0), character
        assert rows[-1] == plain.get(found.get("DOWN", 0), 0), character
        for arm, bit in (("LEFT", 0x80), ("RIGHT", 1)):
            edge = [bool(row & bit) for row in rows]
            line = {1: "─", 2: "═"}.get(found.get(arm, 0))
            expected = (
                [bool(row & bit) for row in glyph(line, height)] if line else [False] * height
            )
            assert edge == expected, character
