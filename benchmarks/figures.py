"""Samples -> medians and ratios. Ratios are taken within a round, then their median."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from benchmarks.race import Row
from benchmarks.sample import Sample

Clock = Callable[[Sample], float]
_TICK = 1e-4  # seconds; below it a clock says nothing


def cpu(sample: Sample) -> float:
    """Processor seconds of the whole process: all its threads and children."""
    return sample.cpu


def wall(sample: Sample) -> float:
    """Seconds by the clock."""
    return sample.wall


def steady(sample: Sample) -> float:
    """Processor seconds that the guest's own thread spent in its second half."""
    return sample.steady or 0.0


CLOCKS: dict[str, Clock] = {"cpu": cpu, "wall": wall, "steady": steady}


def median(row: Row, peer: str, clock: Clock) -> float | None:
    """Return a peer's median time, or None if it has none."""
    values = [clock(sample) for sample in row.cells[peer].samples]
    return statistics.median(values) if values else None


def ratios(row: Row, peer: str, other: str, clock: Clock) -> list[float]:
    """Return how fast *peer* is relative to *other* (2: half the time), a value a round."""
    pairs = zip(row.cells[peer].samples, row.cells[other].samples, strict=False)
    return [max(clock(b), _TICK) / max(clock(a), _TICK) for a, b in pairs]


def speed(row: Row, peer: str, other: str, clock: Clock) -> float | None:
    """Return the median of `ratios`, or None if there are none."""
    found = ratios(row, peer, other, clock)
    return statistics.median(found) if found else None


def mean_speed(rows: Sequence[Row], peer: str, other: str, clock: Clock) -> float | None:
    """Return the geometric mean over rows; None unless every row that *other* ran has a ratio."""
    found = [speed(row, peer, other, clock) for row in rows if row.cells[other].samples]
    known = [value for value in found if value is not None]
    if not known or len(known) < len(found):
        return None
    return math.exp(statistics.fmean(map(math.log, known)))
