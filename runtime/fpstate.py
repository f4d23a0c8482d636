"""x87 and SSE state <-> the images that insns and signal frames use. Bytes in, bytes out.

`state` is the state buffer of translator/state.py as a memoryview of bytes.  The status word is
spread over the fields fsw (exceptions), fcc (C0 C2 C3), fc1 (C1) and fpu (TOP, tags).
"""

from __future__ import annotations

import struct

from translator.state import FIELDS

FXSAVE_SIZE, FSAVE_SIZE, FSAVE16_SIZE = 512, 108, 94
ENV_SIZE = {32: 28, 16: 14}
MXCSR_MASK = 0xFFFF
_FPU, _FCW, _FSW = (FIELDS[name].offset for name in ("fpu", "fcw", "fsw"))
_FCC, _FC1, _MXCSR = (FIELDS[name].offset for name in ("fcc", "fc1", "mxcsr"))
_IP, _OP, _DP = (FIELDS[name].offset for name in ("fpu_ip", "fpu_op", "fpu_dp"))
_FPR, _XMM = FIELDS["fpr0"].offset, FIELDS["xmm0"].offset
_EXCEPTIONS, _ES_B = 0x3F, 0x8080


def _get(state: memoryview, at: int, size: int = 2) -> int:
    return int.from_bytes(state[at : at + size], "little")


def _put(state: memoryview, at: int, value: int, size: int = 2) -> None:
    state[at : at + size] = value.to_bytes(size, "little")


# -- words -----------------------------------------------------------------------------------------
def status(state: memoryview) -> int:
    """Return the status word."""
    conditions = state[_FCC] & 0x45 | state[_FC1] & 2
    return _get(state, _FSW) | conditions << 8 | _get(state, _FPU) >> 8 << 11


def set_status(state: memoryview, word: int) -> None:
    """Set the status word, TOP included; ES follows from flags and masks (set FCW first)."""
    pending = word & ~_get(state, _FCW) & _EXCEPTIONS
    _put(state, _FSW, word & 0x7F | (_ES_B if pending else 0))
    state[_FCC], state[_FC1] = word >> 8 & 0x45, word >> 8 & 2
    _put(state, _FPU, (word >> 11 & 7) << 8 | _get(state, _FPU) & 0xFF)


def set_control(state: memoryview, word: int) -> None:
    """Set the control word; reserved bits read as the hardware has them."""
    _put(state, _FCW, word & 0x1F3F | 0x40)


def initialise(state: memoryview) -> None:
    """Do what FNINIT does."""
    set_control(state, 0x37F)
    _put(state, _FPU, 0)
    set_status(state, 0)
    set_pointers(state, 0, 0, 0)


def set_pointers(state: memoryview, ip: int, dp: int, op: int) -> None:
    """Set the addresses of the last insn and its operand, and its opcode."""
    _put(state, _IP, ip, 4)
    _put(state, _DP, dp, 4)
    _put(state, _OP, op & 0x7FF)


def register(state: memoryview, physical: int) -> bytes:
    """Return the 10 bytes of a physical register."""
    at = _FPR + 16 * physical
    return bytes(state[at : at + 10])


def set_register(state: memoryview, physical: int, value: bytes) -> None:
    """Set a physical register from its 10 bytes."""
    at = _FPR + 16 * physical
    state[at : at + 10] = value


def tag_word(state: memoryview) -> int:
    """Return the full tag word: 0 valid, 1 zero, 2 special, 3 empty, two bits a register."""
    filled = _get(state, _FPU) & 0xFF
    word = 0
    for i in range(8):
        tag = _class(register(state, i)) if filled >> i & 1 else 3
        word |= tag << 2 * i
    return word


def _class(value: bytes) -> int:
    exponent = int.from_bytes(value[8:], "little") & 0x7FFF
    if exponent == 0 and not any(value[:8]):
        return 1
    return 0 if 0 < exponent < 0x7FFF and value[7] & 0x80 else 2


def _set_tags(state: memoryview, word: int) -> None:
    filled = sum(1 << i for i in range(8) if word >> 2 * i & 3 != 3)
    _put(state, _FPU, _get(state, _FPU) & 0x700 | filled)


# -- FNSTENV, FNSAVE -------------------------------------------------------------------------------
def fnstenv(state: memoryview, width: int = 32) -> bytes:
    """Return the environment in the 32- or 16-bit protected-mode format; selectors are 0."""
    words = _get(state, _FCW), status(state), tag_word(state)
    ip, dp, op = _get(state, _IP, 4), _get(state, _DP, 4), _get(state, _OP)
    if width == 16:
        return struct.pack("<7H", *words, ip & 0xFFFF, 0, dp & 0xFFFF, 0)
    high = 0xFFFF0000  # reserved halves read as ones
    return struct.pack("<7I", *(high | w for w in words), ip, op << 16, dp, high)


def fldenv(state: memoryview, image: bytes) -> None:
    """Load an environment: 28 bytes, or 14 in the 16-bit format."""
    if len(image) == ENV_SIZE[16]:
        fcw, fsw, tags, ip, _, dp, _ = struct.unpack("<7H", image)
        op = 0
    else:
        fcw, fsw, tags, ip, high, dp, _ = struct.unpack("<7I", image)
        op = high >> 16
    set_control(state, fcw)
    set_status(state, fsw & 0xFFFF)
    _set_tags(state, tags)
    set_pointers(state, ip, dp, op)


def fsave(state: memoryview, width: int = 32) -> bytes:
    """Return environment and registers, ST(0) first: what FNSAVE stores."""
    top = _get(state, _FPU) >> 8
    registers = (register(state, top + i & 7) for i in range(8))
    return fnstenv(state, width) + b"".join(registers)


def frstor(state: memoryview, image: bytes) -> None:
    """Load what FNSAVE stored."""
    size = ENV_SIZE[16 if len(image) == FSAVE16_SIZE else 32]
    fldenv(state, image[:size])
    top = _get(state, _FPU) >> 8
    for i in range(8):
        at = size + 10 * i
        set_register(state, top + i & 7, image[at : at + 10])


# -- FXSAVE ----------------------------------------------------------------------------------------
def fxsave(state: memoryview) -> bytes:
    """Return the FXSAVE image of 32-bit mode; what it does not define is 0."""
    fpu = _get(state, _FPU)
    head = struct.pack(
        "<HHBxHIIIIII", _get(state, _FCW), status(state), fpu & 0xFF, _get(state, _OP),
        _get(state, _IP, 4), 0, _get(state, _DP, 4), 0, _get(state, _MXCSR, 4), MXCSR_MASK,
    )  # fmt: skip
    registers = (register(state, (fpu >> 8) + i & 7) + bytes(6) for i in range(8))
    image = head + b"".join(registers) + bytes(state[_XMM : _XMM + 128])
    return image + bytes(FXSAVE_SIZE - len(image))


def fxrstor(state: memoryview, image: bytes) -> None:
    """Load an FXSAVE image; MXCSR must be valid."""
    load_x87(state, image)
    _put(state, _MXCSR, int.from_bytes(image[24:28], "little") & MXCSR_MASK, 4)
    state[_XMM : _XMM + 128] = image[160:288]


def load_x87(state: memoryview, image: bytes) -> None:
    """Load only the x87 part of an FXSAVE image."""
    fcw, fsw, filled, op, ip, _, dp = struct.unpack_from("<HHBxHIII", image)
    set_control(state, fcw)
    set_status(state, fsw)
    top = fsw >> 11 & 7
    _put(state, _FPU, top << 8 | filled)
    set_pointers(state, ip, dp, op)
    for i in range(8):
        at = 32 + 16 * i
        set_register(state, top + i & 7, image[at : at + 10])
