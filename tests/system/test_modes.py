"""Every strategy does in every mode what the interp tier does; see tests/modes.py."""

from __future__ import annotations

import pytest

from tests.modes import campaign
from tests.running import STRATEGIES


@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if s != "interp"])
def test_random_code_in_random_modes(strategy: str) -> None:
    assert campaign(strategy, seed=11, cases=40) == []


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if s != "interp"])
def test_much_random_code_in_random_modes(strategy: str) -> None:
    assert campaign(strategy, seed=12, cases=10_000) == []
