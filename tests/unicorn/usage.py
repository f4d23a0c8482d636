"""Scenarios of how scripts use the package: blocks, faults that no hook mends, devices, SSE."""

from __future__ import annotations

from typing import Any

from tests.unicorn.scenarios import (
    CODE,
    DATA,
    Lib,
    Log,
    code_hook,
    machine,
    register,
    run,
    scenario,
    size,
)

DEVICE = 0x40000


@scenario
def blocks_behind_interrupts(lib: Lib, log: Log) -> None:
    """In a loop, so that native code serves the interrupt; nop; int 80h; dec ecx; jnz."""
    code = "90 cd80 49 75fa f4"
    for hooks in (1, 2):
        uc = machine(lib, code, ecx=4)
        uc.hook_add(lib.UC_HOOK_BLOCK, code_hook(log, "block"))
        for _ in range(hooks):
            uc.hook_add(lib.UC_HOOK_INTR, lambda uc, number, data: log("int", number))
        run(lib, log, uc, until=CODE + size(code))


@scenario
def long_blocks(lib: Lib, log: Log) -> None:
    """Of single bytes, and of longer insns; also where the end is counted."""
    for insn, count in (("40", 1200), ("0501000000", 700), ("81c001000000", 90)):
        code = insn * count + "eb00" + insn * 70
        uc = machine(lib, code)
        uc.hook_add(lib.UC_HOOK_BLOCK, code_hook(log, "block"))
        run(lib, log, uc, until=CODE + size(code))
        uc = machine(lib, code)
        uc.hook_add(lib.UC_HOOK_BLOCK, code_hook(log, "block"))
        uc.hook_add(
            lib.UC_HOOK_CODE, code_hook(log), None, CODE + size(insn) * 80, CODE + size(insn) * 81
        )
        run(lib, log, uc, until=CODE + size(code))


@scenario
def faults_that_nobody_mends(lib: Lib, log: Log) -> None:
    """div ecx; mov ss, ax with a selector that is not there; aam 0."""
    for code in ("31c9 f7f1 90", "66b85000 8ed0 90", "d400 90"):
        uc = machine(lib, code)
        calls: list[int] = []

        def told(uc: Any, number: int, data: object, calls: list[int] = calls) -> None:
            log("exception", number)
            calls.append(number)
            if len(calls) > 5:
                uc.emu_stop()

        uc.hook_add(lib.UC_HOOK_INTR, told)
        run(lib, log, uc, until=CODE + size(code))


@scenario
def device_sizes(lib: Lib, log: Log) -> None:
    """Each call is for 4 bytes at most, at a multiple of that."""
    for offset in (0, 8, 0xFF8):
        place = (DEVICE + offset).to_bytes(4, "little").hex()
        # mov al; mov ax; mov eax; movq xmm0; then the same to memory
        code = "".join(
            one + place
            for one in ("8a05", "668b05", "8b05", "f30f7e05", "8805", "668905", "8905", "660fd605")
        )
        uc = machine(lib, code, eax=0x12345678)
        uc.mmio_map(
            DEVICE, 0x1000,
            lambda uc, at, count, data: log("read", at, count) or 0x1122334455667788 + at, None,
            lambda uc, at, count, value, data: log("write", at, count, hex(value)), None,
        )  # fmt: skip
        run(lib, log, uc, until=CODE + size(code))
        for at in range(6):
            for count in (1, 2, 3, 4, 5, 8, 16):
                log(uc.mem_read(DEVICE + at, count).hex())
                uc.mem_write(DEVICE + at, bytes(range(count)))


@scenario
def sse_by_cr4(lib: Lib, log: Log) -> None:
    """At first there is SSE in 32-bit code, not in 16-bit code; insns and writes change that."""
    code = "660fefc0 0f58c1"
    for mode, clear in ((lib.UC_MODE_16, "6631c0 0f22e0"), (lib.UC_MODE_32, "31c0 0f22e0")):
        uc = lib.Uc(lib.UC_ARCH_X86, mode)
        uc.mem_map(0, 0x3000)
        uc.mem_write(0x1000, bytes.fromhex(code))
        run(lib, log, uc, 0x1000, 0x1000 + size(code))
        for value in (0, 0x200, 0x600, 0x400):
            uc.reg_write(register(lib, "CR4"), value)
            run(lib, log, uc, 0x1000, 0x1000 + size(code))
        uc.reg_write(register(lib, "CR4"), 0x200)
        uc.mem_write(0x2000, bytes.fromhex(clear + code))
        run(lib, log, uc, 0x2000, 0x2000 + size(clear + code))
        log(uc.reg_read(register(lib, "CR4")))


@scenario
def contexts_in_a_loop(lib: Lib, log: Log) -> None:
    """As fuzzers use them: one state, many inputs."""
    code = "40 4b 660fefc1 d9e8 a3 00002000".replace(" ", "")
    uc = machine(lib, code)
    uc.reg_write(register(lib, "XMM1"), 0xFF)
    saved = uc.context_save()
    for value in range(5):
        uc.context_restore(saved)
        uc.reg_write(register(lib, "EAX"), value)
        run(lib, log, uc, until=CODE + size(code))
        log(uc.reg_read(register(lib, "XMM0")), uc.mem_read(DATA, 4).hex())
    uc.context_update(saved)
    log(saved.reg_read(register(lib, "EAX")))


@scenario
def pages_that_hooks_map(lib: Lib, log: Log) -> None:
    """An access that crosses into a page: hooks map the page of the address that they are told."""
    place = 0x40FFE
    end = place.to_bytes(4, "little").hex()
    codes = {
        "a1": end, "66a1": (place + 1).to_bytes(4, "little").hex(), "a3": end, "ff05": end,
        "f30f7e05": (place - 3).to_bytes(4, "little").hex(),
        "660fd605": (place - 3).to_bytes(4, "little").hex(),
        "0f1005": (place - 9).to_bytes(4, "little").hex(),
        "0f1105": (place - 9).to_bytes(4, "little").hex(),
        "db2d": (place - 4).to_bytes(4, "little").hex(), "50": "", "58": "", "8705": end,
    }  # fmt: skip
    for mapped in ((), (0x40000,), (0x41000,)):
        for operation, operand in codes.items():
            code = operation + operand
            top = place + 4 if operation == "50" else place
            uc = machine(lib, code, eax=0x11223344, esp=top)
            uc.reg_write(register(lib, "XMM0"), 0x112233445566778899AABBCCDDEEFF00)
            for page in mapped:
                uc.mem_map(page, 0x1000)

            def told(
                uc: Any, access: int, address: int, count: int, value: int, data: object
            ) -> bool:
                log(access, hex(address), count, hex(value & (1 << 64) - 1))
                uc.mem_map(address & ~0xFFF, 0x1000)
                return True

            uc.hook_add(lib.UC_HOOK_MEM_UNMAPPED, told)
            run(lib, log, uc, until=CODE + size(code))
            log(uc.mem_read(0x40FF0, 0x20).hex())


@scenario
def several_hooks_of_ports(lib: Lib, log: Log) -> None:
    """Of those for IN the first one answers; those for OUT are all called."""
    code = "e410 66ed ed e620 66ef ef"
    uc = machine(lib, code, edx=0x3F8)
    for number in (1, 2):
        uc.hook_add(
            lib.UC_HOOK_INSN,
            lambda uc, port, count, data: log("in", hex(port), count, data) or 0xA1B2C3D4 * data,
            number, 1, 0, lib.x86_const.UC_X86_INS_IN,
        )  # fmt: skip
        uc.hook_add(
            lib.UC_HOOK_INSN,
            lambda uc, port, count, value, data: log("out", hex(port), count, hex(value), data),
            number, 1, 0, lib.x86_const.UC_X86_INS_OUT,
        )  # fmt: skip
    run(lib, log, uc, until=CODE + size(code))
