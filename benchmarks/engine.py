"""The engine's own costs: cold translation, a system call, counting the budget.

``python -m benchmarks.engine PROGRAM [ARGS...]`` (with ``-L SYSROOT`` for dynamic ones) measures
cold translation with warm stencils: guest insns translated for each second spent translating.
Without a program it measures the system call round trip and the cost of ``--budget``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.kernels import KERNELS, build
from benchmarks.sample import execute
from benchmarks.workload import Settings

JITEMU = [sys.executable, "-m", "jitemu", "run"]


def translation(options: list[str], program: list[str]) -> None:
    """Print how fast the code of a program is translated, stencils being compiled already."""
    from jitemu import Process

    sysroot = options[1] if options else None
    process = Process(program[0], program[1:], sysroot=sysroot)
    process.run()
    found = process.statistics
    seconds = found.translate_seconds
    print(
        f"{found.insns_translated} insns in {found.blocks} blocks, {seconds:.2f} s: "
        f"{found.insns_translated / seconds:,.0f} insns/s; "
        f"compiling stencils took {found.compile_seconds:.2f} s"
    )


def system_calls(folder: Path, rounds: int) -> None:
    """Print the median of a getppid under jitemu and natively, in microseconds."""
    program = str(build("syscalls", Settings(folder)))
    for name, prefix in (("native", []), ("jitemu", JITEMU)):
        found = []
        for _ in range(rounds):
            done = subprocess.run([*prefix, program], capture_output=True, text=True, check=True)
            found.append(float(done.stderr))
        print(f"system call, {name}: {statistics.median(found):.2f} µs")


def budget(folder: Path, rounds: int) -> None:
    """Print what --budget costs on the integer kernels."""
    for kernel in [k for k in KERNELS if k.group == "integer"]:
        program = kernel.prepare(Settings(folder)).program
        ratios = []
        for _ in range(rounds):
            plain = execute([*JITEMU, program], folder, os.environ, 600)
            counted = execute([*JITEMU, "--budget", str(1 << 50), program], folder, os.environ, 600)
            ratios.append(counted.cpu / plain.cpu)
        print(f"--budget, {kernel.name}: {statistics.median(ratios):.3f}x the time")


def main() -> int:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-L", dest="sysroot")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("program", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    if args.program:
        translation(["-L", args.sysroot] if args.sysroot else [], args.program)
        return 0
    with tempfile.TemporaryDirectory() as name:
        system_calls(Path(name), args.rounds)
        budget(Path(name), args.rounds)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).parent.parent))
    sys.exit(main())
