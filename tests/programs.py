"""Random programs on this CPU and on a tier, with regions that come while they run.

    python -m tests.programs --programs 2000 --seed 1 --tier tiered

Each program of tests/generate/program.py runs from several start states, twice: regions are
compiled after the first samples, and linked in between two runs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

import numpy as np

from tests import compare
from tests.generate.program import Program, program
from tests.machine import BUDGET, TIMEOUT_SIGNAL, Bare
from tests.native import layout
from tests.native.host import Native

STATES = 4
SLICE = 150  # insns between samples
BUDGET_USED_UP = 0xFFFF


class Eager(Bare):
    """A machine whose hot code is a region after a few hundred insns."""

    def __init__(self, tier: str) -> None:
        """Let everything that is seen running become a region."""
        super().__init__(tier)
        self.insns = 0
        tiering = self.engine.tiering
        if tiering.mode == "when hot":
            tiering.set_threshold(1)
            tiering.thresholds.first_slice = tiering.slice = SLICE
            tiering.thresholds.last_slice = 2 * SLICE

    def load(self, code: bytes) -> None:
        """Replace the program; what was tried for the last one does not count."""
        if code != self.image:
            self.engine.tiering.trim()
        super().load(code)

    def run_one(self, case: np.void, result: np.void) -> None:
        """Run a case, then wait for the regions that it asked for."""
        super().run_one(case, result)
        self.insns += BUDGET - self.cpu.budget
        end = time.monotonic() + 30
        while self.engine.tiering.jobs and time.monotonic() < end:
            time.sleep(0.0005)


class Found(NamedTuple):
    """What a program's runs gave: differences, each with its run; how many were left out."""

    problems: list[tuple[int, list[str]]]
    runs: int
    skipped: int


def check(given: Program, native: Native, machine: Bare, passes: int = 2) -> Found:
    """Run a program on both machines."""
    cases = given.cases
    wanted = native.run(given.code, cases).copy()
    problems, skipped = [], 0
    for number in range(passes * len(cases)):
        want = wanted[number % len(cases)]
        got = machine.run(given.code, cases[number % len(cases)][None])[0]
        if want["signal"] == TIMEOUT_SIGNAL or got["vector"] == BUDGET_USED_UP or leaves(got):
            skipped += 1
            continue
        mask = given.undefined.get(int(want["eip"]) - layout.CODE, 0)
        if lines := compare.differences(got, want, mask):
            problems.append((number, lines))
    return Found(problems, passes * len(cases), skipped)


def leaves(result: np.void) -> bool:
    """Whether a case reached for the executor's own pages, which the tier does not have."""
    return bool(result["vector"] == 14 and layout.OWN_BEGIN <= result["cr2"] < layout.OWN_END)


def programs(seed: int, count: int) -> Iterator[tuple[int, Program]]:
    """Yield programs with their own seeds."""
    for number in range(count):
        yield seed + number, program(Random(seed + number), STATES)


def main() -> int:
    """Run the campaign that the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--programs", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first program (1)")
    parser.add_argument("--tier", default="tiered", help="a strategy (tiered)")
    options = parser.parse_args()
    machine, start = Eager(options.tier), time.monotonic()
    runs = skipped = bad = 0
    with Native() as native:
        for seed, each in programs(options.seed, options.programs):
            found = check(each, native, machine)
            runs, skipped = runs + found.runs, skipped + found.skipped
            if found.problems:
                bad += 1
                which, lines = [n for n, _ in found.problems], found.problems[0][1]
                print(
                    f"--seed {seed} --programs 1: in runs {which}; {'; '.join(lines[:6])}",
                    flush=True,
                )
            if machine.crashes:
                print(f"--seed {seed} --programs 1: {dict(machine.crashes)}", flush=True)
                machine.crashes.clear()
    counts, seconds = machine.engine.tiering.counts, time.monotonic() - start
    print(
        f"tier {options.tier}, seeds from {options.seed}, {seconds:.0f} s: "
        f"{options.programs:,} programs, {runs:,} runs, {skipped:,} of them skipped, "
        f"{machine.insns:,} insns, {counts.formed:,} regions ({counts.failed:,} not compiled); "
        f"{bad:,} programs differ"
    )
    machine.engine.close()
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
