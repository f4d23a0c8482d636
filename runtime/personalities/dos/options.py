"""What a run of a DOS program was asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DosOptions:
    """Settings of the personality."""

    mounts: tuple[str, ...] = ()  # C=DIR[:ro|rw]
    env: tuple[str, ...] = ()
    version: tuple[int, int] = (5, 0)
    cycles: int | None = None  # insns a millisecond; None: as fast as possible
    has_screen: bool = False  # a keyboard and a display instead of the standard streams
    report: bool = False
    timeout: float | None = None  # s
    memory_limit: int | None = None  # bytes
