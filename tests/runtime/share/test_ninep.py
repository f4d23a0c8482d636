"""The 9P2000.L server: what a guest can do in its folder, and that it cannot leave it."""

from __future__ import annotations

import errno
import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.devices.virtio.share import VirtioShare
from runtime.share.folder import Folder
from runtime.share.server import MESSAGES, Server
from tests.runtime.devices.virtiodriver import Driver, ram

ROOT, NO_FID = 1, 0xFFFFFFFF
SYMLINK, MKNOD, RENAME, READLINK, GETATTR, SETATTR, READDIR = 16, 18, 20, 22, 24, 26, 40
STATFS, OPEN, CREATE, FSYNC, LINK, MKDIR, RENAMEAT, UNLINKAT = 8, 12, 14, 50, 70, 72, 74, 76
VERSION, ATTACH, WALK, READ, WRITE, CLUNK, REMOVE = 100, 104, 110, 116, 118, 120, 122


def s(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return len(raw).to_bytes(2, "little") + raw


def n(*values: int) -> bytes:
    return b"".join(v.to_bytes(4, "little") for v in values)


def q(value: int) -> bytes:
    return value.to_bytes(8, "little")


class Client:
    """Sends messages; errors come back as OSError."""

    def __init__(self, folder: Path, *, is_read_only: bool = False) -> None:
        self.server = Server(Folder(str(folder), is_read_only=is_read_only))
        self.fid = 10
        assert self(VERSION, n(8192), s("9P2000.L")) == n(8192) + s("9P2000.L")
        self(ATTACH, n(ROOT, NO_FID), s(""), s(""), n(0))

    def __call__(self, kind: int, *parts: bytes) -> bytes:
        body = b"".join(parts)
        reply = self.server.answer(struct.pack("<IBH", 7 + len(body), kind, 5) + body)
        size, answer, tag = struct.unpack_from("<IBH", reply)
        assert (size, tag) == (len(reply), 5)
        if answer == 7:
            code = int.from_bytes(reply[7:], "little")
            raise OSError(code, os.strerror(code))
        assert answer == kind + 1
        return reply[7:]

    def walk(self, *names: str, start: int = ROOT) -> int:
        self.fid += 1
        found = self(
            WALK, n(start, self.fid), len(names).to_bytes(2, "little"), *(s(name) for name in names)
        )
        if int.from_bytes(found[:2], "little") < len(names):
            raise OSError(errno.ENOENT, "only a part of the path is there")
        return self.fid

    def open(self, *names: str, flags: int = 0) -> int:
        fid = self.walk(*names)
        self(OPEN, n(fid, flags))
        return fid

    def create(self, name: str, data: bytes, mode: int = 0o644) -> int:
        fid = self.walk()
        self(CREATE, n(fid), s(name), n(os.O_RDWR, mode, 0))
        assert self(WRITE, n(fid), q(0), n(len(data)), data) == n(len(data))
        return fid

    def read(self, fid: int, offset: int = 0, count: int = 4096) -> bytes:
        found = self(READ, n(fid), q(offset), n(count))
        assert int.from_bytes(found[:4], "little") == len(found) - 4
        return found[4:]

    def names(self, *path: str, room: int = 4096) -> list[str]:
        fid, offset, found = self.open(*path), 0, []
        while len(rows := self(READDIR, n(fid), q(offset), n(room))) > 4:
            at = 4
            while at < len(rows):
                offset, _, size = struct.unpack_from("<QBH", rows, at + 13)
                found.append(rows[at + 24 : at + 24 + size].decode())
                at += 24 + size
        return found

    def stat(self, fid: int) -> tuple[int, int]:
        """Return mode and size."""
        raw = self(GETATTR, n(fid), q(0x7FF))
        assert len(raw) == 153
        return int.from_bytes(raw[21:25], "little"), int.from_bytes(raw[49:57], "little")

    def fails(self, code: int, kind: int, *parts: bytes) -> None:
        with pytest.raises(OSError, match=r".") as caught:
            self(kind, *parts)
        assert caught.value.errno == code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "shared"
    place.mkdir()
    (tmp_path / "secret").write_text("secret")
    return place


@pytest.fixture
def client(folder: Path) -> Iterator[Client]:
    made = Client(folder)
    yield made
    made.server.reset()
    made.server.folder.close()


def test_files(client: Client, folder: Path) -> None:
    fid = client.create("a.txt", b"hello world")
    assert (folder / "a.txt").read_text() == "hello world"
    client(WRITE, n(fid), q(6), n(5), b"there")
    assert client.read(fid, 6) == b"there"
    assert client.stat(fid) == (0o100644, 11)
    client(FSYNC, n(fid, 0))
    client(CLUNK, n(fid))
    client.fails(errno.EBADF, READ, n(fid), q(0), n(1))
    fid = client.open("a.txt")
    assert client.read(fid, 3, 4) == b"lo t"
    client.fails(errno.EBADF, WRITE, n(fid), q(0), n(1), b"x")
    fid = client.open("a.txt", flags=os.O_WRONLY | os.O_TRUNC)
    assert (folder / "a.txt").read_text() == ""
    client(UNLINKAT, n(ROOT), s("a.txt"), n(0))
    assert client.stat(fid)[1] == 0  # open files outlive their names
    assert list(folder.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        client.walk("a.txt")


def test_directories(client: Client, folder: Path) -> None:
    client(MKDIR, n(ROOT), s("d"), n(0o755, 0))
    (folder / "d" / "deep").mkdir()
    many = {f"file{i}" for i in range(300)}
    for name in many:
        (folder / "d" / name).write_text(name)
    for room in (4096, 200, 8000):
        found = client.names("d", room=room)
        assert len(found) == 303
        assert set(found) == many | {".", "..", "deep"}
    assert client.stat(client.walk("d", "deep", "..", "file7"))[1] == 5
    assert client.stat(client.walk("d", "..", "..", ".."))[0] & 0o40000
    client.fails(errno.ENOTEMPTY, UNLINKAT, n(ROOT), s("d"), n(0x200))
    client(RENAMEAT, n(ROOT), s("d"), n(ROOT), s("e"))
    fid = client.walk("e", "file9")
    client(RENAME, n(fid, ROOT), s("top"))
    assert (folder / "top").read_text() == "file9"
    assert client.stat(fid)[1] == 5
    client(LINK, n(ROOT, fid), s("again"))
    assert (folder / "again").stat().st_nlink == 2
    client(REMOVE, n(fid))
    assert not (folder / "top").exists()


def test_attributes(client: Client, folder: Path) -> None:
    fid = client.create("f", b"12345678", mode=0o4755)
    assert (folder / "f").stat().st_mode & 0o7777 == 0o755
    times = q(1000) + q(5) + q(2000) + q(7)
    client(SETATTR, n(fid, 1 | 8 | 0x1B0, 0o640, 0, 0), q(4), times)
    info = (folder / "f").stat()
    assert (info.st_mode & 0o7777, info.st_size) == (0o640, 4)
    assert (info.st_atime_ns, info.st_mtime_ns) == (1000 * 10**9 + 5, 2000 * 10**9 + 7)
    client(SETATTR, n(fid, 2 | 4, 0, 99, 99), q(0), bytes(32))
    assert (folder / "f").stat().st_uid == os.getuid()
    assert len(client(STATFS, n(fid))) == 60


def test_links_are_the_guests(client: Client, folder: Path) -> None:
    """A link is read, never followed, wherever it points."""
    client(SYMLINK, n(ROOT), s("out"), s("../secret"), n(0))
    (folder / "etc").symlink_to("/etc")
    assert client(READLINK, n(client.walk("out"))) == s("../secret")
    assert client.stat(client.walk("out"))[0] & 0o170000 == 0o120000
    client.fails(errno.ELOOP, OPEN, n(client.walk("out"), 0))
    with pytest.raises(OSError, match=r"part|link|loop|Not"):
        client.walk("etc", "passwd")
    client.fails(errno.EOPNOTSUPP, SETATTR, n(client.walk("out"), 1, 0o777, 0, 0), q(0), bytes(32))
    client.fails(errno.EINVAL, SETATTR, n(client.walk("out"), 8, 0, 0, 0), q(0), bytes(32))
    client(SETATTR, n(client.walk("out"), 0x1B0, 0, 0, 0), q(0), q(1) * 4)
    assert (folder.parent / "secret").read_text() == "secret"
    assert (folder.parent / "secret").stat().st_mtime > 1000
    client.fails(errno.EEXIST, CREATE, n(client.walk()), s("out"), n(2, 0o644, 0))


def test_no_way_out(client: Client, folder: Path) -> None:
    for name in ("..", ".", "", "../secret", "a/b", "/etc", "x\0y"):
        for kind, tail in ((CREATE, n(2, 0o644, 0)), (MKDIR, n(0o755, 0)), (UNLINKAT, n(0))):
            client.fails(errno.EINVAL, kind, n(client.walk()), s(name), tail)
        if name != "..":
            client.fails(errno.EINVAL, WALK, n(ROOT, 99), b"\1\0", s(name))
    # What was a directory becomes a link while a fid refers to what is below.
    (folder / "d").mkdir()
    (folder / "d" / "secret").write_text("mine")
    fid = client.walk("d", "secret")
    (folder / "d").rename(folder / "moved")
    (folder / "d").symlink_to("..")
    client.fails(errno.ELOOP, OPEN, n(fid, 0))
    client.fails(errno.ELOOP, GETATTR, n(fid), q(0x7FF))


def test_special_files(client: Client, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    client.fails(errno.ENXIO, OPEN, n(client.walk("pipe"), 0))
    client.fails(errno.EPERM, MKNOD, n(ROOT), s("sda"), n(0o060644, 8, 0, 0))
    client(MKNOD, n(ROOT), s("plain"), n(0o100600, 0, 0, 0))
    assert (folder / "plain").stat().st_mode == 0o100600


def test_read_only(folder: Path) -> None:
    (folder / "f").write_text("same")
    client = Client(folder, is_read_only=True)
    client.fails(errno.EROFS, MKDIR, n(ROOT), s("d"), n(0o755, 0))
    client.fails(errno.EROFS, OPEN, n(client.walk("f"), os.O_RDWR))
    client.fails(errno.EROFS, OPEN, n(client.walk("f"), os.O_TRUNC))
    client.fails(errno.EROFS, SETATTR, n(client.walk("f"), 1, 0, 0, 0), q(0), bytes(32))
    client.fails(errno.EROFS, UNLINKAT, n(ROOT), s("f"), n(0))
    client.fails(errno.EROFS, CREATE, n(client.walk()), s("g"), n(2, 0o644, 0))
    client.fails(errno.EROFS, SYMLINK, n(ROOT), s("g"), s("f"), n(0))
    assert client.read(client.open("f")) == b"same"
    assert os.listdir(folder) == ["f"]


def test_nonsense(client: Client, folder: Path) -> None:
    """Random messages are answered, and stay inside."""
    draw = random.Random(1)
    (folder / "f").write_text("x")
    for _ in range(4000):
        kind = draw.choice([*MESSAGES, draw.randrange(256)])
        if kind == VERSION and draw.random() < 0.9:
            continue
        body = b"".join(
            draw.choice(
                [
                    n(draw.choice([0, 1, 11, 12, NO_FID])),
                    s(draw.choice(["f", "..", "a/b", "d"])),
                    q(draw.getrandbits(64)),
                    draw.randbytes(3),
                ]
            )
            for _ in range(draw.randrange(6))
        )
        reply = client.server.answer(struct.pack("<IBH", 7 + len(body), kind, 1) + body)
        assert len(reply) >= 7
    assert client.server.answer(b"\0")[4] == 7
    assert sorted(p.name for p in folder.parent.iterdir()) == ["secret", "shared"]
    assert (folder.parent / "secret").read_text() == "secret"


@pytest.mark.parametrize("modern", [False, True])
def test_over_virtio(folder: Path, modern: bool) -> None:
    device = VirtioShare(ram(), Server(Folder(str(folder))), "host")
    driver = Driver(device, modern=modern)
    assert bytes(device.config) == s("host")
    body = n(8192) + s("9P2000.L")
    message = struct.pack("<IBH", 7 + len(body), VERSION, 0xFFFF) + body
    _, reply = driver.offer(0, message, 100)
    driver.notify()
    assert driver.used() == [len(message)]
    assert driver.physical.read(reply + 7, len(body)) == body
    with pytest.raises(ValueError, match="1 to 31 bytes"):
        VirtioShare(ram(), device.server, "")
