"""The I/O APIC: each wire of a device becomes a message to a processor's local APIC.

Intel, 82093AA I/O Advanced Programmable Interrupt Controller datasheet (290566), chapter 3. Wires
are high while a device asks, so that the polarity bit of an entry changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from runtime.bus import Bus, Line

BASE, _SIZE = 0xFEC00000, 0x1000
PINS = 24
_SELECT, _WINDOW = 0x00, 0x10
_ID, _VERSION, _ARBITRATION, _TABLE = 0, 1, 2, 0x10
_VERSION_VALUE = PINS - 1 << 16 | 0x11
_REMOTE_IRR, _LEVEL, _MASKED, _LOGICAL = 1 << 14, 1 << 15, 1 << 16, 1 << 11
_READ_ONLY = 1 << 12 | _REMOTE_IRR
_WRITABLE = 0xFF000000_0001FFFF & ~_READ_ONLY


class Message(NamedTuple):
    """What goes to the local APICs."""

    vector: int
    mode: int  # 0 fixed, 1 lowest priority, 4 NMI...
    destination: int
    is_logical: bool
    is_level: bool


class IoApic:
    """24 pins, an entry for each."""

    def __init__(self, bus: Bus, send: Callable[[Message], object]) -> None:
        """*send* takes messages; the local APIC's EOI of a level interrupt is to call `end`."""
        self.send = send
        self.is_high = [False] * PINS
        self.reset()
        bus.physical.add_device(BASE, _SIZE, self._read, self._write)

    def reset(self) -> None:
        """Mask all; the wires stay as they are driven."""
        self.selected = self.number = 0
        self.entries = [_MASKED] * PINS

    def connect(self, line: Line, *pins: int) -> None:
        """Let pins see a wire, beside whoever sees it already."""
        before = line.on_change

        def changed(level: bool) -> None:
            before(level)
            for pin in pins:
                self.set(pin, level)

        line.on_change = changed

    def set(self, pin: int, level: bool) -> None:
        """Drive a pin."""
        rises = level and not self.is_high[pin]
        self.is_high[pin] = level
        if self.entries[pin] & _LEVEL:
            self._look(pin)
        elif rises and not self.entries[pin] & _MASKED:  # edges at a masked pin are lost
            self._send(pin)

    def end(self, vector: int) -> None:
        """Take note of the EOI of a level interrupt: it comes again while the pin is high."""
        for pin, entry in enumerate(self.entries):
            if entry & _REMOTE_IRR and entry & 0xFF == vector:
                self.entries[pin] &= ~_REMOTE_IRR
                self._look(pin)

    def _look(self, pin: int) -> None:
        """Send what a level asks for, once until its end."""
        if self.is_high[pin] and not self.entries[pin] & (_REMOTE_IRR | _MASKED):
            self.entries[pin] |= _REMOTE_IRR
            self._send(pin)

    def _send(self, pin: int) -> None:
        entry = self.entries[pin]
        is_logical, is_level = bool(entry & _LOGICAL), bool(entry & _LEVEL)
        self.send(Message(entry & 0xFF, entry >> 8 & 7, entry >> 56, is_logical, is_level))

    # -- registers ---------------------------------------------------------------------------------
    def _read(self, address: int, size: int) -> int:
        at = address & 0xFF
        values = {_SELECT: self.selected, _WINDOW: self._get(self.selected)}
        return values.get(at, 0) & (1 << 8 * size) - 1

    def _get(self, index: int) -> int:
        if index in (_ID, _ARBITRATION):
            return self.number << 24
        if index == _VERSION:
            return _VERSION_VALUE
        pin, half = divmod(index - _TABLE, 2)
        return self.entries[pin] >> 32 * half & 0xFFFFFFFF if 0 <= pin < PINS else 0

    def _write(self, address: int, value: int, size: int) -> None:
        at = address & 0xFF
        if at == _SELECT:
            self.selected = value & 0xFF
        elif at == _WINDOW and size == 4:
            self._put(self.selected, value & 0xFFFFFFFF)

    def _put(self, index: int, value: int) -> None:
        if index == _ID:
            self.number = value >> 24 & 15
        pin, half = divmod(index - _TABLE, 2)
        if not 0 <= pin < PINS:
            return
        mask = _WRITABLE & 0xFFFFFFFF << 32 * half
        entry = self.entries[pin] & ~mask | value << 32 * half & mask
        if not entry & _LEVEL:
            entry &= ~_REMOTE_IRR
        self.entries[pin] = entry
        if entry & _LEVEL:
            self._look(pin)
