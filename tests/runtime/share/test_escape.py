"""A guest that wants out of its folder, helped by somebody who changes names all the time."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import threading
from pathlib import Path

import pytest

from tests.runtime.share.test_ninep import (
    CLUNK,
    CREATE,
    GETATTR,
    LINK,
    MKDIR,
    NO_FID,
    OPEN,
    READ,
    READDIR,
    READLINK,
    REMOVE,
    RENAME,
    RENAMEAT,
    ROOT,
    SETATTR,
    SYMLINK,
    UNLINKAT,
    WALK,
    WRITE,
    Client,
    n,
    q,
    s,
)  # fmt: skip

SECRET = b"the secret of the host " * 20
NAMES = ("a", "b", "d", "e", "secret", "up", "abs", "dir")


def world(tmp_path: Path) -> Path:
    """Make a folder with links out of it, and beside it what nobody may see or change."""
    shared, other = tmp_path / "shared", tmp_path / "other"
    for place in (shared, other, shared / "d", shared / "d" / "e", other / "dir"):
        place.mkdir()
    for place in (tmp_path / "secret", other / "secret", other / "dir" / "secret"):
        place.write_bytes(SECRET)
    for place in (shared / "b", shared / "d" / "b", shared / "d" / "e" / "b"):
        place.write_bytes(b"for the guest")
    (shared / "up").symlink_to("..")
    (shared / "abs").symlink_to(tmp_path / "other")
    return shared


def swap(shared: Path, stop: threading.Event) -> None:
    """Let names be directories, files, and links out of the folder, by turns."""
    names, turn = [shared / "d", shared / "d" / "e", shared / "a"], 0
    while not stop.is_set():
        turn += 1
        place = names[turn % 3]
        with contextlib.suppress(OSError):
            place.rename(place.with_name(f"old{turn}"))
            place.symlink_to(("../other", "../..", "/etc", "../secret")[turn % 4])
        with contextlib.suppress(OSError):
            place.unlink()
            place.with_name(f"old{turn}").rename(place)


def step(client: Client, draw: random.Random, seen: list[bytes]) -> None:
    """Send a message that is well formed."""
    known = [*(fid for fid in client.server.fids if fid != ROOT), draw.randrange(2, 40)]
    if len(known) > 30:
        client(CLUNK, n(known[0]))
        return
    some = lambda: n(draw.choice(known))  # noqa: E731
    name = lambda: s(draw.choice(NAMES))  # noqa: E731
    kind = draw.choice(
        (*[WALK] * 9, *[OPEN] * 4, *[READ] * 4, *[CREATE] * 4, *[MKDIR] * 2, WRITE, WRITE, SYMLINK,
         LINK, RENAME, RENAMEAT, UNLINKAT, REMOVE, CLUNK, GETATTR, SETATTR, READLINK, READDIR)
    )  # fmt: skip
    if kind == WALK:
        names = [draw.choice((*NAMES, "..")) for _ in range(draw.choice((0, 1, 1, 2, 3, 17)))]
        parts = [n(draw.choice((ROOT, *known)), draw.randrange(2, 40))]
        parts += [len(names).to_bytes(2, "little"), *map(s, names)]
    else:
        parts = {
            OPEN: lambda: [some(), n(draw.choice((0, 1, 2, 0o1002, 0o2002, 0o4200000, NO_FID)))],
            READ: lambda: [some(), q(draw.choice((0, 5, 1 << 63, 1 << 40))), n(NO_FID)],
            WRITE: lambda: [some(), q(draw.choice((0, 9, (1 << 64) - 1))), n(3), b"bad"],
            CREATE: lambda: [some(), name(), n(0o102, 0o7777, 0)],
            MKDIR: lambda: [some(), name(), n(0o7777, 0)],
            SYMLINK: lambda: [some(), name(), s(draw.choice(("..", "/etc", "../secret"))), n(0)],
            LINK: lambda: [some(), some(), name()],
            RENAME: lambda: [some(), some(), name()],
            RENAMEAT: lambda: [some(), name(), some(), name()],
            UNLINKAT: lambda: [some(), name(), n(draw.choice((0, 0x200)))],
            GETATTR: lambda: [some(), q(0x7FF)],
            SETATTR: lambda: [
                some(), n(draw.choice((1, 8, 9, 0x1F0)), 0o7777, 0, 0),
                q(draw.choice((0, 4, 1 << 63))), os.urandom(32),
            ],
            READDIR: lambda: [some(), q(draw.choice((0, 3, 1 << 63))), n(8000)],
        }.get(kind, lambda: [some()])()  # fmt: skip
    with contextlib.suppress(OSError):
        reply = client(kind, *parts)
        if kind == READ:
            seen.append(reply)


@pytest.mark.parametrize("is_read_only", [False, True])
def test_races(tmp_path: Path, is_read_only: bool) -> None:
    """Nothing outside is read or changed, whatever names become between a look and its use."""
    shared = world(tmp_path)
    client, stop = Client(shared, is_read_only=is_read_only), threading.Event()
    racer = threading.Thread(target=swap, args=(shared, stop))
    racer.start()
    seen: list[bytes] = []
    draw = random.Random(1)
    try:
        for _ in range(20_000):
            step(client, draw, seen)
    finally:
        stop.set()
        racer.join()
        client.server.reset()
    assert not any(b"secret of the host" in data or b"root:" in data for data in seen)
    outside = {
        str(path.relative_to(tmp_path)): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file() and shared not in path.parents and not path.is_symlink()
    }
    assert outside == dict.fromkeys(("secret", "other/secret", "other/dir/secret"), SECRET)
    assert client.server.opened == 0
    assert len(seen) > 5  # how many are read between two swaps is up to the host


def test_numbers_and_depths(tmp_path: Path) -> None:
    """More than 16 names, numbers that are in use, and sizes that no file has."""
    shared = world(tmp_path)
    client = Client(shared)
    many = [s("..")] * 17
    client.fails(errno.EINVAL, WALK, n(ROOT, 50), b"\x11\0", *many)
    assert client.walk(*[".."] * 16)  # the folder is its own parent
    fid = client.walk("d")
    client.fails(errno.EBADF, WALK, n(ROOT, fid), b"\0\0")
    file = client.create("f", b"x")
    client.fails(errno.EINVAL, WALK, n(file, 60), b"\0\0")
    client.fails(errno.EINVAL, READ, n(file), q(1 << 63), n(10))
    for size in (1 << 63, (1 << 64) - 1):
        client.fails(errno.EINVAL, SETATTR, n(file, 8, 0, 0, 0), q(size), bytes(32))
    assert (shared / "f").read_bytes() == b"x"
    client.server.reset()
