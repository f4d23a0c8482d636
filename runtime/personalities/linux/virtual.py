"""Synthesised files: nodes with a mode and contents made when asked for."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Callable, Iterable, Mapping

from runtime.personalities.linux.statbuf import host_statx, pack_statx


class Node:
    """A synthesised file of some kind; *mode* holds type and permissions."""

    mode = 0

    def statx(self, path: bytes) -> bytes:
        """Return the host-format statx buffer of this node at guest path *path*."""
        # The inode number only has to be stable and unlike its neighbours'.
        links = 2 if stat.S_ISDIR(self.mode) else 1
        return pack_statx(mode=self.mode, ino=zlib.crc32(path) | 1, nlink=links)


class Dir(Node):
    """A directory; its entries are nodes, or functions that make them when looked up."""

    mode = stat.S_IFDIR | 0o555

    def __init__(self, entries: Mapping[bytes, Node | Callable[[], Node]] | None = None) -> None:
        self.entries = dict(entries or {})

    def lookup(self, name: bytes) -> Node | None:
        """Return the entry *name*."""
        entry = self.entries.get(name)
        return entry if entry is None or isinstance(entry, Node) else entry()

    def names(self) -> Iterable[bytes]:
        """Names of the entries."""
        return list(self.entries)


class File(Node):
    """A read-only file whose contents are made at each open."""

    mode = stat.S_IFREG | 0o444

    def __init__(self, make: Callable[[], bytes] | bytes) -> None:
        self._make = make

    def content(self) -> bytes:
        """Return the contents now."""
        return self._make if isinstance(self._make, bytes) else self._make()


class Link(Node):
    """A symbolic link; its target is a guest path."""

    mode = stat.S_IFLNK | 0o777

    def __init__(self, target: Callable[[], bytes] | bytes) -> None:
        self._target = target

    def target(self) -> bytes:
        """Return where the link points now."""
        return self._target if isinstance(self._target, bytes) else self._target()


class FdLink(Node):
    """/proc/self/fd/N: opening it opens what descriptor N shows."""

    mode = stat.S_IFLNK | 0o700

    def __init__(self, fd: int) -> None:
        self.fd = fd


class HostFile(Node):
    """A device of the host that the guest may use, such as /dev/null."""

    def __init__(self, host_path: bytes) -> None:
        self.host_path = host_path

    @property
    def mode(self) -> int:  # type: ignore[override]
        """Type and permissions of the host's file."""
        return os.stat(self.host_path).st_mode

    def statx(self, path: bytes) -> bytes:
        """Return what the host tells: device numbers must agree with those of open descriptors."""
        return host_statx(-1, self.host_path, 0)
