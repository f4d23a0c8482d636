"""Address line 20 and the fast reset: port 92h (Intel 82371SB datasheet, 2.5.5; IBM PS/2)."""

from __future__ import annotations

from collections.abc import Callable

from runtime.bus import Bus, Line

_A20, _RESET = 2, 1


class A20:
    """The gate is open while port 92h or the keyboard controller opens it."""

    def __init__(
        self, bus: Bus, set_gate: Callable[[bool], None], reset: Callable[[], None]
    ) -> None:
        """Tell *set_gate* of changes; port 92h can *reset* the processor."""
        self.set_gate, self.reset_processor = set_gate, reset
        self.is_open = False
        self.value = 0
        self.keyboard = Line(self._changed)
        bus.map_ports(0x92, 1, lambda port, size: self.value, self._write, owner="a20")

    def reset(self) -> None:
        """Close the gate, as after power-on."""
        self.value = 0
        self.keyboard.set(False)
        self._changed(False)

    def open(self) -> None:
        """Open the gate as a BIOS does."""
        self.value |= _A20
        self._changed(True)

    def _changed(self, level: bool) -> None:
        is_open = self.keyboard.is_high or bool(self.value & _A20)
        if is_open != self.is_open:
            self.is_open = is_open
            self.set_gate(is_open)

    def _write(self, port: int, value: int, size: int) -> None:
        resets = value & _RESET and not self.value & _RESET
        self.value = value & (_A20 | _RESET)
        self._changed(True)
        if resets:
            self.reset_processor()
