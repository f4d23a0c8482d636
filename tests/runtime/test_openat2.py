"""Confined opening: what leads out is refused, with openat2 and on hosts that refuse the call."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

import pytest

from runtime.personalities.linux import openat2


@pytest.fixture(params=[None, errno.ENOSYS, errno.EPERM])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Open a directory, on hosts of each kind."""
    if request.param is not None:

        def refuse(*arguments: object) -> int:
            ctypes.set_errno(request.param)
            return -1

        monkeypatch.setattr(openat2, "_syscall", refuse)
    monkeypatch.setattr(openat2, "_has_openat2", True)
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "file").write_bytes(b"inside")
    (root / "inner").symlink_to("sub")
    (root / "outer").symlink_to(tmp_path)
    (tmp_path / "secret").write_bytes(b"outside")
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    yield fd, request.param is None
    assert openat2._has_openat2 == (request.param is None)
    os.close(fd)


def opened(fd: int) -> bytes:
    """Read through a descriptor, and close it."""
    with open(fd, "rb") as file:
        return file.read()


def test_confined_open(folder: tuple[int, bool]) -> None:
    """Links are followed inside, where openat2 is there, and never to the outside."""
    fd, is_new = folder
    assert opened(openat2.confined_open(fd, b"sub/file", os.O_RDONLY)) == b"inside"
    through = openat2.confined_open(fd, b"inner/file", os.O_RDONLY)
    assert opened(through) == b"inside" if is_new else through == -errno.ELOOP
    for path in (b"outer/secret", b"../secret"):
        assert openat2.confined_open(fd, path, os.O_RDONLY) in (-errno.EXDEV, -errno.ELOOP)
    assert openat2.confined_open(fd, b"none", os.O_RDONLY, 0o644) == -errno.ENOENT
    made = openat2.confined_open(fd, b"new", os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o100600)
    assert os.fstat(made).st_mode & 0o7777 == 0o600
    os.close(made)


def test_path_beneath(folder: tuple[int, bool]) -> None:
    """No link is followed; one can be had itself."""
    fd, _ = folder
    found = openat2.path_beneath(fd, b"sub/file")
    assert os.readlink(f"/proc/self/fd/{found}").endswith("/root/sub/file")
    assert not os.get_inheritable(found)
    os.close(found)
    for path in (b"inner", b"inner/file", b"outer/secret"):
        assert openat2.path_beneath(fd, path) == -errno.ELOOP
    assert openat2.path_beneath(fd, b"../secret") == -errno.EXDEV
    link = openat2.path_beneath(fd, b"outer", os.O_NOFOLLOW)
    assert os.readlink(b"", dir_fd=link)
    os.close(link)
