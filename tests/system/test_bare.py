"""Protected mode against QEMU: gates, tasks, interrupts, segments, stepping (bare/)."""

from __future__ import annotations

from functools import partial

import pytest

from tests.running import ANY, SLOW, STRATEGIES
from tests.system.bare import record, referee
from tests.system.bare.scenarios import FAMILIES, draw

EXPECTED = {line.split()[0]: line for line in record.EXPECTED.read_text().splitlines()}
PARAMETERS = [
    pytest.param(family, strategy, marks=[] if strategy == ANY else SLOW)
    for family in FAMILIES
    for strategy in STRATEGIES
]
MORE = 400


@pytest.mark.parametrize(("family", "strategy"), PARAMETERS)
def test_as_recorded(family: str, strategy: str) -> None:
    """Each scenario of a family changes what it changed under QEMU."""
    scenarios = draw(family, record.COUNT)
    with referee.as_qemu():
        found = referee.run_all(partial(referee.run_here, strategy=strategy), scenarios)
    lines = [referee.summary(*pair) for pair in zip(scenarios, found, strict=True)]
    assert lines == [EXPECTED[scenario.name] for scenario in scenarios]


@pytest.mark.parametrize("family", ["call_gate", "interrupt", "task", "virtual"])
def test_in_a_machine(family: str) -> None:
    """The same with memory that could have paging."""
    scenarios = draw(family, record.COUNT)
    with referee.as_qemu():
        found = referee.run_all(partial(referee.run_machine, strategy=ANY), scenarios)
    lines = [referee.summary(*pair) for pair in zip(scenarios, found, strict=True)]
    assert lines == [EXPECTED[scenario.name] for scenario in scenarios]


@pytest.mark.skipif(not referee.has_qemu(), reason=f"{referee.QEMU} is not installed")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.slow
def test_against_qemu(family: str) -> None:
    """More scenarios, run by both now."""
    scenarios = draw(family, MORE, seed=2)
    expected = referee.run_all(referee.run_qemu, scenarios)
    with referee.as_qemu():
        found = referee.run_all(partial(referee.run_here, strategy=ANY), scenarios)
    for scenario, here, there in zip(scenarios, found, expected, strict=True):
        ours, theirs = (referee.comparable(scenario, r) for r in (here, there))
        assert ours == theirs, scenario
