"""Bad input and hostile guests: one clear line, the right status, never a traceback, no way out."""

from __future__ import annotations

import os
import shlex
import signal
import struct
import sys
from pathlib import Path

import pytest

from tests.building import build
from tests.running import ANY, Outcome, jitemu, run, work_directory

BAD = Path(__file__).parent / "bad"
NOT_FOUND, NOT_EXECUTABLE = 127, 126


def start(*arguments: str, work: Path | None = None, timeout: float = 120) -> Outcome:
    """Run jitemu with guest arguments."""
    return run([*jitemu(ANY), *arguments], work=work, timeout=timeout)


def assert_one_line(got: Outcome) -> None:
    """Check that the emulator said what is wrong in one line."""
    text = got.stderr.decode(errors="replace")
    assert "Traceback" not in text, text
    assert len(text.strip().splitlines()) == 1, text
    assert text.startswith("jitemu: "), text


@pytest.fixture(scope="module")
def good() -> bytes:
    """Return the bytes of a good static program."""
    return build(BAD / "crash.c").read_bytes()


def elf(machine: int = 3, bits: int = 1, kind: int = 2, phnum: int = 1, phoff: int = 52) -> bytes:
    """Return a small ELF file whose program header is nonsense where a test wants it so."""
    ident = b"\x7fELF" + bytes([bits, 1, 1, 0]) + bytes(8)
    head = struct.pack(
        "<HHIIIIIHHHHHH", kind, machine, 1, 0x8048054, phoff, 0, 0, 52, 32, phnum, 0, 0, 0
    )
    program = struct.pack("<8I", 1, 0, 0x8048000, 0x8048000, 0x60, 0x60, 5, 0x1000)
    return ident + head + program + b"\xb8\x01\x00\x00\x00\xcd\x80"


FILES = {
    "empty": b"",
    "one-byte": b"\x7f",
    "text": b"just words\n",
    "magic-only": b"\x7fELF",
    "garbage": bytes((i * 73 + 11) % 256 for i in range(5000)),
    "elf-garbage": b"\x7fELF" + bytes((i * 73 + 11) % 256 for i in range(5000)),
    "x86-64": elf(machine=62, bits=2) + bytes(200),
    "arm": elf(machine=40),
    "mips": elf(machine=8),
    "relocatable": elf(kind=1),
    "core": elf(kind=4),
    "no-headers": elf(phnum=0),
    "headers-outside": elf(phoff=0x7FFFFFF0),
    "many-headers": elf(phnum=65535),
    "big-endian": b"\x7fELF\x01\x02\x01" + elf()[7:],
}


@pytest.mark.parametrize("name", FILES)
def test_bad_file(name: str) -> None:
    """What is no i386 program is refused."""
    with work_directory({"bad": FILES[name]}) as work:
        (work / "bad").chmod(0o755)
        got = start("./bad", work=work)
    assert got.status == NOT_EXECUTABLE
    assert_one_line(got)


@pytest.mark.parametrize("part", [10, 40, 51, 60, 200, 4095, 4097, 0.3, 0.5, 0.95])
def test_truncated(part: float, good: bytes) -> None:
    """A program cut short is refused, or dies of the missing part as natively."""
    size = part if isinstance(part, int) else int(len(good) * part)
    with work_directory({"cut": good[:size]}) as work:
        (work / "cut").chmod(0o755)
        got = start("./cut", work=work)
    assert got.status in (NOT_EXECUTABLE, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGILL, 99)
    if got.status != 99:  # only section headers were missing
        assert_one_line(got)


@pytest.mark.parametrize("seed", range(8))
def test_flipped_headers(seed: int, good: bytes) -> None:
    """Damaged headers are refused or make a guest that dies; the emulator stays whole."""
    damaged = bytearray(good)
    for n in range(6):
        at = (seed * 7919 + n * 104729) % 200 + 4
        damaged[at] ^= 1 << (seed + n) % 8
    with work_directory({"damaged": bytes(damaged)}) as work:
        (work / "damaged").chmod(0o755)
        got = run([*jitemu(ANY), "./damaged"], work=work, timeout=20)
    assert b"Traceback" not in got.stderr
    assert len(got.stderr.splitlines()) <= 1


@pytest.mark.parametrize("name", ["/nonexistent/program", "nonexistent", "./file/../no", ""])
def test_missing_program(name: str) -> None:
    """A program that does not exist."""
    got = start(name)
    assert got.status == NOT_FOUND
    assert_one_line(got)
    assert b"No such file or directory" in got.stderr


def test_unreachable_program(good: bytes) -> None:
    """A loop of links, and a file taken for a directory."""
    with work_directory({"file": good}) as work:
        (work / "loop").symlink_to("loop")
        loop, below = start("./loop", work=work), start("./file/x", work=work)
    assert (loop.status, below.status) == (NOT_EXECUTABLE, NOT_EXECUTABLE)
    assert_one_line(loop)
    assert_one_line(below)
    assert b"symbolic links" in loop.stderr
    assert b"Not a directory" in below.stderr


def test_directory() -> None:
    """A directory is no program."""
    got = start("/tmp")
    assert got.status == NOT_EXECUTABLE
    assert_one_line(got)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable(good: bytes) -> None:
    """A program that may not be read."""
    with work_directory({"hidden": good}) as work:
        (work / "hidden").chmod(0)
        got = start("./hidden", work=work)
    assert got.status == NOT_EXECUTABLE
    assert_one_line(got)


def test_missing_interpreter(good: bytes) -> None:
    """A dynamic program without its loader."""
    path = b"/lib/nosuch-ld.so\0"
    ident = b"\x7fELF" + bytes([1, 1, 1, 0]) + bytes(8)
    head = struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, 0x8048080, 52, 0, 0, 52, 32, 2, 0, 0, 0)
    interp = struct.pack("<8I", 3, 116, 0x8048074, 0x8048074, len(path), len(path), 4, 1)
    load = struct.pack("<8I", 1, 0, 0x8048000, 0x8048000, 0x100, 0x100, 5, 0x1000)
    image = (ident + head + interp + load + path).ljust(0x100, b"\x90")
    with work_directory({"dynamic": image}) as work:
        (work / "dynamic").chmod(0o755)
        got = start("./dynamic", work=work)
    assert got.status == NOT_FOUND
    assert_one_line(got)
    assert b"nosuch-ld.so" in got.stderr


def test_bad_options() -> None:
    """Unknown options and values are usage errors."""
    for words in (["run", "--nosuch"], ["run"], ["nosuch"], ["run", "--strategy", "nosuch", "x"]):
        got = run([*jitemu(ANY)[:3], *words])
        assert got.status == 2
        assert b"Traceback" not in got.stderr


CRASHES = {
    "null": signal.SIGSEGV, "read": signal.SIGSEGV, "top": signal.SIGSEGV,
    "write-code": signal.SIGSEGV, "jump-null": signal.SIGSEGV, "jump-data": signal.SIGSEGV,
    "jump-top": signal.SIGSEGV, "ud2": signal.SIGILL, "divide": signal.SIGFPE,
    "privileged": signal.SIGSEGV, "int3": signal.SIGTRAP, "int": signal.SIGSEGV,
    "bound": signal.SIGSEGV, "into": signal.SIGSEGV, "x87": signal.SIGFPE, "sse": signal.SIGFPE,
    "align": signal.SIGSEGV, "stack": signal.SIGSEGV, "no-stack": signal.SIGSEGV,
    "unmap-self": signal.SIGSEGV,
}  # fmt: skip


@pytest.mark.parametrize("how", CRASHES)
def test_guest_crash(how: str) -> None:
    """A guest that faults dies by the same signal, and one line says so."""
    got = start(str(build(BAD / "crash.c")), how)
    assert got.status == -CRASHES[how]
    assert got.stdout == b"before\n"
    assert_one_line(got)
    assert signal.Signals(CRASHES[how]).name.encode() in got.stderr


@pytest.mark.parametrize(("how", "number"), [("abort", signal.SIGABRT), ("kill", signal.SIGKILL)])
def test_guest_signals_itself(how: str, number: signal.Signals) -> None:
    """A guest that sends itself a deadly signal dies of it."""
    got = start(str(build(BAD / "crash.c")), how)
    assert got.status == -number
    assert b"Traceback" not in got.stderr


@pytest.mark.parametrize("how", ["read", "float", "call"])
def test_scan(how: str) -> None:
    """Touching addresses all over the 4 GiB only ever faults the guest."""
    got = start(str(build(BAD / "scan.c")), how, "0x00fff000")
    assert (got.status, got.stdout) == (0, f"{how} 1\n".encode()), got.stderr


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("how", ["read", "float", "call"])
def test_scan_finely(how: str) -> None:
    """The same, every 64 KiB."""
    got = start(str(build(BAD / "scan.c")), how, "0x10000", timeout=900)
    assert (got.status, got.stdout) == (0, f"{how} 1\n".encode()), got.stderr


def check_noise(seed: int, runs: int, timeout: float) -> None:
    """Random bytes end in survival, in a guest's death that is reported, or with the time."""
    options = ("--timeout", str(int(timeout)))
    program = str(build(BAD / "noise.c"))
    with work_directory({}) as work:
        command = [*jitemu(ANY, *options), program, str(seed), str(runs)]
        got = run(command, work=work, timeout=timeout + 30)
    assert b"Traceback" not in got.stderr, got.stderr[-2000:]
    assert got.status is not None, "the time limit did not end it"
    if got.status < 0:
        assert_one_line(got)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_bytes(seed: int) -> None:
    """A guest that executes noise cannot hurt the emulator."""
    check_noise(seed, 60, 20)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(10, 20))
def test_random_bytes_for_minutes(seed: int) -> None:
    """The same for long."""
    check_noise(seed, 100_000, 30)


def test_path_escape() -> None:
    """No path trick reaches a file outside the guest's tree."""
    program = build(BAD / "escape.c")
    with work_directory({"outer/secret": b"SECRET\n", "outer/inside/x": b""}) as work:
        outer = work / "outer"
        command = [*jitemu(ANY), str(program), str(outer / "secret"), str(outer)]
        got = run(command, work=outer / "inside", timeout=120)
        names = sorted(path.name for path in outer.iterdir())
        content = (outer / "secret").read_bytes() if (outer / "secret").exists() else b""
    assert b"LEAK" not in got.stdout, got.stdout[:3000].decode(errors="replace")
    assert (names, content) == (["inside", "secret"], b"SECRET\n")
    assert got.status == 0, got.stderr


@pytest.mark.parametrize("command", [jitemu(ANY), jitemu("tiered", "--region-threshold", "1")])
def test_reach(command: list[str]) -> None:
    """Nor do races, descriptors, sockets and rare calls, nor any process outside of the run."""
    program = build(BAD / "reach.c")
    with work_directory({"outer/secret": b"SECRET\n", "outer/inside/x": b""}) as work:
        inside = work / "outer" / "inside"
        got = run([*command, str(program), str(inside)], work=inside, timeout=120)
    assert got.stdout == b"tried; 0 leaks\n", got.stdout[:3000].decode(errors="replace")
    assert got.status == 0, got.stderr


def test_memory_limit() -> None:
    """`--memory` makes allocation fail, not the emulator."""
    program = build(Path(__file__).parent / "guests" / "mapping.c")
    with work_directory({}) as work:
        got = run([*jitemu(ANY, "--memory", "8M"), str(program)], work=work)
    assert b"Traceback" not in got.stderr


def test_timeout() -> None:
    """`--timeout` ends a guest that never would."""
    program = build(BAD / "spin.c")
    got = run([*jitemu(ANY, "--timeout", "1"), str(program)], timeout=30)
    assert got.status is not None
    assert got.status != 0
    assert got.seconds < 15
    assert_one_line(got)


def test_interrupt() -> None:
    """SIGINT stops a spinning guest at once."""
    program = build(BAD / "spin.c")
    script = (
        "import signal, subprocess, sys, time; "
        f"p = subprocess.Popen({[*jitemu(ANY), str(program)]!r}, stdout=-1); "
        "p.stdout.readline(); t = time.monotonic(); p.send_signal(signal.SIGINT); "
        "status = p.wait(20); print(status, time.monotonic() - t < 3)"
    )
    got = run([sys.executable, "-c", script], timeout=60)
    assert got.stdout == b"-2 True\n"
    assert b"Traceback" not in got.stderr


def test_closed_output() -> None:
    """Output into a closed pipe kills by SIGPIPE, as natively."""
    program = build(BAD / "spin.c")
    command = shlex.join([*jitemu(ANY), str(program), "write"])
    script = f'{command} | head -c1 >/dev/null; echo "${{PIPESTATUS[0]}}"'
    got = run(["bash", "-c", script], timeout=60)
    assert got.stdout.split()[-1] == b"141"
    assert b"Traceback" not in got.stderr
