"""The interp tier: complete over the ops, transactional, and every helper has a body."""

from __future__ import annotations

import inspect

import pytest

from runtime.system import bodies  # noqa: F401  (it registers some)
from tests.native import layout
from tests.translator.fakes import FakeCpu, FakeMemory
from translator import helpers
from translator.decode import decode
from translator.faults import GuestFault
from translator.ir import Op
from translator.tiers import interp

# What the source writer handles itself, having to do with state, control or other tables.
STRUCTURAL = {
    Op.SLOT, Op.GETREG, Op.SETREG, Op.GET, Op.SET, Op.GETST, Op.SETST, Op.FLAGS, Op.GETFLAG,
    Op.SETFLAG, Op.COND, Op.FAULT_IF, Op.EXIT_IF, Op.VEC, Op.HOST, Op.PART, Op.FPSTACK,
    Op.FPCHECK, Op.CALL,
}  # fmt: skip


def run(code: str, cpu: FakeCpu, mem: FakeMemory) -> int:
    """Execute one insn given in hex."""
    return interp.execute(decode(bytes.fromhex(code)), cpu, mem)


def test_every_op_has_a_meaning() -> None:
    """Each op is a row of EVAL or handled by the writer, never both."""
    assert set(interp.EVAL) | STRUCTURAL == set(Op)
    assert not set(interp.EVAL) & STRUCTURAL


def test_every_helper_has_a_body() -> None:
    """Each declared helper has a body of that many arguments behind CPU and memory."""
    assert set(helpers.BODIES) == set(helpers.HELPERS)
    for name, signature in helpers.HELPERS.items():
        parameters = inspect.signature(helpers.body(name)).parameters
        assert len(parameters) == 2 + len(signature.arguments), name


def test_fault_changes_nothing() -> None:
    """A store that faults leaves registers, flags and eip as they were."""
    cpu, mem = FakeCpu(), FakeMemory()
    before = bytes(cpu.buffer)
    with pytest.raises(GuestFault) as caught:
        run("50", cpu, mem)  # push eax
    assert (caught.value.vector, caught.value.address, caught.value.error) == (14, 0xFFFFFFFC, 6)
    assert bytes(cpu.buffer) == before


def test_lost_race_repeats() -> None:
    """A locked insn that another thread overtook starts again without effect."""

    class Racing(FakeMemory):
        def cmpxchg(self, address: int, expected: int, new: int, width: int) -> int:
            return expected + 1

    cpu, mem = FakeCpu(), Racing()
    mem.map(layout.REGIONS[0], 16)
    cpu.set("ebx", layout.REGIONS[0])
    before = bytes(cpu.buffer)
    assert run("f00fc103", cpu, mem) == 0  # lock xadd [ebx], eax
    assert bytes(cpu.buffer) == before


def test_repetition_is_one_iteration() -> None:
    """A repeated string insn stays at itself until its count is used up."""
    cpu, mem = FakeCpu(), FakeMemory()
    mem.map(layout.REGIONS[0], 16)
    cpu.set("edi", layout.REGIONS[0])
    cpu.set("ecx", 2)
    run("f3aa", cpu, mem)
    assert (cpu.get("eip"), cpu.get("ecx")) == (0, 1)
    run("f3aa", cpu, mem)
    assert (cpu.get("eip"), cpu.get("ecx")) == (2, 0)
