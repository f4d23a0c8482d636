"""The guest's file tree: what it shows, and that no path leads out of it."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runtime.personalities.linux.hostview import HostVfs
from runtime.personalities.linux.openat2 import AT_FDCWD
from runtime.personalities.linux.options import LinuxOptions
from runtime.personalities.linux.vfs import Vfs

SECRET = b"the host's secret"
O_DIRECTORY = 0o200000
O_NOFOLLOW = 0o400000


class World:
    """A host tree: a sysroot, a work directory, a read-only mount and a secret outside of all."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.work = top / "home" / "work"
        self.root = top / "sysroot"
        self.data = top / "data"
        for path in (self.work / "sub", self.root / "usr" / "lib", self.root / "etc", self.data):
            path.mkdir(parents=True)
        (top / "secret").write_bytes(SECRET)
        (top / "outside").mkdir()
        (self.root / "usr" / "lib" / "libc.so.6").write_bytes(b"libc")
        (self.root / "usr" / "lib" / "libc.so").symlink_to("libc.so.6")
        (self.root / "lib").symlink_to("usr/lib")
        (self.root / "etc" / "abs").symlink_to("/usr/lib/libc.so.6")
        (self.data / "d").write_bytes(b"data")
        (self.data / "w").symlink_to(self.work)
        self.vfs = Vfs(
            LinuxOptions(sysroot=str(self.root), mounts=(f"{self.data}:/data",)),
            cwd=os.fsencode(self.work),
        )

    def open(self, path: str | bytes, flags: int = os.O_RDONLY, dirfd: int = AT_FDCWD) -> int:
        return self.vfs.open(dirfd, os.fsencode(path), flags, 0o666)

    def read(self, path: str | bytes, dirfd: int = AT_FDCWD) -> bytes:
        fd = self.open(path, dirfd=dirfd)
        if fd < 0:
            raise OSError(-fd, os.strerror(-fd), path)
        try:
            return os.read(fd, 1 << 16)
        finally:
            self.vfs.fds.forget(fd)
            os.close(fd)

    def code(self, path: str | bytes, flags: int = os.O_RDONLY, dirfd: int = AT_FDCWD) -> str:
        return self.error(lambda: self.open(path, flags, dirfd))

    @staticmethod
    def error(call: Callable[[], int]) -> str:
        try:
            result = call()
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        assert result < 0, f"succeeded with {result}"
        return errno.errorcode[-result]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.vfs.close()
    for fd in made.vfs.fds.records:
        os.close(fd)


def test_sysroot_links_lead_within_it(world: World) -> None:
    for _ in range(2):  # the second time from the cache
        assert world.read("/lib/libc.so") == b"libc"
        assert world.read("/etc/abs") == b"libc"
        assert world.read("/lib/../../../usr/lib//./libc.so.6") == b"libc"
    assert world.vfs.guest_path(b"/lib/libc.so") == b"/usr/lib/libc.so.6"
    assert world.code("/lib/none") == "ENOENT"
    assert world.code("/lib/libc.so/x") == "ENOTDIR"
    assert world.code("/lib/libc.so/") == "ENOTDIR"
    assert world.code("/lib/libc.so", O_NOFOLLOW) == "ELOOP"


def test_sysroot_is_read_only_and_cwd_is_not(world: World) -> None:
    assert world.code("/etc/new", os.O_CREAT | os.O_WRONLY) == "EROFS"
    assert world.code("/usr/lib/libc.so.6", os.O_RDWR) == "EROFS"
    assert world.code("/lib/libc.so", os.O_TRUNC) == "EROFS"
    assert world.code("/lib/libc.so", os.O_CREAT | os.O_EXCL) == "EEXIST"
    assert world.code("/lib", os.O_RDWR) == "EISDIR"
    assert world.code("/lib/none", os.O_RDWR) == "ENOENT"
    assert world.open("/lib/libc.so", os.O_CREAT) > 0
    fd = world.open("new", os.O_CREAT | os.O_WRONLY)
    os.write(fd, b"text")
    assert (world.work / "new").read_bytes() == b"text"
    assert world.read(f"{world.work}/new") == b"text"
    with world.vfs.parent(AT_FDCWD, b"/etc/x") as place, pytest.raises(OSError, match="Read-only"):
        place.creating()
    with world.vfs.parent(AT_FDCWD, b"/etc") as place, pytest.raises(OSError, match="exists"):
        place.creating()


def escapes(world: World) -> list[str]:
    work, secret = world.work, world.top / "secret"
    (work / "abs").symlink_to(secret)
    (work / "rel").symlink_to("../../secret")
    (work / "dir").symlink_to(world.top)
    (work / "chain").symlink_to("dir/secret")
    (work / "self").symlink_to("/proc/self/root")
    (work / "sub" / "up").symlink_to("../../../../../../../../../../../..")
    (work / "cwd").symlink_to("/proc/self/cwd/../../secret")
    return [
        str(secret),
        "../../secret",
        "sub/../../../secret",
        "abs",
        "rel",
        "dir/secret",
        "chain",
        f"self{secret}",
        f"sub/up{secret}",
        "cwd",
        f"/proc/self/root{secret}",
        "/proc/self/cwd/../../secret",
        f"/proc/1/root{secret}",
        f"/proc/{os.getppid()}/root{secret}",
        f"/proc/self/task/../root{secret}",
        f"/dev/../../../../..{secret}",
        f"//..//..{secret}",
        "/data/w/../../secret",
        "/data/../../../secret",
    ]


def test_no_path_reaches_the_secret(world: World) -> None:
    for path in escapes(world):
        for flags in (0, os.O_PATH, os.O_RDWR, os.O_CREAT | os.O_WRONLY, O_NOFOLLOW):
            try:
                fd = world.open(path, flags)
            except OSError:
                continue
            if fd >= 0:
                status = os.fstat(fd)
                secret = os.stat(world.top / "secret")
                assert (status.st_dev, status.st_ino) != (secret.st_dev, secret.st_ino), path
        try:
            with world.vfs.node(AT_FDCWD, os.fsencode(path)) as place:
                assert place.fd < 0 or not os.path.samefile(place.fd, world.top / "secret"), path
        except OSError:
            pass
    assert (world.top / "secret").read_bytes() == SECRET


def test_directories_do_not_lead_out(world: World) -> None:
    top = world.open("/", O_DIRECTORY)
    assert world.code(f"..{world.top}/secret", dirfd=top) == "ENOENT"
    work = world.open(".", O_DIRECTORY)
    assert world.code("../../secret", dirfd=work) == "ENOENT"
    assert world.read("../work/../../../../../../../../lib/libc.so", dirfd=work) == b"libc"
    inherited = os.open(world.top, os.O_RDONLY)
    assert world.code("secret", dirfd=inherited) == "ENOTDIR"
    assert world.code(f"/proc/self/fd/{inherited}/secret") in ("EACCES", "ENOTDIR")
    assert world.code(f"/proc/self/fd/{inherited}") == "EACCES"
    assert world.code(f"/dev/fd/{inherited}/../secret") in ("EACCES", "ENOTDIR")
    assert (
        world.error(lambda: world.vfs.chdir(AT_FDCWD, b"/proc/self/fd/%d" % inherited)) == "EACCES"
    )
    assert world.error(lambda: world.vfs.chdir(inherited, b"", empty_ok=True)) == "EACCES"
    os.close(inherited)
    for reserved in world.vfs.fds.reserved:
        assert world.code("x", dirfd=reserved) == "EBADF"
        assert world.code(f"/proc/self/fd/{reserved}") == "ENOENT"


def test_reopening_does_not_widen_access(world: World) -> None:
    fd = world.open("/data/d")
    assert world.code(f"/proc/self/fd/{fd}", os.O_RDWR) == "EROFS"
    assert world.read(f"/dev/fd/{fd}") == b"data"
    inherited = os.open(world.top / "secret", os.O_RDONLY)
    assert world.code(f"/proc/self/fd/{inherited}", os.O_WRONLY) == "EACCES"
    assert world.read(f"/proc/self/fd/{inherited}") == SECRET  # it was given to the guest
    with pytest.raises(OSError, match="not permitted"):
        world.vfs.check_change(inherited)
    with pytest.raises(OSError, match="Read-only"):
        world.vfs.check_change(fd)
    os.close(inherited)


def test_moved_directories_keep_their_confinement(world: World) -> None:
    sub = world.open("sub", O_DIRECTORY)
    os.rename(world.work / "sub", world.work / "moved")
    world.vfs.renamed(os.fsencode(world.work / "sub"), os.fsencode(world.work / "moved"))
    (world.work / "moved" / "f").write_bytes(b"here")
    assert world.read("f", dirfd=sub) == b"here"
    (world.work / "g").write_bytes(b"up")
    assert world.read("../g", dirfd=sub) == b"up"
    # Moved out of the mount by somebody on the host: `..` still means the guest's parent.
    os.rename(world.work / "moved", world.top / "outside" / "moved")
    assert world.code("../../secret", dirfd=sub) == "ENOENT"
    assert world.read("../g", dirfd=sub) == b"up"


def test_race_with_a_swapped_link(world: World) -> None:
    """While a directory becomes a link to the secret's and back, no open may see the secret."""
    (world.work / "real").mkdir()
    (world.work / "real" / "secret").write_bytes(b"mine")
    (world.work / "evil").symlink_to(world.top)
    stop = threading.Event()
    spot, real, evil = (world.work / n for n in ("spot", "real", "evil"))

    def swap() -> None:
        while not stop.is_set():
            os.rename(real, spot)
            os.rename(spot, real)
            os.rename(evil, spot)
            os.rename(spot, evil)

    thread = threading.Thread(target=swap)
    thread.start()
    seen: set[int] = set()
    try:
        for _ in range(1500):
            try:
                assert world.read("sub/../spot/secret") == b"mine"
            except OSError as error:
                seen.add(error.errno or 0)
    finally:
        stop.set()
        thread.join()
    assert seen <= {errno.ENOENT, errno.ENOTDIR, errno.EAGAIN, errno.ELOOP}


def test_mount_points_stay(world: World) -> None:
    for path in (b"/data", b"/proc", os.fsencode(world.work), os.fsencode(world.work.parent)):
        with world.vfs.parent(AT_FDCWD, path) as place, pytest.raises(OSError, match="busy"):
            place.removing()


def test_directories_above_mounts_are_shown(world: World) -> None:
    with world.vfs.node(AT_FDCWD, os.fsencode(world.top)) as place:
        assert place.is_directory()
        assert stat.S_ISDIR(place.node.mode if place.node else 0)
    assert world.vfs.chdir(AT_FDCWD, os.fsencode(world.top)) == 0
    assert world.vfs.getcwd() == os.fsencode(world.top)
    assert world.read("home/work/../../../" + "../" * 20 + "data/d") == b"data"
    assert world.code("secret") == "ENOENT"


def test_dev_and_proc(world: World) -> None:
    assert world.read("/dev/null") == b""
    assert world.read("/dev/zero")[:4] == bytes(4)
    assert world.code("/dev/sda") == "ENOENT"
    assert world.code("/dev/null/x") == "ENOTDIR"
    assert world.code("/dev/new", os.O_CREAT | os.O_WRONLY) in ("EACCES", "EROFS")
    assert b"jitemu virtual CPU" in world.read("/proc/cpuinfo")
    assert b"MemTotal" in world.read("/proc/meminfo")
    assert world.read("/proc/sys/kernel/osrelease") == b"6.1.0\n"
    assert b"/data" in world.read("/proc/self/mounts")
    assert world.read(f"/proc/{os.getpid()}/../self/status").startswith(b"Name:")
    assert world.code("/proc/1/status") == "ENOENT"
    assert world.code("/proc/self/mem") == "ENOENT"
    fd = world.open("/data/d")
    with world.vfs.node(AT_FDCWD, b"/proc/self/fd/%d" % fd, follow=False) as place:
        assert stat.S_ISLNK(place.node.mode if place.node else 0)
    assert world.vfs.fd_path(fd) == b"/data/d"
    shm = world.open("/dev/shm/x", os.O_CREAT | os.O_RDWR)
    assert shm >= 0
    assert world.read("/dev/shm/x") == b""


def test_tmp_is_private_and_removed(world: World) -> None:
    fd = world.open("/tmp/x", os.O_CREAT | os.O_WRONLY)
    assert fd >= 0
    assert world.vfs.chdir(AT_FDCWD, b"/tmp") == 0
    with world.vfs.parent(AT_FDCWD, b"link") as parent:
        os.symlink(world.top, b"link", dir_fd=parent.fd)
        os.mkdir(b"folder", dir_fd=parent.fd)
    assert world.vfs.scratch is not None
    place = world.vfs.scratch.path
    assert os.path.exists(place + b"/tmp/x")
    world.vfs.close()
    assert not os.path.lexists(place)
    assert (world.top / "secret").exists()


def test_cwd_at_the_top_is_not_mounted(tmp_path: Path) -> None:
    vfs = Vfs(LinuxOptions(), cwd=b"/")
    assert vfs.getcwd() == b"/"
    assert World.error(lambda: vfs.open(AT_FDCWD, b"/etc/passwd", 0)) == "ENOENT"
    assert World.error(lambda: vfs.open(AT_FDCWD, b"x", os.O_CREAT, 0o600)) in ("EACCES", "EROFS")
    vfs.close()


def test_program_directory_is_read_only(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "work").mkdir()
    program = tmp_path / "bin" / "prog"
    program.write_bytes(b"x")
    vfs = Vfs(LinuxOptions(), os.fsencode(program), os.fsencode(tmp_path / "work"))
    assert vfs.open(AT_FDCWD, os.fsencode(program), 0) >= 0
    assert World.error(lambda: vfs.open(AT_FDCWD, os.fsencode(program), os.O_RDWR)) == "EROFS"
    assert World.error(lambda: vfs.open(AT_FDCWD, b"../bin/y", os.O_CREAT, 0o600)) == "EROFS"
    vfs.close()


def test_host_fs_shows_everything_and_the_sysroot_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "passwd").write_bytes(b"the sysroot's")
    monkeypatch.chdir(tmp_path)
    vfs = HostVfs(LinuxOptions(sysroot=str(root), host_fs=True))
    fd = vfs.open(AT_FDCWD, b"/etc/passwd", 0)
    assert os.read(fd, 100) == b"the sysroot's"
    new = vfs.open(AT_FDCWD, b"new", os.O_CREAT | os.O_RDWR, 0o600)
    assert (tmp_path / "new").exists()
    with vfs.node(AT_FDCWD, b"/etc/hostname") as place:
        assert os.path.samestat(os.fstat(place.fd), os.stat("/etc/hostname"))
    with vfs.parent(AT_FDCWD, os.fsencode(tmp_path / "made")) as place:
        place.creating()
        os.mkdir(place.name, dir_fd=place.fd)
    assert vfs.chdir(AT_FDCWD, b"made") == 0
    assert vfs.getcwd() == os.fsencode(tmp_path / "made")
    info = vfs.open(AT_FDCWD, b"/proc/cpuinfo", 0)
    assert b"jitemu virtual CPU" in os.read(info, 1000)
    assert World.error(lambda: vfs.open(1 << 20, b"x", 0)) == "EBADF"
    vfs.process = cast(Any, SimpleNamespace(exe=str(tmp_path / "new")))
    assert World.error(lambda: vfs.open(AT_FDCWD, b"/proc/self/exe", os.O_NOFOLLOW)) == "ELOOP"
    exe = vfs.open(AT_FDCWD, b"/proc/self/exe", 0)
    assert os.path.samestat(os.fstat(exe), (tmp_path / "new").stat())
    for each in (fd, new, info, exe):
        os.close(each)
