"""Bytes that a terminal sends -> keys to press.

Sequences are those of xterm (T. Dickey, *XTerm Control Sequences*, "PC-Style Function Keys") and of
the Linux console.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.devices.keys import CHARACTERS

ESCAPE = 0x1D  # Ctrl-], before a command to jitemu
_FINALS = {
    "A": "up", "B": "down", "C": "right", "D": "left", "E": "kp_5", "F": "end", "H": "home",
    "P": "f1", "Q": "f2", "R": "f3", "S": "f4", "M": "kp_enter", "j": "asterisk", "k": "kp_add",
    "l": "kp_comma", "m": "kp_subtract", "n": "kp_decimal", "o": "kp_divide",
}  # fmt: skip
_NUMBERS = {
    1: "home", 2: "insert", 3: "delete", 4: "end", 5: "pgup", 6: "pgdn", 7: "home", 8: "end",
    11: "f1", 12: "f2", 13: "f3", 14: "f4", 15: "f5", 17: "f6", 18: "f7", 19: "f8", 20: "f9",
    21: "f10", 23: "f11", 24: "f12", 29: "menu",
}  # fmt: skip
_SEQUENCE = re.compile(rb"\x1b(?:\[\[([A-E])|\[([0-9;]*)([~A-Za-z])|O([0-9;]*)([A-Za-z]))")
_UNFINISHED = re.compile(rb"\x1b(?:\[\[?[0-9;]*|O[0-9;]*)?\Z")


def parse(data: bytes, *, is_all: bool = False) -> tuple[list[tuple[str, ...]], bytes]:
    """Return the chords that bytes stand for, and what is the beginning of a sequence still.

    With *is_all* nothing follows: an ESC that begins nothing is the key.
    """
    found: list[tuple[str, ...]] = []
    while data:
        if data[0] != 0x1B:
            chords, data = _characters(data, is_all)
            found += chords
            if data and data[0] != 0x1B:
                return found, data
            continue
        match = _SEQUENCE.match(data)
        if match:
            found += _sequence(match)
            data = data[match.end() :]
        elif _UNFINISHED.match(data) and not is_all:
            return found, data
        elif len(data) > 1 and data[1] != 0x1B:  # Alt and a character
            chords = _characters(data[1:2], True)[0]
            found += [("alt", *chord) for chord in chords]
            data = data[2:]
        else:
            found.append(("esc",))
            data = data[1:]
    return found, b""


def _characters(data: bytes, is_all: bool) -> tuple[list[tuple[str, ...]], bytes]:
    """Take characters up to the next ESC; those without a key are left out."""
    end = data.find(b"\x1b")
    taken, rest = (data, b"") if end < 0 else (data[:end], data[end:])
    if not rest and not is_all:  # a character of several bytes may be on its way
        for count in range(1, min(len(taken), 3) + 1):
            lead = taken[-count]
            if lead >= 0xC0:
                if count < (4 if lead >= 0xF0 else 3 if lead >= 0xE0 else 2):
                    taken, rest = taken[:-count], taken[-count:]
                break
    text = taken.decode("utf-8", "ignore")
    return [chord for character in text if (chord := _chord(character))], rest


def _chord(character: str) -> tuple[str, ...] | None:
    special = {"\r": ("ret",), "\n": ("ctrl", "j"), "\x7f": ("backspace",), "\x08": ("ctrl", "h")}
    more = {"\0": ("ctrl", "spc"), "\x1c": ("ctrl", "backslash"), "\x1d": ("ctrl", "bracket_right")}
    last = {"\x1e": ("ctrl", "6"), "\x1f": ("ctrl", "minus")}
    return {**special, **more, **last}.get(character) or CHARACTERS.get(character)


def _sequence(match: re.Match[bytes]) -> Iterator[tuple[str, ...]]:
    console, parameters, final, keypad_parameters, keypad = match.groups()
    if console:  # F1 to F5 of the Linux console
        yield (f"f{console[0] - 0x40}",)
        return
    numbers = [int(n or 0) for n in (parameters or keypad_parameters or b"").split(b";")]
    letter = (final or keypad).decode()
    if letter == "Z":
        yield ("shift", "tab")
        return
    key = _NUMBERS.get(numbers[0]) if letter == "~" else _FINALS.get(letter)
    if key is None:
        return
    bits = max(numbers[1] - 1, 0) if len(numbers) > 1 else 0
    held = [name for bit, name in ((1, "shift"), (2, "alt"), (4, "ctrl")) if bits & bit]
    yield (*held, key)
