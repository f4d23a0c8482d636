"""MC146818 real-time clock with 128 bytes of CMOS RAM (Motorola MC146818A datasheet, ADI1026).

Its time is a date plus guest time, so it goes on as the machine's clock does. Times of day and
flags are computed when somebody looks; a timer runs only while an interrupt is enabled.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from runtime.bus import Bus, Line
from runtime.clock import SECOND, Clock

A, B, C, D, CENTURY = 0x0A, 0x0B, 0x0C, 0x0D, 0x32
_SECONDS, _MINUTES, _HOURS, _WEEKDAY, _DAY, _MONTH, _YEAR = 0, 2, 4, 6, 7, 8, 9
_ALARM = {1: _SECONDS, 3: _MINUTES, 5: _HOURS}
_TIME = frozenset({0, 2, 4, 6, 7, 8, 9, CENTURY})
SET, PIE, AIE, UIE, BINARY, HOURS24 = 0x80, 0x40, 0x20, 0x10, 0x04, 0x02
_PF, _AF, _UF, _IRQF = 0x40, 0x20, 0x10, 0x80
_UPDATE_NS = 2_228_000  # UIP goes high 244 us before an update of 1984 us
_ANY = 0xC0  # alarm bytes from here on match always
_CRYSTAL = 32768
_DAY_SECONDS = 86400


class Rtc:
    """Index port 70h, data port 71h, IRQ 8."""

    def __init__(self, bus: Bus, irq: Line, clock: Clock, start: datetime) -> None:
        """Show *start* (without a zone) at guest time 0."""
        self.irq, self.clock = irq, clock
        self.index = 0
        self.nmi_enabled = True
        self.ram = bytearray(128)
        self.ram[A], self.ram[B], self.ram[D] = 0x26, HOURS24, 0x80
        self.base = start  # what is shown at guest time `since`
        self.since = 0
        self.flags = 0
        self.seen = 0  # guest time up to which flags are computed
        self.timer = clock.timer(self._update)
        bus.map_ports(0x70, 2, self._read, self._write, owner="rtc")

    def reset(self) -> None:
        """Be as the RESET pin makes it: interrupts off; time and memory stay."""
        self.ram[B] &= ~(PIE | AIE | UIE)
        self.flags = 0
        self._update()

    # -- ports -------------------------------------------------------------------------------------
    def _read(self, port: int, size: int) -> int:
        if not port & 1:
            return 0xFF
        return self.get(self.index)

    def _write(self, port: int, value: int, size: int) -> None:
        if port & 1:
            self.put(self.index, value & 0xFF)
            return
        self.index, self.nmi_enabled = value & 0x7F, not value & 0x80
        if size > 1:
            self.put(self.index, value >> 8 & 0xFF)

    def get(self, index: int) -> int:
        """Read a byte, as the guest does."""
        if index in _TIME and not self.ram[B] & SET:
            self._show(self.now())
        if index == A:
            left = -(self.clock.now() - self.since) % SECOND
            is_updating = 0 < left <= _UPDATE_NS and not self.ram[B] & SET
            return self.ram[A] & 0x7F | (0x80 if is_updating else 0)
        if index == C:
            self._update()
            flags, self.flags = self.flags, 0
            # The wire falls, whatever has happened meanwhile: the 8259 waits for an edge.
            self.irq.set(False)
            self._update()
            return flags
        return self.ram[index]

    def put(self, index: int, value: int) -> None:
        """Write a byte, as the guest does."""
        if index in (C, D):
            return
        self._catch_up()
        if index == B:
            if value & SET:
                value &= ~UIE
                if not self.ram[B] & SET:
                    self._show(self.now())
            elif self.ram[B] & SET:
                self.ram[B] = value
                self._set_time()
        elif index in _TIME and not self.ram[B] & SET:
            self._show(self.now())
        self.ram[index] = value & 0x7F if index == A else value
        if index in _TIME and not self.ram[B] & SET:
            self._set_time()
        self._update()

    # -- time of day -------------------------------------------------------------------------------
    def now(self) -> datetime:
        """Return the time that is shown, to the second."""
        return self.base + timedelta(seconds=(self.clock.now() - self.since) // SECOND)

    def _encode(self, value: int) -> int:
        return value if self.ram[B] & BINARY else value // 10 << 4 | value % 10

    def _decode(self, value: int) -> int:
        return value if self.ram[B] & BINARY else (value >> 4) * 10 + (value & 15)

    def _encode_hours(self, hours: int) -> int:
        if self.ram[B] & HOURS24:
            return self._encode(hours)
        return self._encode((hours - 1) % 12 + 1 if hours else 12) | (0x80 if hours >= 12 else 0)

    def _decode_hours(self, value: int) -> int:
        if self.ram[B] & HOURS24:
            return self._decode(value)
        return self._decode(value & 0x7F) % 12 + (12 if value & 0x80 else 0)

    def _show(self, when: datetime) -> None:
        """Put a time into the registers."""
        ram, encode = self.ram, self._encode
        ram[_SECONDS], ram[_MINUTES] = encode(when.second), encode(when.minute)
        ram[_HOURS] = self._encode_hours(when.hour)
        ram[_WEEKDAY] = when.isoweekday() % 7 + 1  # 1 is Sunday
        ram[_DAY], ram[_MONTH] = encode(when.day), encode(when.month)
        ram[_YEAR], ram[CENTURY] = encode(when.year % 100), encode(when.year // 100)

    def _set_time(self) -> None:
        """Go on from what is in the registers; a date that is none leaves the clock as it was."""
        ram, decode = self.ram, self._decode
        try:
            self.base = datetime(
                decode(ram[CENTURY]) * 100 + decode(ram[_YEAR]),
                decode(ram[_MONTH]),
                decode(ram[_DAY]),
                self._decode_hours(ram[_HOURS]),
                decode(ram[_MINUTES]),
                decode(ram[_SECONDS]),
            )
        except ValueError:
            return
        self.since = self.clock.now()

    # -- interrupts --------------------------------------------------------------------------------
    def _period(self) -> int:
        """Return ticks of the crystal in a periodic interrupt's period; 0: none."""
        rate = self.ram[A] & 15
        return 0 if not rate else 1 << (rate + 7 if rate < 3 else rate) - 1

    def _alarm_hits(self, when: datetime) -> bool:
        shown = {
            1: self._encode(when.second),
            3: self._encode(when.minute),
            5: self._encode_hours(when.hour),
        }
        return all(self.ram[i] in (shown[i], *range(_ANY, 0x100)) for i in _ALARM)

    def _catch_up(self) -> None:
        """Set the flags of what happened since the last look."""
        now = self.clock.now()
        period = self._period()
        if period:
            before, after = (t * _CRYSTAL // SECOND // period for t in (self.seen, now))
            if after > before:
                self.flags |= _PF
        if not self.ram[B] & SET:
            before, after = ((t - self.since) // SECOND for t in (self.seen, now))
            if after > before:
                self.flags |= _UF
                first = max(before, after - _DAY_SECONDS) + 1
                if any(
                    self._alarm_hits(self.base + timedelta(seconds=s))
                    for s in range(first, after + 1)
                ):
                    self.flags |= _AF
        self.seen = now

    def _update(self) -> None:
        """Drive IRQ 8, and wait for what may change it."""
        self._catch_up()
        enabled = self.ram[B] & (PIE | AIE | UIE)
        raised = bool(self.flags & enabled)
        self.flags = self.flags & ~_IRQF | (_IRQF if raised else 0)
        self.irq.set(raised)
        waits = []
        if not raised:
            period = self._period()
            if enabled & PIE and period:
                tick = (self.seen * _CRYSTAL // SECOND // period + 1) * period
                waits.append(-(-tick * SECOND // _CRYSTAL))
            if enabled & (AIE | UIE) and not self.ram[B] & SET:
                waits.append(self.since + ((self.seen - self.since) // SECOND + 1) * SECOND)
        if waits:
            self.timer.set(min(waits))
        else:
            self.timer.cancel()


def set_memory_size(ram: bytearray, size: int) -> None:
    """Put the size of RAM, in bytes, where a BIOS looks for it.

    15h: KiB below 1 MiB; 17h, 30h: KiB from 1 to 64 MiB; 34h: 64 KiB from 16 MiB on; as Bochs and
    QEMU have them.
    """
    base = min(size >> 10, 640)
    extended = min(max(size - (1 << 20), 0) >> 10, 0xFFFF if size < 64 << 20 else 0xFC00)
    high = min(max(size - (16 << 20), 0) >> 16, 0xFFFF)
    for index, value in ((0x15, base), (0x17, extended), (0x30, extended), (0x34, high)):
        ram[index], ram[index + 1] = value & 0xFF, value >> 8


def set_boot_order(ram: bytearray, letters: str) -> None:
    """Say where to boot from: letters a (diskette), c (hard disk), d (CD), n (network).

    3Dh: first and second; 38h: third, and no signature check of diskettes; as Bochs has them.
    """
    numbers = [1 + "acdn".index(letter) for letter in letters]
    first, second, third = [*numbers, 0, 0, 0][:3]
    ram[0x3D] = first | second << 4
    ram[0x38] = third << 4 | 1
