"""#AC in machines: CR0.AM and EFLAGS.AC in ring 3 (SDM vol. 3, 6.15, vector 17).

Which accesses have to be aligned to what is compared with this CPU by guests/align.c.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.system import segments
from runtime.system.linear import Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from tests.running import STRATEGIES
from translator.state import FIELDS

CODE, STACK, CR0 = 0x1000, 0x9000, FIELDS["cr0"].offset // 4
PE, ET, AC_VECTOR = 1, 16, 17
LOAD = "8b0d 02500000"  # mov ecx, [5002h]


@pytest.fixture(params=STRATEGIES)
def processor(request: pytest.FixtureRequest) -> Iterator[Processor]:
    physical = Physical(1 << 20)
    memory = Linear(physical)
    made = Processor(memory, request.param)
    yield made
    memory.close()
    physical.close()


def go(processor: Processor, code: str, ring: int = 3, *, am: bool, ac: bool) -> tuple[int, int]:
    """Run code up to its cli, for which ring 3 lacks the right; return vector and place."""
    assert processor.linear is not None
    cpu = processor.cpu
    processor.linear.physical.write(CODE, bytes.fromhex(code + "fa f4"))
    cpu.r32[CR0] = PE | ET | (segments.CR0_AM if am else 0)
    segments.set_flat(cpu, ring)
    cpu.eflags = 2 | (segments.EFLAGS_AC if ac else 0)
    processor.update_paging()
    cpu.eip, cpu.esp, cpu.budget = CODE, STACK, 1000
    done = processor.engine.run(cpu)
    return done.vector, cpu.eip - CODE


def test_all_three_are_needed(processor: Processor) -> None:
    """Again and again with the same code."""
    for _ in range(2):
        for am in (False, True):
            for ac in (False, True):
                for ring in (0, 1, 3):
                    forbidden = am and ac and ring == 3
                    end = (-1, 8) if ring == 0 else (13, 6)
                    expected = (AC_VECTOR, 0) if forbidden else end
                    assert go(processor, LOAD, ring, am=am, ac=ac) == expected, (am, ac, ring)


def test_popf_begins_and_ends_it(processor: Processor) -> None:
    """push 40002h; popf; load... push 2; popf; load."""
    begins, ends = "68 02000400 9d", "6a02 9d"
    for _ in range(2):
        assert go(processor, begins + LOAD, am=True, ac=False) == (AC_VECTOR, 6)
        assert go(processor, begins + LOAD, am=False, ac=False) == (13, 12)
        assert go(processor, ends + LOAD, am=True, ac=True) == (13, 9)
        assert go(processor, begins + ends + LOAD + begins + LOAD, am=True, ac=False) == (17, 21)


def test_handler_is_not_checked(processor: Processor) -> None:
    """It is in ring 0, AC or not: its load is done, and iret comes back to the checks."""
    assert processor.linear is not None
    write, cpu = processor.linear.physical.write, processor.cpu
    gate, handler, gdt, tss = 0x2000 + 8 * AC_VECTOR, 0x3000, 0x4000, 0x6000
    write(gate, bytes.fromhex("0030 0800 008e 0000"))
    # mov edx, [5002h]; add esp, 4; add dword [esp], 6; iret
    write(handler, bytes.fromhex("8b1502500000 83c404 83042406 cf"))
    rights = {0x08: 0x9B, 0x10: 0x93, 0x18: 0xFB, 0x20: 0xF3}
    for selector, access in rights.items():
        write(gdt + selector, bytes.fromhex(f"ffff 0000 00 {access:02x} cf 00"))
    write(tss + 4, (0x8000).to_bytes(4, "little") + b"\x10\0\0\0")
    write(0x5002, b"\x78\x56\x34\x12")
    for name, base, limit in (("gdtr", gdt, 0x27), ("idtr", 0x2000, 0x7FF)):
        cpu.r32[FIELDS[f"{name}_base"].offset // 4] = base
        cpu.r16[FIELDS[f"{name}_limit"].offset // 2] = limit
    cpu.r32[FIELDS["tr_base"].offset // 4] = tss
    cpu.r32[FIELDS["tr_attr"].offset // 4] = segments.PRESENT | 11 << 8
    code = bytes.fromhex(LOAD + LOAD + "cd13")
    write(CODE, code)
    cpu.r32[CR0] = PE | ET | segments.CR0_AM
    segments.set_flat(cpu, 3, code=0x18, data=0x20)
    cpu.eflags = 2 | segments.EFLAGS_AC
    processor.update_paging()
    cpu.eip, cpu.esp, cpu.budget, cpu.ecx = CODE, STACK, 14, 0
    processor.run()
    # Both loads were refused; the budget ends behind the second return.
    assert (cpu.ecx, cpu.edx) == (0, 0x12345678)
    assert cpu.eflags & segments.EFLAGS_AC
