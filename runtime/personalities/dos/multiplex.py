"""INT 2Fh: who is there. XMS, DPMI, Windows and resident parts of DOS ask and answer here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.firmware.call import Call

if TYPE_CHECKING:
    from runtime.personalities.dos.kernel import Kernel


def multiplex(dos: Kernel, call: Call) -> None:
    """Serve INT 2Fh; what nobody answers comes back as it was."""
    found = dos.multiplex.get(call.ax)
    if found is not None:
        found(call)
    elif call.ah in _INSTALLED_CHECKS and call.al == 0:
        call.al = 0  # not installed
    elif call.ax == 0x1680:  # nothing to do: give time away
        dos.idle()
        call.al = 0
    elif call.ah == 0x12:
        _internal(dos, call)


_INSTALLED_CHECKS = frozenset((0x01, 0x02, 0x06, 0x08, 0x10, 0x11, 0x14, 0x15, 0x16, 0x1A, 0xB7))


def _internal(dos: Kernel, call: Call) -> None:
    """Functions of DOS for its own parts, as far as programs use them."""
    if call.al == 0x00:
        call.al = 0xFF
    elif call.al == 0x2E:
        call.ax, call.carry = 1, True
    else:
        dos.report.unknown(0x2F, call.ax)
