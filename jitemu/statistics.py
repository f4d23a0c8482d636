"""Counters of a finished or paused run -> one value, and the text of --stats."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from jitemu.hostmemory import HostMemory, measure

if TYPE_CHECKING:
    from runtime.counting import RegionCounts
    from runtime.personalities.linux import Linux
    from runtime.profiling import Meter


class Regions(NamedTuple):
    """What became of regions, under a strategy that has them."""

    formed: int
    compiled: int
    cached: int  # found in the cache instead
    failed: int
    dropped: int  # their code changed while they were compiled
    insns: int  # guest insns in those that were installed
    compile_seconds: float  # of processor time, in another process unless strategy is region
    inside: float | None  # part of the executed insns that ran in regions; None: not sampled

    def text(self) -> str:
        """Return one line."""
        inside = "" if self.inside is None else f"; {self.inside:.0%} of the insns ran in regions"
        return (
            f"{self.formed} formed: {self.compiled} compiled in {self.compile_seconds:.3f} s, "
            f"{self.cached} from the cache, {self.failed} failed, {self.dropped} dropped before "
            f"use; {self.insns} insns in them{inside}"
        )


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
    native_seconds: float | None  # of that, in host code; None if it was not measured (--stats)
    interp_seconds: float | None  # in the interp tier
    python_seconds: float | None  # the rest of it: system calls, and the dispatcher between blocks
    exits: dict[str, int]  # how often translated code returned to the dispatcher, by cause
    regions: Regions | None  # None for a strategy without
    memory: HostMemory

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
        if self.regions is not None:
            lines.append(f"  {'regions':<20} {self.regions.text()}")
        lines.append(f"  {'host code':<20} {self.memory.code_text()}")
        lines.append(f"  {'host memory':<20} {self.memory.text()}")
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


def collect(linux: Linux, times: Times, meter: Meter | None = None) -> Statistics:
    """Gather what the parts of a guest counted; in detail with a meter."""
    process = linux.process
    engine = process.engine.statistics
    tiering = process.engine.tiering
    compiling = engine.compile_seconds
    translating = engine.translate_seconds - compiling
    if meter is not None:  # it has measured more exactly
        translating += meter.install_seconds - engine.install_seconds
    translating = max(0.0, translating)
    running = max(0.0, times.processor - translating - compiling)
    native = interp = python = None
    if meter is not None:
        native, interp = meter.native_seconds, meter.interp_seconds
        python = max(0.0, running - native - interp)
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
        run_seconds=running,
        native_seconds=native,
        interp_seconds=interp,
        python_seconds=python,
        exits=engine.exits_by_name(),
        regions=_regions(tiering.counts) if tiering.mode else None,
        memory=measure(process.engine, with_parts=meter is not None),
    )


def _regions(counts: RegionCounts) -> Regions:
    inside = counts.insns_inside / counts.insns_sampled if counts.insns_sampled else None
    return Regions(
        counts.formed,
        counts.compiled,
        counts.cached,
        counts.failed,
        counts.dropped,
        counts.insns,
        counts.compile_seconds,
        inside,
    )
