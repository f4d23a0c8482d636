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


# The rest of a machine: runtime/system/ has the bodies.
declare("eip", (), 32)  # where the helper before it sent control
declare("check_iopl", ())
# (port, size in bytes), (port, value, size)
declare("port_in", (16, 8), 32)
declare("port_out", (16, 32, 8))
declare("cpuid", (32, 32), 128)
declare("rdtsc", (), 64)
# (port, size in bytes)
declare("check_port", (16, 8))
# Far transfers, in protected mode: "eip" says where they went. (selector, offset, offset behind the
# insn), the same with operand size, (bytes released, operand size), (offset behind, operand size)
declare("far_jump", (32, 32, 32))
declare("far_call", (32, 32, 32, 8))
declare("far_return", (32, 8))
declare("interrupt_return", (32, 8))
declare("sysenter", ())
declare("sysexit", ())
declare("loadall", ())
# CS in real mode
declare("load_paragraph", (32,))
declare("load_ldt", (32,))
declare("load_tr", (32,))
# (register, number)
declare("write_cr", (8, 32))
declare("read_dr", (8,), 32)
declare("write_dr", (8, 32))
declare("read_msr", (32,), 64)
declare("write_msr", (32, 64))
declare("invlpg", (32,))
# vector of an int insn whose gate is not for ring 3
declare("no_gate", (32,))
# (segment register, selector)
declare("load_segment", (32, 32))
# condition, address, 16 bits
declare("store_if", (1, 32, 16))
# address, number, size in bytes
declare("store_emulated", (32, 48, 8))
# selector -> 1 << 32 | number, or 0 where ring 3 may not look
declare("access_rights", (32,), 64)
declare("segment_limit", (32,), 64)
