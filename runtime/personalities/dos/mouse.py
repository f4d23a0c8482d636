"""INT 33h: the mouse driver, on the BIOS's PS/2 mouse (INT 15h function C2h).

Source: Microsoft Mouse Programmer's Reference; Ralf Brown's Interrupt List, INT 33h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime.firmware.bios import bda
from runtime.firmware.call import Call

if TYPE_CHECKING:
    from runtime.personalities.dos.kernel import Kernel

_BUTTONS = 3
_MOVED = 1  # bits of events: movement, then pressed and released for each button
_SAVE_AND_LOAD = b"\x66\x60\x1e\x06", b"\x07\x1f\x66\x61"  # pushad; push ds es, and back
_SAVED = 4 + 32 + 4  # bytes on the stack in front of the report: DS ES, registers, CS IP
_TEXT_MODES = frozenset((0, 1, 2, 3, 7))
_HEIGHTS = {0x0F: 350, 0x10: 350, 0x11: 480, 0x12: 480}
_INVERSE = 0x77
_STATE = struct.Struct("<4h4h4H")
_X_SIGN, _Y_SIGN, _PRESSED = 0x10, 0x20, 7


class Mouse:
    """The driver's state. Coordinates are those of a virtual screen, mostly 640 x 200."""

    def __init__(self, dos: Kernel) -> None:
        """Serve INT 33h; the device is enabled when a program resets the driver."""
        self.dos, self.machine = dos, dos.machine
        callbacks = self.machine.callbacks
        callbacks.set_vector(0x33, callbacks.add(self._serve))
        save, load = _SAVE_AND_LOAD
        self._stub = callbacks.add_code(save, self._report, load, ends="retf")
        self.is_enabled = False
        self.handler: tuple[int, int] | None = None
        self.mask = 0
        self._drawn: int | None = None  # address of the attribute that shows the cursor
        self._set_defaults()

    def _set_defaults(self) -> None:
        """Do what function 0 does."""
        mode = self.dos.memory.u8(bda.VIDEO_MODE) & 0x7F
        self.left, self.top, self.right = 0, 0, 639
        self.bottom = _HEIGHTS.get(mode, 200) - 1
        self.x, self.y = 320, (self.bottom + 1) // 2
        self.buttons = 0
        self.counters = [0, 0]  # mickeys since function 0Bh
        self.rest = [0, 0]
        self.ratio = [8, 16]  # mickeys for 8 pixels
        self.hidden = 1  # the cursor is shown while this is 0
        self.pressed = [[0, 0, 0] for _ in range(_BUTTONS)]  # count, x, y
        self.released = [[0, 0, 0] for _ in range(_BUTTONS)]
        self.page = 0
        self.handler, self.mask = None, 0

    def _enable(self) -> None:
        """Let the BIOS report movements."""
        from runtime.firmware.bios import mouse

        bios = self.machine.bios
        call = bios.call
        before = call.ax, call.bx, call.has_frame
        call.has_frame = False
        flags = call.flags
        bios.mouse_handler = self._stub
        call.bh = 3
        call.al = 5
        mouse.serve(bios, call)
        call.al, call.bh = 0, 1
        mouse.serve(bios, call)
        call.flags = flags
        call.ax, call.bx, call.has_frame = before
        self.machine.unmask(12)
        self.is_enabled = True

    def _serve(self, call: Call) -> None:
        found = _FUNCTIONS.get(call.ax)
        if found is not None:
            found(self, call)
        else:
            self.dos.report.unknown(0x33, call.ax)

    # -- reports -----------------------------------------------------------------------------------
    def _report(self, call: Call) -> None:
        """Take a report of the BIOS: status, x, y on the stack; call the program's handler."""
        place = (call.ss << 4) + (call.sp + _SAVED & 0xFFFF)
        _, y, x, status = struct.unpack("<4H", self.dos.memory.read(place, 8))
        dx = (x & 0xFF) - (0x100 if status & _X_SIGN else 0)
        dy = -((y & 0xFF) - (0x100 if status & _Y_SIGN else 0))
        events = self._move(dx, dy) | self._press(status & _PRESSED)
        if events & self.mask and self.handler is not None:
            call.ax, call.bx, call.cx, call.dx = events, self.buttons, self.x, self.y
            call.si, call.di = self.counters[0] & 0xFFFF, self.counters[1] & 0xFFFF
            self.machine.callbacks.far_call(*self.handler)

    def _move(self, dx: int, dy: int) -> int:
        """Move by mickeys; return the event."""
        if not dx and not dy:
            return 0
        self._erase()
        self.counters[0] += dx
        self.counters[1] += dy
        steps = []
        for axis, delta in enumerate((dx, dy)):
            total = self.rest[axis] + 8 * delta
            step = int(total / self.ratio[axis])
            self.rest[axis] = total - step * self.ratio[axis]
            steps.append(step)
        self.x = min(max(self.x + steps[0], self.left), self.right)
        self.y = min(max(self.y + steps[1], self.top), self.bottom)
        self._draw()
        return _MOVED

    def _press(self, buttons: int) -> int:
        """Note buttons; return the events."""
        events = 0
        for index in range(_BUTTONS):
            bit = 1 << index
            if (buttons ^ self.buttons) & bit:
                is_down = buttons & bit
                row = (self.pressed if is_down else self.released)[index]
                row[:] = [row[0] + 1, self.x, self.y]
                events |= (2 if is_down else 4) << 2 * index
        self.buttons = buttons
        return events

    # -- the cursor of text modes ------------------------------------------------------------------
    def _draw(self) -> None:
        if self.hidden or self.dos.memory.u8(bda.VIDEO_MODE) & 0x7F not in _TEXT_MODES:
            return
        columns = self.dos.memory.u16(bda.COLUMNS) or 80
        column, row = self.x * columns // 640, self.y // 8
        base = 0xB0000 if self.dos.memory.u8(bda.VIDEO_MODE) & 0x7F == 7 else 0xB8000
        start = base + self.dos.memory.u16(bda.PAGE_START)
        self._drawn = start + 2 * (row * columns + column) + 1
        self._invert(self._drawn)

    def _erase(self) -> None:
        if self._drawn is not None:
            place, self._drawn = self._drawn, None
            self._invert(place)

    def _invert(self, place: int) -> None:
        physical = self.machine.physical
        physical.store(place, physical.load(place, 8) ^ _INVERSE, 8)

    # -- functions ---------------------------------------------------------------------------------
    def reset(self, call: Call) -> None:
        """AX = FFFFh: there is a mouse; BX = its buttons. All is as at the beginning."""
        self._erase()
        self._set_defaults()
        if not self.is_enabled:
            self._enable()
        call.ax, call.bx = 0xFFFF, _BUTTONS

    def show(self, call: Call) -> None:
        """Show the cursor, if it was shown as often as hidden."""
        self.hidden = max(self.hidden - 1, 0)
        self._erase()
        self._draw()

    def hide(self, call: Call) -> None:
        """Hide the cursor."""
        self._erase()
        self.hidden += 1

    def position(self, call: Call) -> None:
        """BX, CX, DX = buttons, x, y."""
        call.bx, call.cx, call.dx = self.buttons, self.x, self.y

    def set_position(self, call: Call) -> None:
        """Move the cursor to CX, DX."""
        self._erase()
        self.x = min(max(_signed(call.cx), self.left), self.right)
        self.y = min(max(_signed(call.dx), self.top), self.bottom)
        self._draw()

    def presses(self, call: Call) -> None:
        """BX, CX, DX = how often the button BX was pressed (5) or released (6), and where last."""
        rows = self.pressed if call.ax == 5 else self.released
        row = rows[call.bx] if call.bx < _BUTTONS else [0, 0, 0]
        call.ax = self.buttons
        call.bx, call.cx, call.dx = row
        row[0] = 0

    def set_columns(self, call: Call) -> None:
        """Keep the cursor between CX and DX."""
        self.left, self.right = sorted((_signed(call.cx), _signed(call.dx)))
        self.x = min(max(self.x, self.left), self.right)

    def set_rows(self, call: Call) -> None:
        """Keep the cursor between the rows CX and DX."""
        self.top, self.bottom = sorted((_signed(call.cx), _signed(call.dx)))
        self.y = min(max(self.y, self.top), self.bottom)

    def motion(self, call: Call) -> None:
        """CX, DX = mickeys since the last call."""
        call.cx, call.dx = self.counters[0] & 0xFFFF, self.counters[1] & 0xFFFF
        self.counters = [0, 0]

    def set_handler(self, call: Call) -> None:
        """Call ES:DX at the events CX."""
        self.mask, self.handler = call.cx, (call.es, call.dx)

    def swap_handler(self, call: Call) -> None:
        """Do the same; CX, ES:DX = what was there."""
        before, mask = self.handler or (0, 0), self.mask
        self.mask, self.handler = call.cx, (call.es, call.dx)
        call.cx, (call.es, call.dx) = mask, before

    def set_ratio(self, call: Call) -> None:
        """Let CX, DX mickeys be 8 pixels."""
        self.ratio = [call.cx or 8, call.dx or 16]

    def state_size(self, call: Call) -> None:
        """BX = bytes of a saved state."""
        call.bx = _STATE.size

    def save_state(self, call: Call) -> None:
        """Put the state to ES:DX."""
        handler = self.handler or (0, 0)
        area = self.left, self.top, self.right, self.bottom
        data = _STATE.pack(*area, self.x, self.y, *self.ratio, self.mask, *handler, self.hidden)
        self.dos.memory.copy_to(call.es, call.dx, data)

    def load_state(self, call: Call) -> None:
        """Take the state from ES:DX."""
        data = self.dos.memory.copy_from(call.es, call.dx, _STATE.size)
        self._erase()
        *area, self.x, self.y, first, second, self.mask, segment, offset, hidden = _STATE.unpack(
            data
        )
        self.left, self.top, self.right, self.bottom = area
        self.ratio, self.hidden = [first or 8, second or 16], hidden
        self.handler = (segment, offset) if segment | offset else None
        self._draw()

    def sensitivity(self, call: Call) -> None:
        """BX, CX, DX = sensitivity and threshold, as they always are."""
        call.bx, call.cx, call.dx = 50, 50, 50

    def select_page(self, call: Call) -> None:
        """Show the cursor on page BX."""
        self.page = call.bx

    def get_page(self, call: Call) -> None:
        """BX = page that the cursor is on."""
        call.bx = self.page

    def disable(self, call: Call) -> None:
        """AX = 001Fh, ES:BX = vector before: the driver is to be left alone."""
        self._erase()
        call.es, call.bx = self.machine.iret

    def information(self, call: Call) -> None:
        """BX, CH, CL = version 8.20, PS/2, IRQ 12."""
        call.bx, call.ch, call.cl = 0x0814, 4, 12

    def nothing(self, call: Call) -> None:
        """Take what makes no difference: shapes of the cursor, light pen, thresholds."""


def _signed(value: int) -> int:
    return value - 0x10000 if value & 0x8000 else value


_FUNCTIONS: dict[int, Callable[[Mouse, Call], None]] = {
    0x00: Mouse.reset,
    0x01: Mouse.show,
    0x02: Mouse.hide,
    0x03: Mouse.position,
    0x04: Mouse.set_position,
    0x05: Mouse.presses,
    0x06: Mouse.presses,
    0x07: Mouse.set_columns,
    0x08: Mouse.set_rows,
    0x09: Mouse.nothing,
    0x0A: Mouse.nothing,
    0x0B: Mouse.motion,
    0x0C: Mouse.set_handler,
    0x0D: Mouse.nothing,
    0x0E: Mouse.nothing,
    0x0F: Mouse.set_ratio,
    0x10: Mouse.hide,
    0x13: Mouse.nothing,
    0x14: Mouse.swap_handler,
    0x15: Mouse.state_size,
    0x16: Mouse.save_state,
    0x17: Mouse.load_state,
    0x1A: Mouse.nothing,
    0x1B: Mouse.sensitivity,
    0x1C: Mouse.nothing,
    0x1D: Mouse.select_page,
    0x1E: Mouse.get_page,
    0x1F: Mouse.disable,
    0x20: Mouse.nothing,
    0x21: Mouse.reset,
    0x24: Mouse.information,
}
