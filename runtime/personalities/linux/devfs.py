"""The guest's /dev: harmless devices of the host, links, and the terminals that are the guest's."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from runtime.personalities.linux.virtual import Dir, HostFile, Link, Node

if TYPE_CHECKING:
    from runtime.personalities.linux.vfs import Vfs

_DEVICES = (b"null", b"zero", b"full", b"random", b"urandom", b"tty", b"ptmx")
_SEALS = 0x0001 | 0x0002 | 0x0004 | 0x0008  # seal, shrink, grow, write


class Terminals(Dir):
    """/dev/pts: only the terminals that the guest was started on or made itself."""

    def __init__(self, vfs: Vfs) -> None:
        super().__init__()
        self._vfs = vfs

    def lookup(self, name: bytes) -> Node | None:
        """Return the terminal, if it is one of ours."""
        if name.isdigit() and int(name) in self._vfs.terminals:
            path = b"/dev/pts/" + name
            return HostFile(path) if os.path.exists(path) else None
        return HostFile(b"/dev/pts/ptmx") if name == b"ptmx" else None

    def names(self) -> Iterable[bytes]:
        """Numbers of the terminals."""
        return [b"%d" % number for number in sorted(self._vfs.terminals)]


def own_terminals() -> set[int]:
    """Return the numbers of the pseudo-terminals that the standard descriptors show."""
    found = set()
    for fd in range(3):
        try:
            match = re.fullmatch(r"/dev/pts/(\d+)", os.ttyname(fd))
        except OSError:
            continue
        if match:
            found.add(int(match[1]))
    return found


def root(vfs: Vfs) -> Dir:
    """Make the tree."""
    entries: dict[bytes, Node] = {
        name: HostFile(b"/dev/" + name) for name in _DEVICES if os.path.exists(b"/dev/" + name)
    }
    entries[b"pts"] = Terminals(vfs)
    entries[b"fd"] = Link(b"/proc/self/fd")
    for number, name in enumerate((b"stdin", b"stdout", b"stderr")):
        entries[name] = Link(b"/proc/self/fd/%d" % number)
    return Dir(entries)


def seal(fd: int) -> None:
    """Make a memory file unchangeable."""
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
