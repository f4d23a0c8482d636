"""What a DOS program shows: a stream of text until it draws, then a screen.

The display adapter is there from the first look that the program takes at it (INT 10h, its ports
or its memory); what was printed before is on it then.  Text that DOS or the BIOS's teletype writes
goes to the host's stdout as well, until the program draws: sets a mode, moves the cursor, writes
to display memory.  From then on whoever asked for it (`on_draw`) shows the screen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime.firmware.bios import bda
from runtime.personalities.dos.console import Output
from runtime.personalities.dos.keyboard import code_of

if TYPE_CHECKING:
    from runtime.devices.vga import Vga
    from runtime.firmware.call import Call
    from runtime.firmware.callbacks import Result
    from runtime.personalities.dos.ansi import Ansi
    from runtime.personalities.dos.machine import DosMachine

_WINDOW, _WINDOW_SIZE, _TEXT = 0xA0000, 0x20000, 0xB8000
_PORTS = ((0x3B4, 2), (0x3BA, 1), (0x3C0, 16), (0x3D4, 2), (0x3DA, 1))
_TELETYPE = 0x0E
# Functions of INT 10h that draw: a mode, the cursor, scrolling, characters, pixels, strings.
_DRAWS = frozenset((0x00, 0x02, 0x05, 0x06, 0x07, 0x09, 0x0A, 0x0C, 0x13, 0x4F))
_KEPT = 8192  # bytes of what was printed
_LOOK = 50_000_000  # ns between looks at display memory
_TEXT_SIZE = 80 * 25 * 2


class Display:
    """The display of one machine."""

    def __init__(self, machine: DosMachine, output: Output) -> None:
        """Wait for a look at the adapter; until then there is none."""
        self.machine, self.output = machine, output
        self.vga: Vga | None = None
        self._ansi: Ansi | None = None  # on the adapter
        self.is_drawn = False  # the program does more than print
        # Called once when the program begins to draw; if it answers True, it shows the screen.
        self.on_draw: Callable[[], bool] = lambda: False
        self.is_shown = False  # somebody shows the screen: nothing goes to the stream
        self._printed = bytearray()
        self._seen = b""  # text memory as printing left it
        bus = machine.bus
        for first, count in _PORTS:
            bus.map_ports(first, count, self._read_port, self._write_port, owner="display")
        physical = machine.physical
        physical.remove(_WINDOW, _WINDOW_SIZE)
        physical.add_device(_WINDOW, _WINDOW_SIZE, self._read, self._write)
        self._watch = machine.clock.timer(self._look)
        callbacks = machine.callbacks
        self._bios = machine.bios.service(0x10)
        callbacks.set_vector(0x10, callbacks.add(self._int10))

    # -- the adapter -------------------------------------------------------------------------------
    def adapter(self) -> Vga:
        """Return the display adapter, made if need be."""
        if self.vga is None:
            from runtime.devices.vga import Vga
            from runtime.firmware.bios import modes
            from runtime.personalities.dos.ansi import Ansi
            from runtime.personalities.dos.machine import VIDEO_MEMORY

            machine = self.machine
            for first, count in _PORTS:
                machine.bus.unmap_ports(first, count)
            machine.physical.remove(_WINDOW, _WINDOW_SIZE)
            place = machine.framebuffer
            self.vga = Vga(machine.bus, machine.clock, VIDEO_MEMORY, place)
            self.vga.place_linear(place)
            machine.bios.vga = self.vga
            modes.set_mode(machine.bios, machine.bios.call, 3)
            self._ansi = Ansi(machine.bios, self._answer)
            self._put(bytes(self._printed))
            self._printed.clear()
            if self.output.is_terminal:
                self._watch.set(machine.clock.now() + _LOOK)
        return self.vga

    def _read_port(self, port: int, size: int) -> int:
        self.adapter()
        return self.machine.bus.port_in(port, size)

    def _write_port(self, port: int, value: int, size: int) -> None:
        self.adapter()
        self.machine.bus.port_out(port, value, size)

    def _read(self, address: int, size: int) -> int:
        self.adapter()
        return self.machine.physical.load(address, 8 * size)

    def _write(self, address: int, value: int, size: int) -> None:
        self.adapter()
        self.draw()
        self.machine.physical.store(address, value, 8 * size)

    # -- printing ----------------------------------------------------------------------------------
    def write(self, data: bytes, *, is_raw: bool = False) -> None:
        """Print characters where the cursor is; *is_raw*: escape sequences are text, too."""
        if self.vga is not None:
            self._put(data, is_raw=is_raw)
        else:
            self._printed += data
            del self._printed[:-_KEPT]
        if not self.is_shown:
            self.output.write(data)

    def _put(self, data: bytes, *, is_raw: bool = False) -> None:
        """Write to display memory."""
        from runtime.firmware.bios.int10 import put_text

        bios = self.machine.bios
        if is_raw or self._ansi is None:
            put_text(bios, bios.call, data, self.machine.memory.u8(bda.PAGE) & 7, None)
        else:
            self._ansi.write(data)
        self._seen = self._text()

    def _answer(self, data: bytes) -> None:
        """Type what an escape sequence asked for; a terminal that shows the text does it itself."""
        if self.is_shown:
            from runtime.firmware.bios.keyboard import put_key

            for value in data:
                put_key(self.machine.bios.call, code_of(value))

    def _text(self) -> bytes:
        if not self.output.is_terminal:
            return b""
        return self.machine.bios.call.read(_TEXT, _TEXT_SIZE)

    # -- drawing -----------------------------------------------------------------------------------
    def _int10(self, call: Call) -> Result | None:
        """Serve INT 10h."""
        if call.ah == _TELETYPE and not self.is_shown:
            self.write(bytes((call.al,)), is_raw=True)
            return None
        self.adapter()
        if call.ah in _DRAWS:
            self.draw()
        return self._bios(call)

    def draw(self) -> None:
        """Take note that the program draws."""
        if not self.is_drawn:
            self.is_drawn = True
            self._watch.cancel()
            self.is_shown = self.on_draw()

    def _look(self) -> None:
        """Look whether text memory holds something that nobody printed."""
        if self.is_drawn:
            return
        if self._text() != self._seen:
            self.draw()
        else:
            self._watch.set(self.machine.clock.now() + _LOOK)
