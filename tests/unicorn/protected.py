"""Scenarios of 32-bit code that uses ring 0: tables, segments with bases, far jumps."""

from __future__ import annotations

import struct
from typing import Any

from tests.unicorn.scenarios import Lib, Log, register, scenario

GDT, START, FAR = 0x1000, 0x4000, 0x9000


def descriptor(base: int, limit: int, rights: int, flags: int) -> bytes:
    return struct.pack(
        "<HHBBBB", limit & 0xFFFF, base & 0xFFFF, base >> 16 & 0xFF, rights,
        limit >> 16 | flags << 4, base >> 24,
    )  # fmt: skip


def begin(lib: Lib, code: str) -> Any:
    """Return a machine with a GDT: flat 8 and 10h, data at 20000h 18h, code at 8000h 20h."""
    uc = lib.Uc(lib.UC_ARCH_X86, lib.UC_MODE_32)
    uc.mem_map(0, 0x100000)
    table = bytes(8) + descriptor(0, 0xFFFFF, 0x9B, 12) + descriptor(0, 0xFFFFF, 0x93, 12)
    table += descriptor(0x20000, 0xFFF, 0x93, 4) + descriptor(0x8000, 0xFFFF, 0x9B, 4)
    uc.mem_write(GDT, table)
    uc.mem_write(GDT + 0x100, struct.pack("<HI", len(table) - 1, GDT))
    uc.mem_write(0x20010, struct.pack("<I", 0x12345678))
    uc.mem_write(START, bytes.fromhex(code))
    # mov ecx, 77h; mov esi, cs; call next; next: pop edi
    uc.mem_write(FAR, bytes.fromhex("b977000000 8cce e800000000 5f") + b"\x90" * 16)
    uc.reg_write(register(lib, "ESP"), 0x7000)
    return uc


# lgdt; mov es, 18h; mov eax, es:[10h]; smsw ebx; sgdt; cli; sti; pushf; pop ecx; ds, ss; far jump
CODE = """0f011500110000 66b81800 8ec0 26a110000000 0f01e3 0f010520110000 fa fb 9c 59
 66ba1000 8eda 8ed2 ea001000002000"""


@scenario
def ring_0(lib: Lib, log: Log) -> None:
    for hooked in (True, False):
        uc = begin(lib, CODE)
        if hooked:
            uc.hook_add(lib.UC_HOOK_CODE, lambda uc, at, size, data: log(hex(at), size))
            uc.hook_add(
                lib.UC_HOOK_MEM_READ, lambda uc, kind, at, size, value, data: log(hex(at), size)
            )
        uc.emu_start(START, FAR + 0x10)
        names = ["EAX", "ECX", "ESI", "EDI", "EBX", "EIP", "ESP", "CS", "DS", "SS", "ES", "GDTR"]
        log([uc.reg_read(register(lib, name)) for name in names])
        log(bytes(uc.mem_read(GDT + 0x120, 6)).hex())
