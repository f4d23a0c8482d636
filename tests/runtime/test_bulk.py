"""Repeated string insns in bulk: budgets, stops and wrapping as the interp tier has them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cache

import pytest

from runtime import native
from runtime.cpu import Cpu
from runtime.dispatch import Engine
from runtime.memory import Memory

CODE, DATA, SIZE = 0x10000, 0x80000, 0x2000
TOP, BOTTOM = 0xFFFFF000, 0x1000  # mapped: from TOP on, and below BOTTOM
LONG, LONG_SIZE = 0x10000000, 0x8000000
HLT, GP = b"\xf4", 13
INSNS = (
    "f3a4",
    "66f3a5",
    "f3a5",
    "f3aa",
    "66f3ab",
    "f3ab",
    "f3a6",
    "f2a6",
    "f3a7",
    "f2ae",
    "f3ae",
    "66f3af",
)
MORE = ("f3ac", "f367a4", "64f3a4", "64f3a6")
COUNTS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 31)


@cache
def pattern(fill: int, size: int) -> bytes:
    """Return bytes that change every *fill* bytes."""
    return bytes((i // fill) & 0xFF for i in range(size))


class Machine:
    """A CPU with code, data, both ends of the address space, and much memory."""

    def __init__(self, strategy: str) -> None:
        self.mem = Memory()
        self.areas = [(CODE, 0x1000), (DATA, SIZE), (TOP, 0x1000), (0, BOTTOM)]
        for address, size in self.areas:
            self.mem.map(address, size, 7, fixed=True)
        self.cpu = Cpu(self.mem)
        self.engine = Engine(self.mem, strategy)
        native.bind(self.cpu)

    def start(self, code: str, *, fill: int, **registers: int) -> None:
        """Set everything; the data is a pattern whose elements are equal for a while."""
        for address, size in self.areas[1:]:
            self.mem.prepare_write(address, size)
            self.mem.write(address, pattern(fill, size))
        self.mem.write(CODE, bytes.fromhex(code) + HLT)
        self.cpu.reset()
        for name, value in {"eip": CODE, "esp": DATA + SIZE, **registers}.items():
            setattr(self.cpu, name, value)

    def run(self, budget: int) -> tuple[object, ...]:
        """Run for a while; say how that ended."""
        self.cpu.budget = budget
        done = self.engine.run(self.cpu)
        memory = [self.mem.read(*area) for area in self.areas[1:]]
        left = self.cpu.budget if done.vector != GP else 0  # interp charges the HLT
        return (done, left, *self.cpu.r32[:8], self.cpu.eip, self.cpu.eflags, memory)

    def close(self) -> None:
        """Give the memory back."""
        native.unbind(self.cpu)
        self.mem.close()


@pytest.fixture(scope="module")
def interp() -> Iterator[Machine]:
    """Yield the machine that has no bulk."""
    made = Machine("interp")
    yield made
    made.close()


@pytest.fixture(
    scope="module", params=("stencil", "region", pytest.param("block", marks=pytest.mark.slow))
)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Yield the machine of each tier."""
    made = Machine(request.param)
    yield made
    made.close()


def same(
    interp: Machine, machine: Machine, budgets: tuple[int, ...], code: str, **given: int
) -> None:
    """Run both in slices and compare after each."""
    for each in (interp, machine):
        each.start(code, **given)
    for budget in budgets:
        want, got = interp.run(budget), machine.run(budget)
        assert got == want, (code, given, budgets)


@pytest.mark.parametrize("code", INSNS + MORE)
def test_budget_ends_in_the_middle(code: str, interp: Machine, machine: Machine) -> None:
    """Each iteration costs one; what is left goes on from there."""
    given = {"esi": DATA + 16, "edi": DATA + 0x800, "eax": 0, "fs_base": 0x40, "eflags": 0x8D7}
    for fill in (1000, 11):
        for count in COUNTS:
            for first in {1, 2, count // 2, count - 1, count, count + 1}:
                if first >= 0:
                    same(interp, machine, (first, 3, 100), code, fill=fill, ecx=count, **given)


@pytest.mark.parametrize("code", ["4041f3a44b", "40f2ae7501434b", "b905000000f3ab4875f6"])
def test_budget_ends_around(code: str, interp: Machine, machine: Machine) -> None:
    """Insns before and behind count too, in loops as well."""
    for budget in range(60):
        same(
            interp, machine, (budget, 7, 500), code,
            fill=9, ecx=9, esi=DATA, edi=DATA + 5, eax=5, ebx=2,
        )  # fmt: skip


@pytest.mark.parametrize("code", INSNS + MORE)
def test_end_of_the_address_space(code: str, interp: Machine, machine: Machine) -> None:
    """Addresses wrap at 4 GiB, and counts are unsigned."""
    # No element across the end: there interp names another address.
    size = 4 if int(code[-2:], 16) & 1 else 1
    near = [(place & -size) for place in (TOP + 0xFE0, TOP + 0xFFB, 0xFFFFFFFF, 0)]
    for esi in (DATA, *near):
        for edi in near:
            for count in (3, 40):
                given = {"ecx": count, "esi": esi, "edi": edi, "fs_base": 0xFFFFFF00, "eax": 0}
                same(interp, machine, (1000,), code, fill=1000, **given)
    for count in (0xFFFFFFFF, 0x80000000, 0x40000001):
        given = {"ecx": count, "esi": DATA + 2, "edi": DATA + 0x1F81, "eax": 0}
        same(interp, machine, (50, 5000), code, fill=1 << 20, **given)


def test_more_than_one_bulk_does(interp: Machine, machine: Machine) -> None:
    """A long range goes on where the first part ended, and costs all of its iterations."""
    for each in (interp, machine):
        each.mem.map(LONG, 0x12000, 3, fixed=True)
    given = {"ecx": 0x10801, "edi": LONG + 1, "eax": 0xFF}
    for code, last in (("f3aa", b"\xff"), ("f2ae", b"\0")):
        same(interp, machine, (0x10400, 0x10400), code, fill=0x20000, **given)
        for each in (interp, machine):
            assert each.mem.read(LONG + 0x10800, 3) == last * 2 + b"\0"
            each.mem.write(LONG, bytes(0x12000))
    for each in (interp, machine):
        each.mem.unmap(LONG, 0x12000)


def test_stop_in_a_long_run(machine: Machine) -> None:
    """A stop is seen between iterations, soon, and the insn goes on from there."""
    machine.mem.map(LONG, LONG_SIZE, 3, fixed=True)
    machine.start("f3ab", fill=1, edi=LONG, ecx=LONG_SIZE // 4, eax=0x12345678)
    machine.cpu.budget = 1 << 60
    stops = 0
    for _ in range(200):
        timer = threading.Timer(0.002, machine.cpu.request_stop)
        timer.start()
        done = machine.engine.run(machine.cpu)
        timer.cancel()
        timer.join()
        if done.kind != "stop":
            break
        stops += 1
        ran = LONG_SIZE // 4 - machine.cpu.ecx
        assert machine.cpu.edi == LONG + 4 * ran
        assert machine.cpu.budget == (1 << 60) - ran
    assert stops
    assert done.kind == "fault"  # the HLT behind it
    assert machine.mem.read(LONG + LONG_SIZE - 8, 8) == b"\x78\x56\x34\x12" * 2
    machine.mem.unmap(LONG, LONG_SIZE)
