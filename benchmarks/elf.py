"""Machine code -> the smallest i386 ELF program that Linux takes."""

from __future__ import annotations

import struct

BASE = 0x08048000
_HEADERS = 52 + 32
_READ, _WRITE, _EXECUTE = 4, 2, 1
ENTRY = BASE + _HEADERS


def program(code: bytes, memory: int = 0) -> bytes:
    """Return a program that starts with *code*, at ENTRY, and has *memory* zero bytes behind it."""
    identity = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    header = struct.pack("<2H5I6H", 2, 3, 1, ENTRY, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    size = _HEADERS + len(code)
    rights = _READ | _EXECUTE | (_WRITE if memory else 0)
    segment = struct.pack("<8I", 1, 0, BASE, BASE, size, size + memory, rights, 4096)
    return identity + header + segment + code
