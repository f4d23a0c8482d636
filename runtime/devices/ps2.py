"""The 8042 keyboard controller of a PC/AT and PS/2: ports 60h and 64h, IRQ 1 and 12.

IBM, Personal System/2 Hardware Interface Technical Reference, *Keyboard and Auxiliary Device
Controller*; Intel, UPI-41/42 for the chip.  A byte of a device comes into the output buffer when
the guest has read the last one: answers at once, scan codes and movements at the speed of the
cable, so that an interrupt handler that reads port 60h twice sees the same byte twice.
"""

from __future__ import annotations

from collections import deque

from runtime.bus import Bus, Line
from runtime.clock import Clock
from runtime.devices.keyboard import Keyboard
from runtime.devices.keys import TRANSLATED
from runtime.devices.mouse import Mouse

_FULL, _SYSTEM, _IS_COMMAND, _UNLOCKED, _AUX = 1, 4, 8, 0x10, 0x20  # status
_KEYBOARD_IRQ, _MOUSE_IRQ, _PASSED_POST, _NO_KEYBOARD, _NO_MOUSE, _TRANSLATES = 1, 2, 4, 16, 32, 64
_CABLE = 800_000  # ns that a byte takes, 11 bits at 14 kHz
_DATA, _COMMAND = 0x60, 0x64


class Ps2:
    """Controller with a keyboard and a mouse."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        keyboard_irq: Line,
        mouse_irq: Line,
        a20: Line,
        reset: Line,
    ) -> None:
        """Claim the ports; *a20* high lets address line 20 through, *reset* is pulsed."""
        self.clock = clock
        self.keyboard, self.mouse = Keyboard(clock), Mouse(clock)
        self.keyboard.on_output = self.mouse.on_output = self._load
        self._keyboard_irq, self._mouse_irq = keyboard_irq, mouse_irq
        self._a20, self._reset = a20, reset
        self._is_loading = False
        self._loading = clock.timer(self._load)
        self.restart()
        for port in (_DATA, _COMMAND):
            bus.map_ports(port, 1, self._read, self._write, owner="ps2")

    def restart(self) -> None:
        """Do what a reset of the machine does to the controller; both devices stay as they are."""
        self.memory = bytearray(32)
        self.memory[0] = _KEYBOARD_IRQ | _MOUSE_IRQ | _TRANSLATES
        self.status = _UNLOCKED | _IS_COMMAND
        self.data = 0  # the output buffer
        self._pending: int | None = None  # command whose parameter is awaited
        self._own: deque[tuple[int, bool]] = deque()  # own answers; True: as from the mouse
        self._next = 0  # when the cable is free again, ns
        self._break = 0  # bit 7 for the next translated code
        self._set_lines()

    @property
    def mode(self) -> int:
        """The command byte."""
        return self.memory[0]

    # -- output buffer -----------------------------------------------------------------------------
    def _load(self) -> None:
        """Fill the output buffer, if it is empty and there is something for it."""
        if self._is_loading:
            return  # a device that is asked for a byte has another one already
        self._is_loading = True
        try:
            self._load_buffer()
        finally:
            self._is_loading = False

    def _load_buffer(self) -> None:
        while not self.status & _FULL:
            if self._own:
                self._fill(*self._own.popleft())
                continue
            mode, now = self.memory[0], self.clock.now()
            keyboard = self.keyboard.has_output and not mode & _NO_KEYBOARD
            mouse = self.mouse.has_output and not mode & _NO_MOUSE
            if keyboard and (self.keyboard.has_reply or now >= self._next):
                self._take_key()
            elif mouse and (self.mouse.has_reply or now >= self._next):
                self._fill(self.mouse.take(), True)
            else:
                if keyboard or mouse:
                    self._loading.set(self._next)
                return

    def _take_key(self) -> None:
        code = self.keyboard.take()
        if not self.memory[0] & _TRANSLATES:
            self._fill(code, False)
        elif code == 0xF0:
            self._break = 0x80
        else:
            self._fill(TRANSLATED[code] | self._break, False)
            self._break = 0

    def _fill(self, byte: int, is_mouse: bool) -> None:
        self.data = byte
        self.status = self.status & ~_AUX | _FULL | (_AUX if is_mouse else 0)
        self._set_lines()

    def _set_lines(self) -> None:
        mode, status = self.memory[0], self.status
        is_full, is_mouse = bool(status & _FULL), bool(status & _AUX)
        self._keyboard_irq.set(is_full and not is_mouse and bool(mode & _KEYBOARD_IRQ))
        self._mouse_irq.set(is_full and is_mouse and bool(mode & _MOUSE_IRQ))

    def _answer(self, byte: int) -> None:
        self._own.append((byte, False))

    # -- ports -------------------------------------------------------------------------------------
    def _read(self, port: int, size: int) -> int:
        self._load()
        if port == _COMMAND:
            return self.status
        if self.status & _FULL:
            self.status &= ~_FULL
            self._next = self.clock.now() + _CABLE
            self._set_lines()
            data = self.data
            self._load()
            return data
        return self.data

    def _write(self, port: int, value: int, size: int) -> None:
        value &= 0xFF
        if port == _COMMAND:
            self.status |= _IS_COMMAND
            self._pending = None
            self._command(value)
        else:
            self.status &= ~_IS_COMMAND
            pending, self._pending = self._pending, None
            if pending is None:
                self.memory[0] &= ~_NO_KEYBOARD
                self.keyboard.receive(value)
            else:
                self._parameter(pending, value)
        self._load()

    def _command(self, command: int) -> None:
        if command < 0x40:
            self._answer(self.memory[command & 31])
        elif command < 0x80 or 0xD1 <= command <= 0xD4:
            self._pending = command
        elif command >= 0xF0:
            if not command & 1:
                self._reset.pulse()
        elif command in (0xA7, 0xA8):
            self._set_mode(_NO_MOUSE, command == 0xA7)
        elif command in (0xAD, 0xAE):
            self._set_mode(_NO_KEYBOARD, command == 0xAD)
        elif command == 0xAA:
            self.status |= _SYSTEM
            self._answer(0x55)
        elif command in (0xDD, 0xDF):
            self._a20.set(command == 0xDF)
        elif (byte := self._asked(command)) is not None:
            self._answer(byte)

    def _asked(self, command: int) -> int | None:
        """Return the answer to a question, None if it is none."""
        if command == 0xA4:
            return 0xF1  # there is no password
        if command in (0xA9, 0xAB):
            return 0x00  # the lines are all right
        if command == 0xC0:
            return 0xA0  # input port: colour display, keyboard not locked
        if command == 0xD0:
            return self._output_port()
        if command == 0xE0:
            return 0x00  # test inputs: both clocks low
        return None

    def _set_mode(self, bit: int, is_set: bool) -> None:
        self.memory[0] = self.memory[0] & ~bit | (bit if is_set else 0)
        self._set_lines()

    def _output_port(self) -> int:
        is_mouse = bool(self.status & _AUX)
        is_full = bool(self.status & _FULL)
        return (
            0xC1
            | self._a20.is_high << 1
            | (is_full and not is_mouse) << 4
            | (is_full and is_mouse) << 5
        )

    def _parameter(self, command: int, value: int) -> None:
        if command < 0x80:
            self.memory[command & 31] = value
            if command == 0x60:
                passed = _SYSTEM if value & _PASSED_POST else 0
                self.status = self.status & ~_SYSTEM | passed
                self._set_lines()
        elif command == 0xD1:
            self._a20.set(bool(value & 2))
            if not value & 1:
                self._reset.pulse()
        elif command == 0xD4:
            self.memory[0] &= ~_NO_MOUSE
            self.mouse.receive(value)
        else:
            self._own.append((value, command == 0xD3))
