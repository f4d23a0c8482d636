"""Scenarios of memory hooks for ranges of addresses, in 32-bit and in 16-bit code."""

from __future__ import annotations

from typing import Any

from tests.unicorn.scenarios import CODE, DATA, Lib, Log, machine, register, run, scenario

# Loads, stores, both; the stack; strings, repeated or not; x87, SSE, helpers. EBX, ESI, EDI: DATA.
INSNS = (
    "8b4304 894308 014304 874304 f00fb14b08 0fab4304 0fc14b10",
    "50 58 6a05 8f4304 9c 9d e800000000 58 ff7304 58",
    "a5 a4 ab ac ae a6 aa b905000000 f3a5 b903000000 f3aa b904000000 f2ae",
    "d903 d95b04 dd03 dd5b08 db2b db7b10 d97b20 d96b20",
    "0f2803 0f2943 10 f30f1003 f20f114308 0f1003 0f1143 20 0f50c0 660fd64330",
)


def log_hook(log: Log, name: str) -> Any:
    return lambda uc, kind, at, size, value, data: log(name, kind, hex(at), size, hex(value))


@scenario
def memory_hook_ranges(lib: Lib, log: Log) -> None:
    ranges = (
        ((DATA, DATA + 3),), ((DATA + 8, DATA + 15),), ((0x300000, 0x300FFF),),
        ((DATA + 4, DATA + 4), (DATA + 0x10, DATA + 0x1F), (DATA + 0x103, 0x3007FF)),
        ((DATA, DATA), (DATA + 4, DATA + 5), (DATA + 9, DATA + 9), (DATA + 16, DATA + 16)),
    )  # fmt: skip
    for code in INSNS:
        for wanted in ranges:
            for kinds in ("READ", "WRITE", "BOTH"):
                uc = machine(lib, code + "f4", ebx=DATA, esi=DATA, edi=DATA + 0x100)
                uc.mem_write(DATA, bytes(range(1, 0x81)))
                uc.reg_write(register(lib, "FPCW"), 0x37F)
                uc.reg_write(register(lib, "MXCSR"), 0x1F80)
                bits = lib.UC_HOOK_MEM_READ if kinds != "WRITE" else 0
                bits |= lib.UC_HOOK_MEM_WRITE if kinds != "READ" else 0
                for number, (first, last) in enumerate(wanted):
                    uc.hook_add(bits, log_hook(log, str(number)), None, first, last)
                run(lib, log, uc)
                log(uc.mem_read(DATA, 0x180))


@scenario
def memory_hook_ranges_in_loops(lib: Lib, log: Log) -> None:
    # mov eax, [esi]; add [edi], eax; push eax; pop edx; add esi, 4; loop
    code = "8b06 0107 50 5a 83c604 e2f5"
    for count in (0, 37):
        uc = machine(lib, code, esi=DATA, edi=DATA + 0x1000, ecx=500)
        uc.mem_write(DATA, bytes(range(256)) * 8)
        handle = uc.hook_add(
            lib.UC_HOOK_MEM_READ, log_hook(log, "read"), None, DATA + 0x40, DATA + 0x47
        )
        uc.hook_add(
            lib.UC_HOOK_CODE, lambda uc, *rest: log("code", uc.reg_read(register(lib, "ECX"))),
            None, CODE + 4, CODE + 4,
        )  # fmt: skip
        run(lib, log, uc, until=CODE + 11, count=count)
        uc.hook_del(handle)
        uc.hook_add(
            lib.UC_HOOK_MEM_WRITE, log_hook(log, "write"), None, DATA + 0x1000, DATA + 0x1000
        )
        for name, value in (("ESI", DATA), ("ECX", 5)):
            uc.reg_write(register(lib, name), value)
        run(lib, log, uc, until=CODE + 11)


@scenario
def memory_hooks_come_and_go(lib: Lib, log: Log) -> None:
    uc = machine(lib, "890340 890340 890340 8b13 8b13 8b13", ebx=DATA)
    handles: list[int] = []

    def add(uc: Any, at: int, size: int, data: object) -> None:
        handles.append(
            uc.hook_add(lib.UC_HOOK_MEM_WRITE, log_hook(log, "write"), None, DATA, DATA + 3)
        )

    def remove(uc: Any, at: int, size: int, data: object) -> None:
        uc.hook_del(handles.pop())
        uc.hook_add(lib.UC_HOOK_MEM_READ, log_hook(log, "read"), None, DATA, DATA + 3)

    uc.hook_add(lib.UC_HOOK_CODE, add, None, CODE + 3, CODE + 3)
    uc.hook_add(lib.UC_HOOK_CODE, remove, None, CODE + 6, CODE + 6)
    uc.ctl_flush_tb()
    run(lib, log, uc, until=CODE + 15)


@scenario
def memory_hook_ranges_in_real_mode(lib: Lib, log: Log) -> None:
    uc = lib.Uc(lib.UC_ARCH_X86, lib.UC_MODE_16)
    uc.mem_map(0, 0x20000)
    # ds: 1234h; mov [5], ax; far jump; push; pop; mov cx, [5]; movsw
    code = bytes.fromhex("b83412 8ed8 a30500 ea0d100000 50 5b 8b0e0500 8ec0 a5 f4")
    uc.mem_write(0x1000, code)
    uc.reg_write(register(lib, "SP"), 0x800)
    kinds = lib.UC_HOOK_MEM_READ | lib.UC_HOOK_MEM_WRITE
    for first, last in ((0x12345, 0x12345), (0x7FE, 0x7FE), (0x12340, 0x12340)):
        uc.hook_add(kinds, log_hook(log, "hook"), None, first, last)
    for _ in range(2):
        run(lib, log, uc, 0x1000, 0x1000 + len(code))
