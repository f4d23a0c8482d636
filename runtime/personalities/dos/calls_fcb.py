"""INT 21h: files by FCB (0Fh to 17h, 21h to 24h, 27h to 29h)."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from runtime.firmware.call import Call
from runtime.personalities.dos import drives, names
from runtime.personalities.dos.errors import ACCESS_DENIED, DosError
from runtime.personalities.dos.fcb import EXTENDED, Fcb, parse
from runtime.personalities.dos.handles import HostFile
from runtime.personalities.dos.table import service

if TYPE_CHECKING:
    from runtime.personalities.dos.kernel import Kernel, Place

_DONE, _AT_END, _TOO_BIG, _PARTLY, _FAILED = 0, 1, 2, 3, 0xFF
_SEGMENT = 0x10000


def _fcb(dos: Kernel, call: Call) -> Fcb:
    return Fcb(dos, call.ds, call.dx)


@service(0x0F)
def open_(dos: Kernel, call: Call) -> None:
    """Open the file that the FCB at DS:DX names."""
    fcb = _fcb(dos, call)
    place = _one(fcb)
    try:
        fd, mode = place.drive.open(place.path, os.O_RDWR), 2
    except DosError as error:
        if error.code != ACCESS_DENIED:
            raise
        fd, mode = place.drive.open(place.path, os.O_RDONLY), 0
    fcb.attach(HostFile(fd, place.path[-1], place.number, mode))
    call.al = _DONE


def _one(fcb: Fcb) -> Place:
    """Return the place that an FCB names; wildcards take the first that fits."""
    place = fcb.place()
    if b"?" in place.path[-1]:
        found = place.drive.search(place.path[:-1], fcb.eleven, fcb.attributes)
        place = fcb.place(found[0].eleven)
    return place


@service(0x10)
def close(dos: Kernel, call: Call) -> None:
    """Close the file of the FCB at DS:DX."""
    _fcb(dos, call).close()
    call.al = _DONE


@service(0x16)
def create(dos: Kernel, call: Call) -> None:
    """Make or empty the file that the FCB at DS:DX names."""
    fcb = _fcb(dos, call)
    place = fcb.place()
    if b"?" in place.path[-1]:
        raise DosError(ACCESS_DENIED)
    fd = place.drive.create(place.path, fcb.attributes)
    fcb.attach(HostFile(fd, place.path[-1], place.number, 2))
    call.al = _DONE


# -- directories -----------------------------------------------------------------------------------
@service(0x11)
def find_first(dos: Kernel, call: Call) -> None:
    """Put an FCB for the first file that fits the one at DS:DX into the DTA."""
    fcb = _fcb(dos, call)
    number = dos.drive_number(fcb.drive)
    drive = dos.drives[number]
    attributes = fcb.attributes if fcb.is_extended else 0
    directory = () if attributes == drives.VOLUME else drive.current
    found = drive.search(directory, fcb.eleven, attributes)
    search = dos.searches.add(found)
    # The reserved bytes of the FCB keep the search.
    dos.memory.write(fcb.at + 13, struct.pack("<HHB", 0, search, number + 1))
    find_next(dos, call)


@service(0x12)
def find_next(dos: Kernel, call: Call) -> None:
    """Put an FCB for the next file of the search of the FCB at DS:DX into the DTA."""
    fcb = _fcb(dos, call)
    index, search, drive = struct.unpack("<HHB", dos.memory.read(fcb.at + 13, 5))
    entry = dos.searches.entry(search, index)
    dos.memory.put16(fcb.at + 13, index + 1)
    # A drive, then the entry as it stands in a directory on a disk.
    data = bytes([drive]) + entry.eleven + bytes([entry.attributes]) + bytes(10)
    data += struct.pack("<HHHI", entry.time, entry.date, 0, entry.size)
    if fcb.is_extended:
        data = bytes([EXTENDED]) + bytes(5) + bytes([entry.attributes]) + data
    dos.memory.copy_to(*dos.dta, data)
    call.al = _DONE


@service(0x13)
def delete(dos: Kernel, call: Call) -> None:
    """Delete the files that fit the FCB at DS:DX."""
    fcb = _fcb(dos, call)
    drive = dos.drives[dos.drive_number(fcb.drive)]
    done = 0
    for entry in drive.search(drive.current, fcb.eleven, fcb.attributes):
        if not entry.attributes & (drives.READ_ONLY | drives.DIRECTORY):
            drive.remove((*drive.current, entry.name))
            done += 1
    if not done:
        raise DosError(ACCESS_DENIED)
    call.al = _DONE


@service(0x17)
def rename(dos: Kernel, call: Call) -> None:
    """Rename the files that fit the FCB at DS:DX to the name at its offset 11h."""
    fcb = _fcb(dos, call)
    drive = dos.drives[dos.drive_number(fcb.drive)]
    wanted = names.upper(dos.memory.read(fcb.at + 0x11, 11))
    for entry in drive.search(drive.current, fcb.eleven, fcb.attributes):
        pairs = zip(wanted, entry.eleven, strict=True)
        new = bytes(old if char == 0x3F else char for char, old in pairs)
        drive.rename((*drive.current, entry.name), (*drive.current, names.joined(new)))
    call.al = _DONE


@service(0x23)
def file_size(dos: Kernel, call: Call) -> None:
    """Set the random record of the FCB at DS:DX to the number of records that the file has."""
    fcb = _fcb(dos, call)
    place = fcb.place()
    size = place.drive.entry(place.path).size
    fcb.random = -(-size // fcb.record_size)
    call.al = _DONE


# -- records ---------------------------------------------------------------------------------------
def _fits(dos: Kernel, count: int, size: int) -> bool:
    return dos.dta[1] + count * size <= _SEGMENT


def _read(dos: Kernel, fcb: Fcb, record: int) -> int:
    """Read a record into the DTA; what is missing of the last one is zeros."""
    if not _fits(dos, 1, fcb.record_size):
        return _TOO_BIG
    data = fcb.read(record, 1)
    if not data:
        return _AT_END
    dos.memory.copy_to(*dos.dta, data.ljust(fcb.record_size, b"\0"))
    return _DONE if len(data) == fcb.record_size else _PARTLY


def _write(dos: Kernel, fcb: Fcb, record: int) -> int:
    if not _fits(dos, 1, fcb.record_size):
        return _TOO_BIG
    fcb.write(record, dos.memory.copy_from(*dos.dta, fcb.record_size))
    return _DONE


@service(0x14)
def read_next(dos: Kernel, call: Call) -> None:
    """Read the current record of the FCB at DS:DX and go on to the next."""
    fcb = _fcb(dos, call)
    call.al = _read(dos, fcb, fcb.sequential)
    if call.al in (_DONE, _PARTLY):
        fcb.sequential += 1


@service(0x15)
def write_next(dos: Kernel, call: Call) -> None:
    """Write the current record of the FCB at DS:DX and go on to the next."""
    fcb = _fcb(dos, call)
    call.al = _write(dos, fcb, fcb.sequential)
    if call.al == _DONE:
        fcb.sequential += 1


@service(0x21)
def read_random(dos: Kernel, call: Call) -> None:
    """Read the random record of the FCB at DS:DX, which becomes the current one."""
    fcb = _fcb(dos, call)
    fcb.sequential = fcb.random
    call.al = _read(dos, fcb, fcb.random)


@service(0x22)
def write_random(dos: Kernel, call: Call) -> None:
    """Write the random record of the FCB at DS:DX, which becomes the current one."""
    fcb = _fcb(dos, call)
    fcb.sequential = fcb.random
    call.al = _write(dos, fcb, fcb.random)


@service(0x24)
def set_random(dos: Kernel, call: Call) -> None:
    """Set the random record of the FCB at DS:DX to the current one."""
    fcb = _fcb(dos, call)
    fcb.random = fcb.sequential


@service(0x27)
def read_block(dos: Kernel, call: Call) -> None:
    """Read CX records from the random one on; CX = how many."""
    fcb = _fcb(dos, call)
    size, first = fcb.record_size, fcb.random
    wanted = call.cx
    count = min(wanted, (_SEGMENT - dos.dta[1]) // size)
    data = fcb.read(first, count)
    full, rest = divmod(len(data), size)
    records = full + bool(rest)
    dos.memory.copy_to(*dos.dta, data.ljust(records * size, b"\0"))
    fcb.random = first + records
    fcb.sequential = first + records
    call.cx = records
    if rest:
        call.al = _PARTLY
    elif records == wanted:
        call.al = _DONE
    else:
        call.al = _TOO_BIG if count < wanted and records == count else _AT_END


@service(0x28)
def write_block(dos: Kernel, call: Call) -> None:
    """Write CX records from the random one on; none end the file there."""
    fcb = _fcb(dos, call)
    size, first = fcb.record_size, fcb.random
    count = min(call.cx, (_SEGMENT - dos.dta[1]) // size)
    call.al = _DONE if count == call.cx else _TOO_BIG
    fcb.write(first, dos.memory.copy_from(*dos.dta, count * size))
    fcb.random = first + count
    fcb.sequential = first + count
    call.cx = count


@service(0x29)
def parse_name(dos: Kernel, call: Call) -> None:
    """Read the name at DS:SI into the FCB at ES:DI; SI goes behind it, AL = 1: wildcards."""
    text = dos.memory.copy_from(call.ds, call.si, 128)
    old = dos.memory.copy_from(call.es, call.di, 12)
    length, found, is_wild = parse(text, old, call.al)
    dos.memory.copy_to(call.es, call.di, found + bytes(4))
    call.si = call.si + length
    drive = found[0]
    is_known = not drive or drive - 1 in dos.drives
    call.al = (_AT_END if is_wild else _DONE) if is_known else _FAILED
