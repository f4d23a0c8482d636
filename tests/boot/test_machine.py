"""`jitemu.Machine` and `jitemu boot`: settings, input, output, ends, errors in one line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from jitemu import Machine, drives, serialports
from jitemu.bootoptions import parse
from jitemu.options import UsageError
from tests.assembling import assemble
from tests.boot.test_multiboot import EXIT, LOAD, POWER_OFF, kernel
from tests.running import REPOSITORY

# Sends back what it receives, plus one, until a byte 0 comes; then it switches off.
ECHO = """
header:
    .long 0x1BADB002, 0x10003, -(0x1BADB002 + 0x10003)
    .long header, header, 0, 0, entry
entry:
    mov dx, 0x3FB
    mov al, 3
    out dx, al
1:  mov dx, 0x3FD
    in al, dx
    test al, 1
    jz 1b
    mov dx, 0x3F8
    in al, dx
    test al, al
    jz 2f
    inc al
    out dx, al
    mov [0xB8000], al
    jmp 1b
2:  mov dx, 0x604
    mov ax, 0x2000
    out dx, ax
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A kernel that says its command line and switches the machine off."""
    path = tmp_path / "kernel"
    path.write_bytes(kernel(POWER_OFF))
    return path


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    path = tmp_path / "echo"
    path.write_bytes(assemble(ECHO, LOAD, 32))
    return path


def test_machine_runs_to_its_end(image: Path) -> None:
    with Machine(kernel=image, append="hi", memory=4 << 20, clock="icount") as machine:
        ended = machine.run(timeout=20)
        assert (ended.reason, ended.status, ended.is_over) == ("power off", None, True)
        assert bytes(machine.serial[0].output) == b"hi!"
        assert machine.run() == ended


def test_serial_port_both_ways(echo: Path) -> None:
    with Machine(kernel=echo, memory=4 << 20) as machine:
        assert machine.run(timeout=0.05).reason == "timeout"
        machine.serial[0].write(b"HAL")
        assert machine.serial[0].wait("IBM", timeout=20) == b"IBM"
        with pytest.raises(TimeoutError, match="last: b'IBM'"):
            machine.serial[0].wait("never", timeout=0.1)
        machine.serial[0].write(b"\0")
        with pytest.raises(RuntimeError, match="power off"):
            machine.serial[0].wait("never", timeout=20)


def test_stop_from_another_thread(echo: Path) -> None:
    with Machine(kernel=echo, memory=4 << 20) as machine:
        threading.Timer(0.2, machine.stop).start()
        assert machine.run(timeout=20).reason == "stop"


def test_words_to_a_machine(echo: Path, tmp_path: Path) -> None:
    """Text for a serial port is UTF-8; one setting may stand alone; after the end, one word."""
    (tmp_path / "disk").write_bytes(bytes(1 << 20))
    drive, share = f"file={tmp_path / 'disk'},format=raw", f"local,path={tmp_path},mount_tag=t"
    with Machine(kernel=echo, memory=4 << 20, drive=drive, virtfs=share) as machine:
        machine.serial[0].write("ab")
        assert machine.serial[0].wait(b"bc") == b"bc"
        with pytest.raises(TypeError):
            machine.serial[0].write(5)  # type: ignore[arg-type]
    machine.stop()
    for look in (lambda: machine.screen.text, lambda: machine.type("x"), machine.run):
        with pytest.raises(ValueError, match="the machine is closed"):
            look()


def test_until(echo: Path) -> None:
    with Machine(kernel=echo, memory=4 << 20) as machine:
        looks: list[int] = []
        assert (
            machine.run(20, until=lambda: bool(looks.append(1)) or len(looks) > 3).reason == "until"
        )
        assert len(looks) == 4


def test_until_looks_at_the_screen(echo: Path) -> None:
    """What the guest's own thread asks of the console is done at once, or never."""
    with Machine(kernel=echo, memory=4 << 20) as machine:
        port, seen = machine.serial[0], list[str]()
        port.on_output = lambda data: (machine.press("a"), seen.append(machine.screen.text[:1]))
        port.write(b"H")
        ended = machine.run(20, until=lambda: machine.screen.text.startswith("I"))
        assert (ended.reason, len(seen)) == ("until", 1)


def test_accesses_to_nothing_are_counted(tmp_path: Path) -> None:
    code = "mov dx, 0x1234\n in al, dx\n in al, dx\n mov eax, [0xD0000123]\n mov [0xD0000456], al\n"
    path = tmp_path / "kernel"
    path.write_bytes(kernel(code + POWER_OFF))
    with Machine(kernel=path, memory=4 << 20, clock="icount") as machine:
        machine.run(20)
        found = machine.unclaimed
        assert found["in", 0x1234] == 2
        assert (found["read", 0xD0000000], found["write", 0xD0000000]) == (1, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cpu": "z80"}, "processor 'z80'"),
        ({"memory": 12345}, "memory must be"),
        ({"boot": "x"}, "boot order"),
        ({"strategy": "magic"}, "strategy"),
        ({"hda": "x,media=tape"}, "media=tape"),
        ({"drive": ["file=x,if=scsi"]}, "if=scsi"),
    ],
)
def test_bad_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Machine(**settings)  # type: ignore[arg-type]


def test_one_machine_at_a_time(image: Path) -> None:
    with Machine(kernel=image, memory=4 << 20), pytest.raises(RuntimeError, match="another"):
        Machine(kernel=image)
    Machine(kernel=image, memory=4 << 20).close()


def test_drive_words() -> None:
    spec = drives.parse("a,,b.img,format=raw,snapshot=off", index=1)
    assert (spec.path, spec.form, spec.access, spec.index) == ("a,b.img", "raw", "write", 1)
    spec = drives.parse("file=x,if=floppy,index=1,readonly=on")
    assert (spec.interface, spec.index, spec.access) == ("floppy", 1, "read")
    assert drives.parse("x").access == "snapshot"
    assert drives.parse("x", media="cdrom").access == "read"
    assert drives.parse("x,overlay=y").overlay == "y"
    for bad in ("x,y", "x,index=4", "x,snapshot=maybe", "x,overlay=y,snapshot=on", "x,colour=red"):
        with pytest.raises(ValueError, match="x"):
            drives.parse(bad)


def test_two_images_in_one_place(tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    specs = [drives.parse(str(disk), index=0), drives.parse(str(disk), index=0)]
    with pytest.raises(ValueError, match="place 0 is taken"):
        drives.open_all(specs)


def test_options() -> None:
    found = parse(
        ["-m", "64", "-boot", "order=dc", "-rtc", "base=2001-02-03T04:05:06", "-hda", "x"]
    )
    assert (found.memory, found.boot, str(found.rtc)) == (64 << 20, "dc", "2001-02-03 04:05:06")
    assert parse(["-nographic"]).serial == ["stdio"]
    assert parse(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]).debug_exit == 0xF4
    assert parse(["-snapshot", "-hda", "x,snapshot=off"]).drives[0].access == "snapshot"
    bad = "-smp 2;-m 0;-boot z;-rtc base=noon;-append x;-device e1000;-cpu arm;--display png:"
    for words in [*bad.split(";"), "x -hda y"]:
        with pytest.raises(UsageError):
            parse(words.split())


def test_serial_over_a_socket() -> None:
    server = serialports.connect("tcp:127.0.0.1:0,server,nowait")
    assert isinstance(server, serialports.Socket)
    got = bytearray()
    server.start(got.extend)
    with socket.create_connection(("127.0.0.1", server.port), 5) as caller:
        caller.sendall(b"ping")
        end = time.monotonic() + 5
        while bytes(got) != b"ping" and time.monotonic() < end:
            time.sleep(0.01)
        server.write(b"pong")
        assert caller.recv(10) == b"pong"
    server.close()
    assert bytes(got) == b"ping"
    for bad in ("tcp:x", "pipe:y", "tcp:localhost:1,rot13", "file:", "", "vc", "udp::1"):
        with pytest.raises(ValueError, match="expected"):
            serialports.connect(bad)


def test_serial_over_a_unix_socket(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without nowait it waits for a caller; what a killed run left is no hindrance."""
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(path)
    made: list[serialports.Peer | None] = []
    thread = threading.Thread(
        target=lambda: made.append(serialports.connect(f"unix:{path},server"))
    )
    thread.start()
    with socket.socket(socket.AF_UNIX) as caller:
        end = time.monotonic() + 5
        while caller.connect_ex(path):
            assert time.monotonic() < end
            time.sleep(0.01)
        thread.join(5)
        assert made[0] is not None
        made[0].write(b"first byte")
        assert caller.recv(100) == b"first byte"
        made[0].close()
    assert f"waiting for a caller at {path}" in capsys.readouterr().err
    assert not os.path.exists(path)


def test_serial_over_telnet() -> None:
    """Its commands are no text, also in pieces; 255 goes doubled."""
    server = serialports.connect("telnet:127.0.0.1:0,server,nowait")
    assert isinstance(server, serialports.Socket)
    got = bytearray()
    server.start(got.extend)
    with socket.create_connection(("127.0.0.1", server.port), 5) as caller:
        assert caller.recv(3, socket.MSG_WAITALL) == b"\xff\xfb\x01"
        for piece in (b"a\xff", b"\xfd\x01b\xff\xf1", b"\xff\xffc"):
            caller.sendall(piece)
            time.sleep(0.05)
        end = time.monotonic() + 5
        while bytes(got) != b"ab\xffc" and time.monotonic() < end:
            time.sleep(0.01)
        caller.recv(9, socket.MSG_WAITALL)
        server.write(b"x\xffy")
        assert caller.recv(4, socket.MSG_WAITALL) == b"x\xff\xffy"
    server.close()
    assert bytes(got) == b"ab\xffc"


def test_serial_on_a_terminal_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    line = serialports.connect("pty")
    assert line is not None
    name = capsys.readouterr().err.split()[-1]
    got = bytearray()
    line.start(got.extend)
    terminal = os.open(name, os.O_RDWR | os.O_NOCTTY)
    os.write(terminal, b"ping")
    end = time.monotonic() + 5
    while bytes(got) != b"ping" and time.monotonic() < end:
        time.sleep(0.01)
    line.write(b"pong")
    assert os.read(terminal, 100) == b"pong"
    os.close(terminal)
    line.close()
    assert bytes(got) == b"ping"


# -- the command -----------------------------------------------------------------------------------
def jitemu(
    *words: str, stdin: bytes = b"", timeout: float = 60
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "jitemu", "boot", *words]
    return subprocess.run(
        command, input=stdin, capture_output=True, timeout=timeout, cwd=REPOSITORY, check=False
    )


def test_command(image: Path, tmp_path: Path) -> None:
    printed = tmp_path / "serial"
    done = jitemu(
        "-kernel", str(image), "-append", "hello", "-m", "4", "-serial", f"file:{printed}",
        "--stats", "--clock", "icount",
    )  # fmt: skip
    assert (done.returncode, printed.read_bytes()) == (0, b"hello!")
    assert b"guest time" in done.stderr


def test_command_with_stdin_and_status(echo: Path, tmp_path: Path) -> None:
    done = jitemu("-kernel", str(echo), "-m", "4", "-serial", "stdio", stdin=b"HAL\0")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"IBM", b"")
    path = tmp_path / "exit"
    path.write_bytes(kernel(EXIT))
    device = "isa-debug-exit,iobase=0xf4,iosize=4"
    done = jitemu("-kernel", str(path), "-device", device, "-nographic", "--clock", "icount")
    assert (done.returncode, done.stdout) == (43, b"!")


@pytest.mark.parametrize(
    "words",
    [
        ["-kernel", "/nowhere"],
        ["-kernel", "/dev/null"],
        ["-hda", "/nowhere"],
        ["-hda", "/dev/null"],
        ["-bios", "/dev/null"],
        ["-m", "99999"],
        ["-serial", "tcp:127.0.0.1:1"],
        ["--script", "/nowhere"],
        ["--strategy", "magic"],
        ["-initrd", "x"],
    ],
)
def test_errors_are_one_line(words: list[str]) -> None:
    done = jitemu(*words)
    assert done.returncode == 2
    assert done.stderr.startswith(b"jitemu: ")
    assert done.stderr.count(b"\n") == 1


def test_interrupt_ends_a_guest_that_spins_with_interrupts_off(tmp_path: Path) -> None:
    path = tmp_path / "spin"
    path.write_bytes(kernel("cli\n jmp ."))
    command = [
        sys.executable,
        "-m",
        "jitemu",
        "boot",
        "-kernel",
        str(path),
        "-nographic",
        "-append",
        "x",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=REPOSITORY
    ) as run:
        assert run.stdout is not None
        assert os.read(run.stdout.fileno(), 1) == b"x"
        time.sleep(0.3)
        begun = time.monotonic()
        run.send_signal(signal.SIGINT)
        assert run.wait(20) == -signal.SIGINT
        assert time.monotonic() - begun < 10
