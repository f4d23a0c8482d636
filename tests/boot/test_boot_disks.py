"""A boot sector uses each kind of disk through INT 13h: of the built-in BIOS, and of SeaBIOS."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.devices.cdrom import CdRom
from runtime.disks.opening import open_disk
from runtime.machines.paravirtual import Paravirtual
from runtime.machines.pc import Pc, PcConfig
from runtime.machines.storage import Drives
from tests.assembling import assemble
from tests.running import REPOSITORY

SEABIOS = Path("/usr/share/seabios/bios-256k.bin")
firmware = pytest.mark.parametrize(
    "bios",
    [
        "builtin",
        pytest.param(
            "seabios",
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(not SEABIOS.exists(), reason="package seabios is not there"),
            ],
        ),
    ],
)
# Sends DL, eight bytes of sector 1 (16 of a CD) and what came back after writing sector 2 to port
# E9h, then ends by the debug-exit port with the status of the last call.
PROGRAM = """
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov sp, 0x7000
    cld
    mov [drive], dl
    mov al, dl
    out 0xE9, al
    cmp dl, 0x80
    jb floppy
    mov si, offset packet
    cmp dl, 0xE0
    jb 1f
    mov byte ptr [packet + 8], 16
1:  mov ah, 0x42
    int 0x13
    jc fail
    call show
    cmp dl, 0xE0
    jae done
    mov di, 0x8000              # what is to be written
    mov cx, 256
    mov ax, 0x5857
    rep stosw
    mov byte ptr [packet + 8], 2
    mov ax, 0x4300
    int 0x13
    jc fail
    mov byte ptr [packet + 5], 0x90
    mov ah, 0x42
    int 0x13
    jc fail
    mov bx, 0x9000
    jmp again
floppy:
    mov ax, 0x0201
    mov bx, 0x8000
    mov cx, 2
    xor dh, dh
    int 0x13
    jc fail
    call show
    mov di, 0x8000
    mov cx, 256
    mov ax, 0x5857
    rep stosw
    mov dl, [drive]
    mov dh, 0
    mov bx, 0x8000
    mov ax, 0x0301
    mov cx, 3
    int 0x13
    jc fail
    mov bx, 0x9000
    mov ax, 0x0201
    mov cx, 3
    int 0x13
    jc fail
again:
    mov si, bx
    mov cx, 8
    mov dx, 0xE9
    rep outsb
done:
    mov ah, 0
fail:
    mov al, ah
    mov dx, 0x501
    out dx, al
    cli
    hlt
show:
    push si
    mov si, 0x8000
    mov cx, 8
1:  lodsb
    out 0xE9, al
    loop 1b
    pop si
    mov dl, [drive]
    ret
drive: .byte 0
    .balign 4
packet: .byte 16, 0, 1, 0, 0, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0
"""


# Writes sectors 8, 24, 40... for ever, each with its number; says so at port E9h.
WRITER = """
    xor ax, ax
    mov ds, ax
    mov ss, ax
    mov sp, 0x7000
    mov [drive], dl
1:  add word ptr [packet + 8], 16
    mov ax, [packet + 8]
    mov [0x8000], ax
    mov si, offset packet
    mov dl, [drive]
    mov ax, 0x4300
    int 0x13
    jc 2f
    mov al, '.'
    out 0xE9, al
    jmp 1b
2:  mov al, 'E'
    out 0xE9, al
    jmp 2b
drive: .byte 0
    .balign 4
packet: .byte 16, 0, 1, 0, 0, 0x80, 0, 0
    .quad -8 & 0xFFFF
"""


def boot_sector() -> bytes:
    return assemble(PROGRAM, 0x7C00).ljust(510, b"\0") + b"\x55\xaa"


def image(size: int) -> bytes:
    """Return a disk that boots and whose sectors begin with their numbers."""
    rest = b"".join(b"sect%04d" % i + bytes(504) for i in range(1, 64))
    return (boot_sector() + rest).ljust(size, b"\0")


def iso() -> bytes:
    """Return a CD that boots without emulation (El Torito 1.0, figures 2 to 4)."""
    sectors = [bytes(2048)] * 16
    sectors.append(b"\1CD001\1\0".ljust(2048, b"\0"))
    record = b"\0CD001\1EL TORITO SPECIFICATION".ljust(71, b"\0") + (19).to_bytes(4, "little")
    sectors.append(record.ljust(2048, b"\0"))
    sectors.append(b"\xffCD001\1".ljust(2048, b"\0"))
    check = bytearray(b"\1\0\0\0" + bytes(24) + b"\0\0\x55\xaa")
    check[28:30] = (-sum(struct.unpack("<16H", check)) & 0xFFFF).to_bytes(2, "little")
    entry = struct.pack("<BBHBBHI", 0x88, 0, 0, 0, 0, 4, 20)
    sectors.append((bytes(check) + entry).ljust(2048, b"\0"))
    sectors.append(boot_sector().ljust(2048, b"\0"))
    return b"".join(sectors) + bytes(2048 * 8)


def run(config: PcConfig, bios: str) -> tuple[bytes, int | None]:
    printed = bytearray()
    config.debug, config.debug_exit, config.memory = printed.extend, 0x501, 16 << 20
    if bios == "seabios":
        config.bios = SEABIOS.read_bytes()
    pc = Pc(config)
    try:
        assert pc.run(timeout=200) == "exit"
    finally:
        pc.close()
    return bytes(printed), pc.status


@firmware
@pytest.mark.parametrize("kib", [360, 1440, 2880])
def test_diskettes(tmp_path: Path, bios: str, kib: int) -> None:
    path = tmp_path / "a.img"
    path.write_bytes(data := image(kib << 10))
    drives = Drives([open_disk(str(path), access="write")])
    assert run(PcConfig(drives=drives, boot="a"), bios) == (b"\0sect0001WXWXWXWX", 1)
    assert path.read_bytes() == data[:1024] + b"WX" * 256 + data[1536:]


@firmware
@pytest.mark.parametrize("kind", ["ide", "slave", "virtio"])
def test_hard_disks(tmp_path: Path, bios: str, kind: str) -> None:
    path, overlay = tmp_path / "a.img", tmp_path / "a.overlay"
    path.write_bytes(data := image(8 << 20))
    disk = open_disk(str(path), overlay=str(overlay))
    config = PcConfig(boot="c")
    if kind == "virtio":
        config.paravirtual = Paravirtual([disk])
    else:
        config.drives = Drives([], [disk] if kind == "ide" else [None, disk])
    assert run(config, bios) == (b"\x80sect0001WXWXWXWX", 1)
    assert path.read_bytes() == data
    disk = open_disk(str(path), overlay=str(overlay))
    assert disk.read(2, 1) == b"WX" * 256
    disk.close()


@firmware
def test_cds(tmp_path: Path, bios: str) -> None:
    path = tmp_path / "a.iso"
    path.write_bytes(iso())
    drives = Drives([None], [None, None, CdRom(open_disk(str(path), access="read"))])
    printed, status = run(PcConfig(drives=drives, boot="d"), bios)
    assert printed[0] >= 0xE0 or bios == "builtin"
    assert (printed[1:], status) == (b"\1CD001\1\0", 1)


@pytest.mark.parametrize("seconds", [0.02, 0.4])
def test_killed_while_the_guest_writes(tmp_path: Path, seconds: float) -> None:
    """The overlay opens again and holds all that the guest was told is written."""
    path, overlay, said = tmp_path / "a.img", tmp_path / "a.qcow2", tmp_path / "said"
    code = assemble(WRITER, 0x7C00).ljust(510, b"\0") + b"\x55\xaa"
    path.write_bytes(data := code.ljust(40 << 20, b"\0"))
    said.touch()
    words = ["-hda", f"{path},overlay={overlay}", "-m", "4", "-debugcon", f"file:{said}"]
    child = subprocess.Popen(
        [sys.executable, "-m", "jitemu", "boot", *words, "-display", "none"], cwd=REPOSITORY
    )
    end = time.monotonic() + 60
    while not said.stat().st_size and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(seconds)
    child.kill()
    child.wait()
    done = said.read_bytes()
    assert done == b"." * len(done)
    assert done
    assert path.read_bytes() == data
    if shutil.which("qemu-img"):
        checked = subprocess.run(["qemu-img", "check", overlay], capture_output=True, check=False)
        assert checked.returncode in (0, 3), checked.stdout  # 3: room was lost, nothing else
    disk = open_disk(str(path), overlay=str(overlay))
    for number in range(len(done)):
        sector = 8 + 16 * number & 0xFFFF
        assert disk.read(sector, 1)[:2] == sector.to_bytes(2, "little")
    disk.close()
