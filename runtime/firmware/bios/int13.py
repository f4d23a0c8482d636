"""INT 13h: disks by cylinder, head and sector, and by number (EDD 3.0; El Torito for 4Ah to 4Ch).

IBM BIOS reference, INT 13h; Ralf Brown, INT 13.  Whole runs of sectors go straight between image
and guest memory; no controller takes part.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from runtime.firmware.bios import bda, rom
from runtime.firmware.bios.drives import FIRST_CD, FIRST_DISK, Drive, Kind
from runtime.firmware.bios.table import Services, registrar
from runtime.firmware.call import Call
from runtime.firmware.callbacks import SEGMENT, Result
from runtime.system.segments import DS, ES

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

SERVICES: Services = {}
service = registrar(SERVICES)
_BAD, _PROTECTED, _NOT_FOUND, _CHANGED = 0x01, 0x03, 0x04, 0x06
_BOUNDARY, _CONTROLLER, _NO_DRIVE, _NOT_READY = 0x09, 0x20, 0x80, 0x80
_NOT_REMOVABLE, _NO_EJECT = 0xB2, 0xB4
_LIMIT = 1 << 20  # of what function 2 can reach


class Failed(Exception):  # noqa: N818 (the guest's event)
    """A function that ends with a status in AH and CF."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def serve_13(bios: Bios, call: Call) -> Result | None:
    """Serve a function; the status goes to AH, CF and the data area."""
    number = call.dl
    found, status = SERVICES.get(call.ah), _BAD
    if found is not None:
        try:
            found(bios, call)
            status = 0
        except Failed as failed:
            status = failed.status
        except PermissionError:
            status = _PROTECTED
        except OSError:
            status = _CONTROLLER
    if found not in _SILENT or status:
        _end(call, number, status)
    return None


def _end(call: Call, number: int, status: int) -> None:
    call.store(bda.DISK_STATUS if number >= FIRST_DISK else bda.FLOPPY_STATUS, status, 8)
    call.ah, call.carry = status, bool(status)


def drive_of(bios: Bios, number: int) -> Drive:
    """Return a drive; `Failed` if there is none."""
    drive = bios.drives.get(number)
    if drive is None:
        raise Failed(_BAD if number >= FIRST_DISK else _NO_DRIVE)
    return drive


def _ready(bios: Bios, number: int) -> Drive:
    """Return a drive with a disk in it; a change is reported once."""
    drive = drive_of(bios, number)
    if drive.disk is None:
        raise Failed(_NOT_READY)
    if drive.kind is Kind.FLOPPY and drive.take_change():
        raise Failed(_CHANGED)
    return drive


def floppy_interrupt(bios: Bios, call: Call) -> None:
    """INT 0Eh: take note that the diskette controller is done."""
    call.store(0x43E, call.load(0x43E, 8) | 0x80, 8)


# -- by cylinder, head and sector ------------------------------------------------------------------
def _place(drive: Drive, call: Call) -> int:
    """Return the number of the sector that CX and DH name."""
    cylinder = call.ch | (call.cl & 0xC0) << 2
    place = drive.geometry.lba(cylinder, call.dh, call.cl & 0x3F)
    if place is None:
        raise Failed(_NOT_FOUND if drive.kind is Kind.FLOPPY else _BAD)
    return place


def _checked(bios: Bios, call: Call) -> tuple[Drive, int, int]:
    """Return drive, first sector and count of a transfer; AL 0 when it fails."""
    count = call.al
    call.al = 0
    drive = _ready(bios, call.dl)
    if drive.kind is Kind.CD or not 1 <= count <= 128:
        raise Failed(_BAD)
    place = _place(drive, call)
    # IBM's ends a diskette's transfer with the cylinder; SeaBIOS goes on, and programs rely on it.
    if place + count > drive.sectors:
        raise Failed(_NOT_FOUND)
    return drive, place, count


@service(0x00, 0x0D)
def reset(bios: Bios, call: Call) -> None:
    """Reset the controller: whatever is there answers."""
    if call.dl < FIRST_DISK:
        call.store(0x43E, 0, 8)
        return
    drive_of(bios, call.dl)


@service(0x01)
def status(bios: Bios, call: Call) -> None:
    """AH: the status of the last function."""
    place = bda.DISK_STATUS if call.dl >= FIRST_DISK else bda.FLOPPY_STATUS
    last = call.load(place, 8)
    call.store(place, 0, 8)
    call.ah, call.carry = last, bool(last)


@service(0x02)
def read(bios: Bios, call: Call) -> None:
    """Read AL sectors to ES:BX."""
    drive, place, count = _checked(bios, call)
    call.write(call.linear(ES, call.bx), drive.read(place, count))
    call.al = count


@service(0x03)
def write(bios: Bios, call: Call) -> None:
    """Write AL sectors from ES:BX."""
    drive, place, count = _checked(bios, call)
    drive.write(place, call.read(call.linear(ES, call.bx), 512 * count))
    call.al = count


@service(0x04)
def verify(bios: Bios, call: Call) -> None:
    """Whether AL sectors can be read."""
    drive, place, count = _checked(bios, call)
    drive.read(place, count)
    call.al = count


@service(0x05)
def format_track(bios: Bios, call: Call) -> None:
    """Format a track: on a diskette, the sectors that ES:BX lists become F6h."""
    drive = _ready(bios, call.dl)
    if drive.kind is not Kind.FLOPPY:
        raise Failed(_BAD)
    geometry = drive.geometry
    cylinder = call.ch | (call.cl & 0xC0) << 2
    for index in range(min(call.al, geometry.sectors)):
        marks = call.read(call.linear(ES, call.bx) + 4 * index, 4)
        place = geometry.lba(cylinder, call.dh, marks[2])
        if place is None or marks[3] != 2:
            raise Failed(_NOT_FOUND)
        drive.write(place, b"\xf6" * 512)


@service(0x08)
def parameters(bios: Bios, call: Call) -> None:
    """CX, DH: the last cylinder, sector and head; DL: how many drives; of a diskette BL, ES:DI."""
    number = call.dl
    drive = bios.drives.get(number)
    first = FIRST_DISK if number >= FIRST_DISK else 0
    last = FIRST_CD if first else FIRST_DISK
    count = sum(first <= known < last for known in bios.drives)
    if drive is None or drive.kind is Kind.CD:
        call.cx = call.dx = 0
        if first or not count:
            raise Failed(_BAD)
        call.bx, call.dl = 0, count
        return
    cylinders, heads, sectors = drive.geometry
    call.ch, call.cl = cylinders - 1 & 0xFF, sectors | (cylinders - 1 & 0x300) >> 2
    call.dh, call.dl, call.al = heads - 1, count, 0
    if drive.kind is Kind.FLOPPY:
        call.bx = drive.floppy_type
        call.es, call.di = SEGMENT, rom.DISKETTE


@service(0x09, 0x0C, 0x10, 0x11, 0x14)
def exists(bios: Bios, call: Call) -> None:
    """Initialize, seek, test, recalibrate, diagnose a hard disk: it is there."""
    drive = drive_of(bios, call.dl)
    if call.ah == 0x0C and drive.kind is Kind.DISK:
        call.cl |= 1
        _place(drive, call)
    if drive.disk is None:
        raise Failed(0xAA)


@service(0x15)
def kind(bios: Bios, call: Call) -> None:
    """AH: 0 no drive, 2 diskette that knows changes, 3 disk of CX:DX sectors."""
    drive = bios.drives.get(call.dl)
    call.carry = False
    if drive is None or drive.kind is Kind.CD:
        call.ah = 0
    elif drive.kind is Kind.FLOPPY:
        call.ah = 2
    else:
        sectors = min(drive.geometry.total, 0xFFFFFFFF)
        call.ah, call.cx, call.dx = 3, sectors >> 16, sectors & 0xFFFF


@service(0x16)
def changed(bios: Bios, call: Call) -> None:
    """Whether the diskette was changed: status 06h."""
    drive = drive_of(bios, call.dl)
    if drive.kind is not Kind.FLOPPY:
        raise Failed(_BAD)
    _ready(bios, call.dl)


@service(0x17, 0x18)
def set_media(bios: Bios, call: Call) -> None:
    """Prepare to format: the format has to be that of the disk; ES:DI (18h): its table."""
    drive = _ready(bios, call.dl)
    if drive.kind is not Kind.FLOPPY:
        raise Failed(_BAD)
    if call.ah == 0x18:
        geometry = drive.geometry
        if (call.ch + 1, call.cl & 0x3F) != (geometry.cylinders, geometry.sectors):
            raise Failed(0x0C)
        call.es, call.di = SEGMENT, rom.DISKETTE


# -- extensions ------------------------------------------------------------------------------------
def _extended(bios: Bios, call: Call) -> Drive:
    drive = drive_of(bios, call.dl)
    if drive.kind is Kind.FLOPPY:
        raise Failed(_BAD)
    return drive


@service(0x41)
def has_extensions(bios: Bios, call: Call) -> None:
    """BX AA55h: functions 42h to 44h, 47h, 48h are there, and those for removable media."""
    if call.bx != 0x55AA:
        raise Failed(_BAD)
    _extended(bios, call)
    call.bx, call.cx, call.ax, call.carry = 0xAA55, 7, 0x3000, False


def _packet(bios: Bios, call: Call) -> tuple[Drive, int, int, int]:
    """Return drive, first sector, count and linear address of the packet at DS:SI."""
    drive = _extended(bios, call)
    place = call.linear(DS, call.si)
    size, _, count, offset, segment, first = struct.unpack("<BBHHHQ", call.read(place, 16))
    if size < 16:
        raise Failed(_BAD)
    target = (segment << 4) + offset
    if (segment, offset) == (0xFFFF, 0xFFFF) and size >= 24:
        target = int.from_bytes(call.read(place + 16, 8), "little")
        if target > 0xFFFFFFFF:
            raise Failed(_BOUNDARY)
    if drive.disk is None:
        raise Failed(0xAA)
    if first + count > drive.sectors:
        call.store(place + 2, 0, 16)
        raise Failed(_NOT_FOUND if drive.kind is Kind.CD else _BAD)
    return drive, first, count, target


_CHUNK = 128  # sectors that are moved at once


@service(0x42)
def read_extended(bios: Bios, call: Call) -> None:
    """Read as the packet at DS:SI says."""
    drive, first, count, target = _packet(bios, call)
    for start in range(0, count, _CHUNK):
        data = drive.read(first + start, min(_CHUNK, count - start))
        call.write(target + start * drive.sector_size, data)


@service(0x43)
def write_extended(bios: Bios, call: Call) -> None:
    """Write as the packet at DS:SI says."""
    drive, first, count, source = _packet(bios, call)
    if drive.kind is Kind.CD:
        raise Failed(_PROTECTED)
    for start in range(0, count, _CHUNK):
        part, size = min(_CHUNK, count - start), drive.sector_size
        drive.write(first + start, call.read(source + start * size, part * size))


@service(0x44, 0x47)
def verify_extended(bios: Bios, call: Call) -> None:
    """Verify or seek as the packet at DS:SI says."""
    drive, first, count, _ = _packet(bios, call)
    if call.ah == 0x44:
        for start in range(0, count, _CHUNK):
            drive.read(first + start, min(_CHUNK, count - start))


@service(0x45, 0x46, 0x49)
def removable(bios: Bios, call: Call) -> None:
    """Lock, eject, change: locks are counted by nobody, and disks cannot be ejected."""
    drive = _extended(bios, call)
    if drive.kind is not Kind.CD:
        raise Failed(_NOT_REMOVABLE)
    if call.ah == 0x46:
        raise Failed(_NO_EJECT)
    if call.ah == 0x45:
        if call.al > 2:
            raise Failed(_BAD)
        call.al = 0


@service(0x48)
def parameters_extended(bios: Bios, call: Call) -> None:
    """DS:SI: size and geometry."""
    drive = _extended(bios, call)
    place = call.linear(DS, call.si)
    size = call.load(place, 16)
    if size < 26:
        raise Failed(_BAD)
    is_cd = drive.kind is Kind.CD
    cylinders, heads, sectors = (0, 0, 0) if is_cd else drive.geometry
    if not is_cd and drive.geometry.total < drive.sectors:  # the geometry is not all of it
        cylinders = min(drive.sectors // (heads * sectors), 16383)
    flags = 0x74 if is_cd else 2
    total = drive.sectors
    data = struct.pack("<HIIIQH", flags, cylinders, heads, sectors, total, drive.sector_size)
    if size >= 30:
        data += b"\xff\xff\xff\xff"  # no table of the controller
    shown = 30 if size >= 30 else 26
    call.write(place, struct.pack("<H", shown) + data[: shown - 2])


@service(0x4E)
def set_hardware(bios: Bios, call: Call) -> None:
    """Choose modes of DMA or PIO: it makes no difference."""
    _extended(bios, call)
    if call.al > 6:
        raise Failed(_BAD)
    call.al = 0


@service(0x4A, 0x4B, 0x4C)
def cd_emulation(bios: Bios, call: Call) -> None:
    """El Torito: begin, end or tell of the emulation of a disk."""
    from runtime.firmware.bios import eltorito

    if call.ah == 0x4B:
        found = eltorito.specification(bios, call.dl)
        if found is None:
            raise Failed(_BAD)
        call.write(call.linear(DS, call.si), found)
        if call.al == 0:
            eltorito.end(bios)
    else:
        raise Failed(_BAD)


_SILENT = frozenset({status, kind, has_extensions})
