"""Opcode rows of 80286 and 8086: which of the later ones they have, and their own aliases."""

from __future__ import annotations

# Two-byte opcodes of the 80286; the rest of the map begins with the 80386.
TWO_BYTE_286 = frozenset({b"\x0f\x00", b"\x0f\x01", b"\x0f\x02", b"\x0f\x03", b"\x0f\x06"})
ROWS_286 = "0f 05 loadall ; system\n"
# Opcodes that came with the 80186 or later: on the 8086 they are other names of what follows below.
NEW_186 = frozenset(
    {*(bytes([op]) for op in range(0x60, 0x70)), b"\xc0", b"\xc1", b"\xc8", b"\xc9", b"\x0f"}
)
# mov from and to segment registers: there are four of them.
SEGMENT_MOVES, LAST_SEGMENT = frozenset({0x8C, 0x8E}), 3
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
_SEGMENTS = ("es", "cs", "ss", "ds")

# What the 8086 makes of the opcodes that Intel left out: the decoder ignores a bit.
ROWS_8086 = "\n".join(
    [
        "0f popseg cs",
        *(f"{0x60 + i:02x} j{code} Jb" for i, code in enumerate(_CODES)),
        "c0 retn Iw",
        "c1 ret",
        "c8 retfn Iw",
        "c9 retf",
        "ff /7 push Ev",
        "8f /r pop Ev",
        "c6 /r mov Eb,Ib",
        "c7 /r mov Ev,Iz",
        *(f"8c /{4 + i} mov Ew,{seg}" for i, seg in enumerate(_SEGMENTS)),
        "8e /1 movseg cs,Ew",
        *(f"8e /{4 + i} movseg {seg},Ew" for i, seg in enumerate(_SEGMENTS)),
        *(f"d{i} /6 setmo E{size},1" for i, size in ((0, "b"), (1, "v"))),
        *(f"d{i} /6 setmoc E{size},cl" for i, size in ((2, "b"), (3, "v"))),
        *(f"d{i:x} /r esc Ew" for i in range(8, 16)),
    ]
)
