"""The suites by name, and the choice of their workloads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.kernels import KERNELS
from benchmarks.programs import PROGRAMS
from benchmarks.start import STARTS
from benchmarks.workload import Workload


@dataclass(frozen=True, slots=True)
class Suite:
    """Workloads that are measured alike."""

    workloads: tuple[Workload, ...]
    cache_states: tuple[str, ...]
    baselines: tuple[str, ...]  # what the others are compared with: the first that is there
    by_time: bool  # ratios of times, not of speeds


SUITES = {
    "cpu": Suite((*KERNELS, *PROGRAMS), ("warm",), ("native", "qemu-i386"), False),
    "start": Suite(tuple(STARTS), ("warm", "cold"), ("qemu-i386", "native"), True),
}


def select(suite: Suite, names: Sequence[str]) -> list[Workload]:
    """Return a suite's workloads that are named, by their own or their group's name; or all.

    Raises ValueError for a name that is neither.
    """
    known = {name for workload in suite.workloads for name in (workload.name, workload.group)}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"unknown workload {unknown[0]!r} (see --list)")
    return [w for w in suite.workloads if not names or w.name in names or w.group in names]
