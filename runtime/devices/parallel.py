"""Parallel port with a printer behind it (IBM PC/AT Technical Reference, printer adapter).

IEEE 1284-1994, compatibility mode; PS/2's direction bit.  What is printed is handed over in blocks.
"""

from __future__ import annotations

from collections.abc import Callable

from runtime.bus import Bus, Line
from runtime.clock import SECOND, Clock

_DATA, _STATUS, _CONTROL = range(3)
_STROBE, _INIT, _INTERRUPTS, _INPUT = 1, 4, 0x10, 0x20  # control
_NO_ERROR, _SELECTED, _NO_PAPER, _NO_ACK, _READY = 8, 0x10, 0x20, 0x40, 0x80  # status
_FLUSH_AFTER, _FLUSH_SIZE = SECOND // 100, 4096


class Parallel:
    """A parallel port at three I/O ports, with one interrupt line."""

    def __init__(
        self,
        bus: Bus,
        irq: Line,
        clock: Clock,
        base: int = 0x378,
        on_output: Callable[[bytes], None] | None = None,
        name: str = "lpt1",
    ) -> None:
        """Make a port; *on_output* gets what is printed, without it there is no printer."""
        self._irq, self._clock, self.name = irq, clock, name
        self.on_output = on_output
        self._out = bytearray()
        self._flush = clock.timer(self.flush)
        self.reset()
        bus.map_ports(
            base,
            3,
            lambda port, size: self.read(port - base),
            lambda port, value, size: self.write(port - base, value & 0xFF),
            owner=name,
        )

    def reset(self) -> None:
        """Set the registers as after power-on."""
        self.data, self.control = 0, _INIT | 8
        self.is_busy = self.acknowledges = False

    def flush(self) -> None:
        """Hand over what was printed."""
        self._flush.cancel()
        data, self._out = bytes(self._out), bytearray()
        if data and self.on_output is not None:
            self.on_output(data)

    def read(self, register: int) -> int:
        """Read data, status or control."""
        if register == _DATA:
            return 0xFF if self.control & _INPUT else self.data
        if register == _CONTROL:
            return 0xC0 | self.control
        if self.on_output is None:  # open inputs are high; BUSY is inverted
            return _NO_ACK | _NO_PAPER | _SELECTED | _NO_ERROR | 7
        status = _NO_ERROR | _SELECTED | 7
        if not self.is_busy:
            status |= _READY
        if not self.acknowledges:
            status |= _NO_ACK
        self.acknowledges = False
        return status

    def write(self, register: int, value: int) -> None:
        """Write data or control: the printer takes the data when STROBE goes on."""
        if register == _DATA:
            self.data = value
        elif register == _CONTROL:
            changed = (value ^ self.control) & _STROBE
            self.control = value & 0x3F
            if changed and self.on_output is not None:
                if value & _STROBE:
                    self._print()
                else:
                    self._acknowledge()

    def _print(self) -> None:
        self.is_busy = True
        if not self._out:
            self._flush.set(self._clock.now() + _FLUSH_AFTER)
        self._out.append(self.data)
        if len(self._out) >= _FLUSH_SIZE:
            self.flush()

    def _acknowledge(self) -> None:
        self.is_busy, self.acknowledges = False, True
        if self.control & _INTERRUPTS:
            self._irq.pulse()
