"""API calls as functions of a library (unicorn or jitemu.unicorn) and a log: what is compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Lib = Any
Log = Callable[..., None]
Scenario = Callable[[Lib, Log], None]
SCENARIOS: dict[str, Scenario] = {}
CODE, DATA, STACK = 0x100000, 0x200000, 0x300000
REGISTERS = ("EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI", "EIP", "EFLAGS")


def scenario(function: Scenario) -> Scenario:
    SCENARIOS[function.__name__] = function
    return function


def machine(lib: Lib, code: str, **registers: int) -> Any:
    """Return a 32-bit machine with code, data and stack, a page each but one."""
    uc = lib.Uc(lib.UC_ARCH_X86, lib.UC_MODE_32)
    uc.mem_map(CODE, 0x2000)
    uc.mem_map(DATA, 0x2000)
    uc.mem_map(STACK, 0x1000)
    uc.mem_write(CODE, bytes.fromhex(code))
    uc.reg_write(register(lib, "ESP"), STACK + 0x800)
    for name, value in registers.items():
        uc.reg_write(register(lib, name), value)
    return uc


def register(lib: Lib, name: str) -> int:
    return getattr(lib.x86_const, "UC_X86_REG_" + name.upper())  # type: ignore[no-any-return]


def size(code: str) -> int:
    return len(bytes.fromhex(code))


def run(lib: Lib, log: Log, uc: Any, begin: int = CODE, until: int = 0, **more: int) -> None:
    """Emulate, and log how it ended."""
    try:
        uc.emu_start(begin, until, **more)
        log("done")
    except lib.UcError as error:
        log("error", error.errno)
    state(lib, log, uc)


def state(lib: Lib, log: Log, uc: Any) -> None:
    log({name: hex(uc.reg_read(register(lib, name))) for name in REGISTERS})


def attempt(lib: Lib, log: Log, name: str, action: Callable[[], Any]) -> None:
    """Log what a call returns or raises."""
    try:
        log(name, action())
    except lib.UcError as error:
        log(name, "UcError", error.errno)
    except Exception as error:
        log(name, type(error).__name__)


def code_hook(log: Log, name: str = "code") -> Callable[..., None]:
    return lambda uc, address, size, data: log(name, hex(address), size, data)


@scenario
def plain(lib: Lib, log: Log) -> None:
    code = "b805000000 40 40 01c3"
    uc = machine(lib, code, ebx=7)
    run(lib, log, uc, until=CODE + size(code))
    run(lib, log, uc, until=CODE + 5)
    run(lib, log, uc, begin=CODE + 5, until=CODE + 5)
    run(lib, log, uc, begin=CODE + 5, until=CODE + 6)


@scenario
def counts(lib: Lib, log: Log) -> None:
    code = "b805000000 40 40 01c3 ebfe"
    for count in range(1, 7):
        uc = machine(lib, code, ebx=7)
        run(lib, log, uc, count=count)
        run(lib, log, uc, begin=uc.reg_read(register(lib, "EIP")), count=1)
    uc = machine(lib, "40 ebfd")
    run(lib, log, uc, count=1_000_001)


@scenario
def timeouts(lib: Lib, log: Log) -> None:
    uc = machine(lib, "ebfe")
    run(lib, log, uc, timeout=20_000)
    log(uc.query(lib.UC_QUERY_TIMEOUT))


@scenario
def code_hooks(lib: Lib, log: Log) -> None:
    code = "b805000000 40 7401 40 39c0 7502 90 90 90"
    uc = machine(lib, code)
    uc.hook_add(lib.UC_HOOK_CODE, code_hook(log), 5)
    uc.hook_add(lib.UC_HOOK_BLOCK, code_hook(log, "block"), "u")
    uc.hook_add(lib.UC_HOOK_CODE, code_hook(log, "part"), None, CODE + 6, CODE + 8)
    uc.hook_add(lib.UC_HOOK_CODE, code_hook(log, "one"), None, CODE + 5, CODE + 5)
    uc.hook_add(lib.UC_HOOK_CODE, code_hook(log, "none"), None, CODE + 0x900, CODE + 0x901)
    run(lib, log, uc, until=CODE + size(code))


@scenario
def blocks(lib: Lib, log: Log) -> None:
    code = "b903000000 49 75fd e801000000 90 c3"
    uc = machine(lib, code)
    uc.hook_add(lib.UC_HOOK_BLOCK, code_hook(log, "block"))
    run(lib, log, uc, until=CODE + 13)


@scenario
def repeats_as_blocks(lib: Lib, log: Log) -> None:
    for kinds in (8, 12):
        uc = machine(lib, "40 f3aa 40 f3a6 90", ecx=3, edi=DATA, esi=DATA + 256, eax=0x41)
        uc.hook_add(kinds, code_hook(log))
        run(lib, log, uc, until=CODE + 7)


@scenario
def repeats(lib: Lib, log: Log) -> None:
    for count in (0, 1, 3):
        for code in ("f3aa", "f3a4", "f3a6", "f2ae", "f3a5"):
            uc = machine(lib, code + "90", ecx=count, edi=DATA, esi=DATA + 256, eax=0x41)
            uc.mem_write(DATA + 257, b"x")
            uc.hook_add(lib.UC_HOOK_CODE, code_hook(log))
            run(lib, log, uc, until=CODE + 3)


@scenario
def hook_changes_registers(lib: Lib, log: Log) -> None:
    uc = machine(lib, "40 40 40 40 40")

    def hook(uc: Any, address: int, size: int, data: object) -> None:
        log(hex(address), uc.reg_read(register(lib, "EAX")), hex(uc.reg_read(register(lib, "EIP"))))
        if address == CODE + 1:
            uc.reg_write(register(lib, "EAX"), 100)
        if address == CODE + 2:
            uc.reg_write(register(lib, "EIP"), CODE + 4)

    uc.hook_add(lib.UC_HOOK_CODE, hook)
    run(lib, log, uc, until=CODE + 5)


@scenario
def hook_sees_flags(lib: Lib, log: Log) -> None:
    code = "83f805 90 01c8 90 29c8 90 31c0 90 d1e0 90"
    uc = machine(lib, code, eax=0x7FFFFFFF, ecx=0x80000001)
    uc.hook_add(
        lib.UC_HOOK_CODE,
        lambda uc, address, size, data: log(hex(uc.reg_read(register(lib, "EFLAGS")) & 0x8D5)),
    )
    run(lib, log, uc, until=CODE + size(code))


@scenario
def stop_in_hook(lib: Lib, log: Log) -> None:
    for at in range(3):
        uc = machine(lib, "40 40 40 40 40")

        def hook(uc: Any, address: int, size: int, data: object, at: int = at) -> None:
            log(hex(address))
            if address == CODE + at:
                uc.emu_stop()

        uc.hook_add(lib.UC_HOOK_CODE, hook)
        run(lib, log, uc, until=CODE + 5)
    uc = machine(lib, "40 8903 40", ebx=DATA)
    uc.hook_add(lib.UC_HOOK_MEM_WRITE, lambda uc, *rest: uc.emu_stop())
    run(lib, log, uc, until=CODE + 4)


@scenario
def two_hooks_stop(lib: Lib, log: Log) -> None:
    uc = machine(lib, "40 40 40")
    uc.hook_add(lib.UC_HOOK_CODE, lambda uc, *rest: (log("first"), uc.emu_stop()))
    uc.hook_add(lib.UC_HOOK_CODE, lambda uc, *rest: log("second"))
    run(lib, log, uc, until=CODE + 3)


@scenario
def stop_before(lib: Lib, log: Log) -> None:
    uc = machine(lib, "40 40 40")
    uc.emu_stop()
    run(lib, log, uc, until=CODE + 3)


def memory_hook(log: Log, name: str, result: bool = False) -> Callable[..., bool]:
    def hook(uc: Any, access: int, address: int, size: int, value: int, data: object) -> bool:
        log(name, access, hex(address), size, value, data)
        return result

    return hook


@scenario
def memory_hooks(lib: Lib, log: Log) -> None:
    code = "8b03 8903 ff03 6650 58 a4 0f1003 0f1103 dd03 dd1b f00fb10b 66ff33 0fc10b 8b4bff"
    uc = machine(lib, code, ebx=DATA + 16, esi=DATA, edi=DATA + 8, ecx=5)
    uc.mem_write(DATA, bytes(range(1, 64)))
    uc.hook_add(lib.UC_HOOK_MEM_READ, memory_hook(log, "read"), "d")
    uc.hook_add(lib.UC_HOOK_MEM_WRITE, memory_hook(log, "write"))
    run(lib, log, uc, until=CODE + 4)
    run(lib, log, uc, begin=CODE + 4, until=CODE + 6)
    run(lib, log, uc, begin=CODE + 6, until=CODE + 10)
    run(lib, log, uc, begin=CODE + 25, until=CODE + size(code))
    log(bytes(uc.mem_read(DATA, 64)))


@scenario
def memory_hook_kinds(lib: Lib, log: Log) -> None:
    code = "8b03 8903"
    uc = machine(lib, code, ebx=DATA + 16)
    uc.hook_add(lib.UC_HOOK_MEM_READ | lib.UC_HOOK_MEM_WRITE, memory_hook(log, "both"))
    uc.hook_add(lib.UC_HOOK_MEM_READ_AFTER, memory_hook(log, "after"))
    uc.hook_add(lib.UC_HOOK_MEM_FETCH, memory_hook(log, "fetch"))
    uc.hook_add(lib.UC_HOOK_MEM_READ, memory_hook(log, "range"), None, DATA + 16, DATA + 17)
    uc.hook_add(lib.UC_HOOK_MEM_READ, memory_hook(log, "other"), None, DATA + 18, DATA + 30)
    uc.mem_write(DATA + 16, b"abcd")
    run(lib, log, uc, until=CODE + 4)


@scenario
def memory_hooks_of_what_is_not_mapped(lib: Lib, log: Log) -> None:
    for code in ("8b03", "8903", "ff03"):
        for perms in (None, 0, 1, 2):
            uc = machine(lib, code, ebx=0x600000)
            if perms is not None:
                uc.mem_map(0x600000, 0x1000, perms)
            uc.hook_add(lib.UC_HOOK_MEM_READ | lib.UC_HOOK_MEM_WRITE, memory_hook(log, "both"))
            run(lib, log, uc, until=CODE + 2)


@scenario
def crossing(lib: Lib, log: Log) -> None:
    uc = machine(lib, "8b03 8903", ebx=DATA + 0xFFE)
    uc.hook_add(lib.UC_HOOK_MEM_READ | lib.UC_HOOK_MEM_WRITE, memory_hook(log, "both"))
    run(lib, log, uc, until=CODE + 4)


@scenario
def unmapped(lib: Lib, log: Log) -> None:
    for code in ("8b03", "8903", "ff03", "ff33", "53", "ffe3", "c3", "a4", "8a03", "668b03"):
        uc = machine(lib, "40" + code, ebx=0x600000, esi=0x600000, edi=DATA)
        if code == "53":
            uc.reg_write(register(lib, "ESP"), 0x600004)
        if code == "c3":
            uc.mem_write(STACK + 0x800, bytes.fromhex("00006000"))
        run(lib, log, uc, until=CODE + 0x100)
        uc.hook_add(lib.UC_HOOK_MEM_UNMAPPED, memory_hook(log, "no"))
        run(lib, log, uc, until=CODE + 0x100)
        uc.hook_add(lib.UC_HOOK_MEM_UNMAPPED, memory_hook(log, "yes", True))
        run(lib, log, uc, until=CODE + 0x100)


@scenario
def unmapped_then_mapped(lib: Lib, log: Log) -> None:
    for code in ("8b03", "8903", "ff03", "8a03"):
        uc = machine(lib, code + "40", ebx=0x600000)

        def hook(uc: Any, access: int, address: int, size: int, value: int, data: object) -> bool:
            log(access, hex(address), size, value)
            uc.mem_map(address & -4096, 0x1000)
            uc.mem_write(address, b"1234")
            return True

        uc.hook_add(lib.UC_HOOK_MEM_READ_UNMAPPED | lib.UC_HOOK_MEM_WRITE_UNMAPPED, hook)
        run(lib, log, uc, until=CODE + 3)
        log(bytes(uc.mem_read(0x600000, 4)))


@scenario
def fetch_then_mapped(lib: Lib, log: Log) -> None:
    uc = machine(lib, "ffe3", ebx=0x600000)

    def hook(uc: Any, access: int, address: int, size: int, value: int, data: object) -> bool:
        log(access, hex(address), size, value)
        uc.mem_map(address & -4096, 0x1000)
        uc.mem_write(address, b"\x40\x40")
        return True

    uc.hook_add(lib.UC_HOOK_MEM_FETCH_UNMAPPED, hook)
    run(lib, log, uc, until=0x600002)


@scenario
def protections(lib: Lib, log: Log) -> None:
    for perms in range(8):
        for code in ("8b03", "8903", "ff03", "ffe3"):
            uc = machine(lib, "40" + code, ebx=0x600000)
            uc.mem_map(0x600000, 0x1000, perms)
            uc.mem_write(0x600000, b"\x40\x40\x40")
            log(perms, code)
            run(lib, log, uc, until=CODE + 3 if code != "ffe3" else 0x600002)
            uc.hook_add(lib.UC_HOOK_MEM_PROT, memory_hook(log, "prot"))
            run(lib, log, uc, until=CODE + 3 if code != "ffe3" else 0x600002)
            log(bytes(uc.mem_read(0x600000, 4)))


@scenario
def interrupts(lib: Lib, log: Log) -> None:
    def hook(uc: Any, number: int, data: object) -> None:
        log("int", number, hex(uc.reg_read(register(lib, "EIP"))), data)

    for code in ("cd80", "cd21", "cc", "f1", "cd03", "ce", "31c9f7f1", "0f0b", "fa", "8ed8"):
        uc = machine(lib, "40" + code + "40")
        log(code)
        run(lib, log, uc, until=CODE + 2 + size(code))
        uc.hook_add(lib.UC_HOOK_INTR, hook, 9)
        run(lib, log, uc, until=CODE + 2 + size(code), count=4)


@scenario
def invalid(lib: Lib, log: Log) -> None:
    uc = machine(lib, "40 0f0b 40")
    run(lib, log, uc, until=CODE + 4)

    def hook(uc: Any, data: object) -> bool:
        log("invalid", hex(uc.reg_read(register(lib, "EIP"))))
        uc.reg_write(register(lib, "EIP"), CODE + 3)
        return True

    uc.hook_add(lib.UC_HOOK_INSN_INVALID, hook)
    run(lib, log, uc, until=CODE + 4)


@scenario
def ports(lib: Lib, log: Log) -> None:
    code = "e510 66ed ec e710 66ef ee e4ff"
    uc = machine(lib, code, eax=0x12345678, edx=0x3F8)
    run(lib, log, uc, until=CODE + size(code))

    def read(uc: Any, port: int, size: int, data: object) -> int:
        log("in", port, size, data, hex(uc.reg_read(register(lib, "EIP"))))
        return 0xAABBCCDD

    def write(uc: Any, port: int, size: int, value: int, data: object) -> None:
        log("out", port, size, hex(value), data, hex(uc.reg_read(register(lib, "EIP"))))

    uc.hook_add(lib.UC_HOOK_INSN, read, 1, 1, 0, lib.x86_const.UC_X86_INS_IN)
    uc.hook_add(lib.UC_HOOK_INSN, write, 2, 1, 0, lib.x86_const.UC_X86_INS_OUT)
    run(lib, log, uc, until=CODE + size(code))


@scenario
def string_ports(lib: Lib, log: Log) -> None:
    code = "f36c f36e"
    uc = machine(lib, code, ecx=2, edx=0x60, edi=DATA, esi=DATA)

    def read(uc: Any, port: int, size: int, data: object) -> int:
        log("in", port, size)
        uc.reg_write(register(lib, "EBX"), 5)
        return 0x41

    def write(uc: Any, port: int, size: int, value: int, data: object) -> None:
        log("out", port, size, value)

    uc.hook_add(lib.UC_HOOK_INSN, read, 1, 1, 0, lib.x86_const.UC_X86_INS_IN)
    uc.hook_add(lib.UC_HOOK_INSN, write, 2, 1, 0, lib.x86_const.UC_X86_INS_OUT)
    run(lib, log, uc, until=CODE + 2)
    uc.reg_write(register(lib, "ECX"), 2)
    run(lib, log, uc, begin=CODE + 2, until=CODE + 4)
    log(bytes(uc.mem_read(DATA, 4)))


@scenario
def instructions(lib: Lib, log: Log) -> None:
    for name, code in (("CPUID", "0fa2"), ("SYSENTER", "0f34"), ("SYSCALL", "0f05")):
        uc = machine(lib, code + "40")
        number = getattr(lib.x86_const, "UC_X86_INS_" + name)
        log(name)
        if name != "CPUID":
            run(lib, log, uc, until=CODE + 3)

        def hook(uc: Any, data: object, name: str = name) -> bool:
            log(name, hex(uc.reg_read(register(lib, "EIP"))), data)
            uc.reg_write(register(lib, "EBX"), 77)
            uc.reg_write(register(lib, "ECX"), 0)
            return True

        uc.hook_add(lib.UC_HOOK_INSN, hook, 3, 1, 0, number)
        run(lib, log, uc, until=CODE + 3)


@scenario
def halts(lib: Lib, log: Log) -> None:
    uc = machine(lib, "40 f4 40")
    run(lib, log, uc, until=CODE + 3)
    uc.hook_add(lib.UC_HOOK_CODE, code_hook(log))
    run(lib, log, uc)


@scenario
def raising_hooks(lib: Lib, log: Log) -> None:
    uc = machine(lib, "40 40 8903 cd80", ebx=DATA)

    def bad(*rest: object) -> None:
        raise ValueError("no")

    for kind in (lib.UC_HOOK_CODE, lib.UC_HOOK_MEM_WRITE, lib.UC_HOOK_INTR, lib.UC_HOOK_BLOCK):
        handle = uc.hook_add(kind, bad)
        try:
            uc.emu_start(CODE, CODE + 6)
            log("done")
        except ValueError as error:
            log(str(error))
        except lib.UcError as error:
            log(error.errno)
        state(lib, log, uc)
        uc.hook_del(handle)


@scenario
def nested(lib: Lib, log: Log) -> None:
    uc = machine(lib, "40 40 40")
    uc.mem_write(CODE + 0x100, bytes.fromhex("43 43"))

    def hook(uc: Any, address: int, size: int, data: object) -> None:
        log(hex(address))
        if address == CODE + 1:
            uc.emu_start(CODE + 0x100, CODE + 0x102)
            log("inner", hex(uc.reg_read(register(lib, "EIP"))))

    uc.hook_add(lib.UC_HOOK_CODE, hook, None, CODE, CODE + 0x80)
    run(lib, log, uc, until=CODE + 3, count=30)


@scenario
def hooks_in_hooks(lib: Lib, log: Log) -> None:
    uc = machine(lib, "40 40 40 40")
    handles = []

    def hook(uc: Any, address: int, size: int, data: object) -> None:
        log("first", hex(address))
        if address == CODE + 1:
            handles.append(uc.hook_add(lib.UC_HOOK_CODE, code_hook(log, "second")))
        if address == CODE + 3:
            uc.hook_del(handles.pop())

    uc.hook_add(lib.UC_HOOK_CODE, hook)
    run(lib, log, uc, until=CODE + 4)
    run(lib, log, uc, until=CODE + 4)


@scenario
def self_modifying(lib: Lib, log: Log) -> None:
    # mov byte [next insn], 0x48 (dec eax)
    code = "c605" + (CODE + 8).to_bytes(4, "little").hex() + "48 90 40 40"
    uc = machine(lib, code, eax=10)
    run(lib, log, uc, until=CODE + size(code))
    uc = machine(lib, "40 40 40 40", eax=10)

    def hook(uc: Any, address: int, size: int, data: object) -> None:
        log(hex(address))
        if address == CODE + 1:
            uc.mem_write(CODE + 2, b"\x48\x48")

    uc.hook_add(lib.UC_HOOK_CODE, hook)
    run(lib, log, uc, until=CODE + 4)


@scenario
def mmio(lib: Lib, log: Log) -> None:
    code = "8b03 8a4b05 894304 c6430807 ff4310 8b8bfe0f0000"
    uc = machine(lib, code, ebx=0x700000, eax=0x11223344)

    def read(uc: Any, offset: int, size: int, data: object) -> int:
        log("read", hex(offset), size, data)
        return 0x1122334455667788

    def write(uc: Any, offset: int, size: int, value: int, data: object) -> None:
        log("write", hex(offset), size, hex(value), data)

    uc.mmio_map(0x700000, 0x1000, read, "r", write, "w")
    log(list(uc.mem_regions()))
    run(lib, log, uc, until=CODE + size(code) - 6)
    attempt(lib, log, "api read", lambda: bytes(uc.mem_read(0x700004, 4)))
    attempt(lib, log, "api write", lambda: uc.mem_write(0x700004, b"abcd"))
    attempt(lib, log, "overlap", lambda: uc.mem_map(0x700000, 0x1000))
    attempt(lib, log, "unmap", lambda: uc.mem_unmap(0x700000, 0x1000))
    run(lib, log, uc, until=CODE + 2)
