"""A file of a suite of vectors on one tier -> a report."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from tests import hw32
from tests.machine import Bare
from tests.running import SUITES
from tests.vectors import quirks, table386
from tests.vectors.chips import SUITES_OF_CHIPS, Chip

HW32 = ("ops", "seq")
ALL = (*SUITES_OF_CHIPS, "hw32", "test386")


class Report(NamedTuple):
    """What one file gave."""

    file: str
    vectors: int
    excluded: int
    failed: list[str]


def files_of(suite: str) -> list[str]:
    """Return the files of a suite that are there."""
    if suite == "hw32":
        return [name for name in HW32 if (SUITES / "hw32" / f"{name}.jsonl.gz").exists()]
    if suite == "test386":
        return ["table"] if table386.PATH.exists() else []
    return SUITES_OF_CHIPS[suite].files()


@cache
def _chip(suite: str, tier: str) -> Chip:
    return Chip(SUITES_OF_CHIPS[suite].model, tier)


def check_file(chip: Chip, suite_name: str, file: str, step: int = 1, offset: int = 0) -> Report:
    """Run every *step*-th vector of a chip's file."""
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


def _check_hw32(tier: str, file: str, step: int) -> Report:
    machine = Bare(tier)
    total, failed = 0, []
    for item in hw32.load(SUITES / "hw32" / f"{file}.jsonl.gz", step):
        total += 1
        if problems := hw32.differences(machine.run(item.code, item.cases)[0], item):
            failed.append(f"{item.form} {item.name}: {'; '.join(problems[:6])}")
    machine.close()
    return Report(file, total, 0, failed)


def run_work(work: tuple[str, str, str, int]) -> Report:
    """Run a suite's file on a tier, with a step: for pools."""
    suite, file, tier, step = work
    if suite == "hw32":
        return _check_hw32(tier, file, step)
    if suite == "test386":
        total, failed = table386.check(tier, step)
        return Report(file, total, 0, failed)
    return check_file(_chip(suite, tier), suite, file, step)
