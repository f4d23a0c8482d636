"""IDE function of a PIIX3: the bus masters of two channels as a PCI function.

Source: Intel 82371SB (PIIX3) datasheet (290550), 2.3 and 2.7.
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.bus import Bus
from runtime.devices.ide import IdeChannel
from runtime.devices.pci import Function


class PiixIde:
    """Function 1 of a PIIX3: the bus masters of both channels behind BAR 4."""

    def __init__(self, bus: Bus, channels: Sequence[IdeChannel]) -> None:
        """Make the PCI function, which is to be added to the host bridge."""
        self._bus, self.channels = bus, channels
        self.base: int | None = None
        self.function = Function((0x8086, 0x7010), 0x010180)
        self.function.add_bar(4, 16, self._map, kind=1)
        # IDETIM: bit 15 turns a channel's ports on; they always are, so it begins as 1.
        self.function.put(0x40, 0x80008000, 4)
        self.function.allow(0x40, 0xFFFFFFFF, 4)
        self.function.allow(0x44, 0xFF, 1)

    def _map(self, base: int | None) -> None:
        if self.base is not None:
            self._bus.unmap_ports(self.base, 16)
        self.base = None
        if base is not None and not any(self._bus.owner_of(base + i) for i in range(16)):
            self.base = base
            self._bus.map_ports(base, 16, self._read, self._write, owner="ide bus master")

    def _read(self, port: int, size: int) -> int:
        at = port & 15
        channel = at >> 3
        if channel >= len(self.channels):
            return 0xFFFFFFFF
        return self.channels[channel].master.read(at & 7, size)

    def _write(self, port: int, value: int, size: int) -> None:
        at = port & 15
        channel = at >> 3
        if channel < len(self.channels):
            self.channels[channel].master.write(at & 7, value, size)
