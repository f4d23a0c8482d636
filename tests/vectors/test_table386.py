"""The table of test386 on every tier."""

from __future__ import annotations

import pytest

from tests.running import STRATEGIES
from tests.vectors import table386

SHOWN = 20


def check(tier: str, step: int) -> None:
    if not table386.PATH.exists():
        pytest.skip(f"{table386.PATH} is missing (set JITEMU_SUITES)")
    total, failed = table386.check(tier, step)
    assert total
    assert not failed, "\n".join([f"{len(failed)} of {total} differ:", *failed[:SHOWN]])


@pytest.mark.parametrize("tier", STRATEGIES)
def test_sample(tier: str) -> None:
    """Some lines of each form agree."""
    check(tier, 8)


@pytest.mark.slow
@pytest.mark.parametrize("tier", STRATEGIES)
def test_all(tier: str) -> None:
    """Every line agrees."""
    check(tier, 1)
