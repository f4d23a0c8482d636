"""Port 92h, the debug port, the debug-exit port."""

from __future__ import annotations

from runtime.devices.a20 import A20
from runtime.devices.debugport import DebugExit, DebugPort
from tests.runtime.devices.bare import Board


def test_a20_is_open_while_somebody_opens_it() -> None:
    m, seen, resets = Board(), [], []
    gate = A20(m.bus, seen.append, lambda: resets.append(1))
    m.write(0x92, 2)
    assert seen == [True]
    gate.keyboard.set(True)
    m.write(0x92, 0)
    assert seen == [True]
    gate.keyboard.set(False)
    assert seen == [True, False]
    assert m.read(0x92) == 0
    gate.open()
    assert (seen[-1], m.read(0x92)) == (True, 2)
    gate.reset()
    assert seen[-1] is False
    assert resets == []


def test_fast_reset_is_an_edge() -> None:
    m, resets = Board(), []
    A20(m.bus, lambda is_open: None, lambda: resets.append(1))
    m.write(0x92, 1, 1)
    assert len(resets) == 1
    m.write(0x92, 0, 1)
    assert len(resets) == 2


def test_debug_port() -> None:
    m, seen = Board(), bytearray()
    DebugPort(m.bus, seen.extend)
    m.write(0xE9, *b"hello ")
    assert m.bus.write_stream(0xE9, b"world", 1) == 5
    assert bytes(seen) == b"hello world"
    assert m.read(0xE9) == 0xE9


def test_debug_exit() -> None:
    m, seen = Board(), []
    DebugExit(m.bus, seen.append, 0xF4)
    m.write(0xF4, 0x10, size=4)
    m.write(0xF4, 0)
    assert seen == [0x21, 1]
