"""Images that only look like Linux kernels, and old ones: started at their 16-bit setup code."""

from __future__ import annotations

import struct

import pytest

from runtime.loaders import setupcode
from runtime.loaders.bzimage import LoadError
from runtime.machines.pc import Pc, PcConfig
from tests.assembling import assemble
from tests.boot import test_multiboot
from tests.boot.test_boot_disks import SEABIOS, firmware
from translator.mode import Model

# Sends its command line, the video mode, what INT 15h says and the first byte of its second part.
SETUP = """
    mov dx, 0x3FB               # eight bits a character
    mov al, 3
    out dx, al
    mov esi, fs:[0x228]
    cmp word ptr fs:[0x20], 0xA33F
    jne 1f
    movzx esi, word ptr fs:[0x22]
    xor ebx, ebx
    mov bx, fs
    shl ebx, 4
    add esi, ebx
1:  mov ebx, esi
    shr ebx, 4
    mov gs, bx
    and si, 15
2:  mov al, gs:[si]
    inc si
    cmp al, 1
    jb 3f
    call send
    jmp 2b
3:  mov al, fs:[0x1FA]
    call send
    mov ah, 0x88
    int 0x15
    mov al, '+'
    jnc 4f
    mov al, '-'
4:  call send
    mov bx, SEGMENT
    mov es, bx
    mov al, es:[OFFSET]
    call send
    mov dx, 0xF4
    out dx, al
    hlt
send: mov dx, 0x3F8
    out dx, al
    ret
"""
HIGH, LOW = ("0xFFFF", "0x10"), ("0x1000", "0")
LINE = "one two vga=0x317"


def image(version: int, flags: int, place: tuple[str, str]) -> bytes:
    """Return a kernel of one protocol version: 2 + 1 sectors, then "K" at *place*."""
    source = SETUP.replace("SEGMENT", place[0]).replace("OFFSET", place[1])
    code = assemble(source, 0, 16)
    head = bytearray(1536)
    head[0x1F1] = 2
    head[0x200:0x206] = b"\xeb\x7eHdrS"  # a jump over the header
    struct.pack_into("<H", head, 0x206, version)
    head[0x211] = flags
    struct.pack_into("<II", head, 0x22C, 0x37FFFFFF, 0)
    struct.pack_into("<I", head, 0x238, 100)
    head[0x280 : 0x280 + len(code)] = code
    return bytes(head) + b"K" * 1000


@pytest.mark.parametrize(
    ("version", "flags", "place"),
    [(0x203, 1, HIGH), (0x207, 1, HIGH), (0x201, 1, HIGH), (0x201, 0, LOW), (0x203, 0, LOW)],
)
def test_setup_code_finds_what_boot_loaders_promise(
    version: int, flags: int, place: tuple[str, str]
) -> None:
    out = bytearray()
    kernel = image(version, flags, place)
    config = PcConfig(4 << 20, kernel=kernel, append=LINE, serial=[out.extend], debug_exit=0xF4)
    pc = Pc(config)
    try:
        assert pc.run(20) == "exit"
    finally:
        pc.close()
    assert bytes(out) == LINE.encode() + b"\x17+K"


@firmware
def test_kernels_start_under_both_firmwares(bios: str) -> None:
    """Linux images at their setup code, Multiboot kernels where they say."""
    rom = SEABIOS.read_bytes() if bios == "seabios" else b""
    for made, expected in (
        (image(0x20F, 1, HIGH), LINE.encode() + b"\x17+K"),
        (test_multiboot.kernel(test_multiboot.EXIT), LINE.encode() + b"!"),
    ):
        out = bytearray()
        config = PcConfig(
            16 << 20, kernel=made, append=LINE, serial=[out.extend], bios=rom, debug_exit=0xF4
        )
        pc = Pc(config)
        try:
            assert pc.run(200) == "exit"
        finally:
            pc.close()
        assert bytes(out).endswith(expected)


def test_an_initrd_is_where_the_header_says() -> None:
    kernel = image(0x203, 1, HIGH)
    pc = Pc(PcConfig(4 << 20, kernel=kernel, initrd=b"initrd" * 1000))
    try:
        place, size = struct.unpack("<II", pc.physical.read(0x10218, 8))
        assert pc.physical.read(place, size) == b"initrd" * 1000
        assert not place % 4096
    finally:
        pc.close()


def test_what_takes_setup_code() -> None:
    new = image(0x20F, 1, HIGH)
    assert not setupcode.is_needed(new, "vga=normal quiet")
    assert setupcode.is_needed(new, "vga=791")
    assert setupcode.is_needed(image(0x203, 1, HIGH), "")


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({}, {"append": "vga=big"}, "vga=big"),
        ({}, {"append": "x" * 300}, "command line"),
        ({}, {"initrd": bytes(4 << 20)}, "do not fit"),
        ({"code": b""}, {}, "truncated"),
        ({"code": bytes(5 << 20)}, {}, "memory"),
    ],
)
def test_what_cannot_be_started_is_said(
    changes: dict[str, bytes], settings: dict[str, object], message: str
) -> None:
    kernel = image(0x203, 1, HIGH)[:1536] + changes.get("code", b"K")
    with pytest.raises(LoadError, match=message):
        Pc(PcConfig(4 << 20, kernel=kernel, **settings))


@pytest.mark.parametrize("model", [Model.I386, Model.I486, Model.PENTIUM])
def test_setup_code_judges_older_processors(model: Model) -> None:
    """Linux says there which processor it wants; its 32-bit entry point only hangs."""
    out = bytearray()
    kernel = image(0x20F, 1, HIGH)
    config = PcConfig(
        4 << 20, kernel=kernel, append="x", serial=[out.extend], debug_exit=0xF4, model=model
    )
    pc = Pc(config)
    try:
        assert pc.run(20) == "exit"
    finally:
        pc.close()
    assert bytes(out) == b"x\xff+K"
