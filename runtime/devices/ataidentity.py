"""What ATA and ATAPI devices say of themselves: IDENTIFY, and what SET FEATURES changes.

Source: ATA/ATAPI-6 (T13/1410D r3b), 8.15 to 8.17 and 8.46.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from runtime.disks.geometry import Geometry

MULTIPLE_MAX = 128
_UDMA, _MDMA, _PIO = (
    0x3F,
    7,
    3,
)  # modes that are there: Ultra DMA 0 to 5, multiword 0 to 2, PIO 3, 4


@dataclass
class Modes:
    """What the host has set."""

    multiple: int = 16  # sectors of a block of READ MULTIPLE
    udma: int = 0  # bit of the Ultra DMA mode in use
    mdma: int = 4
    caches_writes: bool = True
    looks_ahead: bool = True

    def set(self, feature: int, value: int) -> bool:
        """Do SET FEATURES; False if there is no such feature."""
        if feature == 0x03:
            return self._set_transfer(value >> 3, value & 7)
        if feature in (0x02, 0x82):
            self.caches_writes = feature == 0x02
        elif feature in (0x55, 0xAA):
            self.looks_ahead = feature == 0xAA
        elif feature not in (0x66, 0xCC):  # what resets do to settings: nothing here
            return False
        return True

    def _set_transfer(self, kind: int, mode: int) -> bool:
        bit = 1 << mode
        if kind == 8 and bit & _UDMA:
            self.udma, self.mdma = bit, 0
        elif kind == 4 and bit & _MDMA:
            self.udma, self.mdma = 0, bit
        else:
            return kind == 0 or (kind == 1 and mode <= 4)
        return True


def _text(words: bytearray, first: int, count: int, text: str) -> None:
    """Put ASCII text into words, the first character into the high byte."""
    raw = bytearray(text.encode("ascii", "replace")[: 2 * count].ljust(2 * count))
    raw[::2], raw[1::2] = raw[1::2], raw[::2]
    words[2 * first : 2 * (first + count)] = raw


def _put(words: bytearray, values: dict[int, int]) -> None:
    for word, value in values.items():
        struct.pack_into("<H", words, 2 * word, value & 0xFFFF)


def _modes(words: bytearray, modes: Modes) -> None:
    _put(
        words,
        {
            53: 7,
            63: _MDMA | modes.mdma << 8,
            64: _PIO,
            **dict.fromkeys(range(65, 69), 120),  # ns of a cycle
            80: 0x7E,  # ATA-1 to ATA/ATAPI-6
            88: _UDMA | modes.udma << 8,
            93: 0x6001,  # a cable of 80 wires
        },
    )


def _finish(words: bytearray) -> bytes:
    words[510] = 0xA5
    words[511] = -sum(words) & 0xFF
    return bytes(words)


def identify(
    sectors: int, default: Geometry, current: Geometry, serial: str, modes: Modes
) -> bytes:
    """Return what IDENTIFY DEVICE gives."""
    words = bytearray(512)
    total = min(current.total, 0xFFFFFFFF)
    small = min(sectors, 0x0FFFFFFF)
    _text(words, 10, 10, serial)
    _text(words, 23, 4, "1.0")
    _text(words, 27, 20, "jitemu disk")
    _put(
        words,
        {
            0: 0x0040,  # fixed
            1: default.cylinders,
            3: default.heads,
            6: default.sectors,
            47: 0x8000 | MULTIPLE_MAX,
            48: 1,  # 32-bit accesses to the data register
            49: 0x0F00,  # IORDY, LBA, DMA
            50: 0x4000,
            51: 0x0200,
            52: 0x0200,
            54: current.cylinders,
            55: current.heads,
            56: current.sectors,
            57: total,
            58: total >> 16,
            59: 0x0100 | modes.multiple if modes.multiple else 0,
            60: small,
            61: small >> 16,
            82: 0x7060,  # NOP, both BUFFER commands, look-ahead, write cache
            83: 0x7400,  # FLUSH CACHE (EXT), 48-bit addresses
            84: 0x4000,
            85: 0x7000 | modes.looks_ahead << 6 | modes.caches_writes << 5,
            86: 0x3400,
            87: 0x4000,
        },
    )
    _modes(words, modes)
    struct.pack_into("<Q", words, 200, sectors)
    return _finish(words)


def identify_packet(serial: str, modes: Modes) -> bytes:
    """Return what IDENTIFY PACKET DEVICE of a CD drive gives."""
    words = bytearray(512)
    _text(words, 10, 10, serial)
    _text(words, 23, 4, "1.0")
    _text(words, 27, 20, "jitemu CD-ROM")
    _put(
        words,
        {
            0: 0x85C0,  # CD-ROM, removable, DRQ within 50 us, packets of 12 bytes
            49: 0x0F00,
            50: 0x4000,
            71: 30,
            72: 30,
            82: 0x4214,  # NOP, DEVICE RESET, PACKET, removable
            83: 0x4000,
            84: 0x4000,
            85: 0x4214,
            87: 0x4000,
        },
    )
    _modes(words, modes)
    return _finish(words)
