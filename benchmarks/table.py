"""Rows -> a Markdown table that can be pasted into the README."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import figures
from benchmarks.figures import Clock
from benchmarks.race import Row

_NONE = "-"


@dataclass(frozen=True, slots=True)
class Look:
    """What a table shows."""

    peers: Sequence[str]  # its columns
    clock: Clock
    baseline: str | None  # what the others are compared with
    by_time: bool = False  # ratios of times (3: three times as slow), not of speeds

    def relative(self, speed: float) -> str:
        """Write a relative speed as this table has it."""
        return f"{ratio(1 / speed)}x" if self.by_time else ratio(speed)


def seconds(value: float) -> str:
    """Write a time with two or three digits."""
    if value >= 0.995:
        return f"{value:.2f} s"
    return f"{value * 1000:.{int(value < 0.00995)}f} ms"


def ratio(value: float) -> str:
    """Write a ratio with two or three digits."""
    digits = 0 if value >= 9.95 else 2 if value >= 0.095 else 3
    return f"{value:.{digits}f}"


def line(cells: Sequence[str]) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def head(cells: Sequence[str]) -> str:
    """Return the head of a Markdown table, numbers to the right."""
    return f"{line(cells)}\n|---|{'---:|' * (len(cells) - 1)}"


def _cell(row: Row, peer: str, look: Look) -> str:
    if reason := row.cells[peer].skipped:
        return reason
    value = figures.median(row, peer, look.clock)
    if value is None:
        return _NONE
    if look.baseline is None or peer == look.baseline:
        return seconds(value)
    speed = figures.speed(row, peer, look.baseline, look.clock)
    return seconds(value) if speed is None else f"{seconds(value)} ({look.relative(speed)})"


def _means(rows: Sequence[Row], group: str, other: str, look: Look) -> str | None:
    texts = []
    for peer in look.peers:
        mean = None if peer == other else figures.mean_speed(rows, peer, other, look.clock)
        texts.append("" if mean is None else f"**{look.relative(mean)}**")
    what = "time" if look.by_time else "speed"
    return line([f"*{group}: mean {what}, {other} = 1*", *texts]) if any(texts) else None


def table(rows: Sequence[Row], look: Look) -> str:
    """Return medians with ratios to the baseline, groups' geometric means, and what is left out."""
    measured = [row for row in rows if not row.skipped]
    lines = [head(["workload", *look.peers])]
    lines += [
        line([row.workload.name, *(_cell(row, peer, look) for peer in look.peers)])
        for row in measured
    ]
    for group in dict.fromkeys(row.workload.group for row in measured):
        members = [row for row in measured if row.workload.group == group]
        others = [peer for peer in ("native", "qemu-i386") if peer in look.peers]
        if len(members) > 1:
            lines += [text for o in others if (text := _means(members, group, o, look))]
    skipped = [f"- {row.workload.name} is left out: {row.skipped}" for row in rows if row.skipped]
    return "\n".join([*lines, *([""] if skipped else []), *skipped])
