"""What a guest costs in host memory, from the engine's tables and /proc (proc(5))."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from runtime.counting import peak_memory
from runtime.memory import GUARD, SIZE
from runtime.native import ARENA_SIZE, FAULTS_MAX

if TYPE_CHECKING:
    from runtime.dispatch import Engine

FAULT_ROW = 12  # bytes


class HostMemory(NamedTuple):
    """Bytes of host memory."""

    code: int  # host code in the arena now
    code_written: int  # all host code since the start, what was dropped included
    code_per_insn: float  # of that, for each guest insn translated
    fault_table: int
    resets: int  # times that all host code was dropped, for room or by execve
    peak: int  # most that this process had in memory at once; 0 if unknown
    compiler_peak: int  # the same of the process that compiles regions, once it has ended
    # What is in memory now: guest, host code, fault table, rest (Python, LLVM); empty if not asked.
    parts: dict[str, int]

    def code_text(self) -> str:
        """Return a line about host code."""
        return (
            f"{self.code_written} bytes, {self.code_per_insn:.1f} for each insn translated; "
            f"{self.code} in use, dropped {self.resets} times"
        )

    def text(self) -> str:
        """Return a line about all memory."""
        parts = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in self.parts.items())
        line = f"{self.peak / 1e6:.1f} MB at most" + (f"; now {parts}" if parts else "")
        if self.compiler_peak:
            line += f"; compiling process {self.compiler_peak / 1e6:.1f}"
        return line


def measure(engine: Engine, *, with_parts: bool = False) -> HostMemory:
    """Measure; the parts take milliseconds."""
    cache, arena = engine.cache, engine.cache.arena
    written = cache.written + cache.size
    insns = engine.statistics.insns_translated + engine.tiering.counts.insns
    return HostMemory(
        code=cache.size,
        code_written=written,
        code_per_insn=written / insns if insns else 0.0,
        fault_table=FAULT_ROW * arena.fault_count,
        resets=cache.resets,
        peak=peak_memory("self"),
        compiler_peak=compiler.peak if (compiler := engine.tiering.compiler) else 0,
        parts=_parts(engine) if with_parts else {},
    )


def _parts(engine: Engine) -> dict[str, int]:
    arena, base = engine.cache.arena, engine.mem.base
    spans = {
        "guest": (base, base + SIZE + GUARD),
        "host code": (arena.base, arena.base + ARENA_SIZE),
        "fault table": (arena.fault_address, arena.fault_address + FAULT_ROW * FAULTS_MAX),
    }
    found = {**dict.fromkeys(spans, 0), "rest": 0}
    name = "rest"
    with (
        contextlib.suppress(OSError, ValueError),
        open("/proc/self/smaps", errors="surrogateescape") as file,
    ):
        for line in file:
            head = line.split(None, 2)
            if head[0] == "Rss:":
                found[name] += int(head[1]) << 10
            elif not head[0].endswith(":"):
                start = int(head[0].partition("-")[0], 16)
                inside = (n for n, (first, last) in spans.items() if first <= start < last)
                name = next(inside, "rest")
    return found
