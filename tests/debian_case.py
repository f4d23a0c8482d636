"""What one Debian invocation is: program, arguments, input, files."""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """One invocation of an unmodified program; all it does must equal the native run."""

    id: str
    argv: tuple[str, ...]
    stdin: bytes = b""
    files: dict[str, bytes] = {}  # noqa: RUF012 - never written to
    quick: bool = False  # part of the default tests
    slow_tiers: bool = False  # cheap enough for the interp strategy too
    more: bool = False  # needs the packages of debian_programs.py


def text(lines: int, seed: int = 1) -> bytes:
    """Return deterministic pseudo-text of so many lines."""
    words = [
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "zeta",
        "eta",
        "theta",
        "iota",
        "kappa",
        "lambda",
        "mu",
        "nu",
        "xi",
        "omicron",
        "pi",
        "rho",
        "sigma",
    ]
    out, state = [], seed
    for number in range(lines):
        row = []
        for _ in range(3 + state % 5):
            state = (state * 1103515245 + 12345) & 0x7FFFFFFF
            row.append(words[(state >> 16) % len(words)])
        out.append(f"{number} {state % 1000} {' '.join(row)}")
    return ("\n".join(out) + "\n").encode()


def binary(size: int, seed: int = 7) -> bytes:
    """Return deterministic bytes that compress a little."""
    out, state = bytearray(), seed
    while len(out) < size:
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        out += bytes([(state >> 16) & 0xFF]) * (1 + (state >> 8) % 4)
    return bytes(out[:size])
