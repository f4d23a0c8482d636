"""PCI: configuration space behind ports CF8h and CFCh, base address registers, interrupt wires.

PCI Local Bus Specification 2.1; configuration mechanism #1 and reset control: Intel 82441FX (PMC)
datasheet, 3.1 and 3.2. A function belongs to a device, which adds its registers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from runtime.bus import Bus, Line

ADDRESS, DATA, RESET = 0xCF8, 0xCFC, 0xCF9
COMMAND, STATUS, BAR0, INTERRUPT_LINE, INTERRUPT_PIN = 0x04, 0x06, 0x10, 0x3C, 0x3D
ROM_BAR = 0x30
IO, MEMORY, MASTER = 1, 2, 4  # bits of the command register
_INTX_OFF = 1 << 10
_ENABLE = 1 << 31
_SUBSYSTEM = (0x1AF4, 0x1100)  # by which SeaBIOS knows the machine that QEMU is


class Bar:
    """A base address register: where a device's ports or memory are."""

    def __init__(self, index: int, size: int, kind: int, on_map: Callable[[int | None], None]):
        """*size*: a power of two; *kind*: low bits; *on_map* gets each new place, None: nowhere."""
        self.offset = ROM_BAR if index == 6 else BAR0 + 4 * index
        self.size, self.kind, self.on_map = size, kind, on_map
        self.place: int | None = None

    @property
    def is_io(self) -> bool:
        """Whether it is about ports."""
        return bool(self.kind & 1)


class Function:
    """Configuration space of one function: 256 bytes, and which bits the guest may change."""

    def __init__(
        self,
        ids: tuple[int, int],
        class_code: int,
        *,
        revision: int = 0,
        header: int = 0,
        pin: int = 0,
        subsystem: tuple[int, int] = _SUBSYSTEM,
    ) -> None:
        """*ids*: vendor and device; *class_code*: 24 bits; *pin*: 1 to 4 for INTA# to INTD#."""
        self.config, self.mask = bytearray(256), bytearray(256)
        self.bars: list[Bar] = []
        self.lowest = 0  # address of memory that reaches the bus: below it is RAM
        self.put(0, ids[0] | ids[1] << 16, 4)
        self.put(8, revision | class_code << 8, 4)
        self.config[0x0E] = header
        self.put(0x2C, subsystem[0] | subsystem[1] << 16, 4)
        self.config[INTERRUPT_PIN] = pin
        self.allow(COMMAND, IO | MEMORY | MASTER | _INTX_OFF, 2)
        self.allow(INTERRUPT_LINE, 0xFF, 1)
        # Told what was written: offset, bytes.
        self.on_write: Callable[[int, int], None] = lambda offset, size: None
        self.intx = Line()  # driven by the device, seen by the host bridge

    def put(self, offset: int, value: int, size: int) -> None:
        """Set bytes, whatever the guest may do."""
        self.config[offset : offset + size] = value.to_bytes(size, "little")

    def get(self, offset: int, size: int) -> int:
        """Return bytes as a number."""
        return int.from_bytes(self.config[offset : offset + size], "little")

    def get_mask(self, offset: int) -> int:
        """Return which bits of a word the guest may write."""
        return int.from_bytes(self.mask[offset : offset + 2], "little")

    def allow(self, offset: int, bits: int, size: int) -> None:
        """Let the guest write some bits."""
        self.mask[offset : offset + size] = bits.to_bytes(size, "little")

    def add_bar(
        self, index: int, size: int, on_map: Callable[[int | None], None], *, kind: int = 0
    ) -> Bar:
        """Add a base address register; index 6 is the expansion ROM's; kind 1: ports."""
        bar = Bar(index, size, kind, on_map)
        self.bars.append(bar)
        self.put(bar.offset, kind, 4)
        self.allow(bar.offset, -size & 0xFFFFFFFF | (1 if index == 6 else 0), 4)
        return bar

    def read(self, offset: int, size: int) -> int:
        """Read as the guest does; bytes beyond the end are ones."""
        found = self.config[offset : offset + size]
        return int.from_bytes(bytes(found) + b"\xff" * (size - len(found)), "little")

    def write(self, offset: int, value: int, size: int) -> None:
        """Write as the guest does."""
        data = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
        for place, byte in enumerate(data[: 256 - offset], offset):
            allowed = self.mask[place]
            self.config[place] = self.config[place] & ~allowed | byte & allowed
        self.on_write(offset, size)
        self.update_bars()

    def update_bars(self) -> None:
        """Tell the device of base addresses that have changed."""
        command = self.get(COMMAND, 2)
        for bar in self.bars:
            value = self.get(bar.offset, 4)
            is_on = command & (IO if bar.is_io else MEMORY)
            if bar.offset == ROM_BAR:
                is_on = is_on and value & 1
            address = value & -bar.size & 0xFFFFFFFF
            # All ones is how software asks for the size; 0 is "not given yet".
            lowest, end = (0, 0x10000) if bar.is_io else (self.lowest, 0x1_0000_0000 - bar.size)
            is_place = address and lowest <= address < end
            place = address if is_on and is_place else None
            if place != bar.place:
                bar.place = place
                bar.on_map(place)

    def reset(self) -> None:
        """Turn decoding off, as RST# does; a device resets the rest."""
        self.put(COMMAND, self.get(COMMAND, 2) & ~self.get_mask(COMMAND), 2)
        for bar in self.bars:
            self.put(bar.offset, bar.kind, 4)
        self.update_bars()


class PciHost:
    """Bus 0, its configuration ports, and the four interrupt wires to the ISA bridge."""

    def __init__(self, bus: Bus, reset: Callable[[], None]) -> None:
        """Port CF9h can *reset* the machine."""
        self.functions: dict[tuple[int, int], Function] = {}  # (device, function)
        self.address = self.reset_control = 0
        self.reset_machine = reset
        self.levels = [0] * 4  # of PIRQA# to PIRQD#: how many functions drive each
        self.on_pirq: Callable[[int, bool], None] = lambda pirq, level: None
        self._lowest = bus.physical.size
        bus.map_ports(ADDRESS, 4, self._read_address, self._write_address, owner="pci")
        bus.map_ports(DATA, 4, self._read_data, self._write_data, owner="pci")

    def add(self, device: int, function: int, what: Function) -> None:
        """Plug a function in; ValueError if something is there already.

        As on a 440FX, accesses to RAM do not come to the bus, wherever a base address points.
        """
        if (device, function) in self.functions:
            raise ValueError(f"PCI device {device}.{function} exists already")
        self.functions[device, function] = what
        what.lowest = self._lowest
        what.intx.on_change = partial(self._intx, device, what)

    def _intx(self, device: int, what: Function, level: bool) -> None:
        pirq = device + what.config[INTERRUPT_PIN] - 2 & 3  # slot 1's INTA# is PIRQA#
        self.levels[pirq] += 1 if level else -1
        if self.levels[pirq] == level:
            self.on_pirq(pirq, level)

    def reset(self) -> None:
        """Turn all decoding off."""
        self.address = self.reset_control = 0
        for function in self.functions.values():
            function.reset()

    # -- ports -------------------------------------------------------------------------------------
    def _read_address(self, port: int, size: int) -> int:
        if port == RESET and size == 1:
            return self.reset_control
        return self.address >> 8 * (port & 3)

    def _write_address(self, port: int, value: int, size: int) -> None:
        if port == RESET and size == 1:
            resets = value & 4 and not self.reset_control & 4
            self.reset_control = value & 2
            if resets:
                self.reset_machine()
        elif port == ADDRESS and size == 4:
            self.address = value & (_ENABLE | 0xFFFFFC)

    def _target(self) -> Function | None:
        if not self.address & _ENABLE or self.address >> 16 & 0xFF:
            return None
        return self.functions.get((self.address >> 11 & 31, self.address >> 8 & 7))

    def _read_data(self, port: int, size: int) -> int:
        target = self._target()
        if target is None:
            return 0xFFFFFFFF
        return target.read(self.address & 0xFC | port & 3, size)

    def _write_data(self, port: int, value: int, size: int) -> None:
        target = self._target()
        if target is not None:
            target.write(self.address & 0xFC | port & 3, value, size)
