"""Memory of a VGA: four planes of bytes behind a window at A0000h, and how accesses reach them.

IBM, Personal System/2 Hardware Interface Technical Reference, *Video Subsystem*: latches, write
modes 0 to 3, read modes, chain 4, odd/even. A word of `planes` is one address, a byte of it one
plane.

While the registers say that window bytes are simply bytes of planes (text, 256 colours, fonts,
banks of VBE modes), the window is plain RAM of the guest, which is copied to the planes when
somebody looks at them or the registers change. Else callbacks answer; so they do at first after a
change, because a guest that changes registers between few accesses would pay more for the copies.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import numpy as np

from runtime import native
from runtime.devices.vgastate import (
    BANK,
    BASE,
    BIT_MASK,
    ENABLE_SET_RESET,
    IS_CHAIN4,
    IS_RAM,
    LEFT,
    LINEAR,
    LINEAR_SIZE,
    MAP_MASK_REGISTER,
    MODE,
    PLANE_SIZE,
    READ_MAP,
    READS_PAIRS,
    ROTATE,
    SIZE,
    WORDS,
    WRITES_PAIRS,
    VgaState,
)
from runtime.system.natives import Code
from runtime.system.physical import Blocks, Physical

WINDOW, WINDOW_SIZE = 0xA0000, 0x20000
_I64 = ctypes.c_int64


class Layout(NamedTuple):
    """How RAM in the window stands for memory of the adapter."""

    kind: str  # "chain4", "pair", "plane", "bank"
    which: int  # first of the pair, plane, or bank
    base: int
    size: int


class VgaMemory:
    """Planes, latches, and the window."""

    def __init__(self, physical: Physical, state: VgaState) -> None:
        """Answer for the window's addresses."""
        self.physical, self.state = physical, state
        self.sequencer, self.graphics = state.sequencer, state.graphics
        self.words = np.zeros(PLANE_SIZE, np.uint32)
        self.bytes = self.words.view(np.uint8).reshape(PLANE_SIZE, 4)
        state[WORDS] = self.words.ctypes.data
        self.linear: np.ndarray | None = None  # memory of a VBE mode of 8 bits or more
        self._layout: Layout | None = None  # of the window while it is RAM
        self._was = np.zeros(0, np.uint8)  # a bank as it was when it was put into the window
        self._read, self._write, self._fill_many, self._put, self._get, self._move = (
            native.arena.function(f"vga_{name}", _I64, *[_I64] * count, keep_gil=True)
            for name, count in (
                ("read", 3), ("write", 4), ("fill", 6), ("put", 6), ("get", 6), ("move", 6)
            )
        )  # fmt: skip
        self._settle = native.arena.function("vga_settle", _I64, _I64, keep_gil=True)
        names = (f"vga_{name}" for name in ("read", "write", "fill", "put", "get", "move"))
        blocks = Blocks(self.read_block, self.write_block, self.move_block)
        code = Code(state.address, *names)
        physical.add_device(WINDOW, WINDOW_SIZE, self.read, self.write, blocks, code)

    @property
    def base(self) -> int:
        """Where the window begins."""
        return self.state[BASE]

    @property
    def size(self) -> int:
        """How large the window is; 0: it does not answer."""
        return self.state[SIZE]

    # -- registers ---------------------------------------------------------------------------------
    def changed(self) -> None:
        """Take note that registers have other contents."""
        state = self.state
        linear = self.linear
        state[LINEAR], state[LINEAR_SIZE] = (
            (0, 0) if linear is None else (linear.ctypes.data, len(linear))
        )
        self._settle(state.address)
        self.change_layout()

    def change_layout(self) -> None:
        """Let the window be RAM of another kind, or no RAM, as registers say."""
        old, wanted = self._layout, self._plain()
        if old is None or wanted == old:
            return
        if wanted is not None and (old.base, old.size) == (wanted.base, wanted.size):
            self.sync()
            self._fill(wanted)
        else:
            self._leave()

    def _plain(self) -> Layout | None:
        """Return how the window is plain RAM with these registers; None: it is not."""
        state = self.state
        base, size = state[BASE], state[SIZE]
        if not size:
            return None
        if self.linear is not None:
            return Layout("bank", state[BANK] >> 16, WINDOW, 0x10000)
        graphics, mask = self.graphics, self.sequencer[MAP_MASK_REGISTER] & 15
        is_simple = not (
            graphics[MODE] & 0x0B
            or graphics[ROTATE] & 0x1F
            or graphics[ENABLE_SET_RESET] & 15
            or graphics[BIT_MASK] != 0xFF
            or state[BANK]
            or size > 0x10000
        )
        if not is_simple:
            return None
        if state[IS_CHAIN4]:
            return Layout("chain4", 0, base, size) if mask == 15 else None
        if state[WRITES_PAIRS] != state[READS_PAIRS]:
            return None
        plane = graphics[READ_MAP] & 3
        if state[WRITES_PAIRS]:
            first = plane & 2
            return Layout("pair", first, base, size) if mask == 3 << first else None
        return Layout("plane", plane, base, size) if mask == 1 << plane else None

    # -- the window as RAM -------------------------------------------------------------------------
    def _part(self, layout: Layout) -> np.ndarray:
        """Return the memory that the window stands for, in the order of window bytes."""
        if layout.kind == "bank":
            assert self.linear is not None
            return self.linear[layout.which << 16 : (layout.which << 16) + layout.size]
        planes = self.bytes[: layout.size]
        if layout.kind == "chain4":
            return planes[::4]
        if layout.kind == "pair":
            return planes[::2, layout.which : layout.which + 2]
        return planes[:, layout.which]

    def _window(self, layout: Layout) -> np.ndarray:
        return np.frombuffer(self.physical.view, np.uint8, layout.size, layout.base)

    def _enter(self, layout: Layout) -> None:
        self._fill(layout)
        self.physical.add_ram(layout.base, layout.size)

    def _fill(self, layout: Layout) -> None:
        part = self._part(layout)
        self.physical.write(layout.base, part.tobytes())
        if layout.kind == "bank":
            self._was = part.copy()
        self._layout = layout
        self.state[IS_RAM] = 1

    def _leave(self) -> None:
        self.sync()
        layout, self._layout = self._layout, None
        self.state[IS_RAM] = 0
        if layout is not None:
            self.physical.take_ram(layout.base, layout.size)

    def sync(self) -> None:
        """Bring what the guest wrote to the window as RAM into the planes."""
        layout = self._layout
        if layout is None:
            return
        window, part = self._window(layout), self._part(layout)
        if layout.kind == "bank":  # the same memory may have been written elsewhere
            window = window[: len(part)]
            changed = np.flatnonzero(window != self._was)
            if len(changed):
                part[changed] = window[changed]
                self._was = window.copy()
        else:
            part[...] = window.reshape(part.shape)

    def clear(self) -> None:
        """Set all planes to zero, wherever the guest sees them."""
        self.words[:] = 0
        if self._layout is not None:
            self._fill(self._layout)

    def set_linear(self, linear: np.ndarray | None, bank: int) -> None:
        """Show a bank of a VBE mode's memory in the window; None: planes, from a bank on."""
        is_bank = self._layout is not None and self._layout.kind == "bank"
        if is_bank and linear is not self.linear:
            self._leave()
        self.linear, self.state[BANK] = linear, bank << 16
        self.changed()

    # -- the window as callbacks -------------------------------------------------------------------
    def _enter_if_plain(self, address: int, size: int) -> bool:
        """Make the window RAM, if it can be; True if an access goes there now."""
        self.state[LEFT] = 0
        layout = self._plain()
        if layout is None:
            return False
        self._enter(layout)
        return layout.base <= address <= layout.base + layout.size - size

    def read(self, address: int, size: int) -> int:
        """Read bytes of the window, as the guest does."""
        if size > 4:
            low = self.read(address, 4)
            return low | self.physical.load(address + 4, 8 * (size - 4)) << 32
        value: int = self._read(self.state.address, address, size)
        if value < 0:
            if self._enter_if_plain(address, size):
                return self.physical.load(address, 8 * size)
            return self.read(address, size)
        return value

    def write(self, address: int, value: int, size: int) -> None:
        """Write bytes of the window, as the guest does."""
        if size > 4:
            self.write(address, value & 0xFFFFFFFF, 4)
            self.physical.store(address + 4, value >> 32, 8 * (size - 4))
        elif not self._write(self.state.address, address, value, size):
            if self._enter_if_plain(address, size):
                self.physical.store(address, value, 8 * size)
            else:
                self.write(address, value, size)

    # -- many bytes at once, as by rep movs and rep stos -------------------------------------------
    def write_block(self, address: int, data: bytes) -> None:
        """Write bytes one behind the other, as single writes would."""
        host = np.frombuffer(data, np.uint8)
        arguments = (self.state.address, address, host.ctypes.data, 1, len(data), 1)
        if not self._put(*arguments):
            if self._enter_if_plain(address, 0):
                self.physical.master_write(address, data)
            else:
                self._put(*arguments)

    def read_block(self, address: int, size: int) -> bytes:
        """Read bytes one behind the other, as single reads would."""
        found = np.empty(size, np.uint8)
        arguments = (self.state.address, address, found.ctypes.data, 1, size, 1)
        if not self._get(*arguments):
            if self._enter_if_plain(address, 0):
                return self.physical.master_read(address, size)
            self._get(*arguments)
        return found.tobytes()

    def move_block(self, source: int, target: int, size: int, is_down: bool = False) -> bool:
        """Move bytes within the window, upwards or downwards, as single reads and writes would."""
        first, step = (size - 1, -1) if is_down else (0, 1)
        arguments = (self.state.address, source + first, target + first, 1, size, step)
        if not self._move(*arguments):
            if self._enter_if_plain(source, 0):
                return False
            self._move(*arguments)
        return True
