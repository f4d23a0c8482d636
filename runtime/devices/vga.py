"""VGA with the Bochs display interface: ports 3B0h to 3DFh, 1CEh to 1D0h, memory in vgamemory.py.

Registers: IBM, Personal System/2 Hardware Interface Technical Reference, *Video Subsystem*. Modes
with a linear framebuffer: J. van der Veen and others, *Bochs VBE Extensions* (VBE DISPI interface),
with the ids B0C0 to B0C5; PCI knows the adapter as 1234:1111, its memory as base address 0.
"""

from __future__ import annotations

import numpy as np

from runtime.bus import Bus, Stream
from runtime.clock import Clock
from runtime.devices.vgamemory import MAP_MASK, MEMORY_MODE, MISC, MODE, PLANE_SIZE, VgaMemory
from runtime.devices.vgamodes import DISPI_INDEX, DISPI_LAST, Dispi
from runtime.screen.frame import Frame

PCI_ID, PCI_CLASS = (0x1234, 0x1111), 0x030000
HOME = 0xE0000000  # where the memory is kept while the guest has not said where it wants it
_LINE = 31_778  # ns of a scan line at 31.5 kHz, as of all VGA modes
_SHOWN = _LINE * 4 // 5  # of it until the beam goes back
_MASKS = bytes([0x03, 0x3D, 0x0F, 0x3F, 0x0E])  # bits that the sequencer's registers have
_INDEX_BITS = {0x3C4: 7, 0x3CE: 15, 0x3D4: 0x3F}
_SIX_BITS = bytes(value & 0x3F for value in range(256))
_GRAPHICS_MASKS = bytes([15, 15, 15, 31, 3, 0x7B, 15, 15, 255])


class Vga:
    """The adapter. What it shows is asked for with `frame`, in the guest's thread."""

    def __init__(self, bus: Bus, clock: Clock, memory: int = 16 << 20, home: int = HOME) -> None:
        """Claim ports and the window; *memory* bytes, a power of two, are for linear modes."""
        self.clock, self.physical = clock, bus.physical
        self.memory = VgaMemory(bus.physical)
        self.sequencer, self.graphics = self.memory.sequencer, self.memory.graphics
        self.size = memory
        # Out of the reach of physical memory the adapter works, but without a linear framebuffer.
        self._is_reachable = home + memory <= bus.physical.span
        self._home = home
        self.place: int | None = None  # of the linear framebuffer
        self.linear = self._view() if self._is_reachable else np.zeros(memory, np.uint8)
        self.dispi = Dispi(memory)
        self.reset()
        # The ports that guests use in their inner loops have functions of their own.
        quick = {0x3C4: self._out_sequencer, 0x3C9: self._out_colour, 0x3CE: self._out_graphics}
        for port in (0x3B4, 0x3B5, 0x3BA, *range(0x3C0, 0x3D0), 0x3D4, 0x3D5, 0x3DA):
            read = self._in_status if port == 0x3DA else self._read
            stream = Stream(self._get_colours, self._put_colours) if port == 0x3C9 else None
            write = quick.get(port, self._write)
            bus.map_ports(port, 1, read, write, owner="vga", stream=stream)
        bus.map_ports(DISPI_INDEX, 3, self._read_dispi, self._write_dispi, owner="vga")

    def reset(self) -> None:
        """Set the registers to zero, as after power-on."""
        self.crtc, self.attribute = bytearray(0x19), bytearray(0x15)
        self.misc, self.feature, self.enable = 0, 0, 1
        self._enables_memory = False
        self._indices = dict.fromkeys((0x3C4, 0x3CE, 0x3D4), 0)
        self._attribute_index, self._attribute_data = 0, False  # which register, and which half
        self.palette = bytearray(768)
        self.dac_mask = 0xFF
        self._dac_read = self._dac_write = 0  # in thirds of colours
        self._dac_state = 0
        self._toggle = 0
        # Lines in all, displayed, and of the retrace; None: the registers have changed.
        self._beam: tuple[int, int, int, int] | None = None
        self.dispi.reset()
        self.memory.reset()

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
        if dispi.index <= DISPI_LAST:
            self._show_linear()

    def _enter_mode(self) -> None:
        """Bring the VGA's own registers in line with a mode that begins, and clear memory."""
        dispi = self.dispi
        memory = self.memory
        memory.set_graphics(MISC, self.graphics[MISC] & 3 | 5)
        self.crtc[0x17] |= 3
        is_packed = dispi.depth > 4
        memory.set_graphics(MODE, self.graphics[MODE] & ~0x60 | (0x40 if is_packed else 0))
        self.sequencer[1] &= ~8
        if is_packed:
            memory.set_sequencer(MEMORY_MODE, self.sequencer[MEMORY_MODE] | 8)
            memory.set_sequencer(MAP_MASK, 15)
        if dispi.clears:
            memory.set_linear(None, 0)
            mode = dispi.mode
            if is_packed:
                size = min(self.size, mode.pitch * mode.height)
                self.physical.on_write(self._home, size)
                self.linear[:size] = 0
            else:
                memory.clear()

    # -- ports -------------------------------------------------------------------------------------
    def _out_graphics(self, port: int, value: int, size: int) -> None:
        index = self._indices[0x3CE] = value & 15
        if size == 2:
            if index < len(_GRAPHICS_MASKS):
                self.memory.set_graphics(index, value >> 8 & _GRAPHICS_MASKS[index])
        elif size == 4:
            self._write(port, value, size)

    def _out_sequencer(self, port: int, value: int, size: int) -> None:
        index = self._indices[0x3C4] = value & 7
        if size == 2:
            if index < len(_MASKS):
                self.memory.set_sequencer(index, value >> 8 & _MASKS[index])
        elif size == 4:
            self._write(port, value, size)

    def _out_colour(self, port: int, value: int, size: int) -> None:
        if size == 1:
            self._write_colour(value)
        else:
            self._write(port, value, size)

    def _in_status(self, port: int, size: int) -> int:
        if size > 1 or not self.misc & 1:
            return self._read(port, size)
        self._attribute_data = False
        return self._status()

    def _read(self, port: int, size: int) -> int:
        value = self._read_byte(port)
        for i in range(1, size):
            value |= self._read_byte(port + i) << 8 * i
        return value

    def _write(self, port: int, value: int, size: int) -> None:
        self._write_byte(port, value & 0xFF)
        for i in range(1, size):
            self._write_byte(port + i, value >> 8 * i & 0xFF)

    def _is_absent(self, port: int) -> bool:
        """Whether a port of the CRT controller is at the other of its two places now."""
        return port & 0xFFF0 == (0x3B0 if self.misc & 1 else 0x3D0)

    def _read_byte(self, port: int) -> int:
        if self._is_absent(port):
            return 0xFF
        if port & 0xFFF0 == 0x3B0:
            port += 0x20
        if port == 0x3DA:
            self._attribute_data = False
            return self._status()
        if port in self._indices:
            return self._indices[port]
        if port - 1 in self._indices:
            file, index = self._file(port - 1), self._indices[port - 1]
            return file[index] if index < len(file) else 0
        if port == 0x3C9:
            third, self._dac_read = self._dac_read, (self._dac_read + 1) % 768
            return self.palette[third]
        return self._other(port)

    def _other(self, port: int) -> int:
        if port == 0x3C0:
            return self._attribute_index
        if port == 0x3C1:
            index = self._attribute_index & 31
            return self.attribute[index] if index < 0x15 else 0
        if port == 0x3C2:
            return 0x10  # a colour display is there
        values = {
            0x3C3: self.enable,
            0x3C6: self.dac_mask,
            0x3C7: self._dac_state,
            0x3C8: self._dac_write // 3,
            0x3CA: self.feature,
            0x3CC: self.misc,
        }
        return values.get(port, 0xFF)

    def _file(self, port: int) -> bytearray:
        """Return the registers behind an index port."""
        if port == 0x3C4:
            return self.sequencer
        return self.graphics if port == 0x3CE else self.crtc

    def _status(self) -> int:
        """Return input status 1: whether the beam is between lines, or between frames."""
        if self._beam is None:
            self._beam = self._timing()
        total, displayed, start, end = self._beam
        now = self.clock.now()
        line = now // _LINE % total
        self._toggle ^= 0x30
        if line >= displayed:
            return self._toggle | (9 if start <= line < end else 1)
        return self._toggle | (now % _LINE > _SHOWN)

    def _timing(self) -> tuple[int, int, int, int]:
        """Return the number of lines, of those displayed, and where the retrace begins and ends."""
        crtc = self.crtc
        total = (crtc[6] | (crtc[7] & 1) << 8 | (crtc[7] & 0x20) << 4) + 2
        total = total if total > 100 else 449
        displayed = min((crtc[0x12] | (crtc[7] & 2) << 7 | (crtc[7] & 0x40) << 3) + 1, total - 4)
        start = crtc[0x10] | (crtc[7] & 4) << 6 | (crtc[7] & 0x80) << 2
        start = start if displayed <= start < total else displayed
        return total, displayed, start, start + 2 + (total - start) // 8

    def _write_byte(self, port: int, value: int) -> None:
        if self._is_absent(port):
            return
        if port & 0xFFF0 == 0x3B0:
            port += 0x20
        if port in self._indices:
            self._indices[port] = value & _INDEX_BITS[port]
        elif port == 0x3C5:
            index = self._indices[0x3C4]
            if index < len(_MASKS):
                self.memory.set_sequencer(index, value & _MASKS[index])
        elif port == 0x3CF:
            index = self._indices[0x3CE]
            if index < len(_GRAPHICS_MASKS):
                self.memory.set_graphics(index, value & _GRAPHICS_MASKS[index])
        elif port == 0x3D5:
            self._write_crtc(self._indices[0x3D4], value)
        elif port == 0x3C0:
            self._write_attribute(value)
        elif port == 0x3C9:
            self._write_colour(value)
        elif port == 0x3C6:
            self.dac_mask = value
        elif port == 0x3C7:
            self._dac_read, self._dac_state = value * 3, 3
        elif port == 0x3C8:
            self._dac_write, self._dac_state = value * 3, 0
        elif port == 0x3C2:
            # Until somebody uses the bit there is memory, as firmware made for emulators needs.
            self._enables_memory |= bool(value & 2)
            self.misc = value
            self.memory.enable(bool(value & 2) or not self._enables_memory)
        elif port == 0x3C3:
            self.enable = value & 1
        elif port == 0x3DA:
            self.feature = value & 0x0B

    def _write_crtc(self, index: int, value: int) -> None:
        if index >= len(self.crtc):
            return
        if index <= 7 and self.crtc[0x11] & 0x80:  # protected, but for a bit of line compare
            if index == 7:
                self.crtc[7] = self.crtc[7] & ~0x10 | value & 0x10  # has no part in timing
            return
        self.crtc[index] = value
        self._beam = None

    def _write_attribute(self, value: int) -> None:
        if not self._attribute_data:
            self._attribute_index = value & 0x3F
        else:
            index = self._attribute_index & 31
            if index < 0x10:
                if not self._attribute_index & 0x20:  # else the display uses them
                    self.attribute[index] = value & 0x3F
            elif index < 0x15:
                self.attribute[index] = value
        self._attribute_data = not self._attribute_data

    def _put_colours(self, data: bytes, size: int) -> int:
        """Take as many thirds of colours as `rep outs` has, up to the last colour."""
        data = data[: 768 - self._dac_write] if size == 1 else b""
        if not self.dispi.has_wide_colours:
            data = data.translate(_SIX_BITS)
        self.palette[self._dac_write : self._dac_write + len(data)] = data
        self._dac_write = (self._dac_write + len(data)) % 768
        return len(data)

    def _get_colours(self, size: int, count: int) -> bytes:
        """Give thirds of colours for `rep ins`, up to the last colour."""
        count = min(count, 768 - self._dac_read) if size == 1 else 0
        found = bytes(self.palette[self._dac_read : self._dac_read + count])
        self._dac_read = (self._dac_read + count) % 768
        return found

    def _write_colour(self, value: int) -> None:
        value &= 0xFF if self.dispi.has_wide_colours else 0x3F
        self.palette[self._dac_write] = value
        self._dac_write = (self._dac_write + 1) % 768

    # -- what is shown -----------------------------------------------------------------------------
    def colours(self) -> np.ndarray:
        """Return the palette as the display shows it: 256 colours of three 8-bit parts."""
        colours: np.ndarray = np.frombuffer(bytes(self.palette), np.uint8).reshape(256, 3)
        if not self.dispi.has_wide_colours:
            colours = colours << 2 | colours >> 4
        masked: np.ndarray = colours[np.arange(256) & self.dac_mask]
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
        is_on = bool(self._attribute_index & 0x20) and not self.sequencer[1] & 0x20
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
