"""One place in the guest's file tree: what a path resolution ends with, and where one starts."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from runtime.personalities.linux import statbuf
from runtime.personalities.linux.virtual import Dir, Node

if TYPE_CHECKING:
    from threading import RLock

    from runtime.personalities.linux.fds import FdTable
    from runtime.personalities.linux.mounts import Mount


def fail(code: int) -> OSError:
    """Return the exception for an error number."""
    return OSError(code, os.strerror(code))


class Place:
    """A host descriptor or a synthesised node, its canonical guest path and its mount.

    From `Vfs.parent`: *fd* is the directory, *name* the last name, *path* that name's path, *entry*
    the synthesised node of that name, *is_point* whether something is mounted there or below.
    """

    __slots__ = (
        "_table",
        "entry",
        "fd",
        "is_point",
        "is_stable",
        "keep",
        "mount",
        "name",
        "node",
        "owner",
        "path",
    )

    def __init__(
        self,
        fd: int,
        path: bytes,
        mount: Mount | None,
        node: Node | None = None,
        owner: str = "borrowed",
    ) -> None:
        self.fd = fd
        self.path = path
        self.mount = mount
        self.node = node
        self.owner = (
            owner  # "borrowed", "temporary" (closed by close), "reserved" (by the last user)
        )
        self.name = b""
        self.entry: Node | None = None
        self.is_point = False
        self.is_stable = False  # nothing that the guest does can change how the path resolved
        self.keep: object = None
        self._table: FdTable | None = None

    def __del__(self) -> None:
        """Close a reserved descriptor when nobody resolves paths from it any more."""
        if self.owner == "reserved" and self._table is not None:
            self.owner = "borrowed"
            self._table.release(self.fd)

    def close(self) -> None:
        """Close a temporary descriptor."""
        if self.owner == "temporary":
            self.owner = "borrowed"
            os.close(self.fd)

    def lasting(self, table: FdTable) -> Place:
        """Return a place whose descriptor is out of the guest's reach until the last use."""
        if self.owner == "reserved" or self.fd < 0 or self.fd in table.reserved:
            return self
        fd = table.reserve_copy(self.fd)
        self.close()
        place = Place(fd, self.path, self.mount, self.node, "reserved")
        place._table = table
        place.name, place.entry, place.is_point = self.name, self.entry, self.is_point
        place.is_stable = self.is_stable
        return place

    def child(self, name: bytes) -> bytes:
        """Return the path of an entry."""
        return b"/" + name if self.path == b"/" else self.path + b"/" + name

    def directory(self) -> Place:
        """Return the directory itself, of a place from `Vfs.parent`."""
        path = self.path if self.name == b"." else os.path.dirname(self.path)
        place = Place(self.fd, path, self.mount, self.node)
        place.keep = self
        return place

    def is_directory(self) -> bool:
        """Say whether this is a directory."""
        if self.node is not None:
            return isinstance(self.node, Dir)
        return stat.S_ISDIR(os.fstat(self.fd).st_mode)

    def must_be_directory(self) -> None:
        """Raise ENOTDIR unless this is a directory."""
        if not self.is_directory():
            raise fail(errno.ENOTDIR)

    def statx(self, mask: int = statbuf.BASIC, flags: int = 0) -> bytes:
        """Return the statx buffer."""
        if self.node is not None:
            return self.node.statx(self.path)
        return statbuf.host_statx(self.fd, b"", statbuf.AT_EMPTY_PATH | flags, mask)

    def check_writable(self) -> None:
        """Raise EROFS or EPERM where the guest may not change attributes or contents."""
        if self.node is not None:
            raise fail(errno.EPERM)
        if self.mount is None:
            raise fail(errno.EPERM)
        if self.mount.readonly:
            raise fail(errno.EROFS)

    def host_path(self) -> bytes:
        """Return a path for host calls that know no descriptors; valid while the place is open."""
        return b"/proc/self/fd/%d" % self.fd

    # ---- for places from Vfs.parent ----

    def creating(self) -> None:
        """Raise what making a name here gives: EEXIST before EROFS, as Linux has it."""
        if self.name == b"." or self.is_point or self.entry is not None:
            raise fail(errno.EEXIST)
        if self.node is not None:
            raise fail(errno.EROFS)
        assert self.mount is not None
        if self.mount.readonly:
            self._lstat_quietly(errno.EEXIST)
            raise fail(errno.EROFS)

    def removing(self) -> None:
        """Raise what removing or renaming the name here gives: ENOENT before EBUSY and EROFS."""
        if self.is_point:
            raise fail(errno.EBUSY)
        if self.node is not None:
            raise fail(errno.ENOENT if self.entry is None and self.name != b"." else errno.EPERM)
        assert self.mount is not None
        if self.mount.readonly and self.name != b".":
            os.stat(self.name, dir_fd=self.fd, follow_symlinks=False)
            raise fail(errno.EROFS)
        if self.name == b"." and self.mount.readonly:
            raise fail(errno.EROFS)

    def _lstat_quietly(self, code: int) -> None:
        try:
            os.stat(self.name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return
        raise fail(code)


class Held:
    """A place together with the lock of the file tree: a `with` statement's subject."""

    __slots__ = ("_lock", "_place")

    def __init__(self, place: Place, lock: RLock) -> None:
        self._place = place
        self._lock = lock

    def __enter__(self) -> Place:
        """Give the place."""
        return self._place

    def __exit__(self, *exception: object) -> None:
        """Close what the place opened and release the lock."""
        try:
            self._place.close()
        finally:
            self._lock.release()
