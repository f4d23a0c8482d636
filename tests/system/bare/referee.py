"""Runs scenarios here and under qemu-system-i386, and says in one line what came of each.

Where QEMU 7.2 is known to differ from the manual, `as_qemu` makes this processor do as it does, or
`summary` leaves the difference out: tests/system/README.md lists them.
"""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.memory import Memory
from runtime.system import descriptors, interrupts
from runtime.system.linear import Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from tests.system.bare.image import (
    AREA,
    GDT,
    INPUT,
    MONITOR,
    SIZE,
    Scenario,
    image,
    monitor,
    results,
    tables,
)
from translator.mode import Model

QEMU = "qemu-system-i386"
_RESULT, _STACKS, _SELECTORS_END = 0x4F00, 0x3000, GDT + 0x400
_ACCESSED, _RF = 1 << 8, 1 << 16
_SAVED = 48  # bytes that monitor.s pushed behind the vector
_TIMEOUT = 60
_FIRST = bytes.fromhex("ea00000010")  # jmp 1000h:0
_BUDGET = 100_000_000
_CS = 1

Run = Callable[[list[Scenario]], bytes]
SHUTDOWN = {0: 0xDEAD}


def has_qemu() -> bool:
    """Tell whether QEMU is installed."""
    return shutil.which(QEMU) is not None


def run_qemu(scenarios: list[Scenario]) -> bytes:
    """Run scenarios until the last one or a shutdown; return what came out of the port."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "bios").write_bytes((bytes(0xFFF0) + _FIRST).ljust(1 << 16, b"\0"))
        (place / "monitor").write_bytes(monitor())
        (place / "input").write_bytes(image(scenarios))
        command = [QEMU, "-M", "pc,accel=tcg", "-cpu", "max", "-m", "16", "-display", "none"]
        command += ["-nodefaults", "-no-reboot", "-bios", str(place / "bios")]
        for name, address in (("monitor", MONITOR), ("input", INPUT)):
            command += ["-device", f"loader,file={place / name},addr={address},force-raw=on"]
        command += ["-debugcon", f"file:{place / 'out'}"]
        command += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        subprocess.run(command, timeout=_TIMEOUT, check=False)
        return (place / "out").read_bytes()


def run_here(scenarios: list[Scenario], strategy: str, model: Model = Model.MAX) -> bytes:
    """Run scenarios until the last one or a shutdown; return what came out of the port."""
    memory = Memory()
    try:
        memory.min_address = 0
        memory.map(0, SIZE, 7, fixed=True)
        memory.write(MONITOR, monitor())
        memory.write(INPUT, image(scenarios))
        return _go(Processor(memory, strategy, model))
    finally:
        memory.close()


def run_machine(scenarios: list[Scenario], strategy: str, model: Model = Model.MAX) -> bytes:
    """Do as run_here does, with the memory of a machine that could have paging."""
    physical = Physical(SIZE)
    linear = Linear(physical)
    try:
        physical.write(MONITOR, monitor())
        physical.write(INPUT, image(scenarios))
        return _go(Processor(linear, strategy, model))
    finally:
        linear.close()
        physical.close()


def _go(processor: Processor) -> bytes:
    out = bytearray()
    processor.port_out = lambda port, value, size: out.append(value) if port == 0xE9 else None
    processor.set_real_segment(_CS, MONITOR >> 4)
    processor.cpu.eip, processor.cpu.budget = 0, _BUDGET
    done = processor.run()
    assert done.kind in ("halt", "shutdown"), done
    processor.engine.close()
    return bytes(out)


def run_all(run: Run, scenarios: list[Scenario]) -> list[dict[int, int]]:
    """Run scenarios, going on behind each that ends in a shutdown."""
    found: list[dict[int, int]] = []
    while len(found) < len(scenarios):
        found += results(run(scenarios[len(found) :]))
        if len(found) < len(scenarios):
            found.append(SHUTDOWN)
    return found


@contextmanager
def as_qemu() -> Iterator[None]:
    """Do as QEMU does: no EXT bit in error codes, no RF in saved flags, no limit bits from lar."""
    kept = interrupts.EXTERNAL, interrupts.FAULTS, descriptors.SHOWN_RIGHTS
    interrupts.EXTERNAL, interrupts.FAULTS = 0, frozenset()
    descriptors.SHOWN_RIGHTS = 0xF0FF00
    try:
        yield
    finally:
        interrupts.EXTERNAL, interrupts.FAULTS, descriptors.SHOWN_RIGHTS = kept


def frame(found: dict[int, int], count: int = 5) -> tuple[int, ...]:
    """Return the vector and what lies on the handler's stack behind it."""
    top = found.get(_RESULT, 0) + _SAVED
    return tuple(found.get(top + 4 * i, 0) for i in range(count))


def comparable(scenario: Scenario, found: dict[int, int]) -> dict[int, int]:
    """Leave out what QEMU is known to do otherwise: accessed bits of CS and SS, RF once used."""
    if scenario.name.startswith("breakpoints"):
        found = {k: v & ~_RF if _STACKS <= k < _RESULT else v for k, v in found.items()}
    memory = bytearray(tables())
    for address, data in scenario.patches:
        if address - AREA < len(memory):
            memory[address - AREA : address - AREA + len(data)] = data

    def is_mark(address: int, value: int) -> bool:
        is_descriptor = GDT <= address < _SELECTORS_END and address & 4
        before = struct.unpack_from("<I", memory, address - AREA)[0] if is_descriptor else 0
        return bool(is_descriptor) and value ^ before == _ACCESSED

    return {k: v for k, v in found.items() if not is_mark(k, v)}


def summary(scenario: Scenario, found: dict[int, int]) -> str:
    """Return a line for people and a digest of all that changed."""
    if found == SHUTDOWN:
        return f"{scenario.name} shutdown"
    vector, *words = frame(found, 3)
    kept = sorted(comparable(scenario, found).items())
    digest = hashlib.sha256(repr(kept).encode()).hexdigest()[:10]
    return f"{scenario.name} {vector:02x} {words[0]:x} {words[1]:x} {digest}"
