"""The run's private directory on the host; left-over ones of runs that were killed are removed."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.personalities.linux.fds import FdTable

_PREFIX = b"jitemu-run-"
_MIN_AGE = 60  # seconds; younger ones may be about to be locked


class ScratchDir:
    """A directory that holds the guest's /tmp and /dev/shm.

    It is locked as long as a process of the run lives, however that ends.
    """

    def __init__(self, fds: FdTable) -> None:
        self._top = os.fsencode(os.environ.get("TMPDIR") or "/tmp")
        self.path = self._top + b"/" + _PREFIX + os.urandom(8).hex().encode()
        os.mkdir(self.path, 0o700)
        self._owner = os.getpid()
        self._fds = fds
        self.lock = fds.reserve(os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(self.lock, fcntl.LOCK_SH)
        for name in (b"tmp", b"shm"):
            os.mkdir(self.path + b"/" + name)
            os.chmod(self.path + b"/" + name, 0o1777)
        atexit.register(self.remove)

    def remove(self) -> None:
        """Remove it; only the process that made it does."""
        atexit.unregister(self.remove)
        if os.getpid() != self._owner:
            return
        self._owner = -1
        self._fds.release(self.lock)
        with contextlib.suppress(OSError):  # of a guest that gave up its rights; a later run will
            _remove_tree(self.path)
            _sweep(self._top)


def _sweep(top: bytes) -> None:
    """Remove this user's directories that no living run has locked."""
    latest = time.time() - _MIN_AGE
    try:
        names = [name for name in os.listdir(top) if name.startswith(_PREFIX)]
    except OSError:
        return
    for name in names:
        path = top + b"/" + name
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            status = os.fstat(fd)
            if status.st_uid == os.geteuid() and status.st_mtime < latest:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove_tree(path)
        except OSError:
            pass  # locked: its run lives
        finally:
            os.close(fd)


def _remove_tree(path: bytes) -> None:
    # By descriptor: processes that the guest left behind may still rename things in here.
    for _, folders, files, fd in os.fwalk(path, topdown=False, follow_symlinks=False):
        for name in files:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=fd)
        for name in folders:
            with contextlib.suppress(OSError):
                _remove_folder(name, fd)
    with contextlib.suppress(OSError):
        os.rmdir(path)


def _remove_folder(name: bytes, fd: int) -> None:
    try:
        os.rmdir(name, dir_fd=fd)
    except NotADirectoryError:  # a link to a directory
        os.unlink(name, dir_fd=fd)
