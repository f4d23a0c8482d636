"""What all suites measure: a workload is prepared once and becomes a task that any peer runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


class UnavailableError(Exception):
    """This machine lacks what a workload or a peer needs; the message says what."""


@dataclass(frozen=True, slots=True)
class Task:
    """A guest program, ready to run."""

    program: str  # a host path; with a sysroot, a path inside it
    args: tuple[str, ...] = ()
    sysroot: Path | None = None
    environment: tuple[tuple[str, str], ...] = ()
    has_steady: bool = False  # it prints `steady_ns` (guests/bench.h)


@dataclass(frozen=True, slots=True)
class Workload:
    """Something to measure. Its rows are averaged with those of its group."""

    name: str
    group: str
    prepare: Callable[[Settings], Task]  # raises UnavailableError
    what: str = ""  # one line for the list


@dataclass(frozen=True, slots=True)
class Settings:
    """Where to work and how much."""

    folder: Path  # a scratch directory, in which programs run
    scale: float = 1.0  # 1: a second natively for a kernel, five for a program
    limit: float = 600.0  # seconds after which a run is given up
    sysroot: Path | None = None  # an i386 sysroot; None: made or found when it is needed
    built: dict[str, Path] = field(default_factory=dict)  # programs compiled already
