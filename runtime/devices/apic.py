"""The local APIC of a processor: vectors by priority, its timer, and the way of the 8259's INTR.

Intel, SDM vol. 3, chapter 11 (APIC), version 14h with six local vectors, as of P6 processors. There
is one processor: interprocessor interrupts reach itself or nobody. Registers are at FEE00000h.
"""

from __future__ import annotations

from collections.abc import Callable

from runtime.bus import Bus, Line
from runtime.clock import Clock
from runtime.devices.ioapic import Message

BASE, _SIZE = 0xFEE00000, 0x1000
_ID, _VERSION, _TPR, _APR, _PPR, _EOI = 0x20, 0x30, 0x80, 0x90, 0xA0, 0xB0
_LDR, _DFR, _SVR, _ISR, _TMR, _IRR, _ESR = 0xD0, 0xE0, 0xF0, 0x100, 0x180, 0x200, 0x280
_ICR, _ICR_HIGH = 0x300, 0x310
_TIMER, _THERMAL, _COUNTERS, _LINT0, _LINT1, _ERROR = range(0x320, 0x380, 0x10)
_INITIAL, _CURRENT, _DIVIDE = 0x380, 0x390, 0x3E0
_VERSION_VALUE = 5 << 16 | 0x14
_MASKED, _PERIODIC, _REMOTE_IRR, _PENDING = 1 << 16, 1 << 17, 1 << 14, 1 << 12
_FIXED, _LOWEST, _NMI, _INIT, _EXTERNAL = 0, 1, 4, 5, 7  # delivery modes
_ENABLED = 1 << 8  # of SVR
_ILLEGAL_RECEIVED, _ILLEGAL_SENT, _ILLEGAL_REGISTER = 1 << 6, 1 << 5, 1 << 7
_VECTORS = range(_TIMER, _ERROR + 0x10, 0x10)
_LVT_BITS = {_TIMER: 0x300FF, _LINT0: 0x1A7FF, _LINT1: 0x1A7FF, _ERROR: 0x100FF}
_LVT_OTHERS = 0x107FF
NS_PER_TICK = 1  # of the bus clock, before division: 1 GHz


class LocalApic:
    """Stands between the interrupt controllers of the board and the processor."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        intr: Line,
        nmi: Callable[[], None],
        acknowledge: Callable[[], int],
        is_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """Drive *intr*; *acknowledge* asks the 8259; *is_on*: the MSR APIC_BASE enables it."""
        self.clock, self.intr, self.nmi, self.is_on = clock, intr, nmi, is_on
        self.acknowledge_external = acknowledge
        self.on_end: Callable[[int], object] = lambda vector: None  # EOI of a level interrupt
        self.lint0 = Line(lambda level: self.update())  # INTR of the 8259
        self.timer = clock.timer(self._expired)
        self.reset()
        bus.physical.add_device(BASE, _SIZE, self._read, self._write)

    def reset(self) -> None:
        """Be as after power-on: off, all local vectors masked (11.4.7.1)."""
        self.registers = {_TPR: 0, _LDR: 0, _DFR: 0xFFFFFFFF, _SVR: 0xFF, _ICR: 0, _ICR_HIGH: 0}
        self.registers |= {_ID: 0, _INITIAL: 0, _DIVIDE: 0}
        self.registers |= dict.fromkeys(_VECTORS, _MASKED)
        self.irr = self.isr = self.tmr = 0  # 256 bits each
        self.errors = self.shown_errors = 0
        self.started = 0  # guest time at which the timer began to count
        self.timer.cancel()
        self.update()

    def connect_external(self) -> None:
        """Let interrupts of the 8259 through, and NMI, as a firmware does."""
        self._put(_SVR, _ENABLED | 0xFF)
        self._put(_LINT0, _EXTERNAL << 8)
        self._put(_LINT1, _NMI << 8)

    # -- priorities --------------------------------------------------------------------------------
    @property
    def _is_enabled(self) -> bool:
        return bool(self.registers[_SVR] & _ENABLED)

    def _priority(self) -> int:
        """Return PPR (11.8.3.1)."""
        task = self.registers[_TPR]
        served = self.isr.bit_length() - 1 if self.isr else 0
        return task if task >> 4 >= served >> 4 else served & 0xF0

    def pending(self) -> int | None:
        """Return the vector that shall be served now."""
        if not self.irr or not self._is_enabled:
            return None
        vector = self.irr.bit_length() - 1
        return vector if vector >> 4 > self._priority() >> 4 else None

    def _has_external(self) -> bool:
        """Whether the 8259's request gets through: virtual wire mode, or no APIC."""
        if not self.lint0.is_high:
            return False
        lint0 = self.registers[_LINT0]
        return not self.is_on() or (not lint0 & _MASKED and lint0 >> 8 & 7 == _EXTERNAL)

    def update(self) -> None:
        """Drive INTR as the requests say."""
        self.intr.set(self._has_external() or self.pending() is not None)

    def acknowledge(self) -> int:
        """Answer the processor with a vector."""
        vector = self.pending()
        if vector is None:
            if self._has_external():
                return self.acknowledge_external()
            self.update()
            return self.registers[_SVR] & 0xFF  # spurious
        self.irr &= ~(1 << vector)
        self.isr |= 1 << vector
        self.intr.set(False)
        self.update()
        return vector

    def take(self, message: Message) -> None:
        """Receive what an I/O APIC sends, if it is for this processor."""
        if not self.is_on() or not self._is_me(message.destination, is_logical=message.is_logical):
            return
        if message.mode in (_FIXED, _LOWEST) and self._is_enabled:
            self.deliver(message.vector, is_level=message.is_level)
        elif message.mode == _NMI:
            self.nmi()

    def deliver(self, vector: int, *, is_level: bool = False) -> None:
        """Request a vector."""
        if vector < 16:
            self._fail(_ILLEGAL_RECEIVED)
            return
        self.irr |= 1 << vector
        self.tmr = self.tmr & ~(1 << vector) | is_level << vector
        self.update()

    def _fail(self, error: int) -> None:
        is_new = not self.errors & error
        self.errors |= error
        if is_new:
            self._local(_ERROR)

    def _local(self, register: int) -> None:
        """Do what a local vector says."""
        value = self.registers[register]
        if value & _MASKED or not self._is_enabled:
            return
        mode = value >> 8 & 7 if register not in (_TIMER, _ERROR) else _FIXED
        if mode == _FIXED:
            self.deliver(value & 0xFF)
        elif mode == _NMI:
            self.nmi()

    # -- timer -------------------------------------------------------------------------------------
    @property
    def _tick(self) -> int:
        """Return ns in a count."""
        code = self.registers[_DIVIDE] & 3 | self.registers[_DIVIDE] >> 1 & 4
        return NS_PER_TICK << (code + 1 & 7)

    def _start_timer(self) -> None:
        self.started = self.clock.now()
        self.timer.cancel()
        if self.registers[_INITIAL]:
            self.timer.set(self.started + self.registers[_INITIAL] * self._tick)

    def _expired(self) -> None:
        if self.registers[_TIMER] & _PERIODIC:
            period = self.registers[_INITIAL] * self._tick
            passed = (self.clock.now() - self.started) // period
            self.started += passed * period  # what a slow host missed is lost, as if masked
            self.timer.set(self.started + period)
        self._local(_TIMER)

    def _count(self) -> int:
        initial = self.registers[_INITIAL]
        if not initial:
            return 0
        passed = (self.clock.now() - self.started) // self._tick
        if self.registers[_TIMER] & _PERIODIC:
            return initial - passed % initial
        return max(initial - passed, 0)

    # -- registers ---------------------------------------------------------------------------------
    def _read(self, address: int, size: int) -> int:
        offset = address & _SIZE - 1
        value = self._get(offset & ~15) if self.is_on() else 0xFFFFFFFF
        return value >> 8 * (offset & 3) & (1 << 8 * size) - 1 if offset & 15 < 4 else 0

    def _get(self, register: int) -> int:
        if register in self.registers:
            return self.registers[register]
        for first, bits in ((_ISR, self.isr), (_TMR, self.tmr), (_IRR, self.irr)):
            if first <= register < first + 0x80:
                return bits >> (register - first) * 2 & 0xFFFFFFFF
        if register == _VERSION:
            return _VERSION_VALUE
        if register in (_PPR, _APR):
            return self._priority()
        if register == _ESR:
            return self.shown_errors
        if register == _CURRENT:
            return self._count()
        if register != _EOI:
            self._fail(_ILLEGAL_REGISTER)
        return 0

    def _write(self, address: int, value: int, size: int) -> None:
        offset = address & _SIZE - 1
        if size == 4 and not offset & 15 and self.is_on():  # others are undefined
            self._put(offset, value & 0xFFFFFFFF)

    def _put(self, register: int, value: int) -> None:
        registers = self.registers
        if register == _EOI:
            if self.isr:
                vector = self.isr.bit_length() - 1
                self.isr &= ~(1 << vector)
                if self.tmr >> vector & 1:
                    self.on_end(vector)
        elif register == _TPR:
            registers[_TPR] = value & 0xFF
        elif register in (_ID, _LDR):
            registers[register] = value & 0xFF000000
        elif register == _DFR:
            registers[_DFR] = value | 0x0FFFFFFF
        elif register == _SVR:
            registers[_SVR] = value & 0x3FF
            if not value & _ENABLED:
                for vector in _VECTORS:
                    registers[vector] |= _MASKED
        elif register == _ESR:
            self.shown_errors, self.errors = self.errors, 0
        elif register == _ICR:
            registers[_ICR] = value & 0xCCFFF & ~_PENDING
            self._send(value)
        elif register == _ICR_HIGH:
            registers[_ICR_HIGH] = value & 0xFF000000
        elif register in _VECTORS:
            masked = 0 if self._is_enabled else _MASKED
            registers[register] = value & _LVT_BITS.get(register, _LVT_OTHERS) | masked
        elif register == _INITIAL:
            registers[_INITIAL] = value
            self._start_timer()
        elif register == _DIVIDE:
            registers[_DIVIDE] = value & 0xB
        elif register not in (_CURRENT, _VERSION) and not _ISR <= register < _ESR:
            self._fail(_ILLEGAL_REGISTER)
        self.update()

    def _send(self, command: int) -> None:
        """Send an interprocessor interrupt, if it is for this processor."""
        shorthand, mode, vector = command >> 18 & 3, command >> 8 & 7, command & 0xFF
        destination = self.registers[_ICR_HIGH] >> 24
        if shorthand == 3:  # all but itself
            return
        if not shorthand and not self._is_me(destination, is_logical=bool(command & 1 << 11)):
            return
        if mode in (_FIXED, _LOWEST):
            if vector < 16:
                self._fail(_ILLEGAL_SENT)
            else:
                self.deliver(vector)
        elif mode == _NMI:
            self.nmi()

    def _is_me(self, destination: int, *, is_logical: bool) -> bool:
        if destination == 0xFF:
            return True
        if not is_logical:
            return destination == self.registers[_ID] >> 24
        mine = self.registers[_LDR] >> 24
        if self.registers[_DFR] >> 28 == 15:
            return bool(destination & mine)
        return destination >> 4 == mine >> 4 and bool(destination & mine & 15)
