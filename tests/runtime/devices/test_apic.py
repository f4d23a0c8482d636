"""The local APIC: priorities, its timer, virtual wire mode, interrupts to itself."""

from __future__ import annotations

from runtime.devices.apic import BASE, LocalApic
from tests.runtime.devices.bare import Board, Probe

ID, VERSION, TPR, PPR, EOI, LDR, DFR, SVR = 0x20, 0x30, 0x80, 0xA0, 0xB0, 0xD0, 0xE0, 0xF0
ISR, IRR, ESR, ICR, ICR_HIGH, TIMER, LINT0, ERROR = (
    0x100,
    0x200,
    0x280,
    0x300,
    0x310,
    0x320,
    0x350,
    0x370,
)
INITIAL, CURRENT, DIVIDE = 0x380, 0x390, 0x3E0
SELF, MASKED, PERIODIC = 1 << 18, 1 << 16, 1 << 17


class Machine(Board):
    def __init__(self, *, enabled: bool = True) -> None:
        super().__init__()
        self.intr, self.nmis, self.is_on = Probe(), 0, True
        self.apic = LocalApic(
            self.bus, self.clock, self.intr, self.nmi, lambda: 0x08, lambda: self.is_on
        )
        if enabled:
            self.put(SVR, 0x1FF)

    def nmi(self) -> None:
        self.nmis += 1

    def get(self, register: int) -> int:
        return self.physical.load(BASE + register, 32)

    def put(self, register: int, value: int) -> None:
        self.physical.store(BASE + register, value, 32)

    def serve(self) -> int | None:
        return self.apic.acknowledge() if self.intr.is_high else None


def test_after_reset() -> None:
    m = Machine(enabled=False)
    assert m.get(VERSION) == 0x50014
    assert m.get(SVR) == 0xFF
    assert m.get(LINT0) == MASKED
    m.put(LINT0, 0x700)
    assert m.get(LINT0) == 0x700 | MASKED  # as long as it is off
    m.apic.deliver(0x40)
    assert m.serve() is None


def test_higher_classes_interrupt_lower_ones() -> None:
    m = Machine()
    for vector in (0x41, 0x48, 0x52):
        m.apic.deliver(vector)
    assert m.serve() == 0x52
    assert m.get(PPR) == 0x50
    assert m.serve() is None
    m.apic.deliver(0x61)
    assert m.serve() == 0x61
    assert (m.get(ISR + 0x20), m.get(ISR + 0x30)) == (1 << 18, 2)
    m.put(EOI, 0)
    m.put(EOI, 0)
    assert m.serve() == 0x48
    assert m.serve() is None  # of the same class
    m.put(EOI, 0)
    assert m.get(IRR + 0x20) == 2
    assert m.serve() == 0x41


def test_task_priority() -> None:
    m = Machine()
    m.put(TPR, 0x50)
    m.apic.deliver(0x5F)
    assert m.serve() is None
    m.put(TPR, 0x4F)
    assert m.serve() == 0x5F


def test_one_shot_timer() -> None:
    m = Machine()
    m.put(DIVIDE, 3)  # by 16
    m.put(TIMER, 0xEC)
    m.put(INITIAL, 1000)
    m.wait(8000)
    assert m.get(CURRENT) == 500
    assert m.serve() is None
    m.wait(8000)
    assert m.serve() == 0xEC
    m.put(EOI, 0)
    m.wait(100_000)
    assert (m.serve(), m.get(CURRENT)) == (None, 0)
    m.put(INITIAL, 1000)
    m.put(INITIAL, 0)
    m.wait(100_000)
    assert m.serve() is None


def test_periodic_timer() -> None:
    m = Machine()
    m.put(DIVIDE, 0xB)  # by 1
    m.put(TIMER, 0x30 | PERIODIC)
    m.put(INITIAL, 1_000_000)
    count = 0
    for _ in range(50):
        m.wait(1_000_000)
        count += m.serve() == 0x30
        m.put(EOI, 0)
    assert count == 50
    m.put(TIMER, 0x30 | PERIODIC | MASKED)
    m.wait(5_000_000)
    assert m.serve() is None


def test_virtual_wire() -> None:
    m = Machine()
    m.apic.lint0.set(True)
    assert m.serve() is None
    m.put(LINT0, 0x700)
    assert m.serve() == 0x08
    m.apic.deliver(0x40)
    assert m.serve() == 0x40
    m.apic.lint0.set(False)
    m.put(EOI, 0)
    assert m.serve() is None


def test_without_it_the_8259_is_connected() -> None:
    m = Machine(enabled=False)
    m.is_on = False
    m.apic.lint0.set(True)
    assert m.serve() == 0x08
    assert m.get(VERSION) == 0xFFFFFFFF


def test_request_that_is_gone_is_spurious() -> None:
    m = Machine()
    m.apic.deliver(0x40)
    m.put(TPR, 0xF0)
    assert m.apic.acknowledge() == 0xFF
    assert m.get(ISR + 0x20) == 0


def test_interrupts_to_itself() -> None:
    m = Machine()
    m.put(ICR, SELF | 0x44)
    assert m.serve() == 0x44
    m.put(EOI, 0)
    m.put(ICR_HIGH, 0)
    m.put(ICR, 0x45)
    assert m.serve() == 0x45
    m.put(EOI, 0)
    m.put(ICR_HIGH, 1 << 24)
    m.put(ICR, 0x46)  # nobody
    assert m.serve() is None
    m.put(LDR, 2 << 24)
    m.put(ICR_HIGH, 3 << 24)
    m.put(ICR, 1 << 11 | 0x47)
    assert m.serve() == 0x47
    m.put(EOI, 0)
    m.put(DFR, 0x0FFFFFFF)
    m.put(LDR, 0x12 << 24)
    m.put(ICR_HIGH, 0x22 << 24)
    m.put(ICR, 1 << 11 | 0x48)
    assert m.serve() is None
    m.put(ICR_HIGH, 0x13 << 24)
    m.put(ICR, 1 << 11 | 0x48)
    assert m.serve() == 0x48
    m.put(ICR, SELF | 0x400)
    assert m.nmis == 1
    m.put(ICR, 3 << 18 | 0x4500)  # INIT to all others
    assert m.serve() is None


def test_errors_are_told() -> None:
    m = Machine()
    m.put(ERROR, 0xFE)
    m.put(ICR, SELF | 5)
    assert m.serve() == 0xFE
    assert m.get(ESR) == 0
    m.put(ESR, 0)
    assert m.get(ESR) == 1 << 5
    m.put(ESR, 0)
    assert m.get(ESR) == 0
    m.get(0x3F0)
    m.put(ESR, 0)
    assert m.get(ESR) == 1 << 7


def test_small_and_odd_accesses() -> None:
    m = Machine()
    assert m.physical.load(BASE + VERSION + 2, 8) == 5
    assert m.physical.load(BASE + VERSION + 4, 32) == 0
    assert m.physical.load(BASE + SVR, 8) == 0xFF
    m.physical.store(BASE + TPR, 0x55, 8)
    assert m.get(TPR) == 0
