"""Random code in random modes: two strategies of one machine must end in the same state.

    python -m tests.modes --cases 2000 --seed 7 --tier stencil

Real mode, big real mode, virtual-8086 mode and protected mode with random segments, privilege
levels, page rights and processor models.  The reference is the interp tier, the definition; what it
says itself is checked by the vectors of real processors (tests/vectors).  A difference, a hang or a
Python exception fails, with the line that replays it.
"""

from __future__ import annotations

import argparse
import struct
import sys
import time
from random import Random
from typing import NamedTuple

from runtime.interpreting import Exit
from runtime.system import segments
from runtime.system.linear import CR0_PG, CR0_WP, CR4_PSE, Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from tests.generate.encode import encode
from tests.generate.values import integer
from translator.mode import Model
from translator.opcodes import ROWS
from translator.state import FIELDS

SIZE = 256 << 10
DIRECTORY, TABLE, CODE, PAGES = 0x1000, 0x2000, 0x8000, SIZE >> 12
INSNS, BUDGET = 6, 60
_CR0, _CR3, _CR4 = (FIELDS[name].offset // 4 for name in ("cr0", "cr3", "cr4"))
_REST = FIELDS["eflags_rest"].offset // 4
KINDS = ("real", "big", "vm86", "flat", "protected")
# Not the same twice, or an hour long.
_SKIPPED = frozenset({"rdtsc", "cpuid", "rdmsr", "wrmsr"})
_FIELDS = [
    *(f"{name}{part}" for name in ("es", "cs", "ss", "ds", "fs", "gs")
      for part in ("", "_base", "_limit", "_attr", "_low")),
    *("cr0", "cr2", "cr3", "cr4", "gdtr_base", "gdtr_limit", "idtr_base", "idtr_limit"),
    *("ldtr", "tr", "fpu", "fcw", "fsw", "mxcsr", "context"),
    *(f"xmm{i}" for i in range(8)),
]  # fmt: skip


class Setup(NamedTuple):
    """Everything that a case starts from."""

    kind: str
    model: Model
    memory: bytes
    registers: list[int]
    eflags: int
    eip: int
    segments: list[tuple[int, int, int, int]]  # selector, base, limit, rights
    cpl: int
    paged: bool
    wp: bool
    sse: bool
    aligned: bool  # AM and AC


class Ended(NamedTuple):
    """What a case is compared by."""

    exit: Exit
    eip: int
    registers: tuple[int, ...]
    eflags: int
    fields: dict[str, int]
    memory: bytes


def _code(rng: Random) -> bytes:
    data = bytearray()
    for _ in range(INSNS):
        if rng.random() < 0.75:
            row = rng.choice(ROWS)
            if row.mnemonic in _SKIPPED:
                continue
            data += encode(rng, row).code
        else:
            data += bytes(rng.randrange(256) for _ in range(rng.randrange(1, 6)))
    return bytes(data) + b"\xf4" * 16


def _segment(rng: Random, kind: str, index: int, cpl: int) -> tuple[int, int, int, int]:
    is_code = index == segments.CS
    if kind in ("real", "vm86"):
        selector = (CODE - 0x1000 if is_code else rng.randrange(0, 0x20000)) >> 4
        return selector, selector << 4, 0xFFFF, segments.REAL_ATTR
    if kind == "big":
        selector = (CODE - 0x1000 if is_code else rng.randrange(0, 0x20000)) >> 4
        limit = 0xFFFF if is_code else rng.choice((0xFFFF, 0xFFFFFFFF, 0x1FFFF))
        return selector, selector << 4, limit, segments.REAL_ATTR
    attr = segments.PRESENT | segments.MEMORY | segments.ACCESSED | cpl << segments.DPL_SHIFT
    attr |= segments.WRITABLE
    if kind == "flat":
        attr |= segments.BIG | segments.PAGES | (segments.CODE if is_code else 0)
        return (0x18 if is_code else 0x20) | cpl, 0, 0xFFFFFFFF, attr
    if rng.random() < 0.7:
        attr |= segments.BIG
    base = 0 if is_code and rng.random() < 0.5 else rng.randrange(0, CODE, 16)
    limit = rng.choice((0xFFFF, 0xFFFFFFFF, rng.randrange(0x40000)))
    if is_code:
        attr |= segments.CODE
        limit = max(limit, 0xFFFF)
        if rng.random() < 0.2:
            attr &= ~segments.READABLE
    elif index != segments.SS:
        if rng.random() < 0.1:
            return 0, 0, 0, 0
        if rng.random() < 0.2:
            attr &= ~segments.WRITABLE
        elif rng.random() < 0.2:
            attr |= segments.DOWN
    elif rng.random() < 0.2:
        attr |= segments.DOWN
        limit = rng.randrange(0x1000)
    return 0x28 + 8 * index | cpl, base, limit, attr


def setup(rng: Random) -> Setup:
    """Draw a case."""
    kind = rng.choice(KINDS)
    model = Model.MAX
    if kind == "real" and rng.random() < 0.4:
        model = rng.choice((Model.I8086, Model.I286))
    cpl = {"vm86": 3, "flat": rng.choice((0, 3)), "protected": rng.choice((0, 1, 3))}.get(kind, 0)
    found = [_segment(rng, kind, index, cpl) for index in range(6)]
    paged = kind in ("vm86", "flat", "protected") and rng.random() < 0.7
    memory = bytearray(rng.randbytes(SIZE))
    memory[:0x400] = struct.pack("<256I", *(0x00100000 | rng.randrange(0x400) for _ in range(256)))
    memory[DIRECTORY : TABLE + 0x1000] = bytes(0x2000)
    struct.pack_into("<I", memory, DIRECTORY, TABLE | 7)
    for page in range(PAGES):
        bits = 7 if page in (CODE >> 12, CODE - 0x1000 >> 12) else 0
        if not bits:
            bits = rng.choice((7, 7, 7, 7, 5, 3, 1, 0, 0x27, 0x67))
        frame = page if page < 0x10 or rng.random() < 0.8 else rng.randrange(0x10, PAGES)
        struct.pack_into("<I", memory, TABLE + 4 * page, frame << 12 | bits)
    base = found[segments.CS][1]
    code = _code(rng)
    memory[CODE : CODE + len(code)] = code
    limit = 0xFFFF if kind in ("real", "vm86", "big") else SIZE - 1
    registers = [
        rng.randrange(limit + 1) if rng.random() < 0.7 else integer(rng, 32) for _ in range(8)
    ]
    if rng.random() < 0.8:
        registers[4] = rng.randrange(0x10000) & ~3
    eflags = rng.randrange(1 << 12) & 0xCD5 | 2
    return Setup(
        kind, model, bytes(memory), registers, eflags, CODE - base, found, cpl, paged,
        rng.random() < 0.5, rng.random() < 0.8, rng.random() < 0.2,
    )  # fmt: skip


class Machine:
    """One strategy's machine, used for case after case."""

    def __init__(self, strategy: str) -> None:
        self.physical = Physical(SIZE)
        self.linear = Linear(self.physical)
        self.processor = Processor(self.linear, strategy)

    def run(self, case: Setup) -> Ended:
        """Run a case to its first exit."""
        p = self.processor
        cpu = p.cpu
        p.model = case.model
        p.reset()
        self.physical.write(0, case.memory)
        r32 = cpu.r32
        r32[_CR0] = (0 if case.kind in ("real", "big") else 1) | 0x10
        r32[_CR0] |= (CR0_PG if case.paged else 0) | (CR0_WP if case.wp else 0)
        r32[_CR0] |= segments.CR0_AM if case.aligned else 0
        r32[_CR3], r32[_CR4] = DIRECTORY, CR4_PSE | (segments.CR4_OSFXSR if case.sse else 0)
        cpu.eflags = case.eflags | (segments.EFLAGS_VM if case.kind == "vm86" else 0)
        cpu.eflags |= segments.EFLAGS_AC if case.aligned else 0
        for index, (selector, base, limit, attr) in enumerate(case.segments):
            segments.set_segment(cpu, index, selector, base, limit, attr)
        p.update_paging()
        for index, value in enumerate(case.registers):
            r32[index] = value
        cpu.eip = case.eip
        cpu.budget = BUDGET
        done = p.engine.run(cpu)
        return Ended(
            done,
            cpu.eip,
            tuple(r32[:8]),
            cpu.eflags,
            {name: self._field(name) for name in _FIELDS},
            self.physical.read(0, SIZE),
        )

    def _field(self, name: str) -> int:
        offset, width = FIELDS[name]
        return int.from_bytes(self.processor.cpu.r8[offset : offset + width // 8], "little")


def differences(one: Ended, two: Ended) -> list[str]:
    """Say what differs."""
    found = []
    for name in ("exit", "eip", "registers", "eflags"):
        a, b = getattr(one, name), getattr(two, name)
        if a != b:
            found.append(f"{name}: {a} {b}")
    for name, value in one.fields.items():
        if two.fields[name] != value:
            found.append(f"{name}: {value:#x} {two.fields[name]:#x}")
    if one.memory != two.memory:
        # Pages that code was looked ahead in may be marked as accessed, as by speculation.
        places = [i for i in range(SIZE) if one.memory[i] != two.memory[i]]
        table = range(DIRECTORY, TABLE + 0x1000)
        places = [i for i in places if i not in table or one.memory[i] | 32 != two.memory[i]]
        if not places:
            return found
        found.append(f"memory at {', '.join(hex(i) for i in places[:8])}")
    return found


def campaign(tier: str, seed: int, cases: int, step: object = None) -> list[str]:
    """Run cases; return a description of each that differs."""
    reference, machine = Machine("interp"), Machine(tier)
    failures = []
    for number in range(cases):
        rng = Random(f"{seed}:{number}")
        case = setup(rng)
        try:
            found = differences(reference.run(case), machine.run(case))
        except Exception as error:  # whatever it is: no guest may cause one
            found = [f"{type(error).__name__}: {error}"]
            reference, machine = Machine("interp"), Machine(tier)
        if found:
            code = case.memory[CODE : CODE + 40].hex()
            failures.append(
                f"--seed {seed} --only {number}: {case.kind} cpl {case.cpl} {case.model.name} "
                f"paged {case.paged} {code}\n    " + "\n    ".join(found)
            )
        if callable(step):
            step(number, len(failures))
    return failures


def main() -> int:
    """Run a campaign; 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.modes", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tier", default="stencil")
    parser.add_argument("--only", type=int, help="replay one case")
    options = parser.parse_args()
    begun = time.monotonic()
    if options.only is not None:
        case = setup(Random(f"{options.seed}:{options.only}"))
        for name in ("interp", options.tier):
            done = Machine(name).run(case)
            print(name, done.exit, hex(done.eip), [hex(r) for r in done.registers])
        return 0

    def step(number: int, failures: int) -> None:
        if sys.stderr.isatty() and number % 50 == 0:
            print(f"\r{number} cases, {failures} differ", end="", file=sys.stderr)

    failures = campaign(options.tier, options.seed, options.cases, step)
    for text in failures:
        print(text)
    print(
        f"{options.cases} cases on {options.tier}: {len(failures)} differ, "
        f"{time.monotonic() - begun:.0f} s"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
