"""Random traffic to every port and device address of a whole PC: no device may raise or hang."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from runtime.clock import Clock
from runtime.devices.cdrom import CdRom
from runtime.disks.opening import open_disk
from runtime.machines.paravirtual import Paravirtual, Share
from runtime.machines.pc import Pc, PcConfig
from runtime.machines.storage import Drives
from tests.running import ANY

MEBI = 1 << 20
SIZES = (1, 1, 1, 2, 4)
PLACES = (7, 0xC001, 0x3F1, 0xA0000, 0xF0000, 0x100000, 0x200008, 0xE0000000, 0xFEB00000)
PLACES += (0xFEC00000, 0xFEE00000, 0xFEBFF000, 0xFFFC0000, 0xFFFFF000)
FIXED = {0xA0000, 0xFEC00000, 0xFEE00000}  # display, I/O APIC, local APIC


class Jumpy:
    """Guest time that jumps."""

    def __init__(self) -> None:
        self.time = 0

    def now(self) -> int:
        return self.time


def machine(folder: Path) -> Pc:
    """A PC with something in every drive, whose time the test makes."""
    images = {}
    for name, size in (("floppy", 1440 << 10), ("disk", 4 * MEBI), ("cd", 2 * MEBI), ("v", MEBI)):
        path = folder / name
        path.write_bytes(random.Random(name).randbytes(4096) + bytes(size - 4096))
        images[name] = open_disk(str(path), "raw", "read" if name == "cd" else "snapshot")
    drives = Drives(floppies=[images["floppy"]], ide=[images["disk"], None, CdRom(images["cd"])])
    (folder / "shared").mkdir(exist_ok=True)
    shares = [Share(str(folder / "shared"), "tag")]
    more = Paravirtual([images["v"]], len, bytes, shares)
    config = PcConfig(
        memory=4 * MEBI, drives=drives, paravirtual=more, serial=[len] * 4, parallel=len,
        debug=len, debug_exit=0x501, strategy=ANY, firmware_files={"opt/a": bytes(5000)},
    )  # fmt: skip
    return Pc(config)


def traffic(pc: Pc, seed: int, count: int) -> None:
    """Use ports and addresses at random, as a guest does, and let time pass."""
    draw = random.Random(seed)
    clock = pc.clock
    clock.source = jumpy = Jumpy()
    jumpy.time = 1 << 30
    bus, physical = pc.bus, pc.physical
    for _ in range(count):
        ports = [p for p in range(0x10000) if bus.owner_of(p)] if not _ % 2000 else ports  # noqa: F821
        port, size = draw.choice(ports), draw.choice(SIZES)
        action = draw.random()
        value = draw.choice((0, 0xFF, 0xFFFFFFFF, draw.getrandbits(32), 1 << draw.randrange(32)))
        value &= (1 << 8 * size) - 1
        if action < 0.4:
            assert 0 <= bus.port_in(port, size) < 1 << 8 * size
        elif action < 0.85:
            bus.port_out(port, value, size)
        elif action < 0.9:
            data = bus.read_stream(port, size, draw.randrange(1, 600))
            assert len(data) % size == 0
        elif action < 0.92:
            bus.write_stream(port, draw.randbytes(size * draw.randrange(1, 600)), size)
        elif action < 0.94:  # base addresses may come to lie anywhere, on other devices too
            (slot, function), _ = draw.choice(list(pc.pci.functions.items()))
            offset = draw.choice((4, *range(0x10, 0x34, 4), *range(0x40, 0x100, 4)))
            bus.port_out(0xCF8, 1 << 31 | slot << 11 | function << 8 | offset, 4)
            bus.port_out(0xCFC, draw.choice((*PLACES, value, value & 0xFFFF)), 4)
        elif action < 0.97 and physical.devices:
            device = draw.choice(physical.devices)
            place = draw.randrange(device.start, device.end) & -size
            physical.store(place, value, 8 * size)
            assert 0 <= physical.load(place, 8 * size) < 1 << 8 * size
        else:
            jumpy.time += draw.choice((1, 1000, 10**6, 10**8))
            due(clock)
            pc.processor.requests.run_calls()  # a reset that was asked for


def whole(pc: Pc) -> bool:
    """Tell whether RAM and the fixed devices are where they were before base addresses moved."""
    physical = pc.physical
    fixed = {device.start for device in physical.devices}
    return not any(physical.kinds[MEBI >> 12 : 4 * MEBI >> 12]) and fixed >= FIXED


def due(clock: Clock) -> None:
    """Call timers, but not for ever: one that sets itself anew for now would hang the machine."""
    for _ in range(2000):
        when = clock.next_event()
        if when is None or when > clock.now():
            return
        clock.run_due()
    raise AssertionError("a timer is always due")


def campaign(folder: Path, seeds: range, count: int) -> None:
    for seed in seeds:
        pc = machine(folder)
        try:
            traffic(pc, seed, count)
            assert whole(pc)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
        finally:
            pc.close()


def test_a_sample(tmp_path: Path) -> None:
    campaign(tmp_path, range(2), 20_000)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_campaign(tmp_path: Path) -> None:
    campaign(tmp_path, range(100, 130), 200_000)
