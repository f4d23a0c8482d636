"""An IDE channel: the registers of two devices on one cable, and its interrupt.

Source: ATA/ATAPI-6 (T13/1410D r3b), 7 and 9.16 (a device 1 that is not there).
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.bus import Bus, Line, Stream
from runtime.devices.idedevice import BSY, COMMAND, DEVICE, DRQ, FEATURES, SLAVE, IdeDevice
from runtime.devices.idemaster import BusMaster

_DISABLED, _RESET, _HIGH_ORDER = 2, 4, 0x80  # device control
_DIAGNOSTIC, _DEVICE_RESET = 0x90, 0x08  # commands that are the channel's matter


class IdeChannel:
    """Eight ports of the task file, one for control, and the bus master behind them."""

    def __init__(
        self,
        bus: Bus,
        irq: Line,
        drives: Sequence[IdeDevice | None],
        *,
        command: int = 0x1F0,
        control: int = 0x3F6,
    ) -> None:
        """Connect device 0 and device 1; None: nobody there."""
        self.irq = irq
        self.drives = [*drives, None, None][:2]
        self.control = 0
        self.select = 0  # the device register, of which all devices see every write
        self.base = command
        self.master = BusMaster(bus)
        for drive in self.drives:
            if drive is not None:
                drive.on_interrupt = self._update
                drive.dma = self.master
        stream = Stream(self._read_block, self._write_block)
        bus.map_ports(command, 8, self._read, self._write, owner="ide", stream=stream)
        bus.map_ports(control, 1, self._read_control, self._write_control, owner="ide")

    def reset(self) -> None:
        """Do what the RESET- pin does."""
        self.control = self.select = 0
        self.master.reset()
        for drive in self.drives:
            if drive is not None:
                drive.begin_reset()
                drive.reset_done()

    @property
    def selected(self) -> IdeDevice | None:
        """The device that commands go to."""
        return self.drives[self.select >> 4 & 1]

    def _update(self) -> None:
        drive = self.selected
        level = drive is not None and drive.interrupts and not self.control & _DISABLED
        self.master.see_interrupt(level)
        self.irq.set(level)

    # -- task file ---------------------------------------------------------------------------------
    def _read(self, port: int, size: int) -> int:
        register = port - self.base
        drive = self.selected
        if drive is None:
            # Device 0 answers for a device 1 that is not there; nobody pulls lines up otherwise.
            return self.select if register == DEVICE and any(self.drives) else 0
        if not register:
            return drive.read_data(size)
        drive.settle()
        if register == COMMAND:
            if drive.interrupts:
                drive.set_interrupt(False)
            return drive.status
        if register == FEATURES:
            return drive.error
        if self.control & _HIGH_ORDER and register != DEVICE:
            return drive.previous[register]
        return drive.registers[register]

    def _write(self, port: int, value: int, size: int) -> None:
        register = port - self.base
        if not register:
            drive = self.selected
            if drive is not None:
                drive.write_data(value, size)
            return
        value &= 0xFF
        if register == COMMAND:
            self._command(value)
            return
        self.control &= ~_HIGH_ORDER
        for drive in self.drives:
            if drive is not None:
                drive.write_register(register, value)
        if register == DEVICE:
            self.select = value
            self._update()

    def _command(self, code: int) -> None:
        drive = self.selected
        if code == _DIAGNOSTIC:
            self.select &= ~SLAVE
            for each in self.drives:
                if each is not None:
                    each.begin_reset()
                    each.end_reset()
            first = self.drives[0]
            if first is not None:
                first.later(first.diagnosed)
        elif drive is None:
            return
        elif code == _DEVICE_RESET and drive.has_device_reset:
            drive.begin_reset()
            drive.end_reset()
        elif not drive.status & (BSY | DRQ):
            drive.command(code)

    # -- control -----------------------------------------------------------------------------------
    def _read_control(self, port: int, size: int) -> int:
        drive = self.selected
        if drive is None:
            return 0
        drive.settle()
        return drive.status

    def _write_control(self, port: int, value: int, size: int) -> None:
        old, self.control = self.control, value & 0xFF
        for drive in self.drives:
            if drive is None:
                continue
            if value & _RESET and not old & _RESET:
                drive.begin_reset()
            elif old & _RESET and not value & _RESET:
                drive.end_reset()
        if value & _RESET:
            self.select = 0
        self._update()

    # -- data --------------------------------------------------------------------------------------
    def _read_block(self, size: int, count: int) -> bytes:
        drive = self.selected
        return b"" if drive is None else drive.read_block(size, count)

    def _write_block(self, data: bytes, size: int) -> int:
        drive = self.selected
        return 0 if drive is None else drive.write_block(data, size)
