"""HOST rows of x86-64 hosts: SSE floating point."""

from __future__ import annotations

from translator.hostop import HostOp

ROWS: dict[str, HostOp] = {}
