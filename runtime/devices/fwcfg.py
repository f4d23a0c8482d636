"""QEMU's firmware configuration device: named pieces of bytes for firmware and systems to read.

Source: "QEMU Firmware Configuration (fw_cfg) Device" (QEMU, docs/specs/fw_cfg.rst): selector at
port 510h, data at 511h, DMA at 514h. Nothing can be written to it. Linux knows it as QEMU0002.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from runtime.bus import Bus, Stream

SELECTOR, DATA, DMA = 0x510, 0x511, 0x514
PORTS = 12  # from the selector on
SIGNATURE, ID, UUID, RAM_SIZE, CPUS, BOOT_MENU, MAX_CPUS = 0, 1, 2, 3, 5, 0x0E, 0x0F
IRQ0_OVERRIDE = 0x8002
NAME_MAX = 55  # bytes of the name of a file
_DIRECTORY, _FIRST_FILE = 0x19, 0x20
_FILES_MAX = 0x4000 - _FIRST_FILE
_WRITES = 0x4000  # bit of a selector
_HAS_DMA = b"\x03\0\0\0"  # the interface by ports, and that by DMA
_DMA_SIGNATURE = b"QEMU CFG"
_REQUEST = struct.Struct(">IIQ")  # control, length, address
_ERROR, _READ, _SKIP, _SELECT, _WRITE = 1, 2, 4, 8, 16
_LARGEST = 1 << 26  # bytes that a request may move; no driver asks for more than there is
_ENTRY = struct.Struct(">IHH56s")


class FirmwareConfiguration:
    """Items by number; those with a name are files, which the directory lists."""

    def __init__(
        self, bus: Bus, items: Mapping[int, bytes], files: Mapping[str, bytes] | None = None
    ) -> None:
        """Offer items and files; ValueError for too many files, or one with a bad name."""
        files = files or {}
        for name in files:
            if not name or len(name.encode()) > NAME_MAX or not name.isascii():
                raise ValueError(f"fw_cfg: {name!r}: names have 1 to {NAME_MAX} ASCII characters")
        if len(files) > _FILES_MAX:
            raise ValueError("fw_cfg: too many files")
        self.physical = bus.physical
        self.items = {SIGNATURE: b"QEMU", ID: _HAS_DMA, **items}
        listed = sorted(files)
        directory = struct.pack(">I", len(listed))
        for number, name in enumerate(listed, _FIRST_FILE):
            self.items[number] = files[name]
            directory += _ENTRY.pack(len(files[name]), number, 0, name.encode())
        self.items[_DIRECTORY] = directory
        self.reset()
        stream = Stream(read=self._read_many)
        bus.map_ports(SELECTOR, 1, self._read_nothing, self._select, owner="fw_cfg")
        bus.map_ports(DATA, 1, self._read, self._write, owner="fw_cfg", stream=stream)
        bus.map_ports(DMA, 8, self._read_signature, self._write_address, owner="fw_cfg")

    def reset(self) -> None:
        """Select the signature."""
        self.selected = self.at = 0
        self.address = 0  # of a request, of which the upper half has come
        self.data = self.items[SIGNATURE]

    # -- by ports ----------------------------------------------------------------------------------
    def _choose(self, key: int) -> None:
        self.selected, self.at = key, 0
        self.data = self.items.get(key & ~_WRITES, b"")

    def _select(self, port: int, value: int, size: int) -> None:
        if size == 2:
            self._choose(value & 0xFFFF)

    def _read_nothing(self, port: int, size: int) -> int:
        return 0

    def _take(self, size: int) -> bytes:
        """Return the next bytes of the item; zeros behind its end."""
        found = self.data[self.at : self.at + size]
        self.at = min(self.at + size, len(self.data))
        return found + bytes(size - len(found))

    def _read(self, port: int, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def _read_many(self, size: int, count: int) -> bytes:
        return self._take(count) if size == 1 else b""

    def _write(self, port: int, value: int, size: int) -> None:
        pass

    # -- by DMA ------------------------------------------------------------------------------------
    def _read_signature(self, port: int, size: int) -> int:
        return int.from_bytes(_DMA_SIGNATURE[port - DMA : port - DMA + size], "little")

    def _write_address(self, port: int, value: int, size: int) -> None:
        """Take half of an address, the upper one first; the lower one starts the request."""
        half = int.from_bytes((value & 0xFFFFFFFF).to_bytes(4, "little"), "big")
        if size != 4:
            return
        if port == DMA:
            self.address = half << 32
        elif port == DMA + 4:
            place, self.address = self.address | half, 0
            self._do(place)

    def _do(self, place: int) -> None:
        """Do the request that lies at a physical address, and say how it ended."""
        physical = self.physical
        if place + _REQUEST.size > physical.span:
            return
        control, size, address = _REQUEST.unpack(physical.master_read(place, _REQUEST.size))
        if control & _SELECT:
            self._choose(control >> 16)
        failed = False
        if control & _READ:
            failed = size > _LARGEST or address + size > physical.span
            if not failed:
                physical.master_write(address, self._take(size))
        elif control & _WRITE:
            failed = True
        elif control & _SKIP:
            self.at = min(self.at + size, len(self.data))
        physical.master_write(place, struct.pack(">I", _ERROR if failed else 0))
