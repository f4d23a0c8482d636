"""System calls about a file's attributes: stat, access, mode, owner, times, size."""

from __future__ import annotations

import ctypes
import errno
import stat as modes
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime import host
from runtime.host import Sys
from runtime.personalities.linux import statbuf
from runtime.personalities.linux.files import offset64
from runtime.personalities.linux.openat2 import AT_FDCWD
from runtime.personalities.linux.table import signed, syscall

if TYPE_CHECKING:
    from runtime.personalities.linux.place import Place
    from runtime.personalities.linux.threads import Thread

_NOFOLLOW, _EACCESS, _EMPTY_PATH = 0x100, 0x200, 0x1000
_NO_AUTOMOUNT, _STATX_SYNC = 0x800, 0x6000
_STAT_FLAGS = _NOFOLLOW | _NO_AUTOMOUNT | _EMPTY_PATH
_F_OK, _X_OK, _W_OK, _R_OK = 0, 1, 2, 4
_NO_ID = 0xFFFFFFFF
_UTIME_NOW, _UTIME_OMIT = 0x3FFFFFFF, 0x3FFFFFFE
Convert = Callable[[bytes], bytes | None]


# ---- stat ----


def _store(t: Thread, address: int, data: bytes | None) -> int:
    if data is None:
        return -errno.EOVERFLOW
    t.mem.write(address, data)
    return 0


def _path_stat(
    t: Thread, dirfd: int, path: int, address: int, convert: Convert, flags: int = 0
) -> int:
    name = t.mem.cstr(path)
    if not name and flags & _EMPTY_PATH and dirfd != AT_FDCWD:
        return _fd_stat(t, dirfd, address, convert)
    follow, empty_ok = not flags & _NOFOLLOW, bool(flags & _EMPTY_PATH)
    with t.process.vfs.node(dirfd, name, follow=follow, empty_ok=empty_ok) as place:
        buffer = place.statx()
    return _store(t, address, convert(buffer))


def fd_statx(t: Thread, fd: int, flags: int = 0, mask: int = statbuf.BASIC) -> bytes:
    """Return the statx buffer of a descriptor."""
    fds = t.process.vfs.fds
    record = fds.records.get(fds.check(fd))
    if record is not None and record.node is not None:
        return record.node.statx(record.path)
    return statbuf.host_statx(fd, b"", flags | _EMPTY_PATH, mask)


def _fd_stat(t: Thread, fd: int, address: int, convert: Convert) -> int:
    return _store(t, address, convert(fd_statx(t, fd)))


@syscall(195, "stat64")
def stat64(t: Thread, path: int, address: int) -> int:
    """Tell a file's attributes."""
    return _path_stat(t, AT_FDCWD, path, address, statbuf.stat64)


@syscall(196, "lstat64")
def lstat64(t: Thread, path: int, address: int) -> int:
    """Tell the attributes of a file or link."""
    return _path_stat(t, AT_FDCWD, path, address, statbuf.stat64, _NOFOLLOW)


@syscall(197, "fstat64")
def fstat64(t: Thread, fd: int, address: int) -> int:
    """Tell an open file's attributes."""
    return _fd_stat(t, fd, address, statbuf.stat64)


@syscall(300, "fstatat64")
def fstatat64(t: Thread, dirfd: int, path: int, address: int, flags: int) -> int:
    """Tell a file's attributes, relative to a directory."""
    if flags & ~_STAT_FLAGS:
        return -errno.EINVAL
    return _path_stat(t, signed(dirfd), path, address, statbuf.stat64, flags)


@syscall(106, "stat")
def stat(t: Thread, path: int, address: int) -> int:
    """Tell a file's attributes, with 32-bit sizes."""
    return _path_stat(t, AT_FDCWD, path, address, statbuf.stat32)


@syscall(107, "lstat")
def lstat(t: Thread, path: int, address: int) -> int:
    """Tell the attributes of a file or link, with 32-bit sizes."""
    return _path_stat(t, AT_FDCWD, path, address, statbuf.stat32, _NOFOLLOW)


@syscall(108, "fstat")
def fstat(t: Thread, fd: int, address: int) -> int:
    """Tell an open file's attributes, with 32-bit sizes."""
    return _fd_stat(t, fd, address, statbuf.stat32)


@syscall(18, "oldstat")
def oldstat(t: Thread, path: int, address: int) -> int:
    """Tell a file's attributes in the oldest form."""
    return _path_stat(t, AT_FDCWD, path, address, statbuf.old_stat)


@syscall(84, "oldlstat")
def oldlstat(t: Thread, path: int, address: int) -> int:
    """Tell the attributes of a file or link in the oldest form."""
    return _path_stat(t, AT_FDCWD, path, address, statbuf.old_stat, _NOFOLLOW)


@syscall(28, "oldfstat")
def oldfstat(t: Thread, fd: int, address: int) -> int:
    """Tell an open file's attributes in the oldest form."""
    return _fd_stat(t, fd, address, statbuf.old_stat)


@syscall(383, "statx")
def statx(t: Thread, dirfd: int, path: int, flags: int, mask: int, address: int) -> int:
    """Tell a file's attributes; the structure is the same everywhere."""
    if flags & ~(_STAT_FLAGS | _STATX_SYNC) or mask >> 31:
        return -errno.EINVAL
    dirfd, sync = signed(dirfd), flags & _STATX_SYNC
    name = t.mem.cstr(path) if path or not flags & _EMPTY_PATH else b""
    if not name and flags & _EMPTY_PATH and dirfd != AT_FDCWD:
        t.mem.write(address, fd_statx(t, dirfd, sync, mask))
        return 0
    follow, empty_ok = not flags & _NOFOLLOW, bool(flags & _EMPTY_PATH)
    with t.process.vfs.node(dirfd, name, follow=follow, empty_ok=empty_ok) as place:
        buffer = place.statx(mask, sync)
    t.mem.write(address, buffer)
    return 0


# ---- access ----


def _access(t: Thread, dirfd: int, path: bytes, mode: int, flags: int = 0) -> int:
    if mode & ~7 or flags & ~(_NOFOLLOW | _EACCESS | _EMPTY_PATH):
        return -errno.EINVAL
    follow, empty_ok = not flags & _NOFOLLOW, bool(flags & _EMPTY_PATH)
    with t.process.vfs.node(dirfd, path, follow=follow, empty_ok=empty_ok) as place:
        if place.node is not None:
            granted = place.node.mode >> 6 & 7
            return 0 if mode & granted == mode else -errno.EACCES
        if mode & _W_OK and place.mount is not None and place.mount.readonly:
            kind = modes.S_IFMT(statbuf.unpack(place.statx()).mode)
            if kind in (modes.S_IFREG, modes.S_IFDIR, modes.S_IFLNK):
                return -errno.EROFS
        name = place.host_path()
        if flags & _EACCESS:
            return host.syscall(Sys.FACCESSAT2, AT_FDCWD, name, mode, _EACCESS)
        return host.syscall(Sys.FACCESSAT, AT_FDCWD, name, mode)


@syscall(33, "access")
def access(t: Thread, path: int, mode: int) -> int:
    """Tell whether a file may be used."""
    return _access(t, AT_FDCWD, t.mem.cstr(path), mode)


@syscall(307, "faccessat")
def faccessat(t: Thread, dirfd: int, path: int, mode: int) -> int:
    """Tell whether a file may be used, relative to a directory."""
    return _access(t, signed(dirfd), t.mem.cstr(path), mode)


@syscall(439, "faccessat2")
def faccessat2(t: Thread, dirfd: int, path: int, mode: int, flags: int) -> int:
    """Tell whether a file may be used, with flags."""
    return _access(t, signed(dirfd), t.mem.cstr(path), mode, flags)


# ---- mode and owner ----


def _chmod(t: Thread, dirfd: int, path: int, mode: int, flags: int = 0) -> int:
    if flags & ~(_NOFOLLOW | _EMPTY_PATH):
        return -errno.EINVAL
    follow, empty_ok = not flags & _NOFOLLOW, bool(flags & _EMPTY_PATH)
    with t.process.vfs.node(dirfd, t.mem.cstr(path), follow=follow, empty_ok=empty_ok) as place:
        place.check_writable()
        return host.syscall(Sys.FCHMODAT, AT_FDCWD, place.host_path(), mode & 0o7777)


@syscall(15, "chmod")
def chmod(t: Thread, path: int, mode: int) -> int:
    """Set a file's permissions."""
    return _chmod(t, AT_FDCWD, path, mode)


@syscall(306, "fchmodat")
def fchmodat(t: Thread, dirfd: int, path: int, mode: int) -> int:
    """Set a file's permissions, relative to a directory."""
    return _chmod(t, signed(dirfd), path, mode)


@syscall(452, "fchmodat2")
def fchmodat2(t: Thread, dirfd: int, path: int, mode: int, flags: int) -> int:
    """Set a file's permissions, with flags."""
    return _chmod(t, signed(dirfd), path, mode, flags)


@syscall(94, "fchmod")
def fchmod(t: Thread, fd: int, mode: int) -> int:
    """Set an open file's permissions."""
    with t.process.vfs.lock:
        t.process.vfs.check_change(fd)
        return host.syscall(Sys.FCHMOD, fd, mode & 0o7777)


def _chown(
    t: Thread, dirfd: int, path: bytes, user: int, group: int, *, follow: bool, empty_ok: bool
) -> int:
    with t.process.vfs.node(dirfd, path, follow=follow, empty_ok=empty_ok) as place:
        place.check_writable()
        return host.syscall(Sys.FCHOWNAT, place.fd, b"", user, group, _EMPTY_PATH)


def _id16(value: int) -> int:
    value &= 0xFFFF
    return _NO_ID if value == 0xFFFF else value


@syscall(212, "chown32")
def chown32(t: Thread, path: int, user: int, group: int) -> int:
    """Set a file's owner."""
    return _chown(t, AT_FDCWD, t.mem.cstr(path), user, group, follow=True, empty_ok=False)


@syscall(198, "lchown32")
def lchown32(t: Thread, path: int, user: int, group: int) -> int:
    """Set the owner of a file or link."""
    return _chown(t, AT_FDCWD, t.mem.cstr(path), user, group, follow=False, empty_ok=False)


@syscall(207, "fchown32")
def fchown32(t: Thread, fd: int, user: int, group: int) -> int:
    """Set an open file's owner."""
    with t.process.vfs.lock:
        t.process.vfs.check_change(fd)
        return host.syscall(Sys.FCHOWN, fd, user, group)


@syscall(298, "fchownat")
def fchownat(t: Thread, dirfd: int, path: int, user: int, group: int, flags: int) -> int:
    """Set a file's owner, relative to a directory."""
    if flags & ~(_NOFOLLOW | _EMPTY_PATH):
        return -errno.EINVAL
    follow, empty_ok = not flags & _NOFOLLOW, bool(flags & _EMPTY_PATH)
    name = t.mem.cstr(path)
    return _chown(t, signed(dirfd), name, user, group, follow=follow, empty_ok=empty_ok)


@syscall(182, "chown")
def chown(t: Thread, path: int, user: int, group: int) -> int:
    """Set a file's owner, with 16-bit numbers."""
    return chown32(t, path, _id16(user), _id16(group))


@syscall(16, "lchown")
def lchown(t: Thread, path: int, user: int, group: int) -> int:
    """Set the owner of a file or link, with 16-bit numbers."""
    return lchown32(t, path, _id16(user), _id16(group))


@syscall(95, "fchown")
def fchown(t: Thread, fd: int, user: int, group: int) -> int:
    """Set an open file's owner, with 16-bit numbers."""
    return fchown32(t, fd, _id16(user), _id16(group))


# ---- times ----


def _set_times(
    t: Thread, dirfd: int, path: bytes | None, times: list[int] | None, flags: int = 0
) -> int:
    """Set both times; *times* is seconds, nanoseconds, twice."""
    packed = None if times is None else struct.pack("<4q", *times)
    if path is None:
        with t.process.vfs.lock:
            t.process.vfs.check_change(dirfd)
            return host.syscall(Sys.UTIMENSAT, dirfd, 0, packed or 0, 0)
    follow, empty_ok = not flags & _NOFOLLOW, bool(flags & _EMPTY_PATH)
    with t.process.vfs.node(dirfd, path, follow=follow, empty_ok=empty_ok) as place:
        place.check_writable()
        return host.syscall(Sys.UTIMENSAT, AT_FDCWD, place.host_path(), packed or 0, 0)


def _micro(values: tuple[int, ...]) -> list[int]:
    if not all(0 <= part < 1_000_000 for part in values[1::2]):
        raise OSError(errno.EINVAL, "microseconds")
    return [values[0], values[1] * 1000, values[2], values[3] * 1000]


@syscall(30, "utime")
def utime(t: Thread, path: int, address: int) -> int:
    """Set a file's times, in seconds."""
    times = None
    if address:
        atime, mtime = struct.unpack("<ii", t.mem.read(address, 8))
        times = [atime, 0, mtime, 0]
    return _set_times(t, AT_FDCWD, t.mem.cstr(path), times)


@syscall(271, "utimes")
def utimes(t: Thread, path: int, address: int) -> int:
    """Set a file's times, in microseconds."""
    times = _micro(struct.unpack("<4i", t.mem.read(address, 16))) if address else None
    return _set_times(t, AT_FDCWD, t.mem.cstr(path), times)


@syscall(299, "futimesat")
def futimesat(t: Thread, dirfd: int, path: int, address: int) -> int:
    """Set a file's times, in microseconds, relative to a directory."""
    times = _micro(struct.unpack("<4i", t.mem.read(address, 16))) if address else None
    return _set_times(t, signed(dirfd), t.mem.cstr(path) if path else None, times)


def _utimensat(t: Thread, dirfd: int, path: int, address: int, flags: int, form: str) -> int:
    if flags & ~(_NOFOLLOW | _EMPTY_PATH):
        return -errno.EINVAL
    times = None
    if address:
        times = list(struct.unpack(form, t.mem.read(address, struct.calcsize(form))))
        if times[1] == times[3] == _UTIME_OMIT:
            return 0
    return _set_times(t, signed(dirfd), t.mem.cstr(path) if path else None, times, flags)


@syscall(320, "utimensat")
def utimensat(t: Thread, dirfd: int, path: int, address: int, flags: int) -> int:
    """Set a file's times, in nanoseconds; 32-bit time."""
    return _utimensat(t, dirfd, path, address, flags, "<4i")


@syscall(412, "utimensat_time64")
def utimensat_time64(t: Thread, dirfd: int, path: int, address: int, flags: int) -> int:
    """Set a file's times, in nanoseconds; 64-bit time."""
    return _utimensat(t, dirfd, path, address, flags, "<qi4xqi4x")


# ---- size and file system ----


def _truncate(t: Thread, path: bytes, size: int) -> int:
    with t.process.vfs.node(AT_FDCWD, path) as place:
        if place.is_directory():
            return -errno.EISDIR
        place.check_writable()
        return host.syscall(Sys.TRUNCATE, place.host_path(), size)


@syscall(92, "truncate")
def truncate(t: Thread, path: int, size: int) -> int:
    """Set a file's size."""
    return _truncate(t, t.mem.cstr(path), signed(size))


@syscall(193, "truncate64")
def truncate64(t: Thread, path: int, low: int, high: int) -> int:
    """Set a file's size."""
    return _truncate(t, t.mem.cstr(path), offset64(low, high))


_HOST_STATFS = struct.Struct("<qq5Qiiqqq32x")
_STATFS64 = struct.Struct("<II5QiiIII16x")
_STATFS32 = struct.Struct("<7IiiIII16x")
_PROC_MAGIC, _ST_RDONLY, _ST_VALID = 0x9FA0, 1, 0x20


def _statfs_fields(fd: int, readonly: bool) -> list[int]:
    buffer = ctypes.create_string_buffer(_HOST_STATFS.size)
    host.check(host.syscall(Sys.FSTATFS, fd, ctypes.addressof(buffer)))
    fields = list(_HOST_STATFS.unpack(buffer.raw))
    if readonly:
        fields[11] |= _ST_RDONLY
    return fields


def _place_statfs(place: Place) -> list[int]:
    if place.node is not None:
        return [_PROC_MAGIC, 4096, 0, 0, 0, 0, 0, 0, 0, 255, 4096, _ST_VALID | _ST_RDONLY]
    return _statfs_fields(place.fd, place.mount is not None and place.mount.readonly)


def _fd_statfs(t: Thread, fd: int) -> list[int]:
    with t.process.vfs.node(signed(fd), b"", empty_ok=True) as place:
        return _place_statfs(place)


def _path_statfs(t: Thread, path: int) -> list[int]:
    with t.process.vfs.node(AT_FDCWD, t.mem.cstr(path)) as place:
        return _place_statfs(place)


def _put_statfs(t: Thread, address: int, fields: list[int], form: struct.Struct) -> int:
    if form is _STATFS32:
        # Inode counts may be all ones ("unknown"); block counts must fit.
        if any(value >> 32 for value in fields[2:5]):
            return -errno.EOVERFLOW
        fields[5:7] = [min(value, 0xFFFFFFFF) for value in fields[5:7]]
    fields[0] &= 0xFFFFFFFF
    t.mem.write(address, form.pack(*fields))
    return 0


@syscall(99, "statfs")
def statfs(t: Thread, path: int, address: int) -> int:
    """Tell about a file system, with 32-bit counts."""
    return _put_statfs(t, address, _path_statfs(t, path), _STATFS32)


@syscall(100, "fstatfs")
def fstatfs(t: Thread, fd: int, address: int) -> int:
    """Tell about an open file's file system, with 32-bit counts."""
    return _put_statfs(t, address, _fd_statfs(t, fd), _STATFS32)


@syscall(268, "statfs64")
def statfs64(t: Thread, path: int, size: int, address: int) -> int:
    """Tell about a file system."""
    if size != _STATFS64.size:
        return -errno.EINVAL
    return _put_statfs(t, address, _path_statfs(t, path), _STATFS64)


@syscall(269, "fstatfs64")
def fstatfs64(t: Thread, fd: int, size: int, address: int) -> int:
    """Tell about an open file's file system."""
    if size != _STATFS64.size:
        return -errno.EINVAL
    return _put_statfs(t, address, _fd_statfs(t, fd), _STATFS64)
