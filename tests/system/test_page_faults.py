"""Page faults of code of ring 3: what handlers see is the same in all tiers."""

from __future__ import annotations

import random

from benchmarks.system import CODE, DIRECTORY, GDT, STACK, TABLE, Machine
from runtime.system import segments
from translator.state import FIELDS

CASES = 150
ABSENT, READ_ONLY, PRESENT = 0x90000, 0x91000, 0x92000
HALT = 0x70000
_CR2 = FIELDS["cr2"].offset // 4
assert {GDT, DIRECTORY} & {ABSENT, READ_ONLY} == set()


def program(rng: random.Random) -> bytes:
    """Draw insns that set flags, then one that accesses memory, again and again."""
    code = b""
    for _ in range(rng.randrange(1, 6)):
        for _ in range(rng.randrange(4)):
            register, other = rng.randrange(3), rng.randrange(3)
            code += rng.choice((
                bytes((rng.choice(b"\x01\x29\x31\x21\x39\x85"), 0xC0 | other << 3 | register)),
                bytes((0x83, 0xC0 | rng.randrange(8) << 3 | register, rng.randrange(256))),
                bytes((0x40 + register,)), bytes((0x48 + register,)),
                bytes((0xC1, 0xE0 | register, rng.randrange(1, 31))),
                b"\xf9", b"\xf8",
            ))  # fmt: skip
        place = rng.choice((ABSENT, READ_ONLY, PRESENT, PRESENT)) + rng.choice((0, 8, 0xFFE))
        register = rng.randrange(3)
        op = rng.choice(("8b", "89", "01", "03", "11", "ff", "3b", "0fc1"))
        reg = 0 if op == "ff" else register
        code += bytes.fromhex(op) + bytes((reg << 3 | 5,)) + place.to_bytes(4, "little")
    return code + b"\xcd\x30"


def seen(strategy: str, codes: list[bytes]) -> list[object]:
    """Run programs; return what the handler of each one's fault or end sees."""
    machine = Machine(strategy)
    cpu, found = machine.processor.cpu, []
    machine.physical.write(HALT, b"\xf4")
    machine.put(TABLE + (ABSENT >> 12) * 4, 0)
    machine.put(TABLE + (READ_ONLY >> 12) * 4, READ_ONLY | 5)
    machine.processor.update_paging()
    for code in codes:
        machine.physical.write(PRESENT, bytes(0x1000))
        machine.physical.write(READ_ONLY, bytes(0x1000))
        machine.physical.write(CODE, code)
        for _ in range(2):  # what was found out about the first fault is used for the second
            machine.physical.write(STACK - 64, bytes(64))
            segments.set_flat(cpu, 3, 0x1B, 0x23)
            machine.processor.update_context()
            cpu.eip, cpu.esp, cpu.budget, cpu.eflags = CODE, STACK - 0x800, 10_000, 0x202
            cpu.eax, cpu.ecx, cpu.edx = 0x1234, 0xFFFFFFFF, 0x80000000
            cpu.r32[_CR2] = 0
            assert machine.processor.run().kind == "halt"
            frame = bytes(machine.physical.view[STACK - 64 : STACK])
            left = cpu.budget
            found.append((code.hex(), frame, cpu.r32[_CR2], cpu.eax, cpu.ecx, cpu.edx, left))
    machine.linear.close()
    return found


def test_handlers_see_the_same() -> None:
    rng = random.Random(5)
    codes = [program(rng) for _ in range(CASES)]
    wanted = seen("interp", codes)
    for strategy in ("stencil", "tiered"):
        for ours, theirs in zip(seen(strategy, codes), wanted, strict=True):
            assert ours == theirs
