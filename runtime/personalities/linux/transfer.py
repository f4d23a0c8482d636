"""System calls that move data inside the kernel, memory files, and inotify."""

from __future__ import annotations

import ctypes
import errno
from typing import TYPE_CHECKING

from runtime import host
from runtime.host import Sys
from runtime.personalities.linux.files import host_iovec
from runtime.personalities.linux.openat2 import AT_FDCWD
from runtime.personalities.linux.table import signed, syscall

if TYPE_CHECKING:
    from runtime.personalities.linux.threads import Thread

_IN_DONT_FOLLOW = 0x02000000
_MFD_EXEC, _MFD_NOEXEC_SEAL = 0x10, 8


def _offset(t: Thread, address: int) -> int:
    return t.mem.host(address, 8, True) if address else 0


@syscall(187, "sendfile")
def sendfile(t: Thread, target: int, source: int, offset: int, count: int) -> int:
    """Copy from a file to a descriptor; 32-bit offset."""
    if not offset:
        return sendfile64(t, target, source, 0, count)
    fds = t.process.vfs.fds
    position = bytearray(t.mem.read(offset, 4) + bytes(4))
    where = ctypes.addressof(ctypes.c_char.from_buffer(position))
    target, source = fds.check(target), fds.check(source)
    result = host.interruptible(Sys.SENDFILE, target, source, where, count)
    if result >= 0:
        t.mem.write(offset, position[:4])
    return result


@syscall(239, "sendfile64")
def sendfile64(t: Thread, target: int, source: int, offset: int, count: int) -> int:
    """Copy from a file to a descriptor."""
    fds = t.process.vfs.fds
    target, source = fds.check(target), fds.check(source)
    return host.interruptible(Sys.SENDFILE, target, source, _offset(t, offset), count)


@syscall(313, "splice")
def splice(
    t: Thread, source: int, in_offset: int, target: int, out_offset: int, size: int, flags: int
) -> int:
    """Move data between a pipe and another descriptor."""
    fds = t.process.vfs.fds
    where_in, where_out = _offset(t, in_offset), _offset(t, out_offset)
    source, target = fds.check(source), fds.check(target)
    return host.interruptible(Sys.SPLICE, source, where_in, target, where_out, size, flags)


@syscall(315, "tee")
def tee(t: Thread, source: int, target: int, size: int, flags: int) -> int:
    """Copy data from pipe to pipe."""
    fds = t.process.vfs.fds
    return host.interruptible(Sys.TEE, fds.check(source), fds.check(target), size, flags)


@syscall(316, "vmsplice")
def vmsplice(t: Thread, fd: int, vec: int, count: int, flags: int) -> int:
    """Move memory into a pipe, or a pipe into memory."""
    iovec = host_iovec(t, vec, count, write=True)
    return host.interruptible(Sys.VMSPLICE, t.process.vfs.fds.check(fd), iovec, count, flags)


@syscall(377, "copy_file_range")
def copy_file_range(
    t: Thread, source: int, in_offset: int, target: int, out_offset: int, size: int, flags: int
) -> int:
    """Copy between files."""
    fds = t.process.vfs.fds
    where_in, where_out = _offset(t, in_offset), _offset(t, out_offset)
    source, target = fds.check(source), fds.check(target)
    number = Sys.COPY_FILE_RANGE
    return host.interruptible(number, source, where_in, target, where_out, size, flags)


@syscall(356, "memfd_create")
def memfd_create(t: Thread, name: int, flags: int) -> int:
    """Make a file in memory."""
    text = t.mem.cstr(name, 250)
    # Whether the host may execute it does not matter here.
    flags &= ~(_MFD_EXEC | _MFD_NOEXEC_SEAL)
    result = host.syscall(Sys.MEMFD_CREATE, text, flags)
    if result >= 0:
        t.process.vfs.record(result)
    return result


@syscall(291, "inotify_init")
def inotify_init(t: Thread) -> int:
    """Make a descriptor that tells of changes to files."""
    return host.syscall(Sys.INOTIFY_INIT1, 0)


@syscall(332, "inotify_init1")
def inotify_init1(t: Thread, flags: int) -> int:
    """Make a descriptor that tells of changes to files, with flags."""
    return host.syscall(Sys.INOTIFY_INIT1, flags)


@syscall(292, "inotify_add_watch")
def inotify_add_watch(t: Thread, fd: int, path: int, mask: int) -> int:
    """Watch a file or directory."""
    vfs = t.process.vfs
    vfs.fds.check(fd)
    with vfs.node(AT_FDCWD, t.mem.cstr(path), follow=not mask & _IN_DONT_FOLLOW) as place:
        if place.fd < 0:
            return -errno.EACCES
        # The place is what the path led to: the host must follow only its own link to it.
        return host.syscall(Sys.INOTIFY_ADD_WATCH, fd, place.host_path(), mask & ~_IN_DONT_FOLLOW)


@syscall(293, "inotify_rm_watch")
def inotify_rm_watch(t: Thread, fd: int, watch: int) -> int:
    """Watch no longer."""
    return host.syscall(Sys.INOTIFY_RM_WATCH, t.process.vfs.fds.check(fd), signed(watch))
