"""Power-on: the data area, interrupt controllers, timers, CMOS; then INT 19h."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from runtime.firmware.bios import bda, rom
from runtime.firmware.bios.bios import EBDA_KIB, EBDA_SEGMENT
from runtime.firmware.bios.drives import FIRST_CD, FIRST_DISK
from runtime.system import segments

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

_COLOR_80 = 0x20  # bits of the equipment word
_STACK = 0x7C00
# Ports and what is written to them: 8259s with vectors 8 and 70h, edges; timer and refresh;
# DMA cascade; keyboard translated to set 1, interrupts on, mouse off until INT 15h C2h.
_PIC: tuple[tuple[int, int], ...] = (
    (0x20, 0x11),
    (0x21, 8),
    (0x21, 4),
    (0x21, 1),
    (0xA0, 0x11),
    (0xA1, 0x70),
    (0xA1, 2),
)
_PIC += ((0xA1, 1), (0x21, 0xB8), (0xA1, 0x8E))
_TIMER: tuple[tuple[int, int], ...] = (
    (0x43, 0x36),
    (0x40, 0),
    (0x40, 0),
    (0x43, 0x54),
    (0x41, 0x12),
    (0x43, 0xB6),
)
_TIMER += ((0x42, 0x33), (0x42, 5))
_REST = ((0x0D, 0), (0xDA, 0), (0xD6, 0xC0), (0xD4, 0), (0x64, 0x60), (0x60, 0x65), (0x61, 0))


def fill_data(bios: Bios) -> None:
    """Write the BIOS data area."""
    physical = bios.callbacks.physical
    physical.write(0x400, bytes(0x100))

    def put(address: int, form: str, *values: int) -> None:
        physical.write(address, struct.pack("<" + form, *values))

    serial = [port for port in bios.config.serial if bios.has_ports(port)][:4]
    parallel = [port for port in bios.config.parallel if bios.has_ports(port)][:3]
    put(bda.COM_BASES, f"{len(serial)}H", *serial)
    put(bda.LPT_BASES, f"{len(parallel)}H", *parallel)
    put(bda.EBDA, "H", EBDA_SEGMENT)
    put(bda.EQUIPMENT, "H", equipment(bios, len(serial), len(parallel)))
    put(bda.MEMORY, "H", min(640 - EBDA_KIB, bios.config.memory >> 10))
    start, end = bda.KEYS - 0x400, bda.KEYS_END - 0x400
    put(bda.HEAD, "HH", start, start)
    put(bda.BUFFER_START, "HH", start, end)
    put(bda.KEYBOARD_STATE, "B", 0x10)
    put(bda.LPT_TIMEOUTS, "4B", 20, 20, 20, 20)
    put(bda.COM_TIMEOUTS, "4B", 1, 1, 1, 1)
    disks = sum(FIRST_DISK <= number < FIRST_CD for number in bios.drives)
    put(bda.DISK_COUNT, "B", disks)
    put(bda.VIDEO_FLAGS, "B", 0x11)  # text has 400 lines
    put(bda.MEDIA_STATES, "BB", 7, 7)
    physical.write(EBDA_SEGMENT << 4, bytes([EBDA_KIB]).ljust(EBDA_KIB << 10, b"\0"))
    _describe_disks(bios)


def equipment(bios: Bios, serial: int, parallel: int) -> int:
    """Return the equipment word (INT 11h)."""
    floppies = sum(number < FIRST_DISK for number in bios.drives)
    word = 2 | _COLOR_80 | serial << 9 | parallel << 14
    if bios.config.has_mouse:
        word |= 4
    return word | (1 | min(floppies, 4) - 1 << 6 if floppies else 0)


def _describe_disks(bios: Bios) -> None:
    """Write the tables of vectors 41h and 46h: geometries of the first two hard disks."""
    for index in range(2):
        drive = bios.drives.get(FIRST_DISK + index)
        table = bytes(16)
        if drive is not None:
            cylinders, heads, sectors = drive.geometry
            control = 8 if heads > 8 else 0
            table = struct.pack(
                "<HBHHBBBBBHBx",
                *(cylinders, heads, 0, 0xFFFF, 0, control, 0, 0, 0, cylinders, sectors),
            )
        bios.callbacks.put(rom.DISKS + 16 * index, table)


def _set_ticks(bios: Bios) -> None:
    """Begin to count from the time of day."""
    from runtime.firmware.bios import timer

    bios.call.store(bda.TICKS, timer.ticks_now(bios), 32)


def run(bios: Bios) -> None:
    """Do all of it; the processor goes on at INT 19h."""
    bios.config.on_post()
    for port, value in _PIC + _TIMER + _REST:
        if bios.has_ports(port):
            bios.out(port, value)
    if bios.has_ports(0x92):
        bios.out(0x92, bios.inp(0x92) | 2)  # A20
    bios.install()
    if bios.has_ports(0x70):
        bios.set_cmos(0x0F, 0)  # the reason of a shutdown: none
        _set_ticks(bios)
    cpu = bios.call.cpu
    for index in range(6):
        segments.set_real_segment(cpu, index, 0)
    cpu.esp, cpu.eflags = _STACK, 0x202
    if bios.has_ports(0x3C4):
        from runtime.firmware.bios import modes, videotables

        modes.set_mode(bios, bios.call, 3)
        videotables.place(bios)
    bios.callbacks.jump(*bios.vectors[0x19])
