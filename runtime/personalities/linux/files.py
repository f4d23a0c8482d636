"""System calls that open, read, write and position files."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from runtime import host
from runtime.host import Sys
from runtime.personalities.linux.openat2 import AT_FDCWD
from runtime.personalities.linux.table import signed, syscall
from runtime.personalities.linux.virtual import Dir

if TYPE_CHECKING:
    from runtime.personalities.linux.threads import Thread

_IOV_MAX = 1024
_O_WRONLY, _O_CREAT, _O_TRUNC = 0o1, 0o100, 0o1000
_READ, _WRITE = int(Sys.READ), int(Sys.WRITE)
_interruptible = host.interruptible


def offset64(low: int, high: int) -> int:
    """Join the two halves of a signed 64-bit argument."""
    value = high << 32 | low
    return value - (1 << 64) if high >> 31 else value


# ---- opening ----


@syscall(5, "open")
def open_(t: Thread, path: int, flags: int, mode: int) -> int:
    """Open a file."""
    return t.process.vfs.open(AT_FDCWD, t.mem.cstr(path), flags, mode)


@syscall(8, "creat")
def creat(t: Thread, path: int, mode: int) -> int:
    """Create or empty a file and open it for writing."""
    flags = _O_CREAT | _O_WRONLY | _O_TRUNC
    return t.process.vfs.open(AT_FDCWD, t.mem.cstr(path), flags, mode)


@syscall(295, "openat")
def openat(t: Thread, dirfd: int, path: int, flags: int, mode: int) -> int:
    """Open a file relative to a directory."""
    return t.process.vfs.open(signed(dirfd), t.mem.cstr(path), flags, mode)


@syscall(437, "openat2")
def openat2(t: Thread, dirfd: int, path: int, how: int, size: int) -> int:
    """Open a file; requests for special resolution are answered like an old kernel."""
    if size < 24:
        return -errno.EINVAL
    flags, mode, resolve = struct.unpack("<QQQ", t.mem.read(how, 24))
    if resolve:
        return -errno.ENOSYS
    if flags >> 32 or mode & ~0o7777:
        return -errno.EINVAL
    return t.process.vfs.open(signed(dirfd), t.mem.cstr(path), flags, mode)


@syscall(6, "close")
def close(t: Thread, fd: int) -> int:
    """Close a descriptor."""
    vfs = t.process.vfs
    if fd in vfs.fds.reserved:
        return -errno.EBADF
    with vfs.lock:
        vfs.fds.records.pop(fd, None)
        return host.syscall(Sys.CLOSE, fd)


# ---- reading and writing ----


@syscall(3, "read")
def read(t: Thread, fd: int, buffer: int, count: int) -> int:
    """Read from a descriptor."""
    fds = t.process.vfs.fds
    if fd in fds.reserved:
        return -errno.EBADF
    result = _interruptible(_READ, fd, t.mem.host(buffer, count, True), count)
    if result == 0 and fd in fds.records and isinstance(fds.records[fd].node, Dir):
        return -errno.EISDIR
    return result


@syscall(4, "write")
def write(t: Thread, fd: int, buffer: int, count: int) -> int:
    """Write to a descriptor."""
    if fd in t.process.vfs.fds.reserved:
        return -errno.EBADF
    return _interruptible(_WRITE, fd, t.mem.host(buffer, count), count)


@syscall(180, "pread64")
def pread64(t: Thread, fd: int, buffer: int, count: int, low: int, high: int) -> int:
    """Read at an offset."""
    t.process.vfs.fds.check(fd)
    target = t.mem.host(buffer, count, True)
    return host.interruptible(Sys.PREAD64, fd, target, count, offset64(low, high))


@syscall(181, "pwrite64")
def pwrite64(t: Thread, fd: int, buffer: int, count: int, low: int, high: int) -> int:
    """Write at an offset."""
    t.process.vfs.fds.check(fd)
    source = t.mem.host(buffer, count)
    return host.interruptible(Sys.PWRITE64, fd, source, count, offset64(low, high))


def host_iovec(t: Thread, address: int, count: int, *, write: bool) -> bytes:
    """Translate a guest iovec array; *write*: the buffers are written to."""
    if count > _IOV_MAX:
        raise OSError(errno.EINVAL, "iovec count")
    total = 0
    pairs = []
    for base, size in struct.iter_unpack("<II", t.mem.read(address, count * 8)):
        if size >> 31:
            raise OSError(errno.EINVAL, "iovec size")
        size = min(size, 0x7FFFF000 - total)
        total += size
        pairs += [t.mem.host(base, size, write), size]
    return struct.pack(f"<{2 * count}Q", *pairs)


def _vector_call(
    t: Thread, number: int, fd: int, vec: int, count: int, write: bool, *rest: int
) -> int:
    t.process.vfs.fds.check(fd)
    return host.interruptible(number, fd, host_iovec(t, vec, count, write=write), count, *rest)


@syscall(145, "readv")
def readv(t: Thread, fd: int, vec: int, count: int) -> int:
    """Read into several buffers."""
    return _vector_call(t, Sys.READV, fd, vec, count, True)


@syscall(146, "writev")
def writev(t: Thread, fd: int, vec: int, count: int) -> int:
    """Write from several buffers."""
    return _vector_call(t, Sys.WRITEV, fd, vec, count, False)


@syscall(333, "preadv")
def preadv(t: Thread, fd: int, vec: int, count: int, low: int, high: int) -> int:
    """Read into several buffers at an offset."""
    return _vector_call(t, Sys.PREADV, fd, vec, count, True, offset64(low, high), 0)


@syscall(334, "pwritev")
def pwritev(t: Thread, fd: int, vec: int, count: int, low: int, high: int) -> int:
    """Write from several buffers at an offset."""
    return _vector_call(t, Sys.PWRITEV, fd, vec, count, False, offset64(low, high), 0)


@syscall(378, "preadv2")
def preadv2(t: Thread, fd: int, vec: int, count: int, low: int, high: int, flags: int) -> int:
    """Read into several buffers at an offset (-1: the current one), with flags."""
    return _vector_call(t, Sys.PREADV2, fd, vec, count, True, offset64(low, high), 0, flags)


@syscall(379, "pwritev2")
def pwritev2(t: Thread, fd: int, vec: int, count: int, low: int, high: int, flags: int) -> int:
    """Write from several buffers at an offset (-1: the current one), with flags."""
    return _vector_call(t, Sys.PWRITEV2, fd, vec, count, False, offset64(low, high), 0, flags)


# ---- positions and sizes ----


def _seek(t: Thread, fd: int, offset: int, whence: int) -> int:
    record = t.process.vfs.fds.check(fd) >= 0 and t.process.vfs.fds.records.get(fd)
    if not record:
        return host.syscall(Sys.LSEEK, fd, offset, whence)
    if isinstance(record.node, Dir):
        if whence > 1 or (offset := offset + record.position * whence) < 0:
            return -errno.EINVAL
        record.position = offset
        return offset
    if record.offsets and whence == 0:
        # A directory's 32-bit offset is an index; see dirs.py.
        if offset > len(record.offsets):
            return -errno.EINVAL
        where = record.offsets[offset - 1] if offset > 0 else offset
        result = host.syscall(Sys.LSEEK, fd, where, whence)
        if offset == 0:
            record.offsets.clear()
            record.position = 0
        return result if result < 0 else offset
    return host.syscall(Sys.LSEEK, fd, offset, whence)


@syscall(19, "lseek")
def lseek(t: Thread, fd: int, offset: int, whence: int) -> int:
    """Move the position within 2 GiB."""
    result = _seek(t, fd, signed(offset), whence)
    return result if result < 1 << 31 else -errno.EOVERFLOW


@syscall(140, "_llseek")
def llseek(t: Thread, fd: int, high: int, low: int, result: int, whence: int) -> int:
    """Move the position; the new one goes to memory."""
    position = _seek(t, fd, offset64(low, high), whence)
    if position < 0:
        return position
    t.mem.write(result, position.to_bytes(8, "little"))
    return 0


@syscall(93, "ftruncate")
def ftruncate(t: Thread, fd: int, size: int) -> int:
    """Set the size of an open file."""
    return host.syscall(Sys.FTRUNCATE, t.process.vfs.fds.check(fd), signed(size))


@syscall(194, "ftruncate64")
def ftruncate64(t: Thread, fd: int, low: int, high: int) -> int:
    """Set the size of an open file."""
    return host.syscall(Sys.FTRUNCATE, t.process.vfs.fds.check(fd), offset64(low, high))


@syscall(324, "fallocate")
def fallocate(t: Thread, fd: int, mode: int, low: int, high: int, n_low: int, n_high: int) -> int:
    """Reserve or free space in a file."""
    offset, size = offset64(low, high), offset64(n_low, n_high)
    return host.interruptible(
        Sys.FALLOCATE, t.process.vfs.fds.check(fd), signed(mode), offset, size
    )


@syscall(250, "fadvise64")
def fadvise64(t: Thread, fd: int, low: int, high: int, size: int, advice: int) -> int:
    """Announce a pattern of access."""
    offset = offset64(low, high)
    return host.syscall(Sys.FADVISE64, t.process.vfs.fds.check(fd), offset, size, signed(advice))


@syscall(272, "fadvise64_64")
def fadvise64_64(
    t: Thread, fd: int, low: int, high: int, n_low: int, n_high: int, advice: int
) -> int:
    """Announce a pattern of access."""
    offset, size = offset64(low, high), offset64(n_low, n_high)
    return host.syscall(Sys.FADVISE64, t.process.vfs.fds.check(fd), offset, size, signed(advice))


@syscall(225, "readahead")
def readahead(t: Thread, fd: int, low: int, high: int, count: int) -> int:
    """Read into the page cache."""
    return host.syscall(Sys.READAHEAD, t.process.vfs.fds.check(fd), offset64(low, high), count)


# ---- to the disk ----


@syscall(36, "sync")
def sync(t: Thread) -> int:
    """Write everything to disk: nothing but the guest's own files would be its business."""
    return 0


@syscall(118, "fsync")
def fsync(t: Thread, fd: int) -> int:
    """Write a file to disk."""
    return host.syscall(Sys.FSYNC, t.process.vfs.fds.check(fd))


@syscall(148, "fdatasync")
def fdatasync(t: Thread, fd: int) -> int:
    """Write a file's data to disk."""
    return host.syscall(Sys.FDATASYNC, t.process.vfs.fds.check(fd))


@syscall(344, "syncfs")
def syncfs(t: Thread, fd: int) -> int:
    """Write a file system to disk."""
    return host.syscall(Sys.SYNCFS, t.process.vfs.fds.check(fd))


@syscall(314, "sync_file_range")
def sync_file_range(
    t: Thread, fd: int, low: int, high: int, n_low: int, n_high: int, flags: int
) -> int:
    """Write part of a file to disk."""
    offset, size = offset64(low, high), offset64(n_low, n_high)
    return host.syscall(Sys.SYNC_FILE_RANGE, t.process.vfs.fds.check(fd), offset, size, flags)
