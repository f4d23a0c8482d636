"""What devices of a machine are connected to: ports, physical memory, and single wires.

A device gets its bus, its wires and its clock in its constructor and claims its own ports and
addresses; who made the machine (runtime/machines) decides which wire goes where.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from runtime.system.natives import PortCode
from runtime.system.physical import Physical

Read = Callable[[int, int], int]  # port, bytes (1, 2, 4) -> number
Write = Callable[[int, int, int], None]  # port, number, bytes
_PORTS = 1 << 16


class Line:
    """A wire that one device drives and another one sees: an IRQ line, a gate, NMI."""

    __slots__ = ("is_high", "on_change")

    def __init__(self, on_change: Callable[[bool], None] = lambda level: None) -> None:
        """Make a wire at low level; *on_change* is told of each change, by the driving thread."""
        self.on_change = on_change
        self.is_high = False

    def set(self, level: bool) -> None:
        """Drive the wire high or low."""
        level = bool(level)
        if level != self.is_high:
            self.is_high = level
            self.on_change(level)

    def pulse(self) -> None:
        """Drive the wire high and low again: one edge."""
        self.set(True)
        self.set(False)


class Stream(NamedTuple):
    """How a data port moves many items at once, for `rep ins` and `rep outs`.

    read(size, count) returns at most size * count bytes, a multiple of size; write(data, size)
    returns how many bytes it took. What they leave over goes item by item.
    """

    read: Callable[[int, int], bytes] | None = None
    write: Callable[[bytes, int], int] | None = None


class _Claim(NamedTuple):
    owner: str
    read: Read
    write: Write


class Bus:
    """Ports and physical memory of one machine."""

    def __init__(self, physical: Physical) -> None:
        """Make a bus on which nothing answers: reads give all ones, writes do nothing."""
        self.physical = physical
        self._claims: dict[int, _Claim] = {}
        self.streams: dict[int, Stream] = {}
        # (port, "in" or "out") -> how often the guest used a port that nobody claims.
        self.unclaimed: Counter[tuple[int, str]] = Counter()

    def map_ports(
        self,
        first: int,
        count: int,
        read: Read,
        write: Write,
        *,
        owner: str,
        stream: Stream | None = None,
        code: PortCode | None = None,
    ) -> None:
        """Let a device answer for *count* ports; ValueError if one of them has a claim already.

        An access that begins at a port goes to that port's owner whole, whatever its size.
        *stream* moves whole blocks through the first of the ports. *code*: compiled functions that
        guest code calls instead, if they are for the access.
        """
        ports = range(first, first + count)
        for port in ports:
            if not 0 <= port < _PORTS:
                raise ValueError(f"{owner}: there is no port {port:#x}")
            if port in self._claims:
                raise ValueError(f"{owner}: port {port:#x} is {self._claims[port].owner}'s")
        self._claims.update(dict.fromkeys(ports, _Claim(owner, read, write)))
        if stream is not None:
            self.streams[first] = stream
        for port in ports:
            self.physical.natives.set_port(port, code)

    def unmap_ports(self, first: int, count: int) -> None:
        """Give ports back, as a PCI device does whose base address register changes."""
        for port in range(first, first + count):
            self._claims.pop(port, None)
            self.streams.pop(port, None)
            self.physical.natives.set_port(port, None)

    def owner_of(self, port: int) -> str | None:
        """Return the name of the device that answers for a port."""
        claim = self._claims.get(port)
        return None if claim is None else claim.owner

    def port_in(self, port: int, size: int) -> int:
        """Read *size* bytes (1, 2 or 4) from a port, as the insn IN does."""
        claim = self._claims.get(port)
        if claim is None:
            self.unclaimed[port, "in"] += 1
            return (1 << 8 * size) - 1
        return claim.read(port, size) & (1 << 8 * size) - 1

    def port_out(self, port: int, value: int, size: int) -> None:
        """Write *size* bytes to a port, as the insn OUT does."""
        claim = self._claims.get(port)
        if claim is None:
            self.unclaimed[port, "out"] += 1
            return
        claim.write(port, value, size)

    def read_stream(self, port: int, size: int, count: int) -> bytes:
        """Read up to *count* items at once from a port; b"" where that is not possible."""
        stream = self.streams.get(port)
        return b"" if stream is None or stream.read is None else stream.read(size, count)

    def write_stream(self, port: int, data: bytes, size: int) -> int:
        """Write items at once to a port; return how many bytes were taken."""
        stream = self.streams.get(port)
        return 0 if stream is None or stream.write is None else stream.write(data, size)
