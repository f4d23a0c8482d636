"""The shared suite of .COM programs: exact output, as DOSBox gives it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.running import ANY, SLOW, STRATEGIES, SUITES, jitemu, run, work_directory

FOLDER = SUITES / "dos_com"
FILE = FOLDER / "cases.json"
CASES = json.loads(FILE.read_text()) if FILE.exists() else []


def parameters() -> list[Any]:
    return [
        pytest.param(case, strategy, id=f"{case['program']}-{strategy}", marks=marks)
        for case in CASES
        for strategy in STRATEGIES
        for marks in [() if strategy == ANY else SLOW]
    ]


def test_suite_is_there() -> None:
    """Say so loudly where the suite is missing."""
    if not CASES:
        pytest.skip(f"{FILE} is missing (set JITEMU_SUITES)")


@pytest.mark.parametrize(("case", "strategy"), parameters())
def test_case(case: dict[str, str], strategy: str) -> None:
    """The program prints what was recorded and ends with 0."""
    words = case["command"].split()
    with work_directory({}) as work:
        command = [*jitemu(strategy), str(FOLDER / case["program"]), *words[1:]]
        got = run(command, work=work, timeout=120)
    assert (got.status, got.stdout) == (0, case["stdout"].encode()), got.stderr
