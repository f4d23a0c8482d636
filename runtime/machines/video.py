"""The display adapter as a PCI device: where its memory is, and its BIOS."""

from __future__ import annotations

from runtime.bus import Bus
from runtime.clock import Clock
from runtime.devices.pci import Function
from runtime.devices.vga import PCI_CLASS, PCI_ID, Vga
from runtime.system.physical import Physical

_PREFETCHABLE = 8
_PAGE = 4096
LARGEST_ROM = 1 << 18
_SIGNATURE = b"\x55\xaa"


def check_rom(image: bytes) -> None:
    """ValueError for what is no video BIOS."""
    if image[:2] != _SIGNATURE or len(image) > LARGEST_ROM:
        raise ValueError("no video BIOS: an option ROM begins with 55 AA (-vgabios)")


class Display(Function):
    """Bochs's VGA, as PCI knows it."""

    def __init__(self, bus: Bus, clock: Clock, bios: bytes = b"") -> None:
        """*bios*: the image of its expansion ROM."""
        super().__init__(PCI_ID, PCI_CLASS, revision=2)
        self.vga = Vga(bus, clock)
        self.physical: Physical = bus.physical
        self.bios = bios
        self.rom_place: int | None = None
        self.add_bar(0, self.vga.size, self.vga.place_linear, kind=_PREFETCHABLE)
        if bios:
            self.rom_size = max(1 << (len(bios) - 1).bit_length(), _PAGE)
            self.add_bar(6, self.rom_size, self._place_rom)

    def reset(self) -> None:
        """Be as after power-on."""
        super().reset()
        self.vga.reset()

    def _place_rom(self, place: int | None) -> None:
        if self.rom_place is not None:
            self.physical.remove(self.rom_place, self.rom_size)
        self.rom_place = place
        if place is not None and place + self.rom_size <= self.physical.span:
            self.physical.add_ram(place, self.rom_size)
            self.physical.write(place, self.bios.ljust(self.rom_size, b"\xff"))
            self.physical.set_rom(place, self.rom_size)
