"""Keys: CON on the BIOS's keyboard buffer, and INT 16h on a stdin that is no terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from runtime.firmware.bios import bda
from runtime.personalities.dos.console import Input

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.firmware.call import Call
    from runtime.firmware.callbacks import Result
    from runtime.personalities.dos.machine import DosMachine

_WAITS, _LOOKS = frozenset((0x00, 0x10, 0x20)), frozenset((0x01, 0x11, 0x21))
_EXTENDED = (0x00, 0xE0)


class Keys(Protocol):
    """Where CON gets characters from."""

    def ready(self) -> bool:
        """Whether there is a character."""
        ...

    def read(self) -> int | None:
        """Return a character; None if one has to wait for the guest's interrupts."""
        ...


class BufferedKeys:
    """The BIOS's buffer, which INT 9 fills: keys of a real keyboard."""

    def __init__(self, machine: DosMachine) -> None:
        """Begin with no half of a key."""
        self.machine = machine
        self._scan = 0  # second half of a key without a character
        # Called when the guest wants keys: whoever shows the machine lets them come.
        self.on_wanted: Callable[[], None] = lambda: None

    def ready(self) -> bool:
        """Whether a key was pressed."""
        self.on_wanted()
        memory = self.machine.memory
        return bool(self._scan) or memory.u16(bda.HEAD) != memory.u16(bda.TAIL)

    def read(self) -> int | None:
        """Take a character from the buffer."""
        if self._scan:
            value, self._scan = self._scan, 0
            return value
        if not self.ready():
            return None
        memory = self.machine.memory
        head = memory.u16(bda.HEAD)
        code = memory.u16(0x400 + head)
        head = head + 2
        if head >= memory.u16(bda.BUFFER_END):
            head = memory.u16(bda.BUFFER_START)
        memory.put16(bda.HEAD, head)
        if code & 0xFF in _EXTENDED and code >> 8:
            self._scan = code >> 8
            return 0
        return code & 0xFF


class KeyService:
    """INT 16h where keys come from a file or pipe: its characters are pressed when asked for."""

    def __init__(self, machine: DosMachine, source: Input) -> None:
        """Serve INT 16h in front of the BIOS."""
        self.machine, self.source = machine, source
        self._bios = machine.bios.service(0x16)
        callbacks = machine.callbacks
        callbacks.set_vector(0x16, callbacks.add(self._serve))

    def _serve(self, call: Call) -> Result | None:
        if call.ah in _WAITS or (call.ah in _LOOKS and self.source.ready()):
            memory = self.machine.memory
            if memory.u16(bda.HEAD) == memory.u16(bda.TAIL):
                self._press(call)
        return self._bios(call)

    def _press(self, call: Call) -> None:
        from runtime.firmware.bios.keyboard import put_key

        value = self.source.read()
        if value == 10:
            return  # CR LF is one key
        put_key(call, code_of(value))


def code_of(value: int) -> int:
    """Return a character as INT 16h gives it; scan code 0 if no key of the keyboard has it."""
    from runtime.firmware.bios.keycodes import PLAIN

    for codes in PLAIN.values():
        for code in (codes.plain, codes.shift, codes.ctrl):
            if code & 0xFF == value and code >= 0:
                return code
    return value
