"""Interesting operand values: integers, floats of three sizes, control words, whole FPU states."""

from __future__ import annotations

import struct
from random import Random

import numpy as np

from tests.native import layout

EDGES = (0, 1, 2, 3, 7, 8, 9, 10, 15, 16, 31, 32, 33, 63, 64, 99, 127, 128, 129, 255, 256)


def integer(rng: Random, width: int) -> int:
    """Return an integer of so many bits: often at an edge, sometimes sparse, sometimes random."""
    mask = (1 << width) - 1
    kind = rng.randrange(8)
    if kind == 0:
        return rng.choice(EDGES) & mask
    if kind == 1:
        return -rng.choice(EDGES) & mask
    if kind == 2:
        return ((1 << rng.randrange(width)) + rng.choice((-1, 0, 1))) & mask
    if kind == 3:
        byte = rng.choice((0x00, 0x7F, 0x80, 0xFF, 0x55, 0xAA, 0x99, 0x9A, 0x0F, 0xF0))
        return int.from_bytes(bytes([byte]) * (width // 8), "little")
    if kind == 4:
        return rng.getrandbits(width) & rng.getrandbits(width) & rng.getrandbits(width)
    return rng.getrandbits(width)


SPECIAL32 = (0x00000000, 0x80000000, 0x3F800000, 0xBF800000, 0x7F800000, 0xFF800000, 0x7FC00000)
SPECIAL32 += (0xFFC00001, 0x7FA00000, 0xFF812345, 0x00000001, 0x807FFFFF, 0x00800000, 0x7F7FFFFF)
SPECIAL32 += (0x4EFFFFFF, 0x4F000000, 0xCF000000, 0xCF000001, 0x3F000000, 0x3FC00000, 0x4B000001)
SPECIAL64 = (0, 1 << 63, 0x3FF << 52, 0xBFF << 52, 0x7FF << 52, 0xFFF << 52, 0x7FF8 << 48)
SPECIAL64 += (0xFFF8000000000001, 0x7FF4000000000000, 0xFFF0000000001234, 1, 0x800FFFFFFFFFFFFF)
SPECIAL64 += (0x0010000000000000, 0x7FEFFFFFFFFFFFFF, 0x41DFFFFFFFC00000, 0x41E0000000000000)
SPECIAL64 += (0xC1E0000000000000, 0xC1E0000000200000, 0x3FE0000000000000, 0x43E0000000000000)
SPECIAL64 += (0x36A0000000000000, 0x47EFFFFFF0000000, 0x3810000000000000, 0x380FFFFFE0000000)
SPECIAL80 = (  # sign and exponent, significand
    (0, 0), (0x8000, 0), (0x3FFF, 1 << 63), (0xBFFF, 1 << 63), (0x7FFF, 1 << 63), (0xFFFF, 1 << 63),
    (0x7FFF, 3 << 62), (0xFFFF, 3 << 62), (0x7FFF, (5 << 61) + 1), (0x7FFF, (1 << 63) + 1),
    (0, 1), (0x8000, (1 << 63) - 1), (0, 1 << 63), (0x8000, (1 << 63) + 5), (1, 1 << 63),
    (0x7FFE, (1 << 64) - 1), (0xFFFE, (1 << 64) - 1), (0x4000, 0), (0x7FFF, 0), (0x3FFF, 1),
    (0xC123, (1 << 62) + 9), (0x3FFE, 1 << 63), (0x4000, 0xC90FDAA22168C235), (0x403D, 1 << 63),
    (0xC03E, 1 << 63), (0x403E, (1 << 63) + 1), (0x401D, 0xFFFFFFFE00000000), (0xC01E, 1 << 63),
    (0x400E, 0xFFFF << 48), (0x3F69, 1 << 63), (0x3BCC, 1 << 63), (0x3C00, (1 << 64) - 1),
    (0x43FE, 0xFFFFFFFFFFFFFC00), (0x407E, 0xFFFFFF8000000000), (0x3F81, 1 << 63), (0x7FFF, 3),
)  # fmt: skip


def float32(rng: Random) -> int:
    """Return the bits of a float: special, of moderate size, or anything."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice(SPECIAL32)
    if kind == 1:
        return rng.getrandbits(32)
    if kind == 2:
        return struct.unpack("<I", struct.pack("<f", rng.randint(-70000, 70000) / 4))[0]
    return rng.getrandbits(1) << 31 | rng.randint(100, 155) << 23 | rng.getrandbits(23)


def float64(rng: Random) -> int:
    """Return the bits of a double."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice(SPECIAL64)
    if kind == 1:
        return rng.getrandbits(64)
    if kind == 2:
        return struct.unpack("<Q", struct.pack("<d", rng.randint(-70000, 70000) / 4))[0]
    return rng.getrandbits(1) << 63 | rng.randint(990, 1060) << 52 | rng.getrandbits(52)


def float80(rng: Random) -> bytes:
    """Return an x87 register: special values include the encodings that CPUs reject."""
    kind = rng.randrange(4)
    if kind == 0:
        head, fraction = rng.choice(SPECIAL80)
    elif kind == 1:
        head, fraction = rng.getrandbits(16), rng.getrandbits(64) | 1 << 63
    elif kind == 2:
        number = rng.randint(1, 1 << rng.randint(1, 66))
        size = number.bit_length()
        head = 0x3FFF + size - 1 | rng.getrandbits(1) << 15
        fraction = (number << 64 >> size) & ((1 << 64) - 1)
    else:
        head = rng.getrandbits(1) << 15 | 0x3FFF + rng.randint(-70, 70)
        fraction = rng.getrandbits(64) | 1 << 63
        if rng.random() < 0.3:
            fraction &= -1 << rng.randint(8, 62)
    return struct.pack("<QH", fraction | (0 if kind != 3 else 1 << 63), head)


def bcd(rng: Random) -> bytes:
    """Return a packed decimal, mostly valid."""
    digits = [rng.randrange(10) | rng.randrange(10) << 4 for _ in range(9)]
    if rng.random() < 0.2:
        digits[rng.randrange(9)] = rng.getrandbits(8)
    return bytes([*digits, rng.choice((0, 0x80, 0, 0x80, rng.getrandbits(8)))])


def vector(rng: Random, size: int = 16) -> bytes:
    """Return the bytes of an XMM register or MMX register: floats, doubles or integers."""
    kind = rng.randrange(5)
    if kind < 2:
        lanes = [float32(rng).to_bytes(4, "little") for _ in range(size // 4)]
    elif kind == 2:
        lanes = [float64(rng).to_bytes(8, "little") for _ in range(size // 8)]
    else:
        step = rng.choice((1, 2, 4, 8))
        lanes = [integer(rng, 8 * step).to_bytes(step, "little") for _ in range(size // step)]
    return b"".join(lanes)


def control_word(rng: Random) -> int:
    """Return an x87 control word; mostly everything is masked."""
    masks = 0x3F if rng.random() < 0.85 else rng.getrandbits(6)
    precision = rng.choice((3, 3, 3, 0, 2))
    return 0x40 | masks | precision << 8 | rng.randrange(4) << 10


def status_word(rng: Random, control: int) -> int:
    """Return an x87 status word that fits the control word: TOP, conditions, old exceptions."""
    flags = rng.getrandbits(6) if rng.random() < 0.25 else 0
    if rng.random() < 0.93:
        flags &= control  # nothing is pending
    summary = 0x8080 if flags & ~control & 0x3F else 0
    stack_fault = 0x40 if flags & 1 and rng.random() < 0.3 else 0
    conditions = rng.getrandbits(16) & 0x4700
    return flags | stack_fault | summary | conditions | rng.randrange(8) << 11


def sse_control(rng: Random) -> int:
    """Return an MXCSR; mostly everything is masked."""
    masks = 0x1F80 if rng.random() < 0.85 else rng.getrandbits(6) << 7
    flags = rng.getrandbits(6) if rng.random() < 0.2 else 0
    flush = rng.choice((0, 0, 0, 0x40, 0x8000, 0x8040))
    return masks | flags | rng.randrange(4) << 13 | flush


def fx_image(rng: Random) -> bytes:
    """Return a random FXSAVE image."""
    image = bytearray(512)
    control = control_word(rng)
    tags = rng.choice((0xFF, 0xFF, 0, rng.getrandbits(8), rng.getrandbits(8)))
    struct.pack_into("<HHB", image, 0, control, status_word(rng, control), tags)
    struct.pack_into("<I", image, 24, sse_control(rng))
    for slot in range(8):
        image[32 + 16 * slot : 42 + 16 * slot] = float80(rng)
        image[160 + 16 * slot : 176 + 16 * slot] = vector(rng)
    return bytes(image)


DEFAULT_FX = bytes(np.asarray(layout.default_fx()))
