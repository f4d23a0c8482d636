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
from runtime.machines.paravirtual import Network, Share
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
    assert read(line).network == Network()
    assert read("-net none").network is None


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
        " -name x -nodefaults -no-user-config -no-hpet -display gtk -smp 1,cores=1 -k en-us"
        " -uuid 1-2 -msg timestamp=on -mem-prealloc -audiodev none,id=a -boot menu=off"
        " -object rng-random,id=r,filename=/dev/urandom -device virtio-rng-pci,rng=r,bus=pci.0"
    )
    assert (found.display, found.notes, found.has_entropy) == ("window", [], True)
    assert read("-display curses").display == "text"


def test_spellings() -> None:
    """One dash or two are the same; old names are those of today; a wish for KVM is answered."""
    found = read("--hda x --m 64 --boot once=d,order=ac --nographic -timeout 5 -curses")
    assert (found.memory, found.boot, found.boot_once) == (64 << 20, "ac", "d")
    assert (found.serial, found.timeout, found.display) == (["stdio"], 5, "none")
    assert read("-localtime").rtc is not None
    counted = [read(f"-icount {text}") for text in ("0", "shift=7,sleep=off,align=off")]
    assert [(one.clock, one.ns_per_insn) for one in counted] == [("icount", 1), ("icount", 128)]
    for line in ("-enable-kvm", "-accel kvm", "-machine pc,accel=kvm"):
        assert read(line).notes == ["kvm: guest code is translated here, as by tcg"]
    assert read("-machine accel=kvm:tcg").notes == []
    assert read("-cpu host").cpu == "max"
    assert read("-drive if=ide,bus=1,unit=0,file=x").drives == [DriveSpec("ide", 2, "x")]


@pytest.mark.parametrize("line", ["-help", "-h", "--version", "-cpu help", "-device ?", "-M help"])
def test_what_there_is(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read(line)
    assert not ended.value.code
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-machine q35", "pc"),
        ("-accel warp", "tcg"),
        ("-machine pc,acpi=off", "acpi=off"),
        ("-device e1000", "virtio-net-pci"),
        ("-device usb-tablet", "PS/2"),
        ("-device nvme,drive=x", "virtio-blk-pci"),
        ("-device AC97", "silent"),
        ("-device pvpanic", "there are .*ide-hd"),
        ("-device virtio-net-pci,netdev=n,mq=on", "no mq="),
        ("-device ide-hd,drive=x", "drive="),
        ("-drive if=none,file=x", "id="),
        ("-drive if=none,id=x,file=x", "no -device"),
        ("-netdev user,id=n", "no -device"),
        ("-netdev user,id=n,restrict=on -device virtio-net-pci,netdev=n", "restrict"),
        ("-netdev tap,id=n -device virtio-net-pci,netdev=n", "user"),
        ("-nic user -net nic -net user", "one network"),
        ("-net user", "together"),
        ("-object secret,id=x", "rng-random"),
        ("-device virtio-rng-pci,rng=x", "rng="),
        ("-chardev udp,id=x -serial chardev:x", "-chardev"),
        ("-chardev file,id=x,path=y,append=on -serial chardev:x", "append="),
        ("-serial chardev:x", "chardev="),
        ("-serial stdio -serial mon:stdio", "one port"),
        ("-drive if=none,id=a,file=x -device ide-hd,drive=a,bus=ide.x", "bus="),
        ("-drive if=ide,bus=2,file=x", "bus=2"),
        ("-drive if=ide,bus=0,index=1,file=x", "index=N"),
        ("-drive file=x,if=scsi", "if=scsi"),
        ("-drive file.filename=x", "no file.filename="),
        ("-hda nbd:localhost:1", "nbd: is not offered"),
        ("-hda a -hda b", "-hda is given twice"),
        ("-device isa-debugcon,iobase=foo,chardev=x -chardev null,id=x", "iobase=PORT"),
        ("-device isa-debug-exit,iobase=foo", "iobase=PORT"),
        ("-global ide-hd.x=1", "isa-debugcon.iobase=PORT"),
        ("-smp 2", "one processor"),
        ("-cpu pentium,+sse", "features"),
        ("-cpu qemu32", "max"),
        ("-m 64,shared=on", "size"),
        ("-vga cirrus", "std"),
        ("-monitor stdio", "--script"),
        ("-qmp unix:x,server", "--script"),
        ("-s -S", "no debugger"),
        ("-k de", "US keyboard"),
        ("-vnc :1", "-display"),
        ("-icount auto", "shift=N"),
        ("-icount shift=11", "from 0 to 10"),
        ("-icount shift=1,sleep=on", "jumps"),
        ("-redir tcp:1::2", "hostfwd"),
        ("-mem-path /x", "-m SIZE"),
        ("-no-rebot", "-no-reboot"),
        ("-foo=bar", "no option -foo"),
        ("-name", "a value is missing"),
        ("-m", "expected one argument"),
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
