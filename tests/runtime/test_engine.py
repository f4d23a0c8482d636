"""The engine on bare code: strategies agree, faults show exact flags, code may change."""

from __future__ import annotations

import ctypes
import random
import signal
import threading
from collections.abc import Iterator

import pytest

from runtime import codecache, native
from runtime.cpu import Cpu
from runtime.dispatch import Engine, Exit
from runtime.memory import Memory
from translator.tiers import micro

CODE, DATA, HOLE = 0x10000, 0x80000, 0x200000
STRATEGIES = ("interp", "stencil", "block", "region")
HLT = b"\xf4"


class Machine:
    """A CPU with one page of code and one of data."""

    def __init__(self, strategy: str) -> None:
        self.mem = Memory()
        self.mem.map(CODE, 0x2000, 7, fixed=True)
        self.mem.map(DATA, 0x2000, 3, fixed=True)
        self.cpu = Cpu(self.mem)
        self.engine = Engine(self.mem, strategy)
        native.bind(self.cpu)

    def run(self, code: bytes, **registers: int) -> Exit:
        self.mem.write(CODE, code + HLT)
        self.cpu.reset()
        for name, value in {"eip": CODE, "esp": DATA + 0x1800, **registers}.items():
            setattr(self.cpu, name, value)
        return self.engine.run(self.cpu)

    def state(self) -> tuple[int, ...]:
        return (*self.cpu.r32[:8], self.cpu.eip, self.cpu.eflags)

    def close(self) -> None:
        native.unbind(self.cpu)
        self.mem.close()


@pytest.fixture(params=STRATEGIES)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    made = Machine(request.param)
    yield made
    made.close()


def test_flags_at_a_fault(machine: Machine) -> None:
    """Flags that a later insn would set anew are exact where an access between faults."""
    for setter in (
        "01d8",
        "29d8",
        "39d8",
        "21d8",
        "83e801",
        "f7d8",
        "48",
        "6601d8",
        "28dc",
        "3c07",
    ):
        for between in ("", "89d1", "8d4a04"):
            code = bytes.fromhex(setter + between + "8b3d00002000" + "39c0")
            done = machine.run(code, eax=0x80000007, ebx=0x7FFFFFF9, edx=5)
            assert (done.kind, done.vector, done.address) == ("fault", 14, HOLE)
            assert machine.cpu.eip == CODE + len(bytes.fromhex(setter + between))
            flags = machine.cpu.eflags
            reference = Machine("interp")
            reference.run(code, eax=0x80000007, ebx=0x7FFFFFF9, edx=5)
            assert machine.state() == reference.state(), (setter, between)
            assert flags == reference.cpu.eflags
            reference.close()


def test_flags_at_a_fault_in_the_next_block(machine: Machine) -> None:
    """The successor's access faults: the flags come from the block before it."""
    # cmp eax, ebx; je over; over: mov edi, [HOLE]; cmp eax, eax
    code = bytes.fromhex("39d874008b3d0000200039c0")
    for eax, ebx in ((1, 2), (2, 1), (5, 5), (0x80000000, 1), (0x7FFFFFFF, 0xFFFFFFFF)):
        machine.run(code, eax=eax, ebx=ebx)
        reference = Machine("interp")
        reference.run(code, eax=eax, ebx=ebx)
        assert machine.state() == reference.state()
        reference.close()


@pytest.mark.parametrize("strategy", ["stencil", "block", "region"])
def test_every_budget_stops_where_interp_does(strategy: str) -> None:
    """Registers and flags after N insns, for every N of a loop with branches and accesses."""
    code = bytes.fromhex("b90600000001c8894424fc6bc003a801750231d04975ed")
    machines = [Machine(name) for name in ("interp", strategy)]
    for budget in range(1, 60):
        states = []
        for machine in machines:
            machine.mem.write(CODE, code + HLT)
            machine.cpu.reset()
            machine.cpu.eip, machine.cpu.esp, machine.cpu.edx = CODE, DATA + 0x1800, 77
            machine.cpu.budget = budget
            done = machine.engine.run(machine.cpu)
            states.append((done.kind, machine.cpu.budget, machine.state()))
        assert states[0] == states[1], budget
    for machine in machines:
        machine.close()


def test_code_that_changes_itself(machine: Machine) -> None:
    """A store into the running block takes effect at the very next insn, however often."""
    # mov byte [next's immediate], cl; mov eax, imm
    for value in range(40):
        code = (
            bytes.fromhex("880d") + (CODE + 7).to_bytes(4, "little") + bytes.fromhex("b800000000")
        )
        machine.run(code, ecx=value)
        assert machine.cpu.eax == value


def test_dead_code_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest that writes code for ever does not fill the arena."""
    monkeypatch.setattr(codecache, "DEAD_LIMIT", 20)
    machine = Machine("stencil")
    for value in range(200):
        machine.run(b"\xb8" + value.to_bytes(4, "little"))
        assert machine.cpu.eax == value
    assert len(machine.engine.cache.table) < 100
    machine.close()


def test_random_bytes_never_leave_the_guest(machine: Machine) -> None:
    """Whatever the bytes are, the engine comes back with an exit."""
    random.seed(7)
    for _ in range(150):
        machine.cpu.budget = 500
        done = machine.run(random.randbytes(60), eax=DATA, ebx=DATA + 100, esi=DATA, edi=DATA + 64)
        assert done.kind in ("fault", "syscall", "budget", "stop")
        machine.cpu.budget = 500


TAGS = """
define void @host_x87(ptr %image) noredzone {
  call void asm sideeffect "fxsave ($0)", "r,~{memory}"(ptr %image)
  ret void
}
"""


def test_host_x87_stack_stays_empty(machine: Machine) -> None:
    """Leaving at a fault in the middle of x87 code leaves none of its values behind."""
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(micro.compile_function("host_x87", TAGS))
    buffer = ctypes.create_string_buffer(528)
    image = ctypes.addressof(buffer) + 15 & -16
    for code in ("de33db07dd06df07df31", "da31d9dddf06d91bdbe3dd11", "d827de3fdf01df39df26"):
        machine.run(bytes.fromhex(code), ebx=DATA, edi=DATA + 64, esi=HOLE, ecx=HOLE)
        function(image)
        assert ctypes.string_at(image + 4, 1) == b"\0", code  # the abridged tag word


def test_links_do_not_cross_cache_lines() -> None:
    """A link's field lies in one cache line, so that patching it is atomic."""
    machine = Machine("stencil")
    for pad in range(70):
        machine.run(b"\x90" * pad + bytes.fromhex("39c07500ebfe")[:4] + b"\x90")
    links = [link for block in machine.engine.cache.table for link in block.links]
    assert links
    assert all(link.site % 64 <= 60 for link in links)
    machine.close()


@pytest.mark.timeout(20)
def test_stop_without_a_signal(machine: Machine) -> None:
    """The flag is the request: guest code leaves though the thread blocks the signal."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {native.KICK_SIGNAL})
    timer = threading.Timer(0.1, machine.cpu.request_stop)
    try:
        timer.start()
        assert machine.run(bytes.fromhex("ebfe")).kind == "stop"
    finally:
        timer.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
