"""Opening guest paths that take more than one host call: links, mount points, made-up files."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import TYPE_CHECKING

from runtime.personalities.linux import devfs
from runtime.personalities.linux.fds import Opened
from runtime.personalities.linux.openat2 import open_beneath, path_beneath
from runtime.personalities.linux.paths import CHANGES, CREATES, MAX_LINKS, ODD
from runtime.personalities.linux.virtual import Dir, FdLink, File, HostFile, Link, Node

if TYPE_CHECKING:
    from runtime.personalities.linux.mounts import Mount
    from runtime.personalities.linux.place import Place
    from runtime.personalities.linux.vfs import Vfs


def open_slowly(vfs: Vfs, base: Place, path: bytes, flags: int, mode: int) -> int:
    """Open by way of a walk to the directory, following a link at the end ourselves."""
    follow = not flags & os.O_NOFOLLOW and flags & (os.O_CREAT | os.O_EXCL) != (
        os.O_CREAT | os.O_EXCL
    )
    if path.endswith(b"/"):
        if flags & os.O_CREAT:
            return -errno.EISDIR
        flags |= os.O_DIRECTORY
        follow = True
    named, is_stable = path, base is vfs.root and not ODD.search(path)
    for count in range(MAX_LINKS):
        with vfs.lock:
            place = vfs.walk(base, path, follow=False, parent=True).lasting(vfs.fds)
        name = place.name.rstrip(b"/")
        is_stable = is_stable and place.is_stable
        target = _entry_link(place) if follow else None
        if isinstance(target, bytes):
            base, path = place.directory(), target
            if path.startswith(b"/"):
                base = vfs.root
            continue
        if isinstance(target, FdLink):
            return _reopen(vfs, target.fd, flags)
        if place.is_point or place.node is not None:
            return _open_special(vfs, place, flags)
        assert place.mount is not None
        result = _open_name(vfs, place, place.mount, name, flags, mode)
        if result == -errno.ELOOP and follow:
            path = os.readlink(name, dir_fd=place.fd)
            base = vfs.root if path.startswith(b"/") else place.directory()
            if path.endswith(b"/"):
                flags |= os.O_DIRECTORY
            continue
        if result >= 0 and count and is_stable:
            vfs.remember_link(named, place.path)
        return result
    return -errno.ELOOP


def _entry_link(place: Place) -> bytes | FdLink | None:
    entry = place.entry
    if isinstance(entry, Link):
        return entry.target()
    return entry if isinstance(entry, FdLink) else None


def _open_name(vfs: Vfs, place: Place, mount: Mount, name: bytes, flags: int, mode: int) -> int:
    """Open a name of a host directory; -ELOOP if it is a link."""
    if mount.readonly and flags & CHANGES:
        is_new = flags & os.O_CREAT and flags & os.O_EXCL
        result = path_beneath(place.fd, name, os.O_NOFOLLOW if is_new else 0)
        if result == -errno.ENOENT and flags & CREATES:
            return -errno.EROFS
        if result < 0:
            return result
        kind = os.fstat(result).st_mode
        os.close(result)
        if is_new:
            return -errno.EEXIST
        flags &= ~os.O_CREAT
        if flags & CHANGES and not stat.S_ISFIFO(kind) and not stat.S_ISCHR(kind):
            return -errno.EISDIR if stat.S_ISDIR(kind) else -errno.EROFS
    result = open_beneath(place.fd, name, flags, mode)
    if result == -errno.ELOOP and flags & os.O_CREAT and flags & os.O_EXCL:
        return -errno.EEXIST
    if result >= 0:
        full = place.path if name != b"." else place.directory().path
        vfs.fds.records[result] = Opened(full, mount)
    return result


def _open_special(vfs: Vfs, place: Place, flags: int) -> int:
    """Open a mount point or something synthesised."""
    if place.name == b".":
        there = place.directory()
    else:
        is_new = place.node is not None and place.entry is None and not place.is_point
        if is_new and flags & CREATES:
            return -errno.EROFS
        with vfs.lock:
            there = vfs.step(place.directory(), place.name.rstrip(b"/"))
    if flags & os.O_CREAT and flags & os.O_EXCL:
        return -errno.EEXIST
    if there.node is None:
        assert there.mount is not None
        if there.mount.readonly and flags & (CHANGES & ~os.O_CREAT):
            return -errno.EISDIR if there.is_directory() else -errno.EROFS
        flags &= ~os.O_CREAT
        if there.is_directory():
            result = open_beneath(there.fd, b".", flags)
        else:
            result = _open_again(there.fd, flags)
        if result >= 0:
            vfs.fds.records[result] = Opened(there.path, there.mount)
        return result
    return open_node(vfs, there, there.node, flags)


def open_node(vfs: Vfs, place: Place, node: Node, flags: int) -> int:
    """Open a synthesised file: a descriptor of a memory file that holds its contents."""
    if isinstance(node, HostFile):
        flags &= ~(os.O_CREAT | os.O_TRUNC)
        fd = os.open(node.host_path, flags | os.O_CLOEXEC)
        os.set_inheritable(fd, not flags & os.O_CLOEXEC)
        vfs.fds.records[fd] = Opened(place.path, place.mount)
        return fd
    if isinstance(node, Link | FdLink):
        if not flags & os.O_PATH:
            return -errno.ELOOP
    elif flags & (CHANGES & ~os.O_CREAT):
        return -errno.EISDIR if isinstance(node, Dir) else -errno.EACCES
    elif flags & os.O_DIRECTORY and not isinstance(node, Dir):
        return -errno.ENOTDIR
    content = node.content() if isinstance(node, File) else b""
    fd = os.memfd_create("jitemu", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    if content:
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
    devfs.seal(fd)
    os.set_inheritable(fd, not flags & os.O_CLOEXEC)
    vfs.fds.records[fd] = Opened(place.path, place.mount, node)
    return fd


def _reopen(vfs: Vfs, fd: int, flags: int) -> int:
    """Open what descriptor *fd* shows once more, as opening /proc/self/fd/*fd* does."""
    flags &= ~(os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)
    with vfs.lock:
        place = vfs.self_place(fd)
        status = os.fstat(fd)
        if place.node is not None:
            return open_node(vfs, place, place.node, flags)
        if place.mount is not None:
            if place.mount.readonly and flags & CHANGES and stat.S_ISREG(status.st_mode):
                return -errno.EROFS
        elif not _is_free(status.st_mode) and not _allows(fd, flags):
            return -errno.EACCES
        kept = vfs.fds.reserve_copy(fd)
    try:
        result = _open_again(kept, flags)
    finally:
        vfs.fds.release(kept)
    if result >= 0:
        vfs.fds.records[result] = Opened(place.path, place.mount)
        if place.mount is None:
            del vfs.fds.records[result]
    return result


def _open_again(fd: int, flags: int) -> int:
    path = b"/proc/self/fd/%d" % fd
    try:
        new = os.open(path, flags | os.O_CLOEXEC)
    except OSError as error:
        return -(error.errno or errno.EIO)
    os.set_inheritable(new, not flags & os.O_CLOEXEC)
    return new


def _is_free(mode: int) -> bool:
    """Say whether an inherited thing of this kind may be opened again in any way."""
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def _allows(fd: int, flags: int) -> bool:
    """Say whether an inherited file was opened for at least what *flags* ask for."""
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        return False
    have = fcntl.fcntl(fd, fcntl.F_GETFL)
    if have & os.O_PATH:
        return False
    wanted, access = flags & os.O_ACCMODE, have & os.O_ACCMODE
    can_write = access in (os.O_WRONLY, os.O_RDWR)
    if flags & os.O_TRUNC and not can_write:
        return False
    return access == os.O_RDWR or wanted == access
