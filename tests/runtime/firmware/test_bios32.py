"""32-bit code finds PCI BIOS by the directory in the ROM, and draws by the interface of VBE."""

from __future__ import annotations

import struct

import pytest

from runtime.machines.pc import Pc, PcConfig
from runtime.system import segments
from tests.assembling import assemble
from tests.running import ANY
from tests.runtime.firmware.services import Services
from translator.state import FIELDS

CODE, FOUND, DIRECTORY, TABLE = 0x100000, 0x180000, 0x190000, 0x191000
HIGH = 0xC0000000
_CR0, _CR3, _CR4 = (FIELDS[name].offset // 4 for name in ("cr0", "cr3", "cr4"))
# ESI: what is added to physical addresses. Calls are far ones.
SOURCE = """
    lea ebx, [esi + 0xE0000]
1:  cmp dword ptr [ebx], 0x5F32335F
    je 2f
    add ebx, 16
    jmp 1b
2:  xor eax, eax                # the sum of its bytes is 0
    mov ecx, 16
3:  add al, [ebx + ecx - 1]
    loop 3b
    mov [esi + 0x180000], eax
    mov ebp, [ebx + 4]
    add ebp, esi
    mov eax, 0x21212121         # nobody knows it
    xor ebx, ebx
    push cs
    call ebp
    mov [esi + 0x180004], eax
    mov eax, 0x49435024
    push cs
    call ebp
    mov [esi + 0x180008], eax
    lea ebp, [ebx + edx]
    add ebp, esi
    mov eax, 0xB101
    push cs
    call ebp
    mov [esi + 0x18000C], edx
    sbb edx, edx
    mov [esi + 0x180010], edx
    mov eax, 0xB10A
    mov ebx, 0x10
    xor edi, edi
    push cs
    call ebp
    mov [esi + 0x180014], ecx
    mov eax, 0xB102
    mov ecx, 0xEEEE
    mov edx, 0x1111
    push cs
    call ebp
    sbb edx, edx
    mov [esi + 0x180018], edx
    mov eax, 0xB10E
    lea edi, [esi + 0x181000]
    mov word ptr [edi], 0x800
    lea ecx, [esi + 0x182000]
    mov [edi + 2], ecx
    push cs
    call ebp
    sbb edx, edx
    mov [esi + 0x18001C], edx
    cli
    hlt
"""


@pytest.mark.parametrize("base", [0, HIGH])
def test_services_of_32_bit_code(base: int) -> None:
    pc = Pc(PcConfig(4 << 20, strategy=ANY))
    processor, cpu, physical = pc.processor, pc.processor.cpu, pc.physical
    physical.write(CODE, assemble(SOURCE, base + CODE, 32))
    if base:  # the first 4 MiB, there only
        physical.write(DIRECTORY, bytes(4096))
        physical.write(DIRECTORY + (base >> 20), struct.pack("<I", 0x83))
        cpu.r32[_CR3], cpu.r32[_CR4] = DIRECTORY, 0x10
    cpu.r32[_CR0] |= 0x80000001 if base else 1
    segments.set_flat(cpu, 0)
    physical.write(TABLE, struct.pack("<QQQ", 0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF))
    cpu.r32[FIELDS["gdtr_base"].offset // 4] = base + TABLE
    cpu.r16[FIELDS["gdtr_limit"].offset // 2] = 23
    processor.update_paging()
    cpu.eip, cpu.esp, cpu.esi, cpu.eflags = base + CODE, base + 0x1F0000, base, 2
    cpu.budget = 1_000_000
    assert processor.run().kind == "halt"
    found = struct.unpack("<8I", physical.read(FOUND, 32))
    assert (found[0] & 0xFF, found[1] & 0xFF, found[2] & 0xFF) == (0, 0x80, 0)
    assert found[3:6] == (0x20494350, 0, 0x11111234)
    assert found[6:] == (0xFFFFFFFF, 0)  # no such device; a table of routes
    size = physical.load(0x181000, 16)
    assert size
    assert physical.read(0x182000, size)[1::16][1] == 8  # device 1
    pc.close()


# EBP: the code, which was copied; EBX: the number of a function, by which the table is looked up.
DRAWING = """
    mov ebp, 0x190000
    mov esp, 0x1F0000
    xor ebx, ebx                # window 5
    mov edx, 5
    movzx eax, word ptr [ebp]
    add eax, ebp
    call eax
    mov [0x180000], eax
    mov bh, 1
    xor edx, edx
    movzx eax, word ptr [ebp]
    add eax, ebp
    call eax
    mov [0x180004], edx
    xor ebx, ebx                # line 2, pixel 8 of 640 x 480 with 16 bits
    mov ecx, (2 * 1280 + 16) / 4
    xor edx, edx
    movzx eax, word ptr [ebp + 2]
    add eax, ebp
    call eax
    mov [0x180008], eax
    mov edi, 0x181000
    mov ecx, 2
    mov edx, 100
    movzx eax, word ptr [ebp + 4]
    add eax, ebp
    call eax
    mov [0x18000C], eax
    mov bl, 1
    movzx eax, word ptr [ebp + 4]
    add eax, ebp
    call eax
    mov [0x180010], eax
    hlt
"""


def test_the_display_of_32_bit_code() -> None:
    """What 4F0Ah gives, copied elsewhere, moves the window and the display, and sets colours."""
    machine = Services(memory=4 << 20)
    assert machine.call(0x10, eax=0x4F02, ebx=0x111).ax == 0x4F
    assert machine.call(0x10, eax=0x4F0A, ebx=1).ax == 0x14F
    call = machine.call(0x10, eax=0x4F0A)
    assert call.ax == 0x4F
    physical, cpu = machine.physical, machine.pc.processor.cpu
    physical.write(0x190000, physical.read(call.es * 16 + call.di, call.cx))
    physical.write(0x181000, bytes.fromhex("01020300 04050600"))
    physical.write(CODE, assemble(DRAWING, CODE, 32))
    cpu.r32[_CR0] |= 1
    segments.set_flat(cpu, 0)
    machine.pc.processor.update_paging()
    cpu.eip, cpu.eflags, cpu.budget = CODE, 2, 1_000_000
    assert machine.pc.processor.run().kind == "halt"
    found = [value & 0xFFFF for value in struct.unpack("<5I", physical.read(FOUND, 20))]
    assert found == [0x4F, 5, 0x4F, 0x4F, 0x14F]
    vga = machine.pc.display.vga
    assert (vga.dispi.bank, vga.dispi.mode.start) == (5, 2 * 1280 + 16)
    machine.bios.out(0x3C7, 100)
    assert bytes(machine.bios.inp(0x3C9) for _ in range(6)) == bytes((3, 2, 1, 6, 5, 4))
    machine.close()
