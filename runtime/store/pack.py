"""Records <-> a pack: one file whose sorted index is searched where it lies, never parsed.

    header   magic, kind, version, number and size of keys, digest of all that and the index
    index    rows sorted by key: key, offset, size, guest insns, digest of the record
    records  marshalled plain values

The index is verified when a pack is opened, a record whenever it is read.
"""

from __future__ import annotations

import marshal
import struct
from _blake2 import blake2b  # hashlib would load OpenSSL
from bisect import bisect_left
from collections.abc import Iterator
from mmap import mmap
from typing import Any, NamedTuple

MAGIC = b"jitemu\0\1"
_HEADER = struct.Struct("<8s16s16sIIQ")  # magic, kind, version, keys, size of a key, file size
_ROW = struct.Struct("<QII16s")  # offset, size, insns, digest; behind the key
_DIGEST_SIZE = 32
_MANY = 400
_INDEX_AT = _HEADER.size + _DIGEST_SIZE
# In what reading a damaged file can end.
_DAMAGE = (ValueError, EOFError, TypeError, KeyError, IndexError, struct.error)


class Item(NamedTuple):
    """A value to save, and how many guest insns it was made from."""

    value: Any
    insns: int


class Damaged(Exception):  # noqa: N818 (a state of the disk)
    """What was read is not what was written."""


def _digest(data: bytes, size: int = 16) -> bytes:
    return blake2b(data, digest_size=size).digest()


def encode(kind: str, version: bytes, items: dict[bytes, bytes], insns: dict[bytes, int]) -> bytes:
    """Make a pack of marshalled records; their keys have one size."""
    keys = sorted(items)
    key_size = len(keys[0])
    at = _INDEX_AT + len(keys) * (key_size + _ROW.size)
    rows, records = [], []
    for key in keys:
        record = items[key]
        rows.append(key + _ROW.pack(at, len(record), insns[key], _digest(record)))
        records.append(record)
        at += len(record)
    header = _HEADER.pack(MAGIC, kind.encode(), version, len(keys), key_size, at)
    index = b"".join(rows)
    return b"".join([header, _digest(header + index, _DIGEST_SIZE), index, *records])


def file_name(kind: str, data: bytes) -> str:
    """Name a pack by its digest: the same content is the same file."""
    return f"{kind}-{data[_HEADER.size : _HEADER.size + 8].hex()}.pack"


class Pack:
    """An opened pack. Damaged if it is none of this kind and version, or its index is damaged."""

    def __init__(self, name: str, data: bytes | mmap, kind: str, version: bytes) -> None:
        self.name, self.data = name, data
        self.is_damaged = False  # a record was found to be
        self.is_mine = True  # in the user's cache, not in the installation
        self.used = 0.0  # when the disk was last told that it is used, seconds since the epoch
        self.asked = 0
        self.rows: dict[bytes, int] = {}  # once so much was asked for that making it pays
        try:
            header = data[: _HEADER.size]
            magic, its_kind, its_version, count, key_size, size = _HEADER.unpack(header)
        except struct.error:
            raise Damaged(name) from None
        known = (magic, its_kind.rstrip(b"\0"), its_version, size)
        if known != (MAGIC, kind.encode(), version, len(data)) or not 0 < key_size <= 64:
            raise Damaged(name)
        self.count, self.key_size, self.row_size = count, key_size, key_size + _ROW.size
        self.index = data[_INDEX_AT : _INDEX_AT + count * self.row_size]
        if len(self.index) != count * self.row_size:
            raise Damaged(name)
        if _digest(header + self.index, _DIGEST_SIZE) != data[_HEADER.size : _INDEX_AT]:
            raise Damaged(name)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.data)

    def _key(self, number: int) -> bytes:
        at = number * self.row_size
        return self.index[at : at + self.key_size]

    def _row(self, key: bytes) -> int:
        """Return the number of a key's row, or -1."""
        self.asked += 1
        if self.asked > _MANY:
            if not self.rows:
                self.rows = {self._key(i): i for i in range(self.count)}
            return self.rows.get(key, -1)
        number = bisect_left(range(self.count), key, key=self._key)
        return number if number < self.count and self._key(number) == key else -1

    def names(self) -> Iterator[bytes]:
        """Yield all keys."""
        return map(self._key, range(self.count))

    def insns(self, number: int) -> int:
        """Return how many guest insns a row's record was made from."""
        at = number * self.row_size + self.key_size
        return int(_ROW.unpack_from(self.index, at)[2])

    def total_insns(self) -> int:
        """Return how many guest insns all records were made from."""
        return sum(map(self.insns, range(self.count)))

    def record(self, key: bytes) -> tuple[bytes, int] | None:
        """Return a key's marshalled record and its guest insns; None if absent or damaged."""
        number = self._row(key)
        if number < 0:
            return None
        at = number * self.row_size + self.key_size
        offset, size, insns, digest = _ROW.unpack_from(self.index, at)
        record = self.data[offset : offset + size]
        if _digest(record) != digest:
            self.is_damaged = True
            return None
        return record, insns

    def get(self, key: bytes) -> Any:
        """Return the value under a key, or None."""
        found = self.record(key)
        if found is None:
            return None
        try:
            return marshal.loads(found[0])
        except _DAMAGE:
            self.is_damaged = True
            return None
