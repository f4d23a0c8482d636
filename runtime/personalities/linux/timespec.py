"""Times in guest memory: timespec and timeval, with 32- or 64-bit seconds, and the host's."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.memory import Memory

_BILLION = 1_000_000_000
EINVAL = 22


def _seconds(whole: int, nanoseconds: int) -> float:
    if whole < 0 or not 0 <= nanoseconds < _BILLION:
        raise OSError(EINVAL, "invalid time")
    return whole + nanoseconds / _BILLION


def read32(mem: Memory, address: int) -> float | None:
    """Read a struct old_timespec32 as seconds; None for a null pointer."""
    return None if not address else _seconds(*struct.unpack("<ii", mem.read(address, 8)))


def read64(mem: Memory, address: int) -> float | None:
    """Read a struct __kernel_timespec as seconds; None for a null pointer."""
    return None if not address else _seconds(*pair64(mem, address))


def pair32(mem: Memory, address: int) -> tuple[int, int]:
    """Read a struct old_timespec32 or timeval as it is."""
    whole, part = struct.unpack("<ii", mem.read(address, 8))
    return whole, part


def pair64(mem: Memory, address: int) -> tuple[int, int]:
    """Read a struct __kernel_timespec; a 32-bit task's padding above tv_nsec is ignored."""
    whole, part = struct.unpack("<qi4x", mem.read(address, 16))
    return whole, part


def write32(mem: Memory, address: int, seconds: int, nanoseconds: int) -> None:
    """Write a struct old_timespec32 or timeval."""
    mem.write(address, struct.pack("<iI", _wrap(seconds), nanoseconds))


def write64(mem: Memory, address: int, seconds: int, nanoseconds: int) -> None:
    """Write a struct __kernel_timespec."""
    mem.write(address, struct.pack("<qq", seconds, nanoseconds))


def _wrap(value: int) -> int:
    value &= 0xFFFF_FFFF
    return value - (1 << 32) if value >> 31 else value


def pack_host(seconds: float) -> bytes:
    """Pack seconds as the host's struct timespec."""
    whole = int(seconds)
    return struct.pack("<qq", whole, min(_BILLION - 1, round((seconds - whole) * _BILLION)))
