"""Intel 82077AA diskette controller at ports 3F0h to 3F5h and 3F7h, in PC/AT mode.

Source: Intel 82077AA datasheet (290166-007). Data goes through a DMA channel, or through the FIFO
where SPECIFY says so. Sectors have 512 bytes and are where the image's geometry says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from runtime.bus import Bus, Line
from runtime.clock import Clock
from runtime.devices.diskette import Drive
from runtime.devices.dma import Channel
from runtime.devices.floppy_transfer import ABNORMAL, COMMANDS, SEEK_END, Transfer

_RQM, _DIO, _NON_DMA, _BUSY = 0x80, 0x40, 0x20, 0x10  # main status
_IDLE, _COMMAND, _EXECUTE, _RESULT = range(4)
_INVALID, _CHANGED, _EQUIPMENT = 0x80, 0xC0, 0x10  # ST0
_RESET, _DMA_GATE = 4, 8  # digital output register
_POLL_OFF = 0x10  # second byte of CONFIGURE
_SEEK_TIME, _STEP_TIME, _RESET_TIME = 200_000, 10_000, 100_000  # ns; real drives are much slower

# First byte -> parameters, name.
_CONTROL = {
    0x03: (2, "specify"),
    0x04: (1, "sense_drive"),
    0x07: (1, "recalibrate"),
    0x08: (0, "sense_interrupt"),
    0x0E: (0, "dump"),
    0x0F: (2, "seek"),
    0x10: (0, "version"),
    0x12: (1, "perpendicular"),
    0x13: (3, "configure"),
    0x14: (0, "lock"),
    0x94: (0, "lock"),
    0x8F: (2, "relative_seek"),
    0xCF: (2, "relative_seek"),
}


class FloppyController:
    """The controller and up to four drives."""

    def __init__(
        self, bus: Bus, irq: Line, dma: Channel, clock: Clock, drives: Sequence[Drive | None]
    ) -> None:
        """Connect drives 0 to 3; those that are None, or not given, are not there."""
        self.irq, self.clock = irq, clock
        self.drives = [*drives, *[None] * 4][:4]
        self.dor = self.tape = 0
        self.rate = 2
        self.phase = _IDLE
        self.command = bytearray()
        self.wanted = 0  # bytes that the command has
        self.fifo = bytearray()  # results, or a sector on its way
        self.ended: list[tuple[int, int]] = []  # ST0 and cylinder for SENSE INTERRUPT
        self.seeking: dict[int, int] = {}  # drive -> ST0 at its end
        self.specify = bytearray(2)
        self.config = bytearray([0x20, 0])
        self.perpendicular = 0
        self.is_locked = False
        self._up = clock.timer(self._reset_done)
        self._seeks = [clock.timer(self._seek_end(i)) for i in range(4)]
        self.transfer = Transfer(clock, dma, self._interrupt, self._ended)
        bus.map_ports(0x3F0, 6, self._read, self._write, owner="floppy")
        bus.map_ports(0x3F7, 1, self._read, self._write, owner="floppy")

    def reset(self) -> None:
        """Do what the RESET pin does."""
        self.is_locked, self.dor = False, 0
        self._stop()

    # -- registers ---------------------------------------------------------------------------------
    def _read(self, port: int, size: int) -> int:
        register = port & 7
        if register == 5:
            return self._take()
        if register == 4:
            return self._main_status()
        if register == 2:
            return self.dor
        if register == 3:
            return self.tape
        if register == 7:
            drive = self.drives[self.dor & 3]
            return 0x80 if drive is not None and drive.has_changed else 0
        return 0xFF  # status registers A and B: not in PC/AT mode

    def _write(self, port: int, value: int, size: int) -> None:
        value &= 0xFF
        register = port & 7
        if register == 5:
            self._give(value)
        elif register == 2:
            self._write_dor(value)
        elif register == 3:
            self.tape = value & 3
        elif register == 4:
            self.rate = value & 3
            if value & 0x80:
                self._stop()
                self._up.set(self.clock.now() + _RESET_TIME)
        elif register == 7:
            self.rate = value & 3

    def _main_status(self) -> int:
        if not self.dor & _RESET or self._up.when is not None:
            return 0
        seeking = sum(1 << drive for drive in self.seeking)
        if self.phase == _IDLE:
            return _RQM | seeking
        if self.phase == _COMMAND:
            return _RQM | _BUSY | seeking
        if self.phase == _RESULT:
            return _RQM | _DIO | _BUSY | seeking
        status, transfer = _BUSY | seeking, self.transfer
        if not transfer.uses_dma:
            status |= _NON_DMA
            if transfer.is_ready:
                status |= _RQM | (0 if transfer.writes else _DIO)
        return status

    def _write_dor(self, value: int) -> None:
        old, self.dor = self.dor, value
        if not value & _RESET:
            self._stop()
        elif not old & _RESET:
            self._up.set(self.clock.now() + _RESET_TIME)
        if not value & _DMA_GATE:
            self.irq.set(False)

    def _interrupt(self) -> None:
        if self.dor & _DMA_GATE:
            self.irq.set(True)

    # -- reset -------------------------------------------------------------------------------------
    def _stop(self) -> None:
        """Drop everything that goes on."""
        for timer in (self._up, *self._seeks):
            timer.cancel()
        self.phase = _IDLE
        self.transfer.stop()
        self.ended, self.seeking = [], {}
        self.command.clear()
        self.fifo.clear()
        self.perpendicular &= 0x3C
        if not self.is_locked:
            self.config[:] = b"\x20\0"
        self.irq.set(False)

    def _reset_done(self) -> None:
        """Ask to be sensed, once for each drive, as ready lines that have changed do."""
        if not self.config[0] & _POLL_OFF:
            self.ended = [(_CHANGED | i, 0) for i in range(4)]
            self._interrupt()

    # -- commands ----------------------------------------------------------------------------------
    def _give(self, value: int) -> None:
        """Take a byte of a command, or of data."""
        if not self.dor & _RESET or self._up.when is not None:
            return
        if self.phase == _EXECUTE:
            if self.transfer.is_ready and self.transfer.writes:
                self.irq.set(False)
                self.transfer.give(value)
            return
        if self.phase == _IDLE:
            self.phase = _COMMAND
            self.command.clear()
            self.wanted = 1 + self._look_up(value)[0]
        if self.phase != _COMMAND:
            return
        self.command.append(value)
        if len(self.command) == self.wanted:
            name = self._look_up(self.command[0])[1]
            if name != "sense_interrupt" and any(st0 & 0xC0 == _CHANGED for st0, _ in self.ended):
                self.ended = []
            self.ACTIONS[name](self)

    @staticmethod
    def _look_up(code: int) -> tuple[int, str]:
        if code in _CONTROL:
            return _CONTROL[code]
        bits, parameters, name = COMMANDS.get(code & 0x1F, (0, 0, ""))
        return (parameters, name) if name and not code & 0xE0 & ~bits else (0, "invalid")

    def _result(self, *data: int) -> None:
        """Go to the result phase, or to none without results."""
        self.fifo[:] = bytes(data)
        self.phase = _RESULT if data else _IDLE

    def _take(self) -> int:
        """Give a byte of results, or of data."""
        if self.phase == _RESULT:
            self.irq.set(False)
            value = self.fifo.pop(0)
            if not self.fifo:
                self.phase = _IDLE
            return value
        if self.phase == _EXECUTE and self.transfer.is_ready and not self.transfer.writes:
            self.irq.set(False)
            return self.transfer.take()
        return 0

    def _invalid(self) -> None:
        self._result(_INVALID)

    def _specify(self) -> None:
        self.specify[:] = self.command[1:3]
        self._result()

    def _version(self) -> None:
        self._result(0x90)

    def _perpendicular(self) -> None:
        value = self.command[1]
        self.perpendicular = value & 0x3F if value & 0x80 else self.perpendicular & 0x3C | value & 3
        self._result()

    def _configure(self) -> None:
        self.config[:] = self.command[2:4]
        self._result()

    def _lock(self) -> None:
        self.is_locked = bool(self.command[0] & 0x80)
        self._result(self.is_locked << 4)

    def _dump(self) -> None:
        tracks = [0 if d is None else d.track for d in self.drives]
        self._result(
            *tracks,
            *self.specify,
            self.transfer.last,
            self.is_locked << 7 | self.perpendicular,
            *self.config,
        )

    def _sense_drive(self) -> None:
        select = self.command[1] & 7
        drive = self.drives[select & 3]
        if drive is None:
            self._result(0x28 | select)
            return
        protected = drive.disk is not None and drive.disk.is_read_only
        self._result(0x28 | select | protected << 6 | (not drive.track) << 4)

    def _sense_interrupt(self) -> None:
        self.irq.set(False)
        if not self.ended:
            self._result(_INVALID)
            return
        self._result(*self.ended.pop(0))
        if self.ended and self.ended[0][0] & 0xC0 != _CHANGED:
            self._interrupt()

    # -- seeks -------------------------------------------------------------------------------------
    def _move(self, number: int, tracks: int, st0: int) -> None:
        drive = self.drives[number]
        if drive is not None:
            drive.step(tracks)
        self.seeking[number] = st0 | SEEK_END | number
        self._seeks[number].set(self.clock.now() + _SEEK_TIME + _STEP_TIME * abs(tracks))
        self._result()

    def _seek_end(self, number: int) -> Callable[[], None]:
        def end() -> None:
            drive = self.drives[number]
            track = 0 if drive is None else drive.track
            self.ended.append((self.seeking.pop(number, SEEK_END | number), track))
            self._interrupt()

        return end

    def _recalibrate(self) -> None:
        number = self.command[1] & 3
        drive = self.drives[number]
        if drive is None:  # no track 0 after 79 steps
            self._move(number, 0, ABNORMAL | _EQUIPMENT)
        else:
            self._move(number, -drive.track, 0)

    def _seek(self) -> None:
        number = self.command[1] & 3
        drive = self.drives[number]
        self._move(
            number, 0 if drive is None else self.command[2] - drive.track, self.command[1] & 4
        )

    def _relative_seek(self) -> None:
        tracks = self.command[2] if self.command[0] & 0x40 else -self.command[2]
        self._move(self.command[1] & 3, tracks, self.command[1] & 4)

    # -- data commands -----------------------------------------------------------------------------
    def _begin(self) -> None:
        self.phase = _EXECUTE
        drive = self.drives[self.command[1] & 3]
        uses_dma = not self.specify[1] & 1
        self.transfer.begin(bytes(self.command), drive, self.rate, self.config[0], uses_dma)

    def _ended(self, results: bytes) -> None:
        """Show what became of a data command."""
        self._result(*results)
        self._interrupt()

    ACTIONS: ClassVar[dict[str, Callable[[FloppyController], None]]] = {
        "invalid": _invalid,
        "specify": _specify,
        "sense_drive": _sense_drive,
        "recalibrate": _recalibrate,
        "sense_interrupt": _sense_interrupt,
        "dump": _dump,
        "seek": _seek,
        "relative_seek": _relative_seek,
        "version": _version,
        "perpendicular": _perpendicular,
        "configure": _configure,
        "lock": _lock,
        **dict.fromkeys(["read_track", "write", "read", "read_id"], _begin),
        **dict.fromkeys(["format", "scan", "verify"], _begin),
    }
