"""HostOp: one row of the table of HOST ops."""

from __future__ import annotations

from typing import NamedTuple


class HostOp(NamedTuple):
    """One row: AT&T assembly; outputs, then inputs, each a constraint and a width in bits.

    The assembly is LLVM's inline assembly. An x87 value has 80 bits, an XMM register 128.
    An input ``*m`` is passed by address, an output ``=*m`` comes back through memory.
    """

    asm: str
    outs: tuple[tuple[str, int], ...]
    ins: tuple[tuple[str, int], ...] = ()
    clobbers: str = ""
