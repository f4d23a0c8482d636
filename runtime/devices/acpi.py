"""Power management of the PIIX4: ACPI registers, PM timer, power-off (Intel 82371AB, 7.2).

ACPI Specification 1.0b, chapter 4: fixed hardware registers. The registers' ports are where
configuration space says; the firmware chooses B000h or 600h.
"""

from __future__ import annotations

from collections.abc import Callable

from runtime.bus import Bus, Line
from runtime.clock import SECOND, Clock
from runtime.devices.pci import Function

TIMER_HZ = 3579545
PM_BASE, PM_ENABLE, SMB_BASE, SMB_ENABLE = 0x40, 0x80, 0x90, 0xD2
DEVACTB = 0x58
_APMC_EN = 1 << 25  # of DEVACTB: SMIs have been set up, so that SeaBIOS does not ask for SMM
_STATUS, _ENABLES, _CONTROL, _TIMER = 0, 2, 4, 8
_OVERFLOW, _POWER_BUTTON, _WAKE = 1, 1 << 8, 1 << 15
_SCI_EN, _SLEEP = 1, 1 << 13
SLEEP_OFF = 0  # SLP_TYP of S5, in the tables (machines/acpitables.py) and in QEMU's
ENABLE, DISABLE = 0xF1, 0xF0  # written to the SMI command port
COMMAND_PORT = 0xB2
_GENERAL, _GENERAL_SIZE = 0xAFE0, 4


class PowerManagement(Function):
    """Function 3 of the PIIX4: the ports of ACPI, and SMI command port B2h."""

    def __init__(self, bus: Bus, irq: Line, clock: Clock, power_off: Callable[[], object]) -> None:
        """Drive *irq* (SCI, IRQ 9); S5 calls *power_off*."""
        super().__init__((0x8086, 0x7113), 0x068000, revision=3, pin=1)
        self.bus, self.sci, self.clock, self.power_off = bus, irq, clock, power_off
        self.put(PM_BASE, 1, 4)
        self.allow(PM_BASE, 0xFFC0, 4)
        self.allow(PM_ENABLE, 1, 1)
        self.put(SMB_BASE, 1, 4)
        self.allow(SMB_BASE, 0xFFC0, 4)
        self.allow(SMB_ENABLE, 0xFF, 1)
        self.put(DEVACTB, _APMC_EN, 4)
        for offset in (DEVACTB, 0x5C, 0x60, 0x64, 0x68, 0x74, 0x78, 0x7C):
            self.allow(offset, 0xFFFFFFFF, 4)
        self.base: int | None = None
        self.status = self.enables = self.control = 0
        self.general = bytearray(_GENERAL_SIZE)
        self.command = bytearray(2)
        self.since = 0  # tick up to which overflows are known
        self.timer = clock.timer(self._update)
        self.on_write = self._configured
        bus.map_ports(COMMAND_PORT, 2, self._read_command, self._write_command, owner="acpi")
        general = self._read_general, self._write_general
        bus.map_ports(_GENERAL, _GENERAL_SIZE, *general, owner="acpi")

    def reset(self) -> None:
        """Be as after power-on; the timer runs on."""
        super().reset()
        self.put(PM_BASE, 1, 4)
        self.put(DEVACTB, _APMC_EN, 4)
        self.config[PM_ENABLE] = 0
        self.status = self.enables = self.control = 0
        self._configured(PM_BASE, 4)
        self._update()

    def press_power_button(self) -> None:
        """Let the guest know that somebody wants it to shut down."""
        self.status |= _POWER_BUTTON
        self._update()

    def _configured(self, offset: int, size: int) -> None:
        base = self.get(PM_BASE, 4) & 0xFFC0 if self.config[PM_ENABLE] & 1 else 0
        if (base or None) == self.base:
            return
        if self.base is not None:
            self.bus.unmap_ports(self.base, 64)
        self.base = None
        if base and not any(self.bus.owner_of(base + i) for i in range(64)):
            self.base = base
            self.bus.map_ports(base, 64, self._read, self._write, owner="acpi")

    # -- registers ---------------------------------------------------------------------------------
    def ticks(self) -> int:
        """Return what the PM timer counted."""
        return self.clock.now() * TIMER_HZ // SECOND

    def _catch_up(self) -> None:
        ticks = self.ticks()
        if ticks >> 23 != self.since >> 23:  # TMR_STS: the highest bit has changed
            self.status |= _OVERFLOW
        self.since = ticks

    def _update(self) -> None:
        self._catch_up()
        self.sci.set(bool(self.status & self.enables & (_OVERFLOW | _POWER_BUTTON)))
        if self.enables & _OVERFLOW and not self.status & _OVERFLOW:
            ticks = (self.since >> 23) + 1 << 23
            self.timer.set(-(-ticks * SECOND // TIMER_HZ))
        else:
            self.timer.cancel()

    def _read(self, port: int, size: int) -> int:
        assert self.base is not None
        offset = port - self.base
        if offset == _TIMER:
            return self.ticks() & 0xFFFFFF
        self._catch_up()
        registers = self.status | self.enables << 16 | self.control << 32
        registers |= (self.ticks() & 0xFFFFFF) << 64
        return registers >> 8 * offset

    def _write(self, port: int, value: int, size: int) -> None:
        assert self.base is not None
        offset = port - self.base
        self._catch_up()
        for place in range(offset, offset + size):  # bytes, since any part may be written
            byte, shift = value >> 8 * (place - offset) & 0xFF, 8 * (place & 1)
            keeps = ~(0xFF << shift)
            if place >> 1 == _STATUS >> 1:
                self.status &= ~(byte << shift)
            elif place >> 1 == _ENABLES >> 1:
                self.enables = self.enables & keeps | byte << shift
            elif place >> 1 == _CONTROL >> 1:
                self.control = self.control & keeps | byte << shift
        self._update()
        if self.control & _SLEEP and offset <= _CONTROL + 1 < offset + size:
            self._sleep()

    def _sleep(self) -> None:
        self.control &= ~_SLEEP
        if self.control >> 10 & 7 == SLEEP_OFF:
            self.power_off()
        else:
            self.status |= _WAKE  # other states are over at once

    def enable_acpi(self, *, enabled: bool) -> None:
        """Say who gets power management events, as the SMI handler of a firmware does."""
        self.control = self.control & ~_SCI_EN | (_SCI_EN if enabled else 0)

    def _read_command(self, port: int, size: int) -> int:
        return int.from_bytes(self.command, "little") >> 8 * (port & 1)

    def _write_command(self, port: int, value: int, size: int) -> None:
        for place in range(port & 1, min((port & 1) + size, 2)):
            self.command[place] = value & 0xFF
            value >>= 8
        if port == COMMAND_PORT and self.command[0] in (ENABLE, DISABLE):
            self.enable_acpi(enabled=self.command[0] == ENABLE)

    def _read_general(self, port: int, size: int) -> int:
        return int.from_bytes(self.general, "little") >> 8 * (port - _GENERAL)

    def _write_general(self, port: int, value: int, size: int) -> None:
        """GPE0: nothing sets its status, so only enables are kept."""
        for place in range(port - _GENERAL, min(port - _GENERAL + size, _GENERAL_SIZE)):
            if place >= _GENERAL_SIZE // 2:
                self.general[place] = value & 0xFF
            value >>= 8
