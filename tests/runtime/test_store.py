"""Compiled code on disk: whatever happens to it, it is ignored, not believed, and made again."""

from __future__ import annotations

import errno
import os
import re
import resource
import sys
from pathlib import Path

import pytest

from runtime import codestore
from runtime.store import disk, library, place, version
from runtime.store.library import Library
from runtime.store.pack import Damaged, Item, Pack, encode, file_name

KEYS = [bytes([i]) * 16 for i in range(5)]
VALUES = {key: Item((b"code %d" % key[0], b"", ((1, 4, 0, 2, -4),)), key[0]) for key in KEYS}
VERSION = b"v" * 16


@pytest.fixture(autouse=True)
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use an empty cache directory."""
    monkeypatch.setenv("JITEMU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("JITEMU_BUILT", str(tmp_path / "built"))
    monkeypatch.delenv("JITEMU_CACHE_SIZE", raising=False)
    monkeypatch.setattr(place, "_warned", set())
    return tmp_path / "cache"


def folder(top: Path) -> Path:
    return top / version.current().folder


def packs(top: Path, kind: str = "test") -> list[Path]:
    return sorted(folder(top).glob(f"{kind}-*.pack"))


def saved(items: dict[bytes, Item] = VALUES) -> Library:
    made = Library("test")
    assert made.save(items)
    return made


def found(key: bytes = KEYS[3]) -> object:
    """Look with fresh eyes."""
    return Library("test").find(key)


# ---- packs ----
def test_round_trip(top: Path) -> None:
    saved()
    assert [found(key) for key in KEYS] == [item.value for item in VALUES.values()]
    assert found(b"x" * 16) is None
    assert Library("other").find(KEYS[0]) is None
    again = Library("test")
    again.open()
    assert again.totals() == (5, sum(range(5)))
    assert [path.stat().st_mode & 0o777 for path in (top, folder(top), *packs(top))] == [
        0o700,
        0o700,
        0o600,
    ]


def test_many_keys_are_all_found() -> None:
    items = {os.urandom(32): b"record %d" % i for i in range(1000)}
    data = encode("test", VERSION, items, dict.fromkeys(items, 1))
    pack = Pack("name", data, "test", VERSION)
    assert all(pack.record(key) == (record, 1) for key, record in items.items())
    assert all(pack.record(os.urandom(32)) is None for _ in range(1000))


def test_every_truncation_and_flipped_bit(top: Path) -> None:
    """No damage is ever taken for a value."""
    saved()
    (path,) = packs(top)
    data = path.read_bytes()
    for at in range(len(data)):
        for bad in (data[:at], data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]):
            try:
                pack = Pack("name", bad, "test", version.current().digest())
            except Damaged:
                continue
            values = [pack.get(key) for key in KEYS]
            assert all(v is None or v == VALUES[k].value for k, v in zip(KEYS, values, strict=True))
            assert None in values, at
            assert pack.is_damaged


def test_damaged_packs_are_written_anew(top: Path) -> None:
    saved()
    (path,) = packs(top)
    path.write_bytes(path.read_bytes()[:-3])
    assert found() is None
    saved()
    assert found() == VALUES[KEYS[3]].value


def test_a_damaged_record_is_written_anew(top: Path) -> None:
    """The other records of its pack stay in use."""
    saved()
    (path,) = packs(top)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"code 3", b"code 8"))
    fresh = Library("test")
    assert fresh.find(KEYS[3]) is None
    assert fresh.find(KEYS[2]) == VALUES[KEYS[2]].value
    assert fresh.save({KEYS[3]: VALUES[KEYS[3]]})
    assert [found(key) for key in KEYS] == [item.value for item in VALUES.values()]
    assert not any(b"code 8" in path.read_bytes() for path in packs(top))


def test_another_versions_pack_is_ignored(top: Path) -> None:
    saved()
    data = encode("test", VERSION, {KEYS[0]: b"record"}, {KEYS[0]: 1})
    (folder(top) / file_name("test", data)).write_bytes(data)
    assert found() == VALUES[KEYS[3]].value
    with pytest.raises(Damaged):
        Pack("name", data, "test", version.current().digest())
    with pytest.raises(Damaged):
        Pack("name", data, "other", VERSION)


def test_the_version_covers_all_that_is_compiled() -> None:
    """Also the modules that compiled functions take their constants from."""
    names = {part.__name__ for part in codestore.compiled_parts()}
    for name in sorted(names):
        text = Path(str(sys.modules[name].__file__)).read_text()
        names |= set(re.findall(r"^from (runtime\.\S+) import", text, re.MULTILINE))
    known = {Path(path).resolve() for path in version.files()}
    missing = {name for name in names if Path(str(sys.modules[name].__file__)) not in known}
    assert not missing


# ---- who may have written it ----
def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert text.startswith("jitemu: ")
    return text


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    assert found() is None
    text = complaint(capsys)
    assert found() is None
    assert not capsys.readouterr().err, "said twice"
    return text


@pytest.mark.parametrize("which", ["top", "folder", "pack"])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_writable_by_others(
    which: str, mode: int, top: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved()
    path = {"top": top, "folder": folder(top), "pack": packs(top)[0]}[which]
    path.chmod(path.stat().st_mode | mode)
    assert "by other users" in refused(capsys)


@pytest.mark.parametrize("which", ["top", "folder", "pack"])
def test_symbolic_links(
    which: str, top: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved()
    path = {"top": top, "folder": folder(top), "pack": packs(top)[0]}[which]
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert "symbolic link" in refused(capsys)


def test_somebody_elses(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert "another user" in refused(capsys)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("which", ["top", "folder", "pack"])
def test_really_somebody_elses(which: str, top: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved()
    path = {"top": top, "folder": folder(top), "pack": packs(top)[0]}[which]
    os.chown(path, 12345, -1)
    assert "another user" in refused(capsys)
    before = path.stat().st_mtime_ns
    Library("test").save({b"y" * 16: VALUES[KEYS[0]]})
    assert path.stat().st_uid == 12345
    assert which == "folder" or path.stat().st_mtime_ns == before


def test_a_pipe_in_the_way(top: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved()
    (path,) = packs(top)
    path.unlink()
    os.mkfifo(path, 0o600)
    assert "regular file" in refused(capsys)


def test_a_file_in_the_way(top: Path, capsys: pytest.CaptureFixture[str]) -> None:
    top.write_text("a file where the directory should be")
    assert found() is None
    assert "not a directory" in complaint(capsys)
    assert Library("test").save(VALUES)
    assert not capsys.readouterr().err  # it has been said
    place._warned.clear()
    assert Library("test").save(VALUES)
    assert "not a directory" in complaint(capsys)


def test_off(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("JITEMU_CACHE", "off")
    saved()
    assert found() is None
    assert not capsys.readouterr().err


def test_umask_of_the_guest(top: Path) -> None:
    before = os.umask(0o777)
    try:
        saved()
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (top, *packs(top))] == [0o700, 0o600]


# ---- where nothing can be written ----
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("call", ["write", "rename", "open", "mkdir"])
def test_failing_disk(
    number: int,
    call: str,
    top: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line; what was there stays; nothing half written remains."""
    if call != "mkdir":
        saved()
    real = getattr(os, call)

    def fail(*args: object, **named: object) -> object:
        if call == "open" and not (isinstance(args[1], int) and args[1] & os.O_CREAT):
            return real(*args, **named)
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        for _ in range(2):
            assert Library("test").save({b"z" * 16: Item(1, 1)})
    assert os.strerror(number) in complaint(capsys)
    assert found(b"z" * 16) is None
    if call != "mkdir":
        assert found() == VALUES[KEYS[3]].value
        assert not list(folder(top).glob(".new-*"))


def test_file_size_limit_of_the_guest(capsys: pytest.CaptureFixture[str]) -> None:
    """Writing would kill the guest by SIGXFSZ."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        saved()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot be kept" in complaint(capsys)
    assert found() is None


# ---- several writers ----
def test_a_busy_lock_puts_writing_off(top: Path) -> None:
    saved()
    with place.opened(version.current().folder) as fd:
        assert fd is not None
        with place.locked(fd) as is_mine:
            assert is_mine
            assert not Library("test").save({b"z" * 16: Item(1, 1)})
    assert Library("test").save({b"z" * 16: Item(1, 1)})
    assert found(b"z" * 16) == 1


def test_what_others_saved_is_not_saved_again(top: Path) -> None:
    first, second = Library("test"), Library("test")
    assert second.find(KEYS[0]) is None
    assert first.save(VALUES)
    assert second.save(VALUES)
    assert len(packs(top)) == 1
    assert second.find(KEYS[0]) == VALUES[KEYS[0]].value


def test_many_packs_become_few(top: Path) -> None:
    mine = Library("test")
    keys = [i.to_bytes(2) * 8 for i in range(300)]
    for key in keys:
        assert mine.save({key: Item((key,), 1)})
        assert len(packs(top)) <= library.MERGE_AT + 1
    fresh = Library("test")
    assert all(fresh.find(key) == (key,) for key in keys)


def test_a_dead_writers_leavings_go(top: Path) -> None:
    saved()
    (folder(top) / ".new-4711").write_bytes(b"half")
    saved({b"z" * 16: Item(1, 1)})
    assert not list(folder(top).glob(".new-*"))


# ---- size ----
@pytest.mark.parametrize(("text", "size"), [("4096", 4096), ("64K", 65536), ("2g", 2 << 30)])
def test_size_texts(text: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JITEMU_CACHE_SIZE", text)
    assert place.limit() == size


def test_bad_size_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("JITEMU_CACHE_SIZE", "much")
    assert place.limit() == place.DEFAULT_LIMIT
    assert "much" in complaint(capsys)


def test_least_recently_used_packs_go(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(6):
        saved({bytes([i]) * 16: Item(bytes([i]) * 10_000, 1)})
        for path in packs(top):
            if os.stat(path).st_mtime > 1_000_000:
                os.utime(path, (1000 + i, 1000 + i))
    monkeypatch.setenv("JITEMU_CACHE_SIZE", "35000")
    Library("test").save({b"z" * 16: Item(bytes(9000), 1)})
    assert sum(path.stat().st_size for path in packs(top)) <= 35_000
    assert found(b"z" * 16) == bytes(9000)
    assert found(bytes([5]) * 16) is not None
    assert found(bytes([0]) * 16) is None


def test_old_versions_go(top: Path) -> None:
    saved()
    for i in range(1, 10):
        old = top / f"v1-{i:032x}"
        old.mkdir(mode=0o700)
        (old / f"test-{i:016x}.pack").write_bytes(b"old")
        os.utime(old / f"test-{i:016x}.pack", (i, i))
    (top / "mine").write_text("no file of the cache")
    saved({b"z" * 16: Item(1, 1)})
    left = [path.name for path in top.iterdir() if path.name.startswith("v1-")]
    assert len(left) == disk.VERSIONS_KEPT
    assert found() == VALUES[KEYS[3]].value
    assert disk.clear()
    assert [path.name for path in top.iterdir()] == ["mine"]


# ---- what installing compiled ----
def test_built_packs(top: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are found, not written to the user's cache again, and read by anybody."""
    Library("test").build(VALUES)
    Library("test").build(dict(list(VALUES.items())[1:]))
    (path,) = place.built().iterdir()
    assert path.stat().st_mode & 0o777 == 0o644
    assert found() == VALUES[KEYS[3]].value
    assert found(KEYS[0]) is None
    saved()
    mine = Library("test")
    mine.open()
    assert mine.totals()[0] == 1
    path.write_bytes(path.read_bytes()[:-3])
    assert found() is None
    path.chmod(0o666)
    assert found() is None
    assert not capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_somebody_elses_built_packs() -> None:
    Library("test").build(VALUES)
    os.chown(place.built(), 12345, -1)
    assert found() is None
