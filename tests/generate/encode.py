"""An opcode row -> the bytes of one insn of that form, and what its start state must know."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from tests.generate.forms import (
    ADDRSIZE,
    CS,
    EMULATED,
    FLAT,
    FS,
    GS,
    LOCK,
    OPSIZE,
    REP,
    REPNE,
    STRINGS,
    Form,
)
from tests.native.layout import SEGMENT_BASES
from translator.opcodes import Row

FIXED = {"al", "cl", "dl", "bl", "ah", "ch", "dh", "bh", "ax", "dx", "eax", "1", "st0"}
FIXED |= {"es", "cs", "ss", "ds", "fs", "gs", "Av"}
MODRM_LETTERS = "EMQWRUNT"
REG_LETTERS = "GVPSCD"
SIZES = {"b": 1, "w": 2, "d": 4, "q": 8, "t": 10, "x": 16}
# 16-bit addressing: rm -> base, index (SDM vol. 2, table 2-1).
RM16 = ((3, 6), (3, 7), (5, 6), (5, 7), (6, None), (7, None), (5, None), (3, None))
VEX_MAPS = (b"\x0f", b"\x0f\x38", b"\x0f\x3a")
VEX_PREFIXES = ("np", "66", "f3", "f2")
DATA = 0x3000_0000
LOW = 0x4000


@dataclass(slots=True)
class Encoded:
    """One insn: its bytes and the facts that its start state depends on."""

    row: Row
    code: bytes = b""
    opsize: int = 32
    addrsize: int = 32
    rep: int = 0
    lock: bool = False
    segment: int = 0  # the override, 0 for none
    modrm: int = -1
    base: int | None = None
    index: int | None = None
    scale: int = 1
    disp: int = 0
    is_absolute: bool = False  # no free base register: the displacement holds the address
    size: int = 0  # bytes of the memory operand; 0 without one
    immediates: list[int] = field(default_factory=list)

    @property
    def has_memory(self) -> bool:
        """Whether the insn has a ModRM or offset memory operand."""
        return self.size > 0

    @property
    def segment_base(self) -> int:
        """What the segment override adds to an address."""
        return SEGMENT_BASES.get(self.segment, 0)


def operand_size(row: Row, opsize: int) -> int:
    """Return the bytes that the memory operand of the row touches."""
    environments = {"fldenv": 28, "fnstenv": 28, "frstor": 108, "fnsave": 108}
    others = {"fxsave": 512, "fxrstor": 512, "bound": 8, "lseg": 6, "callfi": 6, "jmpfi": 6}
    if row.mnemonic in environments:
        return environments[row.mnemonic]
    if row.mnemonic in others:
        return others[row.mnemonic]
    for operand in row.operands:
        if operand in FIXED:
            continue
        if operand[0] in MODRM_LETTERS + "O":
            return SIZES.get(operand[1:], opsize // 8)
    return 4


def encode(rng: Random, row: Row, form: Form | None = None, *, plain: bool = False) -> Encoded:
    """Return a random insn of this row, or of this form of it.

    *plain* ones keep to what may stand inside a sequence.
    """
    insn = Encoded(row)
    prefixes = [] if row.is_vex or row.prefix in ("", "np") else [int(row.prefix, 16)]
    if form is None:
        prefixes += _prefixes(rng, row, insn, plain)
    elif form.prefix:
        prefixes.append(_prefix_of(rng, insn, form))
    opcode = bytearray(row.opcode)
    if row.plus:
        opcode[-1] |= rng.randrange(8)
    tail = b""
    if row.modrm:
        tail = _modrm(rng, row, insn, plain, None if form is None else form.is_memory)
        if form is None and LOCK in prefixes and not insn.has_memory and rng.random() < 0.9:
            prefixes.remove(LOCK)
            insn.lock = False
    for operand in row.operands:
        if operand not in FIXED and operand[0] in "IJOAK":
            tail += _immediate(rng, row, insn, operand)
    rng.shuffle(prefixes)
    if row.is_vex:
        opcode = _vex(rng, row)
    insn.code = bytes(prefixes) + bytes(opcode) + tail
    return insn


def _vex(rng: Random, row: Row) -> bytearray:
    """Return a VEX prefix and the last byte of the opcode; what is ignored is random."""
    opcode_map = VEX_MAPS.index(row.opcode[1:-1]) + 1
    second = 0xC0 | rng.getrandbits(1) << 5 | opcode_map
    vvvv = rng.getrandbits(4) if any(o[0] == "B" for o in row.operands) else 15
    length = rng.random() < 0.02
    third = rng.getrandbits(1) << 7 | vvvv << 3 | length << 2 | VEX_PREFIXES.index(row.prefix)
    return bytearray([row.opcode[0], second, third, row.opcode[-1]])


def _prefix_of(rng: Random, insn: Encoded, form: Form) -> int:
    """Note the one prefix of a form in the insn and return it."""
    prefix = form.prefix
    if prefix == OPSIZE:
        insn.opsize = 16
    elif prefix == ADDRSIZE:
        insn.addrsize = 16
    elif prefix == LOCK:
        insn.lock = True
    elif prefix in (REP, REPNE):
        insn.rep = prefix
    else:
        prefix = rng.choice(FLAT) if prefix in FLAT else prefix
        insn.segment = prefix
    return prefix


def _prefixes(rng: Random, row: Row, insn: Encoded, plain: bool) -> list[int]:
    """Choose any prefixes, mostly none, and note them in the insn."""
    prefixes = []
    sized = any(o not in FIXED and o[-1] in "vz" for o in row.operands) or not row.operands
    is_float = row.opcode[0] in range(0xD8, 0xE0)
    if row.prefix == "":
        chance = 0.3 if sized or "Av" in row.operands else 0.1 if is_float else 0.02
        jumps = any(o[0] == "J" for o in row.operands) or row.mnemonic in ("ret", "retn")
        if rng.random() < (0.0 if plain and (jumps or is_float) else chance):
            prefixes.append(OPSIZE)
            insn.opsize = 16
    elif sized and row.prefix in ("f2", "f3") and not row.is_vex and rng.random() < 0.3:
        prefixes.append(OPSIZE)
        insn.opsize = 16
    if row.mnemonic in STRINGS and not plain and rng.random() < 0.5:
        insn.rep = rng.choice((REPNE, REP))
        prefixes.append(insn.rep)
    elif row.prefix == "" and len(row.opcode) == 1 and not plain and rng.random() < 0.01:
        prefixes.append(rng.choice((REPNE, REP)))
    elif ("lock" in row.attrs and rng.random() < 0.2) or (
        not plain and rng.random() < 0.01 and row.prefix not in ("f2", "f3")
    ):
        insn.lock = True
        prefixes.append(LOCK)
    if not plain:
        addressed = row.modrm or row.mnemonic in STRINGS or row.mnemonic in ("xlat", "jcxz", "loop")
        if rng.random() < (0.1 if addressed else 0.02):
            prefixes.append(ADDRSIZE)
            insn.addrsize = 16
        if rng.random() < 0.08:
            insn.segment = rng.choice((*FLAT, CS, GS, GS if row.mnemonic in EMULATED else FS))
            prefixes.append(insn.segment)
    return prefixes


def _modrm(rng: Random, row: Row, insn: Encoded, plain: bool, is_memory: bool | None) -> bytes:
    if row.exact >= 0:
        insn.modrm = row.exact
        return bytes([row.exact])
    reg = row.reg if row.reg >= 0 else rng.randrange(8)
    if "Sw" in row.operands:
        reg = rng.choice((0, 1, 2, 3, 4, 5, 0, 2, 3, 4, 5, 6))
    mod = rng.choice((0, 1, 2, 3, 3)) if not row.mod else 3
    if row.mod == "m" or is_memory:
        mod = rng.randrange(3)
    elif is_memory is False:
        mod = 3
    rm = rng.randrange(8)
    if mod == 3:
        insn.modrm = 0xC0 | reg << 3 | rm
        return bytes([insn.modrm])
    insn.size = operand_size(row, insn.opsize)
    if insn.addrsize == 16:
        return _memory16(rng, insn, mod, reg, rm)
    if plain:
        mod, rm = 2, 5  # [ebp + disp32]: sequences keep EBP in the data region
    return _memory32(rng, insn, mod, reg, rm, plain)


def _memory16(rng: Random, insn: Encoded, mod: int, reg: int, rm: int) -> bytes:
    insn.modrm = mod << 6 | reg << 3 | rm
    base, insn.index = RM16[rm]
    insn.base = base
    if mod == 0 and rm == 6:
        insn.base, insn.is_absolute = None, True
        insn.disp = LOW + rng.randrange(0x1F00)
        return bytes([insn.modrm]) + insn.disp.to_bytes(2, "little")
    if mod == 0:
        return bytes([insn.modrm])
    bits = 8 * mod
    insn.disp = rng.getrandbits(bits) - (1 << bits - 1)
    return bytes([insn.modrm]) + insn.disp.to_bytes(mod, "little", signed=True)


def _memory32(rng: Random, insn: Encoded, mod: int, reg: int, rm: int, plain: bool) -> bytes:
    tail = b""
    insn.base = rm
    if rm == 4:
        base, index, shift = rng.randrange(8), rng.randrange(8), rng.randrange(4)
        if base == index:
            mod = 2
        tail = bytes([shift << 6 | index << 3 | base])
        insn.base, insn.index, insn.scale = base, None if index == 4 else index, 1 << shift
    if mod == 0 and insn.base == 5:
        insn.base = None
    insn.modrm = mod << 6 | reg << 3 | rm
    insn.is_absolute = insn.base is None or insn.base == insn.index
    if insn.is_absolute:
        insn.disp = DATA + rng.randrange(0x100, 0x1E00)
        if rng.random() < 0.7:
            insn.disp &= ~15
        insn.disp -= insn.segment_base
    elif mod == 1:
        insn.disp = rng.randint(-128, 127)
        if rng.random() < 0.5:
            insn.disp &= ~15
    elif mod == 2:
        small = plain or rng.random() < 0.6
        insn.disp = rng.randint(-0x700, 0x700) if small else rng.getrandbits(32) - (1 << 31)
        if rng.random() < (0.8 if plain else 0.5):
            insn.disp &= ~15
    if insn.base is None or mod == 2:
        tail += (insn.disp & 0xFFFFFFFF).to_bytes(4, "little")
    elif mod == 1:
        tail += insn.disp.to_bytes(1, "little", signed=True)
    return bytes([insn.modrm]) + tail


def _immediate(rng: Random, row: Row, insn: Encoded, operand: str) -> bytes:
    from tests.generate import values

    letter, kind = operand[0], operand[1:]
    if letter == "O":
        insn.size = 1 if kind == "b" else insn.opsize // 8
        insn.is_absolute = True
        low = insn.addrsize == 16
        insn.disp = (LOW if low else DATA - insn.segment_base) + rng.randrange(0x1F00)
        insn.disp &= 0xFFFFFFFF
        return insn.disp.to_bytes(insn.addrsize // 8, "little")
    if letter == "A":
        size = insn.opsize // 8
        offset = 0x2000_0000 + rng.randrange(0x1000)
        selector = rng.choice((0x23, 0x23, 0x23, 0x23, 0, 0x2B, 0xFFF8))
        value = offset & ((1 << insn.opsize) - 1)
        return value.to_bytes(size, "little") + selector.to_bytes(2, "little")
    if letter == "J":
        size = 1 if kind == "b" else insn.opsize // 8
        value = rng.randint(-14, 20) if rng.random() < 0.9 else rng.randint(-128, 127)
        return value.to_bytes(size, "little", signed=True)
    size = {"b": 1, "s": 1, "w": 2}.get(kind, insn.opsize // 8)
    value = values.integer(rng, 8 * size)
    if row.mnemonic in ("enter", "retn") and kind == "w":
        value = rng.choice((0, 4, 8, 16, 100, 0x300, value))
    if row.mnemonic == "enter" and kind == "b":
        value = rng.choice((0, 1, 2, 3, value))
    if row.mnemonic in ("shld", "shrd") and insn.opsize == 16:
        value &= 0xEF  # a count above the width leaves the result undefined
    if row.mnemonic == "int":
        value = rng.choice((0, 1, 3, 4, 5, 13, 0x20, 0x7F, 0x81, 0xFF))
    if row.mnemonic == "aam" and rng.random() < 0.7:
        value = 10
    insn.immediates.append(value)
    return value.to_bytes(size, "little")
