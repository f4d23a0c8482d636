# ruff: noqa: E501
"""Scenarios of API calls beside running and hooks: memory, registers, controls; real mode."""

from __future__ import annotations

from typing import Any

from tests.unicorn.scenarios import (
    CODE,
    DATA,
    REGISTERS,
    Lib,
    Log,
    attempt,
    code_hook,
    machine,
    memory_hook,
    register,
    run,
    scenario,
    state,
)


@scenario
def contexts(lib: Lib, log: Log) -> None:
    uc = machine(lib, "40 40", eax=3)
    context = uc.context_save()
    run(lib, log, uc, until=CODE + 2)
    uc.context_restore(context)
    state(lib, log, uc)
    uc.context_update(context)
    context.reg_write(register(lib, "EAX"), 77)
    log(context.reg_read(register(lib, "EAX")), context.arch, context.mode, context.size > 100)
    uc.context_restore(context)
    log(uc.reg_read(register(lib, "EAX")))


@scenario
def map_arguments(lib: Lib, log: Log) -> None:
    uc = machine(lib, "40")
    calls: list[tuple[Any, ...]] = [
        (0, 0), (1, 0x1000), (0x1000, 1), (CODE, 0x1000), (CODE - 0x1000, 0x2000),
        (0x900000, 0x1000, 0), (0x900000, 0x1000), (1 << 40, 0x2000, 3),
        (0xFFFFFFFFFFFFF000, 0x1000), (0xFFFFFFFFFFFFF000, 0x2000), (0xFFFFF000, 0x2000),
    ]  # fmt: skip
    for call in calls:
        attempt(lib, log, f"map {call}", lambda call=call: uc.mem_map(*call))
    log(sorted(uc.mem_regions()))
    for call in [
        (CODE + 0x1000, 0x1000, 5),
        (CODE, 0x3000, 5),
        (CODE + 1, 0x1000, 5),
        (DATA, 0x1000, 0),
    ]:
        attempt(lib, log, f"protect {call}", lambda call=call: uc.mem_protect(*call))
    log(sorted(uc.mem_regions()))
    for call in [(DATA + 0x1000, 0x1000), (DATA, 0x3000), (CODE, 0), (CODE, 1), (0x900000, 0x1000)]:
        attempt(lib, log, f"unmap {call}", lambda call=call: uc.mem_unmap(*call))
    log(sorted(uc.mem_regions()))
    for call in [
        (CODE + 0x1FF0, 0x20),
        (CODE, 0),
        (0x123456789, 4),
        (1 << 40, 4),
        (DATA, 4),
        (-1, 4),
    ]:
        attempt(lib, log, f"read {call}", lambda call=call: bytes(uc.mem_read(*call)))
    for call in [
        (CODE + 0x1FF0, b"a" * 32),
        (CODE + 0x1FF0, b""),
        (1 << 40, b"xyz"),
        (CODE, "abc"),
        (CODE, bytearray(b"abc")),
        (DATA, b"abc"),
    ]:
        attempt(lib, log, f"write {call}", lambda call=call: uc.mem_write(*call))
    log(bytes(uc.mem_read(1 << 40, 4)), bytes(uc.mem_read(CODE + 0x1FF0, 16)))


@scenario
def registers(lib: Lib, log: Log) -> None:
    uc = machine(lib, "40")
    for name in ["EAX", "AH", "AL", "AX", "BH", "BL", "BX", "CH", "CL", "CS", "CX", "DH", "DI", "DL", "DS", "DX", "EBP", "EBX", "ECX", "EDI", "EDX", "EFLAGS", "EIP", "ES", "ESI", "ESP", "FPSW", "FS", "GS", "IP", "SI", "SP", "BP", "SS", "CR0", "CR2", "CR3", "DR0", "DR1", "DR2", "DR3", "FP0", "FP7", "ST0", "XMM0", "XMM7", "IDTR", "GDTR", "LDTR", "TR", "FLAGS"]:  # fmt: skip
        attempt(lib, log, name, lambda name=name: uc.reg_read(register(lib, name)))
    for name, value in (
        ("EAX", -1), ("EAX", 1 << 40 | 5), ("AH", 0x1FF), ("AX", 0x12345), ("BL", 7), ("EFLAGS", 0xFFF),
        ("EFLAGS", 0), ("EIP", CODE), ("IP", 5), ("XMM3", 1 << 127 | 9), ("FP3", (1 << 63, 0x3FFF)), ("ST2", 5),
        ("FPCW", 0x27F), ("FPSW", 0x3800), ("FPTAG", 0), ("MXCSR", 0x1F80), ("CR2", 9),
        ("GDTR", (0, 0x1000, 0x20, 0)), ("IDTR", (0, 0x2000, 0x7FF, 0)), ("LDTR", (8, 0x3000, 0x20, 0x8200)),
        ("TR", (16, 0x4000, 0x67, 0x8B00)), ("EAX", "x"), ("EAX", None), ("FP3", 5), ("XMM3", (1, 2)), ("GDTR", 5),
        ("ESP", 0xFFFFFFFF), ("SP", 0x1234), ("DR0", 0x1000), ("FLAGS", 0xFD7),
    ):  # fmt: skip
        attempt(
            lib, log, f"{name} {value}", lambda n=name, v=value: uc.reg_write(register(lib, n), v)
        )
        attempt(lib, log, name, lambda name=name: uc.reg_read(register(lib, name)))
    state(lib, log, uc)
    attempt(
        lib,
        log,
        "batch",
        lambda: uc.reg_read_batch([register(lib, n) for n in ("EAX", "XMM3", "GDTR")]),
    )
    attempt(
        lib,
        log,
        "batch",
        lambda: uc.reg_write_batch([(register(lib, "EAX"), 5), (register(lib, "EBX"), 6)]),
    )
    attempt(
        lib,
        log,
        "msr",
        lambda: (uc.msr_write(0x174, 0x1B), uc.msr_read(0x174), uc.msr_read(0x9999)),
    )
    attempt(
        lib, log, "reg msr",
        lambda: (uc.reg_write(register(lib, "MSR"), (0x175, 5)), uc.reg_read(register(lib, "MSR"), 0x175)),
    )  # fmt: skip
    state(lib, log, uc)


@scenario
def initial_registers(lib: Lib, log: Log) -> None:
    names = (*REGISTERS, "CR0", "CR2", "CR3", "CR4", "GDTR", "IDTR", "LDTR", "TR", "DR6", "DR7")
    for mode in (lib.UC_MODE_16, lib.UC_MODE_32):
        uc = lib.Uc(lib.UC_ARCH_X86, mode)
        for name in (*names, "CS", "SS", "DS", "ES", "FS", "GS", "FPCW", "FPSW", "FPTAG", "MXCSR"):
            log(mode, name, uc.reg_read(register(lib, name)))


@scenario
def controls(lib: Lib, log: Log) -> None:
    uc = machine(lib, "40 40 40 40 ebfa")
    for name in ("mode", "page_size", "arch", "timeout", "exits_cnt", "exits"):
        attempt(lib, log, name, getattr(uc, "ctl_get_" + name))
    for query in range(7):
        attempt(lib, log, f"query {query}", lambda query=query: uc.query(query))
    attempt(lib, log, "page size", lambda: uc.ctl_set_page_size(4096))
    attempt(lib, log, "flush", lambda: uc.ctl_flush_tb())
    uc.ctl_exits_enabled(True)
    attempt(lib, log, "exits", lambda: uc.ctl_set_exits([CODE + 2, CODE + 4]))
    attempt(lib, log, "count", uc.ctl_get_exits_cnt)
    attempt(lib, log, "exits", lambda: sorted(uc.ctl_get_exits()))
    run(lib, log, uc, until=CODE + 1)
    run(lib, log, uc, begin=CODE + 3, until=CODE + 1)
    uc.ctl_exits_enabled(False)
    run(lib, log, uc, until=CODE + 1)
    attempt(lib, log, "hook", lambda: uc.hook_add(1 << 30, print))
    attempt(lib, log, "hook_del", lambda: uc.hook_del(999))
    attempt(lib, log, "remove", lambda: uc.ctl_remove_cache(CODE, CODE + 16))


@scenario
def edges(lib: Lib, log: Log) -> None:
    uc = machine(lib, "b903000000 49 75fd 90")

    def hook(uc: Any, now: Any, before: Any, data: object) -> None:
        log(hex(now.pc), now.size, now.icount, hex(before.pc), before.size, before.icount)

    uc.hook_add(lib.UC_HOOK_EDGE_GENERATED, hook)
    run(lib, log, uc, until=CODE + 9)


@scenario
def unmap_while_running(lib: Lib, log: Log) -> None:
    uc = machine(lib, "40 40 40")
    uc.hook_add(
        lib.UC_HOOK_CODE, lambda uc, *rest: uc.mem_unmap(CODE, 0x2000), None, CODE + 1, CODE + 1
    )
    run(lib, log, uc, until=CODE + 3)


@scenario
def errors(lib: Lib, log: Log) -> None:
    for number in range(25):
        log(number, str(lib.UcError(number)), lib.UcError(number).errno)
    for arguments in ((99, 4), (4, 0), (4, 1 << 30), ("a", 4), (4, 4, 500), (4, None)):
        attempt(
            lib, log, str(arguments), lambda arguments=arguments: type(lib.Uc(*arguments)) is None
        )
    for arch in range(12):
        log(lib.uc_arch_supported(arch) if arch in (4, 0, 11) else "")


@scenario
def real_mode(lib: Lib, log: Log) -> None:
    uc = lib.Uc(lib.UC_ARCH_X86, lib.UC_MODE_16)
    uc.mem_map(0, 0x20000)
    code = bytes.fromhex("b83412 8ed8 a30500 bb1000 8b07 40 cd10 e460 e662 f3aa 83c301 50 58 f4")
    uc.mem_write(0x7C00, code)
    for name, value in (("CS", 0x700), ("CX", 3), ("DI", 0x100), ("SS", 0x10), ("SP", 0x7000)):
        uc.reg_write(register(lib, name), value)
    uc.hook_add(lib.UC_HOOK_CODE, code_hook(log))
    uc.hook_add(lib.UC_HOOK_BLOCK, code_hook(log, "block"))
    uc.hook_add(
        lib.UC_HOOK_INTR, lambda uc, number, data: log(number, uc.reg_read(register(lib, "IP")))
    )
    uc.hook_add(lib.UC_HOOK_MEM_WRITE, memory_hook(log, "write"))
    run(lib, log, uc, 0x7C00, 0x7C00 + len(code))
    log([uc.reg_read(register(lib, name)) for name in ("AX", "CX", "DI", "IP", "CS", "DS")])


@scenario
def real_mode_instructions(lib: Lib, log: Log) -> None:
    uc = lib.Uc(lib.UC_ARCH_X86, lib.UC_MODE_16)
    uc.mem_map(0, 0x20000)
    code = bytes.fromhex("e510 66ed ec e710 66ef ee 0fa2 cc cd03 40 f4")
    uc.mem_write(0x1000, code)
    x86 = lib.x86_const
    uc.hook_add(
        lib.UC_HOOK_INSN,
        lambda uc, port, size, data: log("in", port, size) or 0x12345678,
        None, 1, 0, x86.UC_X86_INS_IN,
    )  # fmt: skip
    uc.hook_add(
        lib.UC_HOOK_INSN,
        lambda uc, port, size, value, data: log("out", port, size, value),
        None, 1, 0, x86.UC_X86_INS_OUT,
    )  # fmt: skip
    uc.hook_add(
        lib.UC_HOOK_INSN,
        lambda uc, data: log("cpuid", uc.reg_read(register(lib, "IP"))) or True,
        None, 1, 0, x86.UC_X86_INS_CPUID,
    )  # fmt: skip
    uc.hook_add(lib.UC_HOOK_INTR, lambda uc, number, data: log("int", number))
    for _ in range(3):
        run(lib, log, uc, 0x1000, 0x1000 + len(code))


@scenario
def real_mode_runs_hot(lib: Lib, log: Log) -> None:
    uc = lib.Uc(lib.UC_ARCH_X86, lib.UC_MODE_16)
    uc.mem_map(0, 0x20000)
    uc.mem_write(0x1000, bytes.fromhex("01c8 31c8 d1c0 e2f8 cd21 f4"))
    uc.reg_write(register(lib, "CX"), 0xFFFF)
    run(lib, log, uc, 0x1000, 0x1008)
    uc.reg_write(register(lib, "CX"), 0xFFFF)
    run(lib, log, uc, 0x1000, 0x1010, count=50_001)
