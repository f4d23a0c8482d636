"""Guest paths in, confined host descriptors out: the file tree as the guest sees it.

Every path is resolved here. The host resolves only single names, or paths without links and `..`
below a directory of one mount; links, `..` and mount points are interpreted in the guest's tree.
Results are descriptors, so a final *at() call cannot be led astray by a rename in between.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from typing import TYPE_CHECKING

from runtime.personalities.linux import devfs, mounts, procfs, sysfs
from runtime.personalities.linux.fds import FdTable, Opened
from runtime.personalities.linux.mounts import Mount, MountTable
from runtime.personalities.linux.openat2 import (
    AT_FDCWD,
    open_beneath,
    path_beneath,
    to_host,
)
from runtime.personalities.linux.opening import open_slowly
from runtime.personalities.linux.paths import CHANGES, MAX_LINKS, ODD
from runtime.personalities.linux.place import Held, Place, fail
from runtime.personalities.linux.scratch import ScratchDir
from runtime.personalities.linux.virtual import Dir, FdLink, Link, Node

if TYPE_CHECKING:
    from runtime.personalities.linux.options import LinuxOptions
    from runtime.personalities.linux.process import Process

GAP = Dir()  # a directory that exists only because a mount is below it
_CACHE_LIMIT = 4096


class Vfs:
    """The guest's file tree, its current directory and its descriptors' records.

    `lock` guards the current directory, the records and the temporary descriptors of a walk.
    """

    host_fs = False

    def __init__(
        self, options: LinuxOptions, program: bytes | None = None, cwd: bytes | None = None
    ) -> None:
        self.process: Process | None = None  # whose files /proc/self describes
        self.release = options.release
        self.terminals = devfs.own_terminals()  # numbers below /dev/pts that the guest may open
        self.lock = threading.RLock()
        self.fds = FdTable()
        self.table = MountTable()
        self.scratch: ScratchDir | None = None
        self._canonical: dict[bytes, bytes] = {}  # directory as named -> without links, if lasting
        self._links: dict[bytes, bytes] = {}  # the same for what the last name links to
        self._mount_all(options, program, os.getcwdb() if cwd is None else cwd)

    def _mount_all(self, options: LinuxOptions, program: bytes | None, cwd: bytes) -> None:
        add, add_host = self.table.add, self.table.add_host
        sysroot = os.path.realpath(os.fsencode(options.sysroot)) if options.sysroot else None
        if sysroot:
            add_host(self.fds, mounts.MountRequest(sysroot, b"/", True))
        else:
            add(Mount(b"/", -1, True, node=Dir()))
        top = self.table.points[b"/"]
        self.root = self.cwd = Place(top.fd, b"/", top, top.node)
        private = ScratchDir(self.fds)
        self.scratch = private
        add_host(self.fds, mounts.MountRequest(private.path + b"/tmp", b"/tmp", False))
        if sysroot and program and program.startswith(b"/") and self.exists(program):
            program = None  # the sysroot's own
        for request in mounts.default_requests(sysroot, program, cwd):
            add_host(self.fds, request)
        add(Mount(b"/proc", -1, True, node=procfs.root(self)))
        add(Mount(b"/sys", -1, True, node=sysfs.root()))
        add(Mount(b"/dev", -1, True, node=devfs.root(self)))
        add_host(self.fds, mounts.MountRequest(private.path + b"/shm", b"/dev/shm", False))
        for text in options.mounts:
            add_host(self.fds, mounts.parse_mount(text))
        self.table.find_stable()
        with contextlib.suppress(OSError):  # not shown to the guest: it starts at its root
            self.chdir(AT_FDCWD, cwd)

    # ---- what handlers call ----

    def open(self, dirfd: int, path: bytes, flags: int, mode: int = 0) -> int:
        """Open for the guest: a guest descriptor or -errno. *flags* are the guest's."""
        flags = to_host(flags)
        base = self.base(dirfd, path)
        direct = self._direct(base, path, follow=not flags & os.O_NOFOLLOW)
        if direct is not None:
            fd, rest, full, mount = direct
            if not (mount.readonly and flags & CHANGES):
                result = open_beneath(fd, rest, flags, mode)
                if result >= 0:
                    self.fds.records[result] = Opened(full, mount)
                    return result
                if result == -errno.ENOENT:
                    if full not in self.table.gaps:
                        return result
                elif result not in (-errno.ELOOP, -errno.EXDEV, -errno.EAGAIN):
                    return result
        return open_slowly(self, base, path, flags, mode)

    def node(self, dirfd: int, path: bytes, *, follow: bool = True, empty_ok: bool = False) -> Held:
        """Show, with the lock held, what a path names: an O_PATH descriptor or a made-up node.

        To be used in a `with` statement, which gives the Place.
        """
        self.lock.acquire()
        try:
            return Held(self.find(dirfd, path, follow, empty_ok), self.lock)
        except BaseException:
            self.lock.release()
            raise

    def parent(self, dirfd: int, path: bytes) -> Held:
        """Show the directory of the last name of a path, for calls that make or remove names.

        `place.fd` and `place.name` go to the host's *at() call; `place.path` is the name's path.
        """
        self.lock.acquire()
        try:
            return Held(self.find_parent(dirfd, path), self.lock)
        except BaseException:
            self.lock.release()
            raise

    def find(self, dirfd: int, path: bytes, follow: bool, empty_ok: bool) -> Place:
        """Return what a path names; the lock is held."""
        if not path and empty_ok:
            return self.self_place(dirfd)
        base = self._base_now(dirfd, path)
        direct = self._direct(base, path, follow)
        if direct is not None:
            fd, rest, full, mount = direct
            result = path_beneath(fd, rest, 0 if follow else os.O_NOFOLLOW)
            if result >= 0:
                return Place(result, full, mount, None, "temporary")
            if result == -errno.ENOENT:
                if full not in self.table.gaps:
                    raise OSError(errno.ENOENT, "no such file")
            elif result not in (-errno.ELOOP, -errno.EXDEV, -errno.EAGAIN):
                raise fail(-result)
        return self.walk(base, path, follow)

    def find_parent(self, dirfd: int, path: bytes) -> Place:
        """Return the directory of the last name of a path; the lock is held."""
        return self.walk(self._base_now(dirfd, path), path, follow=False, parent=True)

    def chdir(self, dirfd: int, path: bytes, *, empty_ok: bool = False) -> int:
        """Change the current directory."""
        with self.node(dirfd, path, empty_ok=empty_ok) as place:
            if not place.is_directory():
                return -errno.ENOTDIR
            if place.mount is None:
                return -errno.EACCES  # an inherited directory leads out
            if place.fd >= 0:
                # As the kernel checks search permission: an O_PATH descriptor proves nothing.
                os.close(os.open(b".", os.O_PATH | os.O_CLOEXEC, dir_fd=place.fd))
            self.cwd = place.lasting(self.fds)
        return 0

    def getcwd(self) -> bytes:
        """Return the guest's current directory."""
        if self.cwd.fd >= 0 and not os.fstat(self.cwd.fd).st_nlink:
            raise fail(errno.ENOENT)
        return self.cwd.path

    def exists(self, path: bytes) -> bool:
        """Say whether the guest can see *path*."""
        try:
            with self.node(AT_FDCWD, path):
                return True
        except OSError:
            return False

    def guest_path(self, path: bytes) -> bytes:
        """Return *path*, as the guest names it, in canonical form: absolute and without links."""
        with self.node(AT_FDCWD, path) as place:
            return place.path

    def fd_path(self, fd: int) -> bytes:
        """Return what /proc/self/fd/*fd* links to."""
        record = self.fds.records.get(fd)
        if record is not None and record.path:
            return record.path
        if fd in self.fds.reserved:
            raise fail(errno.ENOENT)
        return os.readlink(b"/proc/self/fd/%d" % fd)

    def record(self, fd: int, path: bytes = b"", mount: Mount | None = None) -> int:
        """Remember a descriptor that did not come from `open`."""
        self.fds.records[fd] = Opened(path, mount)
        return fd

    def check_change(self, fd: int) -> None:
        """Raise EROFS or EPERM if the guest may not change the attributes of what *fd* shows."""
        record = self.fds.records.get(self.fds.check(fd))
        if record is None:
            if fd > 0x7FFFFFFF:
                raise fail(errno.EBADF)
            # Inherited: only what has no place in a file tree.
            kind = stat.S_IFMT(os.fstat(fd).st_mode)
            if kind in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFBLK, stat.S_IFCHR):
                raise fail(errno.EPERM)
        elif record.node is not None:
            raise fail(errno.EPERM)
        elif record.mount is not None and record.mount.readonly:
            raise fail(errno.EROFS)

    def renamed(self, old: bytes, new: bytes) -> None:
        """Follow a rename of a directory in the recorded paths."""
        with self.lock:
            if mounts.is_within(self.cwd.path, old):
                self.cwd.path = new + self.cwd.path[len(old) :]
            for record in self.fds.records.values():
                if mounts.is_within(record.path, old):
                    record.path = new + record.path[len(old) :]

    def after_fork(self) -> None:
        """Give a forked child a lock that nobody holds."""
        self.lock = threading.RLock()

    def close(self) -> None:
        """Let go of the host's directories; the first process also removes its private files."""
        if self.scratch is not None:
            self.scratch.remove()
        for mount in self.table.points.values():
            self.fds.release(mount.fd)

    # ---- resolution ----

    def base(self, dirfd: int, path: bytes) -> Place:
        """Return where the resolution of *path* starts; good for use without the lock."""
        if path[:1] == b"/":
            return self.root
        with self.lock:
            return self._base_now(dirfd, path).lasting(self.fds)

    def _base_now(self, dirfd: int, path: bytes) -> Place:
        """Return where the resolution of *path* starts; good while the lock is held."""
        if path[:1] == b"/":
            return self.root
        if not path:
            raise fail(errno.ENOENT)
        return self.self_place(dirfd)

    def self_place(self, fd: int) -> Place:
        """Return what a descriptor itself shows."""
        if fd == AT_FDCWD:
            return self.cwd
        if not 0 <= fd <= 0x7FFFFFFF:
            raise fail(errno.EBADF)
        os.fstat(self.fds.check(fd))  # EBADF
        record = self.fds.records.get(fd)
        if record is None:
            return Place(fd, b"", None, None)
        return Place(fd, record.path, record.mount, record.node)

    def _direct(
        self, base: Place, path: bytes, follow: bool
    ) -> tuple[int, bytes, bytes, Mount] | None:
        """Return (host directory, path below it, canonical path, mount) if no walk seems needed."""
        if path[:2] == b"./":
            path = path.lstrip(b"./") if path[2:3] not in (b".", b"/", b"") else path
        if base.mount is None or (base.node is not None and base is not self.root):
            return None
        if ODD.search(path):
            return None
        if path[:1] == b"/":
            full = path
            if self._canonical:
                if follow and full in self._links:
                    full = self._links[full] or b"/"
                else:
                    folder, _, name = full.rpartition(b"/")
                    known = self._canonical.get(folder)
                    if known is not None:
                        full = known + b"/" + name
        else:
            full = base.path + b"/" + path if base.path != b"/" else b"/" + path
        mount = self.table.find(full)
        if mount.fd < 0 or full == mount.guest:
            return None
        if mount is base.mount and path[:1] != b"/":
            return base.fd, path, full, mount
        return mount.fd, full[len(mount.prefix) :], full, mount

    def walk(self, base: Place, path: bytes, follow: bool, parent: bool = False) -> Place:
        """Resolve name by name; the lock is held. See `node` and `parent` for the result."""
        todo = [name for name in reversed(path.split(b"/")) if name]
        needs_dir = path.endswith((b"/", b"/.")) and not parent
        follow = follow or needs_dir
        tail = b"/" if parent and path.endswith(b"/") else b""
        here, links, is_stable = base, 0, True
        if here.mount is None:
            raise fail(errno.ENOTDIR)
        try:
            while todo:
                name = todo.pop()
                if name == b".":
                    if not todo:
                        needs_dir = True
                    here.must_be_directory()
                    continue
                if name == b"..":
                    here.must_be_directory()
                    here = self._move(here, self._canonical_dir(os.path.dirname(here.path)))
                    continue
                if here.mount is None:
                    raise fail(errno.ENOTDIR)
                is_stable = is_stable and (here.mount.is_stable or here.node is not None)
                if parent and not todo:
                    self._remember(self._canonical, path, here.path, is_stable and links > 0)
                    result = self._parent_place(here, name, tail)
                    result.is_stable = is_stable
                    return result
                found = self.step(here, name)
                target = self._target(found, bool(todo) or follow)
                if target is None:
                    here = self._move(here, found)
                    continue
                links += 1
                if isinstance(target, Place):
                    here, is_stable = self._move(here, target), False  # a descriptor's own file
                    continue
                found.close()
                if links > MAX_LINKS:
                    raise fail(errno.ELOOP)
                if target.startswith(b"/"):
                    here = self._move(here, self.root)
                follow = follow or (not todo and target.endswith(b"/"))
                todo += [part for part in reversed(target.split(b"/")) if part]
            if needs_dir:
                here.must_be_directory()
            if parent:  # the path was / or ended in . or ..
                here.name = b"."
                return here
            stable = is_stable and links > 0 and here.node is None and ODD.search(path) is None
            if follow:
                self._remember(self._links, path, here.path, stable)
            return here
        except BaseException:
            here.close()
            raise

    def _remember(
        self, cache: dict[bytes, bytes], path: bytes, canonical: bytes, is_stable: bool
    ) -> None:
        """Keep the result of a walk whose links cannot change while the guest runs."""
        if not is_stable or path[:1] != b"/" or ODD.search(path):
            return
        if len(cache) >= _CACHE_LIMIT:
            cache.clear()
        if cache is self._canonical:
            path = path.rpartition(b"/")[0]
        cache[path] = canonical if canonical != b"/" else b""

    def remember_link(self, path: bytes, canonical: bytes) -> None:
        """Keep where a link ends that cannot change while the guest runs."""
        self._remember(self._links, path, canonical, True)

    @staticmethod
    def _move(here: Place, there: Place) -> Place:
        if there is not here:
            here.close()
        return there

    def step(self, here: Place, name: bytes) -> Place:
        """Go to the entry *name* of a directory, without following a link."""
        child = here.child(name)
        point = self.table.points.get(child)
        if point is not None:
            return Place(point.fd, child, point, point.node)
        mount = here.mount
        if here.node is not None:
            if not isinstance(here.node, Dir):
                raise fail(errno.ENOTDIR)
            node = here.node.lookup(name)
            if node is None and child in self.table.gaps:
                node = GAP
            if node is None:
                raise fail(errno.ENOENT)
            return Place(-1, child, mount, node)
        try:
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here.fd)
        except FileNotFoundError:
            if child in self.table.gaps:
                return Place(-1, child, mount, GAP)
            raise
        return Place(fd, child, mount, owner="temporary")

    def _target(self, found: Place, follow: bool) -> bytes | Place | None:
        """Return where a link leads: a path, or a place for /proc/self/fd; None to stay."""
        if not follow:
            return None
        node = found.node
        if node is None:
            if found.owner != "temporary" or not stat.S_ISLNK(os.fstat(found.fd).st_mode):
                return None
            return os.readlink(b"", dir_fd=found.fd)
        if isinstance(node, Link):
            return node.target()
        if isinstance(node, FdLink):
            place = self.self_place(node.fd)
            if place.mount is None and place.is_directory():
                raise fail(errno.EACCES)  # an inherited directory leads out
            return place
        return None

    def _parent_place(self, here: Place, name: bytes, tail: bytes) -> Place:
        child = here.child(name)
        node: Node | None = None
        if here.node is not None:
            if not isinstance(here.node, Dir):
                raise fail(errno.ENOTDIR)
            node = here.node.lookup(name)
        is_point = child in self.table.points or child in self.table.gaps
        here.must_be_directory()
        result = Place(here.fd, child, here.mount, here.node)
        result.name, result.entry, result.is_point = name + tail, node, is_point
        if here.owner == "temporary":
            here.owner, result.owner = "borrowed", "temporary"
        result.keep = here
        return result

    def _canonical_dir(self, path: bytes) -> Place:
        """Open a directory by its canonical path, for `..`."""
        mount = self.table.find(path)
        if path == mount.guest:
            return Place(mount.fd, path, mount, mount.node)
        rest = path[len(mount.prefix) :]
        if mount.node is None:
            result = path_beneath(mount.fd, rest, os.O_DIRECTORY)
            if result >= 0:
                return Place(result, path, mount, owner="temporary")
            if result != -errno.ENOENT or path not in self.table.gaps:
                raise fail(-result if result not in (-errno.ELOOP, -errno.EXDEV) else errno.ENOENT)
            return Place(-1, path, mount, GAP)
        node: Node | None = mount.node
        for name in rest.split(b"/"):
            node = node.lookup(name) if isinstance(node, Dir) else None
        if node is None:
            if path not in self.table.gaps:
                raise fail(errno.ENOENT)
            node = GAP
        return Place(-1, path, mount, node)
