"""Contents of the ROM: stubs of the services, tables, and the places that the world knows.

Fixed places: IBM PC/AT Technical Reference, BIOS listing; the tables are described in the IBM BIOS
reference, section 3.  Interrupt controllers and port 60h are accessed by guest code, so that a
monitor of virtual-8086 mode sees it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.firmware.callbacks import SEGMENT

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

Place = tuple[int, int]
POST, CONFIGURATION, BAUD_RATES = 0xE05B, 0xE6F5, 0xE729
DISKETTE, DISKS, VIDEO_PARAMETERS, FONT = 0xEFC7, 0xE401, 0xF0A4, 0xFA6E
IRET, RESET, DATE, MODEL = 0xFF53, 0xFFF0, 0xFFF5, 0xFFFE
# Entry points of services at their fixed offsets, by vector.
_ENTRIES = {
    0x02: 0xE2C3,
    0x05: 0xFF54,
    0x08: 0xFEA5,
    0x09: 0xE987,
    0x0E: 0xEF57,
    0x10: 0xF065,
    0x11: 0xF84D,
    0x12: 0xF841,
    0x13: 0xE3FE,
    0x14: 0xE739,
    0x15: 0xF859,
    0x16: 0xE82E,
    0x17: 0xEFD2,
    0x19: 0xE6F2,
    0x1A: 0xFE6E,
}
# Seven bytes of the diskette drive: step rate, motor times, gap lengths (IBM, INT 1Eh).
_DISKETTE = bytes.fromhex("af 02 25 02 12 1b ff 6c f6 0f 08")
# 6845 registers of the CGA's modes (INT 1Dh), for programs that look; then lengths and columns.
_CRT = bytes.fromhex(
    "38 28 2d 0a 1f 06 19 1c 02 07 06 07 00 00 00 00"
    "71 50 5a 0a 1f 06 19 1c 02 07 06 07 00 00 00 00"
    "38 28 2d 0a 7f 06 64 70 02 01 06 07 00 00 00 00"
    "61 50 52 0f 19 06 19 19 02 0d 0b 0c 00 00 00 00"
    "00 08 00 10 00 40 00 40 28 28 50 50 28 28 50 50 2c 28 2d 29 2a 2e 1e 29"
)
# Model FC (AT), second PIC, RTC, keyboard intercept, EBDA; INT 16h functions 10h to 12h.
CONFIGURATION_TABLE = bytes.fromhex("08 00 fc 00 01 74 40 00 00 00")
_EOI, _EOI_SLAVE = b"\xb0\x20\xe6\x20", b"\xb0\x20\xe6\xa0\xe6\x20"  # mov al, 20h; out ...
_PUSH, _POP = b"\x50", b"\x58"  # AX
PCI_ADDRESS = 0xCF8  # port
_DUMMIES = range(0x78)
_FREE = range(0x60, 0x68)  # for programs: zero until one of them is set


def _interrupt_stubs(bios: Bios) -> dict[int, Place]:
    """Make the handlers of hardware interrupts."""
    add, function = bios.callbacks.add_code, bios.function
    master = add(_PUSH + _EOI + _POP, ends="iret")
    slave = add(_PUSH + _EOI_SLAVE + _POP, ends="iret")
    found = dict.fromkeys((*range(0x0A, 0x10),), master)
    found |= dict.fromkeys((*range(0x70, 0x78),), slave)
    # push ax dx ds; tick; int 1Ch; EOI; pop ds dx ax
    tick = function("timer", "tick")
    found[0x08] = add(b"\x50\x52\x1e", tick, b"\xcd\x1c" + _EOI + b"\x1f\x5a\x58")
    # in al, 60h; mov ah, 4Fh; stc; int 15h; EOI: then the key, and a pause
    key, pause = function("keyboard", "key"), function("keyboard", "pause")
    intercept = b"\xe4\x60\xb4\x4f\xf9\xcd\x15"
    found[0x09] = add(_PUSH + intercept + _PUSH + _EOI + _POP, key, pause, _POP)
    found[0x0E] = add(function("int13", "floppy_interrupt"), _PUSH + _EOI + _POP)
    found[0x70] = add(_PUSH, function("timer", "clock_interrupt"), _EOI_SLAVE + _POP)
    # A display adapter or a network card on IRQ 9 finds the handler of IRQ 2.
    found[0x71] = add(_PUSH + b"\xb0\x20\xe6\xa0" + _POP + b"\xcd\x0a")
    save, restore = b"\x66\x60\x1e\x06", b"\x07\x1f\x66\x61"  # pushad; push ds es
    mouse = function("mouse", "byte_came")
    found[0x74] = add(save + b"\xe4\x60", mouse, _EOI_SLAVE + restore)
    # The coprocessor's error: clear its latch, then NMI's handler.
    found[0x75] = add(_PUSH + b"\x30\xc0\xe6\xf0" + _EOI_SLAVE + b"\xcd\x02" + _POP)
    return found


def build(bios: Bios) -> dict[int, Place]:
    """Fill the ROM; return what the interrupt vectors are to be."""
    callbacks = bios.callbacks
    callbacks.put(IRET, b"\xcf")
    dummy = (SEGMENT, IRET)
    vectors = dict.fromkeys(_DUMMIES, dummy) | dict.fromkeys(_FREE, (0, 0))
    vectors |= _interrupt_stubs(bios)
    from runtime.firmware.bios.bios import SERVED

    for vector in SERVED:
        vectors[vector] = callbacks.add(bios.service(vector))
    vectors[0x05] = callbacks.add(bios.function("int17", "print_screen"))
    vectors[0x18] = callbacks.add(bios.function("boot", "no_system"))
    vectors[0x19] = callbacks.add(bios.function("boot", "boot"))
    start = callbacks.add(lambda call: bios.post(), ends="")
    callbacks.put(POST, _jump(POST, start[1]))
    callbacks.put(RESET, b"\xea" + POST.to_bytes(2, "little") + SEGMENT.to_bytes(2, "little"))
    for vector, offset in _ENTRIES.items():
        if vectors[vector] != dummy:
            callbacks.put(offset, _jump(offset, vectors[vector][1]))
            vectors[vector] = (SEGMENT, offset)
        else:
            callbacks.put(offset, b"\xcf")
    vectors[0x40] = vectors[0x13]
    vectors[0x42] = vectors[0x6D] = vectors[0x10]
    callbacks.put(CONFIGURATION, CONFIGURATION_TABLE)
    callbacks.put(BAUD_RATES, bytes.fromhex("1704 0003 8001 c000 6000 3000 1800 0c00"))
    callbacks.put(DISKETTE, _DISKETTE)
    callbacks.put(VIDEO_PARAMETERS, _CRT)
    callbacks.put(DATE, b"01/01/92")
    callbacks.put(MODEL, b"\xfc\0")
    vectors[0x1D], vectors[0x1E] = (SEGMENT, VIDEO_PARAMETERS), (SEGMENT, DISKETTE)
    vectors[0x41], vectors[0x46] = (SEGMENT, DISKS), (SEGMENT, DISKS + 16)
    _add_fonts(bios, vectors)
    if bios.bus.owner_of(PCI_ADDRESS) is not None:
        from runtime.firmware.bios import bios32

        bios32.install(bios)
    return vectors


def _jump(here: int, there: int) -> bytes:
    return b"\xe9" + (there - here - 3 & 0xFFFF).to_bytes(2, "little")


def _add_fonts(bios: Bios, vectors: dict[int, Place]) -> None:
    """Put the character generators into the ROM; vectors 1Fh and 43h point to them."""
    from runtime.screen.font import font

    small = font(8)
    bios.callbacks.put(FONT, small[:1024])
    bios.font_places = {8: (SEGMENT, FONT)}
    for height in (14, 16):
        bios.font_places[height] = bios.callbacks.place(font(height), 16)
    vectors[0x1F] = bios.callbacks.place(small[1024:], 16)
    vectors[0x43] = bios.font_places[16]
