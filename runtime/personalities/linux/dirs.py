"""System calls on directories and names: listing, making, removing, renaming, linking."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from typing import TYPE_CHECKING, NamedTuple

from runtime import host
from runtime.host import Sys
from runtime.personalities.linux.openat2 import AT_FDCWD
from runtime.personalities.linux.table import signed, syscall
from runtime.personalities.linux.virtual import Dir, FdLink, Link

if TYPE_CHECKING:
    from runtime.personalities.linux.fds import Opened
    from runtime.personalities.linux.threads import Thread

_REMOVEDIR, _SYMLINK_FOLLOW, _EMPTY_PATH = 0x200, 0x400, 0x1000
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2
_LISTING = 32768


class Entry(NamedTuple):
    """One directory entry; *offset* is where the listing goes on behind it."""

    ino: int
    offset: int
    kind: int
    name: bytes


# ---- listing ----


def _entries(t: Thread, fd: int, size: int) -> tuple[Opened | None, list[Entry], bool]:
    """Return the next entries of a directory and whether they come from the host.

    The host gives about *size* bytes of them.
    """
    vfs = t.process.vfs
    record = vfs.fds.records.get(vfs.fds.check(fd))
    if record is not None and record.node is not None:
        if not isinstance(record.node, Dir):
            raise OSError(errno.ENOTDIR, "not a directory")
        return record, _made_up(t, record, record.node), False
    buffer = ctypes.create_string_buffer(max(min(size, _LISTING), 64))
    start = ctypes.addressof(buffer)
    count = host.check(host.syscall(Sys.GETDENTS64, fd, start, len(buffer)))
    if not count and record is not None and record.path in vfs.table.children:
        return record, _added(t, fd, record), False
    found, at, raw = [], 0, buffer.raw[:count]
    while at < count:
        ino, offset, length, kind = struct.unpack_from("<QqHB", raw, at)
        name = raw[at + 19 : raw.index(0, at + 19)]
        if record is not None:
            # The host's offsets may need 64 bits, which 32-bit programs refuse.
            record.offsets.append(offset)
            offset = len(record.offsets)
        found.append(Entry(ino, offset, kind, name))
        at += length
    return record, found, True


def _made_up(t: Thread, record: Opened, node: Dir) -> list[Entry]:
    """Return what is left of a synthesised directory."""
    children = t.process.vfs.table.children.get(record.path, set())
    names = [b".", b"..", *dict.fromkeys([*node.names(), *sorted(children)])]
    found = []
    for index, name in enumerate(names[record.position :], record.position + 1):
        entry = node.lookup(name)
        kind = stat.S_IFDIR if entry is None else stat.S_IFMT(entry.mode)
        found.append(Entry(index, index, kind >> 12, name))
    return found


def _added(t: Thread, fd: int, record: Opened) -> list[Entry]:
    """Return the names below a host directory that only mounts put there."""
    missing = []
    for name in sorted(t.process.vfs.table.children[record.path]):
        try:
            os.stat(name, dir_fd=fd, follow_symlinks=False)
        except OSError:
            missing.append(name)
    base = len(record.offsets)
    return [
        Entry(base + index + 1, base, stat.S_IFDIR >> 12, name)
        for index, name in enumerate(missing)
        if index >= record.position
    ]


def _list(t: Thread, fd: int, address: int, size: int, is_new: bool) -> int:
    vfs = t.process.vfs
    with vfs.lock:
        record, entries, is_host = _entries(t, fd, size)
        out = bytearray()
        taken = 0
        for entry in entries:
            data = _pack64(entry) if is_new else _pack32(entry)
            if len(out) + len(data) > size:
                break
            out += data
            taken += 1
        if record is not None and not is_host:
            record.position += taken
        elif record is not None and taken < len(entries):
            _go_back(fd, record, len(entries) - taken)
        elif taken < len(entries):
            os.lseek(fd, entries[taken - 1].offset if taken else 0, os.SEEK_SET)
        if entries and not taken:
            return -errno.EINVAL
        t.mem.write(address, bytes(out))
        return len(out)


def _go_back(fd: int, record: Opened, count: int) -> None:
    """Give back the last *count* entries of a host directory."""
    del record.offsets[-count:]
    os.lseek(fd, record.offsets[-1] if record.offsets else 0, os.SEEK_SET)


def _pack64(entry: Entry) -> bytes:
    length = (19 + len(entry.name) + 1 + 7) & ~7
    head = struct.pack("<QqHB", entry.ino, entry.offset, length, entry.kind)
    return (head + entry.name).ljust(length, b"\0")


def _pack32(entry: Entry) -> bytes:
    length = (10 + len(entry.name) + 2 + 3) & ~3
    head = struct.pack("<IIH", entry.ino & 0xFFFFFFFF, entry.offset & 0xFFFFFFFF, length)
    return (head + entry.name).ljust(length - 1, b"\0") + bytes([entry.kind])


@syscall(220, "getdents64")
def getdents64(t: Thread, fd: int, address: int, size: int) -> int:
    """List a directory."""
    return _list(t, fd, address, size, True)


@syscall(141, "getdents")
def getdents(t: Thread, fd: int, address: int, size: int) -> int:
    """List a directory, with 32-bit inode numbers."""
    return _list(t, fd, address, size, False)


# ---- making and removing ----


def _mkdir(t: Thread, dirfd: int, path: int, mode: int) -> int:
    with t.process.vfs.parent(dirfd, t.mem.cstr(path)) as place:
        place.creating()
        return host.syscall(Sys.MKDIRAT, place.fd, place.name, mode & 0o7777)


@syscall(39, "mkdir")
def mkdir(t: Thread, path: int, mode: int) -> int:
    """Make a directory."""
    return _mkdir(t, AT_FDCWD, path, mode)


@syscall(296, "mkdirat")
def mkdirat(t: Thread, dirfd: int, path: int, mode: int) -> int:
    """Make a directory, relative to another."""
    return _mkdir(t, signed(dirfd), path, mode)


def _unlink(t: Thread, dirfd: int, path: int, flags: int) -> int:
    if flags & ~_REMOVEDIR:
        return -errno.EINVAL
    with t.process.vfs.parent(dirfd, t.mem.cstr(path)) as place:
        place.removing()
        return host.syscall(Sys.UNLINKAT, place.fd, place.name, flags)


@syscall(10, "unlink")
def unlink(t: Thread, path: int) -> int:
    """Remove a name."""
    return _unlink(t, AT_FDCWD, path, 0)


@syscall(40, "rmdir")
def rmdir(t: Thread, path: int) -> int:
    """Remove an empty directory."""
    return _unlink(t, AT_FDCWD, path, _REMOVEDIR)


@syscall(301, "unlinkat")
def unlinkat(t: Thread, dirfd: int, path: int, flags: int) -> int:
    """Remove a name, relative to a directory."""
    return _unlink(t, signed(dirfd), path, flags)


def _mknod(t: Thread, dirfd: int, path: int, mode: int, device: int) -> int:
    kind = stat.S_IFMT(mode)
    if kind in (stat.S_IFCHR, stat.S_IFBLK) and not t.process.vfs.host_fs:
        return -errno.EPERM  # a device would lead out of the file tree
    with t.process.vfs.parent(dirfd, t.mem.cstr(path)) as place:
        place.creating()
        return host.syscall(Sys.MKNODAT, place.fd, place.name, mode, device)


@syscall(14, "mknod")
def mknod(t: Thread, path: int, mode: int, device: int) -> int:
    """Make a FIFO or an empty file."""
    return _mknod(t, AT_FDCWD, path, mode, device)


@syscall(297, "mknodat")
def mknodat(t: Thread, dirfd: int, path: int, mode: int, device: int) -> int:
    """Make a FIFO or an empty file, relative to a directory."""
    return _mknod(t, signed(dirfd), path, mode, device)


# ---- renaming and linking ----


def _rename(t: Thread, old_dir: int, old: int, new_dir: int, new: int, flags: int) -> int:
    vfs = t.process.vfs
    old_path, new_path = t.mem.cstr(old), t.mem.cstr(new)
    with vfs.parent(old_dir, old_path) as source, vfs.parent(new_dir, new_path) as target:
        source.removing()
        if target.is_point:
            return -errno.EBUSY
        if source.mount is not target.mount:
            return -errno.EXDEV
        if flags:
            call = Sys.RENAMEAT2, source.fd, source.name, target.fd, target.name, flags
            result = host.syscall(*call)
        else:
            result = host.syscall(Sys.RENAMEAT, source.fd, source.name, target.fd, target.name)
        if result == 0:
            if flags & _RENAME_EXCHANGE:
                aside = source.path + b"/\0"
                vfs.renamed(target.path, aside)
                vfs.renamed(source.path, target.path)
                vfs.renamed(aside, source.path)
            else:
                vfs.renamed(source.path, target.path)
        return result


@syscall(38, "rename")
def rename(t: Thread, old: int, new: int) -> int:
    """Rename a file."""
    return _rename(t, AT_FDCWD, old, AT_FDCWD, new, 0)


@syscall(302, "renameat")
def renameat(t: Thread, old_dir: int, old: int, new_dir: int, new: int) -> int:
    """Rename a file, relative to directories."""
    return _rename(t, signed(old_dir), old, signed(new_dir), new, 0)


@syscall(353, "renameat2")
def renameat2(t: Thread, old_dir: int, old: int, new_dir: int, new: int, flags: int) -> int:
    """Rename a file, with flags."""
    if flags & ~(_RENAME_NOREPLACE | _RENAME_EXCHANGE):
        return -errno.EINVAL  # white-outs are devices
    return _rename(t, signed(old_dir), old, signed(new_dir), new, flags)


def _link(t: Thread, old_dir: int, old: int, new_dir: int, new: int, flags: int) -> int:
    if flags & ~(_SYMLINK_FOLLOW | _EMPTY_PATH):
        return -errno.EINVAL
    vfs = t.process.vfs
    old_path, new_path = t.mem.cstr(old), t.mem.cstr(new)
    follow, empty_ok = bool(flags & _SYMLINK_FOLLOW), bool(flags & _EMPTY_PATH)
    with vfs.node(old_dir, old_path, follow=follow, empty_ok=empty_ok) as source:
        if source.fd >= 0 and source.is_directory():
            return -errno.EPERM
        with vfs.parent(new_dir, new_path) as target:
            target.creating()
            if source.mount is not target.mount:
                return -errno.EXDEV
            name = source.host_path()
            where = target.fd, target.name, _SYMLINK_FOLLOW
            return host.syscall(Sys.LINKAT, AT_FDCWD, name, *where)


@syscall(9, "link")
def link(t: Thread, old: int, new: int) -> int:
    """Give a file another name."""
    return _link(t, AT_FDCWD, old, AT_FDCWD, new, 0)


@syscall(303, "linkat")
def linkat(t: Thread, old_dir: int, old: int, new_dir: int, new: int, flags: int) -> int:
    """Give a file another name, relative to directories."""
    return _link(t, signed(old_dir), old, signed(new_dir), new, flags)


def _symlink(t: Thread, target: int, dirfd: int, path: int) -> int:
    text = t.mem.cstr(target)
    with t.process.vfs.parent(dirfd, t.mem.cstr(path)) as place:
        place.creating()
        return host.syscall(Sys.SYMLINKAT, text, place.fd, place.name)


@syscall(83, "symlink")
def symlink(t: Thread, target: int, path: int) -> int:
    """Make a symbolic link."""
    return _symlink(t, target, AT_FDCWD, path)


@syscall(304, "symlinkat")
def symlinkat(t: Thread, target: int, dirfd: int, path: int) -> int:
    """Make a symbolic link, relative to a directory."""
    return _symlink(t, target, signed(dirfd), path)


def _readlink(t: Thread, dirfd: int, path: int, address: int, size: int) -> int:
    if signed(size) <= 0:
        return -errno.EINVAL
    name = t.mem.cstr(path)
    vfs = t.process.vfs
    with vfs.node(dirfd, name, follow=False, empty_ok=not name and dirfd != AT_FDCWD) as place:
        if isinstance(place.node, Link):
            text = place.node.target()
        elif isinstance(place.node, FdLink):
            text = vfs.fd_path(place.node.fd)
        elif place.node is not None:
            return -errno.EINVAL
        else:
            try:
                text = os.readlink(b"", dir_fd=place.fd)
            except FileNotFoundError:  # what the host says of an empty path that is no link
                return -errno.EINVAL if name else -errno.ENOENT
    t.mem.write(address, text[:size])
    return min(len(text), size)


@syscall(85, "readlink")
def readlink(t: Thread, path: int, address: int, size: int) -> int:
    """Tell where a symbolic link points."""
    return _readlink(t, AT_FDCWD, path, address, size)


@syscall(305, "readlinkat")
def readlinkat(t: Thread, dirfd: int, path: int, address: int, size: int) -> int:
    """Tell where a symbolic link points, relative to a directory."""
    return _readlink(t, signed(dirfd), path, address, size)


# ---- the current directory ----


@syscall(183, "getcwd")
def getcwd(t: Thread, address: int, size: int) -> int:
    """Tell the current directory."""
    path = t.process.vfs.getcwd() + b"\0"
    if len(path) > size:
        return -errno.ERANGE
    t.mem.write(address, path)
    return len(path)


@syscall(12, "chdir")
def chdir(t: Thread, path: int) -> int:
    """Change the current directory."""
    return t.process.vfs.chdir(AT_FDCWD, t.mem.cstr(path))


@syscall(133, "fchdir")
def fchdir(t: Thread, fd: int) -> int:
    """Change the current directory to an open one."""
    return t.process.vfs.chdir(fd, b"", empty_ok=True)


@syscall(60, "umask")
def umask(t: Thread, mask: int) -> int:
    """Set the mask for the modes of new files."""
    return os.umask(mask & 0o777)
