"""8254 interval timer: three counters at 1.193182 MHz (Intel 8254 datasheet, 231164).

Counters are computed from guest time when somebody looks. Only counter 0 has a timer: each rise of
its output is a pulse of IRQ 0. A new count of mode 3 is loaded at the end of a whole period, not of
half a one.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable

from runtime.bus import Bus, Line
from runtime.clock import SECOND, Clock
from runtime.devices.counter import COUNTER_SIZE, HZ, TIMER_SIZE, Counter
from runtime.system.natives import PortCode

_OWED_MAX = HZ  # rises that the host was too slow for and that still come: those of a second


class Pit:
    """The timer at ports 40h to 43h; counter 0 drives IRQ 0, counter 2 the speaker."""

    def __init__(self, bus: Bus, irq: Line, clock: Clock) -> None:
        """Drive *irq* by pulses."""
        self.irq, self.clock = irq, clock
        self._fields = array("q", bytes(TIMER_SIZE))
        address = self._fields.buffer_info()[0]
        view, size = memoryview(self._fields), COUNTER_SIZE // 8
        self._fields[0] = clock.cell
        self.counters = [
            Counter(view[at : at + size], address + 8 * at, self._ticks)
            for at in range(1, len(view), size)
        ]
        self.counters[2].gate = 0
        self.timer = clock.timer(self._rise)
        self.served = 0  # tick up to which rises have been told
        self.counters[0].on_program = self._arm
        # Whether the last pulse is still waiting to be served. Then the next ones wait, too: it is
        # the host that is slow. A machine that is never slow leaves it as it is.
        self.is_behind: Callable[[], bool] = lambda: False
        reads = PortCode(address, "pit_in")
        latches = PortCode(address, write="pit_out")
        bus.map_ports(0x40, 3, self._read, self._write, owner="pit", code=reads)
        bus.map_ports(0x43, 1, lambda port, size: 0xFF, self._control, owner="pit", code=latches)

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
