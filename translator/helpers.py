"""Runtime functions that guest insns may call: names and signatures here, bodies in the runtime.

Only the interp tier executes a unit with a CALL, so helpers are for the rare and the privileged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Signature(NamedTuple):
    """Widths in bits of the arguments and of the result (0: none)."""

    arguments: tuple[int, ...]
    result: int


HELPERS: dict[str, Signature] = {}

# name -> (cpu, memory, *arguments) -> result; the runtime fills it at import (runtime/helpers.py).
BODIES: dict[str, Callable[..., Any]] = {}


def declare(name: str, arguments: tuple[int, ...], result: int = 0) -> str:
    """Add a helper's signature; return its name."""
    if name in HELPERS:
        raise ValueError(f"helper {name} is declared twice")
    HELPERS[name] = Signature(arguments, result)
    return name


def body(name: str) -> Callable[..., Any]:
    """Return a helper's body."""
    return BODIES[name]
