"""The header of a qcow2 image: bytes -> Header, and new images.

Source: "Qcow2 Image File Format", QEMU's docs/interop/qcow2.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from runtime.disks.disk import SECTOR, DiskError
from runtime.disks.files import read_at, size_of, write_at

MAGIC = b"QFI\xfb"
_V2 = struct.Struct(">4sIQIIQIIQQIIQ")
_V3 = struct.Struct(">QQQII")
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED = 1, 2, 4, 8, 16  # incompatible features
_BACKING_FORMAT = 0xE2792ACA  # type of a header extension
_MAX_L1 = 32 << 20  # bytes, as in QEMU
AUTOCLEAR_AT = 88  # of the header: features that a writer who does not know them must clear
REFCOUNT_TABLE_AT = 48


@dataclass(frozen=True)
class Header:
    """What the header says; offsets and sizes in bytes."""

    version: int
    cluster_bits: int
    size: int
    l1_offset: int
    l1_entries: int
    refcount_table: int
    refcount_clusters: int
    refcount_bits: int
    compression: int  # 0 zlib, 1 zstd
    backing: str | None
    backing_format: str | None
    is_damaged: bool  # its refcounts cannot be relied on
    autoclear: int


def parse(fd: int, path: str) -> Header:
    """Read and check the header; DiskError says what is wrong with it."""

    def refuse(why: str) -> DiskError:
        return DiskError(f"{path}: {why}")

    length = size_of(fd)
    raw = read_at(fd, 0, 112)
    if length < _V2.size or raw[:4] != MAGIC:
        raise refuse("not a qcow2 image")
    (_, version, backing_at, backing_size, bits, size, crypt, l1_entries, l1_offset) = _V2.unpack(
        raw[: _V2.size]
    )[:9]
    table, table_clusters = _V2.unpack(raw[: _V2.size])[9:11]
    incompatible = autoclear = compression = 0
    order, header_length = 4, _V2.size
    if version == 3:
        incompatible, _, autoclear, order, header_length = _V3.unpack(raw[72:104])
        if header_length > 104:
            compression = raw[104]
    elif version != 2:
        raise refuse(f"qcow version {version}; known are 2 and 3")
    if not 9 <= bits <= 21:
        raise refuse(f"broken qcow2 header: clusters of 2^{bits} bytes")
    if crypt:
        raise refuse("encrypted qcow2 images are not supported")
    if incompatible & _DATA_FILE:
        raise refuse("qcow2 images with an external data file are not supported")
    if incompatible & _EXTENDED:
        raise refuse("qcow2 images with subclusters are not supported")
    if incompatible & ~(_DIRTY | _CORRUPT | _COMPRESSION):
        raise refuse(f"unknown qcow2 features {incompatible:#x}")
    if compression > 1 or order > 6 or not _V2.size <= header_length <= 1 << bits:
        raise refuse("broken qcow2 header")
    cluster = 1 << bits
    if size % SECTOR:
        size += -size % SECTOR
    needed = -(-size // (cluster * (cluster // 8)))
    if l1_entries < needed or l1_entries * 8 > _MAX_L1:
        raise refuse("broken qcow2 header: its size and its tables do not agree")
    for offset, room in ((l1_offset, l1_entries * 8), (table, table_clusters << bits)):
        if offset % cluster or (room and (not offset or offset + room > length)):
            raise refuse("broken or truncated qcow2 image: tables beyond the end of the file")
    backing = None
    if backing_at:
        if backing_size > 1023 or backing_at + backing_size > min(cluster, length):
            raise refuse("broken qcow2 header: name of the backing file")
        backing = os.fsdecode(read_at(fd, backing_at, backing_size))
        if "\0" in backing:
            raise refuse("broken qcow2 header: name of the backing file")
    end = min(backing_at or cluster, cluster)
    extensions = _extensions(read_at(fd, 0, min(length, end)), header_length)
    form = extensions.get(_BACKING_FORMAT)
    return Header(
        version=version,
        cluster_bits=bits,
        size=size,
        l1_offset=l1_offset,
        l1_entries=l1_entries,
        refcount_table=table,
        refcount_clusters=table_clusters,
        refcount_bits=1 << order,
        compression=compression,
        backing=backing,
        backing_format=None if form is None else form.decode("latin-1"),
        is_damaged=bool(incompatible & (_DIRTY | _CORRUPT)),
        autoclear=autoclear,
    )


def _extensions(raw: bytes, at: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while at + 8 <= len(raw):
        kind, size = struct.unpack_from(">II", raw, at)
        if not kind or at + 8 + size > len(raw):
            break
        found[kind] = raw[at + 8 : at + 8 + size]
        at += 8 + size + (-size % 8)
    return found


def create(
    fd: int, size: int, backing: str | None = None, form: str | None = None, bits: int = 16
) -> None:
    """Make an empty file an image of *size* bytes (version 3), which shows *backing*'s contents."""
    cluster = 1 << bits
    l1_entries = max(1, -(-size // (cluster * (cluster // 8))))
    l1_clusters = -(-l1_entries * 8 // cluster)
    # Header, L1 table, refcount table, refcount blocks; as many blocks as these need.
    per_block = cluster // 2
    used, blocks = 2 + l1_clusters, 1
    while blocks * per_block < used + blocks:
        blocks += 1
    used += blocks
    name = b"" if backing is None else os.fsencode(backing)
    extra = b""
    if form is not None:
        extra = struct.pack(">II", _BACKING_FORMAT, len(form)) + form.encode()
        extra += bytes(-len(form) % 8)
    extra += bytes(8)
    at = 112 + len(extra)
    if len(name) > 1023 or at + len(name) > cluster:
        raise DiskError(f"{backing}: the name is too long for an overlay")
    table = (1 + l1_clusters) << bits
    header = _V2.pack(
        MAGIC, 3, at if name else 0, len(name), bits, size, 0, l1_entries, cluster, table, 1, 0, 0
    )
    header += _V3.pack(0, 0, 0, 4, 112) + bytes(8) + extra + name
    first_block = table + cluster
    write_at(
        fd, table, b"".join((first_block + (i << bits)).to_bytes(8, "big") for i in range(blocks))
    )
    write_at(fd, first_block, b"\0\1" * used)
    os.ftruncate(fd, used << bits)
    write_at(fd, 0, header)
