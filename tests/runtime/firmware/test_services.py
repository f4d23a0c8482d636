"""INT 11h to 1Ah but the display: disks, memory, keys, ports, time, PCI."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import datetime

import pytest

from runtime.devices.cdrom import CdRom
from runtime.firmware.bios import bda
from runtime.firmware.callbacks import WAIT
from runtime.machines.storage import Drives
from tests.runtime.firmware.services import Memory, Services

BUFFER = 0x10000  # ES 1000h
PATTERN = b"".join(struct.pack("<I", i) * 128 for i in range(2880))
DISK = b"".join(struct.pack("<I", i ^ 0x5A5A0000) * 128 for i in range(20160))  # 20/16/63


@pytest.fixture
def machine() -> Iterator[Services]:
    floppy, disk = Memory(PATTERN), Memory(DISK)
    cd = CdRom(Memory(PATTERN))
    made = Services(
        Drives(floppies=[floppy, None], ide=[disk, None, cd]),
        start=datetime(1999, 12, 31, 23, 59, 50),
        serial=[bytearray().extend],
        parallel=bytearray().extend,
    )
    yield made
    made.close()


def sector(number: int, disk: bytes = PATTERN) -> bytes:
    return disk[512 * number : 512 * (number + 1)]


# -- disks -----------------------------------------------------------------------------------------
def test_equipment(machine: Services) -> None:
    """Two diskette drives, colour, mouse, one serial and one parallel port; 639 KiB."""
    assert machine.call(0x11).ax == 0x4267
    assert machine.call(0x12).ax == 639
    assert machine.byte(bda.DISK_COUNT) == 1


def test_diskettes_by_cylinder(machine: Services) -> None:
    call = machine.call(0x13, eax=0x0202, ebx=0x20, ecx=0x0511, edx=0x0100, es=0x1000)
    first = (5 * 2 + 1) * 18 + 16
    assert (call.ah, call.al, call.carry) == (0, 2, False)
    assert machine.physical.read(BUFFER + 0x20, 1024) == sector(first) + sector(first + 1)
    assert machine.byte(bda.FLOPPY_STATUS) == 0
    for registers, status in (
        ({"eax": 0x0201, "ecx": 0x0013}, 4),  # sector 19
        ({"eax": 0x0203, "ecx": 0x4F11, "edx": 0x0100}, 4),  # more than the diskette has
        ({"eax": 0x0201, "ecx": 0x5001}, 4),  # cylinder 80
        ({"eax": 0x0201, "ecx": 1, "edx": 1}, 0x80),  # an empty drive
        ({"eax": 0x0201, "ecx": 1, "edx": 2}, 0x80),  # no drive
        ({"eax": 0x0200, "ecx": 1}, 1),  # nothing
        ({"eax": 0x7700}, 1),
    ):
        call = machine.call(0x13, es=0x1000, **registers)
        assert (call.ah, call.carry) == (status, True)
    assert machine.call(0x13, eax=0x0100).ah == 1
    # As under SeaBIOS, a transfer goes on with the next cylinder.
    call = machine.call(0x13, eax=0x0203, ecx=0x0511, edx=0x0100, es=0x1000)
    assert (call.ah, call.al, call.carry) == (0, 3, False)
    assert machine.physical.read(BUFFER + 1024, 512) == sector(6 * 36)


def test_diskettes_are_written(machine: Services) -> None:
    machine.physical.write(BUFFER, b"new" * 171)
    assert not machine.call(0x13, eax=0x0301, ecx=2, es=0x1000).carry
    machine.call(0x13, eax=0x0201, ebx=0x800, ecx=2, es=0x1000)
    assert machine.physical.read(BUFFER + 0x800, 512) == (b"new" * 171)[:512]
    machine.physical.write(BUFFER, b"".join(bytes((3, 0, i + 1, 2)) for i in range(18)))
    assert not machine.call(0x13, eax=0x0512, ecx=0x0301, es=0x1000).carry
    machine.call(0x13, eax=0x0201, ebx=0x800, ecx=0x0312, es=0x1000)
    assert machine.physical.read(BUFFER + 0x800, 512) == b"\xf6" * 512


def test_a_changed_diskette_is_reported_once(machine: Services) -> None:
    machine.pc.storage.floppies[0].insert(Memory(PATTERN[::-1]))
    assert machine.call(0x13, eax=0x1600).ah == 6
    assert not machine.call(0x13, eax=0x1600).carry
    machine.call(0x13, eax=0x0201, ecx=1, es=0x1000)
    assert machine.physical.read(BUFFER, 512) == PATTERN[::-1][:512]


def test_parameters(machine: Services) -> None:
    call = machine.call(0x13, eax=0x0800)
    assert (call.ch, call.cl, call.dh, call.dl, call.bl) == (79, 18, 1, 2, 4)
    assert machine.physical.read(call.es * 16 + call.di, 2) == b"\xaf\x02"
    call = machine.call(0x13, eax=0x0800, edx=0x80)
    assert (call.ch, call.cl, call.dh, call.dl, call.ah) == (19, 63, 15, 1, 0)
    assert machine.call(0x13, eax=0x0800, edx=0x81).carry
    assert machine.call(0x13, eax=0x1500).ah == 2
    call = machine.call(0x13, eax=0x1500, edx=0x80)
    assert (call.ah, call.cx << 16 | call.dx) == (3, 20160)


def test_disks_by_number(machine: Services) -> None:
    """EDD: packets with 32-bit addresses; what is too far is refused and moves nothing."""
    call = machine.call(0x13, eax=0x4100, ebx=0x55AA, edx=0x80)
    assert (call.bx, call.ah, call.cx & 1, call.carry) == (0xAA55, 0x30, 1, False)
    packet = struct.pack("<BBHHHQ", 16, 0, 300, 0, 0x2000, 19000)
    machine.physical.write(BUFFER, packet)
    assert machine.call(0x13, eax=0x4200, edx=0x80, ds=0x1000).ah == 0
    assert machine.physical.read(0x20000, 300 * 512) == DISK[19000 * 512 : 19300 * 512]
    packet = struct.pack("<BBHHHQQ", 24, 0, 2, 0xFFFF, 0xFFFF, 7, 0x200000)
    machine.physical.write(BUFFER, packet)
    assert machine.call(0x13, eax=0x4200, edx=0x80, ds=0x1000).ah == 0
    assert machine.physical.read(0x200000, 512) == sector(7, DISK)
    machine.physical.write(BUFFER, struct.pack("<BBHHHQ", 16, 0, 2, 0, 0x2000, 20159))
    assert machine.call(0x13, eax=0x4200, edx=0x80, ds=0x1000).carry
    assert machine.word(BUFFER + 2) == 0
    machine.physical.write(BUFFER, struct.pack("<BBHHHQ", 16, 0, 1, 0, 0x2000, 5))
    machine.physical.write(0x20000, b"w" * 512)
    assert machine.call(0x13, eax=0x4300, edx=0x80, ds=0x1000).ah == 0
    machine.call(0x13, eax=0x0201, ecx=6, edx=0x80, es=0x1000)
    assert machine.physical.read(BUFFER, 512) == b"w" * 512
    machine.physical.write(BUFFER, struct.pack("<H", 30))
    machine.call(0x13, eax=0x4800, edx=0x80, ds=0x1000)
    size, _, cylinders, heads, sectors, total, each = struct.unpack(
        "<HHIIIQH", machine.physical.read(BUFFER, 26)
    )
    assert (size, cylinders, heads, sectors, total, each) == (30, 20, 16, 63, 20160, 512)


def test_cds_have_sectors_of_2048_bytes(machine: Services) -> None:
    machine.physical.write(BUFFER, struct.pack("<BBHHHQ", 16, 0, 2, 0, 0x2000, 3))
    assert machine.call(0x13, eax=0x4200, edx=0xE0, ds=0x1000).ah == 0
    assert machine.physical.read(0x20000, 4096) == PATTERN[3 * 2048 : 5 * 2048]
    assert machine.call(0x13, eax=0x4300, edx=0xE0, ds=0x1000).ah == 3
    assert machine.call(0x13, eax=0x0201, ecx=1, edx=0xE0, es=0x1000).ah == 1


class Strange(Memory):
    """A disk of any size that cannot be read."""

    def __init__(self, sectors: int) -> None:
        super().__init__(b"")
        self.size = sectors

    @property
    def sectors(self) -> int:
        return self.size

    def read(self, sector: int, count: int) -> bytes:
        raise OSError("the image is broken")


@pytest.mark.parametrize("sectors", [0, 1, 5, 2880, 1 << 42])
def test_disks_of_strange_sizes(sectors: int) -> None:
    """No geometry is impossible, no error of an image is more than a status."""
    disks = Strange(sectors), CdRom(Strange(sectors))
    made = Services(Drives([Strange(min(sectors, 5760))], list(disks)))
    try:
        for number in (0, 0x80):
            call = made.call(0x13, eax=0x0800, edx=number)
            assert not call.carry
            assert call.cl & 0x3F
            call = made.call(0x13, eax=0x0201, ecx=1, edx=number, es=0x1000)
            assert call.carry
            assert call.ah in (0x01, 0x04, 0x20)
        made.physical.write(BUFFER, struct.pack("<H", 30))
        assert not made.call(0x13, eax=0x4800, edx=0x80, ds=0x1000).carry
        assert struct.unpack_from("<Q", made.physical.read(BUFFER, 30), 16)[0] == sectors
        made.bios.function("boot", "boot")(made.bios.call)  # and nothing can be booted
        assert made.bios.call.cpu.cs == 0xF000
    finally:
        made.close()


# -- memory ----------------------------------------------------------------------------------------
def test_memory_map(machine: Services) -> None:
    """E820h lists everything once; E801h and 88h agree with it."""
    ranges, index = [], 0
    while True:
        call = machine.call(0x15, eax=0xE820, ebx=index, ecx=20, edx=0x534D4150, es=0x1000)
        assert (call.eax, call.ecx, call.carry) == (0x534D4150, 20, False)
        ranges.append(struct.unpack("<QQI", machine.physical.read(BUFFER, 20)))
        index = call.ebx
        if not index:
            break
    assert ranges[0] == (0, 0x9FC00, 1)
    ends = [start + size for start, size, _ in ranges]
    assert all(end <= start for end, (start, _, _) in zip(ends, ranges[1:], strict=False))
    assert ends[-1] == 16 << 20
    assert machine.call(0x15, eax=0xE820, ebx=99, ecx=20, edx=0x534D4150).carry
    call = machine.call(0x15, eax=0xE801)
    usable = next(size for start, size, kind in ranges if (start, kind) == (1 << 20, 1)) >> 10
    assert usable > 14 << 10
    assert (call.ax, call.bx) == (usable, 0)
    assert machine.call(0x15, eax=0x8800).ax == usable


def test_a20(machine: Services) -> None:
    assert machine.call(0x15, eax=0x2402).al == 1
    machine.call(0x15, eax=0x2400)
    assert machine.call(0x15, eax=0x2402).al == 0
    assert not machine.pc.a20.is_open
    machine.call(0x15, eax=0x2401)
    assert machine.pc.a20.is_open


def test_blocks_are_moved_beyond_the_first_megabyte(machine: Services) -> None:
    def descriptor(base: int) -> bytes:
        parts = (0xFFFF, base & 0xFFFF, base >> 16 & 0xFF, 0x93, 0, base >> 24)
        return struct.pack("<HHBBBB", *parts)

    machine.physical.write(0x20000, b"moved" * 100)
    table = bytes(16) + descriptor(0x20000) + descriptor(0x345678) + bytes(16)
    machine.physical.write(BUFFER, table)
    call = machine.call(0x15, eax=0x8700, ecx=250, es=0x1000)
    assert (call.ah, call.carry) == (0, False)
    assert machine.physical.read(0x345678, 500) == b"moved" * 100


def test_unknown_functions_say_so(machine: Services) -> None:
    call = machine.call(0x15, eax=0x6400)
    assert (call.ah, call.carry) == (0x86, True)
    assert machine.call(0x1A, eax=0x4400).carry
    call = machine.call(0x15, eax=0xC000)
    assert machine.physical.read(call.es * 16 + call.bx, 4) == b"\x08\0\xfc\0"


# -- keys ------------------------------------------------------------------------------------------
def press(machine: Services, *codes: int) -> None:
    """Let the keyboard send scan codes of set 1."""
    for code in codes:
        machine.call(0x11)
        machine.bios.call.al = code
        machine.bios.call.cpu.eflags |= 1
        machine.bios.function("keyboard", "key")(machine.bios.call)


def read(machine: Services, function: int = 0x10) -> int:
    call = machine.call(0x16, eax=function << 8)
    return -1 if machine.result is WAIT else call.ax


def test_keys(machine: Services) -> None:
    """Characters, shifts, locks, the pad, gray and function keys, Alt with digits."""
    shift, ctrl, alt, caps, num = 0x2A, 0x1D, 0x38, 0x3A, 0x45
    for codes, expected in (
        ((0x1E,), 0x1E61),
        ((shift, 0x1E, shift | 0x80), 0x1E41),
        ((ctrl, 0x2E, ctrl | 0x80), 0x2E03),
        ((alt, 0x10, alt | 0x80), 0x1000),
        ((caps, caps | 0x80, 0x1E, caps, caps | 0x80), 0x1E41),
        ((0x48,), 0x4800),
        ((num, num | 0x80, 0x48, num, num | 0x80), 0x4838),
        ((0xE0, 0x48), 0x48E0),
        ((0xE0, 0x2A, 0xE0, 0x53, 0xE0, 0xD3, 0xE0, 0xAA), 0x53E0),
        ((0x3B,), 0x3B00),
        ((shift, 0x3B, shift | 0x80), 0x5400),
        ((0x57,), 0x8500),
        ((0xE0, 0x1C), 0xE00D),
        ((alt, 0x4D, 0x4C, alt | 0x80), 65),
        ((0x1C, 0x9C), 0x1C0D),
        ((0xE0, ctrl, 0xE0, 0x4B, 0xE0, ctrl | 0x80), 0x73E0),
    ):
        press(machine, *codes)
        assert read(machine) == expected, codes
        assert machine.call(0x16, eax=0x0200).al & 15 == 0
        assert read(machine) == -1


def test_old_functions_know_old_keys(machine: Services) -> None:
    """Functions 0 and 1 do not tell gray keys from others, and leave F11 out."""
    press(machine, 0x57, 0xE0, 0x48, 0xE0, 0x1C)
    assert machine.call(0x16, eax=0x0100).ax == 0x4800
    assert not machine.bios.call.zero
    assert read(machine, 0) == 0x4800
    assert read(machine, 0) == 0x1C0D
    assert machine.call(0x16, eax=0x0100).zero
    assert read(machine, 0) == -1


def test_what_the_keyboard_can_do(machine: Services) -> None:
    assert machine.call(0x16, eax=0x0900).al == 0x74
    assert machine.call(0x16, eax=0x0A00).bx == 0x41AB
    assert machine.call(0x16, eax=0x9200).ah == 0x80
    assert machine.call(0x16, eax=0xA200).ah == 0xA2


def test_the_buffer_holds_fifteen_keys(machine: Services) -> None:
    assert [machine.call(0x16, eax=0x0500, ecx=i).al for i in range(17)] == [0] * 15 + [1] * 2
    assert [read(machine) for _ in range(16)] == [*range(15), -1]


def test_break_and_pause(machine: Services) -> None:
    """Ctrl-Break empties the buffer and calls INT 1Bh; Pause waits for another key."""
    press(machine, 0x1E, 0x1D, 0xE0, 0x46)
    assert machine.byte(bda.BREAK) == 0x80
    assert machine.physical.read(machine.bios.call.cpu.eip + 0xF0000, 3) == b"\xcd\x1b\xc3"
    press(machine, 0xE0, 0xC6, 0x9D)
    assert read(machine) == 0
    press(machine, 0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5)
    assert machine.bios.function("keyboard", "pause")(machine.bios.call) is WAIT
    press(machine, 0x39)
    assert machine.bios.function("keyboard", "pause")(machine.bios.call) is None
    assert read(machine) == -1


# -- ports and time --------------------------------------------------------------------------------
def test_serial_and_parallel_ports(machine: Services) -> None:
    sent, printed = bytearray(), bytearray()
    machine.pc.serial[0].on_output = sent.extend
    machine.pc.parallel.on_output = printed.extend
    assert machine.call(0x14, eax=0x00E3).ah & 0x60 == 0x60
    assert machine.pc.serial[0].divisor == 12
    for value in b"serial":
        assert not machine.call(0x14, eax=0x0100 | value).ah & 0x80
    machine.pc.serial[0].flush()
    assert sent == b"serial"
    assert machine.call(0x14, eax=0x0200).ah & 0x80  # nothing came
    assert machine.call(0x14, eax=0x0141, edx=3).ah & 0x80  # no port
    for value in b"paper":
        assert machine.call(0x17, eax=value).ah & 0x90 == 0x90
    machine.pc.parallel.flush()
    assert printed == b"paper"
    assert machine.call(0x17, eax=0x0200, edx=1).ah & 1


def test_time(machine: Services) -> None:
    call = machine.call(0x1A, eax=0x0200)
    assert (call.ch, call.cl, call.dh & 0xF0) == (0x23, 0x59, 0x50)
    call = machine.call(0x1A, eax=0x0400)
    assert (call.cx, call.dx) == (0x1999, 0x1231)
    call = machine.call(0x1A)
    assert abs((call.cx << 16 | call.dx) - (0x1800B0 - 182)) < 20
    machine.call(0x1A, eax=0x0500, ecx=0x2024, edx=0x0229)
    machine.call(0x1A, eax=0x0300, ecx=0x1122, edx=0x3300)
    call = machine.call(0x1A, eax=0x0400)
    assert (call.cx, call.dx) == (0x2024, 0x0229)
    assert machine.call(0x1A, eax=0x0200).cx == 0x1122
    machine.call(0x1A, eax=0x0100, ecx=0x18, edx=0x00AF)
    machine.bios.function("timer", "tick")(machine.bios.call)
    call = machine.call(0x1A)
    assert (call.cx, call.dx, call.al) == (0, 0, 1)
    assert machine.call(0x1A).al == 0


def test_pci(machine: Services) -> None:
    call = machine.call(0x1A, eax=0xB101)
    assert (call.edx, call.ah, call.bx) == (0x20494350, 0, 0x0210)
    call = machine.call(0x1A, eax=0xB102, ecx=0x1237, edx=0x8086)
    assert (call.ah, call.bx) == (0, 0)
    assert machine.call(0x1A, eax=0xB102, ecx=0x1237, edx=0x8086, esi=1).ah == 0x86
    call = machine.call(0x1A, eax=0xB103, ecx=0x030000)
    assert (call.ah, call.bx) == (0, 0x10)
    assert machine.call(0x1A, eax=0xB10A, ebx=0x10).ecx == 0x11111234
    assert machine.call(0x1A, eax=0xB109, ebx=0x10, edi=1).ah == 0x87
    machine.call(0x1A, eax=0xB10B, ebx=0x10, ecx=0x55, edi=0x3C)
    assert machine.call(0x1A, eax=0xB108, ebx=0x10, edi=0x3C).cl == 0x55
