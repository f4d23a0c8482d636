"""What terminals send becomes keys."""

from __future__ import annotations

import pytest

from jitemu.display.keys import parse

pytestmark = pytest.mark.particular


@pytest.mark.parametrize(
    ("data", "chords"),
    [
        (b"a", "a"),
        (b"A\r", "shift-a ret"),
        (b"\x03", "ctrl-c"),
        (b"\x7f\t", "backspace tab"),
        (b"\x1b[A\x1b[B\x1bOC", "up down right"),
        (b"\x1bOP\x1b[15~\x1b[24~", "f1 f5 f12"),
        (b"\x1b[[A\x1b[[E", "f1 f5"),
        (b"\x1b[1;5C\x1b[3;2~", "ctrl-right shift-delete"),
        (b"\x1b[1;8P", "shift-alt-ctrl-f1"),
        (b"\x1bx\x1bX", "alt-x alt-shift-x"),
        (b"\x1b[Z", "shift-tab"),
        (b"\x1b", "esc"),
        (b"\x1b\x1b[A", "esc up"),
        ("aéb☺".encode(), "a b"),
        (b"\x1b[999~q", "q"),
        (b"\x1c\x1e\0", "ctrl-backslash ctrl-6 ctrl-spc"),
    ],
)
def test_sequences(data: bytes, chords: str) -> None:
    """Whole, and byte by byte, as they may arrive."""
    expected = [tuple(chord.split("-")) for chord in chords.split()]
    assert parse(data, is_all=True) == (expected, b"")
    found, pending = [], b""
    for i in range(len(data)):
        some, pending = parse(pending + data[i : i + 1])
        found += some
    some, pending = parse(pending, is_all=True)
    assert found + some == expected
    assert pending == b""


def test_nonsense_has_an_end() -> None:
    """Any bytes are taken."""
    for a in range(256):
        for b in (0x1B, 0x5B, 0x4F, 0x41, 0xC3, 0xFF):
            assert parse(bytes([0x1B, a, b, a]), is_all=True)[1] == b""
