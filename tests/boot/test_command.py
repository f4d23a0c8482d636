"""`jitemu boot` from its command line: boot order, ends, scripts, as one sees them from outside."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.assembling import assemble
from tests.boot.test_machine import jitemu
from tests.boot.test_multiboot import EXIT, POWER_OFF, kernel
from tests.running import REPOSITORY

# Names itself at port E9h, and then does LAST.
SECTOR = """
    mov al, '{name}'
    out 0xE9, al
{last}
    cli
    hlt
.org 510
    .word 0xAA55
"""
RESET = "mov al, 0xFE\n out 0x64, al"
LEAVE = "mov dx, 0x501\n mov al, 5\n out dx, al"


def image(path: Path, name: str, last: str, size: int) -> str:
    path.write_bytes(assemble(SECTOR.format(name=name, last=last), 0x7C00).ljust(size, b"\0"))
    return str(path)


@pytest.fixture
def disks(tmp_path: Path) -> list[str]:
    floppy = image(tmp_path / "a", "A", RESET, 1440 << 10)
    return ["-fda", floppy, "-hda", image(tmp_path / "c", "C", LEAVE, 1 << 20) + ",format=raw"]


@pytest.mark.parametrize(
    ("order", "seen"), [("order=c,once=a", b"AC"), ("once=a,order=c", b"AC"), ("c", b"C")]
)
def test_boot_once(disks: list[str], order: str, seen: bytes) -> None:
    """The first boot is from one disk, that after a reset from another."""
    done = jitemu(
        *disks, "-boot", order, "-debugcon", "stdio", "-device", "isa-debug-exit", "-m", "4",
        "-display", "none", "--timeout", "30",
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (11, seen, b"")


def test_debug_console_elsewhere(tmp_path: Path) -> None:
    floppy = image(
        tmp_path / "a", "A", LEAVE.replace("mov dx", "out 0x77, al\n mov dx"), 1440 << 10
    )
    words = ["-fda", floppy, "-device", "isa-debug-exit", "-m", "4", "-display", "none"]
    for more in (
        ["-global", "isa-debugcon.iobase=0x77", "-debugcon", "stdio"],
        ["-chardev", "stdio,id=d", "-device", "isa-debugcon,iobase=0x77,chardev=d"],
    ):
        done = jitemu(*words, *more)
        assert (done.returncode, done.stdout, done.stderr) == (11, b"A", b"")


# Waits for two ticks by asking the BIOS, and sends what the time stamp counter says.
WAITER = """
    mov cx, 3
1:  mov ah, 0
    push cx
    int 0x1A
    pop cx
    cmp dl, bl
    mov bl, dl
    je 1b
    loop 1b
    rdtsc
    out 0xE9, al
    mov al, ah
    out 0xE9, al
"""


def test_counted_time(tmp_path: Path) -> None:
    """Runs are alike to the insn; a guest that waits by calling the BIOS does not wait for ever."""
    path = image(tmp_path / "a", "W", WAITER + LEAVE, 1440 << 10)
    seen = []
    for _ in range(2):
        done = jitemu(
            "-fda", path, "-m", "4", "--clock", "icount", "-rtc", "base=2020-01-01", "-display",
            "none", "-debugcon", "stdio", "-device", "isa-debug-exit", "--timeout", "50", "--stats",
        )  # fmt: skip
        assert done.returncode == 11
        seen.append((done.stdout, done.stderr.partition(b"guest time")[2].partition(b"\n")[0]))
    assert seen[0] == seen[1]
    assert len(seen[0][0]) == 3
    assert 0.05 < float(seen[0][1].split()[0]) < 0.3


@pytest.mark.parametrize(
    ("last", "words", "status", "message"),
    [
        (POWER_OFF, "wait_text never", 1, "2: wait_text: the machine ended before it showed"),
        (EXIT, "wait_text never", 1, "2: wait_text: the machine ended before it showed"),
        (POWER_OFF, "sleep 30", 0, ""),
    ],
)
def test_scripts_of_machines_that_end(
    tmp_path: Path, last: str, words: str, status: int, message: str
) -> None:
    """What was waited for did not come; a script that waits for nothing has no say."""
    (tmp_path / "kernel").write_bytes(kernel(last))
    (tmp_path / "script").write_text(f"timeout 60\n{words}\nquit 3\n")
    done = jitemu(
        "-kernel", str(tmp_path / "kernel"), "-append", "hello", "-m", "4", "-display", "none",
        "-device", "isa-debug-exit,iobase=0xf4", "--script", str(tmp_path / "script"),
    )  # fmt: skip
    assert done.returncode == status
    assert message.encode() in done.stderr
    assert bool(message) == bool(done.stderr)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("display", ["text", "none"])
def test_a_signal_gives_the_terminal_back(tmp_path: Path, number: int, display: str) -> None:
    """And what the guest wrote reaches its file; the process dies of the signal."""
    floppy = image(tmp_path / "a", "A", "1: jmp 1b", 1440 << 10)
    command = [sys.executable, "-m", "jitemu", "boot", "-fda", floppy, "-m", "4"]
    command += ["-display", display, "-serial", "mon:stdio" if display == "none" else "none"]
    command += ["-debugcon", f"file:{tmp_path / 'out'}"]
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    ran = subprocess.Popen(command, stdin=theirs, stdout=theirs, cwd=REPOSITORY)
    try:
        end = time.monotonic() + 30
        while not (tmp_path / "out").exists() or not (tmp_path / "out").read_bytes():
            assert time.monotonic() < end
            time.sleep(0.02)
        assert termios.tcgetattr(theirs) != before
        ran.send_signal(number)
        assert ran.wait(20) == -number
        assert termios.tcgetattr(theirs) == before
    finally:
        ran.kill()
        ran.wait()
        os.close(ours)
        os.close(theirs)


def test_the_screen_stands(tmp_path: Path) -> None:
    """With -no-shutdown the end of the guest is not the end of jitemu."""
    (tmp_path / "kernel").write_bytes(kernel(POWER_OFF))
    command = [sys.executable, "-m", "jitemu", "boot", "-kernel", str(tmp_path / "kernel")]
    command += ["-append", "hello", "-m", "4", "-no-shutdown", "-display"]
    picture = tmp_path / "a.png"
    ran = subprocess.Popen(
        [*command, f"png:{picture}", "--timeout", "60"], cwd=REPOSITORY, stderr=subprocess.PIPE
    )
    try:
        assert ran.stderr is not None
        os.set_blocking(ran.stderr.fileno(), True)
        assert b"the machine has ended (power off)" in ran.stderr.readline()
        time.sleep(0.3)
        assert ran.poll() is None
        picture.unlink(missing_ok=True)
        while not picture.exists():
            time.sleep(0.05)
    finally:
        ran.kill()
        ran.communicate()
    done = jitemu(*command[4:], "none", "--timeout", "1")
    assert done.returncode == 124
