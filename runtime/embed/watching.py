"""Ranges of addresses that host code compares accesses with."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from runtime.cpu import Cpu
from translator.hooks import Range
from translator.state import FIELDS, WATCH_RANGES

_END = 1 << 32


def merged(ranges: Iterable[Range], most: int) -> list[Range]:
    """Return at most *most* ranges of 32-bit addresses that cover all of some; the fewest more."""
    found: list[Range] = []
    for first, last in sorted(ranges):
        if first >= _END:
            continue
        last = min(last, _END - 1)
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(found[-1][1], last)
        else:
            found.append((first, last))
    while len(found) > most:
        gaps = [after[0] - before[1] for before, after in itertools.pairwise(found)]
        at = gaps.index(min(gaps))
        found[at : at + 2] = [(found[at][0], found[at + 1][1])]
    return found


def set_ranges(cpu: Cpu, kind: str, ranges: Iterable[Range]) -> None:
    """Let accesses of a kind, r or w, be compared with some ranges."""
    wanted = merged(ranges, WATCH_RANGES)
    for i in range(WATCH_RANGES):
        first, last = wanted[i] if i < len(wanted) else (0, -1)
        cpu.r32[FIELDS[f"watch_{kind}{i}_first"].offset // 4] = first
        cpu.r64[FIELDS[f"watch_{kind}{i}_size"].offset // 8] = last - first + 1
