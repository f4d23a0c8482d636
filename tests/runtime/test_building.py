"""The list of models that is compiled beside guests: kept once, found at once, in nobody's way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime import building, codestore, compiler
from runtime.building import BUILDING, Building
from runtime.store import place, version
from runtime.store.library import Library
from translator import frequent
from translator.tiers import family, stencil
from translator.tiers.store import Shelf

MODE = b""
WAIT = 60.0  # seconds, on a busy machine


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache, which this process and those that it starts use."""
    monkeypatch.setenv("JITEMU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("JITEMU_BUILT", str(tmp_path / "built"))
    monkeypatch.setattr(codestore, "MODEL_PACKS", Library("models"))
    return tmp_path / "cache"


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return what processes would have been started with."""
    found: list[list[str]] = []
    monkeypatch.setattr(compiler, "spawn", lambda _module, words, *_: found.append(words))
    return found


@pytest.fixture
def starter() -> Iterator[subprocess.Popen[bytes]]:
    """Return a process that others can end with."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def chunk_names() -> list[bytes]:
    return [c.name for c in frequent.chunks(is_machine=True) if c.mode == MODE]


def start(process: int) -> None:
    """Let the list be built until a process ends."""
    words = [str(process), "machine", MODE.hex()]
    compiler.spawn("runtime.building", words, building._NAMES, (building._NO_FD,) * 3)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def builders(process: int) -> list[int]:
    """Return the processes that build for one."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path("/proc", name, "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[-4:-1] == [b"%d" % process, b"machine", MODE.hex().encode()]:
            found.append(int(name))
    return found


def count_done() -> int:
    """Return how many chunks are on disk, as a new process sees it."""
    library = Library("models")
    return sum(library.find(name) is not None for name in chunk_names())


def is_locked() -> bool:
    with building._lock() as is_mine:
        return not is_mine


def test_it_ends_with_who_started_it(cache: Path, starter: subprocess.Popen[bytes]) -> None:
    """And a second one while it runs ends at once; what was done is kept and whole."""
    start(starter.pid)
    until(lambda: count_done() > 1)
    (first,) = builders(starter.pid)
    assert is_locked()
    start(starter.pid)
    until(lambda: builders(starter.pid) == [first])
    starter.kill()
    starter.wait()
    until(lambda: not is_locked() and not builders(starter.pid))
    done = count_done()
    assert 1 < done < len(chunk_names())
    library = Library("models")
    library.open()
    assert library.packs
    assert not any(pack.is_damaged for pack in library.packs)
    chunk = frequent.chunks(is_machine=True)[0]
    assert all(library.find(family.name(sample.pattern())) for sample in chunk.samples)


def test_it_is_killed(cache: Path, starter: subprocess.Popen[bytes]) -> None:
    """Then the next one goes on where it stood."""
    start(starter.pid)
    until(lambda: count_done() > 0)
    (first,) = builders(starter.pid)
    os.kill(first, signal.SIGKILL)
    until(lambda: not builders(starter.pid))
    done = count_done()
    start(starter.pid)
    until(lambda: count_done() > done)


@pytest.fixture
def small(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[frequent.Chunk]:
    """Return a short list, and count batches that are compiled."""
    chunks = [c for c in frequent.chunks(is_machine=True) if c.mode == MODE][:3]
    chunks = [c._replace(samples=c.samples[:4]) for c in chunks]
    monkeypatch.setattr(frequent, "chunks", lambda *, is_machine: chunks)
    monkeypatch.setattr(building, "MODELS", models := Shelf[bytes](1 << 14))
    models.source = codestore.MODEL_PACKS.find
    return chunks


def test_it_is_compiled_once(small: list[frequent.Chunk], monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks that are there are not compiled again, nor patterns of theirs that are."""
    batches: list[int] = []
    build = stencil.build
    monkeypatch.setattr(stencil, "build", lambda jobs: batches.append(len(jobs)) or build(jobs))
    names = [family.name(sample.pattern()) for sample in small[0].samples]
    first = family.Sample(*small[0].samples[0])
    family.make_models([first], building.MODELS)
    building.compile_list(MODE, is_machine=True)
    assert batches == [1, 3, 4, 4]
    building.compile_list(MODE, is_machine=True)
    assert batches == [1, 3, 4, 4]
    library = Library("models")
    assert all(library.find(name) is not None for name in [*names, *(c.name for c in small)])


def test_what_others_add_is_seen(small: list[frequent.Chunk], spawned: list[list[str]]) -> None:
    """Without a look at the disk by the one who misses it, and until the list is all there."""
    wanted = family.name(small[2].samples[3].pattern())
    one = Building()
    one.begin(MODE, is_machine=True)
    assert spawned == [[str(os.getpid()), "machine", MODE.hex()]]
    assert one.find(wanted) is None
    mine, codestore.MODEL_PACKS = codestore.MODEL_PACKS, Library("models")
    building.compile_list(MODE, is_machine=True)
    codestore.MODEL_PACKS = mine
    assert one.find(wanted) is not None
    other = Building()
    other.begin(MODE)
    assert not other.watched
    assert len(spawned) == 1


def test_help_is_asked_for_when_much_is_missing(
    small: list[frequent.Chunk], spawned: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short program has none; who helps may end, and another one is started then."""
    one = Building()
    assert not one.need(MODE, 30)
    assert not one.need(b"\xf5\1\1", 60)
    assert not spawned
    assert one.need(MODE, 40)
    assert spawned == [[str(os.getpid()), "program", MODE.hex()]]
    assert one.need(MODE, 1)
    assert len(spawned) == 1
    monkeypatch.setattr(building, "_PAUSE", 0.0)
    with building._lock() as is_mine:
        assert is_mine
        assert one.need(MODE, 1)
        assert len(spawned) == 1  # somebody is at it
    assert one.need(MODE, 1)
    assert len(spawned) == 2
    building.compile_list(MODE, is_machine=False)
    assert one.need(MODE, 1)  # all is there
    assert len(spawned) == 2


def test_nothing_can_be_kept(
    small: list[frequent.Chunk],
    spawned: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Then nobody is started, and nothing is said."""

    def is_refused(**variables: Any) -> bool:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            one = Building()
            one.begin(MODE)
            return not one.need(MODE, 1000) and not one.watched

    assert is_refused(JITEMU_CACHE="off")
    assert is_refused(JITEMU_CACHE="/proc/nowhere/cache")
    assert is_refused(JITEMU_CACHE_SIZE="0")
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_, **__: False)
        assert is_refused()
    assert not spawned
    assert capfd.readouterr() == ("", "")
    assert not is_refused()


def test_a_full_disk_ends_it(
    small: list[frequent.Chunk], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """After the first chunk that cannot be kept."""

    def write(*_: Any, **__: Any) -> None:
        tried.append(1)
        raise OSError(28, "No space left on device")

    tried: list[int] = []
    monkeypatch.setattr(place, "write", write)
    building.compile_list(MODE, is_machine=True)
    assert tried == [1]
    assert count_done() == 0


def test_engines_use_it(cache: Path) -> None:
    """Engines look models up there, whose cache is this version's."""
    from translator.tiers.store import MODELS, STORE

    building.attach()
    assert STORE.help == BUILDING.need
    assert MODELS.source == BUILDING.find
    assert place.VERSION_NAME.fullmatch(version.current().folder)


def test_support_code_is_made_before_a_machine_is(cache: Path) -> None:
    """As `jitemu cache build` does, which imports no device."""
    code = "from runtime import codestore; print(len(codestore._build_support()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("4\n", "")
