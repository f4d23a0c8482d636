"""The FP part of a signal frame: an FXSAVE image in, fsave + fxsave + xstate bytes out, and back.

Layout as a Linux 6.x x86-64 kernel writes it for 32-bit tasks on a CPU whose XSAVE covers x87 and
SSE: struct fregs_state (112 bytes), the 512-byte FXSAVE area with the software bytes at 464, the
64-byte XSAVE header and the magic number that ends it.
"""

from __future__ import annotations

import struct

FREGS_SIZE = 112
FXSAVE_SIZE = 512
USER_SIZE = FXSAVE_SIZE + 64
EXTENDED_SIZE = FREGS_SIZE + USER_SIZE + 4
MAGIC1, MAGIC2 = 0x46505853, 0x46505845
FEATURES = 3  # x87 and SSE
SW_BYTES = 464
MXCSR_MASK = 0xFFFF


def _initial() -> bytes:
    """Return the FXSAVE image of a fresh FPU."""
    image = bytearray(FXSAVE_SIZE)
    struct.pack_into("<H", image, 0, 0x37F)
    struct.pack_into("<II", image, 24, 0x1F80, MXCSR_MASK)
    return bytes(image)


INITIAL = _initial()


def _tags_to_i387(fxsave: bytes) -> int:
    """Expand the abridged tag byte to two bits per register, as FSAVE would have them."""
    top = struct.unpack_from("<H", fxsave, 2)[0] >> 11 & 7
    abridged = fxsave[4]
    tags = 0xFFFF0000
    for physical in range(8):
        tag = 3
        if abridged >> physical & 1:
            offset = 32 + 16 * (physical - top & 7)
            mantissa, sign_exponent = struct.unpack_from("<QH", fxsave, offset)
            exponent = sign_exponent & 0x7FFF
            if exponent == 0x7FFF:
                tag = 2
            elif exponent == 0:
                tag = 1 if mantissa == 0 else 2
            else:
                tag = 0 if mantissa >> 63 else 2
        tags |= tag << (2 * physical)
    return tags


def _tags_from_i387(twd: int) -> int:
    """Abridge a full tag word: one bit per register that is not empty."""
    return sum(1 << i for i in range(8) if twd >> (2 * i) & 3 != 3)


def build(fxsave: bytes, cs: int, ds: int) -> bytes:
    """Return the EXTENDED_SIZE bytes that a signal frame holds for this FPU state."""
    control, status = struct.unpack_from("<HH", fxsave)
    ip, dp = struct.unpack_from("<I", fxsave, 8)[0], struct.unpack_from("<I", fxsave, 16)[0]
    env = struct.pack(
        "<7I",
        0xFFFF0000 | control,
        0xFFFF0000 | status,
        _tags_to_i387(fxsave),
        ip,
        cs,
        dp,
        0xFFFF0000 | ds,
    )
    registers = b"".join(fxsave[32 + 16 * i : 42 + 16 * i] for i in range(8))
    image = bytearray(fxsave[:FXSAVE_SIZE])
    # FXSAVE64 stores 64-bit instruction and data pointers, so the selector fields are zero.
    struct.pack_into("<I", image, 12, 0)
    struct.pack_into("<I", image, 20, 0)
    struct.pack_into("<I", image, 28, MXCSR_MASK)
    image[416:FXSAVE_SIZE] = bytes(FXSAVE_SIZE - 416)
    struct.pack_into("<IIQI", image, SW_BYTES, MAGIC1, EXTENDED_SIZE, FEATURES, USER_SIZE)
    header = struct.pack("<QQ", FEATURES, 0).ljust(64, b"\0")
    tail = struct.pack("<I", MAGIC2)
    return env + registers + struct.pack("<HH", status, 0) + bytes(image) + header + tail


def parse(frame: bytes) -> bytes:
    """Return the FXSAVE image that `sigreturn` loads from a frame's FP bytes.

    The x87 part comes from the fsave area, XMM registers and MXCSR from the fxsave area; a state
    component that the XSAVE header declares absent is initial.
    """
    control, status, twd, ip, cs, dp, ds = struct.unpack_from("<7I", frame)
    image = bytearray(frame[FREGS_SIZE : FREGS_SIZE + FXSAVE_SIZE])
    present = _present(frame)
    if not present & 2:
        image[160:288] = bytes(128)
        struct.pack_into("<I", image, 24, 0x1F80)
    mxcsr: int = struct.unpack_from("<I", image, 24)[0]
    if mxcsr & ~MXCSR_MASK:
        raise ValueError("reserved MXCSR bits")
    struct.pack_into("<HHBBH", image, 0, control & 0xFFFF, status & 0xFFFF, 0, 0, cs >> 16)
    image[4] = _tags_from_i387(twd)
    struct.pack_into("<IIII", image, 8, ip, cs & 0xFFFF, dp, ds & 0xFFFF)
    struct.pack_into("<I", image, 28, MXCSR_MASK)
    for i in range(8):
        image[32 + 16 * i : 48 + 16 * i] = frame[28 + 10 * i : 38 + 10 * i] + bytes(6)
    image[416:FXSAVE_SIZE] = bytes(FXSAVE_SIZE - 416)
    return bytes(image)


def _present(frame: bytes) -> int:
    """Return the state components that the frame holds; 3 if it has no XSAVE part."""
    start = FREGS_SIZE
    magic, extended, features, size = struct.unpack_from("<IIQI", frame, start + SW_BYTES)
    if magic != MAGIC1 or size != USER_SIZE or extended != EXTENDED_SIZE or len(frame) < extended:
        return FEATURES
    if struct.unpack_from("<I", frame, start + USER_SIZE)[0] != MAGIC2:
        return FEATURES
    held: int = struct.unpack_from("<Q", frame, start + FXSAVE_SIZE)[0]
    return held & int(features)
