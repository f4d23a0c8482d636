"""Bytes of an insn -> shape key, length and numbers: decode.scan_fields, compiled."""

from __future__ import annotations

from translator.dialect import forms
from translator.mode import (
    CONTEXT_MODE_SHIFT,
    MARK,
    MODE_BITS,
    NO_SSE,
    OWN_KEYS,
    Mode,
    Model,
    Segments,
)
from translator.opcodes import SSE_OPCODES
from translator.quick import layout as lay
from translator.quick.compiler import put64, s8, s16, s32, s64, u8, u16, u32

TRUNCATED, STRANGE = 1, 2
_OPSIZE, _ADDRSIZE = 0xFF00, 0xFF0000  # the byte of each prefix kind
_VEX = 0xC4
CODE16 = Mode(code32=False).number
SEGMENTED = Mode(segments=Segments.REAL).number | Mode(segments=Segments.CHECKED).number
assert CODE16 == 1
_LONGEST = 15
_MARKER = 3  # bytes of Mode.marker


def prefix_kind(byte: int, segmented: int) -> int:
    """Say how a prefix byte counts; 0: it is none."""
    if byte == 0x66:
        return 1
    if byte == 0x67:
        return 2
    if byte == 0xF2 or byte == 0xF3:
        return 3
    if byte == 0xF0:
        return 4
    if byte == 0x2E or byte == 0x64 or byte == 0x65:
        return 5
    if byte == 0x26 or byte == 0x36 or byte == 0x3E:
        return 5 if segmented else 6
    return 0


def number(at: int, size: int, signed: int) -> int:
    """Read an integer of 1, 2 or 4 bytes."""
    if size == 1:
        return s8(at) if signed else u8(at)
    if size == 2:
        return s16(at) if signed else u16(at)
    return s32(at) if signed else u32(at)


def scan(ctx: int, code: int, end: int) -> int:
    """Scan the insn at address *code*: 0, TRUNCATED if it passes *end*, or STRANGE."""
    pos = code
    low = high = length = seen = 0
    byte = u8(pos)
    system = s64(ctx + lay.SYSTEM)
    mode = system >> CONTEXT_MODE_SHIFT & (1 << MODE_BITS) - 1
    segmented = mode & SEGMENTED
    kind = prefix_kind(byte, segmented)
    if kind:
        while kind:
            seen = seen & ~(0xFF << 8 * (kind if kind != 6 else 5))  # the last one wins
            if kind != 6:
                seen = seen | byte << 8 * kind
            pos += 1
            if pos - code >= _LONGEST:
                return STRANGE
            if pos >= end:
                return TRUNCATED
            byte = u8(pos)
            kind = prefix_kind(byte, segmented)
        for k in range(1, 6):
            value = seen >> 8 * k & 0xFF
            if value:
                low = low | value << 8 * length
                length += 1
    wide = 1 - (mode & CODE16)  # operands and addresses
    wide_addresses = wide ^ (1 if seen & _ADDRSIZE else 0)
    wide = wide ^ (1 if seen & _OPSIZE else 0)
    form = is_register = mod = 0
    if byte == 0x0F:
        second = u8(pos + 1)
        if second == 0x38 or second == 0x3A:
            form = (512 if second == 0x38 else 768) + u8(pos + 2)
            low = low | u16(pos) << 8 * length
            byte = u8(pos + 2)
            pos += 3
            length += 2
        else:
            form = 256 + second
            is_register = second >= 0x20 and second <= 0x23  # whatever ModRM says
            low = low | byte << 8 * length
            byte = second
            pos += 2
            length += 1
    else:
        if byte == _VEX and u8(pos + 1) >= 0xC0:
            return STRANGE
        form = byte
        pos += 1
    if pos > end:
        return TRUNCATED
    if length < 8:
        low = low | byte << 8 * length
    else:
        high = byte
    length += 1
    form = s64(ctx + lay.FORMS) + form * lay.FORM_SIZE
    disp = imm = imm2 = reg = 0
    if u8(form):
        modrm = u8(pos)
        pos += 1
        reg = modrm >> 3 & 7
        mod = modrm >> 6
        rm = modrm & 7
        size = 0
        # Mod 1 and 2 differ only in the displacement's length: one shape.
        byte = modrm if mod != 1 else modrm ^ 0xC0
        if length < 8:
            low = low | byte << 8 * length
        else:
            high = high | byte << 8 * (length - 8)
        length += 1
        if mod != 3:
            if not wide_addresses:
                size = mod
                if mod == 0 and rm == 6:
                    size = 2
            else:
                if mod == 1:
                    size = 1
                elif mod == 2:
                    size = 4
                if rm == 4:
                    sib = u8(pos)
                    pos += 1
                    if length < 8:
                        low = low | sib << 8 * length
                    else:
                        high = high | sib << 8 * (length - 8)
                    length += 1
                    if mod == 0 and sib & 7 == 5:
                        size = 4
                elif mod == 0 and rm == 5:
                    size = 4
        if size:
            disp = number(pos, size, 1)
            pos += size
    marked = 0  # whether the key begins with the mode (decode._asks)
    if system:
        segment = seen >> 40 & 0xFF
        marked = u8(form + lay.F_SENSITIVE) >> reg & 1
        if segment == 0x64 or segment == 0x65 or mode & OWN_KEYS:
            marked = 1
        if u8(form + lay.F_SSE) and mode & NO_SSE:
            marked = 1
        if is_register and mod != 3:
            return STRANGE
    for which in range(0, 2):
        kind = u8(form + 1 + 2 * reg + which)
        if kind == 0:
            break
        what = kind & 7
        if what == lay.M_OFFSET:
            size = 4 if wide_addresses else 2
            disp = number(pos, size, 0)
            pos += size
            continue
        if what == lay.M_FAR:  # offset, then selector
            size = 4 if wide else 2
            imm = number(pos, size, 0)
            imm2 = u16(pos + size)
            pos += size + 2
            continue
        size = 1
        if what == lay.M_WORD:
            size = 2
        elif what == lay.M_FULL:
            size = 4 if wide else 2
        value = number(pos, size, kind & lay.M_SIGNED)
        if kind & lay.M_KEY:
            if length < 8:
                low = low | (value & 0xFF) << 8 * length
            else:
                high = high | (value & 0xFF) << 8 * (length - 8)
            length += 1
        elif kind & lay.M_FIRST:
            imm = value
        else:
            imm2 = value
        pos += size
    if pos > end:
        return TRUNCATED
    if pos - code > _LONGEST:
        return STRANGE
    if marked:
        if length > _LONGEST - _MARKER:
            return STRANGE
        high = high << 8 * _MARKER | low >> 64 - 8 * _MARKER & (1 << 8 * _MARKER) - 1
        low = low << 8 * _MARKER | mode << 8 | MARK
        length += _MARKER
    put64(ctx + lay.KEY_LOW, low)
    put64(ctx + lay.KEY_HIGH, high | length << 56)
    put64(ctx + lay.LENGTH, pos - code)
    put64(ctx + lay.DISP, disp)
    put64(ctx + lay.IMM, imm)
    put64(ctx + lay.IMM2, imm2)
    return 0


def form_table(model: Model) -> bytes:
    """Return a processor's opcode forms: of 1 byte, then those behind 0F, 0F 38 and 0F 3A."""
    table = bytearray(4 * 256 * lay.FORM_SIZE)
    for opcode, has_modrm, immediates, sensitive in forms(model):
        if opcode[0] == _VEX and len(opcode) > 1:
            continue
        page = 0 if len(opcode) == 1 else {0x38: 2, 0x3A: 3}.get(opcode[1], 1)
        if len(opcode) == 2 and page != 1:
            continue
        row = bytearray(lay.FORM_SIZE)
        row[0], row[lay.F_SENSITIVE] = has_modrm, sensitive
        row[lay.F_SSE] = opcode in SSE_OPCODES
        for reg, letters in enumerate(immediates):
            for which, text in enumerate(letters):
                row[1 + 2 * reg + which] = _kind(text, text == letters[0])
        at = (page * 256 + opcode[-1]) * lay.FORM_SIZE
        table[at : at + lay.FORM_SIZE] = row
    return bytes(table)


def _kind(text: str, is_first: bool) -> int:
    letter, suffix = text[0], text[1]
    if letter == "O":
        return lay.M_OFFSET
    if letter == "A":
        return lay.M_FAR
    kind = lay.M_BYTE if suffix in "bs" else lay.M_WORD if suffix == "w" else lay.M_FULL
    kind |= lay.M_SIGNED if letter == "J" or suffix == "s" else 0
    return kind | (lay.M_KEY if letter == "K" else lay.M_FIRST if is_first else 0)
