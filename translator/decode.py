"""Guest bytes -> Insn.

`scan` finds an insn's length, its shape key and its slot numbers and is all that translating a
known shape needs; `decode` builds the Insn with its operands.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from translator.dialect import FIXED, UNKNOWN, Dialect, dialect_of
from translator.insn import Imm, Insn, Mem, Operand, Reg, Special
from translator.mode import MARK, USER, Mode, split_key
from translator.opcodes import VEX, Row

MAX_LENGTH = 15
OPERAND_SIZES = {"b": 8, "w": 16, "d": 32, "q": 64, "t": 80, "x": 128}


class Truncated(Exception):  # noqa: N818
    """The bytes end inside an insn: the next page cannot be fetched."""


class Scan(NamedTuple):
    """What `scan` found: numbers of the slots, and the key of everything else."""

    key: bytes
    length: int
    disp: int
    imm: int
    imm2: int


# VEX.mmmmm -> the opcode bytes it stands for; VEX.pp -> the prefix (SDM vol. 2, 2.3.5).
_MAPS = {1: b"\x0f", 2: b"\x0f\x38", 3: b"\x0f\x3a"}
_SELECTING = ("np", "66", "f3", "f2")
# C4 is LES where a memory operand's ModRM follows.
_REGISTER = 0xC0
_VEX_L = 4  # vectors of 256 bits, in the third byte


def _without_vex(opcode: bytes) -> bytes:
    """Name the rows of an opcode that begins with a VEX prefix; others keep their name."""
    if len(opcode) < 4:
        return opcode
    return bytes([VEX]) + _MAPS.get(opcode[1] & 31, b"") + opcode[3:]


_USER = dialect_of(USER)
TOO_LONG = b"\xf0long"


def scan(code: bytes, at: int = 0, mode: Mode = USER) -> Scan:
    """Scan the insn at `code[at]`; raise Truncated if the bytes end inside it."""
    try:
        return Scan(*scan_fields(code, at, mode))
    except IndexError:
        raise Truncated from None


def scan_fields(code: bytes, at: int, mode: Mode = USER) -> tuple[bytes, int, int, int, int]:
    """Scan for the planner: the fields of Scan; Truncated or IndexError if the bytes end inside."""
    if mode is not USER:
        return _scan_in(code, at, mode)
    return _scan(code, at, _USER, opsize=False, addrsize=False, max_length=MAX_LENGTH)


def _scan_in(code: bytes, at: int, mode: Mode) -> tuple[bytes, int, int, int, int]:
    """Scan in any mode: the key says which, unless the insn is the same in all flat modes."""
    dialect, wide = dialect_of(mode), not mode.code32
    limit = mode.max_length if not dialect.is_8086 else 1 << 16
    key, *rest = _scan(code, at, dialect, opsize=wide, addrsize=wide, max_length=limit)
    if not mode.shares_keys or key == TOO_LONG or _asks(key, dialect):
        if mode.watches and not _is_watched(key, mode.unwatched):
            mode = mode.unwatched
            if mode.shares_keys and key != TOO_LONG and not _asks(key, dialect):
                return key, *rest  # type: ignore[return-value]
        key = mode.marker + key
    return (key, *rest)  # type: ignore[return-value]


def _asks(key: bytes, dialect: Dialect) -> bool:
    """Whether an insn depends on the mode even in flat segments; FS and GS have limits."""
    opcode = _opcode(key, dialect)
    begin = key.index(opcode)
    fields = dialect.sensitive.get(opcode, 0)
    if fields not in (0, 0xFF):
        fields &= 1 << (key[begin + len(opcode)] >> 3 & 7)
    return bool(fields) or not _LIMITED.isdisjoint(key[:begin])


@lru_cache(maxsize=1 << 12)
def _is_watched(key: bytes, mode: Mode) -> bool:
    """Whether an insn depends on what is watched: it accesses memory, or names the next mode."""
    from translator.hooks import accesses
    from translator.shape import Shape

    shape = Shape(mode.marker + key)
    return accesses(shape) or shape.leaves_context


_LIMITED = frozenset({0x64, 0x65})


def _opcode(key: bytes, dialect: Dialect) -> bytes:
    pos = 0
    while key[pos] in dialect.prefixes:
        pos += 1
    if key[pos] != 0x0F or dialect.is_8086:
        return key[pos : pos + 1]
    return key[pos : pos + (3 if key[pos + 1] in (0x38, 0x3A) else 2)]


def _scan(
    code: bytes, at: int, dialect: Dialect, *, opsize: bool, addrsize: bool, max_length: int
) -> tuple[bytes, int, int, int, int]:
    prefixes = dialect.prefixes
    pos = at
    key = bytearray()
    byte = code[pos]
    if byte in prefixes:
        seen: dict[int, int] = {}
        while (kind := prefixes.get(byte)) is not None:
            if kind != 6:
                seen[kind] = byte
            elif 5 in seen:
                del seen[5]  # the last segment prefix wins
            pos += 1
            if pos - at >= max_length:
                return TOO_LONG, max_length, 0, 0, 0
            byte = code[pos]
        opsize, addrsize = opsize != (1 in seen), addrsize != (2 in seen)
        key += bytes(seen[k] for k in sorted(seen))
    if byte == 0x0F and not dialect.is_8086:
        second = code[pos + 1]
        size = 3 if second in (0x38, 0x3A) else 2
        opcode = code[pos : pos + size]
        if len(opcode) < size:
            raise Truncated
        pos += size
    elif byte == VEX and code[pos + 1] >= _REGISTER and dialect.has_vex:
        opcode = code[pos : pos + 4]
        pos += 4
    else:
        opcode = code[pos : pos + 1]
        pos += 1
    form = dialect.forms.get(opcode) or dialect.forms.get(_without_vex(opcode), UNKNOWN)
    key += opcode
    disp = imm = imm2 = reg = 0
    if form.modrm:
        modrm = code[pos]
        pos += 1
        reg = modrm >> 3 & 7
        mod, rm = modrm >> 6, modrm & 7
        size = 0
        if mod == 3 or opcode in dialect.registers:
            key.append(modrm | 0xC0)
        elif addrsize:
            size = (2 if rm == 6 else 0) if mod == 0 else mod
            # Mod 1 and 2 differ only in the displacement's length: one shape.
            key.append(modrm if mod != 1 else modrm ^ 0xC0)
        else:
            size = (0, 1, 4)[mod]
            key.append(modrm if mod != 1 else modrm ^ 0xC0)
            if rm == 4:
                sib = code[pos]
                pos += 1
                key.append(sib)
                if mod == 0 and sib & 7 == 5:
                    size = 4
            elif mod == 0 and rm == 5:
                size = 4
        if size:
            disp = int.from_bytes(code[pos : pos + size], "little", signed=True)
            pos += size
    for letters in form.immediates[reg]:
        letter, suffix = letters[0], letters[1]
        if letter == "O":
            size = 2 if addrsize else 4
            disp = int.from_bytes(code[pos : pos + size], "little")
            pos += size
            continue
        if letter == "A":  # far pointer: offset, then selector
            size = 2 if opsize else 4
            imm = int.from_bytes(code[pos : pos + size], "little")
            imm2 = int.from_bytes(code[pos + size : pos + size + 2], "little")
            pos += size + 2
            continue
        if suffix in "bs":
            size = 1
        elif suffix == "w":
            size = 2
        else:
            size = 2 if opsize else 4
        signed = letter == "J" or suffix == "s"
        number = int.from_bytes(code[pos : pos + size], "little", signed=signed)
        if letter == "K":
            key.append(number)
        elif letters is form.immediates[reg][0]:
            imm = number
        else:
            imm2 = number
        pos += size
    if pos > len(code):
        raise Truncated
    if pos - at > max_length:
        return TOO_LONG, max_length, 0, 0, 0
    return bytes(key), pos - at, disp, imm, imm2


def decode(code: bytes, at: int = 0, mode: Mode = USER) -> Insn:
    """Decode the insn at `code[at]`; mnemonic `ud` if undefined, Truncated if short."""
    found = scan(code, at, mode)
    return _build(found.key)._with(found)


def decode_key(key: bytes) -> Insn:
    """Build the Insn of a shape key; its slots are 0 and its length is unknown (0)."""
    return _build(key)._with(Scan(key, 0, 0, 0, 0))


def conditional(key: bytes, condition: bytes) -> bytes:
    """Return the shape key of an insn that is handed to Python where a condition holds."""
    return _CONDITIONAL + bytes([len(condition)]) + condition + key


_CONDITIONAL = bytes((MARK, 0xFF, 0xFF))  # no mode has this number


class _Shape(NamedTuple):
    """Everything of an insn that its key says."""

    mnemonic: str
    operands: tuple[Operand, ...]
    width: int
    addr_width: int
    lock: bool
    rep: int
    seg: int
    mode: Mode
    condition: bytes = b""

    def _with(self, found: Scan) -> Insn:
        return Insn(
            self.mnemonic, self.operands, self.width, self.addr_width, found.length, found.key,
            {"disp": found.disp & 0xFFFFFFFF, "imm": found.imm & 0xFFFFFFFF, "imm2": found.imm2},
            self.lock, self.rep, self.seg, self.mode, self.condition,
        )  # fmt: skip


@lru_cache(maxsize=1 << 15)
def _build(key: bytes) -> _Shape:
    """Decode a shape from its key; `ud` if no row matches."""
    if key.startswith(_CONDITIONAL):
        size = key[len(_CONDITIONAL)]
        begin = len(_CONDITIONAL) + 1
        return _build(key[begin + size :])._replace(condition=key[begin : begin + size])
    mode, key = split_key(key)
    dialect = dialect_of(mode)
    pos, prefixes = 0, set()
    if key == TOO_LONG:
        return _Shape("toolong", (), 32, 32, False, 0, -1, mode)
    while key[pos] in dialect.prefixes:
        prefixes.add(key[pos])
        pos += 1
    size = len(_opcode(key, dialect))
    is_vex = key[pos] == VEX and dialect.has_vex and key[pos + 1] >= _REGISTER
    if is_vex:
        size = 4
    opcode = _without_vex(key[pos : pos + size])
    third = key[pos + 2] if is_vex else 0
    pos += size
    modrm = key[pos] if dialect.forms.get(opcode, UNKNOWN).modrm else 0
    rep = 0xF3 if 0xF3 in prefixes else 0xF2 if 0xF2 in prefixes else 0
    full, other = (32, 16) if mode.code32 else (16, 32)
    width = other if 0x66 in prefixes else full
    addr_width = other if 0x67 in prefixes else full
    seg = next((i for byte, i in _OVERRIDES.items() if byte in prefixes), -1)
    lock = not prefixes.isdisjoint(_LOCKS)
    # F2 and F3 win over 66 as selecting prefixes (SDM vol. 2, 2.1.2).
    selecting = f"{rep:02x}" if rep else "66" if 0x66 in prefixes else "np"
    if is_vex:
        is_plain = selecting == "np" and not lock and not third & _VEX_L
        selecting = _SELECTING[third & 3] if is_plain else "none"
    vvvv = ~third >> 3 & 15
    for row in dialect.table.get(opcode, ()):
        if row.prefix and row.prefix != selecting:
            continue
        if row.modrm:
            is_register = modrm >> 6 == 3
            if row.reg >= 0 and row.reg != modrm >> 3 & 7:
                continue
            if row.exact >= 0 and row.exact != modrm:
                continue
            if row.mod and (row.mod == "r") != is_register:
                continue
        if is_vex and vvvv and not any(o[0] == "B" for o in row.operands):
            continue  # a field without use must be all ones
        if row.prefix == "66":
            width = full  # the prefix selected the insn; it says nothing about size
        operands = _operands(row, opcode, key, pos, width, addr_width, seg, vvvv & 7)
        if lock and ("lock" not in row.attrs or not isinstance(operands[0], Mem)):
            if mode.has_386:
                break
            lock = False  # nobody else is there to see it
        return _Shape(row.mnemonic, operands, width, addr_width, lock, rep, seg, mode)
    return _Shape("ud", (), width, addr_width, lock, rep, seg, mode)


_OVERRIDES = {0x26: 0, 0x2E: 1, 0x36: 2, 0x3E: 3, 0x64: 4, 0x65: 5}
_LOCKS = frozenset({0xF0, 0xF1})


# 16-bit addressing: rm -> base, index (SDM vol. 2, table 2-1).
_RM16 = ((3, 6), (3, 7), (5, 6), (5, 7), (6, -1), (7, -1), (5, -1), (3, -1))


def _memory(key: bytes, pos: int, width: int, addr_width: int, seg: int) -> Mem:
    """Build the memory operand of a ModRM byte at `key[pos]`."""
    modrm = key[pos]
    mod, rm = modrm >> 6, modrm & 7
    base, index, scale, has_disp = rm, -1, 1, mod != 0
    if addr_width == 16:
        base, index = _RM16[rm]
        if mod == 0 and rm == 6:
            base, has_disp = -1, True
    elif rm == 4:
        sib = key[pos + 1]
        base, index, scale = sib & 7, sib >> 3 & 7, 1 << (sib >> 6)
        if index == 4:
            index, scale = -1, 1
        if mod == 0 and base == 5:
            base, has_disp = -1, True
    elif mod == 0 and rm == 5:
        base, has_disp = -1, True
    default = 2 if base in (4, 5) else 3
    return Mem(seg if seg >= 0 else default, base, index, scale, has_disp, width, addr_width)


def _operands(
    row: Row,
    opcode: bytes,
    key: bytes,
    pos: int,
    width: int,
    addr_width: int,
    seg: int,
    vvvv: int,
) -> tuple[Operand, ...]:
    modrm = key[pos] if row.modrm else 0
    reg, rm, is_register = modrm >> 3 & 7, modrm & 7, modrm >> 6 == 3
    statics = iter(key[len(key) - sum(o[0] == "K" for o in row.operands) :])
    immediates = 0
    result: list[Operand] = []
    for text in row.operands:
        if text in FIXED:
            result.append(FIXED[text])
            continue
        letter, suffix = text[0], text[1:]
        size = OPERAND_SIZES.get(suffix, width)
        match letter:
            case "A" if suffix == "v":
                result.append(Reg(0, width))
            case "A":
                result += [Imm("imm", width), Imm("imm2", 16)]
            case "E" if is_register:
                result.append(Reg(rm, size))
            case "E" | "M":
                result.append(_memory(key, pos, size, addr_width, seg))
            case "R":
                result.append(Reg(rm, size))
            case "G":
                result.append(Reg(reg, size))
            case "B":
                result.append(Reg(vvvv, size))
            case "Z":
                result.append(Reg(opcode[-1] & 7, size))
            case "I":
                result.append(Imm("imm2" if immediates else "imm", size))
                immediates += 1
            case "K":
                result.append(Imm("imm", 8, next(statics)))
            case "J":
                result.append(Imm("target", 32))
            case "O":
                result.append(Mem(seg if seg >= 0 else 3, -1, -1, 1, True, size, addr_width))
            case "X":
                result.append(Mem(seg if seg >= 0 else 3, 6, -1, 1, False, size, addr_width))
            case "Y":
                result.append(Mem(0, 7, -1, 1, False, size, addr_width))
            case "S":
                result.append(Special("seg", reg, 16))
            case "C" | "D":
                result.append(Special("cr" if letter == "C" else "dr", reg, 32))
            case "V":
                result.append(Special("xmm", reg, size))
            case "W" | "U" if is_register:
                result.append(Special("xmm", rm, size))
            case "P":
                result.append(Special("mm", reg, size))
            case "Q" | "N" if is_register:
                result.append(Special("mm", rm, size))
            case "W" | "Q":
                result.append(_memory(key, pos, size, addr_width, seg))
            case "T":
                result.append(Special("st", rm, 80))
            case _:
                raise ValueError(f"operand {text} of {row.mnemonic}")
    return tuple(result)
