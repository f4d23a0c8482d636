"""Counters of a finished or paused run -> one value, and the text of --stats."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from runtime.personalities.linux import Linux


class Statistics(NamedTuple):
    """What a process did so far. Forked children are not counted."""

    insns: int  # guest insns executed; each iteration of a repeated string insn counts
    insns_interpreted: int  # of these, executed one by one by the interp tier
    blocks: int  # blocks translated
    insns_translated: int
    invalidations: int  # blocks dropped because their code changed
    start_seconds: float  # by the clock, from the beginning to the first insn
    elapsed_seconds: float  # by the clock, since then
    translate_seconds: float  # of processor time: putting blocks together
    compile_seconds: float  # the same: LLVM, for stencils or blocks that no cache held
    run_seconds: float  # the rest of the processor time: guest code and system calls
    exits: dict[str, int]  # how often translated code returned to the dispatcher, by cause

    def text(self, strategy: str) -> str:
        """Return one line per number, and one for the exits."""
        lines = [f"  {'strategy':<20} {strategy}"]
        for name, value in zip(self._fields, self, strict=True):
            label = name.replace("_", " ")
            if isinstance(value, float):
                lines.append(f"  {label:<20} {value:.3f}")
            elif isinstance(value, int):
                lines.append(f"  {label:<20} {value}")
        causes = ", ".join(f"{name} {count}" for name, count in self.exits.items())
        lines.append(f"  {'exits':<20} {sum(self.exits.values())}: {causes or 'none'}")
        return "\n".join(["statistics:", *lines])


class Times:
    """Adds up the clock and the processor time of a guest's slices."""

    def __init__(self, start_seconds: float) -> None:
        self.start, self.elapsed, self.processor = start_seconds, 0.0, 0.0

    def __enter__(self) -> None:
        """Begin a slice."""
        self._begun = time.perf_counter(), time.process_time()

    def __exit__(self, *details: object) -> None:
        """End it."""
        self.elapsed += time.perf_counter() - self._begun[0]
        self.processor += time.process_time() - self._begun[1]


def collect(linux: Linux, times: Times) -> Statistics:
    """Gather what the parts of a guest counted."""
    process = linux.process
    engine = process.engine.statistics
    compiling = engine.compile_seconds
    translating = max(0.0, engine.translate_seconds - compiling)
    return Statistics(
        insns=process.budget.executed(),
        insns_interpreted=engine.insns_interpreted,
        blocks=engine.blocks,
        insns_translated=engine.insns_translated,
        invalidations=engine.invalidations,
        start_seconds=times.start,
        elapsed_seconds=times.elapsed,
        translate_seconds=translating,
        compile_seconds=compiling,
        run_seconds=max(0.0, times.processor - translating - compiling),
        exits=engine.exits_by_name(),
    )
