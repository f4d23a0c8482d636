"""Opcode rows of 80286 and 8086: which of the later ones they have, and their own aliases."""

from __future__ import annotations

# Two-byte opcodes of the 80286; the rest of the map begins with the 80386.
TWO_BYTE_286 = frozenset({b"\x0f\x00", b"\x0f\x01", b"\x0f\x02", b"\x0f\x03", b"\x0f\x06"})
# Opcodes that came with the 80186 or later: on the 8086 they are other names of what follows below.
NEW_186 = frozenset(
    {*(bytes([op]) for op in range(0x60, 0x70)), b"\xc0", b"\xc1", b"\xc8", b"\xc9", b"\x0f"}
)
_CODES = (
    "o",
    "no",
    "b",
    "nb",
    "e",
    "ne",
    "be",
    "nbe",
    "s",
    "ns",
    "p",
    "np",
    "l",
    "nl",
    "le",
    "nle",
)

# What the 8086 makes of the opcodes that Intel left out: the decoder ignores a bit.
ROWS_8086 = "\n".join(
    [
        "0f popseg cs",
        *(f"{0x60 + i:02x} j{code} Jb" for i, code in enumerate(_CODES)),
        "c0 retn Iw",
        "c1 ret",
        "c8 retfn Iw",
        "c9 retf",
    ]
)
