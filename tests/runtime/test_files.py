"""System calls on files, driven as a guest would: structures in guest memory, results in EAX."""

from __future__ import annotations

import errno
import os
import pty
import random
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.personalities.linux import handlers
from runtime.personalities.linux.table import SYSCALLS
from runtime.personalities.linux.threads import Thread
from tests.runtime.linux_fakes import DATA, guest

AT_FDCWD = 0xFFFFFF9C
BUFFER = DATA + 0x1000


class Caller:
    """Makes system calls by name; bytes arguments are put into guest memory."""

    def __init__(self, t: Thread, folder: Path) -> None:
        self.t = t
        self.mem = t.mem
        self.folder = folder
        handlers.load()
        self.numbers = {entry.name: entry for entry in SYSCALLS.values()}

    def __call__(self, name: str, *args: int | bytes) -> int:
        at, values = DATA, []
        for arg in args:
            if isinstance(arg, bytes):
                self.mem.write(at, arg + b"\0")
                values.append(at)
                at += len(arg) + 1
            else:
                values.append(arg & 0xFFFFFFFF)
        entry = self.numbers[name]
        values += [0] * (entry.nargs - len(values))
        return self.t._handle(entry, tuple(values[: entry.nargs]))

    def fails(self, name: str, *args: int | bytes) -> str:
        result = self(name, *args)
        assert result < 0, f"{name} gave {result}"
        return errno.errorcode[-result]

    def read(self, size: int, at: int = BUFFER) -> bytes:
        return self.mem.read(at, size)

    def unpack(self, form: str, at: int = BUFFER) -> tuple[int, ...]:
        return struct.unpack(form, self.mem.read(at, struct.calcsize(form)))


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Caller]:
    monkeypatch.chdir(tmp_path)
    before = set(os.listdir("/proc/self/fd"))
    with guest() as t:
        yield Caller(t, tmp_path)
        t.process.vfs.close()
        t.mem.close()
    for fd in map(int, set(os.listdir("/proc/self/fd")) - before):
        if fd not in t.process.vfs.fds.reserved:
            try:
                os.close(fd)
            except OSError:
                continue


def test_open_write_seek_read_close(call: Caller) -> None:
    fd = call("open", b"f", os.O_RDWR | os.O_CREAT, 0o640)
    assert fd >= 0
    assert call("write", fd, b"hello world", 11) == 11
    assert call("lseek", fd, 6, 0) == 6
    assert call("read", fd, BUFFER, 100) == 5
    assert call.read(5) == b"world"
    assert call("pread64", fd, BUFFER, 5, 0, 0) == 5
    assert call("pwrite64", fd, b"XY", 2, 9, 0) == 2
    assert call("_llseek", fd, 0, 0, BUFFER, 2) == 0
    assert call.unpack("<Q") == (11,)
    assert (call.folder / "f").read_bytes() == b"hello worXY"
    assert stat.S_IMODE(os.stat("f").st_mode) == 0o640 & ~os.umask(os.umask(0o22))
    assert call("close", fd) == 0
    assert call.fails("read", fd, BUFFER, 1) == "EBADF"
    assert call.fails("close", fd) == "EBADF"
    assert call.fails("open", b"", 0) == "ENOENT"
    assert call.fails("open", b"x" * 300, 0) == "ENAMETOOLONG"
    assert call.fails("open", 0x10, 0) == "EFAULT"
    assert call.fails("read", -1, BUFFER, 1) == "EBADF"


def test_bad_buffers_give_efault(call: Caller) -> None:
    fd = call("open", b"f", os.O_RDWR | os.O_CREAT, 0o600)
    call("write", fd, b"data", 4)
    assert call.fails("pread64", fd, 0x1000, 4, 0, 0) == "EFAULT"
    assert call.fails("write", fd, 0xFFFFF000, 0x2000) == "EFAULT"
    call.mem.protect(DATA + 0x3000, 0x1000, 1)
    assert call.fails("pread64", fd, DATA + 0x3000, 4, 0, 0) == "EFAULT"
    assert call.fails("fstat64", fd, 0) == "EFAULT"
    assert call.fails("fstat64", -1, BUFFER) == "EBADF"
    assert call.fails("pipe", 0x10) == "EFAULT"


def test_vectors(call: Caller) -> None:
    fd = call("open", b"f", os.O_RDWR | os.O_CREAT, 0o600)
    call.mem.write(BUFFER, b"abcdef")
    call.mem.write(BUFFER + 64, struct.pack("<4I", BUFFER, 2, BUFFER + 4, 2))
    assert call("writev", fd, BUFFER + 64, 2) == 4
    assert (call.folder / "f").read_bytes() == b"abef"
    assert call("preadv", fd, BUFFER + 64, 2, 1, 0) == 3
    assert call.read(6) == b"becdff"
    assert call.fails("writev", fd, BUFFER + 64, 1025) == "EINVAL"


def test_stat_structures_agree_with_the_host(call: Caller) -> None:
    (call.folder / "f").write_bytes(b"x" * 5000)
    os.utime("f", ns=(10**9 * 1_000_000_007 + 5, 10**9 * 1_000_000_009 + 7))
    real = os.stat("f")
    assert call("stat64", b"f", BUFFER) == 0
    fields = call.unpack("<Q4xIIIIIQ4xqIQIIIIIIQ")
    dev = os.minor(real.st_dev) & 0xFF | os.major(real.st_dev) << 8
    dev |= (os.minor(real.st_dev) & ~0xFF) << 12
    assert fields == (
        dev, real.st_ino & 0xFFFFFFFF, real.st_mode, 1, real.st_uid, real.st_gid, 0, 5000,
        real.st_blksize, real.st_blocks, 1_000_000_007, 5, 1_000_000_009, 7,
        int(real.st_ctime), real.st_ctime_ns % 10**9, real.st_ino,
    )  # fmt: skip
    assert call("stat", b"f", BUFFER) == 0
    small = call.unpack("<IIHHHHIIIIIIIIII8x")
    assert small[1:3] == (real.st_ino, real.st_mode)
    assert small[7:9] == (5000, real.st_blksize)
    assert small[12:14] == (1_000_000_009, 7)
    assert call("statx", AT_FDCWD, b"f", 0, 0x7FF, BUFFER) == 0
    assert call.unpack("<H", BUFFER + 28) == (real.st_mode,)
    assert call.unpack("<Q", BUFFER + 40) == (5000,)
    os.truncate("f", 3 << 30)
    assert call.fails("stat", b"f", BUFFER) == "EOVERFLOW"
    assert call("stat64", b"f", BUFFER) == 0
    assert call("oldstat", b"f", BUFFER) in (0, -errno.EOVERFLOW)


def test_fstatat_flags(call: Caller) -> None:
    os.symlink("nowhere", "link")
    assert call.fails("fstatat64", AT_FDCWD, b"link", BUFFER, 0) == "ENOENT"
    assert call("fstatat64", AT_FDCWD, b"link", BUFFER, 0x100) == 0
    assert stat.S_ISLNK(call.unpack("<I", BUFFER + 16)[0])
    fd = call("open", b".", 0o200000)
    assert call("fstatat64", fd, b"", BUFFER, 0x1000) == 0
    assert stat.S_ISDIR(call.unpack("<I", BUFFER + 16)[0])
    assert call("statx", AT_FDCWD, b"", 0x1000, 0x7FF, BUFFER) == 0
    assert call.fails("fstatat64", AT_FDCWD, b"f", BUFFER, 0x80000) == "EINVAL"
    assert call("stat64", b"/dev/null", BUFFER) == 0
    assert call.unpack("<Q", BUFFER + 32) == (0x103,)
    assert stat.S_ISCHR(call.unpack("<I", BUFFER + 16)[0])


def listing(call: Caller, fd: int, size: int = 0x1000, is_new: bool = True) -> list[bytes]:
    names = []
    while (count := call("getdents64" if is_new else "getdents", fd, BUFFER, size)) > 0:
        raw, at = call.read(count), 0
        while at < count:
            if is_new:
                _, offset, length, kind = struct.unpack_from("<QQHB", raw, at)
                name = raw[at + 19 : raw.index(0, at + 19)]
            else:
                _, offset, length = struct.unpack_from("<IIH", raw, at)
                kind, name = raw[at + length - 1], raw[at + 10 : raw.index(0, at + 10)]
            assert 0 < offset < 1 << 31
            assert kind in (1, 2, 4, 8, 10)
            names.append(name)
            at += length
    assert count == 0
    return names


@pytest.mark.parametrize("is_new", [True, False])
def test_listings_and_seeking_in_them(call: Caller, is_new: bool) -> None:
    for number in range(40):
        (call.folder / f"file-with-a-long-name-{number}").touch()
    fd = call("open", b".", 0o200000)
    expected = sorted([b".", b"..", *os.listdir(b".")])
    assert sorted(listing(call, fd, 512, is_new)) == expected
    assert call("lseek", fd, 0, 0) == 0
    whole = listing(call, fd, is_new=is_new)
    assert sorted(whole) == expected
    assert call("lseek", fd, 7, 0) == 7
    assert listing(call, fd, is_new=is_new) == whole[7:]
    assert call.fails("getdents64", call("open", b"/dev/null", 0), BUFFER, 99) == "ENOTDIR"


def test_listings_of_made_up_directories(call: Caller) -> None:
    fd = call("open", b"/dev", 0o200000)
    names = listing(call, fd, 100)
    assert {b"null", b"tty", b"fd", b"shm", b"..", b"pts"} <= set(names)
    assert len(names) == len(set(names))
    assert call("lseek", fd, 0, 0) == 0
    assert listing(call, fd) == names
    top = listing(call, call("open", b"/", 0o200000))
    assert {b"proc", b"dev", b"tmp", str(call.folder).split("/")[1].encode()} <= set(top)
    assert str(fd).encode() in listing(call, call("open", b"/proc/self/fd", 0o200000))
    tmp = listing(call, call("open", b"/tmp", 0o200000))
    if call.folder.parts[1] == "tmp":
        assert call.folder.parts[2].encode() in tmp  # exists only as the way to a mount


def test_names(call: Caller) -> None:
    assert call("mkdir", b"d", 0o755) == 0
    assert call.fails("mkdir", b"d", 0o755) == "EEXIST"
    assert call("mkdir", b"d/e/", 0o755) == 0
    fd = call("creat", b"d/f", 0o644)
    assert call("link", b"d/f", b"d/g") == 0
    assert call("symlink", b"f", b"d/s") == 0
    assert call("readlink", b"d/s", BUFFER, 100) == 1
    assert call("readlinkat", AT_FDCWD, b"/proc/self/fd/%d" % fd, BUFFER, 200) > 0
    assert call.read(100).startswith(os.fsencode(call.folder / "d" / "f"))
    assert call.fails("readlink", b"d/f", BUFFER, 100) == "EINVAL"
    assert call("rename", b"d", b"h") == 0
    assert call("readlink", b"/proc/self/fd/%d" % fd, BUFFER, 200) > 0
    assert call.read(100).startswith(os.fsencode(call.folder / "h" / "f"))
    assert call("renameat2", AT_FDCWD, b"h/f", AT_FDCWD, b"h/g", 2) == 0
    assert call.fails("renameat2", AT_FDCWD, b"h/f", AT_FDCWD, b"h/g", 1) == "EEXIST"
    assert call.fails("rmdir", b"h") == "ENOTEMPTY"
    for name in (b"h/f", b"h/g", b"h/s"):
        assert call("unlink", name) == 0
    assert call("unlinkat", AT_FDCWD, b"h/e", 0x200) == 0
    assert call("rmdir", b"h/") == 0
    assert os.listdir() == []
    assert call.fails("rename", b"none", b"x") == "ENOENT"
    assert call.fails("link", b"/dev/null", b"null") == "EXDEV"
    assert call.fails("rename", b"/dev/null", b"null") == "EPERM"
    assert call.fails("mknod", b"dev", stat.S_IFCHR | 0o666, 0x103) == "EPERM"
    assert call("mknod", b"fifo", stat.S_IFIFO | 0o666) == 0
    assert stat.S_ISFIFO(os.stat("fifo").st_mode)
    assert call.fails("mkdir", b"/x", 0o777) == "EROFS"
    assert call.fails("mkdir", b"/proc", 0o777) == "EEXIST"
    assert call.fails("rmdir", b"/proc") == "EBUSY"
    assert call.fails("unlink", b"/proc/cpuinfo") in ("EPERM", "EROFS")


def test_current_directory(call: Caller) -> None:
    os.mkdir("d")
    assert call("getcwd", BUFFER, 300) == len(os.fsencode(call.folder)) + 1
    assert call.fails("getcwd", BUFFER, 3) == "ERANGE"
    assert call("chdir", b"d") == 0
    fd = call("openat", AT_FDCWD, b"..", 0o200000)
    call("creat", b"x", 0o600)
    assert os.path.exists("d/x")
    assert call("fchdir", fd) == 0
    assert call("access", b"d/x", 4) == 0
    assert call.fails("chdir", b"d/x") == "ENOTDIR"
    assert call.fails("fchdir", 0x7FFFFFFF) == "EBADF"
    assert call.fails("chroot", b".") == "EPERM"
    assert os.getcwd() == str(call.folder)


def test_attributes(call: Caller) -> None:
    (call.folder / "f").write_bytes(b"12345678")
    assert call("chmod", b"f", 0o600) == 0
    assert call("access", b"f", 6) == 0
    assert call("fchmodat", AT_FDCWD, b"f", 0o640) == 0
    assert stat.S_IMODE(os.stat("f").st_mode) == 0o640
    fd = call("open", b"f", os.O_RDWR)
    assert call("fchmod", fd, 0o600) == 0
    assert call("fchown32", fd, -1, -1) == 0
    assert call("truncate64", b"f", 5, 0) == 0
    assert call("ftruncate", fd, 3) == 0
    assert os.stat("f").st_size == 3
    call.mem.write(BUFFER, struct.pack("<4i", 100, 5, 200, 6))
    assert call("utimensat", AT_FDCWD, b"f", BUFFER, 0) == 0
    assert os.stat("f").st_mtime_ns == 200 * 10**9 + 6
    call.mem.write(BUFFER, struct.pack("<qi4xqi4x", 1 << 32, 5, 1 << 33, 6))
    assert call("utimensat_time64", fd, 0, BUFFER, 0) == 0
    assert os.stat("f").st_mtime == 1 << 33
    call.mem.write(BUFFER, struct.pack("<ii", 10, 20))
    assert call("utime", b"f", BUFFER) == 0
    assert os.stat("f").st_mtime == 20
    assert call.fails("chmod", b"/dev/null", 0o600) == "EPERM"
    assert call.fails("truncate", b".", 0) == "EISDIR"
    assert call("umask", 0o77) == os.umask(0o77) or call("umask", 0o22) == 0o77
    os.umask(0o22)
    assert call("statfs64", b".", 84, BUFFER) == 0
    assert call.unpack("<II")[1] > 0
    assert call.fails("statfs64", b".", 80, BUFFER) == "EINVAL"


def test_descriptors(call: Caller) -> None:
    os.mkdir("d")
    fd = call("open", b"d", 0o200000)
    copy = call("dup", fd)
    high = call("fcntl64", fd, 0, 200)
    assert high >= 200
    assert call("dup2", fd, high + 1) == high + 1
    for number in (copy, high, high + 1):
        assert call("openat", number, b".", 0) > 0
    assert call("fcntl64", fd, 1) == 0
    assert call("fcntl64", fd, 2, 1) == 0
    assert call("fcntl64", fd, 1) == 1
    assert call("fcntl64", fd, 3) & 0o200000
    assert call.fails("dup3", fd, fd, 0) == "EINVAL"
    reserved = next(iter(call.t.process.vfs.fds.reserved))
    for name in ("dup", "close", "fchdir", "fcntl64", "read", "write", "fstat64", "fsync"):
        assert call.fails(name, reserved, BUFFER, 0) == "EBADF", name
    assert call.fails("dup2", fd, reserved) == "EBADF"
    assert call("close_range", high, high + 1, 0) == 0  # what comes behind may be other tests'
    assert call.fails("fcntl64", high, 1) == "EBADF"
    os.fstat(reserved)
    assert call("pipe2", BUFFER, 0o2000000) == 0
    ends = call.unpack("<ii")
    assert call("write", ends[1], b"through", 7) == 7
    assert call("ioctl", ends[0], 0x541B, BUFFER + 8) == 0
    assert call.unpack("<i", BUFFER + 8) == (7,)
    assert call("read", ends[0], BUFFER, 7) == 7


def test_record_locks(call: Caller) -> None:
    fd = call("open", b"f", os.O_RDWR | os.O_CREAT, 0o600)
    call.mem.write(BUFFER, struct.pack("<hhqqi", 1, 0, 1 << 32, 10, 0))
    assert call("fcntl64", fd, 13, BUFFER) == 0
    pid = os.fork()
    if pid == 0:
        other = os.open("f", os.O_RDWR)
        call.mem.write(BUFFER, struct.pack("<hhqqi", 1, 0, 0, 0, 0))
        ok = call("fcntl64", other, 12, BUFFER) == 0
        ok = ok and call.unpack("<hhqqi") == (1, 0, 1 << 32, 10, os.getppid())
        ok = ok and call.fails("fcntl64", other, 13, BUFFER) in ("EAGAIN", "EACCES")
        call.mem.write(BUFFER, struct.pack("<hhiii", 1, 0, 0, 100, 0))
        ok = ok and call("fcntl", other, 6, BUFFER) == 0
        os._exit(0 if ok else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert call("flock", fd, 2) == 0


def test_poll_select_epoll(call: Caller) -> None:
    call("pipe", BUFFER)
    reader, writer = call.unpack("<ii")
    call.mem.write(BUFFER, struct.pack("<ihhihh", reader, 1, 0, writer, 4, 0))
    assert call("poll", BUFFER, 2, 0) == 1
    assert call.unpack("<ihhihh") == (reader, 1, 0, writer, 4, 4)
    assert call("poll", BUFFER, 1, 20) == 0
    call("write", writer, b"x", 1)
    chosen = (1 << reader).to_bytes(128, "little")  # an fd_set: 1024 bits
    call.mem.write(BUFFER, chosen + struct.pack("<ii", 5, 0))
    assert call("_newselect", reader + 1, BUFFER, 0, 0, BUFFER + 128) == 1
    assert call.mem.read(BUFFER, reader // 32 * 4 + 4) == chosen[: reader // 32 * 4 + 4]
    assert 0 <= call.unpack("<i", BUFFER + 128)[0] < 5
    epoll = call("epoll_create1", 0)
    call.mem.write(BUFFER, struct.pack("<IQ", 1, 0x1122334455667788))
    assert call("epoll_ctl", epoll, 1, reader, BUFFER) == 0
    assert call("epoll_wait", epoll, BUFFER + 32, 4, 100) == 1
    assert call.unpack("<IQ", BUFFER + 32) == (1, 0x1122334455667788)
    event = call("eventfd2", 3, 0)
    assert call("read", event, BUFFER, 8) == 8
    assert call.unpack("<Q") == (3,)


def test_copying(call: Caller) -> None:
    (call.folder / "f").write_bytes(b"0123456789")
    source, target = call("open", b"f", 0), call("creat", b"g", 0o600)
    call.mem.put_u32(BUFFER, 4)
    assert call("sendfile", target, source, BUFFER, 3) == 3
    assert call.mem.u32(BUFFER) == 7
    assert call("copy_file_range", source, 0, target, 0, 2, 0) == 2
    assert (call.folder / "g").read_bytes() == b"45601"
    memory = call("memfd_create", b"name", 0)
    assert call("write", memory, b"m", 1) == 1
    assert call("fchmod", memory, 0o600) == 0


def test_memory_calls(call: Caller) -> None:
    (call.folder / "f").write_bytes(b"mapped" + bytes(8000))
    fd = call("open", b"f", os.O_RDWR)
    at = call("mmap2", 0, 8192, 3, 1, fd, 0) & 0xFFFFFFFF
    assert call.mem.read(at, 6) == b"mapped"
    call.mem.write(at, b"M")
    assert call("msync", at, 8192, 4) == 0
    assert (call.folder / "f").read_bytes()[:2] == b"Ma"
    assert call("mprotect", at, 4096, 1) == 0
    assert call("madvise", at, 8192, 4) == 0
    assert call("mincore", at, 8192, BUFFER) == 0
    moved = call("mremap", at, 8192, 4096, 1, 0) & 0xFFFFFFFF
    assert moved == at
    assert call("munmap", at, 4096) == 0
    assert call.fails("madvise", at, 4096, 4) == "ENOMEM"
    assert call.fails("mmap2", 0, 0, 3, 0x22, -1, 0) == "EINVAL"
    assert call.fails("mmap2", 0, 4096, 3, 2, -1, 0) == "EBADF"
    assert call.fails("mmap2", 0, 4096, 3, 2, 999, 0) == "EBADF"
    assert call.fails("mmap2", 0xFFFFF000, 8192, 3, 0x32, -1, 0) == "ENOMEM"
    reserved = next(iter(call.t.process.vfs.fds.reserved))
    assert call.fails("mmap2", 0, 4096, 1, 2, reserved, 0) == "EBADF"
    maps = call("open", b"/proc/self/maps", 0)
    size = call("read", maps, BUFFER, 0x1000)
    assert b"60000000-60004000 rw-p" in call.read(size)


def test_terminals(call: Caller) -> None:
    master, slave = pty.openpty()
    try:
        call.mem.write(BUFFER, struct.pack("<4H", 30, 90, 0, 0))
        assert call("ioctl", slave, 0x5414, BUFFER) == 0
        assert call("ioctl", master, 0x5413, BUFFER + 16) == 0
        assert call.unpack("<4H", BUFFER + 16) == (30, 90, 0, 0)
        assert call("ioctl", slave, 0x5401, BUFFER) == 0
        assert call("ioctl", slave, 0x5402, BUFFER) == 0
        assert call.fails("ioctl", slave, 0x5412, BUFFER) == "EPERM"
        number = os.ttyname(slave).rpartition("/")[2].encode()
        assert call.fails("open", b"/dev/pts/" + number, 2) == "ENOENT"
    finally:
        os.close(master)
        os.close(slave)
    own = call("open", b"/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
    assert own >= 0
    assert call("ioctl", own, 0x80045430, BUFFER) == 0
    name = b"/dev/pts/%d" % call.mem.u32(BUFFER)
    call.mem.put_u32(BUFFER, 0)
    assert call("ioctl", own, 0x40045431, BUFFER) == 0
    assert call("open", name, os.O_RDWR | os.O_NOCTTY) >= 0
    assert call.fails("ioctl", call("open", b"/dev/null", 0), 0x5401, BUFFER) == "ENOTTY"
    assert call.fails("ioctl", 900, 0x12345678, BUFFER) == "EBADF"


def test_extended_attributes_and_inotify(call: Caller) -> None:
    (call.folder / "f").touch()
    result = call("setxattr", b"f", b"user.x", b"value", 5, 0)
    if result != -errno.EOPNOTSUPP:
        assert result == 0
        assert call("getxattr", b"f", b"user.x", BUFFER, 100) == 5
        assert call.read(5) == b"value"
        assert call("getxattr", b"f", b"user.x", 0, 0) == 5
        assert call("listxattr", b"f", BUFFER, 100) >= 7
        assert call("removexattr", b"f", b"user.x") == 0
    watcher = call("inotify_init1", os.O_NONBLOCK)
    assert call("inotify_add_watch", watcher, b".", 0x100) > 0
    call("creat", b"new", 0o600)
    assert call("read", watcher, BUFFER, 100) == 32
    assert call.read(3, BUFFER + 16) == b"new"


def test_random_arguments_never_raise(call: Caller) -> None:
    """Every call of these files answers anything with a number."""
    rng = random.Random(3)
    interesting = [0, 1, 2, 3, 7, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, AT_FDCWD, BUFFER, DATA, 4096]
    call.mem.write(DATA, b"name\0")
    skip = {"read", "readv", "pread64", "flock", "splice", "tee", "poll", "ppoll", "select"}
    skip |= {"close", "close_range", "dup2", "dup3", "umask", "ioctl", "fcntl", "fcntl64"}
    skip |= {"munmap", "mmap", "mmap2", "mremap", "mprotect", "pkey_mprotect", "madvise", "write"}
    modules = ("files", "descriptors", "stat", "dirs", "transfer", "xattr", "memcalls", "tty")
    entries = [
        entry
        for entry in SYSCALLS.values()
        if entry.handler.__module__.rpartition(".")[2] in modules and entry.name not in skip
    ]
    assert len(entries) > 100
    for entry in entries:
        for _ in range(12):
            args = tuple(rng.choice(interesting) for _ in range(entry.nargs))
            args = tuple(9999 if i == 0 and a in (0, 1, 2) else a for i, a in enumerate(args))
            assert isinstance(call.t._handle(entry, args), int), (entry.name, args)
