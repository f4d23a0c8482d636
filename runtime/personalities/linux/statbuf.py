"""statx buffers: a host descriptor in, the guest's stat structures out.

The 256-byte statx buffer is the same on every architecture, so it is the form that everything here
starts from: what the host fills, what synthesised nodes make, what the guest's statx gets.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import time
from typing import NamedTuple

STATX_SIZE = 256
BASIC = 0x7FF
AT_EMPTY_PATH = 0x1000
_HEAD = struct.Struct("<IIQIIIHxxQQQQqIxxxxqIxxxxqIxxxxqIxxxxIIIIQ")
_STAT64 = struct.Struct("<Q4xIIIIIQ4xqIQIIIIIIQ")
_STAT = struct.Struct("<IIHHHHIIIIIIIIII8x")
_OLD_STAT = struct.Struct("<HHHHHHHxxIIII")

_statx = ctypes.PyDLL(None, use_errno=True).statx
_statx.restype = ctypes.c_int
_statx.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)

_started = int(time.time())


class Statx(NamedTuple):
    """The fields of a statx buffer."""

    mask: int
    blksize: int
    attributes: int
    nlink: int
    uid: int
    gid: int
    mode: int
    ino: int
    size: int
    blocks: int
    attributes_mask: int
    atime: int
    atime_ns: int
    btime: int
    btime_ns: int
    ctime: int
    ctime_ns: int
    mtime: int
    mtime_ns: int
    rdev_major: int
    rdev_minor: int
    dev_major: int
    dev_minor: int
    mnt_id: int


def host_statx(fd: int, path: bytes = b"", flags: int = AT_EMPTY_PATH, mask: int = BASIC) -> bytes:
    """Return the statx buffer of host descriptor *fd* (or of *path* below it)."""
    buffer = ctypes.create_string_buffer(STATX_SIZE)
    if _statx(fd, path, flags, mask, buffer):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return buffer.raw


def pack_statx(*, mode: int, ino: int, nlink: int = 1, size: int = 0) -> bytes:
    """Make the buffer of a synthesised file that belongs to the guest's user."""
    times = (_started, 0) * 4
    fields = (BASIC, 1024, 0, nlink, os.getuid(), os.getgid(), mode, ino, size, 0, 0, *times)
    return _HEAD.pack(*fields, 0, 0, 0, 5, 0).ljust(STATX_SIZE, b"\0")


def unpack(buffer: bytes) -> Statx:
    """Return the fields of a statx buffer."""
    return Statx(*_HEAD.unpack_from(buffer))


def encode_dev(major: int, minor: int) -> int:
    """Return a device number as Linux encodes it in 32 bits."""
    return minor & 0xFF | major << 8 | (minor & ~0xFF) << 12


def stat64(buffer: bytes) -> bytes:
    """Convert to the i386 `struct stat64`."""
    # By position: this is the call that programs make most often, and a tuple is quick.
    (_, blksize, _, nlink, uid, gid, mode, ino, size, blocks, _, *times) = _HEAD.unpack_from(buffer)
    atime, atime_ns, _, _, ctime, ctime_ns, mtime, mtime_ns, *devices, _ = times
    return _STAT64.pack(
        encode_dev(devices[2], devices[3]),
        ino & 0xFFFFFFFF,
        mode,
        nlink,
        uid,
        gid,
        encode_dev(devices[0], devices[1]),
        size,
        blksize,
        blocks,
        atime & 0xFFFFFFFF,
        atime_ns,
        mtime & 0xFFFFFFFF,
        mtime_ns,
        ctime & 0xFFFFFFFF,
        ctime_ns,
        ino,
    )


def stat32(buffer: bytes) -> bytes | None:
    """Convert to the i386 `struct stat`; None when the size or inode number does not fit."""
    s = unpack(buffer)
    if s.size > 0x7FFFFFFF or s.ino > 0xFFFFFFFF:
        return None
    return _STAT.pack(
        encode_dev(s.dev_major, s.dev_minor),
        s.ino,
        s.mode,
        min(s.nlink, 0xFFFF),
        _id16(s.uid),
        _id16(s.gid),
        encode_dev(s.rdev_major, s.rdev_minor),
        s.size,
        s.blksize,
        s.blocks & 0xFFFFFFFF,
        s.atime & 0xFFFFFFFF,
        s.atime_ns,
        s.mtime & 0xFFFFFFFF,
        s.mtime_ns,
        s.ctime & 0xFFFFFFFF,
        s.ctime_ns,
    )


def old_stat(buffer: bytes) -> bytes | None:
    """Convert to the oldest `struct stat`, of 16-bit fields; None when the size does not fit."""
    s = unpack(buffer)
    if s.size > 0x7FFFFFFF:
        return None
    ids = _id16(s.uid), _id16(s.gid)
    device, real = (
        (s.dev_major << 8 | s.dev_minor & 0xFF),
        (s.rdev_major << 8 | s.rdev_minor & 0xFF),
    )
    times = s.atime & 0xFFFFFFFF, s.mtime & 0xFFFFFFFF, s.ctime & 0xFFFFFFFF
    return _OLD_STAT.pack(
        device & 0xFFFF,
        s.ino & 0xFFFF,
        s.mode,
        s.nlink & 0xFFFF,
        *ids,
        real & 0xFFFF if stat.S_ISCHR(s.mode) or stat.S_ISBLK(s.mode) else 0,
        s.size,
        *times,
    )


def _id16(value: int) -> int:
    """Return a user or group number as a 16-bit system call reports it."""
    return value if value <= 0xFFFF else 65534
