"""HostOp: one row of the table of HOST ops, and the table."""

from __future__ import annotations

from typing import NamedTuple


class HostOp(NamedTuple):
    """One row: AT&T assembly; outputs, then inputs, each a constraint and a width in bits.

    The assembly is LLVM's inline assembly. An x87 value has 80 bits, an XMM register 128.
    An input ``*m`` is passed by address, an output ``=*m`` comes back through memory.
    ``{imm}`` stands for the number after the colon of the name that the row is asked for by.
    """

    asm: str
    outs: tuple[tuple[str, int], ...]
    ins: tuple[tuple[str, int], ...] = ()
    clobbers: str = ""


class Table(dict[str, HostOp]):
    """Rows by name; `name:number` is the row `name` with an immediate."""

    def __missing__(self, name: str) -> HostOp:
        """Make the row of a name with an immediate."""
        base, colon, number = name.partition(":")
        if not colon:
            raise KeyError(name)
        row = self[base]
        row = self[name] = row._replace(asm=row.asm.replace("{imm}", str(int(number))))
        return row
