"""What the host's own FPU or vector unit computes: the table of HOST rows of this host."""

from __future__ import annotations

from translator.hostop import HostOp, Table
from translator.hostops_x86 import ROWS
from translator.hostops_x86_x87 import quiet

__all__ = ["HOSTOPS", "HostOp", "quiet"]

# Another host has another table.
HOSTOPS: Table = ROWS
