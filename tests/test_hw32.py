"""The vectors recorded on a real CPU (suites/hw32), on every tier and on this CPU itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests import hw32
from tests.machine import Bare
from tests.native.host import Native, NativeError
from tests.running import STRATEGIES, SUITES

SAMPLE = {"stencil": 16, "interp": 24, "block": 320, "region": 400, "tiered": 400, "native": 4}
SHOWN = 20


@pytest.fixture(scope="module", params=(*STRATEGIES, "native"))
def machine(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Yield what runs the vectors: an emulated tier, or the CPU itself to check the checker."""
    if request.param == "native":
        try:
            native = Native()
            native.start().kill()
        except NativeError as problem:
            pytest.skip(f"no native i386 execution: {problem}")
        native.tier = "native"  # type: ignore[attr-defined]
        yield native
        native.close()
    else:
        yield Bare(request.param)


def check(machine: Any, file: str, step: int) -> None:
    """Run every *step*-th vector of a file."""
    path = SUITES / "hw32" / f"{file}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is missing (set JITEMU_SUITES)")
    total, bad = 0, []
    for item in hw32.load(path, step):
        total += 1
        got = machine.run(item.code, item.cases)[0]
        if problems := hw32.differences(got, item):
            bad.append(f"{item.form:10} {item.name}: {'; '.join(problems[:4])}")
    crashes = dict(getattr(machine, "crashes", {}))
    assert not bad, "\n".join([f"{len(bad)} of {total} differ:", *bad[:SHOWN], str(crashes)])


@pytest.mark.parametrize("file", ["ops", "seq"])
def test_sample(machine: Any, file: str) -> None:
    """A part of the vectors agrees."""
    check(machine, file, SAMPLE[machine.tier])


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("file", ["ops", "seq"])
def test_all(machine: Any, file: str) -> None:
    """Every vector of an implemented form agrees."""
    check(machine, file, 1)
