"""Random programs with loops, branches, calls, jump tables; x87 and MMX values live across them.

Every loop ends: its counter lies where no other insn writes. No insn reads undefined flags; at
joins of the control flow all are defined.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import numpy as np

from tests.generate import undefined, values
from tests.generate.encode import Encoded, encode
from tests.generate.sequence import INTEGER_POOL, JUMPS, POOL, STRING_ROWS, writes_pinned
from tests.generate.state import EBP, EDI, ESI, ESP, State
from tests.native import layout

# Insns on MMX registers; what these leave is no x87 value.
MMX_POOL = [row for row in POOL if any(o in ("Pq", "Nq", "Qq") for o in row.operands)]
COUNTERS = 0x4000_0100  # in the stack's region, below the stack
PRIVILEGED = {"privileged", "ioport", "lseg", "movseg"}
# x87 insns that leave the depth as it is, add one value or take one; memory is [ebp + disp8].
SAME = (
    "d9e0",
    "d9e1",
    "d9fa",
    "d9c9",
    "d8c1",
    "d8c9",
    "d8e1",
    "dcc1",
    "dce9",
    "d84508",
    "dc4520",
    "dd5540",
    "d95544",
    "d9fc",
    "d9e4",
)
MORE = ("d9e8", "d9eb", "d9ee", "d9c0", "d94510", "d94514", "dd4518", "dd4538", "db4510", "df6d18")
RARE = "db6d30"  # its loads stay outside of regions
LESS = ("dec1", "dec9", "dee9", "ddd8", "d95d48", "dd5d50", "db7d60", "db5d70", "ddd9")


def faults(insn: Encoded) -> bool:
    """Whether the insn often ends a program."""
    name = insn.row.mnemonic
    if name in PRIVILEGED or "Sw" in insn.row.operands or 0xF0 in insn.code[:3]:
        return True
    if name in ("bt", "bts", "btr", "btc"):  # a bit far away
        return insn.has_memory
    return insn.has_memory and insn.size == 16 and insn.disp % 16 != 0


class Program(NamedTuple):
    """An image for layout.CODE, records of start states, flags undefined before each insn."""

    code: bytes
    cases: np.ndarray
    undefined: dict[int, int]


class _Writer:
    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.code = bytearray()
        self.undefined: dict[int, int] = {}
        self.mask = 0
        self.pool = POOL if rng.random() < 0.4 else INTEGER_POOL
        self.with_x87 = rng.random() < 0.5
        self.with_mmx = not self.with_x87 and rng.random() < 0.4
        self.depth = 0  # of x87 values that are known to be there
        self.functions: list[int] = []  # where the offsets of calls to each are to be put
        self.tables: list[tuple[int, list[int]]] = []  # (where its address goes, its targets)
        self.counters = 0
        self.rounds = 1  # how often the code that is being written runs

    def emit(self, code: bytes | str, mask: int | None = None) -> None:
        """Write an insn, and the flags that are undefined behind it."""
        self.undefined[len(self.code)] = self.mask
        self.code += bytes.fromhex(code) if isinstance(code, str) else code
        if mask is not None:
            self.mask = mask

    def join(self) -> None:
        """Define all flags."""
        if self.mask:
            value = self.rng.getrandbits(32).to_bytes(4, "little")
            self.emit(bytes([0x81, 0xF8 | self.rng.randrange(8)]) + value, 0)  # cmp reg, value

    def jump(self, opcode: str) -> int:
        """Write a jump to a place that is not known yet; return where its offset goes."""
        self.emit(bytes.fromhex(opcode) + bytes(4))
        return len(self.code) - 4

    def land(self, at: int, target: int | None = None) -> None:
        """Let a jump lead to *target*, or here."""
        goal = len(self.code) if target is None else target
        self.code[at : at + 4] = (goal - at - 4 & 0xFFFFFFFF).to_bytes(4, "little")

    # -- statements ----------------------------------------------------------------------------
    def body(self, level: int) -> None:
        """Write some statements."""
        rng = self.rng
        for _ in range(rng.randint(1, 3)):
            kinds = [self.straight, self.straight, self.branch, self.strings, self.stack]
            if level < 3:
                kinds += [self.loop, self.loop, self.loop, self.call, self.switch]
                if self.with_x87 and self.depth < 5:
                    kinds += [self.x87_around] * 3
            if self.with_x87:
                kinds += [self.x87] * 3
            if self.with_mmx:
                kinds += [self.mmx] * 4
            rng.choice(kinds)(level + 1)

    def straight(self, level: int) -> None:
        """Write insns from the opcode tables."""
        rng = self.rng
        for _ in range(rng.randint(1, 7)):
            insn = encode(rng, rng.choice(self.pool), plain=True)
            name = insn.row.mnemonic
            if undefined.reads(name) & self.mask or writes_pinned(insn):
                continue
            if name in ("shld", "shrd") and insn.opsize == 16:
                continue  # a count above 16 leaves the result undefined
            if faults(insn) and rng.random() < 0.97:
                continue
            self.emit(insn.code, undefined.undefined_after(insn, self.mask))

    def mmx(self, level: int) -> None:
        """Write insns on MMX registers, and seldom what comes behind them."""
        rng = self.rng
        for _ in range(rng.randint(2, 12)):
            insn = encode(rng, rng.choice(MMX_POOL), plain=True)
            if not writes_pinned(insn) and (not faults(insn) or rng.random() < 0.05):
                self.emit(insn.code)
        if rng.random() < 0.05:
            self.emit(rng.choice(("0f77", "d9e8")))  # emms; fld1

    def branch(self, level: int) -> None:
        """Write if and else."""
        rng = self.rng
        self.join()
        around = self.jump(f"0f{rng.choice(JUMPS).opcode[0] + 0x10:02x}")
        self.straight(level)
        self.join()
        if rng.random() < 0.4:
            end = self.jump("e9")
            self.land(around)
            self.straight(level)
            self.join()
            self.land(end)
        else:
            self.land(around)

    def loop(self, level: int) -> None:
        """Write a loop that counts down in memory."""
        rng = self.rng
        most = max(2, min(400, 4000 // self.rounds))
        rounds = rng.choice((rng.randint(1, 4), rng.randint(2, most), rng.randint(2, most)))
        counter = COUNTERS + 4 * self.counters
        self.counters += 1
        self.join()
        place = counter.to_bytes(4, "little")
        self.emit(b"\xc7\x05" + place + rounds.to_bytes(4, "little"))  # mov [counter], rounds
        top = len(self.code)
        self.rounds *= rounds
        self.body(level)
        self.rounds //= rounds
        if rng.random() < 0.08:  # at last an operand lies behind the end of memory
            self.emit(b"\x8d\x6d" + bytes([16 * rng.choice((1, 2, 7, -1, -4)) & 0xFF]))
        if rng.random() < 0.08:
            self.divide(place, rng.randint(0, rounds))
        self.join()
        if rng.random() < 0.15:
            leave = self.jump(f"0f{rng.choice(JUMPS).opcode[0] + 0x10:02x}")
        else:
            leave = -1
        if rng.random() < 0.5:
            self.emit(b"\xff\x0d" + place)  # dec [counter]
        else:
            self.emit(b"\x83\x05" + place + b"\xff")  # add [counter], -1
        self.land(self.jump("0f85"), top)
        if leave >= 0:
            self.land(leave)

    def divide(self, counter: bytes, zero_at: int) -> None:
        """Divide by what is zero in one round."""
        self.emit(b"\x8b\x0d" + counter)  # mov ecx, [counter]
        self.emit(b"\x8d\x89" + (-zero_at & 0xFFFFFFFF).to_bytes(4, "little"))  # lea ecx, [ecx - n]
        self.emit(b"\xba" + bytes(4))  # mov edx, 0
        self.emit(b"\xf7\xf1", undefined.ALL)  # div ecx

    def call(self, level: int) -> None:
        """Write a call of a function that is written later."""
        self.join()
        self.functions.append(self.jump("e8"))

    def switch(self, level: int) -> None:
        """Write a jump through a table, by a register."""
        rng = self.rng
        register, count = rng.choice((0, 1, 2, 3)), rng.choice((2, 4, 8))
        self.emit(
            bytes([0x83, 0xE0 | register, count - 1]), undefined.AF
        )  # and register, count - 1
        self.join()
        self.emit(
            bytes([0xFF, 0x24, 0x85 | register << 3]) + bytes(4)
        )  # jmp [table + 4 * register]
        at, targets, ends = len(self.code) - 4, [], []
        for _ in range(count):
            targets.append(len(self.code))
            self.straight(level)
            self.join()
            ends.append(self.jump("e9"))
        for end in ends:
            self.land(end)
        self.tables.append((at, targets))

    def strings(self, level: int) -> None:
        """Write a string insn with a count and addresses that fit, most times."""
        rng = self.rng
        insn = encode(rng, rng.choice(STRING_ROWS), plain=True)
        if undefined.reads(insn.row.mnemonic) & self.mask or rng.random() < 0.5 or faults(insn):
            return
        for register in (ESI, EDI):
            address = layout.REGIONS[0] + rng.randrange(0x400, 0x1C00)
            self.emit(bytes([0xB8 | register]) + address.to_bytes(4, "little"))
        self.join()  # with a count of zero the flags stay
        self.emit(b"\xb9" + rng.randrange(12).to_bytes(4, "little"))  # mov ecx, count
        self.emit(rng.choice((b"", b"\xf3", b"\xf2")) + insn.code)

    def stack(self, level: int) -> None:
        """Write a push and a pop around something."""
        rng = self.rng
        self.emit(bytes([0x50 | rng.choice((0, 1, 2, 3, 6, 7))]))
        self.straight(level)
        self.emit(bytes([0x58 | rng.choice((0, 1, 2, 3))]))

    # -- x87: most programs begin with an empty stack, and these keep account of it --------------
    def x87(self, level: int) -> None:
        """Write insns that leave as many values as they found."""
        rng, begin = self.rng, self.depth
        for _ in range(rng.randint(1, 8)):
            kinds = [MORE] if self.depth < 7 else []
            if self.depth >= 2:
                kinds += [SAME, SAME, LESS] if self.depth > begin else [SAME]
            kind = rng.choice(kinds) if kinds else SAME
            self.emit(RARE if kind is MORE and rng.random() < 0.02 else rng.choice(kind))
            self.depth += (kind is MORE) - (kind is LESS)
        while self.depth > begin:
            self.emit("ddd8" if self.depth == 1 else rng.choice(LESS))
            self.depth -= 1

    def x87_around(self, level: int) -> None:
        """Write a body that finds values, which stay there."""
        rng, count = self.rng, self.rng.randint(1, 3)
        for _ in range(count):
            self.emit(rng.choice([m for m in MORE if m != "d9c0" or self.depth]))
            self.depth += 1
        self.body(level)
        for _ in range(count):
            self.emit("dd5d50")
            self.depth -= 1

    def finish(self) -> None:
        """End the program; write functions and tables."""
        self.emit(bytes([layout.HALT]))
        calls = self.functions
        while calls:
            self.functions, self.mask, self.depth = [], 0, 5  # unknown: little of its own
            start = len(self.code)
            self.straight(3)
            if self.rng.random() < 0.4:
                self.branch(3)
            self.join()
            self.emit(b"\xc3")
            self.land(calls.pop(), start)
            while calls and self.rng.random() < 0.4:
                self.land(calls.pop(), start)
        self.code += bytes([layout.HALT]) * (-len(self.code) & 3)
        for at, targets in self.tables:
            address = layout.CODE + len(self.code)
            self.code[at : at + 4] = address.to_bytes(4, "little")
            for target in targets:
                self.code += (layout.CODE + target).to_bytes(4, "little")


def program(rng: Random, count: int) -> Program:
    """Return a program with *count* start states."""
    writer = _Writer(rng)
    while writer.counters == 0:
        writer.body(0)
    writer.join()
    writer.finish()
    cases = []
    for _ in range(count):
        state = State(rng, layout.CODE)
        state.regs[EBP] = layout.REGIONS[0] + rng.randrange(0x800, 0x1700, 16)
        state.regs[ESP] &= ~15
        if rng.random() < (0.1 if writer.with_x87 else 0.4):
            state.fx = values.fx_image(rng)
        cases.append(state.record())
    return Program(bytes(writer.code), np.concatenate(cases), writer.undefined)
