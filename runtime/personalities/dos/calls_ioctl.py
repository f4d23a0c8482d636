"""INT 21h: IOCTL (44h). What it tells of handles and drives."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from runtime.firmware.call import Call
from runtime.personalities.dos.console import Console
from runtime.personalities.dos.errors import INVALID_DATA, INVALID_FUNCTION, DosError
from runtime.personalities.dos.handles import RAW
from runtime.personalities.dos.table import service

if TYPE_CHECKING:
    from runtime.personalities.dos.kernel import Kernel


@service(0x44)
def ioctl(dos: Kernel, call: Call) -> None:
    """Do function AL for handle BX or drive BL."""
    function = call.al
    if function in _OF_HANDLES:
        _OF_HANDLES[function](dos, call)
    elif function in _OF_DRIVES:
        _OF_DRIVES[function](dos, call)
    else:
        dos.report.unknown(0x21, call.ax)
        raise DosError(INVALID_FUNCTION)


def _get_info(dos: Kernel, call: Call) -> None:
    """DX = what handle BX is."""
    file = dos.files.file(dos.psp, call.bx)
    info = file.info
    if isinstance(file, Console):
        info = info | (RAW if file.is_raw else 0)
    call.dx = call.ax = info


def _set_info(dos: Kernel, call: Call) -> None:
    """Let device BX be raw or cooked: bit 5 of DL."""
    file = dos.files.file(dos.psp, call.bx)
    if not file.is_device:
        raise DosError(INVALID_FUNCTION)
    if call.dh:
        raise DosError(INVALID_DATA)
    if isinstance(file, Console):
        file.is_raw = bool(call.dl & RAW)


def _refuse(dos: Kernel, call: Call) -> None:
    """Control data: no driver takes any."""
    dos.files.file(dos.psp, call.bx)
    raise DosError(INVALID_FUNCTION)


def _input_status(dos: Kernel, call: Call) -> None:
    """AL = FFh if handle BX has input, a file if it is not at its end."""
    call.al = 0xFF if dos.files.file(dos.psp, call.bx).input_ready() else 0


def _output_status(dos: Kernel, call: Call) -> None:
    """AL = FFh: handle BX takes output."""
    dos.files.file(dos.psp, call.bx)
    call.al = 0xFF


def _is_remote_handle(dos: Kernel, call: Call) -> None:
    """DX = attributes of handle BX: no device of a network."""
    call.dx = dos.files.file(dos.psp, call.bx).info


def _is_removable(dos: Kernel, call: Call) -> None:
    """AX = 1: drive BL has a medium that stays."""
    dos.drive_number(call.bl)
    call.ax = 1


def _is_remote_drive(dos: Kernel, call: Call) -> None:
    """DX = attributes of drive BL. Local: programs take network drives for others' machines."""
    dos.drive_number(call.bl)
    call.dx = 0


def _retries(dos: Kernel, call: Call) -> None:
    """Set how often to try again after a sharing violation: there is none."""


def _generic_drive(dos: Kernel, call: Call) -> None:
    """Answer generic requests to drive BL: its parameters and serial number."""
    number = dos.drive_number(call.bl)
    if call.cx == 0x0866:
        drive = dos.drives[number]
        label = (drive.label or b"NO NAME")[:11].ljust(11)
        data = struct.pack("<HI", 0, drive.serial) + label + b"FAT16   "
        dos.memory.copy_to(call.ds, call.dx, data)
    elif call.cx == 0x0860:
        # A fixed disk of 512-byte sectors; no boot sector can be told.
        head = dos.memory.copy_from(call.ds, call.dx, 1)
        parameters = struct.pack("<BBHH", 5, 1, 1024, 0) + b"\0"
        block = struct.pack("<HBHBHHBHHHII", 512, 32, 1, 2, 512, 0, 0xF8, 128, 63, 16, 0, 1 << 21)
        dos.memory.copy_to(call.ds, call.dx, head + parameters + block)
    else:
        dos.report.unsupported(f"IOCTL 440Dh request {call.cx:04X}h")
        raise DosError(INVALID_FUNCTION)


def _logical_drive(dos: Kernel, call: Call) -> None:
    """AL = 0: drive BL has only one letter."""
    dos.drive_number(call.bl)
    call.al = 0


def _query(dos: Kernel, call: Call) -> None:
    """Say which generic requests are known."""
    if call.al == 0x10:
        dos.files.file(dos.psp, call.bx)
        raise DosError(INVALID_FUNCTION)
    dos.drive_number(call.bl)
    if call.cx not in (0x0860, 0x0866):
        raise DosError(INVALID_FUNCTION)
    call.ax = 0


def _refuse_drive(dos: Kernel, call: Call) -> None:
    """Control data of a drive's driver: there is none."""
    dos.drive_number(call.bl)
    raise DosError(INVALID_FUNCTION)


_OF_HANDLES = {
    0x00: _get_info,
    0x01: _set_info,
    0x02: _refuse,
    0x03: _refuse,
    0x06: _input_status,
    0x07: _output_status,
    0x0A: _is_remote_handle,
    0x0C: _refuse,
    0x10: _query,
}
_OF_DRIVES = {
    0x04: _refuse_drive,
    0x05: _refuse_drive,
    0x08: _is_removable,
    0x09: _is_remote_drive,
    0x0B: _retries,
    0x0D: _generic_drive,
    0x0E: _logical_drive,
    0x0F: _logical_drive,
    0x11: _query,
}
