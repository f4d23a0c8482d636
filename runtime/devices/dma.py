"""Two 8237A DMA controllers with page registers, as in the PC/AT.

Sources: Intel 8237A datasheet (231466); IBM PC/AT Technical Reference for ports and pages. Channels
0 to 3 move bytes, 5 to 7 words; 4 connects the two chips. A device moves what the registers of its
channel say, any number of bytes at once. Memory to memory, which PCs do not wire, is not there.
"""

from __future__ import annotations

from collections.abc import Callable

from runtime.bus import Bus

PAGES = {0x87: 0, 0x83: 1, 0x81: 2, 0x82: 3, 0x8B: 5, 0x89: 6, 0x8A: 7}  # port -> channel
_VERIFY, _TO_MEMORY, _FROM_MEMORY = 0, 1, 2  # mode bits 2 and 3
_DISABLED = 4  # command register


class Channel:
    """One channel: a device's window to memory."""

    def __init__(self, bus: Bus, shift: int) -> None:
        """Make a masked channel that counts in units of 1 << *shift* bytes."""
        self._bus, self._shift = bus, shift
        self.base_address = self.base_count = 0
        self.address = self.count = 0  # address of the next unit within its page; units left - 1
        self.page = 0
        self.mode = 0
        self.is_masked = True
        self.is_enabled = True  # the chip's command register does not say otherwise
        self.has_ended = False  # terminal count was reached since the status was read
        self.wants = False  # the device holds its request line
        # Called when the channel may move data again: a device that waits goes on.
        self.on_ready: Callable[[], None] = lambda: None

    @property
    def is_ready(self) -> bool:
        """Whether a request of the device would be served."""
        return not self.is_masked and self.is_enabled

    def to_memory(self, data: bytes) -> tuple[int, bool]:
        """Move a device's data to memory; return bytes moved and whether the count ended."""
        done = 0
        while self.is_ready and done < len(data):
            kind = self.mode >> 2 & 3
            size = self._run(len(data) - done)
            if not size:
                break
            part = data[done : done + size]
            if kind == _TO_MEMORY:
                if self.mode & 0x20:
                    part = self._backwards(part)
                self._bus.physical.master_write(self._place(size), part)
            done += size
            if self._advance(size):
                return done, True
        return done, False

    def from_memory(self, size: int) -> tuple[bytes, bool]:
        """Fetch up to *size* bytes for a device; say whether the count ended with them."""
        data, ended = b"", False
        while self.is_ready and len(data) < size and not ended:
            run = self._run(size - len(data))
            if not run:
                break
            part = self._bus.physical.master_read(self._place(run), run)
            if self.mode & 0x20:
                part = self._backwards(part)
            data += part
            ended = self._advance(run)
        return data, ended

    def _run(self, size: int) -> int:
        """Return how many bytes can go before the count ends or the address wraps."""
        room = self.address + 1 if self.mode & 0x20 else 0x10000 - self.address
        return min(size >> self._shift, self.count + 1, room) << self._shift

    def _place(self, size: int) -> int:
        page = self.page << 16 if not self._shift else (self.page & 0xFE) << 16
        first = self.address
        if self.mode & 0x20:
            first -= (size >> self._shift) - 1
        return page + (first << self._shift)

    def _backwards(self, data: bytes) -> bytes:
        if not self._shift:
            return data[::-1]
        swapped = bytearray(len(data))
        swapped[::2], swapped[1::2] = data[-2::-2], data[::-2]
        return bytes(swapped)

    def _advance(self, size: int) -> bool:
        units = size >> self._shift
        step = -units if self.mode & 0x20 else units
        self.address = self.address + step & 0xFFFF
        self.count -= units
        if self.count >= 0:
            return False
        self.count = 0xFFFF
        self.has_ended = True
        if self.mode & 0x10:
            self.address, self.count = self.base_address, self.base_count
        else:
            self.is_masked = True
        return True


class _Chip:
    """Four channels behind sixteen registers."""

    def __init__(self, channels: list[Channel]) -> None:
        self.channels = channels
        self.command = 0
        self.is_high = False  # flip-flop: the next byte is the high one
        self.software = 0  # request register

    def clear(self) -> None:
        """Do what master clear and a reset do."""
        self.command, self.is_high, self.software = 0, False, 0
        for channel in self.channels:
            channel.is_masked, channel.is_enabled, channel.has_ended = True, True, False

    def read(self, register: int) -> int:
        """Return a register's byte."""
        if register < 8:
            channel = self.channels[register >> 1]
            value = channel.count if register & 1 else channel.address
            value = value >> 8 if self.is_high else value & 0xFF
            self.is_high = not self.is_high
            return value
        if register == 8:
            value = sum(c.has_ended << i | c.wants << i + 4 for i, c in enumerate(self.channels))
            for channel in self.channels:
                channel.has_ended = False
            return value
        if register == 15:
            return 0xF0 | sum(c.is_masked << i for i, c in enumerate(self.channels))
        return 0  # 13: the temporary register, of memory to memory

    def write(self, register: int, value: int) -> None:
        """Change a register."""
        if register < 8:
            self._write_counter(self.channels[register >> 1], register & 1, value)
            return
        channel = self.channels[value & 3]
        if register == 8:
            self.command = value
            for each in self.channels:
                each.is_enabled = not value & _DISABLED
            self._tell(self.channels)
        elif register == 9:
            self.software = self.software & ~(1 << (value & 3)) | (value >> 2 & 1) << (value & 3)
        elif register == 10:
            channel.is_masked = bool(value & 4)
            self._tell([channel])
        elif register == 11:
            channel.mode = value
        elif register == 12:
            self.is_high = False
        elif register == 13:
            self.clear()
        else:
            for i, each in enumerate(self.channels):
                each.is_masked = bool(register == 15 and value >> i & 1)
            self._tell(self.channels)

    def _write_counter(self, channel: Channel, is_count: int, value: int) -> None:
        old = channel.base_count if is_count else channel.base_address
        new = old & 0xFF | value << 8 if self.is_high else old & 0xFF00 | value
        self.is_high = not self.is_high
        if is_count:
            channel.base_count = channel.count = new
        else:
            channel.base_address = channel.address = new

    @staticmethod
    def _tell(channels: list[Channel]) -> None:
        for channel in channels:
            if channel.wants and channel.is_ready:
                channel.on_ready()


class Dma:
    """Both chips: bytes at ports 00h to 0Fh, words at C0h to DFh, pages at 80h to 8Fh."""

    def __init__(self, bus: Bus) -> None:
        """Make eight masked channels."""
        self.channels = [Channel(bus, i >> 2) for i in range(8)]
        self._chips = [_Chip(self.channels[:4]), _Chip(self.channels[4:])]
        self._pages = bytearray(16)  # also of ports that are no page: they are memory
        bus.map_ports(0x00, 16, self._read, self._write, owner="dma")
        bus.map_ports(0xC0, 32, self._read_high, self._write_high, owner="dma")
        bus.map_ports(0x80, 16, self._read_page, self._write_page, owner="dma")

    def reset(self) -> None:
        """Mask all channels."""
        for chip in self._chips:
            chip.clear()

    def _read(self, port: int, size: int) -> int:
        return self._chips[0].read(port)

    def _write(self, port: int, value: int, size: int) -> None:
        self._chips[0].write(port, value & 0xFF)

    def _read_high(self, port: int, size: int) -> int:
        return self._chips[1].read(port >> 1 & 15)

    def _write_high(self, port: int, value: int, size: int) -> None:
        self._chips[1].write(port >> 1 & 15, value & 0xFF)

    def _read_page(self, port: int, size: int) -> int:
        return self._pages[port & 15]

    def _write_page(self, port: int, value: int, size: int) -> None:
        self._pages[port & 15] = value & 0xFF
        if port in PAGES:
            self.channels[PAGES[port]].page = value & 0xFF
