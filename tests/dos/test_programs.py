"""Real DOS programs: FreeDOS's from the shared diskette, C programs that Debian's bcc compiles."""

from __future__ import annotations

import gzip
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dos.test_services import HERE, assemble
from tests.running import ANY, SUITES, Outcome, jitemu, run, work_directory

IMAGE = SUITES / "boot" / "freedos13-floppy-720k.img.gz"


def files_of(image: bytes) -> Iterator[tuple[str, bytes]]:
    """Read a FAT12 diskette: paths and contents."""
    sector, cluster, reserved, fats, roots = struct.unpack_from("<HBHBH", image, 11)
    (size,) = struct.unpack_from("<H", image, 22)
    table = image[reserved * sector : (reserved + size) * sector]
    root = (reserved + fats * size) * sector
    data = root + 32 * roots

    def contents(first: int) -> bytes:
        found = b""
        while 2 <= first < 0xFF8:
            start = data + (first - 2) * cluster * sector
            found += image[start : start + cluster * sector]
            (pair,) = struct.unpack_from("<H", table, first * 3 // 2)
            first = pair >> 4 if first & 1 else pair & 0xFFF
        return found

    def walk(directory: bytes, prefix: str) -> Iterator[tuple[str, bytes]]:
        for at in range(0, len(directory), 32):
            entry = directory[at : at + 32]
            if entry[0] in (0, 0xE5, 0x2E) or entry[11] & 8:
                continue
            name = entry[:8].decode("cp437").strip()
            extension = entry[8:11].decode("cp437").strip()
            path = prefix + name + ("." + extension if extension else "")
            first, length = struct.unpack_from("<HI", entry, 26)
            if entry[11] & 16:
                yield from walk(contents(first), path + "/")
            else:
                yield path, contents(first)[:length]

    yield from walk(image[root:data], "")


@pytest.fixture(scope="module")
def freedos() -> dict[str, bytes]:
    """Return the programs of the FreeDOS diskette; skip without it."""
    if not IMAGE.exists():
        pytest.skip(f"{IMAGE} is missing (set JITEMU_SUITES)")
    found = files_of(gzip.decompress(IMAGE.read_bytes()))
    return {path.rpartition("/")[2].lower(): data for path, data in found}


def execute(
    freedos: dict[str, bytes],
    program: str,
    *words: str,
    stdin: bytes = b"",
    files: dict[str, bytes] | None = None,
) -> Outcome:
    with work_directory({program: freedos[program], **(files or {})}) as work:
        return run([*jitemu(ANY), program, *words], stdin=stdin, work=work)


def test_command_interpreter(freedos: dict[str, bytes]) -> None:
    """FreeCOM makes, copies, shows and removes files, and runs batch files and programs."""
    script = [
        "ver", "mkdir sub", "cd sub", "echo hello > a.txt", "copy a.txt b.txt", "type b.txt",
        "ren b.txt c.txt", "dir /b", "del a.txt", "cd ..", "call job.bat one", "mem", "exit",
    ]  # fmt: skip
    batch = b"@echo off\r\nif exist sub\\c.txt echo found %1\r\nfor %%f in (*.bat) do echo %%f\r\n"
    files = {"mem.exe": freedos["mem.exe"], "job.bat": batch}
    stdin = "".join(line + "\r\n" for line in script).encode()
    got = execute(freedos, "command.com", stdin=stdin, files=files)
    text = got.stdout.decode("cp437")
    assert got.status == 0, got.stderr
    for part in ("FreeCom version 0.85a", "C:\\sub>type b.txt\r\nhello", "A.TXT\r\nC.TXT"):
        assert part in text
    for part in ("found one", "JOB.BAT", "Largest executable program size"):
        assert part in text
    assert set(got.files) == {"command.com", "mem.exe", "job.bat", "sub/c.txt"}


def test_nobody_answers(freedos: dict[str, bytes], tmp_path: Path) -> None:
    """Where FreeCOM cannot write and nobody is there, commands fail and the script goes on."""
    (tmp_path / "KEPT.TXT").write_bytes(b"kept")
    script = ["d:", "echo x > new.txt", "copy con con.txt", "del kept.txt", "dir /b", "exit"]
    stdin = "".join(line + "\r\n" for line in script).encode()
    with work_directory({"command.com": freedos["command.com"]}) as work:
        command = [*jitemu(ANY, "--mount", f"D={tmp_path}:ro"), "command.com"]
        got = run(command, stdin=stdin, work=work)
    assert got.status == 0, got.stderr
    assert got.stderr.count(b"(A)bort, (I)gnore, (R)etry, (F)ail?") == 3
    assert b"KEPT.TXT" in got.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["KEPT.TXT"]


def test_batch_file(freedos: dict[str, bytes]) -> None:
    """A batch file is run by the COMMAND.COM beside it; without one a line says what is missing."""
    batch = b"@echo off\r\nif not %1==go goto end\r\necho [%2] here\r\n:end\r\n"
    with work_directory({"job.bat": batch}) as work:
        missing = run([*jitemu(ANY), "job.bat"], work=work)
        (work / "Command.Com").write_bytes(freedos["command.com"])
        got = run([*jitemu(ANY), "job.bat", "go", "two"], work=work)
    assert missing.status == 126
    assert b"needs a COMMAND.COM" in missing.stderr
    assert got.stdout.strip() == b"[two] here", got.stderr
    assert got.status == 0


def test_attrib(freedos: dict[str, bytes]) -> None:
    """ATTRIB shows and changes attributes; the read-only one is the host's."""
    with work_directory({"attrib.com": freedos["attrib.com"], "file.txt": b"x"}) as work:
        command = [*jitemu(ANY), "attrib.com"]
        assert run([*command, "+r", "file.txt"], work=work).status == 0
        assert not (work / "file.txt").stat().st_mode & 0o222
        shown = run([*command, "file.txt"], work=work).stdout
    assert b"FILE.TXT" in shown.upper()
    assert b"R" in shown.upper().partition(b"FILE.TXT")[0]


def test_compare(freedos: dict[str, bytes]) -> None:
    """FC finds what differs; its exit code says so."""
    files = {"one.txt": b"same\r\none\r\n", "two.txt": b"same\r\ntwo\r\n"}
    got = execute(freedos, "fc.exe", "one.txt", "two.txt", files=files)
    assert got.status == 1, got.stdout
    assert b"one" in got.stdout
    assert b"two" in got.stdout


def test_copy_of_a_tree(freedos: dict[str, bytes]) -> None:
    """XCOPY copies directories."""
    with work_directory({"xcopy.exe": freedos["xcopy.exe"]}) as work:
        (work / "tree" / "deep").mkdir(parents=True)
        (work / "tree" / "a.txt").write_bytes(b"a" * 70000)
        (work / "tree" / "deep" / "b.txt").write_bytes(b"b")
        got = run([*jitemu(ANY), "xcopy.exe", "tree", "copy", "/S", "/I"], work=work)
        assert got.status == 0, got.stdout
        assert (work / "COPY" / "A.TXT").read_bytes() == b"a" * 70000
        assert (work / "COPY" / "DEEP" / "B.TXT").read_bytes() == b"b"


def test_c_program() -> None:
    """A program compiled by bcc does with files, memory and arguments what C says."""
    if shutil.which("bcc") is None:
        pytest.skip("bcc is missing (Debian package bcc)")
    with work_directory({}) as work:
        source: Path = HERE / "c" / "files.c"
        command = ["bcc", "-Md", "-0", "-ansi", "-o", "files.com", source]
        subprocess.run(command, cwd=work, check=True, capture_output=True)
        got = run([*jitemu(ANY), "files.com", "one", "two"], stdin=b"x\ny\n", work=work)
        words = (work / "WORDS.TXT").read_bytes()
    assert got.status == 42, got.stderr
    assert got.stdout.replace(b"\r", b"").decode().splitlines() == [
        "argument 1 is one",
        "argument 2 is two",
        "pear",  # the library sorts downwards, under DOSBox, too
        "fig",
        "apple",
        "-42 12345678",
        "at 500: 250, behind it 502",
        "sum 332833500",
        "<x><y>",
    ]
    assert words.replace(b"\r", b"") == b"pear\napple\nfig\n-42 12345678\n"


def test_commands_without_an_interpreter() -> None:
    """COMSPEC /C runs programs and the simplest commands although there is no COMMAND.COM."""
    with work_directory({"one.txt": b"one\r\n"}) as work:
        command = [*jitemu(ANY), assemble("shell", work).name]
        assemble("open", work)
        assert run([*command, "open", "one.txt"], work=work).stdout == b"one\r\n"
        assert run([*command, "open", "missing.txt"], work=work).status == 2
        assert run([*command, "open.com one.txt > two.txt"], work=work).status == 0
        assert (work / "TWO.TXT").read_bytes() == b"one\r\n"
        assert run([*command, "echo", "more", ">>", "two.txt"], work=work).status == 0
        assert run([*command, "type two.txt"], work=work).stdout == b"one\r\nmore\r\n"
        assert run([*command, "md sub"], work=work).status == 0
        assert run([*command, "copy *.txt sub"], work=work).status == 0
        assert run([*command, "del one.txt"], work=work).status == 0
        assert sorted(path.name for path in (work / "SUB").iterdir()) == ["ONE.TXT", "TWO.TXT"]
        assert not (work / "one.txt").exists()
        got = run([*command, "nonsense"], work=work)
        assert (got.status, got.stderr.partition(b"\r")[0]) == (1, b"Bad command or file name")
