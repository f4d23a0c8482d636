"""What a program asks of DOS, one line for each call of INT 21h: -strace."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from runtime.personalities.dos.table import SERVICES

if TYPE_CHECKING:
    from runtime.firmware.call import Call
    from runtime.firmware.callbacks import Result
    from runtime.personalities.dos.kernel import Kernel

# Functions with a path at DS:DX, and those with text up to a $.
_PATHS = frozenset((0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x41, 0x43, 0x4B, 0x4E, 0x56, 0x5A, 0x5B))
_TEXT = 0x09
_WITH_CARRY = 0x38  # functions from here on say by CF whether they failed
_SHOWN = 48


class Trace:
    """Calls, in the order in which they return."""

    def __init__(self, dos: Kernel, out: IO[str]) -> None:
        """Write to *out*."""
        self.dos, self.out = dos, out

    def serve(self, call: Call) -> Result | None:
        """Serve INT 21h, and say what was asked and answered."""
        found, has_carry = SERVICES.get(call.ah), call.ah >= _WITH_CARRY
        name = "unknown" if found is None else found.__name__.rstrip("_")
        asked = f"{name}({call.ax:04X} bx={call.bx:04X} cx={call.cx:04X} dx={call.dx:04X}"
        asked += self._argument(call) + ")"
        try:
            result = self.dos.serve(call)
        except Exception:
            self.out.write(f"{asked} = ended\n")
            raise
        if result is not None:
            return result  # it waits, and is called again
        if self.dos.skip_carry:
            self.out.write(f"{asked} = goes elsewhere\n")
        elif has_carry and call.carry:
            self.out.write(f"{asked} = error {self.dos.last_error}\n")
        else:
            self.out.write(f"{asked} = {call.ax:04X}\n")
        return None

    def _argument(self, call: Call) -> str:
        memory = self.dos.memory
        if call.ah in _PATHS:
            data = memory.asciiz(call.ds, call.dx, 128)
        elif call.ah == _TEXT:
            data = memory.until(call.ds, call.dx, b"$")
        else:
            return ""
        text = data[:_SHOWN].decode("cp437")
        return f" {text!r}" + ("..." if len(data) > _SHOWN else "")
