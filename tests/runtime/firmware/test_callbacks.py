"""Guest code calls Python functions of the firmware, on every strategy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.bus import Bus
from runtime.cpu import Cpu
from runtime.firmware.call import Call
from runtime.firmware.callbacks import ROM, WAIT, Callbacks, Result
from runtime.system import segments
from runtime.system.linear import Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from tests.assembling import assemble
from tests.running import STRATEGIES
from translator.mode import Model
from translator.state import FIELDS

CS, SS, DS = 1, 2, 3
CODE = 0x1000  # segment of the guest's code


@pytest.fixture(params=STRATEGIES)
def rom(request: pytest.FixtureRequest) -> Iterator[Callbacks]:
    """The callbacks of a processor with 2 MiB, stack at 2000:1000, data at 3000:0."""
    physical = Physical(2 << 20)
    memory = Linear(physical)
    processor = Processor(memory, request.param, Model.MAX)
    processor.set_real_segment(SS, 0x2000)
    processor.set_real_segment(DS, 0x3000)
    processor.cpu.esp = 0x1000
    yield Callbacks(Bus(physical), processor)
    memory.close()
    physical.close()


def go(rom: Callbacks, source: str) -> Cpu:
    """Run a guest until it halts."""
    rom.physical.write(CODE << 4, assemble(source))
    rom.processor.set_real_segment(CS, CODE)
    rom.processor.cpu.eip = 0
    return go_on(rom)


def go_on(rom: Callbacks) -> Cpu:
    rom.processor.cpu.budget = 1_000_000
    assert rom.processor.run().kind == "halt"
    return rom.processor.cpu


def test_an_interrupt_calls_a_function(rom: Callbacks) -> None:
    """Often enough for hot code; registers go both ways, CF comes back through the stack."""
    seen = []

    def add_up(call: Call) -> None:
        seen.append(call.ax)
        assert call.carry  # as the guest had them
        assert not call.zero
        assert call.caller[0] == CODE
        call.bx += call.ax
        call.carry = call.ax & 1
        call.zero = True

    rom.set_vector(0x60, rom.add(add_up))
    # BX: sum; DX: how often CF; SI: how often ZF was not set
    source = """
        mov cx, 600
        xor bx, bx; xor dx, dx; xor si, si
    again:
        mov ax, cx
        or ax, ax; stc
        int 0x60
        jz 1f
        inc si
    1:  adc dx, 0
        loop again
        hlt"""
    cpu = go(rom, source)
    assert seen == list(range(600, 0, -1))
    assert cpu.ebx & 0xFFFF == sum(seen) & 0xFFFF
    assert cpu.edx & 0xFFFF == 300
    assert cpu.esi & 0xFFFF == 0
    assert cpu.esp == 0x1000


def test_handlers_are_chained_by_pushf_and_call_far(rom: Callbacks) -> None:
    """A guest's own handler calls the one that was there; flags of the inner call come back."""
    calls = []

    def count(call: Call) -> None:
        calls.append(call.caller[0])
        call.carry = True

    segment, offset = rom.add(count)
    rom.set_vector(0x60, (segment, offset))
    source = f"""
        push ds; xor ax, ax; mov ds, ax
        mov word ptr ds:[0x180], offset handler
        mov word ptr ds:[0x182], cs
        pop ds
        mov cx, 50
        xor bx, bx
    again: clc
        int 0x60
        adc bx, 0
        loop again
        hlt
    handler:
        pushf
        .byte 0x9a; .word {offset}, {segment}
        jnc 1f
        inc dx
    1:  iret"""
    cpu = go(rom, source)
    assert calls == [CODE] * 50
    assert cpu.edx & 0xFFFF == 50
    assert cpu.ebx & 0xFFFF == 0  # the outer frame is the handler's own affair


def test_far_calls(rom: Callbacks) -> None:
    """A function that ends with retf sets the flags themselves."""

    def driver(call: Call) -> None:
        call.ax = 0x4321
        call.carry = True

    segment, offset = rom.add(driver, ends="retf")
    cpu = go(rom, f"clc; .byte 0x9a; .word {offset}, {segment}; sbb dx, dx; hlt")
    assert cpu.eax & 0xFFFF == 0x4321
    assert cpu.edx & 0xFFFF == 0xFFFF
    assert cpu.esp == 0x1000


def test_no_insn_runs_before_the_function(rom: Callbacks) -> None:
    """The function finds the stub's iret ahead and the interrupt's frame on the stack."""
    found = []

    def look(call: Call) -> None:
        place = call.linear(CS, call.cpu.eip)
        found.append((call.read(place, 1), call.cs, call.esp, call.caller))

    rom.set_vector(0x60, rom.add(look))
    go(rom, "int 0x60; hlt")
    assert found == [(b"\xcf", 0xF000, 0xFFA, (CODE, 2))]


def test_a_function_waits(rom: Callbacks) -> None:
    """While it waits the guest halts with interrupts on; behind each it is called again."""
    keys: list[int] = []

    def read_key(call: Call) -> Result | None:
        if not keys:
            return WAIT
        call.ax = keys.pop()
        return None

    rom.set_vector(0x16, rom.add(read_key))
    rom.set_vector(0x40, (CODE, 0x100))
    rom.physical.write((CODE << 4) + 0x100, assemble("inc dx; iret"))
    rom.processor.acknowledge = lambda: (rom.processor.set_intr(False), 0x40)[1]
    cpu = go(rom, "cli; mov ah, 0; int 0x16; mov bx, ax; hlt")
    for _ in range(3):
        assert segments.segment(cpu, CS)[0] == 0xF000
        assert cpu.eflags & 0x200
        rom.processor.set_intr(True)
        go_on(rom)
    keys.append(0x1C0D)
    rom.processor.set_intr(True)
    go_on(rom)
    assert cpu.edx & 0xFFFF == 4
    assert cpu.ebx & 0xFFFF == 0x1C0D
    assert not cpu.eflags & 0x200  # as the caller had it
    assert cpu.esp == 0x1000


def test_a_function_lets_the_guest_run_handlers(rom: Callbacks) -> None:
    """Interrupts and far procedures of the guest run between function and end of the stub."""
    order = []

    def first(call: Call) -> None:
        order.append("first")
        rom.interrupt(0x61)

    def second(call: Call) -> None:
        order.append(f"second {call.bx}")
        rom.far_call(CODE, 0x100, 0x1234, 5)

    def third(call: Call) -> None:
        order.append(f"third {call.si:x}")

    rom.set_vector(0x60, rom.add_code(first, b"\x43", second, third))  # inc bx
    rom.set_vector(0x61, (CODE, 0x110))
    procedure = assemble("mov bp, sp; mov si, [bp+6]; add si, [bp+4]; retf")
    rom.physical.write((CODE << 4) + 0x100, procedure)
    rom.physical.write((CODE << 4) + 0x110, assemble("mov bx, 7; iret"))
    cpu = go(rom, "int 0x60; hlt")
    assert order == ["first", "second 8", "third 1239"]
    assert cpu.esp == 0x1000


def test_the_rom_is_read_only_and_its_insn_means_nothing_elsewhere(rom: Callbacks) -> None:
    """Guest code cannot change a stub; the same bytes in RAM raise #UD."""
    called = []
    segment, offset = rom.add(lambda call: called.append(call.ax))
    rom.set_vector(0x60, (segment, offset))
    rom.set_vector(6, (CODE, 0x100))
    rom.physical.write((CODE << 4) + 0x100, assemble("pop dx; hlt"))
    source = f"""
        mov ax, {segment}; mov es, ax
        mov byte ptr es:[{offset}], 0xf4
        int 0x60
        ud2"""
    cpu = go(rom, source)
    assert called == [0xF000]
    assert rom.physical.view[ROM + offset] == 0x0F
    assert cpu.edx & 0xFFFF == len(assemble(source)) - 2


def test_memory_as_the_guest_sees_it(rom: Callbacks) -> None:
    """Blocks are copied across pages and wrap with the A20 gate; ROM ignores them."""
    data = bytes(range(256)) * 40

    def copy(call: Call) -> None:
        call.write(call.linear(DS, call.si), data)
        assert call.read(call.linear(DS, call.si), len(data)) == data
        call.write(ROM + 0xE000, b"x")
        assert call.read(ROM + 0xE000, 1) == b"\0"
        call.store(0x100010, 0xBEEF, 16)
        call.es = 0x3456

    rom.set_vector(0x60, rom.add(copy))
    rom.processor.set_a20(enabled=False)
    cpu = go(rom, "mov si, 0xff0; int 0x60; mov ax, [0xff0 + 0x1001]; hlt")
    assert cpu.eax & 0xFFFF == 0x0201
    assert rom.physical.load(0x10, 16) == 0xBEEF
    assert cpu.es == 0x3456


# Gets a general protection fault of the task: executes int n and iret for it, halts otherwise.
MONITOR = """
    push eax; push ebx; push ecx; push edx
    mov edx, 16; mov ds, edx
    mov ebx, [esp+24]; shl ebx, 4; add ebx, [esp+20]        # CS:EIP
    mov edx, [esp+36]; shl edx, 4; add edx, [esp+32]        # SS:ESP
    cmp byte ptr [ebx], 0xcd; je interrupt
    cmp byte ptr [ebx], 0xcf; je return
    hlt
interrupt:
    movzx ecx, byte ptr [ebx+1]
    sub dword ptr [esp+32], 6
    mov eax, [esp+20]; add eax, 2; mov [edx-6], ax
    mov eax, [esp+24]; mov [edx-4], ax
    mov eax, [esp+28]; mov [edx-2], ax
    movzx eax, word ptr [ecx*4]; mov [esp+20], eax
    movzx eax, word ptr [ecx*4+2]; mov [esp+24], eax
    jmp leave
return:
    add dword ptr [esp+32], 6
    movzx eax, word ptr [edx]; mov [esp+20], eax
    movzx eax, word ptr [edx+2]; mov [esp+24], eax
    mov ax, [edx+4]; and eax, 0xcff; mov [esp+28], ax
leave:
    pop edx; pop ecx; pop ebx; pop eax
    add esp, 4
    iretd"""


def enter_virtual_mode(rom: Callbacks, iopl: int) -> None:
    """Begin as a task of a small monitor at 50000h, with paging: page 60h shows frame 61h."""
    write, cpu = rom.physical.write, rom.processor.cpu
    write(0x50000, assemble(MONITOR, bits=32))
    gdt = [0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF, 0x00008B0600000067 | 0x5000 << 16]
    gdt[3] = 0x0000890500000067 | 0x2000 << 16  # a task state at 52000h
    write(0x51000, b"".join(d.to_bytes(8, "little") for d in gdt))
    write(0x52004, (0x54000).to_bytes(4, "little") + b"\x10\0")
    gate = b"\0\0\x08\0\0\x8e\x05\0"
    write(0x53000, gate * 32)
    table = b"".join((page << 12 | 7).to_bytes(4, "little") for page in range(512))
    table = table[: 4 * 0x60] + (0x61 << 12 | 7).to_bytes(4, "little") + table[4 * 0x61 :]
    write(0x56000, table)
    write(0x55000, (0x56007).to_bytes(4, "little"))
    for name, value in (("gdtr_base", 0x51000), ("idtr_base", 0x53000), ("tr_base", 0x52000)):
        cpu.r32[FIELDS[name].offset // 4] = value
    for name, value in (("gdtr_limit", 31), ("idtr_limit", 255), ("tr", 24)):
        cpu.r16[FIELDS[name].offset // 2] = value
    cpu.r32[FIELDS["tr_limit"].offset // 4] = 0x67
    cpu.r32[FIELDS["tr_attr"].offset // 4] = 0x8B00
    cpu.r32[FIELDS["cr3"].offset // 4] = 0x55000
    cpu.r32[FIELDS["cr0"].offset // 4] = 0x80000011
    cpu.eflags = 0x20002 | iopl << 12
    for index in range(6):
        segments.set_real_segment(cpu, index, 0x3000)
    segments.set_real_segment(cpu, SS, 0x2000)
    rom.processor.update_paging()


@pytest.mark.parametrize("iopl", [0, 3])
def test_virtual_mode_under_a_monitor(rom: Callbacks, iopl: int) -> None:
    """The monitor reflects int n to the vector table; far calls and paging work as they do."""
    seen = []

    def service(call: Call) -> None:
        seen.append(call.read(call.dx << 4, 4))
        call.write(call.dx << 4, b"back")
        call.ax = len(seen)
        call.carry = True

    segment, offset = rom.add(service)
    rom.set_vector(0x60, (segment, offset))
    enter_virtual_mode(rom, iopl)
    rom.physical.write(0x61000, b"here")
    enter = "int 0x60" if not iopl else f"pushf; .byte 0x9a; .word {offset}, {segment}"
    # The task ends at a hlt, which is a fault; the monitor has changed EBX and EDX then.
    cpu = go(rom, f"mov dx, 0x6000; clc; {enter}; sbb si, si; {enter}; mov di, ax; hlt")
    assert cpu.esi & 0xFFFF == 0xFFFF
    assert cpu.edi & 0xFFFF == 2
    assert seen == [b"here", b"back"]
    assert rom.physical.read(0x61000, 4) == b"back"
    assert rom.physical.read(0x60000, 4) == bytes(4)


def test_only_machines_have_firmware() -> None:
    """The 8086 has no undefined insns."""
    physical = Physical(2 << 20)
    memory = Linear(physical)
    with pytest.raises(ValueError, match="80286"):
        Callbacks(Bus(physical), Processor(memory, "interp", Model.I8086))
    memory.close()
    physical.close()
