"""ACPI tables of the machine, for systems that are started without a firmware or with the built-in.

ACPI Specification 1.0b, chapters 5 (tables), 16 (AML).  In: how much memory there is. Out: bytes
for an address, and where the RSDP is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from runtime.devices import fwcfg
from runtime.devices.acpi import COMMAND_PORT, DISABLE, ENABLE, SLEEP_OFF

PM_BASE = 0x600  # where the firmware puts the ports of power management
SCI = 9
SIZE = 0x10000  # of memory that is reserved for the tables
RSDP = 0xE0000  # one of the places where systems look for it
LAPIC, IOAPIC = 0xFEE00000, 0xFEC00000
IOAPIC_ID, TIMER_PIN = 1, 2  # IRQ 0 comes at this pin, as on most boards
_OEM = b"JITEMU"
_FACS_SIZE = 64
# AML opcodes (16.2.3)
_ZERO, _ONE, _NAME, _SCOPE, _BUFFER, _PACKAGE = b"\0", b"\1", b"\x08", b"\x10", b"\x11", b"\x12"
_DEVICE = b"\x5b\x82"
INTERRUPTS = (10, 10, 11, 11)  # IRQs of PIRQA# to PIRQD#


# -- AML -------------------------------------------------------------------------------------------
def _length(body: bytes) -> bytes:
    """Return PkgLength, which counts itself, and the body."""
    size = len(body)
    if size < 63:
        return bytes([size + 1]) + body
    extra = 1 if size + 2 < 1 << 12 else 2
    size += 1 + extra
    more = bytes(size >> 4 + 8 * i & 0xFF for i in range(extra))
    return bytes([extra << 6 | size & 15]) + more + body


def _integer(value: int) -> bytes:
    if value < 2:
        return (_ZERO, _ONE)[value]
    if value < 0x100:
        return b"\x0a" + bytes([value])
    if value < 0x10000:
        return b"\x0b" + struct.pack("<H", value)
    return b"\x0c" + struct.pack("<I", value)


def _package(items: Iterable[bytes]) -> bytes:
    elements = list(items)
    return _PACKAGE + _length(bytes([len(elements)]) + b"".join(elements))


def _name(name: str, value: bytes) -> bytes:
    return _NAME + name.encode() + value


def _device(name: str, *parts: bytes) -> bytes:
    return _DEVICE + _length(name.encode() + b"".join(parts))


def _string(text: str) -> bytes:
    return b"\x0d" + text.encode("ascii") + b"\0"


def _buffer(data: bytes) -> bytes:
    return _BUFFER + _length(_integer(len(data)) + data)


def eisa_id(text: str) -> bytes:
    """Return a Plug and Play name as the number that AML has for it (EISAID)."""
    letters = [ord(c) - 0x40 for c in text[:3]]
    value = letters[0] << 26 | letters[1] << 21 | letters[2] << 16 | int(text[3:], 16)
    return b"\x0c" + struct.pack(">I", value)


# -- resources (6.4) -------------------------------------------------------------------------------
def _io(first: int, size: int) -> bytes:
    return struct.pack("<BBHHBB", 0x47, 1, first, first, 1, size)


def _word_space(kind: int, flags: int, first: int, last: int) -> bytes:
    size = last - first + 1
    return struct.pack("<BHBBBHHHHH", 0x88, 13, kind, 0x0C, flags, 0, first, last, 0, size & 0xFFFF)


def _dword_space(first: int, last: int) -> bytes:
    size = last - first + 1
    return struct.pack("<BHBBBIIIII", 0x87, 23, 0, 0x0C, 1, 0, first, last, 0, size)


def _irq(number: int) -> bytes:
    return struct.pack("<BH", 0x22, 1 << number)


_END = b"\x79\0"


def _isa(name: str, pnp: str, number: int, *resources: bytes) -> bytes:
    return _device(
        name,
        _name("_HID", eisa_id(pnp)),
        _name("_UID", _integer(number)),
        _name("_STA", _integer(15)),
        _name("_CRS", _buffer(b"".join(resources) + _END)),
    )


def _routes() -> bytes:
    """Build _PRT: the IRQ of each pin of each slot, through no link device."""
    rows = []
    for slot in range(32):
        for pin in range(4):
            irq = INTERRUPTS[slot + pin - 1 & 3]
            row = [_integer(slot << 16 | 0xFFFF), _integer(pin), _ZERO, _integer(irq)]
            rows.append(_package(row))
    return _package(rows)


def _dsdt(size: int) -> bytes:
    first_free = max(size, 0x80000000)  # firmware puts base addresses above this (pcisetup.py)
    bridge = _device(
        "PCI0",
        _name("_HID", eisa_id("PNP0A03")),
        _name("_ADR", _ZERO),
        _name("_UID", _ONE),
        _name(
            "_CRS",
            _buffer(
                _word_space(2, 0, 0, 0xFF)
                + _io(0xCF8, 8)
                + _word_space(1, 3, 0, 0xCF7)
                + _word_space(1, 3, 0xD00, 0xFFFF)
                + _dword_space(0xA0000, 0xBFFFF)
                + _dword_space(first_free, 0xFEBFFFFF)
                + _END
            ),
        ),
        _name("_PRT", _routes()),
        _device(
            "ISA_",
            _name("_ADR", _integer(0x10000)),
            _isa("RTC_", "PNP0B00", 0, _io(0x70, 2), _irq(8)),
            _isa("KBD_", "PNP0303", 0, _io(0x60, 1), _io(0x64, 1), _irq(1)),
            _isa("MOU_", "PNP0F13", 0, _irq(12)),
            _isa("COM1", "PNP0501", 1, _io(0x3F8, 8), _irq(4)),
            _isa("COM2", "PNP0501", 2, _io(0x2F8, 8), _irq(3)),
            _device(
                "FWCF",
                _name("_HID", _string("QEMU0002")),
                _name("_STA", _integer(11)),  # there, but nothing to show to users
                _name("_CRS", _buffer(_io(fwcfg.SELECTOR, fwcfg.PORTS) + _END)),
            ),
        ),
    )
    root = _SCOPE + _length(b"\\_SB_" + bridge)
    sleep = _name("_S5_", _package([_integer(SLEEP_OFF)] * 4))
    return _table(b"DSDT", 1, root + sleep)


# -- tables (5.2) ----------------------------------------------------------------------------------
def _sum(data: bytes) -> int:
    return -sum(data) & 0xFF


def _table(signature: bytes, revision: int, body: bytes) -> bytes:
    ids = (_OEM, b"JITEMUPC", 1, b"JITE", 1)
    header = struct.pack("<4sIBB6s8sI4sI", signature, len(body) + 36, revision, 0, *ids)
    data = header + body
    return data[:9] + bytes([_sum(data)]) + data[10:]


def _fadt(facs: int, dsdt: int) -> bytes:
    blocks = (PM_BASE, 0, PM_BASE + 4, 0, 0, PM_BASE + 8, 0xAFE0, 0)
    body = struct.pack("<IIBBHIBBBB", facs, dsdt, 0, 0, SCI, COMMAND_PORT, ENABLE, DISABLE, 0, 0)
    body += struct.pack("<8I", *blocks)
    body += struct.pack("<BBBBBBBB", 4, 2, 0, 4, 4, 0, 0, 0)
    # No C2 and C3; the day and month alarms are not there; the century is.
    flags = 1 | 1 << 2 | 1 << 5  # WBINVD works; C1 works; no sleep button
    body += struct.pack("<HHHHBBBBBHBI", 0xFFF, 0xFFF, 0, 0, 0, 0, 0, 0, 0x32, 3, 0, flags)
    return _table(b"FACP", 1, body)


def _madt() -> bytes:
    body = struct.pack("<II", LAPIC, 1)  # there are 8259s, too
    body += struct.pack("<BBBBI", 0, 8, 0, 0, 1)
    body += struct.pack("<BBBBII", 1, 12, IOAPIC_ID, 0, IOAPIC, 0)
    body += struct.pack("<BBBBIH", 2, 10, 0, 0, TIMER_PIN, 0)
    for irq in sorted({SCI, *INTERRUPTS}):
        body += struct.pack("<BBBBIH", 2, 10, 0, irq, irq, 0xD)  # by level, active high
    body += struct.pack("<BBBHB", 4, 6, 0xFF, 0, 1)  # NMI comes at LINT1
    return _table(b"APIC", 1, body)


def build(size: int, *, has_apic: bool = False) -> tuple[int, bytes, bytes]:
    """Return the address of the tables, their bytes, and the RSDP, which belongs at `RSDP`.

    *size* is the end of RAM; the tables take its last `SIZE` bytes.
    """
    base = size - SIZE
    data = bytearray(struct.pack("<4sIIIII", b"FACS", _FACS_SIZE, 0, 0, 0, 0).ljust(64, b"\0"))
    places: list[int] = []

    def add(table: bytes) -> int:
        place = base + len(data)
        data.extend(table + bytes(-len(table) & 15))
        return place

    dsdt = add(_dsdt(size))
    places.append(add(_fadt(base, dsdt)))
    if has_apic:
        places.append(add(_madt()))
    rsdt = add(_table(b"RSDT", 1, struct.pack(f"<{len(places)}I", *places)))
    pointer = struct.pack("<8sB6sBI", b"RSD PTR ", 0, _OEM, 0, rsdt)
    pointer = pointer[:8] + bytes([_sum(pointer)]) + pointer[9:]
    return base, bytes(data), pointer
