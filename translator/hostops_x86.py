"""HOST rows of x86-64 hosts."""

from __future__ import annotations

from translator import hostops_x86_later, hostops_x86_sse, hostops_x86_x87
from translator.hostop import Table

_PARTS = (hostops_x86_x87.ROWS, hostops_x86_sse.ROWS, hostops_x86_later.ROWS)
ROWS = Table({name: row for part in _PARTS for name, row in part.items()})
assert len(ROWS) == sum(map(len, _PARTS))
