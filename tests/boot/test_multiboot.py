"""A tiny Multiboot kernel on the whole PC: timer interrupts, hlt, ports, reset, power-off."""

from __future__ import annotations

import struct
import time

import pytest

from runtime.loaders import multiboot
from runtime.loaders.bzimage import LoadError
from runtime.machines.pc import Pc, PcConfig
from tests.assembling import assemble
from tests.running import ANY, SLOW, STRATEGIES

LOAD = 0x100000
HEADER = """
    .long 0x1BADB002, 0x10003, -(0x1BADB002 + 0x10003)
    .long header, header, 0, end, entry
"""
# Prints its command line, counts ten ticks of IRQ 0 while halted, prints '!', and what `last` says.
KERNEL = (
    """
header:
"""
    + HEADER
    + """
entry:
    mov esp, offset stack
    cmp eax, 0x2BADB002
    jne fail
    mov dx, 0x3FB               # eight bits a character
    mov al, 3
    out dx, al
    mov esi, [ebx + 16]         # cmdline
1:  lodsb
    test al, al
    jz 2f
    mov dx, 0x3F8
    out dx, al
    jmp 1b
2:  mov edi, offset idt         # one gate for vector 20h
    mov eax, offset tick
    mov [edi + 0x100], ax
    mov word ptr [edi + 0x102], 0x08
    mov word ptr [edi + 0x104], 0x8E00
    shr eax, 16
    mov [edi + 0x106], ax
    lidt [idtr]
    mov al, 0x11
    out 0x20, al
    mov al, 0x20
    out 0x21, al
    mov al, 4
    out 0x21, al
    mov al, 1
    out 0x21, al
    mov al, 0xFE
    out 0x21, al
    mov al, 0x34
    out 0x43, al
    mov ax, 11932               # 100 Hz
    out 0x40, al
    mov al, ah
    out 0x40, al
    sti
3:  hlt
    cmp dword ptr [count], 10
    jb 3b
    mov dx, 0x3F8
    mov al, '!'
    out dx, al
    LAST
fail: cli
    hlt
    jmp fail
tick:
    push eax
    inc dword ptr [count]
    mov al, 0x20
    out 0x20, al
    pop eax
    iret
    .align 8
idtr: .word 0x107
    .long idt
count: .long 0
    .bss
    .align 8
idt: .space 0x108
    .space 4096
stack:
end:
"""
)
# As iPXE asks for the time: interrupts may come between `sti` and `cli` only, and the insn that
# defines flags again is behind them.
GLIMPSE = KERNEL.replace(
    """3:  hlt
    cmp dword ptr [count], 10
    jb 3b
""",
    """    cli
3:  sti
    nop
    nop
    cli
    mov eax, [count]
    sub eax, 10
    jb 3b
""",
)
POWER_OFF = "mov dx, 0x604; mov ax, 0x2000; out dx, ax".replace("; ", "\n")
EXIT = "mov eax, 0x15\n mov dx, 0xF4\n out dx, eax"
TRIPLE = "lidt [zero]\n ud2\nzero: .long 0, 0"
RESET = "mov al, 0xFE\n out 0x64, al\n jmp fail"
RESET_CF9 = "mov dx, 0xCF9\n mov al, 6\n out dx, al\n jmp fail"
FAST_RESET = "mov al, 1\n out 0x92, al\n jmp fail"


def kernel(last: str, source: str = KERNEL) -> bytes:
    return assemble(source.replace("LAST", last), LOAD, 32)


def boot(
    last: str, timeout: float = 20, source: str = KERNEL, **settings: object
) -> tuple[str, bytes, Pc]:
    """Run the kernel; return why it ended, what it sent, and the closed machine."""
    out = bytearray()
    config = PcConfig(
        memory=4 << 20,
        kernel=kernel(last, source),
        append="hello",
        serial=[out.extend],
        **settings,
    )
    pc = Pc(config)
    try:
        return pc.run(timeout), bytes(out), pc
    finally:
        pc.close()


@pytest.mark.parametrize(
    "strategy", [pytest.param(s, marks=[] if s == ANY else SLOW) for s in STRATEGIES]
)
def test_ticks_and_power_off(strategy: str) -> None:
    reason, out, pc = boot(POWER_OFF, 120, strategy=strategy)
    assert (reason, out) == ("power off", b"hello!")
    assert pc.clock.now() >= 100_000_000
    assert pc.loop.halted_ns > 10_000_000  # it slept


@pytest.mark.parametrize(
    "strategy", [pytest.param(s, marks=[] if s == ANY else SLOW) for s in STRATEGIES]
)
@pytest.mark.parametrize("clock", ["host", "icount"])
def test_two_insns_are_enough_for_an_interrupt(strategy: str, clock: str) -> None:
    # Counted, the 100 ms until then are 100,000 insns, which the interp tier manages, too.
    settings = {"clock": clock, "ns_per_insn": 1000}
    reason, out, _ = boot(POWER_OFF, 60, source=GLIMPSE, strategy=strategy, **settings)
    assert (reason, out) == ("power off", b"hello!")


def test_counted_time_makes_runs_alike() -> None:
    runs = [boot(POWER_OFF, clock="icount") for _ in range(2)]
    assert [(reason, out) for reason, out, _ in runs] == [("power off", b"hello!")] * 2
    assert runs[0][2].clock.now() == runs[1][2].clock.now()


def test_debug_exit_gives_a_status() -> None:
    reason, _, pc = boot(EXIT, clock="icount", debug_exit=0xF4)
    assert (reason, pc.status) == ("exit", 0x2B)


@pytest.mark.parametrize(
    ("last", "reason"),
    [(TRIPLE, "triple fault"), (RESET, "reset"), (RESET_CF9, "reset"), (FAST_RESET, "reset")],
)
def test_resets_end_the_machine_or_start_it_again(last: str, reason: str) -> None:
    assert boot(last, clock="icount", reboots=False)[:2] == (reason, b"hello!")
    out = bytearray()
    config = PcConfig(
        memory=4 << 20, kernel=kernel(last), append="x", clock="icount", serial=[out.extend]
    )
    pc = Pc(config)
    pc.serial[0].on_output = lambda data: (
        out.extend(data),
        out.count(b"!") > 2 and pc.loop.stop("enough"),
    )
    try:
        assert pc.run(20) == "enough"
    finally:
        pc.close()
    assert bytes(out).startswith(b"x!x!x!")


@pytest.mark.parametrize("last", ["cli\n jmp .", "cli\n hlt"])
@pytest.mark.parametrize("clock", ["host", "icount"])
def test_a_guest_that_spins_with_interrupts_off_is_stopped(last: str, clock: str) -> None:
    begun = time.monotonic()
    assert boot(last, timeout=0.6, clock=clock)[0] == "timeout"
    assert time.monotonic() - begun < 5


def test_modules_are_loaded_and_told() -> None:
    pc = Pc(PcConfig(memory=4 << 20, kernel=kernel(EXIT), modules=[(b"abc", "one"), (b"de", "")]))
    try:
        read = pc.physical.read
        info = pc.processor.cpu.ebx
        count, table = struct.unpack("<II", read(info + 20, 8))
        rows = [struct.unpack("<III", read(table + 16 * i, 12)) for i in range(count)]
        assert [read(start, end - start) for start, end, _ in rows] == [b"abc", b"de"]
        assert read(rows[0][2], 4) == b"one\0"
        assert not rows[1][0] % 4096
    finally:
        pc.close()


PLAIN = struct.pack("<III", 0x1BADB002, 0, -0x1BADB002 & 0xFFFFFFFF)


def elf(segments: list[tuple[int, bytes, int]], entry: int = LOAD, linked: int = 0) -> bytes:
    """Return an ELF file with a Multiboot header in its first segment.

    Virtual addresses are *linked* higher than physical ones.
    """
    header = struct.pack(
        "<16s2H5I6H", b"\x7fELF\1\1\1", 2, 3, 1, entry, 52, 0, 0, 52, 32, len(segments), 0, 0, 0
    )
    table, body, at = b"", b"", 52 + 32 * len(segments)
    for start, data, size in segments:
        virtual = start + linked
        table += struct.pack("<8I", 1, at + len(body), virtual, start, len(data), size, 7, 4)
        body += data
    return header + table + body


def load(image: bytes, **settings: object) -> Pc:
    return Pc(PcConfig(memory=4 << 20, kernel=image, **settings))


def test_elf_kernels() -> None:
    code = PLAIN + b"\xf4\xf4\xf4\xf4"
    pc = load(elf([(LOAD, code, 0x2000), (0x200000, b"data", 4)], LOAD + 12))
    try:
        assert pc.physical.read(LOAD, len(code)) == code
        assert pc.physical.read(0x200000, 4) == b"data"
        assert pc.processor.cpu.eip == LOAD + 12
    finally:
        pc.close()


def test_an_entry_point_among_virtual_addresses() -> None:
    """As that of GNU Mach; other kernels give a physical one beside virtual addresses."""
    for entry in (0xC0000000 + LOAD + 12, LOAD + 12):
        pc = load(elf([(LOAD, PLAIN + b"\xf4", 13)], entry, linked=0xC0000000))
        try:
            assert pc.processor.cpu.eip == LOAD + 12
        finally:
            pc.close()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"", "neither"),
        (b"garbage" * 1000, "neither"),
        (PLAIN, "ELF file"),
        (struct.pack("<III", 0x1BADB002, 8, -0x1BADB00A & 0xFFFFFFFF), "requires"),
        (struct.pack("<III", 0x1BADB002, 0x10000, -0x1BAEB002 & 0xFFFFFFFF), "truncated"),
        (elf([(0xFFFFF000, PLAIN, 99)]), "no memory"),
        (elf([(LOAD, PLAIN, 1 << 30)]), "no memory"),
        (b"\0" * 0x202 + b"HdrS" + b"\0" * 50, "truncated"),
        (b"\0" * 0x202 + b"HdrS\x02\x02" + b"\0" * 1000, "truncated"),
    ],
)  # fmt: skip
def test_what_is_no_kernel(image: bytes, message: str) -> None:
    if not image:
        assert multiboot.find(image) is None
        return
    with pytest.raises(LoadError, match=message):
        load(image)
