"""Rows -> a Markdown table that can be pasted into the README."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import figures
from benchmarks.figures import Clock
from benchmarks.race import Row

_NONE = "-"


def seconds(value: float) -> str:
    """Write a time with two or three digits."""
    if value >= 0.995:
        return f"{value:.2f} s"
    return f"{value * 1000:.{int(value < 0.00995)}f} ms"


def ratio(value: float) -> str:
    """Write a relative speed."""
    digits = 0 if value >= 9.95 else 2 if value >= 0.095 else 3
    return f"{value:.{digits}f}"


def _cell(row: Row, peer: str, baseline: str | None, clock: Clock) -> str:
    if reason := row.skipped or row.cells[peer].skipped:
        return reason if not row.skipped else _NONE
    value = figures.median(row, peer, clock)
    if value is None:
        return _NONE
    if baseline is None or peer == baseline:
        return seconds(value)
    relative = figures.speed(row, peer, baseline, clock)
    return f"{seconds(value)} ({ratio(relative)})" if relative is not None else seconds(value)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def table(
    rows: Sequence[Row], peers: Sequence[str], baseline: str | None, clock: Clock, first: str
) -> str:
    """Return medians, with the speed relative to *baseline* in parentheses, and groups' means."""
    lines = [_line([first, *peers]), "|---" * (len(peers) + 1) + "|"]
    for row in rows:
        cells = [_cell(row, peer, baseline, clock) for peer in peers]
        lines.append(_line([row.workload.name, *cells]))
    for group in dict.fromkeys(row.workload.group for row in rows):
        members = [row for row in rows if row.workload.group == group]
        for other in [peer for peer in ("native", "qemu-i386") if peer in peers]:
            if len(members) < 2:
                continue
            means = [
                figures.mean_speed(members, peer, other, clock) if peer != other else None
                for peer in peers
            ]
            if any(mean is not None for mean in means):
                texts = ["" if mean is None else f"**{ratio(mean)}**" for mean in means]
                lines.append(_line([f"*{group}: mean speed, {other} = 1*", *texts]))
    skipped = [f"{row.workload.name} is left out: {row.skipped}." for row in rows if row.skipped]
    return "\n".join([*lines, *([""] if skipped else []), *skipped])
