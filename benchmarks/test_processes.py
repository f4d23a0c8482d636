"""Quick versions of the suites cpu and start: ``pytest benchmarks/ --benchmark-only``.

The ratios of small work are not those of the README: starting and translating weigh more.
"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Prepare
from benchmarks.kernels import KERNELS
from benchmarks.programs import PROGRAMS
from benchmarks.start import STARTS
from benchmarks.workload import Settings, Workload

PEERS = ("native", "qemu-i386", "jitemu")
ROUNDS = 3


def _bench(
    benchmark: BenchmarkFixture,
    prepare: Prepare,
    settings: Settings,
    workload: Workload,
    name: str,
    rounds: int = ROUNDS,
) -> None:
    peer, task = prepare(workload, name)
    reference, _ = prepare(workload, "native")
    expected = reference.run(task, settings)
    got = peer.warm(task, settings)
    assert (got.status, got.digest) == (0, expected.digest), got.stderr
    benchmark.group = workload.name
    benchmark.extra_info["peer"] = name
    benchmark.pedantic(peer.run, (task, settings), rounds=rounds)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda one: one.name)
def test_kernel(
    benchmark: BenchmarkFixture, prepare: Prepare, settings: Settings, kernel: Workload, peer: str
) -> None:
    """A kernel as a whole process, with a warm cache."""
    _bench(benchmark, prepare, settings, kernel, peer)


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda one: one.name)
def test_program(
    benchmark: BenchmarkFixture, prepare: Prepare, settings: Settings, program: Workload, peer: str
) -> None:
    """A Debian program as a whole process, with a warm cache."""
    _bench(benchmark, prepare, settings, program, peer, rounds=1)


@pytest.mark.parametrize("peer", [*PEERS, "jitemu, cold"])
@pytest.mark.parametrize("program", STARTS, ids=lambda one: one.name)
def test_start(
    benchmark: BenchmarkFixture, prepare: Prepare, settings: Settings, program: Workload, peer: str
) -> None:
    """A short program, with a warm and with an empty cache."""
    _bench(benchmark, prepare, settings, program, peer, rounds=1 if "cold" in peer else ROUNDS)
