"""INT 08h and INT 70h: ticks of the timer and interrupts of the real-time clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.firmware.bios import bda
from runtime.firmware.call import Call

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

_PERIODIC, _ALARM = 0x40, 0x20  # bits of registers B and C of the clock
_PERIOD = 976  # µs between two periodic interrupts
_DAY = 86400


def decimal(value: int) -> int:
    """Read packed decimal digits."""
    return (value >> 4) * 10 + (value & 15)


def ticks_now(bios: Bios) -> int:
    """Return the ticks since midnight as the real-time clock has it."""
    seconds = decimal(bios.cmos(0)) + 60 * decimal(bios.cmos(2)) + 3600 * decimal(bios.cmos(4))
    return seconds % _DAY * bda.TICKS_A_DAY // _DAY


def tick(bios: Bios, call: Call) -> None:
    """INT 08h: count; a new day begins at midnight; motors of diskette drives stop in the end."""
    ticks = call.load(bda.TICKS, 32) + 1
    if ticks >= bda.TICKS_A_DAY:
        ticks = 0
        call.store(bda.MIDNIGHT, call.load(bda.MIDNIGHT, 8) + 1, 8)
    call.store(bda.TICKS, ticks, 32)
    left = call.load(bda.FLOPPY_TIMER, 8)
    if left:
        call.store(bda.FLOPPY_TIMER, left - 1, 8)
        if left == 1:
            call.store(bda.FLOPPY_MOTOR, call.load(bda.FLOPPY_MOTOR, 8) & 0xF0, 8)
            if bios.has_ports(0x3F2):
                bios.out(0x3F2, 0x0C)


def clock_interrupt(bios: Bios, call: Call) -> None:
    """INT 70h: count down what INT 15h 83h and 86h wait for; an alarm is INT 4Ah."""
    flags = bios.cmos(0x0C) & bios.cmos(0x0B)
    if flags & _PERIODIC:
        left = call.load(bda.WAIT_COUNT, 32) - _PERIOD
        if left > 0:
            call.store(bda.WAIT_COUNT, left, 32)
        else:
            bios.set_cmos(0x0B, bios.cmos(0x0B) & ~_PERIODIC)
            place = call.load(bda.WAIT_FLAG, 32)
            call.store(bda.WAIT_COUNT, 0, 32)
            call.store(bda.WAIT_ACTIVE, 0, 8)
            address = (place >> 16 << 4) + (place & 0xFFFF)
            call.store(address, call.load(address, 8) | 0x80, 8)
    if flags & _ALARM:
        bios.callbacks.interrupt(0x4A)


def begin_wait(bios: Bios, call: Call, microseconds: int, flag: int) -> bool:
    """Let bit 7 at a far pointer be set after a time; False if somebody waits already."""
    if call.load(bda.WAIT_ACTIVE, 8) & 1:
        return False
    call.store(bda.WAIT_FLAG, flag, 32)
    call.store(bda.WAIT_COUNT, microseconds, 32)
    call.store(bda.WAIT_ACTIVE, 1, 8)
    bios.set_cmos(0x0B, bios.cmos(0x0B) | _PERIODIC)
    return True


def end_wait(bios: Bios, call: Call) -> None:
    """Forget what was waited for."""
    call.store(bda.WAIT_ACTIVE, 0, 8)
    bios.set_cmos(0x0B, bios.cmos(0x0B) & ~_PERIODIC)
