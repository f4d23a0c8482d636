"""Rows -> a grouped bar chart of ratios, log scale, as SVG or PNG. Needs matplotlib."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import figures
from benchmarks.race import Row
from benchmarks.table import Look
from benchmarks.workload import UnavailableError

SUFFIXES = (".svg", ".png")
_COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860")


def check(path: Path) -> None:
    """Complain before hours of measuring.

    Raises ValueError for a wrong suffix, UnavailableError if the library is missing.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"--plot {path}: the name must end in {' or '.join(SUFFIXES)}")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UnavailableError(
            "--plot needs matplotlib: pip install matplotlib (or leave --plot out)"
        ) from None


def plot(path: Path, title: str, rows: Sequence[Row], look: Look) -> None:
    """Draw one bar per workload and peer: its speed (or time) relative to the baseline."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "jitemu"  # the same picture for the same data
    from matplotlib import pyplot

    measured = [row for row in rows if not row.skipped]
    peers = [peer for peer in look.peers if peer != look.baseline]
    width = 0.8 / max(1, len(peers))
    figure, axes = pyplot.subplots(figsize=(max(6.0, 0.55 * len(measured) + 2), 4.2))
    for number, peer in enumerate(peers):
        offset = (number - (len(peers) - 1) / 2) * width
        places, heights, low, high = [], [], [], []
        for place, row in enumerate(measured):
            values = _ratios(row, peer, look)
            if values:
                middle = statistics.median(values)
                places.append(place + offset)
                heights.append(middle)
                low.append(middle - min(values))
                high.append(max(values) - middle)
        axes.bar(
            places,
            heights,
            width,
            label=peer,
            color=_COLOURS[number % len(_COLOURS)],
            yerr=(low, high),
            error_kw={"linewidth": 0.7, "ecolor": "#333333"},
        )
    _decorate(axes, title, [row.workload.name for row in measured], look)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=150)
    pyplot.close(figure)


def _ratios(row: Row, peer: str, look: Look) -> list[float]:
    if look.baseline is None:
        return []
    found = figures.ratios(row, peer, look.baseline, look.clock)
    return [1 / value for value in found] if look.by_time else found


def _decorate(axes: Any, title: str, names: list[str], look: Look) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.axhline(1, color="#333333", linewidth=1)
    what = "time" if look.by_time else "speed"
    axes.set_ylabel(f"{what}, {look.baseline} = 1")
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right")
    axes.grid(axis="y", which="both", linewidth=0.4, alpha=0.5)
    axes.set_axisbelow(True)
    axes.set_title(title, fontsize=11)
    axes.legend(frameon=False, ncols=4, fontsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
