"""`jitemu cache`, and guests that share a cache, or whose cache is full, damaged or foreign."""

from __future__ import annotations

import errno
import io
import os
import random
import re
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.building import build
from tests.commands import COMMAND, program
from tests.running import ANY, host_environment, jitemu, run, work_directory

GUEST = program("mix")
ENDLESS = Path(__file__).parent / "front" / "endless.c"
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def work() -> Iterator[Path]:
    with work_directory({}) as path:
        yield path


def environment(work: Path, **more: str) -> dict[str, str]:
    own = {"JITEMU_CACHE": str(work / "cache"), "JITEMU_BUILT": str(work / "built")}
    return {**host_environment(), **own, **more}


def guest(work: Path, **more: str) -> tuple[int | None, bytes, bytes]:
    """Run the guest; return status, output and complaints."""
    done = run([*jitemu(ANY), GUEST], env=environment(work, **more))
    return done.status, done.stdout, done.stderr


def cache(work: Path, *words: str, status: int = 0, **more: str) -> str:
    """Run `jitemu cache`; return what it printed."""
    done = run([*COMMAND, "cache", *words], env=environment(work, **more))
    assert done.status == status, done.stderr
    assert b"Traceback" not in done.stderr
    return (done.stdout + done.stderr).decode()


def stencils(work: Path, **more: str) -> int:
    found = re.search(r"^stencils +(\d+) ", cache(work, "info", **more), re.M)
    assert found is not None
    return int(found[1])


def compiled(work: Path) -> int:
    """Return how many stencils and regions there are."""
    return sum(map(int, re.findall(r"^(?:stencils|regions) +(\d+) ", cache(work, "info"), re.M)))


def packs(work: Path) -> list[Path]:
    return sorted((work / "cache").glob("*/*.pack"))


@pytest.fixture(scope="module")
def expected() -> tuple[int | None, bytes, bytes]:
    """What the guest does with a cache that works."""
    with work_directory({}) as work:
        return guest(work)


@pytest.mark.particular
def test_programs_are_counted(work: Path) -> None:
    assert "of what 0 programs need" in cache(work, "info")
    guest(work)
    guest(work)
    assert "of what 1 programs need" in cache(work, "info")


# ---- damage ----
def test_damaged_files(work: Path, expected: tuple[int | None, bytes, bytes]) -> None:
    """Any bytes changed or cut off: the same results, no word, and a whole cache behind."""
    rng = random.Random(8)
    guest(work)
    count = stencils(work)
    for _ in range(4):
        for path in packs(work):
            data = bytearray(path.read_bytes())
            if rng.random() < 0.4:
                del data[rng.randrange(len(data)) :]
            for _ in range(3 if data else 0):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            path.write_bytes(data)
        assert guest(work) == expected
    assert guest(work) == expected
    assert stencils(work) >= count


@ROOT_ONLY
@pytest.mark.parametrize("which", ["cache", "folder", "pack"])
def test_somebody_elses_files(
    work: Path, which: str, expected: tuple[int | None, bytes, bytes]
) -> None:
    guest(work)
    folder = packs(work)[0].parent
    os.chown({"cache": work / "cache", "folder": folder, "pack": packs(work)[0]}[which], 4242, -1)
    status, out, err = guest(work)
    assert (status, out) == expected[:2]
    assert re.fullmatch(rb"(jitemu: [^\n]*another user[^\n]*\n){1,2}", err)


def mounting(*command: str | Path) -> None:
    """Do it once no process of an ended run, which compiles what is frequent, writes there."""
    until = time.monotonic() + 20
    while subprocess.run(command, capture_output=True).returncode:
        assert time.monotonic() < until, command
        time.sleep(0.1)


@ROOT_ONLY
def test_full_disk(work: Path, expected: tuple[int | None, bytes, bytes]) -> None:
    (work / "cache").mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k,mode=700", "none", str(work / "cache")]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        status, out, err = guest(work)
        assert (status, out) == expected[:2]
        assert err.count(b"\n") == 1
        assert os.strerror(errno.ENOSPC).encode() in err
        mounting("mount", "-o", "remount,ro", work / "cache")
        status, out, err = guest(work)
        assert (status, out) == expected[:2]
        assert err.count(b"\n") == 1
        assert os.strerror(errno.EROFS).encode() in err
    finally:
        mounting("umount", work / "cache")


def test_no_directory_can_be_made(work: Path, expected: tuple[int | None, bytes, bytes]) -> None:
    status, out, err = guest(work, JITEMU_CACHE="/proc/nowhere/cache")
    assert (status, out) == expected[:2]
    assert err.count(b"\n") == 1
    assert guest(work, JITEMU_CACHE="off") == expected


# ---- several at once ----
def start(work: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*jitemu(ANY), GUEST],
        env=environment(work),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize(
    "count", [20, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
def test_concurrent_processes(
    count: int, work: Path, expected: tuple[int | None, bytes, bytes]
) -> None:
    """All start with an empty cache: same results, few packs, nothing half written."""
    running = [start(work) for _ in range(count)]
    ends = [process.communicate() for process in running]
    assert {process.returncode for process in running} == {expected[0]}
    assert {out for out, _ in ends} == {expected[1]}
    assert {err for _, err in ends} == {expected[2]}
    assert len(packs(work)) < 20
    assert not list((work / "cache").glob("*/.new-*"))
    assert guest(work) == expected
    assert compiled(work) > 5


@pytest.mark.parametrize("count", [12, pytest.param(150, marks=pytest.mark.slow)])
def test_killed_at_any_moment(
    count: int, work: Path, expected: tuple[int | None, bytes, bytes]
) -> None:
    rng = random.Random(9)
    begun = time.monotonic()
    assert guest(work) == expected
    longest = time.monotonic() - begun
    cache(work, "clear")
    for _ in range(count):
        process = start(work)
        time.sleep(rng.random() * longest)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert guest(work) == expected
    assert guest(work) == expected
    assert not list((work / "cache").glob("*/.new-*"))


# ---- the size ----
def test_the_limit_holds(work: Path, expected: tuple[int | None, bytes, bytes]) -> None:
    guest(work, JITEMU_CACHE_SIZE="20K")
    assert sum(path.stat().st_size for path in packs(work)) <= 20 << 10
    assert guest(work, JITEMU_CACHE_SIZE="0") == expected
    assert "much" in cache(work, "info", JITEMU_CACHE_SIZE="much")


# ---- commands ----
def test_warm(work: Path, expected: tuple[int | None, bytes, bytes]) -> None:
    """Hardly anything is left to compile, and nothing by a second time."""
    text = cache(work, "warm", "-j", "2", GUEST, "ignored")
    assert re.search(r"[1-9]\d* stencils compiled\n$", text)
    assert " 0 stencils compiled" in cache(work, "warm", GUEST)
    before = stencils(work)
    assert guest(work) == expected
    assert stencils(work) - before < before // 10


@pytest.mark.parametrize(
    ("words", "status", "words_of_complaint"),
    [
        (["warm"], 2, "say"),
        (["warm", "-j", "0", "x"], 2, "-j"),
        (["warm", "-L", "/nosuch", "x"], 2, "/nosuch"),
        (["warm", "/nosuch"], 127, "/nosuch"),
        (["warm", __file__], 126, "ELF"),
        (["export", "/nosuch/file"], 1, "/nosuch"),
        (["import", "/nosuch"], 1, "/nosuch"),
        (["import", __file__], 1, "damaged"),
        (["import", "/dev/zero"], 1, "no file"),
        (["import", "/tmp"], 1, "no file"),
        (["warm", "/tmp"], 126, "/tmp: not a file"),
    ],
)
def test_complaints(work: Path, words: list[str], status: int, words_of_complaint: str) -> None:
    text = cache(work, *words, status=status)
    assert text.count("\n") == 1
    assert words_of_complaint in text


def test_without_a_cache_nothing_is_compiled_for_it(work: Path) -> None:
    for words, status in ((["warm", GUEST], 2), (["import", "x"], 1)):
        text = cache(work, *words, status=status, JITEMU_CACHE="off")
        assert text.count("\n") == 1
        assert "JITEMU_CACHE=off" in text


def exported(work: Path) -> Path:
    guest(work)
    assert "stencils" in cache(work, "export", str(work / "file.tar"))
    return work / "file.tar"


def test_export_and_import(work: Path, expected: tuple[int | None, bytes, bytes]) -> None:
    path = exported(work)
    count = stencils(work)
    other = str(work / "other")
    cache(work, "import", str(path), JITEMU_CACHE=other)
    assert stencils(work, JITEMU_CACHE=other) == count
    assert guest(work, JITEMU_CACHE=other) == expected
    assert stencils(work, JITEMU_CACHE=other) == count


@pytest.mark.particular
def test_images_come_along(work: Path) -> None:
    """What a program needs, in one piece, is in an export too, and is used where it is imported."""
    command = [*jitemu("stencil"), build(ENDLESS), "ring", "9"]
    run(command, env=environment(work))
    first = run(command, env=environment(work))  # finds, and so notes, what that one compiled
    path = work / "file.tar"
    assert "images of 1 programs" in cache(work, "export", str(path))
    with tarfile.open(path) as tar:
        assert "shapes.pack" in tar.getnames()
    there = {"JITEMU_CACHE": str(work / "other")}
    assert "images of 1 programs" in cache(work, "import", str(path), **there)
    count = stencils(work, **there)
    for pack in (work / "other").glob("*/stencils-*.pack"):
        pack.unlink()
    # Those that only the slow way needs, not the image, are compiled again: few, if any.
    assert run(command, env=environment(work, **there))[:3] == first[:3]
    assert stencils(work, **there) < count // 4


def rewritten(path: Path, change: object) -> Path:
    """Copy a tar file; *change* maps name and content to others."""
    result = path.with_suffix(".changed")
    with tarfile.open(path) as old, tarfile.open(result, "w") as new:
        for member in old:
            stream = old.extractfile(member)
            assert stream is not None
            name, data = change(member.name, stream.read())  # type: ignore[operator]
            made = tarfile.TarInfo(name)
            made.size = len(data)
            new.addfile(made, io.BytesIO(data))
    return result


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (b'"features": "+', b'"features": "+sse9,+', "a processor with other features"),
        (b'"sources": "', b'"sources": "0', "another version of jitemu"),
        (b'"llvm": "', b'"llvm": "0', "another version of LLVM"),
        (b'"format": 1', b'"format": 2', "another format"),
    ],
)
def test_imports_of_other_versions(work: Path, old: bytes, new: bytes, complaint: str) -> None:
    path = rewritten(exported(work), lambda name, data: (name, data.replace(old, new)))
    cache(work, "clear")
    assert complaint in cache(work, "import", str(path), status=1)
    assert stencils(work) == 0


def test_imports_of_damaged_and_hostile_files(work: Path) -> None:
    path = exported(work)
    cache(work, "clear")
    cache(work, "info")  # --region-threshold makes each process keep its support code
    before = packs(work)

    def flip(name: str, data: bytes) -> tuple[str, bytes]:
        half = len(data) // 2
        return name, data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]

    def climb(name: str, data: bytes) -> tuple[str, bytes]:
        return (f"../../{name}", data) if name.endswith(".pack") else (name, data)

    bad = [rewritten(path, flip).read_bytes(), rewritten(path, climb).read_bytes()]
    whole = path.read_bytes()
    bad += [whole[: len(whole) // 2], b"", os.urandom(20_000)]
    for data in bad:
        (work / "bad.tar").write_bytes(data)
        assert cache(work, "import", str(work / "bad.tar"), status=1).count("\n") == 1
        assert packs(work) == before
    assert not list(work.parent.glob("*.pack"))


def test_links_in_archives_are_refused(work: Path) -> None:
    path = exported(work)
    cache(work, "clear")
    link = work / "link.tar"
    with tarfile.open(path) as old, tarfile.open(link, "w") as new:
        first = old.next()
        assert first is not None
        new.addfile(first, old.extractfile(first))
        made = tarfile.TarInfo("stencils.pack")
        made.type, made.linkname = tarfile.SYMTYPE, "/etc/passwd"
        new.addfile(made)
    assert "no pack" in cache(work, "import", str(link), status=1)
