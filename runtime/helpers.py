"""Bodies of the integer helpers (translator/helpers.py): processor facts, segments."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from translator import helpers
from translator.cpuid import leaf
from translator.faults import GuestFault
from translator.state import SEGMENTS

HELPERS = helpers.BODIES
CS, SS = 1, 2
_NP, _SS_FAULT, _GP = 11, 12, 13
# Parts of a descriptor (SDM vol. 3, 3.4.5).
_PRESENT, _MEMORY, _CODE, _CONFORMING, _WRITABLE = 1 << 47, 1 << 44, 1 << 43, 1 << 42, 1 << 41
_READABLE = _WRITABLE
_RIGHTS, _IN_PAGES, _LONG = 0x00FFFF00, 1 << 55, 1 << 53

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
    return sum(word << 32 * i for i, word in enumerate(leaf(number, subleaf)))


@helper("rdtsc")
def rdtsc(cpu: Any, mem: Any) -> int:
    """Return the time stamp counter: nanoseconds, a clock of 1 GHz."""
    return time.monotonic_ns() & 0xFFFFFFFFFFFFFFFF


def _descriptor(cpu: Any, selector: int) -> int:
    """Return the descriptor of a selector as the processor reads it; 0 for none."""
    return int(cpu.descriptor(selector))


def _privilege(descriptor: int) -> int:
    return descriptor >> 45 & 3


def _base(descriptor: int) -> int:
    return descriptor >> 16 & 0xFFFFFF | descriptor >> 56 << 24


def _check_cs(cpu: Any, selector: int) -> int:
    """Return a descriptor that a far transfer within ring 3 may name; else fault."""
    error = selector & 0xFFFC
    descriptor = _descriptor(cpu, selector)
    is_code = descriptor & _MEMORY and descriptor & _CODE
    allowed = descriptor & _CONFORMING or _privilege(descriptor) == 3
    # No long mode, no gates; and code outside a flat segment is not emulated.
    if selector <= 3 or selector & 3 != 3 or not is_code or not allowed or descriptor & _LONG:
        raise GuestFault(_GP, error=error)
    if not descriptor & _PRESENT:
        raise GuestFault(_NP, error=error)
    if _base(descriptor):
        raise GuestFault(_GP, error=error)
    return descriptor


@helper("check_cs")
def check_cs(cpu: Any, mem: Any, selector: int) -> None:
    """Fault unless a far transfer may go to *selector*."""
    _check_cs(cpu, selector)


@helper("load_cs")
def load_cs(cpu: Any, mem: Any, selector: int) -> None:
    """CS ← selector."""
    _check_cs(cpu, selector)
    cpu.cs = selector


@helper("no_gate")
def no_gate(cpu: Any, mem: Any, vector: int) -> None:
    """#GP names the gate: its index, and that it lies in the IDT (SDM vol. 3, 6.13)."""
    raise GuestFault(_GP, error=vector << 3 | 2)


@helper("load_segment")
def load_segment(cpu: Any, mem: Any, segment: int, selector: int) -> None:
    """Load a data segment register; a null selector is allowed but in SS."""
    error = selector & 0xFFFC
    base = 0
    if selector > 3:
        descriptor = _descriptor(cpu, selector)
        is_code = descriptor & _CODE
        readable = descriptor & _READABLE if is_code else True
        if not descriptor & _MEMORY or not readable:
            raise GuestFault(_GP, error=error)
        if not (is_code and descriptor & _CONFORMING) and _privilege(descriptor) != 3:
            raise GuestFault(_GP, error=error)
        if segment == SS and (is_code or not descriptor & _WRITABLE or selector & 3 != 3):
            raise GuestFault(_GP, error=error)
        if not descriptor & _PRESENT:
            raise GuestFault(_SS_FAULT if segment == SS else _NP, error=error)
        base = _base(descriptor)
    elif segment == SS:
        raise GuestFault(_GP)
    name = SEGMENTS[segment]
    if segment < 4 and base:
        # ES CS SS DS are flat in host code; nothing known to us gives them a base.
        raise GuestFault(_GP, error=error)
    setattr(cpu, name, selector)
    if segment >= 4:
        setattr(cpu, name + "_base", base)


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


def _visible(cpu: Any, selector: int) -> int:
    """Return the descriptor that lar, lsl, verr and verw may see from ring 3, else 0."""
    if selector <= 3:
        return 0
    descriptor = _descriptor(cpu, selector)
    if descriptor & _MEMORY and descriptor & _CODE and descriptor & _CONFORMING:
        return descriptor
    return descriptor if _privilege(descriptor) == 3 else 0


@helper("access_rights")
def access_rights(cpu: Any, mem: Any, selector: int) -> int:
    """Return 1 << 32 | access rights, or 0."""
    descriptor = _visible(cpu, selector)
    return 1 << 32 | descriptor >> 32 & _RIGHTS if descriptor else 0


@helper("segment_limit")
def segment_limit(cpu: Any, mem: Any, selector: int) -> int:
    """Return 1 << 32 | limit in bytes, or 0."""
    descriptor = _visible(cpu, selector)
    if not descriptor:
        return 0
    limit = descriptor & 0xFFFF | descriptor >> 32 & 0xF0000
    if descriptor & _IN_PAGES:
        limit = limit << 12 | 0xFFF
    return 1 << 32 | limit
