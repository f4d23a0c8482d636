"""Guest kernels, run natively, under qemu-i386 and under jitemu in turn: a table of ratios.

``python -m benchmarks.kernels [--rounds N] [--strategy S ...] [NAME ...]`` builds the programs of
benchmarks/guests with ``gcc -m32`` and runs every peer once a round.  Times are user seconds of the
whole process, start-up included; the ratio of each pair is taken within a round, and the median
quoted.  A wrong result ends the run with status 1.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

GUESTS = Path(__file__).parent / "guests"
X87, SSE2 = ("-mfpmath=387",), ("-msse2", "-mfpmath=sse")


class Kernel(NamedTuple):
    """A program: its source, further compiler flags, and the group its ratio counts in."""

    name: str
    group: str
    source: str
    flags: tuple[str, ...] = ()


KERNELS = [
    *(
        Kernel(name, "integer", name)
        for name in ("crc", "sieve", "fib", "quicksort", "bytecode", "sha512", "strings")
    ),
    Kernel("x87", "x87", "x87", X87),
    Kernel("nbody-x87", "x87", "nbody", X87),
    Kernel("nbody-sse2", "sse2", "nbody", SSE2),
    Kernel("mandel-sse2", "sse2", "mandel", SSE2),
]


def build(kernel: Kernel, folder: Path) -> Path:
    """Compile a kernel; return the program."""
    program = folder / kernel.name
    command = ["gcc", "-m32", "-O2", "-static", *kernel.flags, "-o", str(program)]
    subprocess.run([*command, str(GUESTS / f"{kernel.source}.c"), "-lm"], check=True)
    return program


def measure(command: list[str]) -> tuple[float, str]:
    """Run a command; return its user seconds, children included, and its standard output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before, done.stdout


def peers(strategies: list[str]) -> dict[str, list[str]]:
    """Return how to start a program under each peer that is installed."""
    found = {"native": []}
    if shutil.which("qemu-i386"):
        found["qemu-i386"] = ["qemu-i386"]
    for strategy in strategies:
        found[strategy] = [sys.executable, "-m", "jitemu", "run", "--strategy", strategy]
    return found


def geometric_mean(values: list[float]) -> float:
    """Return the geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="kernels (default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--strategy", action="append", help="default: stencil")
    args = parser.parse_args()
    chosen = [k for k in KERNELS if not args.names or k.name in args.names]
    runners = peers(args.strategy or ["stencil"])
    ratios: dict[tuple[str, str, str], list[float]] = {}
    print("kernel".ljust(13), *(name.rjust(11) for name in runners), " (ratio to native)", sep="")
    with tempfile.TemporaryDirectory() as name:
        for kernel in chosen:
            program = str(build(kernel, Path(name)))
            times: dict[str, list[float]] = {peer: [] for peer in runners}
            expected = ""
            for round_ in range(args.rounds + 1):  # the first warms the caches up
                for peer, prefix in runners.items():
                    if sys.stderr.isatty():
                        print(f"\r{kernel.name} {round_} {peer:12}", end="\r", file=sys.stderr)
                    seconds, output = measure([*prefix, program])
                    expected = expected or output
                    if output != expected:
                        print(f"{kernel.name}: {peer} prints {output!r}, not {expected!r}")
                        return 1
                    if round_:
                        times[peer].append(seconds)
            row = kernel.name.ljust(13)
            for peer, mine in times.items():
                pairs = [a / max(b, 0.01) for a, b in zip(mine, times["native"], strict=True)]
                median = statistics.median(pairs)
                for other, theirs in times.items():
                    against = [b / a for a, b in zip(mine, theirs, strict=True)]
                    ratios.setdefault((kernel.group, peer, other), []).append(
                        statistics.median(against)
                    )
                row += f"{statistics.median(mine):6.2f}s{median:4.1f}".rjust(11)
            print(row, flush=True)
    for group in dict.fromkeys(k.group for k in chosen):
        for peer in runners:
            for other in runners:
                if peer != other and peer in (args.strategy or ["stencil"]):
                    mean = geometric_mean(ratios[group, peer, other])
                    print(f"{group}: {peer} runs at {mean:.2f}x the speed of {other}")
    return 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).parent.parent))
    sys.exit(main())
