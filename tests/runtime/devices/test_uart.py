"""The serial port on a bare bus, by its data sheet."""

from __future__ import annotations

import pytest

from runtime.bus import Bus, Line
from runtime.clock import SECOND, Clock, CountedTime
from runtime.devices.uart import Uart
from runtime.system.physical import Physical

COM1 = 0x3F8
DATA, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH = range(COM1, COM1 + 8)
IDLE, RECEIVED, TIMEOUT, EMPTY, LINE, MODEM = 1, 4, 12, 2, 6, 0


class Port:
    """A bus with a serial port, whose time the test makes."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.edges = 0
        self.bus = Bus(Physical(1 << 16))
        self.time = CountedTime(lambda: 0)
        self.clock = Clock(self.time)
        self.irq = Line(self.edge)
        self.uart = Uart(self.bus, self.irq, self.clock, on_output=self.out.extend)

    def edge(self, level: bool) -> None:
        self.edges += level

    def get(self, port: int) -> int:
        return self.bus.port_in(port, 1)

    def put(self, port: int, value: int) -> None:
        self.bus.port_out(port, value, 1)

    def wait(self, ns: int) -> None:
        """Let time pass, event by event."""
        end = self.time.now() + ns
        while (when := self.clock.next_event()) is not None and when <= end:
            self.time.skip_to(when)
            self.clock.run_due()
        self.time.skip_to(end)

    def set_speed(self, divisor: int) -> None:
        self.put(LCR, 0x83)
        self.put(DATA, divisor & 0xFF)
        self.put(IER, divisor >> 8)
        self.put(LCR, 3)


@pytest.fixture
def port() -> Port:
    made = Port()
    made.set_speed(1)  # 115200 baud, 8 data bits, 1 stop bit
    made.put(MCR, 0x0B)  # DTR, RTS, OUT2
    return made


def test_after_reset() -> None:
    """Table 3: nothing is enabled, the transmitter is empty, the modem lines are as driven."""
    port = Port()
    assert [port.get(p) for p in (IER, IIR, LCR, MCR, LSR)] == [0, 1, 0, 0, 0x60]
    assert port.get(MSR) == 0xB0


def test_output_comes_in_blocks(port: Port) -> None:
    for byte in b"hello":
        assert port.get(LSR) == 0x60
        port.put(DATA, byte)
    assert port.bus.write_stream(DATA, b" world", 1) == 6
    assert port.out == b""
    port.wait(SECOND // 100)
    assert port.out == b"hello world"
    port.put(DATA, 33)
    port.uart.flush()
    assert port.out == b"hello world!"


def test_short_characters(port: Port) -> None:
    """Bits that the word length leaves out are not sent."""
    port.put(LCR, 2)
    port.put(DATA, 0xC1)
    port.uart.flush()
    assert port.out == b"\x41"


def test_divisor_latch(port: Port) -> None:
    port.set_speed(0x1234)
    port.put(LCR, 0x83)
    assert (port.get(DATA), port.get(IER)) == (0x34, 0x12)
    port.put(LCR, 3)
    assert port.get(IER) == 0
    port.put(SCRATCH, 0x5A)
    assert port.get(SCRATCH) == 0x5A


def test_reading_iir_takes_the_transmitter_interrupt(port: Port) -> None:
    """It comes when enabled and behind each byte, as an edge each time."""
    port.put(IER, 2)
    assert port.irq.is_high
    assert port.get(IIR) == EMPTY
    assert not port.irq.is_high
    assert port.get(IIR) == IDLE
    for _ in range(3):
        port.put(DATA, 65)
    assert port.edges == 4
    assert port.get(IIR) == EMPTY


def test_out2_lets_interrupts_through(port: Port) -> None:
    port.put(MCR, 3)
    port.put(IER, 2)
    assert not port.irq.is_high
    port.put(MCR, 0x0B)
    assert port.irq.is_high


def test_bytes_come_at_the_pace_of_the_line(port: Port) -> None:
    """Without FIFO: one at a time, an edge for each; none is lost."""
    port.put(IER, 1)
    port.uart.receive(b"abc")
    seen = bytearray()
    for _ in range(10):
        port.wait(SECOND // 115200 * 11)
        if port.irq.is_high:
            assert port.get(IIR) == RECEIVED
            assert port.get(LSR) & 1
            seen.append(port.get(DATA))
            assert not port.irq.is_high
            assert not port.get(LSR) & 1
    assert seen == b"abc"
    assert port.edges == 3
    assert port.uart.is_idle


def test_a_slow_line(port: Port) -> None:
    """At 300 baud a byte takes a thirtieth of a second."""
    port.set_speed(384)
    port.uart.receive(b"ab")
    port.wait(1)
    assert port.get(DATA) == ord("a")
    port.wait(SECOND // 31)
    assert not port.get(LSR) & 1
    port.wait(SECOND // 300)
    assert port.get(DATA) == ord("b")


def test_fifo_trigger_and_timeout(port: Port) -> None:
    port.put(IIR, 0xC7)  # FIFO on and empty, trigger level 14
    port.put(IER, 1)
    assert port.get(IIR) == 0xC0 | IDLE
    port.uart.receive(bytes(range(20)))
    port.wait(SECOND // 11520 * 15)
    assert port.get(IIR) == 0xC0 | RECEIVED
    port.wait(SECOND // 1152)
    got = []
    while port.get(LSR) & 1:
        got.append(port.get(DATA))
    assert got == list(range(16))  # it was full; the rest waited outside
    port.wait(SECOND // 11520 * 5)
    assert port.get(IIR) == 0xC0 | IDLE
    port.wait(SECOND // 11520 * 6)
    assert port.get(IIR) == 0xC0 | TIMEOUT
    assert [port.get(DATA) for _ in range(4)] == list(range(16, 20))
    assert port.get(IIR) == 0xC0 | IDLE


def test_changing_the_fifo_empties_it(port: Port) -> None:
    port.put(IIR, 1)
    port.uart.receive(b"abcd")
    port.wait(SECOND // 1000)
    assert port.get(LSR) & 1
    port.put(IIR, 3)
    assert not port.get(LSR) & 1
    assert port.get(IIR) & 0xC0 == 0xC0
    port.put(IIR, 0)
    assert port.get(IIR) & 0xC0 == 0


def test_loopback(port: Port) -> None:
    """Sent bytes come back, nothing leaves; the outputs are seen as modem lines."""
    port.get(MSR)
    for driven, shown in ((1, 0x20), (2, 0x10), (4, 0x40), (8, 0x80), (15, 0xF0)):
        port.put(MCR, 0x10 | driven)
        assert port.get(MSR) & 0xF0 == shown
    port.put(DATA, 0x42)
    assert port.get(LSR) == 0x61
    assert port.get(DATA) == 0x42
    port.put(DATA, 1)
    port.put(DATA, 2)
    assert port.get(LSR) == 0x63  # an overrun
    assert port.get(LSR) == 0x61
    assert port.get(DATA) == 2
    port.put(LCR, 0x43)  # a break
    assert port.get(LSR) & 0x11 == 0x11
    port.uart.flush()
    assert port.out == b""


def test_modem_status(port: Port) -> None:
    """Changes are remembered until MSR is read; of RI its fall is."""
    assert port.get(MSR) == 0xB0
    port.put(IER, 8)
    port.uart.set_lines(0x20)
    assert port.get(IIR) == MODEM
    assert port.get(MSR) == 0x29
    assert not port.irq.is_high
    port.uart.set_lines(0x60)
    assert port.get(MSR) == 0x60
    port.uart.set_lines(0x20)
    assert port.get(MSR) == 0x24
    seen = []
    port.uart.on_modem = lambda dtr, rts: seen.append((dtr, rts))
    port.put(MCR, 0x0A)
    port.put(MCR, 0x02)
    assert seen == [(False, True)]


def test_line_errors_come_first(port: Port) -> None:
    port.put(IER, 7)
    port.uart.receive_break()
    assert port.get(IIR) == LINE
    assert port.get(LSR) == 0x71
    assert port.get(IIR) == RECEIVED
    assert port.get(DATA) == 0
    assert port.get(IIR) == EMPTY


def test_input_without_a_reader_is_bounded(port: Port) -> None:
    """A flood costs a megabyte, and no events while nobody reads."""
    for _ in range(40):
        port.uart.receive(bytes(1 << 16))
    port.wait(SECOND)
    assert len(port.uart._arrivals) < (1 << 20)
    assert port.clock.next_event() is None
