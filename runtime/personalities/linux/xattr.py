"""System calls on extended attributes."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from runtime import host
from runtime.host import Sys
from runtime.personalities.linux.openat2 import AT_FDCWD
from runtime.personalities.linux.table import syscall

if TYPE_CHECKING:
    from runtime.personalities.linux.threads import Thread

# Calls by path go through the host's link to the place's descriptor, which they must follow.


def _set(t: Thread, path: int, name: int, value: int, size: int, flags: int, follow: bool) -> int:
    text, data = t.mem.cstr(name, 256), t.mem.host(value, size)
    with t.process.vfs.node(AT_FDCWD, t.mem.cstr(path), follow=follow) as place:
        place.check_writable()
        return host.syscall(Sys.SETXATTR, place.host_path(), text, data, size, flags)


@syscall(226, "setxattr")
def setxattr(t: Thread, path: int, name: int, value: int, size: int, flags: int) -> int:
    """Set an attribute."""
    return _set(t, path, name, value, size, flags, True)


@syscall(227, "lsetxattr")
def lsetxattr(t: Thread, path: int, name: int, value: int, size: int, flags: int) -> int:
    """Set an attribute of a file or link."""
    return _set(t, path, name, value, size, flags, False)


@syscall(228, "fsetxattr")
def fsetxattr(t: Thread, fd: int, name: int, value: int, size: int, flags: int) -> int:
    """Set an attribute of an open file."""
    text, data = t.mem.cstr(name, 256), t.mem.host(value, size)
    with t.process.vfs.lock:
        t.process.vfs.check_change(fd)
        return host.syscall(Sys.FSETXATTR, fd, text, data, size, flags)


def _get(t: Thread, path: int, name: int, value: int, size: int, follow: bool) -> int:
    text, data = t.mem.cstr(name, 256), t.mem.host(value, size, True)
    with t.process.vfs.node(AT_FDCWD, t.mem.cstr(path), follow=follow) as place:
        if place.fd < 0:
            return -errno.EOPNOTSUPP
        return host.syscall(Sys.GETXATTR, place.host_path(), text, data if size else 0, size)


@syscall(229, "getxattr")
def getxattr(t: Thread, path: int, name: int, value: int, size: int) -> int:
    """Read an attribute."""
    return _get(t, path, name, value, size, True)


@syscall(230, "lgetxattr")
def lgetxattr(t: Thread, path: int, name: int, value: int, size: int) -> int:
    """Read an attribute of a file or link."""
    return _get(t, path, name, value, size, False)


@syscall(231, "fgetxattr")
def fgetxattr(t: Thread, fd: int, name: int, value: int, size: int) -> int:
    """Read an attribute of an open file."""
    text, data = t.mem.cstr(name, 256), t.mem.host(value, size, True)
    number = t.process.vfs.fds.check(fd)
    return host.syscall(Sys.FGETXATTR, number, text, data if size else 0, size)


def _list(t: Thread, path: int, names: int, size: int, follow: bool) -> int:
    where = t.mem.host(names, size, True) if size else 0
    with t.process.vfs.node(AT_FDCWD, t.mem.cstr(path), follow=follow) as place:
        if place.fd < 0:
            return 0
        return host.syscall(Sys.LISTXATTR, place.host_path(), where, size)


@syscall(232, "listxattr")
def listxattr(t: Thread, path: int, names: int, size: int) -> int:
    """List the attributes."""
    return _list(t, path, names, size, True)


@syscall(233, "llistxattr")
def llistxattr(t: Thread, path: int, names: int, size: int) -> int:
    """List the attributes of a file or link."""
    return _list(t, path, names, size, False)


@syscall(234, "flistxattr")
def flistxattr(t: Thread, fd: int, names: int, size: int) -> int:
    """List the attributes of an open file."""
    where = t.mem.host(names, size, True) if size else 0
    return host.syscall(Sys.FLISTXATTR, t.process.vfs.fds.check(fd), where, size)


def _remove(t: Thread, path: int, name: int, follow: bool) -> int:
    text = t.mem.cstr(name, 256)
    with t.process.vfs.node(AT_FDCWD, t.mem.cstr(path), follow=follow) as place:
        place.check_writable()
        return host.syscall(Sys.REMOVEXATTR, place.host_path(), text)


@syscall(235, "removexattr")
def removexattr(t: Thread, path: int, name: int) -> int:
    """Remove an attribute."""
    return _remove(t, path, name, True)


@syscall(236, "lremovexattr")
def lremovexattr(t: Thread, path: int, name: int) -> int:
    """Remove an attribute of a file or link."""
    return _remove(t, path, name, False)


@syscall(237, "fremovexattr")
def fremovexattr(t: Thread, fd: int, name: int) -> int:
    """Remove an attribute of an open file."""
    text = t.mem.cstr(name, 256)
    with t.process.vfs.lock:
        t.process.vfs.check_change(fd)
        return host.syscall(Sys.FREMOVEXATTR, fd, text)
