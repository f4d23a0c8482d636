"""Devices whose accesses are compiled functions: the table that compiled code finds them in.

`Code` names functions of the support code (codestore.py), which work on a state of the device's.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import NamedTuple

from runtime import native
from translator.quick import natives as at

_RANGES_MAX, _ROWS_MAX = 64, 255
_PORTS = 1 << 16


class Code(NamedTuple):
    """The compiled functions of a range of addresses (natives.R_READ...), and what they work on."""

    state: int  # address
    read: str
    write: str
    fill: str = ""
    put: str = ""
    get: str = ""
    move: str = ""


class PortCode(NamedTuple):
    """The compiled functions of a port (natives.P_IN...), "" for none, and what they work on."""

    state: int
    read: str = ""
    write: str = ""


def address_of(name: str) -> int:
    """Return where a function of the support code is; 0 for ""."""
    return native.arena.base + native.arena.symbols[name] if name else 0


class Natives:
    """The table of one machine. It never moves: compiled code may be using it."""

    def __init__(self) -> None:
        """Make it empty."""
        self._ranges = array("q", bytes(at.RANGE_SIZE * _RANGES_MAX))
        self._ports = bytearray(_PORTS)
        self._rows = array("q", bytes(at.PORT_SIZE * (_ROWS_MAX + 1)))
        self._numbers: dict[PortCode, int] = {}
        self._table = array("q", bytes(at.TABLE_SIZE))
        self._table[at.T_RANGES // 8] = self._ranges.buffer_info()[0]
        self._table[at.T_PORTS // 8] = native.address_of(self._ports)
        self._table[at.T_PORT_ROWS // 8] = self._rows.buffer_info()[0]
        self.address = self._table.buffer_info()[0]

    def show(self, ranges: Iterable[tuple[int, int, Code]]) -> None:
        """Let these be all: first address, the one behind the last, and who answers."""
        rows = [
            (first, end - 1, code.state, *map(address_of, code[1:])) for first, end, code in ranges
        ][:_RANGES_MAX]
        self._table[at.T_COUNT // 8] = 0
        for index, row in enumerate(rows):
            place = index * at.RANGE_SIZE // 8
            self._ranges[place : place + len(row)] = array("q", row)
        self._table[at.T_COUNT // 8] = len(rows)

    def set_port(self, port: int, code: PortCode | None) -> None:
        """Let compiled functions answer for a port, or Python."""
        if code is None:
            self._ports[port] = 0
            return
        number = self._numbers.setdefault(code, len(self._numbers) + 1)
        if number > _ROWS_MAX:
            return
        row = code.state, address_of(code.read), address_of(code.write)
        place = number * at.PORT_SIZE // 8
        self._rows[place : place + len(row)] = array("q", row)
        self._ports[port] = number
