"""Boot sectors and CDs that the built-in BIOS starts, and interrupts that their code waits for."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from runtime.devices.cdrom import CdRom
from runtime.machines.pc import Pc, PcConfig
from runtime.machines.storage import Drives
from runtime.screen.screen import Screen
from tests.assembling import assemble
from tests.runtime.firmware.services import Memory

# Ends the machine with AL, after telling the registers of the start by port E9h.
TELL = "mov al, dl; out 0xe9, al; mov al, 7; out 0xf4, al; hlt"


def sector(source: str) -> bytes:
    """Return a boot sector."""
    return assemble(source, 0x7C00).ljust(510, b"\0") + b"\x55\xaa"


def start(drives: Drives, **more: Any) -> tuple[Pc, bytearray]:
    """Return a PC and what it says by port E9h."""
    said = bytearray()
    config = PcConfig(8 << 20, drives=drives, debug=said.extend, debug_exit=0xF4, **more)
    return Pc(config), said


def run(pc: Pc, seconds: float = 30) -> int | None:
    """Run until the guest ends; return its status."""
    try:
        assert pc.run(timeout=seconds) == "exit"
        return pc.status
    finally:
        pc.close()


def cd_image(media: int, image: bytes, *, segment: int = 0, count: int = 1) -> bytes:
    """Return a CD that has nothing but a boot catalogue and an image."""
    sectors = [b"\0" * 2048] * 20
    sectors[16] = b"\x01CD001\x01".ljust(2048, b"\0")
    record = b"\0CD001\x01EL TORITO SPECIFICATION".ljust(0x47, b"\0") + struct.pack("<I", 18)
    sectors[17] = record.ljust(2048, b"\0")
    head = bytearray(b"\x01\0\0\0".ljust(30, b"\0") + b"\x55\xaa")
    struct.pack_into("<H", head, 28, -sum(struct.unpack("<16H", head)) & 0xFFFF)
    entry = struct.pack("<BBHBxHI", 0x88, media, segment, 0, count, 20)
    sectors[18] = (bytes(head) + entry).ljust(2048, b"\0")
    return b"".join(sectors) + image.ljust(-(-len(image) // 2048) * 2048, b"\0")


@pytest.mark.parametrize(
    ("boot", "number"), [("acd", 0), ("ca", 0x80), ("dca", 0xE0), ("nc", 0x80)]
)
def test_the_order_of_devices(boot: str, number: int) -> None:
    """The first one of the order that has a boot sector is started, and told its number."""
    cd = CdRom(Memory(cd_image(0, assemble(TELL, 0x7C00))))
    drives = Drives([Memory(sector(TELL) + bytes(719 << 10))], [Memory(sector(TELL) * 2000), cd])
    pc, said = start(drives, boot=boot)
    assert run(pc) == 15  # 7 << 1 | 1, as of QEMU's isa-debug-exit
    assert said == bytes([number])


def test_who_cannot_go_on_lets_the_next_device_start() -> None:
    """INT 18h of a diskette: the CD is empty, the hard disk starts; its own finds nothing more."""
    gives_up = "mov al, dl; out 0xe9, al; int 0x18"
    drives = Drives(
        [Memory(sector(gives_up) + bytes(719 << 10))],
        [Memory(sector(gives_up) * 2000), CdRom(Memory(bytes(1 << 20)))],
    )
    pc, said = start(drives, boot="adc")
    assert pc.run(timeout=2) == "timeout"
    assert said == b"\0\x80"
    assert "No bootable device" in Screen(pc.display.vga.frame).text
    pc.close()


def test_what_cannot_be_started_is_said() -> None:
    """Empty drives, disks without a boot sector, CDs without catalogue; INT 18h waits."""
    drives = Drives([None], [Memory(bytes(1 << 20)), CdRom(Memory(bytes(1 << 20)))])
    pc, said = start(drives)
    assert pc.run(timeout=1) == "timeout"
    text = Screen(pc.display.vga.frame).text
    for line in ("no disk", "no boot sector", "no boot catalog", "No bootable device"):
        assert line in text
    assert not said
    pc.close()


FROM_CD = """
    mov al, dl; out 0xe9, al
    mov ax, 0x4b01; mov si, offset packet; int 0x13
    jc fail
    mov al, [si+1]; out 0xe9, al
    mov ax, 0x0201; mov bx, 0x8000; mov cx, 2; mov dh, 0; int 0x13
    jc fail
    mov al, [0x8000]; out 0xe9, al
    mov ah, 8; int 0x13
    mov al, ch; out 0xe9, al
fail: out 0xf4, al; hlt
packet: .byte 0x13"""


@pytest.mark.parametrize(
    ("media", "number", "cylinder"), [(1, 0, 79), (2, 0, 79), (3, 0, 79), (4, 0x80, 9)]
)
def test_disks_that_cds_emulate(media: int, number: int, cylinder: int) -> None:
    """The image is a drive of its own; what was there moves on."""
    code = bytearray(sector(FROM_CD))
    struct.pack_into("<16B", code, 446, 0x80, 1, 1, 0, 6, 3, 4, 9, *bytes(8))  # 10/4/4
    image = bytes(code) + b"2".ljust(512, b"x") + bytes(200 * 512)
    cd = CdRom(Memory(cd_image(media, image)))
    drives = Drives([Memory(bytes(1440 << 10))], [Memory(bytes(1 << 20)), None, cd])
    pc, said = start(drives, boot="d")
    builtin = pc.builtin
    assert builtin is not None
    run(pc)
    assert said == bytes([number, media]) + b"2" + bytes([cylinder])
    assert sorted(builtin.drives) == [0, 1, 0x80, 0xE0] if media < 4 else [0, 0x80, 0x81, 0xE0]


def test_bad_boot_catalogues_are_refused() -> None:
    """Checksums, places behind the end, kinds of media that do not exist."""
    good = cd_image(0, assemble(TELL, 0x7C00))
    for at, value in ((0x47 + 17 * 2048 + 2, 0xFF), (18 * 2048 + 5, 1), (18 * 2048 + 33, 7)):
        bad = bytearray(good)
        bad[at] = value
        pc, said = start(Drives([], [CdRom(Memory(bytes(bad)))]), boot="d")
        assert pc.run(timeout=0.3) == "timeout"
        assert "no boot catalog" in Screen(pc.display.vga.frame).text
        assert not said
        pc.close()


# Waits: 20 ms by INT 15h 86h, a tick of INT 1Ch, a key, a report of the mouse, INT 4Ah never.
WAITING = """
    cli; xor ax, ax; mov ds, ax; mov es, ax; mov ss, ax; mov sp, 0x7c00
    mov word ptr [0x70], offset tick; mov [0x72], ax
    sti
    mov ax, 0x8600; xor cx, cx; mov dx, 20000; int 0x15
    mov al, 'w'; jc 1f; out 0xe9, al
1:  hlt
    cmp byte ptr [flag], 1
    jne 1b
    mov al, 't'; out 0xe9, al
    mov ax, 0xc207; mov bx, offset mouse; int 0x15
    mov ax, 0xc200; mov bh, 1; int 0x15
    mov al, 'm'; out 0xe9, al
    xor ah, ah; int 0x16
    out 0xe9, al
2:  hlt
    cmp byte ptr [reports], 1
    jb 2b
    mov ax, sp
    cmp ax, 0x7c00
    jne 3f
    mov al, 's'; out 0xe9, al
3:  out 0xf4, al
tick: mov byte ptr cs:[flag], 1; iret
mouse: push bp; mov bp, sp
    mov al, [bp+10]; out 0xe9, al
    mov al, [bp+8]; out 0xe9, al
    inc byte ptr cs:[reports]
    pop bp; mov ax, 0x1234; mov dx, ax; retf
flag: .byte 0
reports: .byte 0"""


@pytest.mark.parametrize("clock", ["host", "icount"])
def test_interrupts_of_hardware(clock: str) -> None:
    """Timer, real-time clock, keyboard and mouse through IRQs, with guest code around."""
    pc, said = start(Drives([Memory(sector(WAITING) + bytes(719 << 10))]), boot="a", clock=clock)
    for _ in range(200):
        pc.run(timeout=0.05)
        if said.endswith(b"m"):
            break
    pc.ps2.keyboard.type("k")
    pc.ps2.mouse.move(5, -3, 1)
    run(pc)
    # left button, x positive, y upwards positive
    assert said == b"wtm" + b"k" + bytes([5, 3]) + b"s" or said == b"wtm" + bytes([5, 3]) + b"ks"


def test_power_off() -> None:
    """APM switches the machine off, as DOS programs ask for it."""
    source = """
        mov ax, 0x5301; xor bx, bx; int 0x15
        mov ax, 0x530e; mov cx, 0x102; int 0x15
        mov ax, 0x5307; mov bx, 1; mov cx, 3; int 0x15
        1: hlt; jmp 1b"""
    pc, _ = start(Drives([Memory(sector(source) + bytes(719 << 10))]), boot="a")
    assert pc.run(timeout=10) == "power off"
    pc.close()


def test_ctrl_alt_delete_starts_again() -> None:
    """The keyboard controller resets the machine; INT 19h comes again."""
    source = "mov al, 'b'; out 0xe9, al; sti; 1: hlt; jmp 1b"
    pc, said = start(Drives([Memory(sector(source) + bytes(719 << 10))]), boot="a")
    pc.run(timeout=0.3)
    pc.ps2.keyboard.press("ctrl-alt-delete", 0.05)
    for _ in range(40):
        pc.run(timeout=0.1)
        if said == b"bb":
            break
    assert said == b"bb"
    assert pc.resets == 1
    pc.close()
