"""Counters of an engine, which its parts add to, and what a process takes."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from translator.state import Exit as Kind


@dataclass(slots=True)
class Statistics:
    """What an engine did: counts, and seconds of translating."""

    blocks: int = 0
    insns_translated: int = 0
    insns_interpreted: int = 0
    invalidations: int = 0
    translate_seconds: float = 0.0  # of CPU time, compilation included
    compile_seconds: float = 0.0
    exits: Counter[int] = field(default_factory=Counter)

    def exits_by_name(self) -> dict[str, int]:
        """Return how often native code left, by cause."""
        return {Kind.NAMES[kind]: count for kind, count in self.exits.most_common()}


def peak_memory(process: int | str) -> int:
    """Return the bytes that a process had in memory at most (proc(5), VmHWM); 0 if unknown."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "VmHWM":
                return int(value.split()[0]) << 10
    return 0
