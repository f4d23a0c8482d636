"""Scenarios of 32-bit code that uses ring 0: tables, segments with bases, far jumps."""

from __future__ import annotations

import struct
from typing import Any

from tests.unicorn.scenarios import (
    CODE,
    Lib,
    Log,
    code_hook,
    machine,
    register,
    run,
    scenario,
    size,
)

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
RING_0 = """0f011500110000 66b81800 8ec0 26a110000000 0f01e3 0f010520110000 fa fb 9c 59
 66ba1000 8eda 8ed2 ea001000002000"""


@scenario
def ring_0(lib: Lib, log: Log) -> None:
    for hooked in (True, False):
        uc = begin(lib, RING_0)
        if hooked:
            uc.hook_add(lib.UC_HOOK_CODE, lambda uc, at, size, data: log(hex(at), size))
            uc.hook_add(
                lib.UC_HOOK_MEM_READ, lambda uc, kind, at, size, value, data: log(hex(at), size)
            )
        uc.emu_start(START, FAR + 0x10)
        names = ["EAX", "ECX", "ESI", "EDI", "EBX", "EIP", "ESP", "CS", "DS", "SS", "ES", "GDTR"]
        log([uc.reg_read(register(lib, name)) for name in names])
        log(bytes(uc.mem_read(GDT + 0x120, 6)).hex())


def segments_table() -> list[bytes]:
    """Return descriptors of all types for memory and two others, of ring 0 and 3, with a base."""
    types = (0x10, 0x12, 0x18, 0x1A, 0x1C, 0x1E, 0x02, 0x09, 0x0C)
    rows = [bytes(8)]
    for level in (0, 3):
        for kind in types:
            for present in (0x80, 0):
                rows.append(descriptor(0x2000, 0xFFFFF, present | level << 5 | kind, 12))
    return rows


@scenario
def segment_registers(lib: Lib, log: Log) -> None:
    rows = segments_table()
    overrides = {"CS": "", "SS": "36", "DS": "", "ES": "26", "FS": "64", "GS": "65"}
    for table, bit in (("GDTR", 0), ("LDTR", 4)):
        for name, prefix in overrides.items():
            for index in range(1, 6 if bit else len(rows) + 1):
                for level in (0, 3):
                    uc = lib.Uc(lib.UC_ARCH_X86, lib.UC_MODE_32)
                    uc.mem_map(0, 0x10000)
                    uc.mem_write(0x1000, b"".join(rows))
                    uc.mem_write(0x10, b"flat")
                    uc.mem_write(0x2010, b"base")
                    limit = 8 * len(rows) - 1
                    uc.reg_write(register(lib, table), (8 if bit else 0, 0x1000, limit, 0x8200))
                    done = "loaded"
                    try:
                        uc.reg_write(register(lib, name), index * 8 | level | bit)
                    except lib.UcError as error:
                        done = error.errno
                    code = bytes.fromhex(prefix + "a110000000")
                    for place in (0x5000, 0x7000):  # CS has a base, too
                        uc.mem_write(place, code)
                    uc.emu_start(0x5000, 0x5000 + len(code), count=1)
                    values = [uc.reg_read(register(lib, n)) for n in (name, "EAX", "EIP")]
                    log(table, name, index, level, done, values, uc.mem_read(0x1005 + index * 8, 1))


RING_3 = {
    "iret": "6a23 6800700000 6a02 6a1b 6800900000 cf",
    "retf": "6a23 6800700000 6a1b 6800900000 cb",
    "sysexit": "b974010000 b808000000 31d2 0f30 b900700000 ba00900000 0f35",
}
IN_RING_3 = (
    "fa", "f4", "e460", "e660", "cd80", "cc", "0f20c0", "0f22c0", "0f3012", "8cc8", "668ed8", "cf",
    "0f00d0", "b823000000 8ed8 0f010dfc6f0000", "b823000000 8ed8 8ec0 40", "9c58", "6a02 9d 9c 58",
    "0f01f0", "b810000000 8ed8", "ea000000000800", "f7f0", "0f0b", "0f32", "fb", "ce", "0f34",
    "0f06",
)  # fmt: skip


@scenario
def ring_3(lib: Lib, log: Log) -> None:
    rows = [bytes(8)] + [
        descriptor(0, 0xFFFFF, rights, 12) for rights in (0x9B, 0x93, 0xFB, 0xF3, 0x93)
    ]
    for way, enter in RING_3.items():
        for code in IN_RING_3:
            uc = begin(lib, enter)
            uc.mem_write(GDT, b"".join(rows))
            uc.reg_write(register(lib, "GDTR"), (0, GDT, 8 * len(rows) - 1, 0))
            uc.mem_write(FAR, bytes.fromhex(code) + b"\x90" * 8)
            for name, selector in (("CS", 8), ("SS", 0x10), ("DS", 0x10), ("ES", 0x10)):
                uc.reg_write(register(lib, name), selector)
            uc.hook_add(
                lib.UC_HOOK_INTR,
                lambda uc, number, data: (
                    log("int", number, hex(uc.reg_read(register(lib, "EIP")))), uc.emu_stop()
                ),
            )  # fmt: skip
            try:
                uc.emu_start(START, FAR + len(bytes.fromhex(code)), count=40)
                log(way, code, "done")
            except lib.UcError as error:
                log(way, code, "error", error.errno)
            names = ("EAX", "EIP", "ESP", "CS", "SS", "DS", "ES", "EFLAGS")
            log([hex(uc.reg_read(register(lib, name))) for name in names])


@scenario
def single_steps(lib: Lib, log: Log) -> None:
    def hook(uc: Any, number: int, data: object) -> None:
        log("int", number, hex(uc.reg_read(register(lib, "EIP"))))

    for flags in (0x102, 2):
        for hooked in (False, True):
            for code in (
                "40 40 40",
                "6802010000 9d 40 40",
                "9c 58 6802000000 9d 40",
            ):
                uc = machine(lib, code, eflags=flags)
                if hooked:
                    uc.hook_add(lib.UC_HOOK_INTR, hook)
                    uc.hook_add(lib.UC_HOOK_CODE, code_hook(log))
                run(lib, log, uc, until=CODE + size(code))
