"""Physical memory of a machine whose paging is on: what a Space holds, as one file of memory.

While addresses are physical a Space is anonymous memory that guest code accesses directly.  Once
there are page tables, linear pages show physical ones in any order, so all of it moves, in place,
into one sparse file whose offsets are physical addresses (runtime/system/linear.py maps them).
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime import hostmap
from runtime.memory import READ, WRITE
from runtime.regions import PAGE

if TYPE_CHECKING:
    from runtime.embed.space import Part, Space

LOW = 1 << 32
SPAN_MAX = 1 << 40  # what PAE entries can name
_READ_WRITE = hostmap.PROT_READ | hostmap.PROT_WRITE
_CHUNK = 1 << 20
_REMOVE = 9  # madvise: free the pages of a shared mapping
RAM, ROM, OTHER, HIDDEN = range(4)


def protection(perms: int) -> int:
    """Return the host's protection of memory with some permissions."""
    if not perms & READ:
        return 0
    return _READ_WRITE if perms & WRITE else hostmap.PROT_READ


class Backing:
    """What runtime/system/linear.py knows physical memory by (runtime/system/physical.py)."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.fd = os.memfd_create("guest memory", os.MFD_CLOEXEC)
        self.span = 0
        # A byte a page: RAM, ROM; OTHER is for Python; HIDDEN is what only page walks read.
        self.kinds = bytearray()
        self.shown: dict[int, int] = {}  # no page shows another's frame here
        self.address = 0
        self.on_write: Callable[[int, int], None] = lambda address, size: None
        self.on_change: Callable[[int, int], None] = lambda address, size: None
        self.on_span: Callable[[], None] = lambda: None  # the tables moved
        self.cover(LOW)
        for part in space.parts:
            self.adopt(part)

    def cover(self, end: int) -> None:
        """Let physical memory reach up to an address, as far as page tables can name it."""
        span = min(max(LOW, 1 << (end - 1).bit_length()), SPAN_MAX)
        if span <= self.span:
            return
        os.ftruncate(self.fd, span)
        self.memory = mmap.mmap(self.fd, span)
        self.view = memoryview(self.memory)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.kinds = self.kinds + bytes([OTHER]) * ((span - self.span) // PAGE)
        self.span = span
        self.on_span()

    def close(self) -> None:
        """Give the file back; nothing may use it any more."""
        os.close(self.fd)

    # -- what is where -----------------------------------------------------------------------------
    def adopt(self, part: Part, *, is_new: bool = False) -> None:
        """Move the contents of a part into the file, in place, and note what it is."""
        if part.device is None and not part.is_foreign and part.end <= SPAN_MAX:
            self.cover(part.end)
            assert part.host is not None
            size = part.end - part.start
            is_low = part.start < LOW
            if not is_new:
                self._copy(part.start, part.host, size)
            prot = protection(part.perms) if is_low else _READ_WRITE
            if hostmap.map_fixed(part.host, size, prot, self.fd, part.start, True):
                raise MemoryError("cannot share guest memory")
        self.note(part)

    def _copy(self, start: int, host: int, size: int) -> None:
        """Copy what is not zero, so that the rest takes no room."""
        hostmap.protect(host, size, hostmap.PROT_READ)
        for at in range(0, size, _CHUNK):
            data = ctypes.string_at(host + at, min(_CHUNK, size - at))
            if data.count(0) != len(data):
                self.view[start + at : start + at + len(data)] = data

    def note(self, part: Part) -> None:
        """Note what a part is now."""
        kind = OTHER
        if part.device is None and not part.is_foreign:
            kind = HIDDEN if not part.perms & READ else RAM if part.perms & WRITE else ROM
        self._set(part.start, part.end, kind)

    def forget(self, start: int, end: int, *, own: bool) -> None:
        """Note that nothing is at a range any more; *own*: it was memory of this file."""
        if own and start < self.span:
            hostmap.advise(self.address + start, min(end, self.span) - start, _REMOVE)
        self._set(start, end, OTHER)

    def _set(self, start: int, end: int, kind: int) -> None:
        if start < SPAN_MAX:
            self.cover(min(end, SPAN_MAX))
            first, last = start // PAGE, min(end, self.span) // PAGE
            self.kinds[first:last] = bytes([kind]) * (last - first)
            self.on_change(start, end - start)

    def is_ram(self, page: int) -> bool:
        """Whether a page is memory that can be mapped for reading."""
        return page < len(self.kinds) and self.kinds[page] < OTHER

    def is_writable(self, page: int) -> bool:
        """Whether a page is memory that can be mapped for writing."""
        return page < len(self.kinds) and self.kinds[page] == RAM

    def load(self, address: int, width: int) -> int:
        """Read *width* bits as a page walk does; 0 where nothing is."""
        from runtime.embed.space import SpaceError

        try:
            return int.from_bytes(self.space.peek(address, width // 8), "little")
        except SpaceError:
            return 0
