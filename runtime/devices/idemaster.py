"""Bus master of an IDE channel: a device's data to and from the places in memory of a table.

Source: "Programming Interface for Bus Master IDE Controller", revision 1.0.
"""

from __future__ import annotations

from collections.abc import Iterator

from runtime.bus import Bus
from runtime.devices.idedevice import IdeDevice

_START, _TO_MEMORY = 1, 8  # command
_ACTIVE, _ERROR, _INTERRUPT, _CAPABLE = 1, 2, 4, 0x60  # status
_LAST = 1 << 31  # of a descriptor's second number
_DESCRIPTORS = 8192  # of a table that fills its 64 KiB


class BusMaster:
    """The registers of one channel, and the table of places in memory."""

    def __init__(self, bus: Bus) -> None:
        """Make it stand still."""
        self._bus = bus
        self.command = self.status = self.table = 0
        self.waiting: IdeDevice | None = None
        self._interrupt = False  # INTRQ, when it was seen last
        self._next: Iterator[tuple[int, int]] = iter(())
        self._address = self._room = 0  # of the place that is being used

    def reset(self) -> None:
        """Stand still."""
        self.command = self.status = self.table = 0
        self.waiting = None

    # -- what devices use --------------------------------------------------------------------------
    @property
    def is_to_memory(self) -> bool:
        """Whether the guest expects data to come from the device."""
        return bool(self.command & _TO_MEMORY)

    def request(self, device: IdeDevice) -> None:
        """Move a device's data now, or when the guest starts the bus master."""
        self.waiting = device
        self._run()

    def drop(self) -> None:
        """Forget a device that has stopped."""
        self.waiting = None

    def see_interrupt(self, level: bool) -> None:
        """Take note of the channel's interrupt."""
        if level and not self._interrupt:
            self.status |= _INTERRUPT
        self._interrupt = level

    def put(self, data: bytes) -> int:
        """Write to memory; return how many bytes there was room for."""
        done, physical = 0, self._bus.physical
        while done < len(data) and self._place():
            size = min(self._room, len(data) - done)
            physical.master_write(self._address, data[done : done + size])
            done += self._used(size)
        return done

    def get(self, size: int) -> bytes:
        """Read from memory; less than *size* if there is not more."""
        parts, left, physical = [], size, self._bus.physical
        while left and self._place():
            count = min(self._room, left)
            parts.append(physical.master_read(self._address, count))
            left -= self._used(count)
        return b"".join(parts)

    def _used(self, size: int) -> int:
        self._address += size
        self._room -= size
        return size

    def _place(self) -> bool:
        """Make sure that there is room, from the table if need be."""
        if not self._room:
            self._address, self._room = next(self._next, (0, 0))
        return self._room > 0

    def _descriptors(self) -> Iterator[tuple[int, int]]:
        for i in range(_DESCRIPTORS):
            raw = self._bus.physical.master_read(self.table + 8 * i, 8)
            address, size = int.from_bytes(raw[:4], "little"), int.from_bytes(raw[4:], "little")
            yield address & ~1, size & 0xFFFE or 0x10000
            if size & _LAST:
                return

    def _run(self) -> None:
        device = self.waiting
        if device is None or not self.status & _ACTIVE:
            return
        self.waiting = None
        fits = device.move(self)
        # A table that goes on behind the data leaves the engine active; one that ended before it,
        # or with it, does not.
        if not fits or not self._place():
            self.status &= ~_ACTIVE

    # -- registers ---------------------------------------------------------------------------------
    def read(self, register: int, size: int) -> int:
        """Read registers 0 to 7."""
        raw = bytes([self.command, 0, self.status, 0]) + self.table.to_bytes(4, "little")
        return int.from_bytes(raw[register : register + size], "little")

    def write(self, register: int, value: int, size: int) -> None:
        """Write registers 0 to 7, byte by byte."""
        for i in range(size):
            byte = value >> 8 * i & 0xFF
            at = register + i
            if at == 0:
                self._write_command(byte)
            elif at == 2:
                keeps = self.status & (_ACTIVE | (_ERROR | _INTERRUPT) & ~byte)
                self.status = keeps | byte & _CAPABLE
            elif 4 <= at < 8:
                shift = 8 * (at - 4)
                self.table = (self.table & ~(0xFF << shift) | byte << shift) & ~3

    def _write_command(self, value: int) -> None:
        old, self.command = self.command, value & (_START | _TO_MEMORY)
        if value & _START and not old & _START:
            self._next, self._room = self._descriptors(), 0
            self.status |= _ACTIVE
            self._run()
        elif not value & _START:
            self.status &= ~_ACTIVE
