"""What the host's own FPU or vector unit computes: the table of HOST rows of this host."""

from __future__ import annotations

from translator.hostop import HostOp, Table
from translator.hostops_x86 import ROWS

__all__ = ["HOSTOPS", "HostOp"]

# Another host has another table.
HOSTOPS: Table = ROWS
