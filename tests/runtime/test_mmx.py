"""MMX registers inside regions: exact where a fault, the budget or the code ends a loop."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from runtime import native
from runtime.cpu import Cpu
from runtime.dispatch import Engine
from runtime.memory import Memory
from translator import regions
from translator.planner import Plan
from translator.tiers.region import RegionLowering

CODE, DATA, SIZE = 0x10000, 0x80000, 0x1000
BODY = (
    "0f6f06"  # movq mm0, [esi]
    "0fd4c1"  # paddq mm0, mm1
    "0f6fd0"  # movq mm2, mm0
    "0f73d20d"  # psrlq mm2, 13
    "0fefca"  # pxor mm1, mm2
    "a801 7406"  # test al, 1; jz over the next two
    "0f60d8"  # punpcklbw mm3, mm0
    "0f67dc"  # packuswb mm3, mm4
    "0f7f0f"  # movq [edi], mm1
    "0ffe6e08"  # paddd mm5, [esi + 8]
    "83c608 83c708"  # add esi, 8; add edi, 8
    "40 49"  # inc eax; dec ecx
)
LOOP = bytes.fromhex(BODY) + bytes([0x75, -len(bytes.fromhex(BODY)) - 2 & 0xFF])
# The same with a constant in the x87 register that is mm7, which LLVM has as such.
WITH_X87 = bytes.fromhex("d9eb ddd8") + LOOP
BEHIND = {"emms": "0f77f4", "fld1": "d9e8f4", "movd": "0f7ed8f4", "hlt": "f4"}


class Machine:
    """A CPU with a page of code and one of data, nothing behind it."""

    def __init__(self, strategy: str) -> None:
        self.mem = Memory()
        for address in (CODE, DATA):
            self.mem.map(address, SIZE, 7, fixed=True)
        self.cpu = Cpu(self.mem)
        self.engine = Engine(self.mem, strategy)
        native.bind(self.cpu)

    def start(self, code: bytes, tags: int, **registers: int) -> None:
        """Set everything; *tags*: the x87 registers in use, of which all have some contents."""
        random = Random(3)
        self.mem.write(DATA, random.randbytes(SIZE))
        self.mem.write(CODE, code)
        self.cpu.reset()
        image = bytearray(self.cpu.fxsave())
        image[4] = tags
        for i in range(8):
            image[32 + 16 * i : 42 + 16 * i] = random.randbytes(10)
        self.cpu.fxrstor(bytes(image))
        for name, value in {"eip": CODE, **registers}.items():
            setattr(self.cpu, name, value)

    def run(self, budget: int) -> tuple[object, ...]:
        """Run for a while; say how that ended."""
        self.cpu.budget = budget
        done = self.engine.run(self.cpu)
        data = self.mem.read(DATA, SIZE)
        return (done, *self.cpu.r32[:8], self.cpu.eip, self.cpu.eflags, self.cpu.fxsave(), data)

    def close(self) -> None:
        """Give the memory back."""
        native.unbind(self.cpu)
        self.mem.close()


@pytest.fixture(scope="module")
def machines() -> Iterator[tuple[Machine, Machine]]:
    """Yield the machine that is right, and the one with regions."""
    both = Machine("interp"), Machine("region")
    yield both
    for each in both:
        each.close()


def same(
    machines: tuple[Machine, Machine], budgets: tuple[int, ...], code: bytes, **given: int
) -> None:
    """Run both in slices and compare after each."""
    for each in machines:
        each.start(code, **given)
    for budget in budgets:
        want, got = (each.run(budget) for each in machines)
        assert got == want, (code.hex(), given, budgets)


@pytest.mark.parametrize(
    ("code", "kept"), [(LOOP, {"fpr0", "fpr1", "fpr2", "fpr3", "fpr4", "fpr5"}), (WITH_X87, set())]
)
def test_they_are_vectors(code: bytes, kept: set[str]) -> None:
    """A region has them in host registers, but where it needs x87 registers, too."""
    machine = Machine("tiered")
    machine.mem.write(CODE, code + b"\xf4")
    region = regions.grow(CODE, 0, machine.engine.tiering.plan_at, Plan.successors, 100)
    assert region is not None
    units = [[shape.unit for shape, _ in node.plan.items] for node in region.nodes]
    assert RegionLowering("region", region, units, set()).mmx == kept
    machine.close()


@pytest.mark.parametrize("tags", [0, 0xFF, 0x28])
@pytest.mark.parametrize("code", [LOOP, WITH_X87])
@pytest.mark.parametrize("behind", BEHIND)
def test_end(machines: tuple[Machine, Machine], code: bytes, behind: str, tags: int) -> None:
    """Nothing is lost where a loop ends, after no or many rounds."""
    code += bytes.fromhex(BEHIND[behind])
    for count in (1, 2, 50):
        same(machines, (10_000,), code, tags=tags, ecx=count, esi=DATA, edi=DATA + 0x800, eax=count)


@pytest.mark.parametrize("tags", [0, 0xFF])
@pytest.mark.parametrize("code", [LOOP, WITH_X87])
def test_budget(machines: tuple[Machine, Machine], code: bytes, tags: int) -> None:
    """It may end at any insn, and the rest goes on from there."""
    for budget in range(1, 100):
        same(
            machines, (budget, 37, 10_000), code + b"\xf4",
            tags=tags, ecx=9, esi=DATA, edi=DATA + 0x800, eax=0,
        )  # fmt: skip


@pytest.mark.parametrize("tags", [0, 0xFF])
@pytest.mark.parametrize("code", [LOOP, WITH_X87])
@pytest.mark.parametrize("size", [8, 3, 0x10])
@pytest.mark.parametrize("register", ["esi", "edi"])
def test_fault(
    machines: tuple[Machine, Machine], register: str, size: int, code: bytes, tags: int
) -> None:
    """Each of the accesses may be the one behind the end of memory, in any round."""
    for rounds in (0, 1, 2, 40):
        given = {"esi": DATA, "edi": DATA + 0x800} | {register: DATA + SIZE - size - 8 * rounds}
        same(machines, (10_000,), code + b"\xf4", tags=tags, ecx=100, eax=0, **given)
