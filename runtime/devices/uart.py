"""16550A serial port (National Semiconductor PC16550D data sheet, 1995).

Sent bytes leave at once and are handed over in blocks: `on_output` gets them a little later, or
when `flush` is called.  Received bytes (`receive`) come in at the pace of the line's speed and wait
outside while the FIFO is full, as if the other end minded hardware flow control.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from runtime.bus import Bus, Line, Stream
from runtime.clock import SECOND, Clock

_PORTS, _FIFO_SIZE, _OVERRUN_HELD = 8, 16, 1 << 20
_CRYSTAL = 115200  # Hz of the 1.8432 MHz crystal after division by 16
_FLUSH_AFTER, _FLUSH_SIZE = SECOND // 500, 4096
_DATA, _IER, _IIR, _LCR, _MCR, _LSR, _MSR, _SCRATCH = range(8)
_ON_DATA, _ON_EMPTY, _ON_LINE, _ON_MODEM = 1, 2, 4, 8  # bits of IER
_NONE, _MODEM, _EMPTY, _RECEIVED, _LINE, _TIMEOUT = 1, 0, 2, 4, 6, 12  # what IIR reads
_DLAB, _BREAK = 0x80, 0x40
_DTR, _RTS, _OUT1, _OUT2, _LOOP = 1, 2, 4, 8, 16
_READY, _OVERRUN, _PARITY, _FRAMING, _BROKEN = 1, 2, 4, 8, 16
_SENT, _IN_FIFO = 0x60, 0x80  # transmitter empty; an error is in the FIFO
_CTS, _DSR, _RI, _DCD = 0x10, 0x20, 0x40, 0x80
_TRIGGERS = (1, 4, 8, 14)


class Uart:
    """A serial port at eight I/O ports, with one interrupt line."""

    def __init__(
        self,
        bus: Bus,
        irq: Line,
        clock: Clock,
        base: int = 0x3F8,
        on_output: Callable[[bytes], None] | None = None,
        name: str = "com1",
    ) -> None:
        """Make a port that nobody is connected to unless *on_output* is given."""
        self._irq, self._clock, self.name = irq, clock, name
        self.on_output = on_output
        self._out = bytearray()
        self._arrivals: deque[int] = deque()  # bytes on their way
        self._arrival = clock.timer(self._arrive)
        self._timeout = clock.timer(self._time_out)
        self._flush = clock.timer(self.flush)
        self._next_arrival = 0  # ns: when the next byte can be there
        # Called when DTR or RTS changed, with both.
        self.on_modem: Callable[[bool, bool], None] = lambda dtr, rts: None
        self.lines = _CTS | _DSR | _DCD if on_output is not None else 0
        self.reset()
        bus.map_ports(
            base,
            _PORTS,
            lambda port, size: self.read(port - base),
            lambda port, value, size: self.write(port - base, value),
            owner=name,
            stream=Stream(write=self._write_stream),
        )

    def reset(self) -> None:
        """Set registers as the pin MR does (table 3); the divisor, which has no value, to 9600."""
        self.ier, self.lcr, self.mcr, self.scratch = 0, 0, 0, 0
        self.divisor = 12
        self.errors = self.delta = 0
        self.fifo: deque[int] = deque()  # bytes, with their errors in bits 8 up
        self.has_fifo, self.trigger = False, 1
        self.is_sent = False  # the transmitter became empty, and the guest was not told
        self.is_late = False  # bytes wait in the FIFO for longer than four characters
        self._arrival.cancel()
        self._timeout.cancel()
        self._update()

    # -- the other end -----------------------------------------------------------------------------
    def connect(self, on_output: Callable[[bytes], None]) -> None:
        """Let somebody be at the other end: modem lines go up."""
        self.on_output = on_output
        self.set_lines(self.lines | _CTS | _DSR | _DCD)

    def receive(self, data: bytes) -> None:
        """Let bytes come in, in the guest's thread; what does not fit into 1 MiB is lost."""
        self._arrivals.extend(data[: _OVERRUN_HELD - len(self._arrivals)])
        self._expect()

    def receive_break(self) -> None:
        """Let a break come in."""
        self._put(_BROKEN << 8)
        self._update()

    def set_lines(self, lines: int) -> None:
        """Drive CTS (10h), DSR (20h), RI (40h) and DCD (80h), as they stand in MSR."""
        before = self._modem()
        self.lines = lines & 0xF0
        self._modem_changed(before)

    def flush(self) -> None:
        """Hand over what was sent."""
        self._flush.cancel()
        data, self._out = bytes(self._out), bytearray()
        if data and self.on_output is not None:
            self.on_output(data)

    @property
    def is_idle(self) -> bool:
        """Whether everything that was to come in has been read."""
        return not self._arrivals and not self.fifo

    @property
    def character(self) -> int:
        """Time that a byte takes on the line, in ns."""
        bits = 1 + 5 + (self.lcr & 3) + bool(self.lcr & 8) + (2 if self.lcr & 4 else 1)
        return bits * SECOND * (self.divisor or 1 << 16) // _CRYSTAL

    # -- registers ---------------------------------------------------------------------------------
    def read(self, register: int) -> int:
        """Read one of the eight registers."""
        if register == _DATA:
            return self.divisor & 0xFF if self.lcr & _DLAB else self._take()
        if register == _IER:
            return self.divisor >> 8 if self.lcr & _DLAB else self.ier
        if register == _IIR:
            cause = self._cause()
            if cause == _EMPTY:
                self.is_sent = False
                self._update()
            return cause | (0xC0 if self.has_fifo else 0)
        if register == _LSR:
            return self._line_status()
        if register == _MSR:
            value = self._modem() | self.delta
            self.delta = 0
            self._update()
            return value
        return {_LCR: self.lcr, _MCR: self.mcr, _SCRATCH: self.scratch}[register]

    def write(self, register: int, value: int) -> None:
        """Write one of the eight registers."""
        value &= 0xFF
        if register == _DATA:
            if self.lcr & _DLAB:
                self.divisor = self.divisor & 0xFF00 | value
            else:
                self._send(bytes((value,)))
        elif register == _IER:
            if self.lcr & _DLAB:
                self.divisor = self.divisor & 0xFF | value << 8
                return
            if value & ~self.ier & _ON_EMPTY:
                self.is_sent = True
            self.ier = value & 0x0F
            self._update()
        elif register == _IIR:
            self._control_fifo(value)
        elif register == _LCR:
            is_break = value & ~self.lcr & _BREAK
            self.lcr = value
            if is_break and self.mcr & _LOOP:
                self.receive_break()
        elif register == _MCR:
            before, changed = self._modem(), (value ^ self.mcr) & 0x1F
            self.mcr = value & 0x1F
            self._modem_changed(before)
            self._expect()
            if changed & (_DTR | _RTS):
                self.on_modem(bool(self.mcr & _DTR), bool(self.mcr & _RTS))
        elif register == _SCRATCH:
            self.scratch = value

    def _control_fifo(self, value: int) -> None:
        """FCR: a change of bit 0 empties both FIFOs."""
        has_fifo = bool(value & 1)
        if value & 2 or has_fifo != self.has_fifo:
            self.fifo.clear()
            self.errors = 0
            self._timed()
            self._expect()
        if has_fifo != self.has_fifo or (has_fifo and value & 4):
            self.is_sent = True
        self.has_fifo = has_fifo
        self.trigger = _TRIGGERS[value >> 6] if has_fifo else 1
        self._update()

    def _line_status(self) -> int:
        value = self.errors | _SENT | (_READY if self.fifo else 0)
        if self.has_fifo and any(entry >> 8 for entry in self.fifo):
            value |= _IN_FIFO
        self.errors = 0
        self._update()
        return value

    # -- sending -----------------------------------------------------------------------------------
    def _send(self, data: bytes) -> None:
        if self.mcr & _LOOP:
            for value in data:
                self._put(value)
        else:
            mask = (32 << (self.lcr & 3)) - 1
            if not self._out:
                self._flush.set(self._clock.now() + _FLUSH_AFTER)
            self._out += data if mask == 0xFF else bytes(value & mask for value in data)
            if len(self._out) >= _FLUSH_SIZE:
                self.flush()
        # The line falls and rises: an interrupt controller that minds edges sees one.
        self.is_sent = False
        self._update()
        self.is_sent = True
        self._update()

    def _write_stream(self, data: bytes, size: int) -> int:
        if size != 1 or self.lcr & _DLAB or self.mcr & _LOOP:
            return 0
        self._send(data)
        return len(data)

    # -- receiving ---------------------------------------------------------------------------------
    def _expect(self) -> None:
        """Take note of when the next byte will be there that the FIFO has room for."""
        room = (_FIFO_SIZE if self.has_fifo else 1) - len(self.fifo)
        if self._arrivals and room and self._arrival.when is None and not self.mcr & _LOOP:
            self._next_arrival = max(self._clock.now(), self._next_arrival)
            together = min(len(self._arrivals), self.trigger, room) - 1
            self._arrival.set(self._next_arrival + together * self.character)

    def _arrive(self) -> None:
        """Take what came in since the last time into the FIFO."""
        step = self.character
        count = 1 + max(0, self._clock.now() - self._next_arrival) // step
        room = (_FIFO_SIZE if self.has_fifo else 1) - len(self.fifo)
        count = min(count, room, len(self._arrivals))
        for _ in range(count):
            self._put(self._arrivals.popleft())
        self._next_arrival += count * step
        self._expect()
        self._update()

    def _put(self, entry: int) -> None:
        """Put a byte into the FIFO, or lose it."""
        if not entry >> 8:
            entry &= (32 << (self.lcr & 3)) - 1
        if len(self.fifo) >= (_FIFO_SIZE if self.has_fifo else 1):
            self.errors |= _OVERRUN
            if not self.has_fifo:
                self.fifo[0] = entry
        else:
            self.fifo.append(entry)
        self._at_top()
        self._timed()

    def _take(self) -> int:
        """Read the receiver buffer."""
        value = self.fifo.popleft() & 0xFF if self.fifo else 0
        self._at_top()
        self._timed()
        self._update()
        self._expect()
        return value

    def _at_top(self) -> None:
        """Show the errors of the byte that is read next."""
        if self.fifo and self.fifo[0] >> 8:
            self.errors |= self.fifo[0] >> 8
            self.fifo[0] &= 0xFF

    def _timed(self) -> None:
        """Begin to count the four characters after which waiting bytes are reported."""
        self.is_late = False
        if self.fifo and self.has_fifo:
            self._timeout.set(self._clock.now() + 4 * self.character)
        else:
            self._timeout.cancel()

    def _time_out(self) -> None:
        self.is_late = bool(self.fifo)
        self._update()

    # -- modem lines -------------------------------------------------------------------------------
    def _modem(self) -> int:
        """Return the upper half of MSR."""
        if not self.mcr & _LOOP:
            return self.lines
        mcr = self.mcr
        lines = (_RTS, _CTS), (_DTR, _DSR), (_OUT1, _RI), (_OUT2, _DCD)
        return sum(shown for driven, shown in lines if mcr & driven)

    def _modem_changed(self, before: int) -> None:
        now = self._modem()
        # RI is reported when it falls.
        self.delta |= ((before ^ now) & ~_RI | before & ~now & _RI) >> 4
        self._update()

    # -- interrupts --------------------------------------------------------------------------------
    def _cause(self) -> int:
        """Return the most urgent reason for an interrupt, as IIR shows it (table 5)."""
        ier = self.ier
        if ier & _ON_LINE and self.errors:
            return _LINE
        if ier & _ON_DATA and self.fifo:
            if len(self.fifo) >= self.trigger:
                return _RECEIVED
            if self.is_late:
                return _TIMEOUT
        if ier & _ON_EMPTY and self.is_sent:
            return _EMPTY
        if ier & _ON_MODEM and self.delta:
            return _MODEM
        return _NONE

    def _update(self) -> None:
        """Drive the interrupt line, which OUT2 lets through on a PC."""
        self._irq.set(self._cause() != _NONE and bool(self.mcr & _OUT2))
