"""What a PC adds to its processor: CPUID bits and KVM's clock."""

from __future__ import annotations

import struct
from datetime import datetime

import pytest

from runtime.machines.extras import Extras
from tests.runtime.devices.bare import Board
from translator.cpuid import leaf
from translator.mode import Model

WALL, TIME = 0x4B564D00, 0x4B564D01


class Counter:
    """As much of a processor as is asked."""

    def __init__(self, board: Board, model: Model) -> None:
        self.board, self.model = board, model

    def read_tsc(self) -> int:
        return self.board.clock.now() + 777


class Machine(Board):
    def __init__(self, model: Model = Model.MAX) -> None:
        super().__init__()
        self.model = model
        self.extras = Extras(
            Counter(self, model),  # type: ignore[arg-type]
            self.physical,
            self.clock,
            lambda: datetime(2001, 9, 9, 1, 46, 40),
        )

    def cpuid(self, number: int) -> tuple[int, int, int, int]:
        return self.extras.cpuid(number, leaf(number, 0, self.model))


def test_bits_of_a_machine() -> None:
    edx = Machine(Model.PENTIUM3).cpuid(1)[3]
    assert edx >> 9 & 1  # APIC
    assert edx >> 11 & 1  # sysenter
    assert Machine(Model.I486).extras.edx == 0
    assert Machine().cpuid(1)[3] >> 13 & 1  # global pages
    assert Machine().cpuid(2) == leaf(2)


def test_only_the_largest_processor_has_the_clock() -> None:
    m = Machine()
    assert m.cpuid(1)[2] >> 31
    assert struct.pack("<III", *m.cpuid(0x40000000)[1:]) == b"KVMKVMKVM\0\0\0"
    assert m.cpuid(0x40000001)[0] & 8
    old = Machine(Model.PENTIUM3)
    assert not old.cpuid(1)[2] >> 31
    assert not old.extras.write_msr(TIME, 0x1001)
    assert old.extras.read_msr(TIME) is None


def test_time_follows_from_the_counter() -> None:
    m = Machine()
    m.wait(5_000_000_123)
    assert m.extras.write_msr(TIME, 0x1001)
    assert m.extras.read_msr(TIME) == 0x1001
    form = "<IIQQIbB"
    version, _, stamp, system, factor, shift, flags = struct.unpack(
        form, m.physical.read(0x1000, 30)
    )
    assert version % 2 == 0
    assert flags == 1
    m.wait(123_456_789)
    count = m.clock.now() + 777
    passed = count - stamp << shift if shift >= 0 else count - stamp >> -shift
    assert system + (passed * factor >> 32) == m.clock.now()


def test_wall_clock_is_that_of_time_zero() -> None:
    m = Machine()
    m.wait(1_500_000_000)
    m.extras.write_msr(WALL, 0x2000)
    _, seconds, rest = struct.unpack("<III", m.physical.read(0x2000, 12))
    assert (seconds, rest) == (999_999_998, 500_000_000)


@pytest.mark.parametrize("place", [0xFFFFFFFF, 0xFFFFD, 0x7FFFFFF1])
def test_places_that_are_none(place: int) -> None:
    assert Machine().extras.write_msr(TIME, place | 1)
