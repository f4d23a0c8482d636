"""Paravirtual devices under a driver, by ports and by memory; drivers that make no sense."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest

from runtime.devices.virtio.block import VirtioBlock
from runtime.devices.virtio.console import VirtioConsole
from runtime.devices.virtio.entropy import VirtioEntropy
from runtime.devices.virtio.net import VirtioNet
from tests.runtime.devices.test_ide import CONTENTS, Memory
from tests.runtime.devices.virtiodriver import BASE, EVENT_INDEX, INDIRECT, MEMORY, Driver, ram

both = pytest.mark.parametrize("modern", [False, True])


@both
def test_firmware_reaches_the_device_through_configuration_space(modern: bool) -> None:
    disk = Memory()
    driver = Driver(VirtioBlock(ram(), disk), modern=modern)
    function, at = driver.pci.function, 0
    place = function.read(0x34, 1)
    while place:
        assert function.read(place, 1) == 9
        at = place if function.read(place + 3, 1) == 5 else at
        place = function.read(place + 1, 1)
    assert at

    def window(bar: int, offset: int, size: int) -> None:
        function.write(at + 4, bar, 1)
        function.write(at + 8, offset, 4)
        function.write(at + 12, size, 4)

    for bar, offset in ((0, 20), (4, 0x2000)):
        window(bar, offset, 4)
        assert function.read(at + 16, 4) == disk.sectors
    window(4, 0x16, 2)  # which queue is meant
    function.write(at + 16, 5, 2)
    assert driver.pci.selected == 5
    window(0, 14, 2)
    function.write(at + 16, 0, 2)
    assert driver.pci.selected == 0
    for wrong in ((1, 0, 4), (4, 2, 4), (4, 0x4000, 4), (4, 0, 3), (0, 64, 1), (4, 0, 1 << 31)):
        window(*wrong)
        function.write(at + 16, 0xFFFFFFFF, 4)
        function.read(at + 16, 4)
    assert driver.pci.selected == 0


def request(kind: int, sector: int = 0) -> bytes:
    return struct.pack("<IIQ", kind, 0, sector)


@both
@pytest.mark.parametrize("features", [0, EVENT_INDEX | INDIRECT])
def test_block(modern: bool, features: int) -> None:
    disk = Memory()
    driver = Driver(VirtioBlock(ram(), disk, serial="abc"), modern=modern, features=features)
    indirect = bool(features)
    config = driver.load(0x2000, 8) if modern else driver.bus.port_in(BASE + 20, 4)
    assert config == disk.sectors
    _, first, second, status = driver.offer(0, request(0, 77), 512, 1024, 1, indirect=indirect)
    driver.notify()
    assert driver.used() == [1537]
    assert driver.interrupts() == 1
    assert driver.physical.read(first, 512) == CONTENTS[77 * 512 : 78 * 512]
    assert driver.physical.read(second, 1024) == CONTENTS[78 * 512 : 80 * 512]
    assert driver.physical.read(status, 1) == b"\0"
    new = random.Random(1).randbytes(1024)
    driver.offer(0, request(1, 5), new[:300], new[300:], 1, indirect=indirect)
    driver.notify()
    assert driver.used() == [1]
    assert disk.data == CONTENTS[: 5 * 512] + new + CONTENTS[7 * 512 :]
    driver.offer(0, request(4), 1)
    _, name, status = driver.offer(0, request(8), 20, 1)
    driver.notify()
    assert driver.used() == [21, 21]  # the second chain is in the same descriptors
    assert driver.physical.read(name, 20) == b"abc".ljust(20, b"\0")
    for kind, sector in ((99, 0), (0, disk.sectors), (0, 1 << 63)):
        *_, status = driver.offer(0, request(kind, sector), 512, 1)
        driver.notify()
        assert driver.used() == [1]
        assert driver.physical.read(status, 1) == (b"\2" if kind == 99 else b"\1")


@both
def test_read_only_and_bad_disks(modern: bool) -> None:
    disk = Memory()
    disk.is_read_only, disk.bad = True, {3}
    device = VirtioBlock(ram(), disk)
    driver = Driver(device, modern=modern)
    assert device.offered & 1 << 5
    disk.write = lambda sector, data: (_ for _ in ()).throw(PermissionError)  # type: ignore
    for parts in ((request(1, 0), bytes(512), 1), (request(0, 3), 512, 1)):
        *_, status = driver.offer(0, *parts)
        driver.notify()
        assert driver.physical.read(status, 1) == b"\1"


@both
def test_entropy_and_event_index(modern: bool) -> None:
    device = VirtioEntropy(ram(), lambda size: b"r" * size)
    driver = Driver(device, modern=modern, features=EVENT_INDEX)
    (place,) = driver.offer(0, 100)
    driver.notify()
    assert driver.used() == [100]
    assert driver.physical.read(place, 101) == b"r" * 100 + b"\0"
    assert driver.interrupts() == 1
    driver.offer(0, 1)  # the driver's event index is still 0: it wants no interrupt
    driver.notify()
    assert driver.used() == [1]
    assert driver.interrupts() == 0


@both
def test_console(modern: bool) -> None:
    sent = bytearray()
    device = VirtioConsole(ram(), sent.extend, (100, 30))
    assert device.feed(b"early ") == 6
    driver = Driver(device, modern=modern)
    place, rest = driver.offer(0, 4, 100)
    driver.notify(0)
    assert driver.used(0) == [6]
    assert driver.physical.read(place, 4) + driver.physical.read(rest, 2) == b"early "
    assert driver.interrupts() == 1
    driver.offer(1, b"hello ", b"world")
    driver.notify(1)
    assert sent == b"hello world"
    assert driver.used(1) == [0]
    driver.interrupts()
    device.feed(b"typed")
    assert driver.used(0) == []
    (place,) = driver.offer(0, 3)
    driver.notify(0)
    assert driver.physical.read(place, 3) == b"typ"
    assert driver.load(0x2000, 4) == 100 | 30 << 16
    device.resize(80, 50)
    assert driver.interrupts() == 3
    assert driver.load(0x2000, 4) == 80 | 50 << 16
    assert driver.load(21, 1) == 1


def test_capabilities_lead_to_the_registers() -> None:
    driver = Driver(VirtioEntropy(ram()), modern=True)
    config = driver.pci.function.config
    assert config[0:4] == bytes([0xF4, 0x1A, 0x05, 0x10])
    at, kinds = config[0x34], []
    while at:
        assert config[at] == 9
        if config[at + 3] == 5:  # the window, which leads anywhere
            break
        assert config[at + 4] == 4
        kinds.append((config[at + 3], int.from_bytes(config[at + 8 : at + 12], "little")))
        at = config[at + 1]
    assert sorted(kinds) == [(1, 0), (2, 0x3000), (3, 0x1000), (4, 0x2000)]


@both
def test_reset(modern: bool) -> None:
    device = VirtioEntropy(ram())
    driver = Driver(device, modern=modern)
    driver.offer(0, 5)
    driver.notify()
    driver.set_status(0)
    assert (device.status, device.accepted, device.queues[0].is_ready) == (0, 0, False)
    assert not driver.pci.function.intx.is_high
    driver.notify()
    driver.offered, driver.taken = [0], [0]
    driver.physical.write(0x10000, bytes(0x8000))
    driver.start()
    driver.offer(0, 5)
    driver.notify()
    assert driver.used() == [5]


def chain(*rows: tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack("<QIHH", *row) for row in rows)


@both
@pytest.mark.parametrize(
    "table",
    [
        chain((0x1000, 16, 1, 1), (0x1000, 16, 1, 0)),  # goes round
        chain((0x1000, 16, 1, 999)),  # leaves the table
        chain((0x7FFFFFFF000, 16, 0, 0)),  # no memory there
        chain((0xFFFFFFFFFFFFFFF8, 16, 0, 0)),
        chain((0x3FFFF8, 16, 2, 0)),  # ends behind RAM
        chain((0x1000, 24, 4, 0)),  # indirect table of a row and a half
        chain((0x10000, 16, 4, 0)),  # indirect table that refers to itself
        chain((0, 0xFFFFFFFF, 2, 0)),
        chain((0x1000, 4, 0, 0)),  # too short for a header
    ],
)
def test_broken_chains(modern: bool, table: bytes) -> None:
    """The device stops until it is reset."""
    device = VirtioBlock(ram(), Memory())
    driver = Driver(device, modern=modern, features=INDIRECT)
    driver.physical.write(0x10000, table)
    driver.make_available(0, 0)
    driver.notify()
    assert device.status & 0x40
    assert device.reason
    driver.notify()
    assert driver.used() == []
    assert driver.interrupts() == (2 if modern else 0)
    driver.set_status(0)
    assert device.status == 0


@both
def test_a_driver_that_asks_for_much_lets_the_machine_go_on(modern: bool) -> None:
    """40 MiB in one queue are moved in turns, between which Ctrl-C and timers are seen."""
    device = VirtioNet(ram(), lambda frame: None)
    calls: list[Callable[[], object]] = []
    device.post = calls.append
    driver = Driver(device, modern=modern)
    table = b"".join(struct.pack("<QIHH", 1 << 20, 1 << 20, 0, 0) for _ in range(40))
    driver.physical.write(driver.places(1)[0], table)
    for head in range(40):
        driver.make_available(1, head)
    driver.notify(1)
    turns = []
    while True:
        turns.append(len(driver.used(1)))
        if not calls:
            break
        calls.pop()()
    assert sum(turns) == 40
    assert len(turns) == 3
    assert max(turns) == 16


@both
def test_chains_of_many_empty_buffers(modern: bool) -> None:
    """Rows that hold nothing take time, too: a million of them is more than a turn."""
    device = VirtioNet(ram(), lambda frame: None)
    calls: list[Callable[[], object]] = []
    device.post = calls.append
    driver = Driver(device, modern=modern, features=INDIRECT)
    rows = b"".join(struct.pack("<QIHH", 0, 0, i < 32766, i + 1) for i in range(32767))
    driver.physical.write(0x100000, rows)
    table = struct.pack("<QIHH", 0x100000, len(rows), 4, 0)
    driver.physical.write(driver.places(1)[0], table * 8)
    for head in range(8):
        driver.make_available(1, head)
    driver.notify(1)
    turns = [len(driver.used(1))]
    while calls:
        calls.pop()()
        turns.append(len(driver.used(1)))
    assert sum(turns) == 8
    assert max(turns) == 2


def test_queues_where_no_ram_is() -> None:
    device = VirtioEntropy(ram())
    driver = Driver(device, modern=False)
    driver.bus.port_out(BASE + 8, 0xFFFFFFFF, 4)
    assert device.status & 0x40
    driver.pci.function.write(4, 0, 2)
    driver = Driver(device, modern=True)
    driver.set_status(0)
    driver.store(36, 0xFFFFFFFF, 4)
    driver.store(28, 1, 2)
    assert device.status & 0x40
    driver.pci.function.write(4, 0, 2)
    assert driver.physical.load(MEMORY, 32) == 0xFFFFFFFF


def test_registers_over_other_memory() -> None:
    """What was there before is there again when the base address goes on."""
    driver = Driver(VirtioEntropy(ram()), modern=True)
    physical, function = driver.physical, driver.pci.function
    other = physical.add_device(0xFEC00000, 0x1000, lambda *_: 0x5A, lambda *_: None)
    physical.add_ram(0xE0000000, 0x100000)
    physical.store(0xE0001000, 77, 32)
    for place in (0xFEC00000, 0xE0000000, 0xFFFF8000):
        function.write(0x20, place, 4)
        assert physical.load(place + 18, 16) == 1  # queues
    function.write(0x20, MEMORY, 4)
    assert driver.load(18, 2) == 1
    assert physical.load(0xFEC00000, 32) == 0x5A
    assert physical.load(0xE0001000, 32) == 77
    assert physical.load(0xFFFF8000, 32) == 0xFFFFFFFF
    physical.remove_device(other)
    assert physical.load(0xFEC00000, 32) == 0xFFFFFFFF
