"""Random registers in every service: the guest gets what it gets, the host goes on."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import pytest

from runtime.devices.cdrom import CdRom
from runtime.firmware.bios import (
    apm,
    fonts,
    int1a,
    int10,
    int13,
    int14,
    int15,
    int16,
    mouse,
    pcibios,
    vbe,
)
from runtime.firmware.bios import colors as colours
from runtime.machines.storage import Drives
from tests.runtime.firmware.services import Memory, Services
from translator.faults import GuestFault

ROUNDS = 40
TABLES = {
    0x10: sorted(int10.SERVICES),
    0x13: sorted(int13.SERVICES),
    0x14: sorted(int14.SERVICES),
    0x15: sorted(int15.SERVICES),
    0x16: sorted(int16.SERVICES),
    0x17: [0, 1, 2],
    0x1A: sorted(int1a.SERVICES),
}
SUBTABLES = {
    (0x10, 0x10): colours.SERVICES,
    (0x10, 0x11): fonts.SERVICES,
    (0x10, 0x4F): vbe.SERVICES,
    (0x15, 0x53): apm.SERVICES,
    (0x15, 0xC2): mouse.SERVICES,
    (0x1A, 0xB1): pcibios.SERVICES,
}
SPECIAL = (0, 1, 2, 3, 7, 8, 0x7F, 0x80, 0x81, 0xE0, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF)
WIDE = ("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp")


@pytest.fixture
def services() -> Iterator[Services]:
    rng = random.Random(5)
    drives = Drives(
        floppies=[Memory(rng.randbytes(1440 << 10)), None],
        ide=[
            Memory(rng.randbytes(4 << 20), is_read_only=True),
            CdRom(Memory(rng.randbytes(1 << 20))),
            Memory(b"\0" * (1 << 20)),
        ],
    )
    made = Services(drives, serial=[None, None])
    yield made
    made.close()


def draw(rng: random.Random) -> dict[str, int]:
    """Return random registers, among them values that mean something."""

    def value(bits: int) -> int:
        return rng.choice(SPECIAL) if rng.random() < 0.6 else rng.getrandbits(bits)

    registers = {name: value(32) for name in WIDE}
    segments = (0, 0x40, 0x1000, 0x9FFF, 0xA000, 0xB800, 0xF000, 0xFFFF, value(16))
    return registers | {"es": rng.choice(segments), "ds": rng.choice(segments)}


@pytest.mark.parametrize("vector", sorted(TABLES))
def test_random_registers(services: Services, vector: int) -> None:
    """No service raises anything but the guest's own faults, whatever it is asked."""
    rng, served, asked = random.Random(vector), 0, 0
    for function in [*TABLES[vector], *range(0, 256, 17)]:
        subtable = sorted(SUBTABLES.get((vector, function), ()))
        for round in range(ROUNDS):
            registers, asked = draw(rng), asked + 1
            sub = rng.choice(subtable) if subtable and round % 4 else registers["eax"] & 0xFF
            registers["eax"] = registers["eax"] & ~0xFFFF | function << 8 | sub
            with contextlib.suppress(GuestFault):
                services.call(vector, **registers)
                served += 1
            services.bios.deadline = None
    assert served > asked * 0.9
    services.bios.post()  # and it can be started again
    assert services.bios.call.cpu.cs == 0xF000


def test_random_memory(services: Services) -> None:
    """Services believe nothing that the guest wrote into the data area."""
    rng, served = random.Random(9), 0
    for _ in range(400):
        services.physical.write(0x400, rng.randbytes(0x100))
        vector = rng.choice(sorted(TABLES))
        registers = draw(rng)
        function = rng.choice(TABLES[vector])
        registers["eax"] = registers["eax"] & ~0xFF00 | function << 8
        with contextlib.suppress(GuestFault):
            services.call(vector, **registers)
            served += 1
        services.bios.deadline = None
        for name in ("tick", "clock_interrupt"):
            services.bios.function("timer", name)(services.bios.call)
        services.bios.call.cpu.eflags |= 1
        services.bios.call.al = rng.randrange(256)
        services.bios.function("keyboard", "key")(services.bios.call)
    assert served > 300


def test_interrupts_of_hardware(services: Services) -> None:
    """Any byte from the keyboard and the mouse is taken."""
    for value in [*range(256), 0xE1, 0x1D, 0x45, *range(256)]:
        for name in ("keyboard.key", "mouse.byte_came"):
            services.call(0x11)
            services.bios.mouse_handler = (0x1234, 0x5678)
            services.bios.call.al = value
            services.bios.call.cpu.eflags |= 1
            services.bios.function(*name.split("."))(services.bios.call)
