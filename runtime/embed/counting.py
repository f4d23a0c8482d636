"""Counters and coverage: what host code notes by itself, without any call."""

from __future__ import annotations

import ctypes
import struct
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from runtime.embed.sharing import free_counters, new_counters
from translator.hooks import CAPTURE, RING, Cover, Range
from translator.hooks import Counter as Mark
from translator.state import GPRS

if TYPE_CHECKING:
    from runtime.embed.machine import Machine

BLOCKS_MAX = 1 << 16  # that one coverage tells apart


class Counter:
    """Counts insns, or blocks, whose addresses lie in a range."""

    def __init__(self, machine: Machine, where: Range, *, blocks: bool) -> None:
        self._machine = machine
        self._address = new_counters(1)
        self._number = ctypes.c_uint64.from_address(self._address)
        self._mark = Mark(where, self._address)
        self._marks = machine.marks.block_counts if blocks else machine.marks.insn_counts
        self._marks.append(self._mark)
        machine.remark(where)
        self._free = weakref.finalize(machine, free_counters, self._address, 1)

    @property
    def value(self) -> int:
        """How many there were so far."""
        return int(self._number.value)

    @value.setter
    def value(self, number: int) -> None:
        self._number.value = number

    def remove(self) -> None:
        """Stop counting; the value stays."""
        if self._mark in self._marks:
            self._marks.remove(self._mark)
            self._machine.remark(self._mark.range)
            self._number = ctypes.c_uint64(self.value)
            self._free()


class Capture:
    """Keeps the values that registers have whenever an insn is about to run."""

    def __init__(self, machine: Machine, address: int, registers: Sequence[str]) -> None:
        self._machine, self.registers = machine, tuple(registers)
        # So that all values of one time fit in the ring: a power of two.
        if len(self.registers) not in (1, 2, 4, 8) or not set(self.registers) <= set(GPRS):
            raise ValueError("1, 2, 4 or 8 general registers can be captured, such as 'eax'")
        words = 1 + RING // 2
        self._address = new_counters(words)
        self._done = ctypes.c_uint64.from_address(self._address)
        area = (ctypes.c_uint32 * RING).from_address(self._address + 8)
        # A row a time, a column a register; the oldest row is overwritten when all are used.
        self.ring = np.ctypeslib.as_array(area).reshape(-1, len(self.registers))
        hows = tuple(CAPTURE + GPRS.index(name) for name in self.registers)
        self._mark = Mark((address, address), self._address, hows)
        machine.marks.insn_counts.append(self._mark)
        machine.remark(self._mark.range)
        self._free = weakref.finalize(machine, free_counters, self._address, words)

    @property
    def times(self) -> int:
        """How often the insn was about to run."""
        return int(self._done.value) // len(self.registers)

    @property
    def values(self) -> Any:
        """A copy of the rows that are kept, the oldest first."""
        times, rows = self.times, len(self.ring)
        return self.ring[:times].copy() if times <= rows else np.roll(self.ring, -times % rows, 0)

    def clear(self) -> None:
        """Forget all values."""
        self._done.value = 0

    def remove(self) -> None:
        """Stop; what was kept stays."""
        counts = self._machine.marks.insn_counts
        if self._mark in counts:
            counts.remove(self._mark)
            self._machine.remark(self._mark.range)
            self.ring, self._done = self.ring.copy(), ctypes.c_uint64(self._done.value)
            self._free()


class Covered(NamedTuple):
    """A block that was run: address and bytes."""

    pc: int
    size: int


class Coverage:
    """Notes which blocks of a range were run."""

    def __init__(self, machine: Machine, where: Range) -> None:
        self._machine = machine
        words = BLOCKS_MAX // 8
        self._address = new_counters(words)
        # A byte a block, in the order in which they were translated; the last is everybody else's.
        self.bitmap = np.ctypeslib.as_array(
            (ctypes.c_uint8 * BLOCKS_MAX).from_address(self._address)
        )
        self._places: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        self._mark = Cover(where, self._place)
        machine.marks.covers.append(self._mark)
        machine.remark(where)
        self._free = weakref.finalize(machine, free_counters, self._address, words)

    def _place(self, pc: int) -> int:
        place = self._places.get(pc)
        if place is None:
            place = self._places[pc] = min(len(self._places), BLOCKS_MAX - 1)
            self._sizes[pc] = self._machine.extent(pc)
        return self._address + place

    @property
    def blocks(self) -> list[Covered]:
        """The blocks that were run, by address."""
        return [
            Covered(pc, self._sizes[pc])
            for pc, place in sorted(self._places.items())
            if self.bitmap[place]
        ]

    def clear(self) -> None:
        """Forget what was run."""
        self.bitmap[:] = 0

    def remove(self) -> None:
        """Stop noting; what was noted stays."""
        covers = self._machine.marks.covers
        if self._mark in covers:
            covers.remove(self._mark)
            self._machine.remark(self._mark.range)
            self.bitmap = self.bitmap.copy()
            self._free()

    def write_drcov(self, path: Path | str, name: str, base: int, size: int) -> int:
        """Write the blocks of one module, mapped at *base*, as drcov version 2; return how many."""
        rows = [block for block in self.blocks if base <= block.pc < base + size]
        head = (
            "DRCOV VERSION: 2\nDRCOV FLAVOR: drcov\n"
            "Module Table: version 2, count 1\n"
            "Columns: id, base, end, entry, path\n"
            f" 0, {base:#018x}, {base + size:#018x}, {0:#018x}, {name}\n"
            f"BB Table: {len(rows)} bbs\n"
        )
        body = b"".join(struct.pack("<IHH", pc - base, length, 0) for pc, length in rows)
        Path(path).write_bytes(head.encode() + body)
        return len(rows)
