"""Guest mappings in, host mappings out: the guest's 4 GiB as one reserved range of host memory.

Guest address A is host address `base + A`. Unmapped guest pages are PROT_NONE on the host, so a
wild guest access faults inside the reservation. Guest X is only recorded: host pages are never
executable.
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from runtime import hostmap
from runtime.hostcopy import copy_from, copy_to
from runtime.regions import PAGE, Region, RegionMap
from translator.mode import Context

SIZE = 1 << 32
GUARD = 1 << 16
READ, WRITE, EXEC = 1, 2, 4
LOWEST = 0x10000  # below this only a fixed mapping goes
MMAP_TOP = 0xF7FFE000  # where Linux starts its top-down search for a 32-bit task
_MAPPED = 0x80  # marks a mapped page in the page table, so that a mapped PROT_NONE page is not 0
_PAGES = SIZE >> 12


class MemoryFault(Exception):  # noqa: N818 (a fault is the guest's event, not our error)
    """A guest address could not be read or written; a system call answers EFAULT."""

    def __init__(self, address: int, is_write: bool = False) -> None:
        super().__init__(f"{'write' if is_write else 'read'} fault at {address:#010x}")
        self.address = address
        self.is_write = is_write


class MemoryMapError(OSError):
    """A mapping request that Linux would refuse; `errno` says how."""

    def __init__(self, code: int) -> None:
        super().__init__(code, os.strerror(code))


class FileKey(NamedTuple):
    """What a mapping shows: device and inode, or (0, unique number) for shared anonymous memory."""

    dev: int
    ino: int


def page_up(size: int) -> int:
    """Round *size* up to whole pages."""
    return (size + PAGE - 1) & -PAGE


def _host_prot(prot: int) -> int:
    """Host protection for a guest protection: X and W imply readable, X is never passed on."""
    if prot & WRITE:
        return hostmap.PROT_READ | hostmap.PROT_WRITE
    return hostmap.PROT_READ if prot else 0


class Memory:
    """The guest's address space: a region map, a page table and the host mappings that back them.

    Mapping calls take page-aligned guest addresses. `on_code_change(address, size)` is called,
    without the lock held, when pages that hold translated code (see `watch`) became writable,
    changed or vanished, or those in `open_pages` cannot be executed any more.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.base = hostmap.reserve(SIZE, GUARD)
        self.lock = threading.RLock()
        self.limit = limit
        self.on_code_change: Callable[[int, int], None] = lambda address, size: None
        # mmap_min_addr binds ordinary users only.
        self.min_address = 0 if os.geteuid() == 0 else 0x10000
        # Pages with code that are not watched but compared (runtime/guestcode.py).
        self.open_pages: set[int] = set()
        self._edit_depth = 0
        self._changed: list[int] = []  # unwatched pages that the engine has not heard of yet
        self._clear()

    def _clear(self) -> None:
        self._map = RegionMap()
        self._pages = bytearray(_PAGES)
        self._watched = bytearray(_PAGES)
        self._watch_count = 0
        self._next_shared = 1
        self.mmap_top = MMAP_TOP
        self.brk_start = self.brk_end = 0
        self.read_implies_exec = False

    def reset(self) -> None:
        """Unmap everything, as execve does."""
        with self._edit():
            self._forget_code(0, SIZE)
            hostmap.reserve_again(self.base, SIZE)
            self._clear()

    def after_fork(self) -> None:
        """Give the child a fresh lock: another thread of the parent may have held the old one."""
        self.lock = threading.RLock()

    def close(self) -> None:
        """Give the reservation back to the host; nothing may run in this memory any more."""
        hostmap.release(self.base, SIZE + GUARD)

    # ---- the map ----

    def map(
        self,
        address: int | None,
        size: int,
        prot: int,
        *,
        fixed: bool = False,
        noreplace: bool = False,
        fd: int = -1,
        offset: int = 0,
        shared: bool = False,
        name: str = "",
        noreserve: bool = False,
    ) -> int:
        """Map *size* bytes (rounded up to pages) and return the guest address."""
        size = page_up(size)
        if not size or offset & (PAGE - 1):
            raise MemoryMapError(errno.EINVAL)
        if size > SIZE:
            raise MemoryMapError(errno.ENOMEM)
        with self._edit():
            start = self._place(address, size, fixed, noreplace)
            self._check_limit(size if prot else 0, start, size)
            key = self._key(fd, shared)
            self._forget_code(start, size)
            self._forget_views(key, offset, size)
            host = self.base + start
            code = hostmap.map_fixed(host, size, _host_prot(prot), fd, offset, shared, noreserve)
            if code:
                raise MemoryMapError(code)
            backing = offset if key else 0
            self._map.insert(Region(start, start + size, prot, shared, name, backing, key))
            self._set_pages(start, size, _MAPPED | prot)
        return start

    def unmap(self, address: int, size: int) -> None:
        """Remove every mapping in the range; holes are fine."""
        size = page_up(size)
        if address & (PAGE - 1) or not size or address + size > SIZE:
            raise MemoryMapError(errno.EINVAL)
        with self._edit():
            self._forget_code(address, size)
            if self._map.remove(address, address + size):
                hostmap.reserve_again(self.base + address, size)
                self._set_pages(address, size, 0)

    def protect(self, address: int, size: int, prot: int) -> None:
        """Change the protection of mapped pages; ENOMEM, and no change, if some are not mapped."""
        size = page_up(size)
        if address & (PAGE - 1):
            raise MemoryMapError(errno.EINVAL)
        if not size:
            return
        if address + size > SIZE:
            raise MemoryMapError(errno.ENOMEM)
        with self._edit():
            end = address + size
            if not self.is_mapped(address, size):
                raise MemoryMapError(errno.ENOMEM)
            self._check_limit(size if prot else 0, address, size)
            self._forget_code(address, size)
            code = hostmap.protect(self.base + address, size, _host_prot(prot))
            if code:
                raise MemoryMapError(code)
            for region in self._map.overlapping(address, end):
                self._map.insert(region.clipped(address, end)._replace(prot=prot))
            self._set_pages(address, size, _MAPPED | prot)

    def remap(
        self,
        old: int,
        old_size: int,
        new_size: int,
        *,
        may_move: bool = False,
        new_address: int | None = None,
        keep_old: bool = False,
    ) -> int:
        """Grow, shrink or move one mapping as mremap does; *new_address* moves it exactly there."""
        from runtime.remap import remap

        sizes = page_up(old_size), page_up(new_size)
        with self._edit():
            return remap(self, old, *sizes, may_move, new_address, keep_old)

    def set_brk(self, address: int) -> int:
        """Move the program break and return where it is now (unchanged when that is impossible)."""
        with self._edit():
            if address < self.brk_start:
                return self.brk_end
            old, new = page_up(self.brk_end), page_up(address)
            if new > old:
                if new > self.mmap_top or self._map.overlapping(old, new):
                    return self.brk_end
                prot = READ | WRITE | (EXEC if self.read_implies_exec else 0)
                try:
                    self.map(old, new - old, prot, fixed=True, name="[heap]")
                except MemoryMapError:
                    return self.brk_end
            elif new < old:
                self.unmap(new, old - new)
            self.brk_end = address
            return address

    def find_free(self, size: int, below: int | None = None) -> int:
        """Return the highest free range of *size* bytes below *below* (default: the mmap top)."""
        with self.lock:
            start = self._map.find_free(size, LOWEST, below or self.mmap_top)
        if start is None:
            raise MemoryMapError(errno.ENOMEM)
        return start

    def prot_at(self, address: int) -> int | None:
        """Guest protection of the page at *address*, or None where nothing is mapped."""
        page = self._pages[address >> 12]
        return page & 7 if page else None

    def is_shared(self, address: int) -> bool:
        """Say whether the page at *address* shows a file, or memory of other processes."""
        with self.lock:
            region = self._map.at(address & -PAGE)
        return region is not None and region.shared

    def is_mapped(self, address: int, size: int) -> bool:
        """Say whether every page of the range is mapped."""
        return self._pages.find(0, address >> 12, (address + size + PAGE - 1) >> 12) < 0

    def regions(self) -> list[Region]:
        """Snapshot of the regions in address order, for /proc/self/maps."""
        with self.lock:
            return list(self._map.regions)

    @property
    def mapped_bytes(self) -> int:
        """Bytes that the guest can access; what `limit` limits."""
        return self._map.accessible

    def _place(self, address: int | None, size: int, fixed: bool, noreplace: bool) -> int:
        address = address or 0
        if fixed:
            if address & (PAGE - 1):
                raise MemoryMapError(errno.EINVAL)
            if address + size > SIZE:
                raise MemoryMapError(errno.ENOMEM)
            if address < self.min_address:
                raise MemoryMapError(errno.EPERM)
            if noreplace and self._map.overlapping(address, address + size):
                raise MemoryMapError(errno.EEXIST)
            return address
        hint = page_up(address)
        if LOWEST <= hint <= SIZE - 0x2000 - size and not self._map.overlapping(hint, hint + size):
            return hint
        return self.find_free(size)

    def _check_limit(self, extra: int, start: int, size: int) -> None:
        if self.limit is not None and extra:
            replaced = self._map.accessible_in(start, start + size)
            if self._map.accessible - replaced + extra > self.limit:
                raise MemoryMapError(errno.ENOMEM)

    def _key(self, fd: int, shared: bool) -> FileKey | None:
        if fd >= 0:
            status = os.fstat(fd)
            return FileKey(status.st_dev, status.st_ino)
        if not shared:
            return None
        self._next_shared += 1
        return FileKey(0, self._next_shared)

    def _set_pages(self, address: int, size: int, value: int) -> None:
        count = size >> 12
        if self.open_pages and not value & EXEC:
            first = address >> 12
            self._changed += [n for n in list(self.open_pages) if first <= n < first + count]
        if count == 1:
            self._pages[address >> 12] = value
        else:
            self._pages[address >> 12 : (address + size) >> 12] = bytes([value]) * count

    # ---- translated code ----

    def is_alone(self, context: Context) -> bool:
        """Whether nobody writes to memory while code of a context runs, but at its own addresses.

        A region whose code may be overwritten must see who does that.
        """
        return False

    def watch(self, page: int) -> None:
        """Write-protect page number *page* because translated code comes from it.

        Call it before `fetch`: a store that comes after then either is seen by the fetch or faults.
        Shared mappings of the same file page are protected with it.
        """
        with self.lock:
            for number in self._alias_pages(page):
                if not self._watched[number] and self._pages[number]:
                    self._watched[number] = 1
                    self._watch_count += 1
                    if self._pages[number] & WRITE:
                        hostmap.protect(self.base + (number << 12), PAGE, hostmap.PROT_READ)

    def is_watched(self, page: int) -> bool:
        """Say whether *page* is write-protected because of translated code."""
        return bool(self._watched[page])

    def prepare_write(self, address: int, size: int) -> bool:
        """Make watched pages of the range writable again and report them; False if none is."""
        if not self._watch_count or not size:
            return False
        if self._watched.find(1, address >> 12, (address + size + PAGE - 1) >> 12) < 0:
            return False
        with self._edit():
            return self._forget_code(address, size)

    @contextmanager
    def _edit(self) -> Iterator[None]:
        """Hold the lock; tell the engine about unwatched pages once it is released."""
        changed: list[int] = []
        try:
            with self.lock:
                self._edit_depth += 1
                try:
                    yield
                finally:
                    self._edit_depth -= 1
                    if not self._edit_depth:
                        changed, self._changed = self._changed, []
        finally:
            if changed:
                self._tell(changed)

    def _forget_code(self, address: int, size: int) -> bool:
        """Unwatch the pages of the range and their aliases; False if none was watched."""
        if not self._watch_count:
            return False
        count = self._watch_count
        page, end = address >> 12, (address + size + PAGE - 1) >> 12
        while (page := self._watched.find(1, page, end)) >= 0:
            for number in self._alias_pages(page):
                if self._watched[number]:
                    self._watched[number] = 0
                    self._watch_count -= 1
                    self._changed.append(number)
                    if self._pages[number] & WRITE:
                        prot = hostmap.PROT_READ | hostmap.PROT_WRITE
                        hostmap.protect(self.base + (number << 12), PAGE, prot)
        return self._watch_count != count

    def _forget_views(self, key: FileKey | None, offset: int, size: int) -> None:
        """Unwatch pages that show a file range about to be mapped again: both must be watched."""
        if key is None or not self._watch_count:
            return
        for region in self._map.regions:
            if region.key == key and region.shared:
                first = max(offset, region.offset)
                last = min(offset + size, region.offset + region.size)
                if first < last:
                    self._forget_code(region.start + first - region.offset, last - first)

    def _alias_pages(self, page: int) -> list[int]:
        region = self._map.at(page << 12)
        if region is None or region.key is None or not region.shared:
            return [page]
        offset = region.offset + (page << 12) - region.start
        return [
            (other.start + offset - other.offset) >> 12
            for other in self._map.regions
            if other.key == region.key and other.shared and 0 <= offset - other.offset < other.size
        ]

    def _tell(self, pages: list[int]) -> None:
        pages.sort()
        index = 0
        while index < len(pages):  # one call for each run of neighbours
            stop = index + 1
            while stop < len(pages) and pages[stop] == pages[stop - 1] + 1:
                stop += 1
            self.on_code_change(pages[index] << 12, (stop - index) << 12)
            index = stop

    # ---- contents ----

    def fetch(self, address: int, size: int) -> bytes:
        """Return up to *size* bytes of executable memory, fewer where that ends."""
        pages, end, stop = self._pages, min(address + size, SIZE), address
        while stop < end and pages[stop >> 12] & EXEC:
            stop = (stop | (PAGE - 1)) + 1
        count = min(stop, end) - address
        return copy_from(self.base + address, count) if count > 0 else b""

    def read(self, address: int, size: int) -> bytes:
        """Return exactly *size* bytes at *address*, or raise MemoryFault."""
        if address + size > SIZE:
            raise MemoryFault(address)
        data = copy_from(self.base + address, size)
        if len(data) != size:
            raise MemoryFault(address + len(data))
        return data

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Store *data* or raise MemoryFault (bytes before the fault may be stored)."""
        size = len(data)
        if address + size > SIZE:
            raise MemoryFault(address, True)
        if self._watch_count:
            self.prepare_write(address, size)
        done = copy_to(self.base + address, data)
        while done != size:
            # Another thread may have translated code from the page since: then try again.
            if not self.prepare_write(address + done, 1):
                raise MemoryFault(address + done, True)
            done += copy_to(self.base + address + done, bytes(data[done:]))

    def u32(self, address: int) -> int:
        """Return the 32-bit word at *address*."""
        return int.from_bytes(self.read(address, 4), "little")

    def put_u32(self, address: int, value: int) -> None:
        """Store a 32-bit word."""
        self.write(address, (value & 0xFFFFFFFF).to_bytes(4, "little"))

    def cstr(self, address: int, limit: int = 4096) -> bytes:
        """Return the string at *address* without its NUL; ENAMETOOLONG beyond *limit* bytes."""
        parts: list[bytes] = []
        step = 256
        while limit > 0:
            count = min(step, PAGE - (address & (PAGE - 1)), limit)
            if address >= SIZE:
                raise MemoryFault(address)
            part = copy_from(self.base + address, count)
            if not part:
                raise MemoryFault(address)
            end = part.find(0)
            if end >= 0:
                return b"".join(parts) + part[:end] if parts else part[:end]
            parts.append(part)
            address += len(part)
            limit -= len(part)
            step = PAGE
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))

    def host(self, address: int, size: int, write: bool = False) -> int:
        """Return the pointer for a host system call, which answers EFAULT itself where it must."""
        if address + size > SIZE:
            raise MemoryFault(address, write)
        if write and self._watch_count:
            self.prepare_write(address, size)
        return self.base + address

    @property
    def page_table_address(self) -> int:
        """Host address of the page table: a byte a page, 0 or 0x80 | R=1 | W=2 | X=4."""
        return ctypes.addressof(ctypes.c_char.from_buffer(self._pages))
