"""Screens and keys of DOS programs: scripts, redirected input, a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from pathlib import Path

import pytest

from tests.dos.test_services import assemble, execute
from tests.running import ANY, host_environment, jitemu, run, work_directory


def test_redirected_input() -> None:
    """Characters, a line, bytes of handle 0 and keys of INT 16h come from the same pipe."""
    got = execute("keys", stdin=b"abc" + b"line\n" + b"12345" + b"k\x1b" + b"zz")
    # Behind the line, function 3Fh finds the LF that 0Ah leaves there, as under DOS.
    assert got.stdout.decode("cp437").replace("\r", "").split("\n") == [
        "a read=0061 silent=0062 raw=0063 ",
        "line",
        "length=0004 second=0069 ",
        "bytes=0005 first=310A ",
        "key=0635 next=256B ",
        "status=00FF direct=001B ",
        "",
    ]


def test_end_of_input() -> None:
    """A program that goes on reading at the end of its input gets Ctrl-Z, and ends."""
    got = execute("keys", stdin=b"")
    assert got.status == 0
    assert b"read=001A" in got.stdout


def test_script_sees_the_screen(tmp_path: Path) -> None:
    """A script presses keys, saves a picture in a graphics mode, and reads text."""
    with work_directory({}) as work:
        program = assemble("screen", work)
        picture = tmp_path / "shot.png"
        script = tmp_path / "script"
        script.write_text(
            f"sleep 0.5\nscreenshot {picture}\npress q\nwait_text pressed\ntext -\nquit 3\n"
        )
        got = run([*jitemu(ANY, "--script", str(script)), program.name], work=work)
    data = picture.read_bytes()
    assert struct.unpack(">II", data[16:24]) == (320, 200)
    assert got.status in (3, 7), got.stderr


@pytest.mark.parametrize(
    ("lines", "status", "message"),
    [
        ("timeout 5\n\npress nokey\n", 2, b"script:3: press: "),
        ("timeout 5\ntipe x\n", 2, b"script:2: tipe: there is no command"),
        ("sleep 0.5\npress q\nwait_text never", 1, b"script:3: wait_text: the machine ended"),
    ],
)
def test_scripts_that_fail(tmp_path: Path, lines: str, status: int, message: bytes) -> None:
    """Lines that make no sense are told before anything runs; a text that cannot come, at once."""
    script = tmp_path / "script"
    script.write_text(lines)
    with work_directory({}) as work:
        program = assemble("screen", work)
        got = run([*jitemu(ANY, "--script", str(script)), program.name], work=work)
    assert got.status == status
    assert message in got.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_gives_the_terminal_back(number: int) -> None:
    """While the screen is drawn the terminal is raw; then it is as it was."""
    with work_directory({}) as work:
        program = assemble("screen", work)
        ours, theirs = pty.openpty()
        before = termios.tcgetattr(theirs)
        command = [*jitemu(ANY), program.name]
        with subprocess.Popen(
            command, stdin=theirs, stdout=theirs, cwd=work, env=host_environment()
        ) as ran:
            try:
                while termios.tcgetattr(theirs) == before:
                    assert ran.poll() is None
                    time.sleep(0.02)
                threading.Thread(target=_read_all, args=(ours,), daemon=True).start()
                time.sleep(0.2)
                ran.send_signal(number)
                assert ran.wait(20) == -number
                assert termios.tcgetattr(theirs) == before
            finally:
                ran.kill()
                os.close(theirs)


def _read_all(fd: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(fd, 4096):
            pass
    os.close(fd)


def test_mouse(tmp_path: Path) -> None:
    """A script moves the mouse and presses its button; the driver tells the program."""
    script = tmp_path / "script"
    script.write_text(
        "wait_text ready\nmouse 16 -8\nsleep 0.2\nmouse 0 0 1\nsleep 0.2\nmouse 0 0 0\n"
        "wait_text done\ntext -\npress ret\nsleep 20\n"
    )
    got = execute("mouse", options=("--script", str(script)))
    lines = [line.strip() for line in got.stdout.decode().splitlines()]
    assert lines[2:5] == [
        "x=0074 y=0060 down=0000",  # 16 mickeys are 16 columns, 8 are 4 rows
        "mickeys=0010 =FFF8",
        "presses=0001 events=0007",
    ]
    assert got.status == 3


def test_interrupt_handlers_of_a_program(tmp_path: Path) -> None:
    """Handlers of timer and keyboard see ticks and scan codes; the BIOS's come back after them."""
    script = tmp_path / "script"
    script.write_text(
        "wait_text ready to play\npress a\nsleep 0.3\npress esc\nwait_text keys\npress q\n"
        "wait_text end\ntext -\npress ret\nsleep 20\n"
    )
    got = execute("hooks", options=("--script", str(script)))
    text = got.stdout.decode()
    assert "keys=0003 last=9E1E =0001" in text, got.stderr
    assert "key=1071" in text
    assert "many" in text
    assert got.status == 0


@pytest.mark.timeout(60)
def test_terminal() -> None:
    """In a terminal, what is printed comes straight; what is drawn takes the whole screen."""
    with work_directory({}) as work:
        program = assemble("screen", work)
        command = [*jitemu(ANY), program.name]
        pid, fd = pty.fork()
        if not pid:
            os.chdir(work)
            os.execvpe(command[0], command, {**host_environment(), "TERM": "xterm"})
        import fcntl
        import termios

        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 80, 0, 0))
        seen, is_pressed = b"", False
        end = time.monotonic() + 50
        while time.monotonic() < end:
            if select.select([fd], [], [], 0.2)[0]:
                try:
                    data = os.read(fd, 65536)
                except OSError:
                    break
                if not data:
                    break
                seen += data
            if not is_pressed and "▀".encode() in seen:
                os.write(fd, b"w")
                is_pressed = True
        _, status = os.waitpid(pid, 0)
        os.close(fd)
    assert os.waitstatus_to_exitcode(status) == 7
    assert seen.startswith(b"\x1b[?1049h")
    assert seen.rstrip().endswith(b"pressed w")
