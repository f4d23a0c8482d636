"""The stencil file: whatever happens to it, it is ignored, not believed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime import codestore

VALUE = {("a",): (b"code", 1), ("b",): (b"", 2)}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use an empty cache directory."""
    monkeypatch.setenv("JITEMU_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def saved() -> Path:
    codestore.save("test", VALUE)
    return codestore.directory() / f"test-{codestore.key()}.bin"


def test_round_trip() -> None:
    saved()
    assert codestore.load("test") == VALUE
    assert codestore.load("other") is None


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 40])
def test_truncated(size: int) -> None:
    path = saved()
    os.truncate(path, size)
    assert codestore.load("test") is None


def test_every_flipped_bit() -> None:
    path = saved()
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        assert codestore.load("test") is None, at


def test_writable_by_others() -> None:
    path = saved()
    path.chmod(0o666)
    assert codestore.load("test") is None


def test_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    saved()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert codestore.load("test") is None


def test_symbolic_link(tmp_path: Path) -> None:
    path = saved()
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert codestore.load("test") is None


def test_directory_in_the_way(cache: Path) -> None:
    cache.write_text("a file where the directory should be")
    codestore.save("test", VALUE)
    with codestore.locked("test"):
        assert codestore.load("test") is None


def test_old_versions_go(cache: Path) -> None:
    saved()
    for i in range(10):
        old = cache / f"test-{i:024x}.bin"
        old.write_bytes(b"")
        os.utime(old, (i, i))
    saved()
    left = sorted(p.name for p in cache.glob("test-*.bin"))
    assert len(left) == codestore.VERSIONS_KEPT
    assert codestore.load("test") == VALUE
