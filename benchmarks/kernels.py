"""The C kernels of guests/, built with ``gcc -m32 -O2 -static``: a second natively at scale 1."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from benchmarks.workload import Settings, Task, UnavailableError, Workload

GUESTS = Path(__file__).parent / "guests"
FLAGS = ("-m32", "-O2", "-static")
_X87, _SSE2 = ("-mfpmath=387",), ("-msse2", "-mfpmath=sse")


def build(source: str, settings: Settings, flags: tuple[str, ...] = ()) -> Path:
    """Compile a C file of guests/ once; UnavailableError if there is no compiler for i386."""
    name = "-".join([source, *(flag.strip("-").replace("=", "-") for flag in flags)])
    if name in settings.built:
        return settings.built[name]
    if not shutil.which("gcc"):
        raise UnavailableError("gcc is not installed")
    target = settings.folder / name
    command = ["gcc", *FLAGS, *flags, "-o", str(target), str(GUESTS / f"{source}.c"), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        hints = ("cannot find", "No such file", "incompatible")
        if any(hint in done.stderr for hint in hints):
            raise UnavailableError("gcc -m32 -static fails: install gcc-multilib")
        raise RuntimeError(f"{source}.c does not compile: {done.stderr.strip()[:500]}")
    settings.built[name] = target
    return target


def _kernel(name: str, group: str, source: str, what: str, flags: tuple[str, ...] = ()) -> Workload:
    def prepare(settings: Settings) -> Task:
        thousandths = max(1, round(settings.scale * 1000))
        program = build(source, settings, flags)
        return Task(str(program), (str(thousandths),), has_steady=True)

    return Workload(name, group, prepare, what)


KERNELS = [
    _kernel("crc", "integer", "crc", "CRC-32 by table"),
    _kernel("sieve", "integer", "sieve", "strided byte stores"),
    _kernel("fib", "integer", "fib", "recursion"),
    _kernel("quicksort", "integer", "quicksort", "unpredictable branches"),
    _kernel("bytecode", "integer", "bytecode", "a switch: indirect jumps"),
    _kernel("virtual", "integer", "virtual", "method tables: indirect calls, recursion"),
    _kernel("chase", "integer", "chase", "a chain of pointers: memory latency"),
    _kernel("stream", "integer", "stream", "long arrays: memory bandwidth"),
    _kernel("strings", "integer", "strings", "the C library's string functions"),
    _kernel("repstr", "integer", "repstr", "rep movs, stos, scas, cmps"),
    _kernel("bignum", "integer", "bignum", "carries: adc chains, 64-bit products"),
    _kernel("sha512", "integer", "sha512", "carries: 64-bit arithmetic on pairs"),
    _kernel("selfmod", "integer", "selfmod", "code written 400 times a second"),
    _kernel("x87", "x87", "x87", "double and extended sums", _X87),
    _kernel("nbody-x87", "x87", "nbody", "planets", _X87),
    _kernel("mandel-x87", "x87", "mandel", "the Mandelbrot set", _X87),
    _kernel("nbody-sse2", "sse2", "nbody", "planets, scalar", _SSE2),
    _kernel("mandel-sse2", "sse2", "mandel", "the Mandelbrot set, scalar", _SSE2),
    _kernel("vector-sse2", "sse2", "vector", "packed 16-bit lanes and floats", _SSE2),
]
