"""The built-in BIOS of one machine: its tables in memory, its interrupt vectors, its POST.

In: a bus, a processor, a clock, what drives there are. Out: a machine that begins at INT 19h.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from runtime.bus import Bus
from runtime.clock import Clock
from runtime.firmware.bios import rom
from runtime.firmware.bios.drives import Drive
from runtime.firmware.call import Call
from runtime.firmware.callbacks import Callbacks, Function, Result

if TYPE_CHECKING:
    from runtime.devices.vga import Vga
    from runtime.firmware.bios.eltorito import Boot
    from runtime.firmware.bios.vbe import VbeMode
    from runtime.system.processor import Processor

EBDA_SEGMENT, EBDA_KIB = 0x9FC0, 1
_PACKAGE = "runtime.firmware.bios"
# Vectors with services that are looked up by AH, and the modules that have them.
_MODULES = {
    0x10: "int10",
    0x11: "equipment",
    0x12: "equipment",
    0x13: "int13",
    0x14: "int14",
    0x15: "int15",
    0x16: "int16",
    0x17: "int17",
    0x1A: "int1a",
}
SERVED = tuple(_MODULES)


class Range(NamedTuple):
    """A part of physical memory as INT 15h function E820h tells of it."""

    start: int
    size: int
    kind: int  # 1 RAM, 2 reserved, 3 ACPI tables


@dataclass
class BiosConfig:
    """What the BIOS is told; it looks for the rest itself."""

    memory: int  # bytes of RAM
    drives: dict[int, Drive] = field(default_factory=dict)  # by BIOS number
    boot: str = "acd"  # QEMU's letters: diskette, hard disk, CD
    serial: Sequence[int] = (0x3F8, 0x2F8)  # ports
    parallel: Sequence[int] = (0x378,)
    has_mouse: bool = True
    ranges: Sequence[Range] = ()  # of memory; () for those that follow from its size
    # Called when POST begins: what the machine sets up besides (PCI, ACPI).
    on_post: Callable[[], None] = lambda: None
    power_off: Callable[[], None] | None = None  # switches the machine off, for APM

    def memory_map(self) -> list[Range]:
        """Return what there is of memory."""
        if self.ranges:
            return list(self.ranges)
        end = EBDA_SEGMENT << 4
        low = [Range(0, end, 1), Range(end, 0xA0000 - end, 2), Range(0xF0000, 0x10000, 2)]
        return low + ([Range(1 << 20, self.memory - (1 << 20), 1)] if self.memory > 1 << 20 else [])

    def extended(self) -> int:
        """Return the bytes of RAM from 1 MiB on, without what tables take at its end."""
        return sum(part.size for part in self.memory_map() if part.start == 1 << 20)


class Bios:
    """Services, and the state that real ones keep outside of the guest's memory."""

    def __init__(
        self,
        bus: Bus,
        processor: Processor,
        clock: Clock,
        config: BiosConfig,
        *,
        vga: Vga | None = None,
        callbacks: Callbacks | None = None,
    ) -> None:
        """Make the ROM. Nothing of RAM or devices is changed before `post` or `install`.

        *vga*: the adapter whose planes INT 10h draws to, without which it shows text modes only.
        """
        self.bus, self.clock, self.config = bus, clock, config
        self.drives, self.vga = config.drives, vga
        self.callbacks = callbacks or Callbacks(bus, processor)
        self.call = self.callbacks.call
        self.pci_entry = 0  # offset of PCI BIOS for 32-bit code; 0: none
        self.font_places: dict[int, tuple[int, int]] = {}  # by height
        self.vectors: dict[int, tuple[int, int]] = rom.build(self)
        self.vbe_mode: VbeMode | None = None
        self.vbe_linear = False
        self.vbe_interface: tuple[int, int] | None = None  # of 4F0Ah
        self.display_power = 0  # as VBE/PM counts: 0 is on
        self.vbe_places: tuple[int, int, int] | None = None  # far pointers: modes, name, window
        self.deadline: int | None = None  # ns, of INT 15h function 86h
        self.cd_boot: Boot | None = None
        self.gave_up = self.is_power_connected = False
        self.left_to_boot = ""  # letters of what INT 18h tries yet
        self.video_tables: tuple[int, int] | None = None
        self.static_table: tuple[int, int] | None = None  # of INT 10h function 1Bh
        self.mouse_bytes = bytearray()
        self.mouse_handler: tuple[int, int] | None = None

    # -- services ----------------------------------------------------------------------------------
    def service(self, vector: int) -> Function:
        """Return the function for a vector; its module is imported at the first call."""
        found: list[Callable[[Bios, Call], Result | None]] = []

        def serve(call: Call) -> Result | None:
            if not found:
                module = importlib.import_module(f"{_PACKAGE}.{_MODULES[vector]}")
                found.append(getattr(module, f"serve_{vector:02x}"))
            return found[0](self, call)

        return serve

    def function(self, module: str, name: str) -> Function:
        """Return a function of a module of this package that is imported at its first call."""
        found: list[Callable[[Bios, Call], Result | None]] = []

        def serve(call: Call) -> Result | None:
            if not found:
                found.append(getattr(importlib.import_module(f"{_PACKAGE}.{module}"), name))
            return found[0](self, call)

        return serve

    # -- ports and memory --------------------------------------------------------------------------
    def out(self, port: int, value: int) -> None:
        """Write a byte to a port."""
        self.bus.port_out(port, value, 1)

    def inp(self, port: int) -> int:
        """Read a byte from a port."""
        return self.bus.port_in(port, 1)

    def cmos(self, index: int) -> int:
        """Read a byte of CMOS memory; NMI stays off, as after every BIOS access."""
        self.out(0x70, index | 0x80)
        return self.inp(0x71)

    def set_cmos(self, index: int, value: int) -> None:
        """Write a byte of CMOS memory."""
        self.out(0x70, index | 0x80)
        self.out(0x71, value)

    def has_ports(self, port: int) -> bool:
        """Whether some device answers at a port."""
        return self.bus.owner_of(port) is not None

    # -- starting ----------------------------------------------------------------------------------
    def install(self, vectors: Mapping[int, tuple[int, int]] | None = None) -> None:
        """Write interrupt vectors and data area, and program no device: what a small machine needs.

        *vectors*: those to set instead of all.
        """
        from runtime.firmware.bios import post

        post.fill_data(self)
        for vector, place in (self.vectors if vectors is None else vectors).items():
            self.callbacks.set_vector(vector, place)

    def post(self) -> None:
        """Do what happens between reset and INT 19h; the processor is there then."""
        from runtime.firmware.bios import post

        self.gave_up = self.is_power_connected = False
        self.left_to_boot = self.config.boot  # for a kernel that is started instead of a disk
        self.deadline = self.mouse_handler = None
        self.mouse_bytes.clear()
        post.run(self)
