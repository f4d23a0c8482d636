"""What an ATA disk and an ATAPI drive have in common: the task file, the data register, timing.

Source: ATA/ATAPI-6 (T13/1410D r3b), chapters 7 to 9. A command is done a little after it was
written; meanwhile the device is busy. Data moves in blocks, each as one piece of bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from runtime.clock import Clock

ERR, DRQ, DSC, DF, DRDY, BSY = 0x01, 0x08, 0x10, 0x20, 0x40, 0x80  # status
ABRT, IDNF, UNC = 0x04, 0x10, 0x40  # error
FEATURES, COUNT, LOW, MID, HIGH, DEVICE, COMMAND = range(1, 8)  # registers
SLAVE, LBA = 0x10, 0x40  # bits of the device register
_DELAY, _RESET_TIME = 10_000, 50_000  # ns


class DmaPort(Protocol):
    """The way to memory: the channel's bus master."""

    def request(self, device: IdeDevice) -> None:
        """Take note that a device is ready to move data; `move` is called when memory is."""
        ...

    def drop(self) -> None:
        """Take note that it is no more."""
        ...


class IdeDevice:
    """One device at a cable, without the commands."""

    signature = (0, 0)  # of registers MID and HIGH
    has_device_reset = False  # DEVICE RESET stops whatever goes on
    ready = DRDY | DSC

    def __init__(self, clock: Clock) -> None:
        """Make a device as power on leaves it."""
        self.clock = clock
        self.registers, self.previous = bytearray(8), bytearray(8)
        self.status, self.error = self.ready, 1
        self.interrupts = False  # INTRQ
        # The channel's: told of INTRQ, and of data that waits for DMA.
        self.on_interrupt: Callable[[], None] = lambda: None
        self.dma: DmaPort | None = None
        self.buffer: bytes | bytearray = b""  # the block that goes through the data register
        self.at = 0
        self.is_input = False  # the host is to write it
        self._after: Callable[[], None] = self.reset_done
        self._timer = clock.timer(self._fire)
        self.set_signature()

    # -- registers ---------------------------------------------------------------------------------
    def set_signature(self) -> None:
        """Show what kind of device this is."""
        self.registers[COUNT : DEVICE + 1] = bytes([1, 1, *self.signature, 0])

    def write_register(self, number: int, value: int) -> None:
        """Take a byte of the task file, unless a command is under way."""
        if not self.status & (BSY | DRQ):
            if number != DEVICE:
                self.previous[number] = self.registers[number]
            self.registers[number] = value

    def settle(self) -> None:
        """Finish now what is due: a host that polls sees it at once."""
        when = self._timer.when
        if when is not None and when <= self.clock.now():
            self._timer.cancel()
            self._after()

    def _fire(self) -> None:
        self._after()

    def later(self, action: Callable[[], None], delay: int = _DELAY) -> None:
        """Be busy for *delay* ns, then act."""
        self.status = self.status & ~(DRQ | ERR) | BSY
        self._after = action
        self._timer.set(self.clock.now() + delay)

    def set_interrupt(self, level: bool) -> None:
        """Drive INTRQ."""
        self.interrupts = level
        self.on_interrupt()

    # -- resets ------------------------------------------------------------------------------------
    def begin_reset(self) -> None:
        """Stop everything and be busy until `reset_done`."""
        self.stop()
        self.status = BSY
        self.set_interrupt(False)

    def end_reset(self) -> None:
        """Come up a little later."""
        self.later(self.reset_done, _RESET_TIME)

    def reset_done(self) -> None:
        """Show the signature and what the self test found: nothing wrong."""
        self.set_signature()
        self.error, self.status = 1, self.ready

    def diagnosed(self) -> None:
        """End EXECUTE DEVICE DIAGNOSTIC, of which device 0 tells."""
        self.reset_done()
        self.set_interrupt(True)

    def stop(self) -> None:
        """Drop the command that is under way."""
        self._timer.cancel()
        self.buffer, self.at = b"", 0
        if self.dma is not None:
            self.dma.drop()

    # -- commands ----------------------------------------------------------------------------------
    def command(self, code: int) -> None:
        """Begin a command."""
        self.set_interrupt(False)
        self.error = 0
        self.later(lambda: self.execute(code))

    def execute(self, code: int) -> None:
        """Do a command; the device is not busy any more."""
        raise NotImplementedError

    def done(self) -> None:
        """End the command well."""
        self.buffer, self.at = b"", 0
        self.status = self.ready
        self.set_interrupt(True)

    def fail(self, error: int = ABRT, status: int = ERR) -> None:
        """End the command with an error."""
        self.buffer, self.at = b"", 0
        self.error, self.status = error, self.ready | status
        self.set_interrupt(True)

    # -- data register -----------------------------------------------------------------------------
    def offer(self, data: bytes) -> None:
        """Let the host read a block; then `taken` is called."""
        self.buffer, self.at, self.is_input = data, 0, False
        self.status = self.ready | DRQ
        self.set_interrupt(True)

    def ask(self, size: int, *, interrupt: bool) -> None:
        """Let the host write a block; then `given` is called."""
        self.buffer, self.at, self.is_input = bytearray(size), 0, True
        self.status = self.ready | DRQ
        if interrupt:
            self.set_interrupt(True)

    def taken(self) -> None:
        """Go on when the host has read the block."""
        raise NotImplementedError

    def given(self) -> None:
        """Go on when the host has written the block."""
        raise NotImplementedError

    def _is_moving(self, to_device: bool) -> bool:
        return bool(self.status & DRQ) and self.is_input == to_device and self.at < len(self.buffer)

    def read_data(self, size: int) -> int:
        """Read the data register."""
        if not self._is_moving(False):
            return 0xFFFFFFFF
        value = int.from_bytes(self.buffer[self.at : self.at + size], "little")
        self._advance(size)
        return value

    def write_data(self, value: int, size: int) -> None:
        """Write the data register."""
        if self._is_moving(True) and isinstance(self.buffer, bytearray):
            room = len(self.buffer) - self.at
            data = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
            self.buffer[self.at : self.at + size] = data[:room]
            self._advance(size)

    def read_block(self, size: int, count: int) -> bytes:
        """Read many items of the data register at once."""
        if not self._is_moving(False):
            return b""
        room = len(self.buffer) - self.at
        taken = min(count, room // size) * size
        data = bytes(self.buffer[self.at : self.at + taken])
        self._advance(taken)
        return data

    def write_block(self, data: bytes, size: int) -> int:
        """Write many items of the data register at once; return how many bytes were taken."""
        if not self._is_moving(True) or not isinstance(self.buffer, bytearray):
            return 0
        taken = min(len(data), len(self.buffer) - self.at) // size * size
        self.buffer[self.at : self.at + taken] = data[:taken]
        self._advance(taken)
        return taken

    def _advance(self, size: int) -> None:
        self.at += size
        if self.at >= len(self.buffer):
            if self.is_input:
                self.given()
            else:
                self.taken()

    # -- DMA ---------------------------------------------------------------------------------------
    def move(self, channel: Memory) -> bool:
        """Move data that `DmaPort.request` told of; False: memory took or gave too little."""
        raise NotImplementedError


class Memory(Protocol):
    """The place in memory that a bus master was told."""

    @property
    def is_to_memory(self) -> bool:
        """Whether the guest expects data to come from the device."""
        ...

    def put(self, data: bytes) -> int:
        """Write to memory; return how many bytes there was room for."""
        ...

    def get(self, size: int) -> bytes:
        """Read from memory; less than *size* if there is not more."""
        ...
