"""DOS programs that are broken, hostile or caught in a loop: one clear line, and the run ends."""

from __future__ import annotations

import os
import random
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.commands import COMMAND
from tests.dos.test_services import assemble
from tests.running import ANY, PRELUDE, Outcome, host_environment, jitemu, run, work_directory


def execute(
    code: bytes, name: str = "bad.com", *options: str, stdin: bytes = b"", timeout: float = 60
) -> Outcome:
    with work_directory({name: code}) as work:
        return run([*jitemu(ANY, *options), name], stdin=stdin, work=work, timeout=timeout)


def header(**fields: int) -> bytes:
    """Return an MZ header of 32 bytes for an image of one page."""
    values = {"last": 0, "pages": 1, "count": 0, "header": 2, "low": 0, "high": 0xFFFF}
    values |= {"ss": 0, "sp": 0x100, "sum": 0, "ip": 0, "cs": 0, "table": 0x1C, "number": 0}
    values |= fields
    return b"MZ" + struct.pack("<13H", *values.values()) + bytes(4)


@pytest.mark.parametrize(
    ("name", "data", "part"),
    [
        ("empty.com", b"", "empty"),
        ("large.com", bytes(70000), "too large"),
        ("short.exe", b"MZ" + bytes(10), "cut off"),
        ("cut.exe", header(pages=40) + bytes(100), "cut off"),
        ("table.exe", header(count=60000) + bytes(480), "cut off"),
        ("long.exe", header(header=0xFFFF) + bytes(480), "longer than the file"),
        ("page.exe", header(last=600) + bytes(480), "512"),
        ("big.exe", header(low=0xFFF0) + bytes(480), "memory"),
        ("text.exe", b"hello, world" * 6000, "too large"),
    ],
)
def test_bad_files(name: str, data: bytes, part: str) -> None:
    """A file that is no program is refused in one line."""
    got = execute(data, name)
    lines = got.stderr.decode().splitlines()
    assert got.status == 126, lines
    assert len(lines) == 1, lines
    assert lines[0].startswith("jitemu: ")
    assert part in lines[0]


def test_missing_file() -> None:
    """What is not there is said so, with the status that shells have for it."""
    with work_directory({}) as work:
        got = run([*jitemu(ANY), "missing.com"], work=work)
    assert got.status == 127


@pytest.mark.parametrize(
    ("code", "part"),
    [
        ("faf4", "interrupts off"),  # cli; hlt
        ("0fff", "invalid instruction"),
        ("b8ffffa1ffff", "beyond the end"),  # mov ax, [FFFFh]
        ("31dbf7f3", ""),  # div bx: DOS says it
        ("b0fee664ebfe", "reset"),  # out 64h, FEh
    ],
    ids=["halt", "opcode", "limit", "divide", "reset"],
)
def test_programs_gone_wrong(code: str, part: str) -> None:
    """The run ends with 255 and says why."""
    got = execute(bytes.fromhex(code))
    text = got.stderr.decode()
    assert got.status == 255, text
    assert part in text
    assert "Traceback" not in text
    assert bool(part) != (b"Divide overflow" in got.stdout)


def test_chain_of_blocks_destroyed() -> None:
    """Memory functions fail with error 7; the program goes on."""
    # mov ax, cs; dec ax; mov es, ax; mov byte [es:0], 0; mov bx, 1; mov ah, 48h; int 21h
    # mov ah, 4Ch; int 21h
    code = "8cc8488ec026c606000000bb0100b448cd21b44ccd21"
    got = execute(bytes.fromhex(code))
    assert got.status == 7
    assert "destroyed the chain of memory blocks" in got.stderr.decode()


@pytest.mark.parametrize("code", ["ebfe", "faebfe", "fbf4ebfc"], ids=["loop", "cli", "hlt"])
def test_interrupt_from_the_keyboard(code: str) -> None:
    """SIGINT ends at once a program that spins, with interrupts off or halted."""
    with work_directory({"spin.com": bytes.fromhex(code)}) as work:
        command = [*jitemu(ANY), "spin.com"]
        with subprocess.Popen(command, cwd=work, env=host_environment()) as process:
            time.sleep(2)
            process.send_signal(signal.SIGINT)
            started = time.monotonic()
            assert process.wait(10) == -signal.SIGINT
            assert time.monotonic() - started < 2


def test_closed_pipe() -> None:
    """A program that prints for ever ends when nobody reads it any more, as others do."""
    # again: mov dl, 'x'; mov ah, 2; int 21h; jmp again
    with work_directory({"yes.com": bytes.fromhex("b278b402cd21ebf8")}) as work:
        command = [*jitemu(ANY), "yes.com"]
        with subprocess.Popen(
            command, cwd=work, env=host_environment(), stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.read(10) == b"x" * 10
            process.stdout.close()
            assert process.wait(20) == -signal.SIGPIPE


@pytest.mark.parametrize(
    ("option", "value", "part"),
    [("--timeout", "1", "time limit"), ("--budget", "100000", "budget")],
)
def test_limits(option: str, value: str, part: str) -> None:
    """Limits end a program that does not end."""
    got = execute(bytes.fromhex("ebfe"), "spin.com", option, value)
    assert got.status == 124
    assert part in got.stderr.decode()


@pytest.mark.parametrize("seed", range(3))
def test_garbage(seed: int) -> None:
    """Random bytes do whatever they do; nothing of it is ours."""
    data = random.Random(seed).randbytes(4000)
    got = execute(data, "junk.com", "--timeout", "3", timeout=30)
    assert got.status is not None
    assert got.status >= 0
    assert got.status != 125
    assert b"Traceback" not in got.stderr
    assert b"internal error" not in got.stderr


# -- what DOS tells programs, and asks them --------------------------------------------------------
def test_break_and_critical_error(tmp_path: Path) -> None:
    """INT 23h goes on or ends the program; INT 24h has a function tried again, then fail."""
    with work_directory({}) as work:
        command = [*jitemu(ANY, "--mount", f"D={tmp_path}:ro"), assemble("breaks", work).name]
        got = run(command, stdin=b"a\3b\3", work=work)
        assert got.stdout.decode().splitlines() == [
            "key=0061 ^C",
            "key=0062 breaks=0001 ",
            "create E0005",
            "asked=0002 drive=0003 code=0000 ",
            "extended=0013 ",
            "^C",
        ]
        got = run([*command, "x"], stdin=b"a\3b\3", work=work)  # DOS's own handlers
        assert got.stdout.decode().splitlines() == ["key=0061 ^C"]


def test_executable_with_relocations() -> None:
    """An MZ program's segments are where it was loaded; one for Windows runs its part for DOS."""
    # mov ax, 2 (a segment of the image, relocated); mov ds, ax; mov dx, 0; mov ah, 9; int 21h...
    code = bytes.fromhex("b80200 8ed8 ba0000 b409 cd21 b8054c cd21").ljust(32, b"\x90")
    image = header(last=96, count=1, table=0x1C)[:28] + struct.pack("<HH", 1, 0) + code
    got = execute(image + b"second segment$" + bytes(30), "prog.exe")
    assert (got.stdout, got.status) == (b"second segment", 5)
    windows = bytearray(image.ljust(0x80, b"\0") + b"PE\0\0" + bytes(40))
    windows[0x1C:0x20] = bytes(4)
    struct.pack_into("<H", windows, 6, 0)
    struct.pack_into("<HH", windows, 2, 0, 1)
    windows[0x20:0x30] = bytes.fromhex("b8074ccd21").ljust(16, b"\x90")
    struct.pack_into("<I", windows, 0x3C, 0x80)
    got = execute(bytes(windows).ljust(512, b"\0"), "win.exe")
    assert got.status == 7
    assert "Windows" in got.stderr.decode()


def test_packed_program() -> None:
    """What EXEPACK packed is loaded above 64 KiB, where its unpacker works; others below."""
    # mov ax, ds (the PSP); mov al, ah; mov ah, 4Ch; int 21h
    code = bytes.fromhex("8cd8 88e0 b44c cd21")
    for sign, is_above in ((b"RB", True), (b"\x90\x90", False)):
        image = header(last=64, ip=2) + (sign + code).ljust(32, b"\x90")
        assert (execute(image, "packed.exe").status >= 0x10) == is_above


def test_speed_of_the_processor() -> None:
    """Turbo Pascal's division of the loops in 55 ms does not overflow; other divisions do."""
    # mov dx, 100; mov cx, 55; div cx; add dx, ax; mov al, dl; mov ah, 4Ch; int 21h
    code = "ba6400 b93700 f7f1 01c2 88d0 b44ccd21"
    assert execute(bytes.fromhex(code)).status == 0xFF
    got = execute(bytes.fromhex(code.replace("b937", "b936")))
    assert b"Divide overflow" in got.stdout


def test_version() -> None:
    """--dos-version is what function 30h tells."""
    # mov ah, 30h; int 21h; add al, ah; mov ah, 4Ch; int 21h
    got = execute(bytes.fromhex("b430cd2100e0b44ccd21"), "ver.com", "--dos-version", "3.30")
    assert got.status == 33


def test_cycles() -> None:
    """--cycles slows the processor down: 2 million insns at 1000 a millisecond take 2 s."""
    # mov dx, 16; again: xor cx, cx; next: loop next; dec dx; jnz again; ret
    code = bytes.fromhex("ba1000 31c9 e2fe 4a 75f9 c3")
    assert execute(code, "slow.com", "--cycles", "500").seconds > 2
    assert execute(code, "fast.com", "--cycles", "max").status == 0


_COUNT = """
import os, sys
from runtime.personalities.dos.options import DosOptions
from runtime.personalities.dos.system import Dos

os.chdir(sys.argv[1])
dos = Dos("count.com", [], DosOptions(cycles=int(sys.argv[2]) or None))
dos.machine.processor.cpu.eflags &= ~0x200  # a tick may be due already
end = dos.run(int(sys.argv[3]))
print(end.is_limit, dos.kernel.memory.u32((dos.kernel.first_psp << 4) + 0x200))
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.parametrize("cycles", [0, 3000], ids=["fast", "slow"])
def test_budget(cycles: int) -> None:
    """It is exact, also for a processor that is slowed down."""
    code = bytes.fromhex("66ff060002 ebf9")  # again: inc dword [200h]; jmp again
    for budget, count in ((10, 5), (40_002, 20_001)):
        with work_directory({"count.com": code}) as work:
            words = [str(work), str(cycles), str(budget)]
            got = run([sys.executable, "-c", PRELUDE + _COUNT, *words], work=work)
        assert got.stdout.split() == [b"True", b"%d" % count], got.stderr


# -- isolation -------------------------------------------------------------------------------------
def test_nothing_outside_is_reachable(tmp_path: Path) -> None:
    """Dots, links and host paths lead nowhere; a link inside the drive works."""
    (tmp_path / "secret.txt").write_text("secret")
    drive = tmp_path / "drive"
    (drive / "SUB").mkdir(parents=True)
    (drive / "REAL.TXT").write_text("inside")
    (drive / "SUB" / "GOOD.TXT").symlink_to("../REAL.TXT")
    (drive / "BAD.TXT").symlink_to("../secret.txt")
    (drive / "ABS.TXT").symlink_to(tmp_path / "secret.txt")
    (drive / "OUT").symlink_to("..")
    os.mkfifo(drive / "PIPE.TXT")
    program = assemble("open", drive)
    names = ["SUB\\GOOD.TXT", "BAD.TXT", "ABS.TXT", "OUT\\SECRET.TXT", "..\\SECRET.TXT"]
    names += [str(tmp_path / "secret.txt").replace("/", "\\"), "PIPE.TXT", "OUT\\.\\SECRET.TXT"]
    command = [*COMMAND, "run", program.name]
    for index, name in enumerate(names):
        got = run([*command, name], work=drive, timeout=30)
        wanted = b"inside" if not index else b""
        assert got.stdout == wanted, name
        assert got.status == (0 if not index else got.status or 1)
        assert got.status in ((0,) if not index else (2, 3, 5)), (name, got.status)


def test_read_only_drive(tmp_path: Path) -> None:
    """On a drive mounted :ro nothing can be made, changed or removed."""
    (tmp_path / "TEST.DAT").write_text("0123456789")
    (tmp_path / "TEST.DAT").chmod(0o644)
    program = assemble("files", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    options = ("--mount", f"C={tmp_path}:ro")
    got = run([*jitemu(ANY, *options), program], work=tmp_path)
    assert b"E0005" in got.stdout
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
