"""What the host's own FPU or vector unit computes: the table of HOST rows of this host.

A row is a line of inline assembly in LLVM's notation. An x87 value has 80 bits, an XMM register
128. Rows with a status word yield it as their last output, read right after the operation.
"""

from __future__ import annotations

from typing import NamedTuple


class HostOp(NamedTuple):
    """One row: AT&T assembly; outputs, then inputs, each a constraint and a width in bits.

    An input ``*m`` is passed by address, an output ``=*m`` comes back through memory.
    """

    asm: str
    outs: tuple[tuple[str, int], ...]
    ins: tuple[tuple[str, int], ...] = ()
    clobbers: str = ""


def _table() -> dict[str, HostOp]:
    # The rows import HostOp; another host has another table.
    from translator import hostops_x86

    return hostops_x86.ROWS


HOSTOPS: dict[str, HostOp] = _table()
