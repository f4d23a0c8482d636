"""Paravirtual disk. Source: VIRTIO 1.1, 5.2."""

from __future__ import annotations

import struct

from runtime.devices.virtio.device import VirtioDevice
from runtime.devices.virtio.queue import BrokenQueueError, Chain, Queue
from runtime.disks.disk import SECTOR, Disk
from runtime.disks.geometry import disk_geometry
from runtime.system.physical import Physical

_SEG_MAX, _GEOMETRY, _READ_ONLY, _BLOCK_SIZE, _FLUSH = 1 << 2, 1 << 4, 1 << 5, 1 << 6, 1 << 9
_IN, _OUT, _FLUSHES, _GET_ID = 0, 1, 4, 8
_OK, _FAILED, _UNKNOWN = 0, 1, 2
_QUEUE = 256


class VirtioBlock(VirtioDevice):
    """A disk whose requests are chains: a header, data, a byte of status."""

    kind, class_code = 2, 0x010000

    def __init__(self, physical: Physical, disk: Disk, *, serial: str = "") -> None:
        """Show *disk*; *serial*: at most 20 characters."""
        cylinders, heads, sectors = disk_geometry(disk)
        config = struct.pack(
            "<QIIHBBI", disk.sectors, 0, _QUEUE - 2, cylinders, heads, sectors, SECTOR
        )
        self.features = _SEG_MAX | _GEOMETRY | _BLOCK_SIZE | _FLUSH
        if disk.is_read_only:
            self.features |= _READ_ONLY
        super().__init__(physical, [_QUEUE], config.ljust(60, b"\0"))
        self.disk, self.serial = disk, serial.encode("ascii", "replace")[:20]

    def handle(self, number: int, queue: Queue) -> None:
        """Do all requests."""
        while (chain := queue.pop()) is not None:
            data = queue.read(chain)
            room = chain.room - 1
            if len(data) < 16 or room < 0:
                raise BrokenQueueError("a request without header or status")
            kind, _, sector = struct.unpack_from("<IIQ", data)
            status, written = self._do(queue, chain, kind, sector, data[16:], room)
            queue.write(chain, bytes([status]), room)
            queue.push(chain, written + 1)

    def _do(
        self, queue: Queue, chain: Chain, kind: int, sector: int, data: bytes, room: int
    ) -> tuple[int, int]:
        """Do one request; return its status and how many bytes were written."""
        size = len(data) if kind == _OUT else room
        if kind in (_IN, _OUT) and (size % SECTOR or sector + size // SECTOR > self.disk.sectors):
            return _FAILED, 0
        try:
            if kind == _IN:
                return _OK, queue.write(chain, self.disk.read(sector, size // SECTOR))
            if kind == _OUT:
                self.disk.write(sector, data)
            elif kind == _FLUSHES:
                self.disk.flush()
            elif kind == _GET_ID:
                return _OK, queue.write(chain, self.serial.ljust(20, b"\0")[: min(room, 20)])
            else:
                return _UNKNOWN, 0
        except OSError:
            return _FAILED, 0
        return _OK, 0
