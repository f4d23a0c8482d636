"""Random programs with loops, calls and jump tables, as their code becomes regions."""

from __future__ import annotations

import pytest

from tests import programs
from tests.native.host import Native, NativeError
from tests.running import STRATEGIES

COUNT = {"interp": 3, "stencil": 20, "block": 4, "region": 10, "tiered": 20}
SEED = 4200


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
    """They end as they do on this CPU, whenever their regions come."""
    machine, bad = programs.Eager(tier), []
    for seed, program in programs.programs(SEED, COUNT[tier]):
        found = programs.check(program, native, machine)
        bad += [f"seed {seed}, run {number}: {lines}" for number, lines in found.problems[:1]]
    counts = machine.engine.tiering.counts
    machine.engine.close()
    assert not bad, "\n".join(bad)
    assert not machine.crashes
    if tier in ("region", "tiered"):
        assert counts.formed > COUNT[tier] // 2
        assert counts.failed == 0
