"""One folder of the host, as a guest may see it: no path leaves it, no link of it is followed.

Paths are tuples of names from the folder down. Each is opened beneath the folder's descriptor by
the kernel's own rules (openat2), so that neither links nor renames at the wrong moment lead out.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from runtime.personalities.linux.openat2 import path_beneath

Path = tuple[bytes, ...]
_MODE = 0o777  # of files: set-user-ID bits would be the host user's
_MODE_DIRECTORY = 0o1777


def _fail(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def check_name(name: bytes) -> bytes:
    """Return a name of a directory's entry; OSError if it is none."""
    if not name or name in (b".", b"..") or b"/" in name or b"\0" in name:
        raise _fail(errno.EINVAL)
    return name


class Folder:
    """A folder to share; OSError from all methods is for the guest to see."""

    def __init__(self, path: str, *, is_read_only: bool = False) -> None:
        """Open a folder of the host; OSError if that is impossible."""
        self.root = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.is_read_only = is_read_only
        self.device = os.fstat(self.root).st_dev

    def close(self) -> None:
        """Give the folder back."""
        os.close(self.root)

    def writes(self) -> None:
        """Stop whoever is about to change something in a folder that is read only."""
        if self.is_read_only:
            raise _fail(errno.EROFS)

    @contextmanager
    def at(self, path: Path) -> Iterator[int]:
        """Give an O_PATH descriptor of what is at a path; a link is itself."""
        fd = path_beneath(self.root, b"/".join(path) or b".", os.O_NOFOLLOW)
        if fd < 0:
            raise _fail(-fd)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def parent(self, path: Path) -> Iterator[tuple[int, bytes]]:
        """Give the directory that a path is in, and its name there."""
        if not path:
            raise _fail(errno.EBUSY)
        with self.at(path[:-1]) as fd:
            yield fd, path[-1]

    def stat(self, path: Path) -> os.stat_result:
        """Return what is known of a path."""
        with self.at(path) as fd:
            return os.fstat(fd)

    def statvfs(self) -> os.statvfs_result:
        """Return what is known of the file system."""
        return os.statvfs(_reopened(self.root))

    def names(self, path: Path) -> list[bytes]:
        """Return the names in a directory, with "." and ".."."""
        with self.at(path) as fd:
            found = os.listdir(_reopened(fd))
        return [b".", b"..", *map(os.fsencode, found)]

    def open(self, path: Path, flags: int) -> int:
        """Open a file or directory; return a descriptor. What might block is not opened."""
        with self.at(path) as fd:
            mode = os.fstat(fd).st_mode
            if stat.S_ISLNK(mode):
                raise _fail(errno.ELOOP)
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise _fail(errno.ENXIO)
            if flags & (os.O_ACCMODE | os.O_TRUNC):
                self.writes()
            return os.open(_reopened(fd), flags | os.O_CLOEXEC | os.O_NONBLOCK)

    def create(self, path: Path, flags: int, mode: int) -> int:
        """Make and open a file."""
        self.writes()
        flags |= os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with self.parent(path) as (fd, name):
            return os.open(name, flags, mode & _MODE, dir_fd=fd)

    def mkdir(self, path: Path, mode: int) -> None:
        """Make a directory."""
        self.writes()
        with self.parent(path) as (fd, name):
            os.mkdir(name, mode & _MODE_DIRECTORY, dir_fd=fd)

    def symlink(self, path: Path, target: bytes) -> None:
        """Make a link, which only the guest will follow."""
        self.writes()
        with self.parent(path) as (fd, name):
            os.symlink(target, name, dir_fd=fd)

    def mkfifo(self, path: Path, mode: int) -> None:
        """Make a FIFO, which only guests can use; other special files are refused."""
        self.writes()
        if not stat.S_ISFIFO(mode):
            raise _fail(errno.EPERM)
        with self.parent(path) as (fd, name):
            os.mkfifo(name, mode & _MODE, dir_fd=fd)

    def link(self, old: Path, new: Path) -> None:
        """Give a file a further name."""
        self.writes()
        with self.parent(old) as (a, name), self.parent(new) as (b, other):
            os.link(name, other, src_dir_fd=a, dst_dir_fd=b, follow_symlinks=False)

    def rename(self, old: Path, new: Path) -> None:
        """Move something."""
        self.writes()
        with self.parent(old) as (a, name), self.parent(new) as (b, other):
            os.rename(name, other, src_dir_fd=a, dst_dir_fd=b)

    def unlink(self, path: Path, *, is_directory: bool) -> None:
        """Remove a name."""
        self.writes()
        with self.parent(path) as (fd, name):
            (os.rmdir if is_directory else os.unlink)(name, dir_fd=fd)

    def readlink(self, path: Path) -> bytes:
        """Return what a link says."""
        with self.parent(path) as (fd, name):
            return os.readlink(name, dir_fd=fd)

    def chmod(self, path: Path, mode: int) -> None:
        """Change permissions."""
        self.writes()
        with self.at(path) as fd:
            kind = os.fstat(fd).st_mode
            if stat.S_ISLNK(kind):
                raise _fail(errno.EOPNOTSUPP)
            os.chmod(_reopened(fd), mode & (_MODE_DIRECTORY if stat.S_ISDIR(kind) else _MODE))

    def truncate(self, path: Path, size: int) -> None:
        """Change a file's size."""
        self.writes()
        with self.at(path) as fd:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise _fail(errno.EINVAL)
            os.truncate(_reopened(fd), size)

    def set_times(self, path: Path, accessed: int | None, modified: int | None) -> None:
        """Change times, in ns since 1970; None: as they were."""
        self.writes()
        with self.at(path) as fd:
            was = os.fstat(fd)
            times = (
                was.st_atime_ns if accessed is None else accessed,
                was.st_mtime_ns if modified is None else modified,
            )
            if not stat.S_ISLNK(was.st_mode):
                os.utime(_reopened(fd), ns=times)
                return
        with self.parent(path) as (fd, name):
            os.utime(name, ns=times, dir_fd=fd, follow_symlinks=False)


def _reopened(fd: int) -> str:
    """Return a name of what an O_PATH descriptor stands for, which is no link."""
    return f"/proc/self/fd/{fd}"
