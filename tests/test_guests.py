"""Torture programs (tests/guests/*.c): each prints results, which must equal the native run's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests import forced
from tests.building import build, runs_natively
from tests.forced import PATIENCE
from tests.running import (
    ANY,
    ENVIRONMENT,
    SLOW,
    STRATEGIES,
    Outcome,
    difference,
    jitemu,
    run,
    work_directory,
)

GUESTS = sorted((Path(__file__).parent / "guests").glob("*.c"))
# Too slow for the interp tier within the tests' patience.
LONG = {"fpu_signals", "sig_hot", "sig_libc", "sse", "x87", "flags", "strings", "smc", "atomics"}
TIMEOUT = 300
# LLVM compiles what a guest writes again and again: a minute of an idle processor for smc.c.
PATIENT = {"block", "region"}
KILLED = re.compile(rb"^jitemu: guest killed by \w+ at .*\n", re.MULTILINE)


def parameters() -> list[Any]:
    """Return (source, strategy) pairs; stencil by default, the others marked slow."""
    rows = []
    for source in GUESTS:
        for strategy in STRATEGIES:
            if strategy == "interp" and source.stem in LONG:
                continue
            marks = () if strategy == ANY else SLOW
            rows.append(pytest.param(source, strategy, id=f"{source.stem}-{strategy}", marks=marks))
    return rows


def execute(
    command: list[str], env: dict[str, str] | None = None, timeout: float = TIMEOUT
) -> Outcome:
    """Run a command in an empty directory."""
    with work_directory({}) as work:
        return run(command, work=work, env=env, timeout=timeout)


@pytest.mark.parametrize(("source", "strategy"), parameters())
def test_guest(source: Path, strategy: str) -> None:
    """The guest's output and status equal the native run's."""
    program = build(source)
    if not runs_natively(program):
        pytest.skip("this machine does not run i386 programs natively")
    want = execute([str(program)], ENVIRONMENT)
    patience = PATIENCE if strategy in PATIENT and forced.strategy is None else 1
    got = execute([*jitemu(strategy), str(program)], timeout=TIMEOUT * patience)
    if (want.status or 0) < 0:  # jitemu says in one line what killed the guest
        got = got._replace(stderr=KILLED.sub(b"", got.stderr))
    assert not difference(got, want)
