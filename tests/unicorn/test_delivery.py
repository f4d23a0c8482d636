"""Interrupts and exceptions through the guest's own tables."""

from __future__ import annotations

import struct
import threading
from typing import Any

import pytest

from jitemu import unicorn as lib
from tests.unicorn.paging import table
from tests.unicorn.protected import descriptor
from tests.unicorn.scenarios import register

pytestmark = pytest.mark.particular
GDT, IDT, TSS, CODE, HANDLERS, STACK, STACK_0 = (
    0x1000, 0x2000, 0x3000, 0x4000, 0x8000, 0x7000, 0x6000,
)  # fmt: skip
REGS = ("EAX", "ECX", "EDX", "EBX", "ESP", "EIP", "CS", "CR2")


def gate(offset: int, level: int = 0) -> bytes:
    return struct.pack("<HHHH", offset & 0xFFFF, 8, 0x8E00 | level << 13, offset >> 16)


def machine(code: str, handlers: dict[int, str], mode: str = "") -> Any:
    """Return a machine whose vectors have handlers, 64 bytes each; it delivers."""
    uc = lib.Uc(lib.UC_ARCH_X86, lib.UC_MODE_32)
    uc.mem_map(0, 0x100000)
    rows = [bytes(8)] + [descriptor(0, 0xFFFFF, r, 12) for r in (0x9B, 0x93, 0xFB, 0xF3)]
    uc.mem_write(GDT, b"".join(rows) + descriptor(TSS, 0x67, 0x89, 0))
    uc.mem_write(TSS, struct.pack("<III", 0, STACK_0, 0x10) + bytes(0x54) + b"\0\0\x68\0")
    uc.reg_write(register(lib, "GDTR"), (0, GDT, 0x2F, 0))
    uc.reg_write(register(lib, "IDTR"), (0, IDT, 0x7FF, 0))
    uc.reg_write(register(lib, "TR"), (0x28, TSS, 0x67, 0x8B00))
    for name, selector in (("CS", 8), ("SS", 0x10), ("DS", 0x10), ("ES", 0x10)):
        uc.reg_write(register(lib, name), selector)
    for vector, handler in handlers.items():
        place = HANDLERS + 64 * vector
        uc.mem_write(IDT + 8 * vector, gate(place, 3))
        uc.mem_write(place, bytes.fromhex(handler))
    uc.mem_write(CODE, bytes.fromhex(code))
    uc.reg_write(register(lib, "ESP"), STACK)
    uc.delivers_interrupts = True
    return uc


def run(uc: Any, size: int, **more: int) -> dict[str, int]:
    uc.emu_start(CODE, CODE + size, **more)
    return {name: uc.reg_read(register(lib, name)) for name in REGS}


def test_software_interrupts_go_to_handlers() -> None:
    uc = machine("b805000000 cd30 41 cc 41 cd30 41 f4", {0x30: "83c00a cf", 3: "83c014 cf"})
    for _ in range(3):
        found = run(uc, 14)
        assert (found["EAX"], found["ESP"], found["EIP"]) == (45, STACK, CODE + 14)
    assert found["ECX"] == 9


@pytest.mark.parametrize("count", [0, 1000])
def test_a_hot_loop_of_interrupts(count: int) -> None:
    uc = machine("cd30 49 75fb f4", {0x30: "40 cf"})
    uc.reg_write(register(lib, "ECX"), 5000)
    found = run(uc, 6, count=count)
    if count:
        assert (found["EAX"], found["ECX"]) == (200, 4800)
    else:
        assert (found["EAX"], found["ECX"]) == (5000, 0)


def test_exceptions_push_where_and_why() -> None:
    # #DE: add 2 to the saved EIP; #GP: take the error code off, step over.
    uc = machine(
        "31c9 f7f1 b8ff000000 8ed8 43 f4",
        {0: "8304240242 cf", 13: "5a 8304240242 cf"},
    )
    found = run(uc, 13)
    assert (found["EBX"], found["EDX"], found["ESP"]) == (1, 0xFC + 1, STACK)


def test_undefined_insns_ask_hooks_first() -> None:
    uc = machine("0f0b 43 f4", {6: "83042402 42 cf"})
    assert run(uc, 4)["EDX"] == 1
    seen: list[int] = []

    def skip(uc: Any, data: object) -> bool:
        seen.append(uc.reg_read(register(lib, "EIP")))
        uc.reg_write(register(lib, "EIP"), CODE + 2)
        return True

    uc.hook_add(lib.UC_HOOK_INSN_INVALID, skip)
    assert run(uc, 4)["EDX"] == 1
    assert seen == [CODE]


def test_hooks_see_and_prevent() -> None:
    uc = machine("cd30 41 cd31 41 f4", {0x30: "83c00a cf", 0x31: "83c00a cf"})
    seen: list[tuple[int, int]] = []

    def hook(uc: Any, vector: int, data: object) -> None:
        eip = uc.reg_read(register(lib, "EIP"))
        seen.append((vector, eip))
        if vector == 0x31:
            uc.reg_write(register(lib, "EIP"), eip)  # so it is not delivered

    uc.hook_add(lib.UC_HOOK_INTR, hook)
    for times in (1, 2):
        found = run(uc, 7)
        assert (found["EAX"], found["ECX"]) == (10 * times, 2 * times)
    assert seen == [(0x30, CODE + 2), (0x31, CODE + 5)] * 2


def test_page_faults_and_rings() -> None:
    # Ring 3 writes to a page that is not there; the handler maps it in ring 0, and it goes on.
    enter = "6a23 6800600000 6802020000 6a1b 6800500000 cf"
    uc = machine(enter, {0x30: "f4"})
    uc.mem_write(HANDLERS + 64 * 14, bytes.fromhex(
        "43 8b0424 a300a00000 c7052c20010007b00000 0f20d0 0f0138 83c404 cf"
    ))  # fmt: skip
    uc.mem_write(IDT + 8 * 14, gate(HANDLERS + 64 * 14))
    uc.mem_write(0x5000, bytes.fromhex("b823000000 8ed8 c705 08b04000 78563412 8b0d08b04000 cd30"))
    uc.mem_write(0x10000, table(0x11007, 0x12007))
    uc.mem_write(0x11000, table(*((i << 12) | 7 for i in range(256))))
    uc.reg_write(register(lib, "CR3"), 0x10000)
    uc.reg_write(register(lib, "CR0"), 0x80010011)
    found = run(uc, 0x100)
    assert found["CR2"] == 0x40B008
    assert (found["EBX"], found["ECX"], found["CS"]) == (1, 0x12345678, 8)
    assert bytes(uc.mem_read(0xB008, 4)) == b"\x78\x56\x34\x12"
    assert struct.unpack("<I", uc.mem_read(0xA000, 4)) == (6,)  # written by ring 3, not present


def test_without_handlers_it_is_an_error() -> None:
    uc = machine("cd30", {})
    uc.reg_write(register(lib, "IDTR"), (0, IDT, 0, 0))
    with pytest.raises(lib.UcError) as info:
        run(uc, 2)
    assert info.value.errno == lib.UC_ERR_EXCEPTION
    uc.delivers_interrupts = False
    with pytest.raises(lib.UcError):
        run(uc, 2)
    with pytest.raises(lib.UcError):
        uc.interrupt(0x20)


def test_interrupts_from_outside_wait_for_if() -> None:
    uc = machine("41 41 fb 41 41 41 fa f4", {0x20: "83f903 7501 42 cf"})
    uc.interrupt(0x20)
    found = run(uc, 8)
    assert (found["ECX"], found["EDX"]) == (5, 1)  # behind the insn that follows sti


def test_interrupts_from_a_thread() -> None:
    uc = machine("fb 40 83fa05 75fa f4", {0x20: "42 cf"})
    timers = [threading.Timer(0.02 * n, uc.interrupt, [0x20]) for n in range(1, 6)]
    for timer in timers:
        timer.start()
    found = run(uc, 7, timeout=20_000_000)
    assert (found["EDX"], found["EIP"], found["ESP"]) == (5, CODE + 7, STACK)


def test_hlt_waits_for_no_interrupt_but_takes_one() -> None:
    uc = machine("fb 90 f4 41 f4", {0x20: "42 cf"})
    uc.hook_add(lib.UC_HOOK_CODE, lambda uc, *rest: uc.interrupt(0x20), None, CODE + 2, CODE + 2)
    found = run(uc, 99)
    assert (found["EDX"], found["ECX"], found["EIP"]) == (1, 1, CODE + 5)


def test_real_mode() -> None:
    uc = lib.Uc(lib.UC_ARCH_X86, lib.UC_MODE_16)
    uc.mem_map(0, 0x20000)
    uc.mem_write(4 * 0x21, struct.pack("<HH", 0x10, 0x900))
    uc.mem_write(0, struct.pack("<HH", 0x20, 0x900))
    uc.mem_write(0x9010, bytes.fromhex("83c005 cf"))
    uc.mem_write(0x9020, bytes.fromhex("83c007 b101 cf"))  # the 80386 returns to the division
    uc.mem_write(0x1000, bytes.fromhex("cd21 31c9 f6f1 cd21 f4"))
    uc.reg_write(register(lib, "SP"), 0x800)
    uc.delivers_interrupts = True
    for _ in range(2):
        uc.reg_write(register(lib, "AX"), 0)
        uc.emu_start(0x1000, 0x1009)
        assert uc.reg_read(register(lib, "AX")) == 17
        assert uc.reg_read(register(lib, "SP")) == 0x800
