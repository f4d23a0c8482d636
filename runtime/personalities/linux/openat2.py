"""Confined opening of host files: a directory descriptor and a relative path in, a descriptor out.

No symbolic link and no `..` that leaves the directory is ever followed by the host.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from runtime import host
from runtime.host import Sys

AT_FDCWD = -100

# Open flags of the i386 interface that are the same on any host, and those that may differ.
_SAME = 0o3 | os.O_CREAT | os.O_EXCL | os.O_NOCTTY | os.O_TRUNC | os.O_APPEND | os.O_NONBLOCK
_SAME |= os.O_DSYNC | os.O_SYNC | os.O_ASYNC | os.O_CLOEXEC | os.O_NOATIME | os.O_PATH
_GUEST_DIRECT, _GUEST_DIRECTORY, _GUEST_NOFOLLOW = 0o40000, 0o200000, 0o400000
_GUEST_LARGEFILE, _GUEST_TMPFILE = 0o100000, 0o20000000
_OTHER = (
    (_GUEST_DIRECT, os.O_DIRECT),
    (_GUEST_DIRECTORY, os.O_DIRECTORY),
    (_GUEST_NOFOLLOW, os.O_NOFOLLOW),
    (_GUEST_TMPFILE, os.O_TMPFILE & ~os.O_DIRECTORY),
)
_cache: dict[int, int] = {}

_NO_LINKS = 0x04
_RESOLVE_CONFINED = 0x08 | _NO_LINKS | 0x02  # BENEATH, NO_SYMLINKS, NO_MAGICLINKS
_HOW = struct.Struct("<QQQ")
_has_openat2 = True

_syscall = ctypes.PyDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = (
    ctypes.c_long,
    ctypes.c_long,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_size_t,
)


def to_host(flags: int) -> int:
    """Translate the guest's open flags."""
    result = _cache.get(flags)
    if result is None:
        result = flags & _SAME
        for guest, ours in _OTHER:
            if flags & guest:
                result |= ours
        if result & os.O_PATH:
            result &= os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        _cache[flags] = result
    return result


def to_guest(flags: int) -> int:
    """Translate what F_GETFL tells; every host file is a large one."""
    result = flags & _SAME
    for guest, ours in _OTHER:
        if flags & ours == ours:
            result |= guest
    return result | _GUEST_LARGEFILE


def open_beneath(dirfd: int, path: bytes, flags: int, mode: int = 0) -> int:
    """Open for the guest (may block, may give -EINTR): a descriptor or -errno; -ELOOP at a link."""
    if _has_openat2:
        if not flags & (os.O_CREAT | os.O_TMPFILE & ~os.O_DIRECTORY):
            mode = 0
        how = _HOW.pack(flags, mode & 0o7777, _RESOLVE_CONFINED)
        result = host.syscall(Sys.OPENAT2, dirfd, path, how, _HOW.size)
        if result != -errno.ENOSYS:
            return result
    return _step_by_step(dirfd, path, flags, mode)


def confined_open(dirfd: int, path: bytes, flags: int, mode: int = 0) -> int:
    """Open with the host's flags, links followed as long as they stay below: fd or -errno.

    Hosts without openat2 follow none.
    """
    mode = mode & 0o7777 if flags & os.O_CREAT else 0
    return _resolve(dirfd, path, flags, mode, _RESOLVE_CONFINED & ~_NO_LINKS)


def path_beneath(dirfd: int, path: bytes, flags: int = 0) -> int:
    """Open an O_PATH descriptor: the descriptor or -errno; never blocks."""
    return _resolve(dirfd, path, flags | os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_CONFINED)


def _resolve(dirfd: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
    """Open with openat2; step by step from the first time on that the host refuses the call."""
    global _has_openat2
    if _has_openat2:
        how = _HOW.pack(flags, mode, resolve)
        result: int = _syscall(Sys.OPENAT2, dirfd, path, how, _HOW.size)
        if result >= 0:
            return result
        code = ctypes.get_errno()
        if code not in (errno.ENOSYS, errno.EPERM):
            return -code
        _has_openat2 = False
    return _step_by_step(dirfd, path, flags, mode)


def _step_by_step(dirfd: int, path: bytes, flags: int, mode: int) -> int:
    """Do what openat2 does on hosts without it, a component at a time."""
    names = [name for name in path.split(b"/") if name not in (b"", b".")]
    if b".." in names:
        return -errno.EXDEV
    here = -1
    walk = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    for name in names[:-1]:
        try:
            there = os.open(name, walk, dir_fd=here if here >= 0 else dirfd)
        except OSError as error:
            code = error.errno or errno.EIO
        else:
            code = 0
            if _is_link(there):
                os.close(there)
                code = errno.ELOOP
        if here >= 0:
            os.close(here)
        if code:
            return -code
        here = there
    try:
        start = here if here >= 0 else dirfd
        fd = os.open(names[-1] if names else b".", flags | os.O_NOFOLLOW, mode, dir_fd=start)
        is_kept_link = flags & os.O_PATH and flags & os.O_NOFOLLOW
        if flags & os.O_PATH and not is_kept_link and _is_link(fd):
            os.close(fd)
            return -errno.ELOOP
        if not flags & os.O_CLOEXEC:
            os.set_inheritable(fd, True)
        return fd
    except OSError as error:
        return -(error.errno or errno.EIO)
    finally:
        if here >= 0:
            os.close(here)


def _is_link(fd: int) -> bool:
    try:
        return bool(os.readlink(b"", dir_fd=fd))
    except OSError:
        return False
