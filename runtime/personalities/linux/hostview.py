"""The file tree of --host-fs: the host's own, with the sysroot tried first, as under qemu-user.

Nothing is confined here. Only what describes the emulator instead of the guest is replaced:
/proc/cpuinfo and the process's own directory below /proc.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from runtime import host
from runtime.host import Sys
from runtime.personalities.linux.fds import Opened
from runtime.personalities.linux.mounts import Mount
from runtime.personalities.linux.openat2 import AT_FDCWD, to_host
from runtime.personalities.linux.opening import open_node
from runtime.personalities.linux.place import Place, fail
from runtime.personalities.linux.procfs import replaced
from runtime.personalities.linux.vfs import Vfs
from runtime.personalities.linux.virtual import Link

if TYPE_CHECKING:
    from runtime.personalities.linux.options import LinuxOptions
    from runtime.personalities.linux.virtual import Node


class HostVfs(Vfs):
    """Paths are the host's; descriptors need no records, but for synthesised files."""

    host_fs = True

    def _mount_all(self, options: LinuxOptions, program: bytes | None, cwd: bytes) -> None:
        if options.mounts:
            raise ValueError("--mount is of no use with --host-fs")
        self._sysroot = os.path.realpath(os.fsencode(options.sysroot)) if options.sysroot else b""
        self._sysroot = b"" if self._sysroot == b"/" else self._sysroot
        top = Mount(b"/", -1, False, b"/")
        self.table.add(top)
        self.root = self.cwd = Place(-1, b"/", top)

    def _map(self, path: bytes) -> bytes:
        """Return the host path: below the sysroot if it exists there."""
        if self._sysroot and path.startswith(b"/") and os.path.lexists(self._sysroot + path):
            return self._sysroot + path
        return path

    def _made_up(self, path: bytes, follow: bool) -> tuple[bytes, Node | None]:
        """Return the node that stands in for the host's file, if any; where a link leads."""
        node = replaced(self, path) if path.startswith(b"/proc/") else None
        if follow and isinstance(node, Link):
            return node.target(), None
        return path, node

    def open(self, dirfd: int, path: bytes, flags: int, mode: int = 0) -> int:
        """Open for the guest: a guest descriptor or -errno. *flags* are the guest's."""
        flags = to_host(flags)
        path, node = self._made_up(path, not flags & os.O_NOFOLLOW)
        if node is not None:
            return open_node(self, Place(-1, path, self.root.mount, node), node, flags)
        if dirfd != AT_FDCWD:
            self.fds.check(dirfd)
        result = host.interruptible(Sys.OPENAT, dirfd, self._map(path), flags, mode)
        if result >= 0:
            self.fds.records.pop(result, None)
            self.fds.records[result] = Opened(b"", self.root.mount)
        return result

    def find(self, dirfd: int, path: bytes, follow: bool, empty_ok: bool) -> Place:
        """Return what a path names; the lock is held."""
        if not path and empty_ok:
            if dirfd == AT_FDCWD:
                path = b"."
            else:
                return self.self_place(dirfd)
        path, node = self._made_up(path, follow)
        if node is not None:
            return Place(-1, path, self.root.mount, node)
        flags = os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
        fd = self._open_at(self._map(path), flags, dirfd)
        name = os.path.normpath(path) if path.startswith(b"/") else b""
        return Place(fd, name, self.root.mount, owner="temporary")

    def find_parent(self, dirfd: int, path: bytes) -> Place:
        """Return the directory of the last name of a path; the lock is held."""
        if not path:
            raise fail(errno.ENOENT)
        folder, _, name = path.rstrip(b"/").rpartition(b"/")
        if not name:
            folder, name = b"/", b"."
        elif not folder:
            folder = b"/" if path.startswith(b"/") else b"."
        tail = b"/" if path.endswith(b"/") else b""
        if self._sysroot and path.startswith(b"/") and os.path.lexists(self._sysroot + path):
            folder = self._sysroot + folder
        fd = self._open_at(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dirfd)
        place = Place(fd, b"", self.root.mount, owner="temporary")
        place.name = name + tail
        return place

    def _open_at(self, path: bytes, flags: int, dirfd: int) -> int:
        """Open a path below a guest descriptor; os.open knows AT_FDCWD as None only."""
        if dirfd == AT_FDCWD or path.startswith(b"/"):
            return os.open(path, flags)
        if not 0 <= dirfd <= 0x7FFFFFFF:
            raise fail(errno.EBADF)
        return os.open(path, flags, dir_fd=self.fds.check(dirfd))

    def self_place(self, fd: int) -> Place:
        """Return what a descriptor itself shows."""
        if not 0 <= fd <= 0x7FFFFFFF:
            raise fail(errno.EBADF)
        os.fstat(self.fds.check(fd))
        record = self.fds.records.get(fd)
        return Place(fd, b"", self.root.mount, record.node if record is not None else None)

    def chdir(self, dirfd: int, path: bytes, *, empty_ok: bool = False) -> int:
        """Change the current directory, the host process's as well."""
        if not path and empty_ok:
            return host.syscall(Sys.FCHDIR, self.fds.check(dirfd))
        return host.syscall(Sys.CHDIR, self._map(path))

    def getcwd(self) -> bytes:
        """Return the current directory."""
        return os.getcwdb()

    def guest_path(self, path: bytes) -> bytes:
        """Return *path* in canonical form."""
        return os.path.realpath(path)

    def check_change(self, fd: int) -> None:
        """Allow everything that the host allows."""
        self.fds.check(fd)

    def renamed(self, old: bytes, new: bytes) -> None:
        """Do nothing: no paths are recorded."""


def make_vfs(options: LinuxOptions, program: bytes | None = None) -> Vfs:
    """Make the file tree that the options ask for."""
    return (HostVfs if options.host_fs else Vfs)(options, program)
