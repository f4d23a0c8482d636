"""A file of captured vectors on one tier -> a report."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from tests.vectors import quirks
from tests.vectors.chips import SUITES_OF_CHIPS, Chip


class Report(NamedTuple):
    """What one file gave."""

    file: str
    vectors: int
    excluded: int
    failed: list[str]


@cache
def _chip(suite: str, tier: str) -> Chip:
    return Chip(SUITES_OF_CHIPS[suite].model, tier)


def check_file(chip: Chip, suite_name: str, file: str, step: int = 1, offset: int = 0) -> Report:
    """Run every *step*-th vector of a file."""
    suite = SUITES_OF_CHIPS[suite_name]
    total = excluded = 0
    failed = []
    for row in suite.rows(file, step, offset):
        if (suite_name, file, row["idx"]) in quirks.EXCLUDED:
            excluded += 1
            continue
        total += 1
        if problems := chip.run(row, quirks.compared_flags(row, suite.model, file)):
            text = f"{file} {row['idx']} {row['name']} {row['bytes']}: {'; '.join(problems[:6])}"
            failed.append(text)
    return Report(file, total, excluded, failed)


def run_work(work: tuple[str, str, str, int]) -> Report:
    """Run a suite's file on a tier, with a step: for pools."""
    suite, file, tier, step = work
    return check_file(_chip(suite, tier), suite, file, step)
