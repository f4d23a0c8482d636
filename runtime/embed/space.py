"""A 64-bit physical address space in 4 KiB pages: guest memory, host buffers, callbacks.

What lies in the lowest 4 GiB is in a Memory, whose pages guest code accesses at full speed; pages
that it must not touch so (no read permission, callbacks, odd host buffers) are inaccessible there,
and an access of them is carried out by `runtime/embed/access.py`.
"""

from __future__ import annotations

import bisect
import ctypes
import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from runtime import hostmap
from runtime.embed.backing import Backing, protection
from runtime.memory import EXEC, READ, SIZE, WRITE, Memory
from runtime.regions import PAGE

LOW = 1 << 32  # where addresses begin that 32-bit code cannot reach
TOP = 1 << 64
_READ_WRITE = hostmap.PROT_READ | hostmap.PROT_WRITE


class SpaceError(Exception):
    """A request that cannot be: `kind` is argument, overlap, missing, read or write."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(slots=True)
class Device:
    """Callbacks for accesses, which get offsets from `origin`; None: reads as 0, ignores writes.

    They are called with `owner()`, offset, size, the value to write, and their last argument.
    """

    origin: int
    read: Callable[..., int] | None
    read_data: Any
    write: Callable[..., Any] | None
    write_data: Any
    owner: Callable[[], Any]


@dataclass(slots=True)
class Part:
    """A mapped range. `host`: the host address of its start, where it is memory."""

    start: int
    end: int
    perms: int
    host: int | None = None
    device: Device | None = None
    keep: object = None  # what its host memory belongs to
    is_second: bool = False  # the upper half of a mapping that crosses 4 GiB
    is_foreign: bool = False  # its host memory is the user's

    def cut(self, start: int, end: int, perms: int | None = None) -> Part:
        """Return a piece of it."""
        host = None if self.host is None else self.host + start - self.start
        perms = self.perms if perms is None else perms
        return replace(self, start=start, end=end, host=host, perms=perms)


class Space(Memory):
    """The mapped ranges, and the Memory that guest code accesses."""

    def __init__(self) -> None:
        super().__init__()
        self.min_address = 0
        self.parts: list[Part] = []  # by address
        self.starts: list[int] = []
        self.on_devices: Callable[[], None] = lambda: None  # they change
        self.device_pages: dict[int, Device] = {}  # in the lowest 4 GiB
        self.flat = memoryview((ctypes.c_ubyte * LOW).from_address(self.base)).cast("B")
        self.has_odd_pages = False  # parts in the lowest 4 GiB that are no plain readable memory
        self.backing: Backing | None = None  # where memory is once there are page tables

    def back(self) -> Backing:
        """Move all memory into one file, so that it can be shown at any linear address."""
        with self._edit():
            self._forget_code(0, SIZE)
            self.has_odd_pages = True  # the plain ways know no page tables
            self.backing = Backing(self)
        return self.backing

    # -- finding -----------------------------------------------------------------------------------
    def part_at(self, address: int) -> Part | None:
        """Return what is mapped at an address."""
        index = bisect.bisect_right(self.starts, address) - 1
        if index >= 0 and address < self.parts[index].end:
            return self.parts[index]
        return None

    def is_device(self, address: int) -> bool:
        """Whether callbacks answer at an address."""
        part = self.part_at(address)
        return part is not None and part.device is not None

    def covering(self, start: int, end: int) -> list[Part]:
        """Return the parts that make up a whole range; SpaceError("missing") if there are holes."""
        found, at = [], start
        while at < end:
            part = self.part_at(at)
            if part is None:
                raise SpaceError("missing")
            found.append(part)
            at = part.end
        return found

    def is_free(self, start: int, end: int) -> bool:
        """Whether nothing is mapped in a range."""
        index = bisect.bisect_left(self.starts, end)
        return index == 0 or self.parts[index - 1].end <= start

    # -- mapping -----------------------------------------------------------------------------------
    def check(self, start: int, size: int) -> int:
        """Return the end of a range of pages; SpaceError("argument") if it is none."""
        if start < 0 or size <= 0 or start % PAGE or size % PAGE or start + size > TOP:
            raise SpaceError("argument")
        return start + size

    def add(
        self, start: int, size: int, perms: int, *, host: int | None = None,
        device: Device | None = None, keep: object = None,
    ) -> None:  # fmt: skip
        """Map zeros, or the host memory at *host*, or a device."""
        end = self.check(start, size)
        if not self.is_free(start, end):
            raise SpaceError("overlap")
        low = min(end, LOW) - start
        is_foreign = host is not None
        if device is None and host is None:
            if start < LOW:
                self.map(start, low, perms, fixed=True)
                self._hide(start, low, perms)
                host = self.base + start
            if end > LOW:
                high_start = max(start, LOW)
                high, at = _anonymous(end - high_start)
                is_second = start < LOW
                self._insert(Part(high_start, end, perms, at, keep=high, is_second=is_second))
                if start >= LOW:
                    return
                end = LOW
                self._insert(Part(start, end, perms, host))
                return
        elif device is None and start < LOW:
            assert host is not None
            if end <= LOW and self._alias(start, size, perms, host):
                self._hide(start, size, perms)
            else:
                self.has_odd_pages = True
        else:
            self.has_odd_pages = True
            self._note_devices(start, end, device)
        self._insert(Part(start, end, perms, host, device, keep, is_foreign=is_foreign))

    def remove(self, start: int, size: int) -> None:
        """Unmap a range, all of which must be mapped."""
        end = self.check(start, size)
        for part in self.covering(start, end):
            self._replace(part, start, end, None)
            if self.backing is not None:
                first, last = max(start, part.start), min(end, part.end)
                self.backing.forget(first, last, own=not part.is_foreign)
        self._note_devices(start, end, None)
        if start < LOW:
            self.unmap(start, min(end, LOW) - start)

    def permit(self, start: int, size: int, perms: int) -> None:
        """Change the permissions of a range, all of which must be mapped."""
        end = self.check(start, size)
        for part in self.covering(start, end):
            first, last = max(start, part.start), min(end, part.end)
            self._replace(part, start, end, perms)
            if part.device is not None:
                self._note_devices(first, last, None)  # permissions are checked the long way
            if first < LOW and self.prot_at(first) is not None:
                self.protect(first, last - first, perms)
                self._hide(first, last - first, perms)
            if self.backing is not None:
                self.backing.note(part.cut(first, last, perms))

    def regions_listed(self) -> list[tuple[int, int, int]]:
        """Return first and last address and permissions of each mapping, in order."""
        found: list[tuple[int, int, int]] = []
        for part in self.parts:
            if part.start == LOW and part.is_second and found and found[-1][1] == LOW - 1:
                first, _, perms = found[-1]
                if perms == part.perms:
                    found[-1] = (first, part.end - 1, perms)
                    continue
            found.append((part.start, part.end - 1, part.perms))
        return found

    def _note_devices(self, start: int, end: int, device: Device | None) -> None:
        """Note which pages are a device's, for those who have no time to search."""
        pages = range(start >> 12, min(end, LOW) >> 12)
        if device is not None or self.device_pages:
            self.on_devices()
        if device is not None:
            self.device_pages.update(dict.fromkeys(pages, device))
        elif self.device_pages:
            for page in [page for page in self.device_pages if page in pages]:
                del self.device_pages[page]

    def _insert(self, part: Part) -> None:
        index = bisect.bisect_left(self.starts, part.start)
        self.parts.insert(index, part)
        self.starts.insert(index, part.start)
        if self.backing is not None:
            self.backing.adopt(part, is_new=True)

    def _replace(self, part: Part, start: int, end: int, perms: int | None) -> None:
        """Cut a range out of a part; put it back with other permissions, if any are given."""
        index = bisect.bisect_left(self.starts, part.start)
        first, last = max(start, part.start), min(end, part.end)
        new = [part.cut(part.start, first)] if part.start < first else []
        if perms is not None:
            new.append(part.cut(first, last, perms))
        if last < part.end:
            new.append(part.cut(last, part.end))
        self.parts[index : index + 1] = new
        self.starts[index : index + 1] = [one.start for one in new]

    # -- host pages --------------------------------------------------------------------------------
    def _hide(self, start: int, size: int, perms: int) -> None:
        """Keep guest code from reading pages that the host can only protect as a whole."""
        if not perms & READ:
            hostmap.protect(self.base + start, size, 0)
            self.has_odd_pages = True

    def _forget_code(self, address: int, size: int) -> bool:
        changed = super()._forget_code(address, size)
        if changed and self.has_odd_pages:
            for part in self.parts:
                if part.start < LOW and not part.perms & READ and self.prot_at(part.start):
                    self._hide(part.start, min(part.end, LOW) - part.start, part.perms)
        return changed

    def _alias(self, start: int, size: int, perms: int, host: int) -> bool:
        """Let guest pages show host pages; False if these do not lie at pages."""
        if host % PAGE:
            return False
        self.map(start, size, perms, fixed=True, shared=True)
        target = self.base + start
        if hostmap.duplicate(host, size, target) and not _share(host, size, target):
            self.unmap(start, size)
            return False
        hostmap.protect(target, size, protection(perms | READ if perms else 0))
        return True

    # -- contents ----------------------------------------------------------------------------------
    def peek(self, address: int, size: int) -> bytearray:
        """Copy memory, whatever its permissions; SpaceError("read") where nothing is mapped."""
        end = address + size
        if 0 <= address < end <= LOW and not self.has_odd_pages:
            page = address >> 12
            is_there = self._pages[page] if end - 1 >> 12 == page else self.is_mapped(address, size)
            if is_there:
                return bytearray(self.flat[address:end])
        if size < 0 or address < 0:
            raise SpaceError("read")
        data = bytearray()
        while address < end:
            part = self.part_at(address)
            if part is None:
                raise SpaceError("read")
            count = min(end, part.end) - address
            data += self.peek_part(part, address, count)
            address += count
        return data

    def peek_part(self, part: Part, address: int, size: int) -> bytes:
        """Copy from one part."""
        if part.device is not None:
            return _read_device(part.device, address - part.device.origin, size)
        assert part.host is not None
        host = part.host + address - part.start
        if part.perms & READ or not self._is_inside(host):
            return ctypes.string_at(host, size)
        first, length = _pages_of(host, size)
        hostmap.protect(first, length, hostmap.PROT_READ)
        try:
            return ctypes.string_at(host, size)
        finally:
            hostmap.protect(first, length, 0)

    def poke(self, address: int, data: bytes) -> None:
        """Write memory, whatever its permissions; SpaceError("write") where nothing is mapped."""
        size, done = len(data), 0
        page, end = address >> 12, address + size
        if (
            0 <= address < end <= LOW
            and end - 1 >> 12 == page
            and self._pages[page] & 3 == 3
            and not (self._watched[page] or self.has_odd_pages)
        ):  # one page that guest code may read and write, and none was translated from there
            self.flat[address:end] = data
            return
        if size and address >= 0:
            try:
                self.covering(address, address + size)
            except SpaceError:
                raise SpaceError("write") from None
        elif size:
            raise SpaceError("write")
        while done < size:
            part = self.part_at(address + done)
            assert part is not None
            count = min(size - done, part.end - address - done)
            self.poke_part(part, address + done, data[done : done + count])
            done += count

    def poke_part(self, part: Part, address: int, data: bytes) -> None:
        """Write to one part."""
        if part.device is not None:
            _write_device(part.device, address - part.device.origin, data)
            return
        assert part.host is not None
        size = len(data)
        host = part.host + address - part.start
        if self.backing is not None:
            self.backing.on_write(address, size)
        elif address < LOW:
            self.prepare_write(address, size)
        if not self._is_inside(host) or part.perms & (READ | WRITE) == READ | WRITE:
            ctypes.memmove(host, data, size)
            return
        first, length = _pages_of(host, size)
        hostmap.protect(first, length, _READ_WRITE)
        ctypes.memmove(host, data, size)
        hostmap.protect(first, length, hostmap.PROT_READ if part.perms & READ else 0)

    def _is_inside(self, host: int) -> bool:
        return self.base <= host < self.base + LOW

    def fetch(self, address: int, size: int) -> bytes:
        """Return up to *size* bytes of executable memory, fewer where that ends."""
        if not self.has_odd_pages:
            return super().fetch(address, size)
        data, end = b"", address + size
        if self.backing is None:
            end = min(end, LOW)
        while address < end:
            part = self.part_at(address)
            if part is None or not part.perms & EXEC or part.device is not None:
                break
            count = min(end, part.end) - address
            data += self.peek_part(part, address, count)
            address += count
        return data

    def view(self, address: int, size: int) -> tuple[int, object]:
        """Return the host address of a range in one part, and what keeps it; else SpaceError."""
        part = self.part_at(address)
        if part is None or part.host is None or address + size > part.end or size <= 0:
            raise SpaceError("read")
        return part.host + address - part.start, part.keep


def _anonymous(size: int) -> tuple[object, int]:
    try:
        area = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
    except (OSError, OverflowError, ValueError):
        raise SpaceError("memory") from None
    return area, ctypes.addressof(ctypes.c_char.from_buffer(area))


def _share(host: int, size: int, target: int) -> bool:
    """Turn private host pages into shared ones, with the same contents, and show them twice."""
    fd = os.memfd_create("jitemu")
    try:
        os.ftruncate(fd, size)
        if os.write(fd, ctypes.string_at(host, size)) != size:
            return False
        prot = _READ_WRITE
        for place in (host, target):
            if hostmap.map_fixed(place, size, prot, fd, 0, True):
                return False
        return True
    finally:
        os.close(fd)


def _pages_of(host: int, size: int) -> tuple[int, int]:
    first = host & -PAGE
    return first, (host + size - first + PAGE - 1) & -PAGE


def _device_size(offset: int, size: int) -> int:
    """Return how many bytes a device's next call is for: 4, 2 or 1, at a multiple of that."""
    return next(n for n in (4, 2, 1) if n <= size and not offset % n)


def _read_device(device: Device, offset: int, size: int) -> bytes:
    data = b""
    while size:
        count = _device_size(offset, size)
        number = 0
        if device.read is not None:
            number = device.read(device.owner(), offset, count, device.read_data)
        data += (int(number) & (1 << 8 * count) - 1).to_bytes(count, "little")
        offset, size = offset + count, size - count
    return data


def _write_device(device: Device, offset: int, data: bytes) -> None:
    while data:
        count = _device_size(offset, len(data))
        if device.write is not None:
            value = int.from_bytes(data[:count], "little")
            device.write(device.owner(), offset, count, value, device.write_data)
        offset, data = offset + count, data[count:]
