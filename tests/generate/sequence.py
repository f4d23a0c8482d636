"""Random straight-line code with forward jumps, in which no insn reads undefined flags."""

from __future__ import annotations

from random import Random

from tests.generate import undefined, values
from tests.generate.encode import STRINGS, Encoded, encode
from tests.generate.state import EBP, ECX, EDI, ESI, ESP, State, uses_floats
from translator.opcodes import ROWS, VEX, Row

# Not in sequences: what leaves the code, faults by design, or moves ESP or EBP out of reach.
EXCLUDED = {
    "invpcid",
    "movdir64b",
    "callf",
    "jmpf",
    "callfi",
    "jmpfi",
    "retf",
    "retfn",
    "iret",
    "ret",
    "retn",
    "jmpi",
    "calli",
    "call",
    "jmp",
    "int",
    "int1",
    "int3",
    "into",
    "bound",
    "ud",
    "popf",
    "leave",
    "enter",
    "popa",
    "lseg",
    "movseg",
    "popseg",
    "pushseg",
    "hlt",
    "cpuid",
    "rdtsc",
    "loop",
    "loope",
    "loopne",
    "jcxz",
    "arpl",
    "lar",
    "lsl",
    "verr",
    "verw",
    "fxrstor",
    "frstor",
    "fldenv",
    "ldmxcsr",
    "fldcw",
    "fnsave",
    "fnstenv",
    "fxsave",
    "div",
    "idiv",
    "maskmovq",
    "maskmovdqu",
    "sysenter",
    "finit",
    "fninit",
    "aam",
    "xlat",
    "push",
    "pop",
    "pushf",
    "pusha",
}
PINNED = {ESP, EBP}
READ_ONLY = {"cmp", "test", "bt", "mul", "imul1", "ucomisd", "ucomiss", "comisd", "comiss"}


def writes_pinned(insn: Encoded) -> bool:
    """Whether the insn may change ESP or EBP."""
    row = insn.row
    if row.plus:
        opcode = insn.code.lstrip(b"\x66")
        at = len(row.opcode) - 1
        return opcode[at] & 7 in PINNED
    for number, operand in enumerate(row.operands):
        if operand[0] == "B" and (not number or row.mnemonic == "mulx"):
            # VEX.vvvv, in the third byte of the prefix
            return ~insn.code[insn.code.index(VEX) + 2] >> 3 & 7 in PINNED
        if operand == "Gb" or operand == "Eb" or insn.modrm < 0:
            continue  # the 8-bit registers lie in EAX to EBX
        if number and row.mnemonic not in ("xchg", "xadd"):
            continue
        if operand[0] == "G" and insn.modrm >> 3 & 7 in PINNED:
            return True
        if operand[0] in "ER" and insn.modrm >= 0xC0 and insn.modrm & 7 in PINNED:
            return row.mnemonic not in READ_ONLY
    return False


def usable(row: Row) -> bool:
    """Whether insns of this row may be part of a sequence."""
    is_privileged = "system" in row.attrs and row.mnemonic != "pushf"
    return not is_privileged and row.mnemonic not in EXCLUDED and row.mnemonic not in STRINGS


JUMPS = [r for r in ROWS if r.operands == ("Jb",) and r.mnemonic not in EXCLUDED]
POOL = [r for r in ROWS if usable(r) and r.operands not in (("Jb",), ("Jz",))]
INTEGER_POOL = [r for r in POOL if not uses_floats(Encoded(r))]
STRING_ROWS = [r for r in ROWS if r.mnemonic in STRINGS]


def begin(rng: Random, eip: int, with_floats: bool, repeats: bool) -> State:
    """Return a start state for a sequence."""
    state = State(rng, eip)
    state.regs[EBP] = 0x3000_0000 + rng.randrange(0x800, 0x1700, 16)
    state.regs[ESI], state.regs[EDI] = (0x3000_0000 + rng.randrange(0x400, 0x1C00) for _ in "sd")
    if with_floats:
        state.fx = values.fx_image(rng)
    if repeats:
        # A count of zero leaves the flags as they were: all defined still.
        state.regs[ECX] = rng.randrange(20)
    return state


def sequence(rng: Random, eip: int, count: int) -> tuple[bytes, list[State], int]:
    """Return code, *count* start states and the flags that are undefined at its end."""
    pool = POOL if rng.random() < 0.4 else INTEGER_POOL
    pieces: list[bytes] = []
    pending: dict[int, int] = {}  # insn number -> undefined flags of jumps that land there
    fixups: list[tuple[int, int]] = []  # (piece, target insn number)
    mask = 0
    length = rng.randint(3, 20)
    repeats = rng.random() < 0.15
    if repeats:
        insn = encode(rng, rng.choice(STRING_ROWS), plain=True)
        prefix = b"" if rng.random() < 0.5 else rng.choice((b"\xf3", b"\xf2"))
        pieces.append(prefix + insn.code)
    while len(pieces) < length:
        mask |= pending.pop(len(pieces), 0)
        if rng.random() < 0.15 and len(pieces) + 2 < length:
            row = rng.choice(JUMPS)
            if undefined.reads(row.mnemonic) & mask:
                continue
            goal = min(length, len(pieces) + rng.randint(2, 4))
            pending[goal] = pending.get(goal, 0) | mask
            fixups.append((len(pieces), goal))
            pieces.append(row.opcode + b"\0")
            continue
        insn = encode(rng, rng.choice(pool), plain=True)
        reading = undefined.reads(insn.row.mnemonic)
        if reading & mask or writes_pinned(insn):
            continue
        if insn.row.mnemonic in ("shld", "shrd") and insn.opsize == 16:
            continue  # a count above 16 leaves the result undefined
        mask = undefined.undefined_after(insn, mask)
        pieces.append(insn.code)
    for flags in pending.values():
        mask |= flags
    for number, goal in fixups:
        distance = sum(len(p) for p in pieces[number + 1 : goal])
        pieces[number] = pieces[number][:-1] + bytes([distance])
    states = [begin(rng, eip, pool is POOL, repeats) for _ in range(count)]
    return b"".join(pieces), states, mask
