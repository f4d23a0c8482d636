"""HOST rows of x86-64 hosts."""

from __future__ import annotations

from translator import hostops_x86_sse, hostops_x86_x87
from translator.hostop import HostOp

ROWS: dict[str, HostOp] = {**hostops_x86_x87.ROWS, **hostops_x86_sse.ROWS}
assert len(ROWS) == len(hostops_x86_x87.ROWS) + len(hostops_x86_sse.ROWS)
