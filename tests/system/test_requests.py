"""Interrupts at the processor's pins: where they are accepted, on every strategy."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from runtime.system import segments
from runtime.system.linear import Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from tests.running import STRATEGIES
from translator.mode import Model
from translator.state import FIELDS

CODE, HANDLER = 0x1000, 0x1200  # paragraphs
CS, SS = 1, 2
IRQ, NMI = 0x30, 2
IF = 1 << 9


class Machine:
    """A processor in real mode; a controller whose only request is *vector*; an 'out' notes AX."""

    def __init__(self, strategy: str) -> None:
        self.physical = Physical(2 << 20)
        self.linear = Linear(self.physical)
        self.p = Processor(self.linear, strategy, Model.MAX)
        self.vector, self.seen = IRQ, []
        self.p.acknowledge = self.acknowledge
        self.p.port_out = self.out
        self.p.set_real_segment(SS, 0x2000)
        self.p.cpu.esp = 0x1000
        self.acknowledged = 0
        for vector in range(256):
            self.put(0, 4 * vector, "00000012")
        # push bp; mov bp, sp; out 1, ax (AX); mov ax, [bp + 2] (IP); out 2, ax; pop bp; iret
        self.put(HANDLER, 0, "55 89e5 e701 50 8b4602 e702 58 5d cf")

    def acknowledge(self) -> int:
        """INTA: the request goes away."""
        self.acknowledged += 1
        self.p.set_intr(False)
        return self.vector

    def out(self, port: int, value: int, size: int) -> None:
        self.seen.append((port, value))
        if port == 3:  # a device asks for an interrupt
            self.p.set_intr(True)

    def put(self, selector: int, offset: int, code: str) -> None:
        self.physical.write(selector << 4 | offset, bytes.fromhex(code.replace(" ", "")))

    def go(self, code: str, eflags: int = 2) -> str:
        """Run code from CODE:0; return the kind of exit."""
        self.put(CODE, 0, code)
        self.p.set_real_segment(CS, CODE)
        self.p.cpu.eip, self.p.cpu.eax, self.p.cpu.eflags = 0, 0, eflags
        self.p.cpu.budget = 100_000
        return self.p.run().kind


@pytest.fixture(params=STRATEGIES)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    made = Machine(request.param)
    yield made
    made.linear.close()
    made.physical.close()


def test_sti_lets_one_insn_more_be_executed(machine: Machine) -> None:
    """Also where it is executed a second time, by host code that exists."""
    for _ in range(2):
        machine.seen.clear()
        machine.p.set_intr(True)
        # mov ax, 1; nop; sti; inc ax (IP 5..6); inc ax; hlt
        assert machine.go("b80100 90 fb 40 40 f4") == "halt"
        assert machine.seen == [(1, 2), (2, 6)]
        assert machine.p.cpu.eax & 0xFFFF == 3


def test_an_interrupt_between_sti_and_cli_is_not_lost(machine: Machine) -> None:
    """The insn behind sti is cli: nothing comes; nop; cli: it comes before cli."""
    machine.p.set_intr(True)
    assert machine.go("fb fa 40 f4") == "halt"
    assert machine.seen == []
    assert machine.go("fb 90 fa 40 f4") == "halt"
    assert machine.seen == [(1, 0), (2, 2)]


@pytest.mark.parametrize("load", ["8ed1", "17"], ids=["mov", "pop"])
def test_a_load_of_ss_is_never_torn_from_the_next_insn(machine: Machine, load: str) -> None:
    """The shadow of sti ends behind it, its own one insn later."""
    machine.p.set_intr(True)
    # mov cx, 2000h; push cx; sti; mov ss, cx or pop ss; inc ax; inc ax; hlt
    assert machine.go("b90020 51 fb " + load + " 40 40 f4") == "halt"
    behind = 5 + len(load) // 2
    assert machine.seen == [(1, 1), (2, behind + 1)]


@pytest.mark.parametrize("code", ["680202 9d eb04", "680202 680010 6a0a cf"], ids=["popf", "iret"])
def test_flags_that_are_popped_let_it_come_at_once(machine: Machine, code: str) -> None:
    machine.put(CODE, 10, "40f4")
    for _ in range(2):
        machine.seen.clear()
        machine.p.set_intr(True)
        assert machine.go(code) == "halt"
        assert [value for port, value in machine.seen if port == 1] == [0]


def test_flags_without_if_cost_nothing_while_it_waits(machine: Machine) -> None:
    """GRUB's decoder saves flags by pushf and popf, interrupts off, for a million times."""
    machine.p.set_intr(True)
    # mov cx, 1000; again: pushf; popf; loop again; sti; nop; hlt
    assert machine.go("b9e803 9c 9d e2fc fb 90 f4") == "halt"
    assert machine.seen == [(1, 0), (2, 9)]
    if machine.p.engine.strategy is not None:
        assert machine.p.engine.statistics.insns_interpreted < 100


def test_a_device_that_asks_is_heard_behind_the_insn(machine: Machine) -> None:
    """OUT raises INTR: the handler runs before the next insn."""
    assert machine.go("40 e603 40 40 f4", IF | 2) == "halt"
    assert machine.seen == [(3, 1), (1, 1), (2, 3)]


def test_out_of_a_hot_loop(machine: Machine) -> None:
    """Another thread asks again and again, while a loop runs that nothing else ends."""
    # loop: inc cx; add dx, cx; jmp loop; the handler counts and ends it at the 200th
    machine.put(HANDLER, 0, "43 81fbc800 7501 f4 cf")  # inc bx; cmp bx, 200; jne; hlt; iret
    machine.put(CODE, 0, "41 01ca ebfb")
    machine.p.set_real_segment(CS, CODE)
    machine.p.cpu.eip, machine.p.cpu.eflags = 0, IF | 2
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            machine.p.set_intr(True)
            time.sleep(0.0005)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        assert machine.p.run().kind == "halt"
    finally:
        ended.set()
        thread.join()
    assert machine.p.cpu.ebx & 0xFFFF == 200


def test_halt_ends_with_an_interrupt_only(machine: Machine) -> None:
    """Until one comes, `run` returns at once; sti; hlt waits, cli; hlt is woken by NMI only."""
    assert machine.go("fb f4 40 fa f4") == "halt"
    assert machine.p.run().kind == "halt"
    assert machine.p.cpu.eip == 2
    machine.p.set_intr(True)
    assert machine.p.run().kind == "halt"
    assert machine.seen == [(1, 0), (2, 2)]
    assert machine.p.cpu.eip == 5
    machine.p.set_intr(True)
    assert machine.p.run().kind == "halt"
    assert machine.p.cpu.eip == 5
    machine.put(CODE, 5, "40 f4")
    machine.p.nmi()
    assert machine.p.run().kind == "halt"
    assert machine.p.cpu.eip == 7
    assert machine.acknowledged == 1


def test_sti_hlt_with_a_request_does_not_sleep(machine: Machine) -> None:
    """Halted in the shadow of sti, with INTR waiting: that wakes it at once."""
    machine.p.set_intr(True)
    assert machine.go("90 fb f4 40 f4") == "halt"
    assert machine.seen == [(1, 0), (2, 3)]
    assert machine.p.cpu.eip == 5


def test_no_second_nmi_before_iret(machine: Machine) -> None:
    """One that comes in its handler waits for the handler's iret."""
    # inc bx; out 4, ax (the first time, another NMI); mov ax, bx; iret
    machine.put(HANDLER, 0, "43 50 89d8 e704 e701 58 cf")
    asked: list[int] = []

    def out(port: int, value: int, size: int) -> None:
        machine.seen.append((port, value))
        if port == 4 and not asked:
            asked.append(value)
            machine.p.nmi()

    machine.p.port_out = out
    machine.p.nmi()
    assert machine.go("90 90 f4") == "halt"
    assert machine.seen == [(4, 1), (1, 1), (4, 2), (1, 2)]


def test_posted_functions_run_behind_the_insn_that_asked(machine: Machine) -> None:
    """They see exact registers, and where they send control it goes on."""
    machine.put(CODE, 0x20, "b82200 f4")
    seen: list[tuple[int, int]] = []

    def call() -> None:
        seen.append((machine.p.cpu.eip, machine.p.cpu.eflags & 1))
        machine.p.cpu.eip = 0x20

    machine.p.port_out = lambda port, value, size: machine.p.post(call)
    # stc; out; iret, which would define all flags: nobody looks at CF otherwise
    assert machine.go("f9 e6e4 cf") == "halt"
    assert seen == [(3, 1)]
    assert machine.p.cpu.eax & 0xFFFF == 0x22


def test_posted_functions_run_while_halted(machine: Machine) -> None:
    assert machine.go("f4 40 f4") == "halt"
    seen: list[int] = []
    machine.p.post(lambda: seen.append(machine.p.cpu.eip))
    assert machine.p.run().kind == "halt"
    assert seen == [1]


def test_without_a_gate_the_error_says_external(machine: Machine) -> None:
    """#GP with EXT, IDT and the vector; it is no exception: RF is not set in what is pushed."""
    p, put = machine.p, machine.put
    idt, gdt = 0x5000, 0x6000
    put(0, gdt, "0" * 16 + "ffff0000009acf00 ffff00000092cf00")
    p.physical = machine.physical  # type: ignore[attr-defined]
    for vector in (13, NMI):
        put(0, idt + 8 * vector, "0000 0800 008e 0700")  # to 8:70000h
    r32, r16 = p.cpu.r32, p.cpu.r16
    r32[FIELDS["idtr_base"].offset // 4], r16[FIELDS["idtr_limit"].offset // 2] = idt, 0x7FF
    r32[FIELDS["gdtr_base"].offset // 4], r16[FIELDS["gdtr_limit"].offset // 2] = gdt, 0x17
    r32[FIELDS["cr0"].offset // 4] |= 1
    segments.set_flat(p.cpu, 0)
    p.update_context()
    machine.physical.write(0x70000, bytes.fromhex("5859 5af4"))  # pop eax ecx edx; hlt
    machine.physical.write(0x80000, b"\x90\xf4")
    for ask, wanted in ((lambda: p.set_intr(True), [IRQ << 3 | 3, 0x80000]), (p.nmi, [0x80000, 8])):
        p.cpu.eip, p.cpu.esp, p.cpu.eflags = 0x80000, 0x90000, IF | 2
        p.cpu.budget = 1000
        ask()
        assert p.run().kind == "halt"
        assert [p.cpu.eax, p.cpu.ecx] == wanted
        flags = machine.linear.physical.load(0x90000 - 4, 32)
        assert bool(flags & 1 << 16) == (wanted[0] != 0x80000)
