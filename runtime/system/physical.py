"""Physical memory of a machine: RAM and ROM in one file of memory, callbacks for devices.

The file is mapped where Python reads and writes it, and again, page by page, into the windows
through which guest code sees it (linear.py).
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from runtime import hostmap
from runtime.system.natives import Code, Natives

PAGE_SHIFT, PAGE = 12, 4096
Read = Callable[[int, int], int]  # physical address, bytes -> number
Write = Callable[[int, int, int], None]  # physical address, number, bytes


class Blocks(NamedTuple):
    """How a device takes and gives many bytes at once, as if one access came after the other."""

    read: Callable[[int, int], bytes]  # address, bytes
    write: Callable[[int, bytes], None]
    # Within the device, from the first address to the second, of so many bytes, upwards or, if the
    # last argument says so, downwards; False: not at once.
    move: Callable[[int, int, int, bool], bool] = lambda source, target, size, is_down: False


class Device(NamedTuple):
    """A range of addresses that callbacks answer for."""

    start: int
    end: int
    read: Read
    write: Write
    blocks: Blocks | None = None
    code: Code | None = None
    covered: bytes = b""  # kinds of the pages that it took the place of


class Physical:
    """RAM from address 0 up, of which ranges may be read-only or belong to devices."""

    def __init__(self, size: int, span: int = 0) -> None:
        """Make *size* bytes of RAM, a multiple of 4096.

        Up to address *span* there may be more memory (`add_ram`), as on a display adapter.
        """
        if size <= 0 or size % PAGE or span % PAGE:
            raise ValueError("memory is made of pages of 4096 bytes")
        self.size = size  # of RAM from address 0 up
        self.span = max(size, span)
        self.fd = os.memfd_create("guest memory", os.MFD_CLOEXEC)
        self._close_fd = weakref.finalize(self, os.close, self.fd)  # machines are often forgotten
        os.ftruncate(self.fd, self.span)  # pages that nobody writes to take no room
        self.memory = mmap.mmap(self.fd, self.span)
        self.view = memoryview(self.memory)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        # 0 RAM, 1 ROM, 2 device or nothing
        self.kinds = bytearray(size >> PAGE_SHIFT) + b"\2" * (self.span - size >> PAGE_SHIFT)
        self.devices: list[Device] = []
        self._owners: dict[int, Device] = {}  # by page
        self.natives = Natives()  # the compiled ones among them
        # (page address, "read" or "write") -> how often the guest used memory that is not there.
        self.unclaimed: Counter[tuple[int, str]] = Counter()
        # Called before Python changes RAM, with address and size: code may have been made of it.
        self.on_write: Callable[[int, int], None] = lambda address, size: None
        # Called when a range becomes another kind of memory.
        self.on_change: Callable[[int, int], None] = lambda address, size: None
        self.shown: dict[int, int] = {}  # page -> the frame that is seen there instead of its own
        self.on_show: Callable[[int, int], None] = lambda address, size: None

    def close(self) -> None:
        """Give the memory back; nothing may use it any more."""
        self.view.release()
        self._close_fd()

    # -- what is where -----------------------------------------------------------------------------
    def set_rom(self, start: int, size: int, *, rom: bool = True) -> None:
        """Let guest code only read a range of pages, or write it again."""
        self._set_kind(start, size, 1 if rom else 0)

    def add_ram(self, start: int, size: int) -> None:
        """Let a range of pages within the span be RAM, with what it held when it last was."""
        if start < 0 or start + size > self.span:
            raise ValueError("beyond the span of memory")
        self._set_kind(start, size, 0)

    def take_ram(self, start: int, size: int) -> None:
        """Let a range of pages be no RAM any more: if a device has it, that answers again."""
        self._set_kind(start, size, 2)

    def show(self, start: int, size: int, target: int) -> None:
        """Let a range of pages below 1 MiB show other RAM, or (*target* is *start*) its own again.

        It is the same memory then, for guest code and for Python. OSError.
        """
        access = hostmap.PROT_READ | hostmap.PROT_WRITE
        error = hostmap.map_fixed(self.address + start, size, access, self.fd, target, shared=True)
        if error:
            raise OSError(error, os.strerror(error))
        for at in range(0, size, PAGE):
            page, frame = start + at >> PAGE_SHIFT, target + at >> PAGE_SHIFT
            self.shown[page] = frame
            if page == frame:
                del self.shown[page]
        self.on_show(start, size)

    def remove(self, start: int, size: int) -> None:
        """Let nothing be at a range of pages any more."""
        self.devices = [d for d in self.devices if not start <= d.start < start + size]
        self._find_owners()
        self._set_kind(start, size, 2)

    def add_device(
        self,
        start: int,
        size: int,
        read: Read,
        write: Write,
        blocks: Blocks | None = None,
        code: Code | None = None,
    ) -> Device:
        """Let callbacks answer for a range of pages, which may lie beyond RAM.

        *code*: compiled functions that guest code calls instead, if they are for the access.
        """
        covered = bytes(self.kinds[start >> PAGE_SHIFT : start + size >> PAGE_SHIFT])
        device = Device(start, start + size, read, write, blocks, code, covered)
        self.devices.append(device)
        self._find_owners()
        self._set_kind(start, size, 2)
        return device

    def remove_device(self, device: Device) -> None:
        """Let callbacks answer no more; what the device took the place of is there again."""
        self.devices = [other for other in self.devices if other is not device]
        self._find_owners()
        first = device.start >> PAGE_SHIFT
        for page, kind in enumerate(device.covered, first):
            self.kinds[page] = 2 if page in self._owners else kind
        self.on_change(device.start, device.end - device.start)

    def _find_owners(self) -> None:
        """Note which device has which page; of several the one that came last."""
        self._owners = {
            page: device
            for device in self.devices
            for page in range(device.start >> PAGE_SHIFT, -(-device.end >> PAGE_SHIFT))
        }
        alone = [
            (device.start, device.end, device.code)
            for index, device in enumerate(self.devices)
            if device.code is not None
            and not any(
                other.start < device.end and device.start < other.end
                for other in self.devices[index + 1 :]
            )
        ]
        self.natives.show(alone)

    def _set_kind(self, start: int, size: int, kind: int) -> None:
        first, last = start >> PAGE_SHIFT, min(start + size, self.span) >> PAGE_SHIFT
        if first < last:
            self.kinds[first:last] = bytes([kind]) * (last - first)
        self.on_change(start, size)

    def is_ram(self, page: int) -> bool:
        """Whether a page is memory that can be mapped for reading."""
        return page < len(self.kinds) and self.kinds[page] < 2

    def is_writable(self, page: int) -> bool:
        """Whether a page is memory that can be mapped for writing."""
        return page < len(self.kinds) and not self.kinds[page]

    def device_at(self, address: int) -> Device | None:
        """Return the device that answers at an address; None: memory, or nothing."""
        page = address >> PAGE_SHIFT
        return None if self.is_ram(page) else self._owners.get(page)

    # -- contents, for Python ----------------------------------------------------------------------
    def load(self, address: int, width: int) -> int:
        """Read *width* bits (8, 16, 32, 64...); all ones where nothing is."""
        size = width // 8
        if address + size <= self.span and self.kinds[address >> PAGE_SHIFT] < 2:
            return int.from_bytes(self.view[address : address + size], "little")
        device = self._owners.get(address >> PAGE_SHIFT)
        if device is None:
            self.unclaimed[address & -PAGE, "read"] += 1
            return (1 << width) - 1
        return device.read(address, size)

    def store(self, address: int, value: int, width: int) -> None:
        """Write *width* bits; ROM and what is not there ignore it."""
        size = width // 8
        page = address >> PAGE_SHIFT
        if address + size <= self.span and self.kinds[page] < 2:
            if not self.kinds[page]:
                self.on_write(address, size)
                self.view[address : address + size] = value.to_bytes(size, "little")
            return
        device = self._owners.get(address >> PAGE_SHIFT)
        if device is None:
            self.unclaimed[address & -PAGE, "write"] += 1
        else:
            device.write(address, value, size)

    def read(self, address: int, size: int) -> bytes:
        """Copy RAM or ROM; ValueError beyond its end."""
        if address < 0 or address + size > self.span:
            raise ValueError("beyond the end of memory")
        return bytes(self.view[address : address + size])

    def write(self, address: int, data: bytes) -> None:
        """Change RAM or ROM; ValueError beyond its end."""
        if address < 0 or address + len(data) > self.span:
            raise ValueError("beyond the end of memory")
        self.on_write(address, len(data))
        self.view[address : address + len(data)] = data

    # -- contents, for devices ---------------------------------------------------------------------
    def master_read(self, address: int, size: int) -> bytes:
        """Read as a bus master does: anywhere, ones where nothing is."""
        end = address + size
        if (
            end <= self.span
            and self.kinds.find(2, address >> PAGE_SHIFT, -(-end >> PAGE_SHIFT)) < 0
        ):
            return bytes(self.view[address:end])
        return b"".join(self._read_part(at, count) for at, count in self._pages(address, size))

    def _read_part(self, address: int, size: int) -> bytes:
        """Read within a page."""
        if self.is_ram(address >> PAGE_SHIFT):
            return self.read(address, size)
        device = self._owners.get(address >> PAGE_SHIFT)
        if device is None:
            return b"\xff" * size
        if device.blocks is not None:
            return device.blocks.read(address, size)
        return b"".join(
            device.read(at, count).to_bytes(4, "little")[:count]
            for at, count in self._words(address, size)
        )

    def master_write(self, address: int, data: bytes) -> None:
        """Write as a bus master does: anywhere, in vain where ROM or nothing is."""
        end = address + len(data)
        first, last = address >> PAGE_SHIFT, -(-end >> PAGE_SHIFT)
        if end <= self.span and self.kinds.count(0, first, last) == last - first:
            self.write(address, data)
            return
        view = memoryview(data)
        for at, count in self._pages(address, len(data)):
            part, view = view[:count], view[count:]
            if self.is_writable(at >> PAGE_SHIFT):
                self.write(at, bytes(part))
            elif not self.is_ram(page := at >> PAGE_SHIFT) and page in self._owners:
                device = self._owners[page]
                if device.blocks is not None:
                    device.blocks.write(at, bytes(part))
                    continue
                for place, width in self._words(at, count):
                    value = int.from_bytes(part[place - at : place - at + width], "little")
                    device.write(place, value, width)

    @staticmethod
    def _words(address: int, size: int) -> Iterator[tuple[int, int]]:
        """Cut a range into 32-bit words, and bytes in front and behind."""
        end = address + size
        while address < end:
            count = 4 if address % 4 == 0 and address + 4 <= end else 1
            yield address, count
            address += count

    @staticmethod
    def _pages(address: int, size: int) -> Iterator[tuple[int, int]]:
        """Cut a range at the borders of pages: addresses and sizes."""
        while size > 0:
            count = min(size, PAGE - address % PAGE)
            yield address, count
            address, size = address + count, size - count
