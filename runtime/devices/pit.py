"""8254 interval timer: three counters at 1.193182 MHz (Intel 8254 datasheet, 231164).

Counters are computed from guest time when somebody looks. Only counter 0 has a timer: each rise of
its output is a pulse of IRQ 0. A new count of mode 3 is loaded at the end of a whole period, not of
half a one.
"""

from __future__ import annotations

from collections.abc import Callable

from runtime.bus import Bus, Line
from runtime.clock import SECOND, Clock

HZ = 1193182
_OWED_MAX = HZ  # rises that the host was too slow for and that still come: those of a second
_STATUS_OUT, _STATUS_NULL = 0x80, 0x40


class Counter:
    """One of the three counters. Times are in its own ticks since the machine was made."""

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now
        self.control = 0  # bits 5 and 4: which bytes; 3 to 1: mode; 0: BCD
        self.gate = True
        self.count = 0x10000  # of each period
        self.next_count: int | None = None  # to be loaded at the boundary or by the gate
        self.boundary = 0  # ticks from start to where that period ends
        self.start: int | None = None  # tick at which counting began; None: it has not
        self.held: int | None = None  # ticks that had passed when the gate stopped it
        self.low: int | None = None  # first byte written of two
        self.latched: int | None = None
        self.status: int | None = None  # latched
        self.high_next = False  # the high byte is read next
        self.mode = 3
        # Told when the frequency or output may have changed: a speaker may listen.
        self.on_program: Callable[[], None] = lambda: None

    # -- state -------------------------------------------------------------------------------------
    @property
    def is_periodic(self) -> bool:
        """Whether it starts again by itself: modes 2 and 3."""
        return self.mode in (2, 3)

    def _advance(self) -> int | None:
        """Load what waits for the end of a period, and return the ticks since counting began."""
        if self.held is not None:
            return self.held
        if self.start is None:
            return None
        passed = self.now() - self.start
        if self.next_count is not None and self.is_periodic and passed >= self.boundary:
            self.start += self.boundary
            passed -= self.boundary
            self.count, self.next_count = self.next_count, None
        return passed

    def value(self) -> int:
        """Return what the counter shows."""
        passed, count = self._advance(), self.count
        if passed is None:
            shown = count
        elif self.mode == 3:
            half = (count + 1) // 2
            place = passed % count
            shown = (count & ~1) - 2 * (place if place < half else place - half)
        elif self.mode == 2:
            shown = count - passed % count
        else:
            shown = count - passed
        if self.control & 1:
            shown %= 10000
            return int(str(shown), 16)
        return shown & 0xFFFF

    def output(self) -> bool:
        """Return the level of OUT."""
        passed, count = self._advance(), self.count
        if passed is None:
            return self.mode != 0
        if self.mode in (0, 1):
            return passed >= count
        if self.mode == 2:
            return not self.gate or passed % count != count - 1
        if self.mode == 3:
            return not self.gate or passed % count < (count + 1) // 2
        return passed != count

    def next_rise(self, after: int) -> int | None:
        """Return the first tick later than *after* at which OUT rises; None if it does not."""
        if self.start is None or self.held is not None:
            return None
        self._advance()
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
        self.high_next = False
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
        self.gate = level
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
        if status and self.status is None:
            self._advance()
            is_null = self.start is None or self.next_count is not None
            self.status = (
                self.control
                | (_STATUS_OUT if self.output() else 0)
                | (_STATUS_NULL if is_null else 0)
            )
        if count and self.latched is None:
            self.latched = self.value()

    def read(self) -> int:
        """Read the next byte."""
        if self.status is not None:
            status, self.status = self.status, None
            return status
        value = self.latched if self.latched is not None else self.value()
        which = self.control >> 4 & 3
        is_high = which == 2 or (which == 3 and self.high_next)
        if which == 3:
            self.high_next = not self.high_next
        if which != 3 or is_high:
            self.latched = None
        return value >> 8 if is_high else value & 0xFF

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


class Pit:
    """The timer at ports 40h to 43h; counter 0 drives IRQ 0, counter 2 the speaker."""

    def __init__(self, bus: Bus, irq: Line, clock: Clock) -> None:
        """Drive *irq* by pulses."""
        self.irq, self.clock = irq, clock
        self.counters = [Counter(self._ticks) for _ in range(3)]
        self.counters[2].gate = False
        self.timer = clock.timer(self._rise)
        self.served = 0  # tick up to which rises have been told
        self.counters[0].on_program = self._arm
        # Whether the last pulse is still waiting to be served. Then the next ones wait, too: it is
        # the host that is slow. A machine that is never slow leaves it as it is.
        self.is_behind: Callable[[], bool] = lambda: False
        bus.map_ports(0x40, 3, self._read, self._write, owner="pit")
        bus.map_ports(0x43, 1, lambda port, size: 0xFF, self._control, owner="pit")

    def reset(self) -> None:
        """Let counter 0 count nothing; the others too."""
        for counter in self.counters:
            counter.program(0x36)

    def _ticks(self) -> int:
        return self.clock.now() * HZ // SECOND

    # -- IRQ 0 -------------------------------------------------------------------------------------
    def _arm(self) -> None:
        """Forget what was owed and wait for the next rise."""
        counter = self.counters[0]
        # A single count may be over already: the host takes its time, the count is 10 µs.
        start = None if counter.is_periodic else counter.start
        self.served = self._ticks() if start is None else start
        self._wait()

    def _wait(self) -> None:
        rise = self.counters[0].next_rise(self.served)
        if rise is None:
            self.timer.cancel()
            return
        now = self._ticks()
        if rise <= now:
            # The host was slow. What is owed comes at twice the rate, so that the guest's clock is
            # right in the end and the guest still gets to do something.
            period = self.counters[0].count
            if self.counters[0].is_periodic and now - rise > max(_OWED_MAX, period):
                self.served = now - period
                rise = self.counters[0].next_rise(self.served) or now
            self.timer.set(self.clock.now() + period * SECOND // HZ // 2)
            return
        self.timer.set(-(-rise * SECOND // HZ))

    def _rise(self) -> None:
        counter = self.counters[0]
        rise = counter.next_rise(self.served)
        if rise is not None and not (counter.is_periodic and self.is_behind()):
            self.served = rise
            self.irq.pulse()
        self._wait()

    # -- ports -------------------------------------------------------------------------------------
    def _read(self, port: int, size: int) -> int:
        return self.counters[port & 3].read()

    def _write(self, port: int, value: int, size: int) -> None:
        self.counters[port & 3].write(value & 0xFF)

    def _control(self, port: int, value: int, size: int) -> None:
        which = value >> 6 & 3
        if which == 3:  # read-back
            for index, counter in enumerate(self.counters):
                if value >> index + 1 & 1:
                    counter.latch(count=not value & 0x20, status=not value & 0x10)
        elif value & 0x30:
            self.counters[which].program(value)
        else:
            self.counters[which].latch(count=True, status=False)
