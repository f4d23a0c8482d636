"""INT 17h: printers; INT 05h: print the screen (IBM BIOS reference)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.firmware.bios import bda
from runtime.firmware.call import Call

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

_TIMEOUT, _NO_PAPER = 1, 0x20
_STATUS = 0x500  # of INT 05h: 0 done, 1 busy, FFh failed
_SEEN = 0xF8  # bits of the port's status that are passed on
_INVERTED = 0x48  # ACK and ERROR


def serve_17(bios: Bios, call: Call) -> None:
    """AH 0: print AL; 1: initialize; 2: nothing; AH: status of printer DX."""
    base = call.load(bda.LPT_BASES + 2 * call.dx, 16) if call.dx < 3 else 0
    if not base or call.ah > 2:
        call.ah = _TIMEOUT if call.dx < 4 else call.ah
        return
    done = True
    if call.ah == 0:
        done = print_byte(bios, base, call.al)
    elif call.ah == 1:
        bios.out(base + 2, 0x08)
        bios.out(base + 2, 0x0C)
    call.ah = status(bios, base) | (0 if done else _TIMEOUT)


def status(bios: Bios, base: int) -> int:
    """Return a printer's status as INT 17h has it: 80h ready, 20h no paper, 10h selected."""
    return (bios.inp(base + 1) & _SEEN) ^ _INVERTED


def print_byte(bios: Bios, base: int, value: int) -> bool:
    """Print a byte; False if the printer is not ready."""
    if not bios.inp(base + 1) & 0x80:
        return False
    bios.out(base, value)
    bios.out(base + 2, 0x0D)
    bios.out(base + 2, 0x0C)
    return True


def print_screen(bios: Bios, call: Call) -> None:
    """INT 05h: send the text of the screen to the first printer."""
    from runtime.firmware.bios import int10

    base, shown = call.load(bda.LPT_BASES, 16), int10.shown(call)
    if call.load(_STATUS, 8) == 1:
        return
    if not base or not shown.is_text:
        call.store(_STATUS, 0xFF, 8)
        return
    size = 2 * shown.columns
    for row in range(shown.rows):
        text = call.read(shown.start(shown.page) + row * size, size)[::2].replace(b"\0", b" ")
        if not all(print_byte(bios, base, value) for value in text + b"\r\n"):
            call.store(_STATUS, 0xFF, 8)
            return
    call.store(_STATUS, 0, 8)
