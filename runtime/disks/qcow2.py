"""qcow2 images, versions 2 and 3: read and written, with backing files and compressed clusters.

No library of PyPI writes them (libqcow's and dissect's only read), hence this one. Source:
"Qcow2 Image File Format", QEMU's docs/interop/qcow2.

What a write does to the file is ordered: first counts, then data, then what refers to the data. So
an emulator killed between any two of them leaves an image that opens again and holds all writes
that had been finished.
"""

from __future__ import annotations

import os
import sys
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import replace

from runtime.disks.disk import SECTOR, Disk
from runtime.disks.files import read_at, size_of, write_at
from runtime.disks.qcow2_header import AUTOCLEAR_AT, Header
from runtime.disks.refcounts import Refcounts, broken

_COPIED, _COMPRESSED, _ZERO = 1 << 63, 1 << 62, 1
_OFFSET = (1 << 56) - 512
_RUN = 256  # clusters at most that are written at once
_TABLES_MAX = 1 << 26  # bytes of L2 tables that are kept: a crafted image has any number of them


def _swapped(table: array[int]) -> array[int]:
    if sys.byteorder == "little":
        table.byteswap()
    return table


class Qcow2:
    """A disk in a qcow2 file; *backing* shows through where nothing was written."""

    def __init__(self, fd: int, header: Header, backing: Disk | None, *, write: bool) -> None:
        """Take over an open file and the disk behind it."""
        self._fd, self._header, self.backing = fd, header, backing
        self.is_read_only = not write
        self.sectors = header.size // SECTOR
        self._bits = header.cluster_bits
        self._cluster = 1 << header.cluster_bits
        self._l2_bits = header.cluster_bits - 3
        self._l1 = self._table(header.l1_offset, header.l1_entries)
        self._l2: dict[int, array[int]] = {}
        self._unpacked: tuple[int, bytes] = (0, b"")  # the compressed cluster read last
        self._refcounts = Refcounts(fd, header) if write else None

    def _table(self, offset: int, entries: int) -> array[int]:
        return _swapped(array("Q", read_at(self._fd, offset, entries * 8)))

    # -- reading -----------------------------------------------------------------------------------
    def _entries(self, index: int) -> array[int] | None:
        """Return the L2 table of L1 entry *index*; None where nothing was written."""
        table = self._l2.get(index)
        if table is None:
            offset = self._l1[index] & _OFFSET
            if not offset:
                return None
            if offset % self._cluster or offset + self._cluster > size_of(self._fd):
                raise broken("a table is not in the file")
            table = self._table(offset, self._cluster // 8)
            self._keep(index, table)
        return table

    def _keep(self, index: int, table: array[int]) -> None:
        """Keep an L2 table, which is as the file has it; forget the one kept longest."""
        self._l2[index] = table
        while len(self._l2) * self._cluster > _TABLES_MAX:
            del self._l2[next(iter(self._l2))]

    def _entry(self, cluster: int) -> int:
        table = self._entries(cluster >> self._l2_bits)
        return 0 if table is None else table[cluster & (1 << self._l2_bits) - 1]

    def read(self, sector: int, count: int) -> bytes:
        """Return *count* sectors."""
        offset, size = sector * SECTOR, count * SECTOR
        beyond = max(0, min(size, offset + size - self.sectors * SECTOR))
        return b"".join(self._parts(offset, size - beyond)) + bytes(beyond)

    def _parts(self, offset: int, size: int) -> Iterator[bytes]:
        """Yield the contents of a range; clusters that lie together are read at once."""
        end = offset + size
        while offset < end:
            cluster, within = offset >> self._bits, offset & self._cluster - 1
            entry = self._entry(cluster)
            kind, at = self._kind(entry), (entry & _OFFSET)
            length = min(end - offset, self._cluster - within)
            while kind != _COMPRESSED and offset + length < end:
                cluster += 1
                entry = self._entry(cluster)
                if self._kind(entry) != kind:
                    break
                if kind == _COPIED and entry & _OFFSET != at + within + length:
                    break
                length = min(end - offset, length + self._cluster)
            if kind == _COPIED:
                if at % self._cluster:
                    raise broken("a cluster at an odd place")
                yield read_at(self._fd, at + within, length)
            elif kind == _COMPRESSED:
                yield self._decompress(entry)[within : within + length]
            elif kind == _ZERO or self.backing is None:
                yield bytes(length)
            else:
                yield self.backing.read(offset // SECTOR, length // SECTOR)
            offset += length

    def _kind(self, entry: int) -> int:
        """Say where a cluster's contents are: _COPIED here, _COMPRESSED, _ZERO, 0 behind."""
        if entry & _COMPRESSED:
            return _COMPRESSED
        if entry & _ZERO and self._header.version > 2:
            return _ZERO
        return _COPIED if entry & _OFFSET else 0

    def _packed(self, entry: int) -> tuple[int, int]:
        """Return offset and bytes of a compressed cluster, the rest of its last sector included."""
        split = 62 - (self._bits - 8)
        offset = entry & (1 << split) - 1
        sectors = (entry & _COMPRESSED - 1) >> split
        return offset, (sectors + 1) * SECTOR - offset % SECTOR

    def _decompress(self, entry: int) -> bytes:
        if self._unpacked[0] == entry:
            return self._unpacked[1]
        packed = read_at(self._fd, *self._packed(entry))
        if self._header.compression:
            data = _zstd(packed, self._cluster)
        else:
            try:
                data = zlib.decompressobj(-15).decompress(packed, self._cluster)
            except zlib.error:
                raise broken("a compressed cluster") from None
        if len(data) != self._cluster:
            raise broken("a compressed cluster")
        self._unpacked = (entry, data)
        return data

    # -- writing -----------------------------------------------------------------------------------
    def write(self, sector: int, data: bytes) -> None:
        """Change whole sectors within the disk."""
        if self._refcounts is None:
            raise PermissionError("the image is read only")
        if self._header.autoclear and self._header.version > 2:
            self._clear_features()
        view = memoryview(data)[: max(0, self.sectors - sector) * SECTOR]
        offset = sector * SECTOR
        while view:
            done = self._write_some(self._refcounts, offset, view)
            offset, view = offset + done, view[done:]

    def _clear_features(self) -> None:
        write_at(self._fd, AUTOCLEAR_AT, bytes(8))
        self._header = replace(self._header, autoclear=0)

    def _write_some(self, refcounts: Refcounts, offset: int, view: memoryview) -> int:
        """Write the first clusters of *view* that are of one kind; return how many bytes."""
        cluster, within = offset >> self._bits, offset & self._cluster - 1
        index, slot = cluster >> self._l2_bits, cluster & (1 << self._l2_bits) - 1
        table = self._own_table(refcounts, index)
        wanted = -(-(within + len(view)) >> self._bits)
        last = min(slot + wanted, slot + _RUN, len(table))
        entry = table[slot]
        at = entry & _OFFSET
        count = 1
        if self._kind(entry) == _COPIED and entry & _COPIED:
            while slot + count < last and table[slot + count] == entry + (count << self._bits):
                count += 1
            done = min(len(view), (count << self._bits) - within)
            write_at(self._fd, at + within, view[:done])
            return done
        while slot + count < last and not self._is_own(table[slot + count]):
            count += 1
        if self._is_own(entry):  # zeros, with a cluster kept ready
            count, fresh = 1, at
        else:
            fresh, count = refcounts.allocate(count)
        done = min(len(view), (count << self._bits) - within)
        body = bytes(view[:done])
        start = cluster * SECTOR << self._bits - 9
        if within:
            body = b"".join(self._parts(start, within)) + body
        if missing := (count << self._bits) - len(body):
            body += self.read((start + len(body)) // SECTOR, missing // SECTOR)
        write_at(self._fd, fresh, body)
        old = table[slot : slot + count]
        for i in range(count):
            table[slot + i] = fresh + (i << self._bits) | _COPIED
        self._keep(index, table)  # reading may have let another copy be kept
        self._save(self._l1[index] & _OFFSET, table, slot, count)
        for entry in old:
            self._drop(refcounts, entry, fresh)
        return done

    def _is_own(self, entry: int) -> bool:
        """Whether a cluster of this file is there that may be written in place."""
        return bool(entry & _COPIED and entry & _OFFSET and not entry & _COMPRESSED)

    def _own_table(self, refcounts: Refcounts, index: int) -> array[int]:
        """Return an L2 table that no internal snapshot shares, made if there was none."""
        entry = self._l1[index]
        table = self._entries(index)
        if table is not None and entry & _COPIED:
            return table
        if table is None:
            table = array("Q", bytes(self._cluster))
        else:  # whoever wrote the snapshot raised the counts of what this table refers to
            table = array("Q", [e & ~_COPIED for e in table])
        offset, _ = refcounts.allocate(1)
        self._save(offset, table, 0, len(table))
        self._l1[index] = offset | _COPIED
        self._keep(index, table)
        self._save(self._header.l1_offset, self._l1, index, 1)
        if entry & _OFFSET:
            refcounts.drop(entry & _OFFSET)
        return table

    def _save(self, offset: int, table: array[int], first: int, count: int) -> None:
        part = _swapped(table[first : first + count])
        write_at(self._fd, offset + 8 * first, part.tobytes())

    def _drop(self, refcounts: Refcounts, entry: int, fresh: int) -> None:
        """Count what an entry referred to one less."""
        if entry & _COMPRESSED:
            offset, size = self._packed(entry)
            first, last = offset >> self._bits, (offset + size - 1) >> self._bits
            for cluster in range(first, last + 1):
                refcounts.drop(cluster << self._bits)
        elif entry & _OFFSET and entry & _OFFSET != fresh:
            refcounts.drop(entry & _OFFSET)

    def flush(self) -> None:
        """Wait until the host has written everything."""
        if not self.is_read_only:
            os.fdatasync(self._fd)

    def close(self) -> None:
        """Close this file and those behind it."""
        os.close(self._fd)
        if self.backing is not None:
            self.backing.close()


def _zstd(packed: bytes, size: int) -> bytes:
    try:
        import zstandard
    except ImportError:
        raise OSError("this image is packed with zstd: install the package zstandard") from None
    try:
        return bytes(zstandard.ZstdDecompressor().decompress(packed, max_output_size=size))
    except zstandard.ZstdError:
        raise broken("a compressed cluster") from None
