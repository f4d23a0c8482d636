"""The MP configuration table: how interrupts are wired, for systems that use no ACPI.

Intel MultiProcessor Specification 1.4, chapter 4. In: where it goes. Out: the floating pointer and
the table, one behind the other.
"""

from __future__ import annotations

import struct

from runtime.machines.acpitables import INTERRUPTS, IOAPIC, IOAPIC_ID, LAPIC, TIMER_PIN

SIZE = 4096  # is enough
_PCI, _ISA = 0, 1  # numbers of buses
_INT, _NMI, _EXTERNAL = 0, 1, 3
_LEVEL_HIGH = 0x0D
_ALL = 0xFF


def _sum(data: bytes | bytearray) -> int:
    return -sum(data) & 0xFF


def build(place: int, signature: int, features: int) -> bytes:
    """Return the bytes for an address; *signature*, *features*: EAX and EDX of CPUID leaf 1."""
    entries = [struct.pack("<BBBBII8x", 0, 0, 0x14, 3, signature, features)]
    entries += [struct.pack("<BB6s", 1, *bus) for bus in ((_PCI, b"PCI   "), (_ISA, b"ISA   "))]
    entries += [struct.pack("<BBBBI", 2, IOAPIC_ID, 0x11, 1, IOAPIC)]

    def wire(kind: int, code: int, flags: int, bus: int, irq: int, to: int, pin: int) -> None:
        entries.append(struct.pack("<BBHBBBB", kind, code, flags, bus, irq, to, pin))

    for slot in range(32):
        for pin in range(4):
            irq = INTERRUPTS[slot + pin - 1 & 3]
            wire(3, _INT, _LEVEL_HIGH, _PCI, slot << 2 | pin, IOAPIC_ID, irq)
    for irq in range(16):
        if irq not in (2, *INTERRUPTS):
            wire(3, _INT, 0, _ISA, irq, IOAPIC_ID, irq or TIMER_PIN)
    wire(4, _EXTERNAL, 0, _ISA, 0, _ALL, 0)
    wire(4, _NMI, 0, _ISA, 0, _ALL, 1)
    body = b"".join(entries)
    head = struct.pack(
        "<4sHBB8s12sIHHIHBx", b"PCMP", 44 + len(body), 4, 0, b"JITEMU  ", b"PC          ", 0, 0,
        len(entries), LAPIC, 0, 0,
    )  # fmt: skip
    table = bytearray(head + body)
    table[7] = _sum(table)
    pointer = bytearray(struct.pack("<4sIBBBB4x", b"_MP_", place + 16, 1, 4, 0, 0))
    pointer[10] = _sum(pointer)
    return bytes(pointer + table)
