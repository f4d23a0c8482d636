"""The same API calls with Unicorn and with jitemu.unicorn: what they log is the same."""

from __future__ import annotations

import difflib
from typing import Any

import pytest

from jitemu import unicorn as ours
from tests.unicorn import calls, paging, protected, usage, watching  # noqa: F401  (they register some)
from tests.unicorn.differences import DIFFERENCES
from tests.unicorn.referee import unicorn
from tests.unicorn.scenarios import SCENARIOS, Scenario

pytestmark = pytest.mark.particular


def logged(scenario: Scenario, lib: Any) -> list[str]:
    lines: list[str] = []
    try:
        scenario(lib, lambda *values: lines.append(str(values)))
    except Exception as error:
        lines.append(str(("raised", type(error).__name__)))
    return lines


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str) -> None:
    theirs, mine = logged(SCENARIOS[name], unicorn()), logged(SCENARIOS[name], ours)
    lines = list(difflib.ndiff(theirs, mine))
    removed = [line[2:] for line in lines if line.startswith("- ")]
    added = [line[2:] for line in lines if line.startswith("+ ")]
    known = DIFFERENCES.get(name)
    assert (removed, added) == ((known.theirs, known.ours) if known is not None else ([], []))


def test_all_differences_are_of_scenarios() -> None:
    assert DIFFERENCES.keys() <= SCENARIOS.keys()
