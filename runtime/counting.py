"""Counters of an engine, which its parts add to, and what a process takes."""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from runtime.blocktable import BlockTable
from translator.quick import layout
from translator.state import Exit as Kind


class Statistics:
    """What an engine did: counts, and seconds of translating. Native code counts in the table."""

    def __init__(self, table: BlockTable) -> None:
        self.table = table
        self.insns_interpreted = 0
        self.invalidations = 0
        self.compile_seconds = 0.0
        self.exits: Counter[int] = Counter()  # to Python
        self._seconds = 0.0
        self.clock = table.arena.function("clock", ctypes.c_int64, keep_gil=True)
        self._begun = time.perf_counter(), self.clock()

    def _field(field: int) -> property:  # type: ignore[misc]  # noqa: N805
        return property(
            lambda self: self.table.get(field), lambda self, count: self.table.set(field, count)
        )

    blocks = _field(layout.MADE)
    insns_translated = _field(layout.MADE_INSNS)

    def install_ticks(self) -> int:
        """Return how far `clock` went while compiled code translated and installed blocks."""
        return self.table.get(layout.CYCLES)

    @property
    def install_seconds(self) -> float:
        """The same in seconds, by the clock on the wall."""
        time_begun, clock_begun = self._begun
        ticks = self.clock() - clock_begun
        return self.install_ticks() * (time.perf_counter() - time_begun) / ticks if ticks else 0.0

    @property
    def translate_seconds(self) -> float:
        """Seconds of CPU time that translation needed, compilation included."""
        return self._seconds + self.install_seconds

    def add_translating(self, seconds: float) -> None:
        """Add what Python needed for translation."""
        self._seconds += seconds

    def exits_by_name(self) -> dict[str, int]:
        """Return how often native code left, by cause."""
        return {Kind.NAMES[kind]: count for kind, count in self.exits.most_common()}


@dataclass(slots=True)
class RegionCounts:
    """What became of regions."""

    formed: int = 0
    compiled: int = 0
    cached: int = 0
    failed: int = 0
    dropped: int = 0  # their code changed before they were compiled
    insns: int = 0
    compile_seconds: float = 0.0  # of processor time of the compiling process
    samples: int = 0
    samples_inside: int = 0  # of them, in regions
    insns_sampled: int = 0  # that ran between samples
    insns_inside: int = 0  # of them, in regions


def peak_memory(process: int | str) -> int:
    """Return the bytes that a process had in memory at most (proc(5), VmHWM); 0 if unknown."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "VmHWM":
                return int(value.split()[0]) << 10
    return 0
