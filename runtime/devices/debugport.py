"""Ports for programs that are being tested: text out at E9h, and an exit with a status.

Bochs: "The Port E9 Hack"; QEMU: isa-debug-exit, whose status is 2 * value + 1.
"""

from __future__ import annotations

from collections.abc import Callable

from runtime.bus import Bus, Stream

E9, DEBUG_EXIT = 0xE9, 0x501


class DebugPort:
    """Bytes written go to *write*; reading gives E9h, by which a program knows the port."""

    def __init__(self, bus: Bus, write: Callable[[bytes], object], port: int = E9) -> None:
        self.write = write
        stream = Stream(write=self._write_all)
        bus.map_ports(port, 1, lambda port, size: E9, self._write, owner="debug", stream=stream)

    def _write(self, port: int, value: int, size: int) -> None:
        self.write(value.to_bytes(size, "little"))

    def _write_all(self, data: bytes, size: int) -> int:
        self.write(bytes(data))
        return len(data)


class DebugExit:
    """A value written ends the machine; *exit* is called with the status."""

    def __init__(self, bus: Bus, exit: Callable[[int], object], port: int = DEBUG_EXIT) -> None:
        self.exit = exit
        bus.map_ports(port, 4, lambda port, size: 0, self._write, owner="debug exit")

    def _write(self, port: int, value: int, size: int) -> None:
        self.exit((value << 1 | 1) & 0xFF)
