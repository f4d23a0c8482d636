"""Rows -> the JSON document of --json. README.md here describes it; SCHEMA names its version."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import figures
from benchmarks.embed import Measurement
from benchmarks.race import Cell, Row

SCHEMA = "jitemu-bench-1"


def _cell(row: Row, peer: str, cell: Cell) -> dict[str, Any]:
    found: dict[str, Any] = {"skipped": cell.skipped or None}
    found["samples"] = [
        {
            "wall": sample.wall,
            "user": sample.user,
            "system": sample.system,
            "steady": sample.steady,
            "max_rss": sample.max_rss,
        }
        for sample in cell.samples
    ]
    for name, clock in figures.CLOCKS.items():
        if cell.samples and (name != "steady" or cell.samples[0].steady is not None):
            found[f"median_{name}"] = figures.median(row, peer, clock)
    return found


def of_rows(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the part of the document about whole processes."""
    found = [
        {
            "workload": row.workload.name,
            "group": row.workload.group,
            "skipped": row.skipped or None,
            "peers": {name: _cell(row, name, cell) for name, cell in row.cells.items()},
        }
        for row in rows
    ]
    return {"rows": found}


def of_measurements(found: Sequence[Measurement]) -> dict[str, Any]:
    """Return the part of the document about the suite `embed`."""
    rows = [
        {"what": one.name, "unit": one.unit, "is_rate": one.is_rate, "peers": one.values}
        for one in found
    ]
    return {"measurements": rows}


def save(path: Path, document: dict[str, Any]) -> None:
    """Write a document, in one step."""
    partial = path.with_name(f".{path.name}.new")
    partial.write_text(json.dumps(document, indent=1) + "\n")
    partial.replace(path)
