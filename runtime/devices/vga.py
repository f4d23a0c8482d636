"""VGA with the Bochs display interface: ports 3B0h to 3DFh, 1CEh to 1D0h, memory in vgamemory.py.

Registers: IBM, Personal System/2 Hardware Interface Technical Reference, *Video Subsystem*. Modes
with a linear framebuffer: J. van der Veen and others, *Bochs VBE Extensions* (VBE DISPI interface),
with the ids B0C0 to B0C5; PCI knows the adapter as 1234:1111, its memory as base address 0.
"""

from __future__ import annotations

import ctypes

import numpy as np

from runtime import native
from runtime.bus import Bus, Stream
from runtime.clock import Clock
from runtime.devices.vgamemory import VgaMemory
from runtime.devices.vgamodes import DISPI_INDEX, DISPI_LAST, Dispi
from runtime.devices.vgastate import (
    ANSWERS,
    ATTRIBUTE_INDEX,
    CLOCK,
    DAC_BITS,
    DAC_MASK,
    DAC_READ,
    DAC_WRITE,
    ENABLE,
    GRAPHICS_SIZE,
    MAP_MASK_REGISTER,
    MEMORY_MODE,
    MISC,
    MISCELLANEOUS,
    MODE,
    PALETTE_SIZE,
    PLANE_SIZE,
    SEQUENCER_SIZE,
    USES_ANSWERS,
    VgaState,
)
from runtime.screen.frame import Frame
from runtime.system.natives import PortCode

PCI_ID, PCI_CLASS = (0x1234, 0x1111), 0x030000
HOME = 0xE0000000  # where the memory is kept while the guest has not said where it wants it
_I64 = ctypes.c_int64
_STATUS = (0x3BA, 0x3DA)
_SIX_BITS = bytes(value & 0x3F for value in range(256))


class Vga:
    """The adapter. What it shows is asked for with `frame`, in the guest's thread."""

    def __init__(self, bus: Bus, clock: Clock, memory: int = 16 << 20, home: int = HOME) -> None:
        """Claim ports and the window; *memory* bytes, a power of two, are for linear modes."""
        self.clock, self.physical = clock, bus.physical
        self.state = state = VgaState()
        state[CLOCK] = clock.cell
        self.sequencer, self.graphics = state.sequencer, state.graphics
        self.crtc, self.attribute, self.palette = state.crtc, state.attribute, state.palette
        self._put_port, self._get_port, self._status, self._set_sequencer, self._set_graphics = (
            native.arena.function(f"vga_{name}", _I64, *[_I64] * count, keep_gil=True)
            for name, count in (
                ("put_port", 3), ("get_port", 2), ("status", 2), ("set_sequencer", 3),
                ("set_graphics", 3),
            )
        )  # fmt: skip
        self.memory = VgaMemory(bus.physical, state)
        self.size = memory
        # Out of the reach of physical memory the adapter works, but without a linear framebuffer.
        self._is_reachable = home + memory <= bus.physical.span
        self._home = home
        self.place: int | None = None  # of the linear framebuffer
        self.linear = self._view() if self._is_reachable else np.zeros(memory, np.uint8)
        self.dispi = Dispi(memory)
        self.reset()
        code = PortCode(state.address, "vga_in", "vga_out")
        for port in (0x3B4, 0x3B5, 0x3BA, *range(0x3C0, 0x3D0), 0x3D4, 0x3D5, 0x3DA):
            stream = Stream(self._get_colours, self._put_colours) if port == 0x3C9 else None
            bus.map_ports(port, 1, self._read, self._write, owner="vga", stream=stream, code=code)
        bus.map_ports(DISPI_INDEX, 3, self._read_dispi, self._write_dispi, owner="vga")

    def reset(self) -> None:
        """Set the registers to zero, as after power-on; memory stays."""
        state = self.state
        state.clear_registers()
        state[USES_ANSWERS] = 0
        state[ANSWERS], state[ENABLE], state[DAC_MASK], state[DAC_BITS] = 1, 1, 0xFF, 0x3F
        for index in range(SEQUENCER_SIZE):
            self._set_sequencer(state.address, index, 0)
        for index in range(GRAPHICS_SIZE):
            self._set_graphics(state.address, index, 0)
        self.dispi.reset()
        self.memory.set_linear(None, 0)

    @property
    def misc(self) -> int:
        """The miscellaneous output register."""
        return self.state[MISCELLANEOUS]

    # -- the linear framebuffer --------------------------------------------------------------------
    def _view(self) -> np.ndarray:
        return np.frombuffer(self.physical.view, np.uint8, self.size, self._home)

    def place_linear(self, place: int | None) -> None:
        """Map the linear framebuffer at a physical address, as its PCI base address says."""
        if self.place is not None:
            self.physical.take_ram(self.place, self.size)
            self.place = None
        if place is None or not self._is_reachable or place + self.size > self.physical.span:
            return
        if place != self._home:
            old, self._home = self.linear, place
            is_shown = self.memory.linear is not None
            if is_shown:
                self.memory.set_linear(None, 0)
            self.linear = self._view()
            for start in range(0, self.size, 1 << 16):  # pages of zeros are not even touched
                part = old[start : start + (1 << 16)]
                if part.any() or self.linear[start : start + (1 << 16)].any():
                    self.linear[start : start + (1 << 16)] = part
            self._show_linear()
        self.physical.add_ram(place, self.size)
        self.place = place

    def _show_linear(self) -> None:
        """Let the window show what the Bochs interface says."""
        dispi = self.dispi
        is_packed = dispi.is_enabled and dispi.depth > 4
        self.memory.set_linear(self.linear if is_packed else None, dispi.bank)

    def _read_dispi(self, port: int, size: int) -> int:
        return self.dispi.index if port == DISPI_INDEX else self.dispi.read()

    def _write_dispi(self, port: int, value: int, size: int) -> None:
        dispi = self.dispi
        if port == DISPI_INDEX:
            dispi.index = value & 0xFFFF
            return
        was_enabled = dispi.is_enabled
        dispi.write(value & 0xFFFF)
        if dispi.is_enabled and not was_enabled:
            self._enter_mode()
        self.state[DAC_BITS] = 0xFF if dispi.has_wide_colours else 0x3F
        if dispi.index <= DISPI_LAST:
            self._show_linear()

    def _enter_mode(self) -> None:
        """Bring the VGA's own registers in line with a mode that begins, and clear memory."""
        dispi = self.dispi
        memory = self.memory
        address = self.state.address
        self._set_graphics(address, MISC, self.graphics[MISC] & 3 | 5)
        self.crtc[0x17] |= 3
        is_packed = dispi.depth > 4
        mode = self.graphics[MODE] & ~0x60 | (0x40 if is_packed else 0)
        self._set_graphics(address, MODE, mode)
        self.sequencer[1] &= ~8
        if is_packed:
            self._set_sequencer(address, MEMORY_MODE, self.sequencer[MEMORY_MODE] | 8)
            self._set_sequencer(address, MAP_MASK_REGISTER, 15)
        memory.changed()
        if dispi.clears:
            memory.set_linear(None, 0)
            if is_packed:
                size = min(self.size, dispi.mode.pitch * dispi.mode.height)
                self.physical.on_write(self._home, size)
                self.linear[:size] = 0
            else:
                memory.clear()

    # -- ports -------------------------------------------------------------------------------------
    def _read(self, port: int, size: int) -> int:
        value = 0
        for i in range(size):
            value |= self._read_byte(port + i) << 8 * i
        return value

    def _read_byte(self, port: int) -> int:
        address = self.state.address
        if port == _STATUS[self.misc & 1]:
            return int(self._status(address, self.clock.now()))
        return int(self._get_port(address, port))

    def _write(self, port: int, value: int, size: int) -> None:
        for i in range(size):
            self._put_port(self.state.address, port + i, value >> 8 * i & 0xFF)
        self.memory.change_layout()

    def _put_colours(self, data: bytes, size: int) -> int:
        """Take as many thirds of colours as `rep outs` has, up to the last colour."""
        state = self.state
        first = state[DAC_WRITE]
        data = data[: PALETTE_SIZE - first] if size == 1 else b""
        if not self.dispi.has_wide_colours:
            data = data.translate(_SIX_BITS)
        self.palette[first : first + len(data)] = data
        state[DAC_WRITE] = (first + len(data)) % PALETTE_SIZE
        return len(data)

    def _get_colours(self, size: int, count: int) -> bytes:
        """Give thirds of colours for `rep ins`, up to the last colour."""
        state = self.state
        first = state[DAC_READ]
        count = min(count, PALETTE_SIZE - first) if size == 1 else 0
        state[DAC_READ] = (first + count) % PALETTE_SIZE
        return bytes(self.palette[first : first + count])

    # -- what is shown -----------------------------------------------------------------------------
    def colours(self) -> np.ndarray:
        """Return the palette as the display shows it: 256 colours of three 8-bit parts."""
        colours: np.ndarray = np.frombuffer(bytes(self.palette), np.uint8).reshape(256, 3)
        if not self.dispi.has_wide_colours:
            colours = colours << 2 | colours >> 4
        masked: np.ndarray = colours[np.arange(256) & self.state[DAC_MASK]]
        return masked

    def frame(self) -> Frame:
        """Copy what is shown now, some 0.1 ms; the guest's thread does this."""
        self.memory.sync()
        dispi = self.dispi
        mode = dispi.mode if dispi.is_enabled else None
        linear, planes = None, self.memory.bytes[:0]
        if mode is not None and mode.depth > 4:
            linear = self.linear[mode.start : mode.start + mode.pitch * mode.height].copy()
        else:
            planes = self.memory.bytes[: PLANE_SIZE if mode is not None else 0x10000].copy()
        is_on = bool(self.state[ATTRIBUTE_INDEX] & 0x20) and not self.sequencer[1] & 0x20
        return Frame(
            bytes(self.sequencer),
            bytes(self.crtc),
            bytes(self.graphics),
            bytes(self.attribute),
            is_on or mode is not None,
            self.colours(),
            planes,
            mode,
            linear,
            self.clock.now(),
        )
