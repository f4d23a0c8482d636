"""Bodies of the integer helpers (translator/helpers.py): processor facts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from translator import helpers
from translator.cpuid import leaf
from translator.faults import GuestFault
from translator.mode import Model

HELPERS = helpers.BODIES
_GP = 13

Body = Callable[..., Any]


def helper(name: str) -> Callable[[Body], Body]:
    """Register the body of a declared helper."""

    def register(body: Body) -> Body:
        if name in HELPERS or name not in helpers.HELPERS:
            raise ValueError(f"helper {name}: no such name, or registered twice")
        HELPERS[name] = body
        return body

    return register


@helper("cpuid")
def cpuid(cpu: Any, mem: Any, number: int, subleaf: int) -> int:
    """Return EAX EBX ECX EDX as one number, EAX lowest."""
    model = Model.MAX if cpu.system is None else cpu.system.model
    found = leaf(number, subleaf, model)
    if cpu.system is not None and cpu.system.extras is not None:
        found = cpu.system.extras.cpuid(number, found)
    if cpu.system is not None and cpu.system.linear is not None:
        cpu.system.linear.keep_leaf((number, subleaf, *found))
    return sum(word << 32 * i for i, word in enumerate(found))


@helper("rdtsc")
def rdtsc(cpu: Any, mem: Any) -> int:
    """Return the time stamp counter: nanoseconds, a clock of 1 GHz."""
    if cpu.system is not None:
        return cpu.system.read_tsc()  # type: ignore[no-any-return]
    return time.monotonic_ns() & 0xFFFFFFFFFFFFFFFF


@helper("no_gate")
def no_gate(cpu: Any, mem: Any, vector: int) -> None:
    """#GP names the gate: its index, and that it lies in the IDT (SDM vol. 3, 6.13)."""
    raise GuestFault(_GP, error=vector << 3 | 2)


@helper("store_emulated")
def store_emulated(cpu: Any, mem: Any, address: int, value: int, size: int) -> None:
    """Store for an insn that Linux emulates: as far as it goes; a fault names the first byte."""
    data = value.to_bytes(size, "little")
    try:
        for i, byte in enumerate(data):
            mem.store(address + i & 0xFFFFFFFF, byte, 8)
    except GuestFault as fault:
        raise GuestFault(fault.vector, address, fault.error) from None


@helper("store_if")
def store_if(cpu: Any, mem: Any, condition: int, address: int, value: int) -> None:
    """Store 16 bits where *condition* is 1."""
    if condition:
        mem.store(address, value, 16)
