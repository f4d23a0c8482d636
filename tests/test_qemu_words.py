"""Command lines as QEMU's users write them: what `jitemu boot` makes of -device and its like."""

from __future__ import annotations

import os
import pty
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jitemu import Machine, serialports
from jitemu.bootoptions import BootOptions, parse
from jitemu.drives import DriveSpec
from jitemu.options import UsageError
from runtime.machines.paravirtual import Share
from tests.boot.test_multiboot import kernel


def read(line: str) -> BootOptions:
    return parse(line.split())


def test_an_image_alone_is_the_hard_disk() -> None:
    assert read("disk.img,format=raw").drives == [DriveSpec("ide", 0, "disk.img", form="raw")]


def test_drives_for_devices() -> None:
    found = read(
        "-drive if=none,id=a,file=a.img,format=raw,cache=none,aio=threads -drive b.img,if=none,id=b"
        " -drive file=c.iso,if=none,id=c,readonly=on -drive file=d,if=none,id=d,snapshot=off"
        " -device virtio-blk-pci,drive=a,bootindex=2 -device ide-hd,drive=b,bus=ide.1,unit=1"
        " -device ide-cd,drive=c,bootindex=1 -device floppy,drive=d -drive file=e,if=virtio"
    )
    assert sorted(found.drives, key=lambda spec: spec.path or "") == [
        DriveSpec("virtio", None, "a.img", form="raw"),
        DriveSpec("ide", 3, "b.img"),
        DriveSpec("ide", None, "c.iso", is_cd=True, access="read"),
        DriveSpec("floppy", None, "d", access="write"),
        DriveSpec("virtio", None, "e"),
    ]
    assert found.boot == "dcan"
    assert read("-boot c -drive if=none,id=a,file=x -device ide-cd,drive=a,bootindex=0").boot == "c"


@pytest.mark.parametrize(
    "line",
    ["-nic user,model=virtio-net-pci", "-net nic,model=virtio -net user", "-net nic -net user",
     "-netdev user,id=n0 -device virtio-net-pci,netdev=n0"],
)  # fmt: skip
def test_networks(line: str) -> None:
    assert read(line).has_network
    assert not read("-net none").has_network


def test_lines_and_shares() -> None:
    found = read(
        "-chardev file,id=f,path=/x -serial chardev:f -chardev socket,id=s,port=9,server=on"
        " -device isa-serial,chardev=s -device virtio-serial-pci -chardev stdio,mux=on,id=t"
        " -device virtconsole,chardev=t -chardev null,id=n -device isa-debugcon,chardev=n"
        " -fsdev local,id=h,path=/tmp,readonly=on -device virtio-9p-pci,fsdev=h,mount_tag=T"
        " -device virtio-rng-pci -device isa-debug-exit,iobase=0xf4"
    )
    assert found.serial == ["file:/x", "tcp::9,server=on"]
    assert (found.console, found.debug) == ("mon:stdio", "null")
    assert found.shares == [Share("/tmp", "T", True)]
    assert (found.has_entropy, found.debug_exit) == (True, 0xF4)


def test_words_that_mean_nothing_here_are_taken() -> None:
    found = read(
        "-machine pc-i440fx-7.2,accel=tcg -accel tcg,thread=single -vga std -monitor none -usb"
        " -name x -nodefaults -no-user-config -no-hpet -display gtk"
    )
    assert found.display == "window"
    assert read("-display curses").display == "text"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-machine q35", "pc"),
        ("-accel kvm", "tcg"),
        ("-machine accel=kvm", "tcg"),
        ("-device e1000", "virtio-net-pci"),
        ("-device ide-hd,drive=x", "drive="),
        ("-drive if=none,file=x", "id="),
        ("-drive if=none,id=x,file=x", "no -device"),
        ("-netdev user,id=n", "no -device"),
        ("-netdev user,id=n,hostfwd=tcp::1-:1 -device virtio-net-pci,netdev=n", "forwarding"),
        ("-netdev tap,id=n -device virtio-net-pci,netdev=n", "user"),
        ("-nic user -net nic -net user", "one network"),
        ("-net user", "together"),
        ("-chardev pty,id=x -serial chardev:x", "-chardev"),
        ("-serial chardev:x", "chardev="),
        ("-drive if=none,id=a,file=x -device ide-hd,drive=a,bus=ide.x", "bus="),
        ("-drive file=x,if=scsi", "if=scsi"),
        ("-device isa-debugcon,iobase=foo -chardev null,id=x", "port is E9h"),
        ("-device isa-debug-exit,iobase=foo", "iobase=PORT"),
    ],
)
def test_what_is_not_there_is_said(line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(line)


def test_modules_of_multiboot_kernels(tmp_path: Path) -> None:
    for name in ("one", "t,wo"):
        (tmp_path / name).write_text(name * 1000)
    (tmp_path / "kernel").write_bytes(kernel("cli\n hlt"))
    words = f"{tmp_path}/one a=1 b,{tmp_path}/t,,wo"
    with Machine(kernel=tmp_path / "kernel", initrd=words, memory=4 << 20) as machine:
        read = machine.pc.physical.read
        info = machine.pc.processor.cpu.ebx
        count, table = struct.unpack("<II", read(info + 20, 8))
        rows = [struct.unpack("<III", read(table + 16 * i, 12)) for i in range(count)]
        assert [read(a, b - a) for a, b, _ in rows] == [b"one" * 1000, b"t,wo" * 1000]
        text = f"{tmp_path}/one a=1 b".encode() + b"\0"
        assert read(rows[0][2], len(text)) == text


def test_ctrl_a_is_for_us() -> None:
    stdio = serialports.Stdio(keys=False)
    quits: list[int] = []
    stdio.on_quit = lambda: quits.append(1)
    assert stdio.filter(b"ab\x01") == b"ab"
    assert stdio.filter(b"\x01c\x01ad\x01q") == b"\x01c\x01d"
    assert not quits
    assert stdio.filter(b"\x01xy") == b"y"
    assert quits


@pytest.mark.parametrize("keys", [b"\x01x", b"\x03"])
@pytest.mark.parametrize("serial", ["stdio", "mon:stdio"])
def test_a_spinning_guest_ends_in_a_terminal(tmp_path: Path, keys: bytes, serial: str) -> None:
    path = tmp_path / "spin"
    path.write_bytes(kernel("cli\n jmp ."))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "jitemu", "boot", "-kernel", str(path), "-m", "4"]
    command += ["-append", "hello", "-display", "none", "-serial", serial]

    def take_terminal() -> None:
        os.close(os.open(os.ttyname(0), os.O_RDWR))

    ran = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, start_new_session=True, preexec_fn=take_terminal
    )
    try:
        seen = b""
        while b"!" not in seen:
            seen += os.read(ours, 1000)
        time.sleep(0.2)
        os.write(ours, keys)
        if (keys, serial) == (b"\x03", "mon:stdio"):  # it is the guest's
            time.sleep(1)
            assert ran.poll() is None
            os.write(ours, b"\x01x")
        assert ran.wait(20) == (-signal.SIGINT if (keys, serial) == (b"\x03", "stdio") else 0)
    finally:
        ran.kill()
        ran.wait()
        os.close(ours)
        os.close(theirs)
