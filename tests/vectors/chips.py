"""One insn of a captured real-mode vector (sst_8086, sst_80286) -> what differs from the chip.

The processor runs the insn and the HLT behind it.  sst_8086 has no HLT: one is put where the
insn ends, unless something else is there; then the budget ends the run after one insn, which the
interp tier executes.
"""

from __future__ import annotations

import ctypes
import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from runtime.memory import Memory
from runtime.system.processor import Processor
from tests.running import SUITES
from tests.vectors import quirks
from translator.mode import Model

MEMORY = 0x110000  # FFFF:FFFF and what lies below
REGISTERS = ("ax", "cx", "dx", "bx", "sp", "bp", "si", "di")
SEGMENTS = {"es": 0, "cs": 1, "ss": 2, "ds": 3}
FLAGS = 0x0FFF  # IOPL and NT are not kept in real mode
HLT, NOP = 0xF4, 0x90
BUDGET = 2_000  # counts of REP stay below 300
NEAR = 4  # insns of a region: more would be those of empty memory, where no vector leads
FIXED_FLAGS = {Model.I8086: 0xF002, Model.I286: 2}


class Suite(NamedTuple):
    """A folder of captured vectors."""

    name: str
    model: Model

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return SUITES / self.name

    def files(self) -> list[str]:
        """Return the names of all files: opcode, and reg field of groups."""
        return sorted(p.name.removesuffix(".jsonl.gz") for p in self.folder.glob("*.jsonl.gz"))

    def rows(self, file: str, step: int = 1, offset: int = 0) -> Iterator[dict[str, Any]]:
        """Yield every *step*-th vector of a file."""
        with gzip.open(self.folder / f"{file}.jsonl.gz") as lines:
            for number, line in enumerate(lines):
                if number % step == offset:
                    yield json.loads(line)


SUITES_OF_CHIPS = {
    suite.name: suite for suite in (Suite("sst_8086", Model.I8086), Suite("sst_80286", Model.I286))
}


class Chip:
    """A processor in real mode with nothing but memory."""

    def __init__(self, model: Model, tier: str) -> None:
        self.model, self.tier = model, tier
        self.memory = Memory()
        self.memory.min_address = 0
        self.memory.map(0, MEMORY, 7, fixed=True)
        self.processor = Processor(self.memory, tier, model)
        self.processor.engine.tiering.thresholds.at_once = NEAR
        host = (ctypes.c_ubyte * MEMORY).from_address(self.memory.base)
        self.view = memoryview(host).cast("B")
        self.zero = bytes(MEMORY)

    def close(self) -> None:
        """Give the memory back."""
        self.view.release()
        self.memory.close()

    def _poke(self, values: Iterable[tuple[int, int]]) -> None:
        """Write bytes, and forget the code there.

        While nothing is executable, so that it is no program that rewrites itself: no region is
        made of what lies in a page that is written to again and again.
        """
        self.memory.protect(0, MEMORY, 3)
        for address, value in values:
            self.view[address] = value
        self.memory.protect(0, MEMORY, 7)

    def _start(self, regs: dict[str, int]) -> None:
        cpu = self.processor.cpu
        for number, name in enumerate(REGISTERS):
            cpu.r32[number] = regs[name]
        for name, index in SEGMENTS.items():
            self.processor.set_real_segment(index, regs[name])
        cpu.eflags = regs["flags"] & FLAGS | 2
        cpu.eip = regs["ip"]

    def run(self, row: dict[str, Any], mask: int = 0xFFFF) -> list[str]:
        """Run one vector; return what differs in registers, memory and the flags of *mask*."""
        initial, final = row["initial"], row["final"]
        before = dict(initial["ram"])
        want = initial["regs"] | final["regs"]
        after = before | dict(final["ram"])
        is_8086 = self.model == Model.I8086
        end = (want["cs"] << 4) + want["ip"] & 0xFFFFF
        has_hlt = not is_8086 or before.get(end, NOP) == NOP == after.get(end, NOP)
        if has_hlt and is_8086:
            before[end] = after[end] = HLT
            want = want | {"ip": want["ip"] + 1 & 0xFFFF}
        self._poke(before.items())
        self._start(initial["regs"])
        try:
            problems = self._execute(row, has_hlt)
        except Exception as crash:  # the emulator's own error is this vector's result
            problems = [f"{type(crash).__name__}: {crash}"]
        problems = problems or self._compare(row, want, after, mask)
        self._poke(dict.fromkeys(after, 0).items())
        if bytes(self.view) != self.zero:
            stray = next(i for i, byte in enumerate(bytes(self.view)) if byte)
            problems.append(f"[{stray:x}] {self.view[stray]:02x} was written")
            self._poke(enumerate(self.zero))
        return problems

    def _execute(self, row: dict[str, Any], has_hlt: bool) -> list[str]:
        cpu = self.processor.cpu
        if has_hlt:
            cpu.budget = BUDGET
            done = self.processor.run()
            return [] if done.kind == "halt" else [f"ended by {done}"]
        cpu.budget = 1
        done = self.processor.run()
        return [] if done.kind == "budget" else [f"ended by {done}"]

    def _compare(
        self, row: dict[str, Any], want: dict[str, int], after: dict[int, int], mask: int
    ) -> list[str]:
        cpu, problems = self.processor.cpu, []
        got = {name: cpu.r32[number] & 0xFFFF for number, name in enumerate(REGISTERS)}
        got |= {name: getattr(cpu, name) for name in SEGMENTS} | {"ip": cpu.eip}
        for name, value in got.items():
            if value != want[name]:
                problems.append(f"{name} {value:04x} not {want[name]:04x}")
        if wrong := (cpu.eflags ^ want["flags"]) & mask & FLAGS:
            problems.append(f"flags {cpu.eflags & FLAGS:03x} wrong {wrong:03x}")
        image = quirks.flags_image(row, self.model)
        for address, value in after.items():
            ignored = 0
            if image is not None and address - image in (0, 1):
                ignored = ~mask >> 8 * (address - image) & 0xFF
            if (self.view[address] ^ value) & ~ignored & 0xFF:
                problems.append(f"[{address:x}] {self.view[address]:02x} not {value:02x}")
        return problems
