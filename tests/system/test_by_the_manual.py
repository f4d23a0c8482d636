"""Protected mode where QEMU is no referee: what the manual (SDM vol. 2 and 3) says."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from tests.running import ANY, SLOW, STRATEGIES
from tests.system.bare import referee
from tests.system.bare.image import (
    CODE,
    GDT,
    IDT,
    OTHER,
    OWN_TOP,
    SEL_B,
    TARGET,
    TSS_B,
    Scenario,
    descriptor,
    gate,
    tss32,
)
from tests.system.bare.scenarios import END, VM, far, imm32, load_segment, mov_eax, push
from translator.mode import Model

RF, TF = 1 << 16, 1 << 8
DR6, DR7 = 0x4F20, 0x4F24
BD, BS, BT = 1 << 13, 1 << 14, 1 << 15
DB, UD, DF, TS, NP, SS, GP = 1, 6, 8, 10, 11, 12, 13
SHORT = 0xA0  # a selector whose segment has a limit of 0Fh
CALL_GATE = 0xD0


def at(code: bytes, ring: int = 0, **how: int) -> Scenario:
    """Start with code at CODE."""
    return Scenario("", ring=ring, **how).put(CODE, code).put(TARGET, END)  # type: ignore[arg-type]


def short(access: int, flags: int = 4, limit: int = 0xF) -> bytes:
    """Encode a segment at OTHER of 16 bytes."""
    return descriptor(OTHER, limit, access, flags)


def through_ds(access: int, code: bytes, flags: int = 4, limit: int = 0xF) -> Scenario:
    """Access memory through a short segment in DS; ring 0."""
    return at(load_segment(3, SHORT) + code + END).describe(SHORT, short(access, flags, limit))


def gate_to(entry: bytes, target: bytes, opcode: int = 0x9A, ring: int = 0) -> Scenario:
    """Go through a call gate that names selector A0h."""
    made = at(far(opcode, CALL_GATE | ring, 0), ring=ring).describe(CALL_GATE, entry)
    return made.describe(SHORT, target)


def task(fields: dict[str, int], extra: bytes = b"") -> Scenario:
    """Jump to a task of ring 3 whose state has some fields, and A0h a descriptor."""
    usual = {"cs": 0x1B, "ss": 0x23, "esp": 0x4400}
    made = at(far(0xEA, SEL_B, 0)).put(TSS_B, tss32(**{**usual, **fields}))
    return made.describe(SHORT, extra) if extra else made


AFTER_DS = CODE + 7  # behind load_segment

# What is expected: the vector and the stack behind it (error code, EIP, CS, EFLAGS...).
CASES: dict[str, tuple[Scenario, tuple[int, ...]]] = {
    "read at the limit": (through_ds(0x93, b"\xa0\x0f\0\0\0"), (0x40, AFTER_DS + 7, 8)),
    "read beyond it": (through_ds(0x93, b"\xa1\x0d\0\0\0"), (GP, 0, AFTER_DS, 8, RF | 2)),
    "write beyond it": (through_ds(0x93, b"\xa3\x0d\0\0\0"), (GP, 0, AFTER_DS, 8, RF | 2)),
    "write to data that is read only": (through_ds(0x91, b"\xa2\0\0\0\0"), (GP, 0, AFTER_DS)),
    "write through code": (through_ds(0x9B, b"\xa2\0\0\0\0"), (GP, 0, AFTER_DS)),
    "read through code": (through_ds(0x9B, b"\xa0\0\0\0\0"), (0x40, AFTER_DS + 7)),
    "expand down, below": (through_ds(0x97, b"\xa0\x0f\0\0\0"), (GP, 0, AFTER_DS)),
    "expand down, above": (through_ds(0x97, b"\xa0\x10\0\0\0"), (0x40, AFTER_DS + 7)),
    "expand down of 16 bits, at the top": (
        through_ds(0x97, b"\xa1\xfc\xff\0\0", flags=0),
        (0x40, AFTER_DS + 7),
    ),
    "expand down of 16 bits, beyond": (
        through_ds(0x97, b"\xa1\xfd\xff\0\0", flags=0),
        (GP, 0, AFTER_DS),
    ),
    "null selector": (at(load_segment(3, 3) + b"\xa0\0\x80\0\0"), (GP, 0, AFTER_DS)),
    "push below a stack": (
        # mov esp, 2; push eax; the handler is a task's, as there is no stack
        at(b"\x0f\x0b", ring=3, ss=SHORT | 3, esp=2)
        .put(CODE, b"\x50" + END)
        .describe(SHORT, short(0xF3)),
        (SS, 0, CODE, 0x1B, RF | 2, 2, SHORT | 3),
    ),
    "pop above a stack": (
        at(b"\x58" + END, ring=3, ss=SHORT | 3, esp=0xE).describe(SHORT, short(0xF3)),
        (SS, 0, CODE, 0x1B, RF | 2, 0xE, SHORT | 3),
    ),
    "code beyond its limit": (
        at(far(0xEA, SHORT, CODE + 0x100))
        .describe(SHORT, descriptor(0, CODE + 0x100, 0x9B, 4))
        .put(CODE + 0x100, b"\x90\x90"),
        (GP, 0, CODE + 0x101, SHORT),
    ),
    "call gate beyond a limit": (
        gate_to(gate(SHORT, TARGET, 12, 0), short(0x9B)),
        (GP, 0, CODE, 8, RF | 2),
    ),
    "iret beyond a limit": (
        at(push(2) + push(SHORT) + push(0x10) + b"\xcf").describe(SHORT, short(0x9B)),
        (GP, 0, CODE + 15, 8, RF | 2),
    ),
    "interrupt gate beyond a limit": (
        at(b"\xcd\x31")
        .describe(SHORT, short(0x9B))
        .put(IDT + 8 * 0x31, gate(SHORT, TARGET, 14, 3)),
        (GP, 0, CODE, 8, RF | 2),
    ),
    "conforming code through a gate keeps the level": (
        gate_to(gate(SHORT, TARGET, 12, 3), descriptor(0, 0xFFFFF, 0x9F, 12), ring=3),
        (0x40, TARGET + 2, SHORT | 3),
    ),
    "jump through a gate, not present": (
        gate_to(gate(SHORT, TARGET, 12, 0), descriptor(0, 0xFFFFF, 0x1B, 12), opcode=0xEA),
        (NP, SHORT, CODE, 8, RF | 2),
    ),
    "return, stack not present": (
        at(push(SHORT | 3) + push(0x4400) + push(0x1B) + push(TARGET) + b"\xcb").describe(
            SHORT, descriptor(0, 0xFFFFF, 0x73, 12)
        ),
        (SS, SHORT, CODE + 20, 8, RF | 2),
    ),
    "ltr of nothing": (at(mov_eax(0) + b"\x0f\x00\xd8"), (GP, 0, CODE + 5)),
    "to virtual-8086 mode above 64 KiB": (
        at(6 * push(0) + push(VM | 2) + push(0) + push(0x10000) + b"\xcf"),
        (GP, 0, CODE + 45, 8),
    ),
    "virtual-8086 mode from ring 3": (
        at(push(0x23) + push(0x4000) + push(VM | 2) + push(0x1B) + push(TARGET) + b"\xcf", ring=3),
        (0x40, TARGET + 2, 0x1B, 2),
    ),
    "EXT of a fault": (
        at(b"\x0f\x0b").put(IDT + 8 * UD, gate(8, TARGET, 14, 0, 0, 0)),
        (NP, UD << 3 | 2 | 1, CODE, 8, RF | 2),
    ),
    "no EXT of a software interrupt": (
        at(b"\x90\xcd\x31").put(IDT + 8 * 0x31, gate(8, TARGET, 14, 0, 0, 0)),
        (NP, 0x31 << 3 | 2, CODE + 1, 8, RF | 2),
    ),
    "double fault": (
        at(load_segment(3, 0x7F0)).put(IDT + 8 * GP, bytes(8)),
        (DF, 0, CODE + 5, 8),
    ),
    "no double fault of a benign first": (
        at(b"\x0f\x0b").put(IDT + 8 * UD, bytes(8)),
        (GP, UD << 3 | 2 | 1, CODE, 8),
    ),
    "int1 is a trap": (at(b"\xf1" + END), (DB, CODE + 1, 8, 2)),
    "general detection": (
        at(mov_eax(1 << 13) + b"\x0f\x23\xf8\x0f\x21\xc3" + END),
        (DB, CODE + 8, 8, 2),
    ),
    "T bit": (task({"trap": 0x680001}), (DB, TARGET, 0x1B, 2)),
    "new task: LDT in the LDT": (task({"ldt": 0x34}), (TS, 0x34, TARGET, 0x1B, RF | 2)),
    "new task: LDT not present": (
        task({"ldt": SHORT}, descriptor(0x1200, 0xFF, 0x02)),
        (TS, SHORT, TARGET, 0x1B),
    ),
    "new task: code of another level": (task({"cs": 0x0B}), (TS, 0x08, TARGET, 0x0B)),
    "new task: code not present": (
        task({"cs": SHORT | 3}, descriptor(0, 0xFFFFF, 0x7B, 12)),
        (NP, SHORT, TARGET, SHORT | 3),
    ),
    "new task: stack of another level": (task({"ss": 0x10}), (TS, 0x10, TARGET, 0x1B)),
    "new task: stack not present": (
        task({"ss": SHORT | 3}, descriptor(0, 0xFFFFF, 0x73, 12)),
        (SS, SHORT, TARGET, 0x1B),
    ),
    "new task: data out of reach": (task({"ds": 0x10}), (TS, 0x10, TARGET, 0x1B)),
    "new task: data not present": (
        task({"fs": SHORT | 3}, descriptor(0, 0xFFFFF, 0x73, 12)),
        (NP, SHORT, TARGET, 0x1B),
    ),
    "new task: EIP beyond its code": (
        task({"cs": SHORT | 3}, short(0xFB)),
        (GP, 0, TARGET, SHORT | 3),
    ),
    "task gate to the LDT": (
        at(far(0xEA, CALL_GATE, 0)).describe(CALL_GATE, gate(0x74, 0, 5)),
        (GP, 0x74, CODE, 8),
    ),
}


def run(scenario: Scenario, strategy: str = ANY) -> dict[int, int]:
    """Return what a scenario changed."""
    (found,) = referee.run_all(partial(referee.run_here, strategy=strategy), [scenario])
    return found


@pytest.mark.parametrize(
    "strategy", [pytest.param(s, marks=[] if s == ANY else SLOW) for s in STRATEGIES]
)
def test_cases(strategy: str) -> None:
    """Each case ends in its exception, with that error code and saved state."""
    scenarios = [scenario for scenario, _ in CASES.values()]
    found = referee.run_all(partial(referee.run_here, strategy=strategy), scenarios)
    got = {
        name: referee.frame(result, len(expected))
        for (name, (_, expected)), result in zip(CASES.items(), found, strict=True)
    }
    assert got == {name: expected for name, (_, expected) in CASES.items()}


def test_triple_fault() -> None:
    """Without a gate for #GP and for #DF, the processor shuts down."""
    made = at(load_segment(3, 0x7F0)).put(IDT + 8 * GP, bytes(8)).put(IDT + 8 * DF, bytes(8))
    assert run(made) == referee.SHUTDOWN


def test_accessed_bits() -> None:
    """A call gate marks the code and the stack that it loads."""
    made = gate_to(gate(SHORT, TARGET, 12, 3), descriptor(0, 0xFFFFF, 0x9A, 12), ring=3)
    made.describe(0x10, descriptor(0, 0xFFFFF, 0x92, 12))
    found = run(made)
    assert found[GDT + SHORT + 4] == 0xCF9B00
    assert found[GDT + 0x10 + 4] == 0xCF9300


def test_debug_status() -> None:
    """DR6 says why #DB came; its handler starts without general detection."""
    found = run(CASES["general detection"][0])
    assert found[DR6] & 0xE00F == BD
    assert not found[DR7] & 1 << 13
    assert run(CASES["T bit"][0])[DR6] & 0xE00F == BT
    assert run(at(b"\x90", eflags=TF | 2))[DR6] & 0xE00F == BS


def breakpoint_at(address: int, kind: int) -> bytes:
    """Put a breakpoint on four bytes of data: 1, writes; 3, all accesses."""
    control = 0x000C0001 | kind << 16
    return mov_eax(address) + b"\x0f\x23\xc0" + mov_eax(control) + b"\x0f\x23\xf8"


def test_breakpoints_on_what_an_interrupt_does() -> None:
    """Its pushes, and reads of tables; the trap comes before the handler's first insn."""
    vector = 0x41
    for where, kind, hit in (
        (OWN_TOP - 0x108, 1, True),  # CS in the frame
        (OWN_TOP - 0x108, 3, True),
        (OWN_TOP - 0x200, 3, False),
        (IDT + 8 * vector, 3, True),
        (IDT + 8 * vector, 1, False),
        (GDT + SHORT, 3, True),
    ):
        code = breakpoint_at(where, kind) + b"\xbc" + imm32(OWN_TOP - 0x100) + b"\xcd\x41"
        made = at(code).put(IDT + 8 * vector, gate(SHORT, OTHER, 14)).put(OTHER, END)
        found = run(made.describe(SHORT, descriptor(0, 0xFFFFF, 0x9B, 12)))
        expected = (DB, OTHER, SHORT) if hit else (0x40, OTHER + 2, SHORT)
        assert referee.frame(found, 3) == expected, (where, kind)
        assert found.get(DR6, 0xFF0) & 0xE00F == hit


def test_breakpoints_on_what_a_far_call_does() -> None:
    for where, kind in ((OWN_TOP - 0x104, 1), (GDT + SHORT, 3)):
        code = breakpoint_at(where, kind) + b"\xbc" + imm32(OWN_TOP - 0x100)
        made = at(code + far(0x9A, SHORT, TARGET))
        found = run(made.describe(SHORT, descriptor(0, 0xFFFFF, 0x9B, 12)))
        assert referee.frame(found, 3) == (DB, TARGET, SHORT), where


def test_rf_lasts_one_insn() -> None:
    """An iret with RF passes a breakpoint at its target; the next interrupt saves RF clear."""
    code = mov_eax(TARGET) + b"\x0f\x23\xc0" + mov_eax(1) + b"\x0f\x23\xf8"
    found = run(at(code + push(RF | 2) + push(8) + push(TARGET) + b"\xcf"))
    assert referee.frame(found, 4) == (0x40, TARGET + 2, 8, 2)
    found = run(at(code + push(2) + push(8) + push(TARGET) + b"\xcf"))
    assert referee.frame(found, 4) == (DB, TARGET, 8, 2)


def test_sysenter_and_sysexit() -> None:
    """The pair goes to ring 0 and back with the selectors that follow SYSENTER_CS."""
    code = b"".join(
        b"\xb9" + imm32(index) + mov_eax(value) + b"\x31\xd2\x0f\x30"
        for index, value in ((0x174, 8), (0x175, OWN_TOP - 0x80), (0x176, TARGET))
    )
    code += push(0x23) + push(0x4400) + push(2 | 1 << 9) + push(0x1B) + push(OTHER) + b"\xcf"
    made = Scenario("").put(CODE, code).put(OTHER, b"\x0f\x34").put(TARGET, END)
    assert referee.frame(run(made), 4) == (0x40, TARGET + 2, 8, 2)
    back = b"\xba" + imm32(OTHER) + b"\xb9" + imm32(0x4300) + b"\x0f\x35"
    made = Scenario("").put(CODE, code.partition(b"\x68")[0] + back).put(OTHER, END)
    assert referee.frame(run(made), 6) == (0x40, OTHER + 2, 0x1B, 0x46, 0x4300, 0x23)


@pytest.mark.parametrize(
    ("model", "kept"), [(Model.I386, 0), (Model.I486, 1 << 18), (Model.PENTIUM, 15 << 18)]
)
@pytest.mark.parametrize("how", [referee.run_here, referee.run_machine])
def test_iret_sets_no_flag_that_is_not_there(
    how: Callable[..., bytes], model: Model, kept: int
) -> None:
    """AC came with the 80486, VIF, VIP and ID with CPUID; in Python, and in compiled code."""
    made = at(push(15 << 18 | 2) + push(8) + push(TARGET) + b"\xcf")
    (found,) = referee.run_all(partial(how, strategy=ANY, model=model), [made])
    assert referee.frame(found, 4) == (0x40, TARGET + 2, 8, kept | 2)
