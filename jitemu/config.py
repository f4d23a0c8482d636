"""What one `jitemu run` was asked to do: one frozen value; the only reader of the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from runtime.personalities.dos.options import DosOptions
from runtime.personalities.linux.options import LinuxOptions
from translator import DEFAULT_STRATEGY

LIMIT_STATUS = 124  # --timeout or --budget ended the run; as timeout(1)
INTERNAL_STATUS = 125  # jitemu itself failed
USAGE_STATUS = 2


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of a run; the personalities' own are in `linux` and `dos`."""

    program: str
    args: tuple[str, ...] = ()
    linux: LinuxOptions = field(default_factory=LinuxOptions)
    dos: DosOptions = field(default_factory=DosOptions)
    display: str | None = None  # of a DOS program; None: the terminal, if there is one
    script: str | None = None  # file
    strategy: str = DEFAULT_STRATEGY
    region_threshold: int | None = None  # insns run around a place until it becomes a region
    budget: int | None = None  # insns
    log: frozenset[str] = frozenset()  # items of -d
    log_file: str | None = None
    stats: bool = False
    code_cache: int | None = None  # bytes of host code before all of it is dropped
    perf_map: bool = False
    jitdump: bool = False


def is_debugging() -> bool:
    """Whether JITEMU_DEBUG asks for tracebacks of internal errors."""
    return bool(os.environ.get("JITEMU_DEBUG"))
