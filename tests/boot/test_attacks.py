"""Kernels that use devices against all sense: the machine ends when it is told to, and at once.

A time limit, Ctrl-C and a stop are seen in the same place of the loop.
"""

from __future__ import annotations

import time

import pytest

from runtime.machines.pc import Pc, PcConfig
from runtime.screen.screen import Screen
from tests.boot.test_multiboot import kernel

CONFIGURATION = """
    mov dx, 0xCF8
    mov eax, {register}
    out dx, eax
    mov dx, 0xCFC
    mov eax, {value}
    out dx, eax
"""


def configure(*pairs: tuple[int, int]) -> str:
    return "".join(CONFIGURATION.format(register=r, value=v) for r, v in pairs)


VGA_BAR, VGA_COMMAND = 0x80001010, 0x80001004
ATTACKS = {
    "io apic": """
    mov edi, 0xFEC00000
    1: mov dword ptr [edi], 0x14
    mov dword ptr [edi+16], 0x8020
    jmp 1b
""",
    "bar over ram": configure((VGA_BAR, 0x100000), (VGA_COMMAND, 7))
    + """
1:  mov eax, [0x100000]
    mov [0x100000], eax
    jmp 1b
""",
    "bar over apics": configure((VGA_BAR, 0xFE000000), (VGA_BAR, 0xFEC00000), (VGA_COMMAND, 7))
    + """
1:  mov eax, [0xFEC00000]
    mov [0xFEE00300], eax
    jmp 1b
""",
    "bar on and off": "1:" + configure((VGA_COMMAND, 7), (VGA_COMMAND, 0)) + "jmp 1b",
    "resets": """
    mov dx, 0xcf9
    mov al, 6
    out dx, al
    jmp .
""",
    "timer of 1.2 MHz": """
    mov al, 0x34
    out 0x43, al
    mov al, 1
    out 0x40, al
    xor al, al
    out 0x40, al
    sti
    4: hlt
    jmp 4b
""",
    "local timer of 1 GHz": """
    mov edi, 0xFEE00000
    mov dword ptr [edi+0xF0], 0x1FF
    mov dword ptr [edi+0x3E0], 11
    mov dword ptr [edi+0x320], 0x20020
    mov dword ptr [edi+0x380], 1
    sti
    4: jmp 4b
""",
    "clock of 32 kHz": """
    mov al, 0xA
    out 0x70, al
    mov al, 0x23
    out 0x71, al
    mov al, 0xB
    out 0x70, al
    mov al, 0x72
    out 0x71, al
    sti
    4: jmp 4b
""",
    "disk commands": """
    mov dx, 0x1f6
    mov al, 0xff
    out dx, al
    mov dx, 0x1f7
    5: mov al, 0xc8
    out dx, al
    mov al, 0x20
    out dx, al
    mov al, 0xec
    out dx, al
    jmp 5b
""",
    "diskette commands": """
    mov dx, 0x3f2
    mov al, 0x1c
    out dx, al
    mov dx, 0x3f5
    6: mov al, 0xe6
    out dx, al
    mov al, 0xff
    out dx, al
    jmp 6b
""",
    "video registers": """
    mov ecx, 0
    7: mov dx, 0x3c4
    mov eax, ecx
    out dx, ax
    mov dx, 0x3d4
    out dx, ax
    mov dx, 0x3ce
    out dx, ax
    mov dx, 0x1ce
    out dx, ax
    mov dx, 0x1cf
    out dx, ax
    mov [0xa0000], ecx
    add ecx, 0x1357
    jmp 7b
""",
    "4 GiB into rom": """
    mov edi, 0xF0000
    mov dx, 0x1f0
    mov ecx, 0x40000000
    rep insd
    jmp .
""",
    "4 GiB over devices": """
    mov edi, 0xFEC00000
    mov ecx, 0x300000
    rep stosd
    jmp .
""",
    "copies of nothing": """
    mov esi, 0xE8000000
    mov edi, 0xD8000000
    mov ecx, 0x8000000
    rep movsd
    jmp .
""",
    "triple faults": """
    lidt [0xF0000]
    int 3
""",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_the_machine_can_be_stopped(name: str) -> None:
    config = PcConfig(memory=4 << 20, kernel=kernel(ATTACKS[name]), append="x", serial=[None])
    pc = Pc(config)
    try:
        begun = time.monotonic()
        assert pc.run(0.4) == "timeout"
        assert time.monotonic() - begun < 20  # 0.4, but on a busy host
        Screen(pc.display.vga.frame).ndarray  # noqa: B018 (it can be drawn)
    finally:
        pc.close()
