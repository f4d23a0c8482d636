"""Starting a kernel (-kernel) under an outside firmware: an expansion ROM that it boots from.

PCI Local Bus Specification 2.1, 6.3 (expansion ROMs); Plug and Play BIOS Specification 1.0A, 3.2
(the header with a bootstrap entry vector). The ROM's code tells us by a port that the firmware has
done its part; then the kernel is put into memory, and goes on in its place.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from runtime.bus import Bus
from runtime.devices.pci import Function

IDS = (0x1234, 0x0B48)  # nobody's
SLOT = 3
_CLASS = 0xFF0000
_PORT = 0x0B48
_SIZE, _ROM_BAR = 4096, 6
_PCI, _PNP, _NAME, _START = 0x1C, 0x34, 0x60, 0x80
# mov dx, port; out dx, al; hlt; jmp $ - 1
_CODE = b"\xba" + _PORT.to_bytes(2, "little") + b"\xee\xf4\xeb\xfd"


def image() -> bytes:
    """Build the ROM."""
    data = bytearray(512)
    data[0:4] = b"\x55\xaa\x01\xcb"  # a block of 512 bytes; its initialisation is retf
    struct.pack_into("<HH", data, 0x18, _PCI, _PNP)
    struct.pack_into(
        "<4sHHHHB3sHHBBH", data, _PCI,
        b"PCIR", *IDS, 0, 0x18, 0, _CLASS.to_bytes(3, "little"), 1, 0, 0, 0x80, 0,
    )  # fmt: skip
    struct.pack_into(
        "<4sBBHBBIHH3sBHHHHH", data, _PNP,
        b"$PnP", 1, 2, 0, 0, 0, 0, 0, _NAME, b"\0\0\0", 0x64, 0, 0, _START, 0, 0,
    )  # fmt: skip
    data[_PNP + 9] = -sum(data[_PNP : _PNP + 32]) & 0xFF
    name = b"-kernel\0"
    data[_NAME : _NAME + len(name)] = name
    data[_START : _START + len(_CODE)] = _CODE
    data[-1] = -sum(data) & 0xFF
    return bytes(data)


class KernelRom:
    """The PCI function with that ROM."""

    def __init__(self, bus: Bus, on_boot: Callable[[], None]) -> None:
        """*on_boot* is called when the firmware boots from it."""
        self.physical, self.place = bus.physical, -1
        self.function = Function(IDS, _CLASS)
        self.function.add_bar(_ROM_BAR, _SIZE, self._map)
        bus.map_ports(_PORT, 1, lambda port, size: 0xFF, lambda *_: on_boot(), owner="kernel")

    def _map(self, place: int | None) -> None:
        if self.place >= 0:
            self.physical.remove(self.place, _SIZE)
        self.place = -1
        if place is not None:
            self.place = place
            self.physical.add_ram(place, _SIZE)
            self.physical.write(place, image().ljust(_SIZE, b"\xff"))
            self.physical.set_rom(place, _SIZE)
