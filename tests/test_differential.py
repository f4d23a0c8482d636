"""A sample of the differential test over every opcode row, on every tier."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from tests import differential
from tests.machine import Bare
from tests.native.host import Native, NativeError
from tests.running import STRATEGIES

CASES = {"interp": 2_000, "stencil": 12_000, "block": 400}
OTHERS = 2_000  # of each other strategy
SEED = 20260
# What campaigns found, as lines for `--replay`.
FOUND = Path(__file__).parent / "data" / "differential.jsonl"


@pytest.fixture(scope="module")
def native() -> Native:
    """Return the host CPU as a machine, or skip saying what is missing."""
    try:
        machine = Native()
        machine.start().kill()
    except NativeError as problem:
        pytest.skip(f"no native i386 execution: {problem}")
    return machine


@pytest.mark.parametrize("tier", STRATEGIES)
def test_sample(tier: str, native: Native) -> None:
    """Random insns and sequences do what they do on this CPU."""
    machine = Bare(tier)
    failures = []
    for batch in differential.batches(Random(SEED), CASES.get(tier, OTHERS)):
        outcome = differential.check_batch(native, machine, batch)
        failures += [differential.show(item, problems) for item, problems in outcome.failed]
    assert not failures, "\n".join([f"{len(failures)} differ:", *failures[:15]])


@pytest.mark.parametrize("tier", STRATEGIES)
def test_found_cases(tier: str, native: Native) -> None:
    """What once differed does not differ again."""
    machine = Bare(tier)
    for number, line in enumerate(FOUND.read_text().splitlines(), 1):
        problems = differential.replay(line, native, machine)
        assert not problems, f"line {number}: {problems}"


def test_generator_reaches_every_row() -> None:
    """Within the sample of the stencil tier each row of the opcode tables comes up."""
    seen = set()
    for batch in differential.batches(Random(SEED), CASES["stencil"]):
        seen |= {item.name for item in batch.items}
    assert {row.mnemonic for row in differential.testable_rows()} <= seen


def test_every_image_becomes_regions() -> None:
    """However many a machine has run before, it takes the next one for no code that changes."""
    machine, formed = Bare("region"), []
    batch = next(differential.batches(Random(SEED), 4, 2))
    for _ in range(20):
        machine.run(b"", batch.cases[:0])
        machine.run(batch.code, batch.cases)
        formed.append(machine.engine.tiering.counts.formed)
    assert all(later > before for before, later in pairwise(formed)), formed
