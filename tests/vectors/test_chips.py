"""Vectors captured from an 8086 and an 80286: a sample on every tier, all on demand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.running import STRATEGIES
from tests.vectors.campaign import check_file
from tests.vectors.chips import SUITES_OF_CHIPS, Chip

SAMPLE = {"interp": 40}  # every how manieth vector of each file; host code takes longer to make
SLOWER = 200
SHOWN = 20


@pytest.fixture(scope="module", params=sorted(SUITES_OF_CHIPS))
def suite(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if not SUITES_OF_CHIPS[name].files():
        pytest.skip(f"{name} is missing (set JITEMU_SUITES)")
    return name


@pytest.fixture(scope="module", params=STRATEGIES)
def chip(request: pytest.FixtureRequest, suite: str) -> Iterator[Chip]:
    made = Chip(SUITES_OF_CHIPS[suite].model, request.param)
    yield made
    made.close()


def check(chip: Chip, suite: str, step: int) -> None:
    failed: list[str] = []
    for number, file in enumerate(SUITES_OF_CHIPS[suite].files()):
        failed += check_file(chip, suite, file, step, number % step).failed
    assert not failed, "\n".join([f"{len(failed)} differ:", *failed[:SHOWN]])


def test_sample(chip: Chip, suite: str) -> None:
    """Some vectors of each file agree with the chip."""
    check(chip, suite, SAMPLE.get(chip.tier, SLOWER))


@pytest.mark.particular
def test_each_is_a_region(suite: str) -> None:
    """However often a page is written to, `region` makes a region of each vector there."""
    made = Chip(SUITES_OF_CHIPS[suite].model, "region")
    row = next(SUITES_OF_CHIPS[suite].rows("40"))
    for number in range(1, 30):
        assert not made.run(row)
        assert made.processor.engine.tiering.counts.formed >= number
    made.close()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_all(chip: Chip, suite: str) -> None:
    """Every vector agrees with the chip."""
    check(chip, suite, 1)
