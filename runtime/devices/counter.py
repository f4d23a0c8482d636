"""A counter of the 8254 (Intel 8254 datasheet, 231164), and the ports that show counters.

What reads is compiled (translator/quick/compiler.py), because guests wait by reading; what programs
a counter is Python.  Both work on the same fields.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from runtime import native
from runtime.nativeclock import native_now
from translator.quick.compiler import put64, s64

HZ = 1193182
_SECOND = 1_000_000_000
# Fields of 64 bits. Times are in ticks since the machine was made; -1 is none.
# Control: bits 5 and 4: which bytes; 3 to 1: mode; 0: BCD. Count: of each period; the next one is
# loaded at the boundary (ticks from start to where that period ends) or by the gate. Start: when
# counting began; held: ticks that had passed when the gate stopped it. Then what was latched, and
# whether the high byte is read next.
(
    _CONTROL, _MODE, _GATE, _COUNT, _NEXT, _BOUNDARY, _START, _HELD, _LATCHED, _STATUS, _HIGH_NEXT,
) = range(0, 88, 8)  # fmt: skip
COUNTER_SIZE = 88
# What the ports of a timer work on: a clock (nativeclock.py), then three counters.
_CLOCK, _COUNTERS = 0, 8
TIMER_SIZE = _COUNTERS + 3 * COUNTER_SIZE
# What port 61h works on: a clock, a counter, bits that were written.
_LISTENS, _BITS = 8, 16
_STATUS_OUT, _STATUS_NULL = 0x80, 0x40
_REFRESH, _OUT = 0x10, 0x20
_REFRESH_TIME = 15085  # ns between two refreshes of memory: the bit changes with each
_I64 = ctypes.c_int64


# -- compiled --------------------------------------------------------------------------------------
def pit_ticks(now: int) -> int:
    """Return the tick at a time in ns."""
    return now // _SECOND * HZ + now % _SECOND * HZ // _SECOND


def pit_passed(st: int, now: int) -> int:
    """Load what waits for the end of a period, and return the ticks since counting began, or -1."""
    if s64(st + _HELD) >= 0:
        return s64(st + _HELD)
    start = s64(st + _START)
    if start < 0:
        return -1
    passed = now - start
    boundary = s64(st + _BOUNDARY)
    is_periodic = s64(st + _MODE) == 2 or s64(st + _MODE) == 3
    if s64(st + _NEXT) >= 0 and is_periodic and passed >= boundary:
        put64(st + _START, start + boundary)
        passed -= boundary
        put64(st + _COUNT, s64(st + _NEXT))
        put64(st + _NEXT, -1)
    return passed


def pit_value(st: int, now: int) -> int:
    """Return what the counter shows."""
    passed = pit_passed(st, now)
    count = s64(st + _COUNT)
    mode = s64(st + _MODE)
    shown = count
    if passed >= 0 and mode == 3:
        half = (count + 1) // 2
        place = passed % count
        shown = (count & ~1) - 2 * (place if place < half else place - half)
    elif passed >= 0 and mode == 2:
        shown = count - passed % count
    elif passed >= 0:
        shown = count - passed
    if not s64(st + _CONTROL) & 1:
        return shown & 0xFFFF
    if shown < 0:
        shown = 9999 - (-1 - shown) % 10000
    shown = shown % 10000
    digits = shown // 1000 << 12 | shown // 100 % 10 << 8
    return digits | shown // 10 % 10 << 4 | shown % 10


def pit_output(st: int, now: int) -> int:
    """Return the level of OUT."""
    passed = pit_passed(st, now)
    count = s64(st + _COUNT)
    mode = s64(st + _MODE)
    if passed < 0:
        return 1 if mode else 0
    if mode < 2:
        return 1 if passed >= count else 0
    if mode == 2:
        return 1 if not s64(st + _GATE) or passed % count != count - 1 else 0
    if mode == 3:
        return 1 if not s64(st + _GATE) or passed % count < (count + 1) // 2 else 0
    return 1 if passed != count else 0


def pit_latch(st: int, now: int, count: int, status: int) -> int:
    """Keep the count or the status until it is read."""
    if status and s64(st + _STATUS) < 0:
        shown = _STATUS_OUT if pit_output(st, now) else 0
        if s64(st + _START) < 0 or s64(st + _NEXT) >= 0:
            shown = shown | _STATUS_NULL
        put64(st + _STATUS, s64(st + _CONTROL) | shown)
    if count and s64(st + _LATCHED) < 0:
        put64(st + _LATCHED, pit_value(st, now))
    return 0


def pit_read(st: int, now: int) -> int:
    """Read the next byte."""
    status = s64(st + _STATUS)
    if status >= 0:
        put64(st + _STATUS, -1)
        return status
    value = s64(st + _LATCHED)
    if value < 0:
        value = pit_value(st, now)
    which = s64(st + _CONTROL) >> 4 & 3
    is_high = 1 if which == 2 else 0
    if which == 3:
        is_high = s64(st + _HIGH_NEXT)
        put64(st + _HIGH_NEXT, 1 - is_high)
    if which != 3 or is_high:
        put64(st + _LATCHED, -1)
    return value >> 8 if is_high else value & 0xFF


def pit_in(st: int, port: int, size: int) -> int:
    """Read ports 40h to 42h; -1: Python does it."""
    cell = s64(st + _CLOCK)
    if size > 1 or not cell or not s64(cell):
        return -1
    counter = st + _COUNTERS + COUNTER_SIZE * (port & 3)
    return pit_read(counter, pit_ticks(native_now(cell)))


def pit_out(st: int, port: int, value: int, size: int) -> int:
    """Write to port 43h what latches: 1; 0: it programs a counter, Python does it."""
    cell = s64(st + _CLOCK)
    which = value >> 6 & 3
    if not cell or not s64(cell) or (which < 3 and value & 0x30):
        return 0
    now = pit_ticks(native_now(cell))
    for index in range(0, 3):
        counter = st + _COUNTERS + COUNTER_SIZE * index
        if which == index:
            pit_latch(counter, now, 1, 0)
        elif which == 3 and value >> index + 1 & 1:
            pit_latch(counter, now, ~value & 0x20, ~value & 0x10)
    return 1


def speaker_read(st: int, now: int) -> int:
    """Return what port 61h shows at a time in ns."""
    shown = s64(st + _BITS) | (_REFRESH if now // _REFRESH_TIME & 1 else 0)
    return shown | (_OUT if pit_output(s64(st + _LISTENS), pit_ticks(now)) else 0)


def speaker_in(st: int, port: int, size: int) -> int:
    """Read port 61h; -1: Python does it."""
    cell = s64(st + _CLOCK)
    if size > 1 or not cell or not s64(cell):
        return -1
    return speaker_read(st, native_now(cell))


PUBLIC = {
    "pit_passed", "pit_value", "pit_output", "pit_latch", "pit_read", "pit_in", "pit_out",
    "speaker_read", "speaker_in",
}  # fmt: skip
FUNCTIONS: list[Callable[..., int]] = [
    pit_ticks, pit_passed, pit_value, pit_output, pit_latch, pit_read, pit_in, pit_out,
    speaker_read, speaker_in,
]  # fmt: skip


# -- Python ----------------------------------------------------------------------------------------
class _Number:
    """A field as an attribute."""

    def __init__(self, offset: int) -> None:
        self.index = offset // 8

    def __get__(self, counter: Counter, owner: type) -> int:
        return counter.fields[self.index]

    def __set__(self, counter: Counter, value: int) -> None:
        counter.fields[self.index] = value


class _Optional:
    """A field that may be none."""

    def __init__(self, offset: int) -> None:
        self.index = offset // 8

    def __get__(self, counter: Counter, owner: type) -> int | None:
        value = counter.fields[self.index]
        return None if value < 0 else value

    def __set__(self, counter: Counter, value: int | None) -> None:
        counter.fields[self.index] = -1 if value is None else value


class Counter:
    """One of the three counters. Times are in its own ticks since the machine was made."""

    control, mode, gate, count = (_Number(at) for at in (_CONTROL, _MODE, _GATE, _COUNT))
    boundary, high_next = _Number(_BOUNDARY), _Number(_HIGH_NEXT)
    next_count, start, held = _Optional(_NEXT), _Optional(_START), _Optional(_HELD)
    latched, status = _Optional(_LATCHED), _Optional(_STATUS)

    def __init__(self, fields: memoryview, address: int, now: Callable[[], int]) -> None:
        """Take COUNTER_SIZE bytes of fields, and where they are."""
        self.fields, self.address, self.now = fields, address, now
        self.gate, self.count, self.mode = 1, 0x10000, 3
        self.next_count = self.start = self.held = self.latched = self.status = None
        self.low: int | None = None  # first byte written of two
        # Told when the frequency or output may have changed: a speaker may listen.
        self.on_program: Callable[[], None] = lambda: None
        function = native.arena.function
        self._passed, self._value, self._output, self._read = (
            function(f"pit_{name}", _I64, _I64, _I64, keep_gil=True)
            for name in ("passed", "value", "output", "read")
        )
        self._latch = function("pit_latch", _I64, _I64, _I64, _I64, _I64, keep_gil=True)

    # -- state -------------------------------------------------------------------------------------
    @property
    def is_periodic(self) -> bool:
        """Whether it starts again by itself: modes 2 and 3."""
        return self.mode in (2, 3)

    def value(self) -> int:
        """Return what the counter shows."""
        return int(self._value(self.address, self.now()))

    def output(self) -> bool:
        """Return the level of OUT."""
        return bool(self._output(self.address, self.now()))

    def next_rise(self, after: int) -> int | None:
        """Return the first tick later than *after* at which OUT rises; None if it does not."""
        if self.start is None or self.held is not None:
            return None
        self._passed(self.address, self.now())
        if self.is_periodic:
            if after < self.start:  # it began with a new count, and with a rise
                return self.start
            if self.next_count is not None and after < self.start + self.boundary:
                whole = (max(after - self.start, 0) // self.count + 1) * self.count
                return self.start + min(whole, self.boundary)
            return self.start + (max(after - self.start, 0) // self.count + 1) * self.count
        end = self.start + self.count + (self.mode > 3)
        return end if end > after else None

    # -- what changes it ---------------------------------------------------------------------------
    def program(self, control: int) -> None:
        """Take a control word: mode and bytes; counting begins with a count."""
        mode = control >> 1 & 7
        self.control, self.mode = control & 0x3F, mode & 3 if mode > 5 else mode
        self.start = self.held = self.low = self.latched = self.status = self.next_count = None
        self.high_next = 0
        self.on_program()

    def load(self, value: int) -> None:
        """Take a new count; 0 is the largest."""
        if self.control & 1:
            digits = [value >> shift & 15 for shift in (12, 8, 4, 0)]
            count = sum(d * p for d, p in zip(digits, (1000, 100, 10, 1), strict=True)) or 10000
        else:
            count = value or 0x10000
        if self.mode in (1, 5):  # begins when the gate rises
            if self.start is None:
                self.count = count
            else:
                self.next_count = count
        elif self.is_periodic and self.start is not None and self.gate:
            passed = self.now() - self.start
            self.boundary = (passed // self.count + 1) * self.count
            self.next_count = count
        else:
            self.count, self.next_count = count, None
            self.start = self.now()
            self.held = None if self.gate else 0
        self.on_program()

    def set_gate(self, level: bool) -> None:
        """Drive GATE: it stops modes 0, 2, 3 and 4, its rise starts modes 1, 2, 3 and 5."""
        if level == self.gate:
            return
        self.gate = int(level)
        now = self.now()
        if level and self.mode in (1, 2, 3, 5):
            if self.next_count is not None:
                self.count, self.next_count = self.next_count, None
            if self.start is not None or self.mode in (1, 5):
                self.start, self.held = now, None
        elif level and self.held is not None:
            self.start, self.held = now - self.held, None
        elif not level and self.mode in (0, 2, 3, 4) and self.start is not None:
            self.held = now - self.start
        self.on_program()

    # -- bytes -------------------------------------------------------------------------------------
    def latch(self, *, count: bool, status: bool) -> None:
        """Keep the count or the status until it is read."""
        self._latch(self.address, self.now(), int(count), int(status))

    def read(self) -> int:
        """Read the next byte."""
        return int(self._read(self.address, self.now()))

    def write(self, value: int) -> None:
        """Take the next byte of a count."""
        which = self.control >> 4 & 3
        if which == 1:
            self.load(value)
        elif which == 2:
            self.load(value << 8)
        elif self.low is None:
            self.low = value
            if self.mode == 0:
                self.start = self.held = None  # the first byte stops it, and OUT is low
        else:
            low, self.low = self.low, None
            self.load(low | value << 8)
