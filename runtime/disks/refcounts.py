"""Which clusters of a qcow2 file are in use: its table and blocks of reference counts.

Every step is ordered so that a file cut off behind any write opens again: a count is raised before
anything refers to the cluster, lowered after nothing does; at worst room is lost, never data.
"""

from __future__ import annotations

import errno

from runtime.disks.files import read_at, size_of, write_at
from runtime.disks.qcow2_header import REFCOUNT_TABLE_AT, Header


def broken(what: str) -> OSError:
    """Return the error of an image whose tables make no sense."""
    return OSError(errno.EIO, f"broken qcow2 image: {what}")


class Refcounts:
    """Counts of all clusters of one writable file; new clusters are taken behind its end."""

    def __init__(self, fd: int, header: Header) -> None:
        """Read the table; blocks are read when they are needed."""
        self._fd, self._bits, self._width = fd, header.cluster_bits, header.refcount_bits
        self._cluster = 1 << header.cluster_bits
        self.per_block = self._cluster * 8 // self._width
        self._offset, self._clusters = header.refcount_table, header.refcount_clusters
        raw = read_at(fd, self._offset, self._clusters << self._bits)
        self._table = [int.from_bytes(raw[i : i + 8], "big") for i in range(0, len(raw), 8)]
        self._blocks: dict[int, bytearray] = {}
        self._end = -(-size_of(fd) // self._cluster)
        # Behind the end there are counts only where an emulator was killed; step over them.
        for index in range(self._end // self.per_block, len(self._table)):
            if self._table[index]:
                used = -(-len(self._block(index).rstrip(b"\0")) * 8 // self._width)
                self._end = max(self._end, index * self.per_block + used if used else 0)

    def _block(self, index: int) -> bytearray:
        block = self._blocks.get(index)
        if block is None:
            offset = self._table[index]
            if offset % self._cluster or offset >= size_of(self._fd):
                raise broken("a block of reference counts is not in the file")
            block = self._blocks[index] = bytearray(read_at(self._fd, offset, self._cluster))
        return block

    # Counts are big-endian numbers; those narrower than a byte begin at its low bits.
    def _count(self, block: bytearray, slot: int) -> int:
        width = self._width
        if width < 8:
            per_byte = 8 // width
            return block[slot // per_byte] >> slot % per_byte * width & (1 << width) - 1
        size = width // 8
        return int.from_bytes(block[slot * size : slot * size + size], "big")

    def _put(self, block: bytearray, slot: int, count: int) -> None:
        width = self._width
        if width < 8:
            per_byte = 8 // width
            shift = slot % per_byte * width
            mask = (1 << width) - 1 << shift
            block[slot // per_byte] = block[slot // per_byte] & ~mask | count << shift
        else:
            size = width // 8
            block[slot * size : slot * size + size] = count.to_bytes(size, "big")

    def _save(self, index: int, first: int, count: int) -> None:
        low = first * self._width // 8
        high = -(-(first + count) * self._width // 8)
        block = memoryview(self._blocks[index])
        write_at(self._fd, self._table[index] + low, block[low:high])

    def allocate(self, count: int) -> tuple[int, int]:
        """Take clusters that lie together: up to *count*; return their offset and number."""
        while True:
            first = self._end
            index, slot = divmod(first, self.per_block)
            if index >= len(self._table):
                self._grow(index)
            elif not self._table[index]:
                self._add_block(index, slot)
            else:
                break
        taken = min(count, self.per_block - slot)
        block = self._block(index)
        for i in range(slot, slot + taken):
            self._put(block, i, 1)
        self._save(index, slot, taken)
        self._end = first + taken
        return first << self._bits, taken

    def _add_block(self, index: int, slot: int) -> None:
        """Let the next cluster be the block that counts itself."""
        block = bytearray(self._cluster)
        self._put(block, slot, 1)
        offset = self._end << self._bits
        write_at(self._fd, offset, block)
        write_at(self._fd, self._offset + 8 * index, offset.to_bytes(8, "big"))
        self._table[index], self._blocks[index] = offset, block
        self._end += 1

    def _grow(self, index: int) -> None:
        """Move the table to the end of the file, with room for twice as many blocks."""
        per_cluster = self._cluster // 8
        clusters = -(-max(2 * len(self._table), index + 2) // per_cluster)
        first, blocks = self._end, 1
        while (first + clusters + blocks - 1) // self.per_block - index + 1 > blocks:
            blocks += 1
        table = self._table + [0] * (clusters * per_cluster - len(self._table))
        for i in range(blocks):
            table[index + i] = (first + clusters + i) << self._bits
            self._blocks[index + i] = bytearray(self._cluster)
        for cluster in range(first, first + clusters + blocks):
            block, slot = divmod(cluster, self.per_block)
            self._put(self._blocks[block], slot, 1)
        for i in range(blocks):
            write_at(self._fd, table[index + i], self._blocks[index + i])
        write_at(self._fd, first << self._bits, b"".join(o.to_bytes(8, "big") for o in table))
        place = (first << self._bits).to_bytes(8, "big") + clusters.to_bytes(4, "big")
        write_at(self._fd, REFCOUNT_TABLE_AT, place)
        old, old_clusters = self._offset, self._clusters
        self._table, self._offset, self._clusters = table, first << self._bits, clusters
        self._end = first + clusters + blocks
        for i in range(old_clusters):
            self.drop(old + (i << self._bits))

    def drop(self, offset: int) -> None:
        """Lower the count of the cluster at an offset."""
        index, slot = divmod(offset >> self._bits, self.per_block)
        if index >= len(self._table) or not self._table[index]:
            raise broken("a cluster in use has no reference count")
        block = self._block(index)
        count = self._count(block, slot)
        if not count:
            raise broken("a cluster in use has no reference count")
        self._put(block, slot, count - 1)
        self._save(index, slot, 1)
