"""Quick versions of the suite embed: ``pytest benchmarks/ --benchmark-only``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import elf, embed, peers
from benchmarks.workload import Settings
from jitemu import Process


@pytest.fixture(scope="module")
def programs(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[embed.Ours]:
    """Return the tiny programs, with a cache of our own."""
    folder = tmp_path_factory.mktemp("embed")
    own = Settings(folder)
    with embed.cache(folder):
        yield embed.Ours(peers.default_strategy(), own)


@pytest.fixture
def guest(programs: embed.Ours) -> Iterator[Process]:
    """Return a guest in an endless loop."""
    with Process(programs.loop, env={}) as process:
        process.run(budget=1000)
        yield process


def test_start_and_exit(benchmark: BenchmarkFixture, programs: embed.Ours) -> None:
    """Create, load, run three insns, close."""
    benchmark(programs.run_to_exit, programs.tiny)


def test_slice(benchmark: BenchmarkFixture, guest: Process) -> None:
    """Run a thousand insns."""
    assert benchmark(guest.run, 1000).insns == 1000


def test_registers(benchmark: BenchmarkFixture, guest: Process) -> None:
    """Read a register and write another."""
    benchmark(lambda: setattr(guest.regs, "ebx", guest.regs.eax))
    assert guest.regs.ebx == guest.regs.eax


def test_memory_view(benchmark: BenchmarkFixture, guest: Process) -> None:
    """A view of a mebibyte."""
    assert len(benchmark(lambda: guest.memory[elf.ENTRY : elf.ENTRY + (1 << 20)])) == 1 << 20


def test_memory_copy(benchmark: BenchmarkFixture, guest: Process) -> None:
    """A copy of 64 bytes."""
    assert len(benchmark(guest.memory.read, elf.ENTRY, 64)) == 64


def test_system_calls(benchmark: BenchmarkFixture, programs: embed.Ours) -> None:
    """A thousand calls of getppid; the start is part of it."""
    path: Path = programs.calls(1000)
    benchmark(programs.run_to_exit, path)
