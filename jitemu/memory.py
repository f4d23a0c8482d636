"""The memory of a guest: bytes copied in and out, or numpy views without copying."""

from __future__ import annotations

import ctypes
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime.memory import SIZE, MemoryFault, MemoryMapError
from runtime.regions import PAGE

if TYPE_CHECKING:
    import numpy
    import numpy.typing

    from runtime.memory import Memory

    Bytes = numpy.typing.NDArray[numpy.uint8]


class Region(NamedTuple):
    """One line of the guest's memory map; *prot* adds up 1 read, 2 write, 4 execute."""

    start: int
    end: int
    prot: int
    name: str


class _Lease:
    """A right to the guest's memory."""


class ProcessMemory:
    """A guest's 4 GiB, by guest address (an int from 0 to 2**32 - 1).

    Addresses that the guest has not mapped, or that lie behind the end of a mapped file, raise
    IndexError; the host process never crashes of them.
    """

    def __init__(self, mem: Memory) -> None:
        self._mem = mem
        # Every view holds the lease: the memory is unmapped with the last of them.
        self._lease: _Lease | None = _Lease()
        weakref.finalize(self._lease, mem.close).atexit = False

    def read(self, address: int, size: int) -> bytes:
        """Return a copy of *size* bytes."""
        self._check(address, size)
        try:
            return self._mem.read(address, size)
        except MemoryFault as fault:
            raise IndexError(f"guest address {fault.address:#010x} cannot be read") from None

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Store *data*, also where the guest itself may only read; its translation is renewed."""
        size = memoryview(data).nbytes
        self._check(address, size)
        mem = self._mem
        first, end = address & -PAGE, address + size
        closed = [p for p in range(first, end, PAGE) if not (mem.prot_at(p) or 0) & 2]
        prots = {page: mem.prot_at(page) or 0 for page in closed}
        try:
            for page in closed:
                mem.protect(page, PAGE, prots[page] | 3)
            mem.write(address, bytes(data))
        except MemoryMapError as error:
            raise IndexError(f"{address:#010x}: cannot be made writable: {error}") from None
        except MemoryFault as fault:
            raise IndexError(f"guest address {fault.address:#010x} cannot be written") from None
        finally:
            for page in closed:
                mem.protect(page, PAGE, prots[page])

    def view(self, address: int, size: int, *, writable: bool = False) -> Bytes:
        """Return a numpy uint8 array that shows *size* bytes without copying them.

        It is good until the guest runs again or the process is closed: what the guest unmaps is
        gone. A writable view needs pages that the guest can write.
        """
        import numpy

        self._check(address, size)
        if not size:
            return numpy.empty(0, numpy.uint8)
        for region in self._mem.regions():
            start, end = max(region.start, address), min(region.end, address + size)
            if start >= end:
                continue
            if not region.prot & (2 if writable else 7):
                what = "written" if writable else "read"
                raise IndexError(f"guest address {start:#010x} cannot be {what}")
            if region.key is not None:
                self._touch(start, end)
        host = self._mem.host(address, size, writable)
        cells: Any = (ctypes.c_uint8 * size).from_address(host)
        cells.lease = self._lease
        shown = numpy.frombuffer(cells, numpy.uint8)
        shown.flags.writeable = writable
        return shown

    def _touch(self, start: int, end: int) -> None:
        """Read every page safely: behind the end of a mapped file they have no contents."""
        for page in range(start & -PAGE, end, PAGE):
            try:
                self._mem.read(page, 1)
            except MemoryFault:
                text = f"guest address {max(page, start):#010x} is behind the end of a mapped file"
                raise IndexError(text) from None

    def release(self) -> None:
        """Give the memory back to the host as soon as no view shows it any more."""
        self._lease = None

    def _check(self, address: int, size: int) -> None:
        if self._lease is None:
            raise ValueError("the process is closed")
        if size < 0 or not 0 <= address <= SIZE or address + size > SIZE:
            raise IndexError(f"{address:#x} + {size:#x} bytes: not within the guest's 4 GiB")
        if size and not self._mem.is_mapped(address, size):
            page = address & -PAGE
            while self._mem.prot_at(page) is not None:
                page += PAGE
            raise IndexError(f"guest address {max(page, address):#010x} is not mapped")

    def __getitem__(self, where: int | slice) -> Any:
        """`memory[a]` is a byte as an int; `memory[a:b]` a view for reading, see `view`."""
        if isinstance(where, slice):
            return self.view(*_range(where))
        return self.read(where, 1)[0]

    def __setitem__(self, where: int | slice, value: int | bytes | bytearray | memoryview) -> None:
        """`memory[a] = byte` or `memory[a:b] = data` of that length; see `write`."""
        if isinstance(value, int):
            if isinstance(where, slice):
                raise TypeError("a range takes bytes")
            self.write(where, bytes([value]))
            return
        if not isinstance(where, slice):
            raise TypeError("a single address takes an int from 0 to 255")
        start, size = _range(where)
        data = bytes(value)
        if len(data) != size:
            raise ValueError(f"{len(data)} bytes for a range of {size}")
        self.write(start, data)

    def regions(self) -> list[Region]:
        """Return the memory map in order of address, as /proc/self/maps shows it."""
        self._check(0, 0)
        return [Region(r.start, r.end, r.prot, str(r.name)) for r in self._mem.regions()]

    @property
    def mapped_bytes(self) -> int:
        """Bytes that the guest can access; what `memory=` limits."""
        return self._mem.mapped_bytes


def _range(where: slice) -> tuple[int, int]:
    if where.step not in (None, 1) or where.start is None or where.stop is None:
        raise IndexError("a range of guest memory is memory[start:end]")
    return int(where.start), max(0, int(where.stop) - int(where.start))
