"""Scenarios of paging: page tables, PAE, faults, what hooks are told, and a TLB of the user's."""

from __future__ import annotations

import struct
from typing import Any

from tests.unicorn.scenarios import Lib, Log, register, scenario

START, TOP = 0x5000, 0x10000
SHOWN = ("EAX", "ECX", "EIP", "CR0", "CR2", "CR3")
PG, WP = 0x80000011, 0x80010011


def table(*entries: int) -> bytes:
    return struct.pack(f"<{len(entries)}I", *entries)


def table64(*entries: int) -> bytes:
    return struct.pack(f"<{len(entries)}Q", *entries)


def machine(lib: Lib, code: str, cr0: int = PG) -> Any:
    """Return a machine with 1 MiB of memory, mapped to itself, and a few pages at 400000h."""
    uc = lib.Uc(lib.UC_ARCH_X86, lib.UC_MODE_32)
    uc.mem_map(0, 0x100000)
    uc.mem_write(TOP, table(0x11007, 0x12007, 0x800087))
    uc.mem_write(0x11000, table(*((i << 12) | 7 for i in range(256))))
    uc.mem_write(0x12000, table(0x20007, 0x21007, 0x22005, 0, 0x200007, 0x23007))
    uc.mem_write(0x20010, b"\x44\x33\x22\x11")
    uc.mem_write(START, bytes.fromhex(code) + b"\x90" * 8)
    if cr0:
        uc.reg_write(register(lib, "CR3"), TOP)
        uc.reg_write(register(lib, "CR0"), cr0)
    return uc


def machine_pae(lib: Lib, code: str, nx: bool, late: bool) -> Any:
    """Return the same with PAE and memory above 4 GiB; *late*: tables come after registers."""
    uc = lib.Uc(lib.UC_ARCH_X86, lib.UC_MODE_32)
    uc.mem_map(0, 0x100000)
    uc.mem_map(1 << 32, 0x10000)
    for is_late in (late, not late):
        if is_late:
            uc.reg_write(register(lib, "CR3"), TOP)
            uc.reg_write(register(lib, "CR4"), 0x20)
            if nx:
                uc.msr_write(0xC0000080, 0x800)
            uc.reg_write(register(lib, "CR0"), WP)
            continue
        uc.mem_write(TOP, table64(0x11001, 0x12001, 0, 0))
        uc.mem_write(0x11000, table64(0x13007, 0x14007))
        uc.mem_write(0x12000, table64(0x80000000000000E7, 0x87))
        uc.mem_write(0x13000, table64(*((i << 12) | 7 for i in range(256))))
        uc.mem_write(0x14000, table64(
            0x20007, 0x100000007, 0x8000000000022007, 0x200007, 0x40000022007, 5, 0x100001005,
        ))  # fmt: skip
    uc.mem_write(0x20010, b"\x44\x33\x22\x11")
    uc.mem_write(0x100000010, b"high")
    uc.mem_write(0x22000, b"\x40\x40")
    uc.mem_write(START, bytes.fromhex(code) + b"\x90" * 8)
    return uc


def run(lib: Lib, log: Log, uc: Any, begin: int = START, **more: int) -> None:
    try:
        uc.emu_start(begin, more.pop("until", 0), **more)
        log("done")
    except lib.UcError as error:
        log("error", error.errno)
    log([hex(uc.reg_read(register(lib, name))) for name in SHOWN])


def watch(lib: Lib, log: Log, uc: Any) -> None:
    """Log all accesses."""
    for kinds in (lib.UC_HOOK_MEM_READ | lib.UC_HOOK_MEM_WRITE, lib.UC_HOOK_MEM_INVALID):
        uc.hook_add(
            kinds,
            lambda uc, kind, at, size, value, data: log(kind, hex(at), size, hex(value)),
        )


def stop_at_interrupt(log: Log, uc: Any, number: int) -> None:
    log("int", number)
    uc.emu_stop()


@scenario
def paging(lib: Lib, log: Log) -> None:
    uc = machine(lib, "a110004000 40 a314104000 8b0d14104000")
    watch(lib, log, uc)
    uc.hook_add(lib.UC_HOOK_CODE, lambda uc, at, size, data: log("code", hex(at), size))
    run(lib, log, uc, until=START + 17)
    log(bytes(uc.mem_read(0x21014, 4)), bytes(uc.mem_read(0x12000, 20)).hex())
    try:
        log(uc.mem_read(0x400010, 4))
    except lib.UcError as error:
        log(error.errno)


@scenario
def page_faults(lib: Lib, log: Log) -> None:
    codes = ("a100304000", "a300204000", "a100404000", "a300404000", "e9fb633f00", "a1fe0f4000")
    for code in codes:
        for hooks in range(3):
            uc = machine(lib, code, WP)
            if hooks:
                watch(lib, log, uc)
            if hooks == 2:
                uc.hook_add(
                    lib.UC_HOOK_INTR, lambda uc, number, data: stop_at_interrupt(log, uc, number)
                )
            run(lib, log, uc, count=2)
            log(bytes(uc.mem_read(0x12000, 24)).hex())


@scenario
def code_elsewhere(lib: Lib, log: Log) -> None:
    uc = machine(lib, "")
    uc.mem_write(0x20000, b"\x40\x41\x90\x40\x40\xeb\xfe")
    uc.hook_add(lib.UC_HOOK_CODE, lambda uc, at, size, data: log("code", hex(at), size))
    uc.hook_add(lib.UC_HOOK_BLOCK, lambda uc, at, size, data: log("block", hex(at), size))
    run(lib, log, uc, 0x400000, until=0x400004)
    uc.mem_write(0x20000, b"\x49" * 5)  # what is at 400000h is physically here
    run(lib, log, uc, 0x400000, count=3)
    # Code at 400000h writes to itself through 20000h, and the other way round.
    uc = machine(lib, "")
    uc.mem_write(0x20000, bytes.fromhex("c6050800020041 40 48 c6051100400041 40 48 48 90 90"))
    run(lib, log, uc, 0x400000, count=7)


@scenario
def guest_turns_paging_on(lib: Lib, log: Log) -> None:
    code = "b800000100 0f22d8 0f20c0 0d00000080 0f22c0 a110004000 40"
    uc = machine(lib, code, 0)
    run(lib, log, uc, until=START + 24)
    uc.mem_write(0x12000, table(0x21007))
    uc.mem_write(0x21010, b"AAAA")
    run(lib, log, uc, START + 0x13, until=START + 0x18)
    uc.mem_write(
        0x6000, bytes.fromhex("0f013d00004000 a110004000 0f20c0 25ffffff7f 0f22c0 a110004000")
    )
    run(lib, log, uc, 0x6000, until=0x600C)
    uc.mem_write(0x12000, table(0x20007))
    uc.reg_write(register(lib, "CR3"), TOP)
    run(lib, log, uc, START + 0x13, until=START + 0x18)
    watch(lib, log, uc)
    run(lib, log, uc, 0x6000, until=0x601C)
    uc.mem_map(0x400000, 0x1000)
    run(lib, log, uc, 0x6000, until=0x601C)


@scenario
def large_pages(lib: Lib, log: Log) -> None:
    for cr4 in (0, 0x10):
        uc = machine(lib, "a104008000 a304008000")
        uc.mem_map(0x800000, 0x2000)
        uc.mem_write(0x800004, b"wide")
        uc.reg_write(register(lib, "CR4"), cr4)
        run(lib, log, uc, until=START + 10)
        log(bytes(uc.mem_read(TOP, 12)).hex())


@scenario
def pae(lib: Lib, log: Log) -> None:
    codes = (
        "a110002000", "a110102000", "a110302000", "a300602000", "a300502000", "e9fbcf1f00",
        "a110404000", "a110402000", "a110502000", "a110000040", "a110002040",
        "a310102000 a110102000", "0f20e0 0f20d8",
    )  # fmt: skip
    for late in (False, True):
        for nx in (False, True):
            for code in codes:
                uc = machine_pae(lib, code, nx, late)
                watch(lib, log, uc)
                run(lib, log, uc, until=START + len(bytes.fromhex(code)), count=3)
                log(bytes(uc.mem_read(0x14000, 64)).hex(), bytes(uc.mem_read(0x100000010, 4)))


@scenario
def memory_changes_under_paging(lib: Lib, log: Log) -> None:
    uc = machine(lib, "a110004000 a110104000 a314004000")
    uc.mem_write(0x21010, b"page")
    run(lib, log, uc, until=START + 15)
    uc.mem_protect(0x20000, 0x1000, 1)
    run(lib, log, uc, until=START + 15)
    uc.mem_protect(0x20000, 0x1000, 0)
    run(lib, log, uc, until=START + 15)
    uc.mem_unmap(0x20000, 0x1000)
    run(lib, log, uc, until=START + 15)
    uc.mem_map(0x20000, 0x1000)
    run(lib, log, uc, until=START + 15)
    log(bytes(uc.mem_read(0x20010, 8)), bytes(uc.mem_read(0x21010, 4)))
    uc.mmio_map(0x200000, 0x1000, lambda uc, offset, size, data: log(offset, size) or 0x1234, None,
                lambda uc, offset, size, value, data: log(offset, size, value), None)  # fmt: skip
    uc.mem_write(START, bytes.fromhex("a110404000 a320404000 66a30e404000"))
    run(lib, log, uc, until=START + 16)


@scenario
def contexts_of_paging(lib: Lib, log: Log) -> None:
    uc = machine(lib, "a110004000", 0)
    flat = uc.context_save()
    uc.reg_write(register(lib, "CR3"), TOP)
    uc.reg_write(register(lib, "CR0"), PG)
    paged = uc.context_save()
    for context in (flat, paged, flat, paged):
        uc.context_restore(context)
        run(lib, log, uc, until=START + 5)


# -- a TLB that hooks fill -------------------------------------------------------------------------
def tlb(lib: Lib, log: Log, code: str, entries: dict[int, tuple[int, int]], hooked: bool) -> Any:
    uc = lib.Uc(lib.UC_ARCH_X86, lib.UC_MODE_32)
    uc.mem_map(0, 0x10000)
    uc.mem_write(0x2000, b"abcdefgh")
    uc.mem_write(0x1000, bytes.fromhex(code) + b"\x90" * 8)
    uc.ctl_set_tlb_mode(lib.UC_TLB_VIRTUAL)

    def fill(uc: Any, address: int, access: int, entry: Any, data: object) -> bool:
        log("fill", hex(address), access)
        if address in entries:
            entry.paddr, entry.perms = entries[address]
        return address in entries

    uc.hook_add(lib.UC_HOOK_TLB_FILL, fill)
    if hooked:
        watch(lib, log, uc)
    return uc


@scenario
def tlb_mode(lib: Lib, log: Log) -> None:
    there = {0x1000: (0x1000, 7)}
    for hooked in (False, True):
        for code, entries in (
            ("a100004000", there | {0x400000: (0x2000, 7)}),
            ("a100004000", there | {0x400000: (0x2000, 2)}),
            ("a300004000", there | {0x400000: (0x2000, 1)}),
            ("a100004000", there | {0x400000: (0x200000, 7)}),
            ("a100004000", there),
            ("a300004000", there),
            ("a1fe0f4000", there | {0x400000: (0x2000, 7), 0x401000: (0x1000, 7)}),
            ("a100004000", {0x1000: (0x1000, 3), 0x400000: (0x2000, 1)}),
            ("a100004000 a300004000", there | {0x400000: (0x2000, 1)}),
            ("a100004000 40 a304004000", there | {0x400000: (0x2000, 3)}),
        ):
            uc = tlb(lib, log, code, entries, hooked)
            for _ in range(2):
                run(lib, log, uc, 0x1000, until=0x1000 + len(bytes.fromhex(code)))
            log(bytes(uc.mem_read(0x2000, 8)))
    uc = tlb(lib, log, "40", {0x400000: (0x1000, 7)}, False)
    run(lib, log, uc, 0x400000, until=0x400001)
    uc = lib.Uc(lib.UC_ARCH_X86, lib.UC_MODE_32)
    uc.mem_map(0x1000, 0x1000)
    uc.ctl_set_tlb_mode(lib.UC_TLB_VIRTUAL)
    uc.mem_write(0x1000, b"\x40" * 8)
    run(lib, log, uc, 0x1000, until=0x1004)
    run(lib, log, uc, 0x3000, until=0x3004)
