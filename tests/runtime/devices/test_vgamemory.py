"""The VGA's memory against a plain model: window accesses one by one, in blocks, and as RAM."""

from __future__ import annotations

import random

import numpy as np
import pytest

from runtime.devices.vgastate import LATCH, LEFT
from runtime.screen.screen import text_of
from tests.runtime.devices.vga_board import Board

pytestmark = pytest.mark.particular


class Model:
    """Memory of a VGA as IBM's reference says it, plane by plane and bit by bit, nothing clever."""

    def __init__(self) -> None:
        self.planes = [bytearray(65536) for _ in range(4)]
        self.latches = [0] * 4
        self.sequencer, self.graphics = bytearray(5), bytearray(9)

    def window(self, address: int) -> int | None:
        base, size = [(0xA0000, 0x20000), (0xA0000, 0x10000), (0xB0000, 0x8000), (0xB8000, 0x8000)][
            self.graphics[6] >> 2 & 3
        ]
        return address - base if base <= address < base + size else None

    def read(self, address: int) -> int:
        at, graphics = self.window(address), self.graphics
        if at is None:
            return 0xFF
        plane = graphics[4]
        if self.sequencer[4] & 8:
            plane, at = at % 4, at // 4 * 4
        elif graphics[5] & 0x10:
            plane, at = plane & 2 | at % 2, at // 2 * 2
        at %= 65536
        self.latches = [p[at] for p in self.planes]
        if not graphics[5] & 8:
            return self.latches[plane]
        found = 0
        for bit in range(8):
            matches = all(
                (self.latches[p] >> bit & 1) == (graphics[2] >> p & 1)
                for p in range(4)
                if graphics[7] >> p & 1
            )
            found |= matches << bit
        return found

    def write(self, address: int, value: int) -> None:
        at, graphics = self.window(address), self.graphics
        if at is None:
            return
        enabled = [p for p in range(4) if self.sequencer[2] >> p & 1]
        if self.sequencer[4] & 8:
            enabled, at = [p for p in enabled if p == at % 4], at // 4 * 4
        elif not self.sequencer[4] & 4:
            enabled, at = [p for p in enabled if p % 2 == at % 2], at // 2 * 2
        at %= 65536
        mode, turn = graphics[5] & 3, graphics[3] & 7
        turned = (value >> turn | value << 8 - turn) & 0xFF
        for p in enabled:
            latch, mask = self.latches[p], graphics[8]
            whole = 0xFF * (graphics[0] >> p & 1)
            if mode == 1:
                self.planes[p][at] = latch
                continue
            if mode == 0:
                data = whole if graphics[1] >> p & 1 else turned
            elif mode == 2:
                data = 0xFF * (value >> p & 1)
            else:
                data, mask = whole, mask & turned
            data = [data, data & latch, data | latch, data ^ latch][graphics[3] >> 3 & 3]
            self.planes[p][at] = data & mask | latch & ~mask


def change(board: Board, model: Model, rng: random.Random) -> None:
    """Set registers at random, often to what makes the window plain RAM."""
    mode = rng.randrange(8)
    sequencer, graphics = {2: rng.randrange(16), 4: rng.choice([2, 4, 6, 0xE])}, {}
    if mode < 5:
        graphics = {0: 0, 1: 0, 3: 0, 5: 0, 8: 0xFF, 4: rng.randrange(4)}
        graphics[6] = rng.choice([5, 0xA, 0xE])
        if mode == 0:
            sequencer = {2: 15, 4: 0xE}
        elif mode == 1:
            sequencer, graphics[5], graphics[4] = {2: 3, 4: 2}, 0x10, 0
        elif mode < 4:
            plane = rng.randrange(4)
            sequencer, graphics[4] = {2: 1 << plane, 4: 6}, plane
    else:
        for _ in range(rng.randrange(1, 5)):
            index = rng.randrange(9)
            graphics[index] = rng.randrange(256) & [15, 15, 15, 31, 3, 0x1B, 0xF, 15, 255][index]
    for index, value in sequencer.items():
        board.out(0x3C4, index, value)
        model.sequencer[index] = value
    for index, value in graphics.items():
        board.out(0x3CE, index, value)
        model.graphics[index] = value


def load_latches(board: Board, address: int) -> None:
    """Read from the planes, also while the window is RAM."""
    left = board.vga.state[LEFT]
    board.vga.state[LEFT] = 2
    assert board.vga.memory._read(board.vga.state.address, address, 1) >= 0
    board.vga.state[LEFT] = left


@pytest.mark.parametrize("seed", range(6))
def test_memory_is_that_of_the_model(seed: int) -> None:
    """Whatever registers say and however the window is served, planes and reads are the same.

    Latches are left out of account where the window is RAM: there, reads do not load them.
    """
    rng, board, model = random.Random(seed), Board(), Model()
    board.bus.port_out(0x3C2, 0x63, 1)
    for _ in range(120):
        change(board, model, rng)
        base = rng.choice([0xA0000, 0xB0000, 0xB8000])
        places = [base + rng.randrange(0x8000) for _ in range(8)]
        for _ in range(rng.choice([3, 30, 150])):
            address = rng.choice(places) if rng.random() < 0.5 else base + rng.randrange(300)
            board.peek(address)  # both latches from the same place, whoever answers
            load_latches(board, address)
            model.read(address)
            if rng.random() < 0.5:
                assert board.peek(address) == model.read(address)
            else:
                value = rng.randrange(256)
                board.physical.store(address, value, 8)
                model.write(address, value)
            board.vga.memory.sync()
    for plane in range(4):
        assert board.vga.memory.bytes[:65536, plane].tobytes() == bytes(model.planes[plane])


@pytest.mark.parametrize("seed", range(12))
def test_blocks_are_many_single_accesses(seed: int) -> None:
    """Blocks written, read and moved do what bytes one by one do, in any state."""
    rng, one, many = random.Random(seed), Board(), Board()
    start = bytes(rng.randrange(256) for _ in range(4 << 16))
    for board in (one, many):
        board.bus.port_out(0x3C2, 0x63, 1)
        memory = board.vga.memory
        memory.bytes[:65536] = np.frombuffer(start, np.uint8).reshape(65536, 4)
    moved = 0
    for _ in range(150):
        state = rng.getstate()
        for board in (one, many):
            rng.setstate(state)
            change(board, Model(), rng)
            if board.vga.memory._layout is not None:
                board.vga.memory._leave()
            board.vga.state[LEFT] = 1 << 40  # never RAM
        if rng.random() < 0.4:
            for board in (one, many):
                board.out(0x3CE, 5, 1)
        single, block = one.vga.memory, many.vga.memory
        address, size = 0xA0000 + rng.randrange(0x20000), rng.choice([1, 2, 7, 100, 700])
        size = min(size, 0xC0000 - address)
        data = bytes(rng.randrange(256) for _ in range(size))
        for i in range(size):
            single.write(address + i, data[i], 1)
        block.write_block(address, data)
        read = bytes(single.read(address + i, 1) for i in range(size))
        assert block.read_block(address, size) == read
        assert many.vga.state[LATCH] == one.vga.state[LATCH]
        target = min(max(0xA0000, address + rng.choice([0, 5, 200, -300, 4000])), 0xC0000 - size)
        is_down = rng.random() < 0.5
        if block.move_block(address, target, size, is_down):
            moved += 1
            for i in reversed(range(size)) if is_down else range(size):
                single.write(target + i, single.read(address + i, 1), 1)
        assert many.vga.state[LATCH] == one.vga.state[LATCH]
        assert (block.words == single.words).all()
    assert moved > 10


def test_text_memory_becomes_ram() -> None:
    """After some accesses the guest writes text without callbacks, and it is seen all the same."""
    board = Board()
    board.set_mode(3)
    board.poke(0xB8000, b"\0\7" * 200)
    assert board.physical.is_writable(0xB8)
    assert not board.physical.is_ram(0xA0)
    board.physical.write(0xB8000, b"H\7i\7")
    assert text_of(board.vga.frame())[0].startswith("Hi ")
    board.load_font(16)  # through the window at A0000h
    assert text_of(board.vga.frame())[0].startswith("Hi ")
    board.set_mode(0x12)
    assert not board.physical.is_ram(0xB8)
