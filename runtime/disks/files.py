"""Host files that hold images: opened once, locked, read and written at offsets."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from runtime.disks.disk import DiskError


def open_image(path: str, *, write: bool) -> int:
    """Open a regular file or block device and lock it; return its descriptor or raise DiskError.

    Any number may read an image at once, one alone may write it; the lock is advisory (flock(2))
    and goes with the process.
    """
    flags = (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        fd = os.open(path, flags)
    except OSError as error:
        raise DiskError(f"{path}: {error.strerror}") from None
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        os.close(fd)
        raise DiskError(f"{path}: not a file that can hold a disk image")
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if write else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            os.close(fd)
            raise DiskError(f"{path}: another emulator is using this image") from None
        # A file system without locks: nothing to hold on to.
    return fd


def size_of(fd: int) -> int:
    """Return a file's or block device's size in bytes."""
    return os.lseek(fd, 0, os.SEEK_END)


def read_at(fd: int, offset: int, size: int) -> bytes:
    """Read *size* bytes; what lies behind the end of the file is zeros."""
    data = os.pread(fd, size, offset)
    while len(data) < size:
        more = os.pread(fd, size - len(data), offset + len(data))
        if not more:
            return data + bytes(size - len(data))
        data += more
    return data


def write_at(fd: int, offset: int, data: bytes | bytearray | memoryview) -> None:
    """Write all of *data*."""
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, offset)
        offset, view = offset + done, view[done:]
