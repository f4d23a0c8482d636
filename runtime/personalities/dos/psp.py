"""Program segment prefixes and environments, as bytes.

Source: Ralf Brown's Interrupt List, INT 21h AH=26h (format of PSP).
"""

from __future__ import annotations

import struct

from runtime.personalities.dos.handles import CLOSED

SIZE_PARAGRAPHS = 16
TERMINATE, BREAK, CRITICAL, PARENT = 0x0A, 0x0E, 0x12, 0x16
ENVIRONMENT, STACK, FCB1, FCB2, TAIL = 0x2C, 0x2E, 0x5C, 0x6C, 0x80
JFT, JFT_SIZE = 0x18, 20
_INT20, _INT21_RETF = b"\xcd\x20", b"\xcd\x21\xcb"
TAIL_MAX = 126


def make(
    segment: int,
    end: int,
    parent: int,
    environment: int,
    vectors: tuple[int, int, int],
    version: tuple[int, int],
) -> bytes:
    """Return a PSP of 256 bytes; *vectors* are those of INT 22h, 23h and 24h (far pointers)."""
    psp = bytearray(256)
    psp[0:2] = _INT20
    struct.pack_into("<H", psp, 2, end)
    # The far call of CP/M programs, to 0000:00C0: its offset also tells the segment's size.
    struct.pack_into("<BHH", psp, 5, 0x9A, 0xFEF0, 0xF01D)
    struct.pack_into("<III", psp, TERMINATE, *vectors)
    struct.pack_into("<H", psp, PARENT, parent)
    psp[JFT : JFT + JFT_SIZE] = bytes([CLOSED]) * JFT_SIZE
    struct.pack_into("<H", psp, ENVIRONMENT, environment)
    struct.pack_into("<HHH", psp, 0x32, JFT_SIZE, JFT, segment)
    struct.pack_into("<I", psp, 0x38, 0xFFFFFFFF)
    struct.pack_into("<BB", psp, 0x40, *version)
    psp[0x50:0x53] = _INT21_RETF
    for at in (FCB1, FCB2):
        psp[at + 1 : at + 12] = b" " * 11
    psp[TAIL : TAIL + 2] = b"\0\r"
    return bytes(psp)


def tail(text: bytes) -> bytes:
    """Return a command tail as it stands in a PSP: its length, the text, a carriage return."""
    text = text[:TAIL_MAX]
    return bytes([len(text)]) + text + b"\r"


def environment(variables: list[bytes], program: bytes) -> bytes:
    """Return an environment block: NAME=value strings, then the program's own path."""
    strings = b"".join(v + b"\0" for v in variables) or b"\0"
    return strings + b"\0" + b"\1\0" + program + b"\0"


def variables(block: bytes) -> bytes:
    """Return the strings of an environment block with the zero byte behind them."""
    end = block.find(b"\0\0")
    return block[: end + 2] if end >= 0 else b"\0\0"
