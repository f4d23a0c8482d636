"""INT 21h, function 71xxh: files and directories by long names.

Source: Ralf Brown's Interrupt List, INT 21h AH=71h (Windows 95 long filename functions).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime.firmware.call import Call
from runtime.personalities.dos import calls_dirs, calls_files, clockwork, drives, longnames, names
from runtime.personalities.dos.errors import (
    ACCESS_DENIED,
    FILE_EXISTS,
    FILE_NOT_FOUND,
    INVALID_FUNCTION,
    NOT_SAME_DEVICE,
    PATH_NOT_FOUND,
    DosError,
)
from runtime.personalities.dos.handles import HostFile, OpenFile
from runtime.personalities.dos.table import service

if TYPE_CHECKING:
    from runtime.personalities.dos.kernel import Kernel, Place

Function = Callable[["Kernel", Call], None]
_FUNCTIONS: dict[int, Function] = {}
_ABSENT = 0x7100  # AX of a function that is not there
# Cases are kept, names are in Unicode somewhere, long names: what Windows 95 says of its drives.
_VOLUME_FLAGS = 0x4006
_DOS_TIMES = 1  # in SI: as directories have them
_OPENED, _MADE, _EMPTIED = 1, 2, 3


def _long(*numbers: int) -> Callable[[Function], Function]:
    def add(function: Function) -> Function:
        _FUNCTIONS.update(dict.fromkeys(numbers, function))
        return function

    return add


@service(0x71)
def long_names(dos: Kernel, call: Call) -> None:
    """Do function AL with long names."""
    function = _FUNCTIONS.get(call.al)
    if function is None:
        dos.report.unknown(0x21, call.ax)
        raise DosError(_ABSENT)
    function(dos, call)


def _text(dos: Kernel, segment: int, offset: int) -> bytes:
    text = dos.memory.asciiz(segment, offset, longnames.PATH_MAX + 1)
    if not text or len(text) > longnames.PATH_MAX:
        raise DosError(PATH_NOT_FOUND)
    return text


def _place(dos: Kernel, segment: int, offset: int) -> tuple[Place, bytes]:
    return longnames.resolve(dos, _text(dos, segment, offset))


# -- directories -----------------------------------------------------------------------------------
@_long(0x0D)
def reset(dos: Kernel, call: Call) -> None:
    """Flush buffers: there are none."""


@_long(0x39)
def make_directory(dos: Kernel, call: Call) -> None:
    """Make the directory at DS:DX."""
    place, name = _place(dos, call.ds, call.dx)
    place.drive.make_directory(place.path, name)


@_long(0x3A)
def remove_directory(dos: Kernel, call: Call) -> None:
    """Remove the directory at DS:DX."""
    place, _ = _place(dos, call.ds, call.dx)
    place.drive.remove_directory(place.path)


@_long(0x3B)
def change_directory(dos: Kernel, call: Call) -> None:
    """Make the directory at DS:DX its drive's current one."""
    calls_dirs.enter_directory(dos, _place(dos, call.ds, call.dx)[0])


@_long(0x47)
def current_directory(dos: Kernel, call: Call) -> None:
    """Put the current directory of drive DL to DS:SI, without drive and leading backslash."""
    drive = dos.drives[dos.drive_number(call.dl)]
    path = b"\\".join(drive.long_path(drive.current))
    dos.memory.copy_to(call.ds, call.si, path + b"\0")


@_long(0x60)
def true_name(dos: Kernel, call: Call) -> None:
    """Put the full path of DS:SI to ES:DI: as it is given (CL=0), in short (1), long names (2)."""
    text = _text(dos, call.ds, call.si)
    device = dos.device(text)
    if device is not None:
        found = b"%c:/" % (65 + dos.drive) + device.name
    else:
        place, name = longnames.resolve(dos, text)
        if call.cl in (1, 2) and place.path:
            place.drive.entry(place.path)  # it must be there
        if call.cl == 1:
            found = place.text()
        else:
            path = place.drive.long_path(place.path)
            if call.cl == 0 and name and path:
                path = (*path[:-1], name)
            found = place._replace(path=path).text()
    dos.memory.copy_to(call.es, call.di, found + b"\0")
    call.ax = 0


# -- files -----------------------------------------------------------------------------------------
@_long(0x41)
def delete(dos: Kernel, call: Call) -> None:
    """Delete the file at DS:DX; with SI=1 all that fit it and the attributes CL, CH."""
    text = _text(dos, call.ds, call.dx)
    if dos.device(text) is not None:
        raise DosError(ACCESS_DENIED)
    place, _ = longnames.resolve(dos, text)
    if not call.si & 1 or not place.path:
        place.drive.remove(place.path)
        return
    found = longnames.search(place, call.cl, call.ch)
    if not found:
        raise DosError(FILE_NOT_FOUND)
    for one in found:
        if not one.entry.attributes & drives.DIRECTORY:
            place.drive.remove((*place.path[:-1], one.entry.name))


@_long(0x43)
def attributes(dos: Kernel, call: Call) -> None:
    """CX = attributes of DS:DX (BL=0), or set them (1); DX:AX = size (2); dates (3 to 8)."""
    place, _ = _place(dos, call.ds, call.dx)
    drive, path, kind = place.drive, place.path, call.bl
    if kind == 0:
        call.cx = drive.entry(path).attributes if path else drives.DIRECTORY
    elif kind == 1:
        drive.set_attributes(path, call.cx & ~drives.DIRECTORY)
    elif kind == 2:
        size = drive.entry(path).size
        call.dx, call.ax = size >> 16, size & 0xFFFF
    elif kind in (4, 6, 8):
        about = drive.status(path)
        call.di, call.cx = clockwork.packed(about.st_atime if kind == 6 else about.st_mtime)
        call.si = 0
        if kind == 6:
            call.cx = 0
    elif kind in (3, 5):
        when = clockwork.unpacked(call.di, call.cx if kind == 3 else 0)
        drive.set_times(path, *((None, when) if kind == 3 else (when, None)))
    elif kind == 7:
        drive.entry(path)  # the host keeps no date of creation that can be set
    else:
        raise DosError(INVALID_FUNCTION)


@_long(0x56)
def rename(dos: Kernel, call: Call) -> None:
    """Rename the file at DS:DX to ES:DI, on the same drive."""
    old, _ = _place(dos, call.ds, call.dx)
    new, name = _place(dos, call.es, call.di)
    if old.number != new.number:
        raise DosError(NOT_SAME_DEVICE)
    old.drive.rename(old.path, new.path, name)


@_long(0x6C, 0xA9)
def open_(dos: Kernel, call: Call) -> None:
    """AX = handle of the file at DS:SI, CX = 1 opened, 2 made, 3 emptied; DL says what may be."""
    text = _text(dos, call.ds, call.si)
    if dos.device(text) is not None:
        call.ax = dos.files.open(dos.psp, calls_files.open_file(dos, text, call.bl))
        call.cx = _OPENED
        return
    place, name = longnames.resolve(dos, text)
    if_there, if_not = call.dl & 15, call.dl >> 4 & 15
    try:
        place.drive.entry(place.path)
    except DosError as error:
        if error.code != FILE_NOT_FOUND or if_not != 1:
            raise
        file, done = _make(place, call.cx, name), _MADE
    else:
        if if_there == 0:
            raise DosError(FILE_EXISTS)
        if if_there == 2:
            file, done = _make(place, call.cx, name), _EMPTIED
        else:
            file, done = calls_files.open_place(place, call.bl), _OPENED
    file.is_private = bool(call.bl & calls_files.PRIVATE)
    call.ax = dos.files.open(dos.psp, file)
    call.cx = done


def _make(place: Place, wanted: int, name: bytes) -> OpenFile:
    fd = place.drive.create(place.path, wanted, long=name)
    short = place.drive.short_name(place.path[:-1], name) or place.path[-1]
    return HostFile(fd, short, place.number, 2)


# -- searches --------------------------------------------------------------------------------------
def _stamps(about: os.stat_result, form: int) -> bytes:
    """Return dates of creation, access and writing, as FILETIME or as DOS has them."""
    moments = (about.st_mtime, about.st_atime, about.st_mtime)
    if form == _DOS_TIMES:
        pairs = (clockwork.packed(when) for when in moments)
        return b"".join(struct.pack("<HHI", time, date, 0) for date, time in pairs)
    return struct.pack("<3Q", *map(longnames.to_filetime, moments))


def _answer(dos: Kernel, call: Call, found: longnames.Found, form: int) -> None:
    """Put what was found to ES:DI."""
    size = 0 if found.entry.attributes & drives.DIRECTORY else found.status.st_size
    data = struct.pack("<I", found.entry.attributes) + _stamps(found.status, form)
    data += struct.pack("<II8x", size >> 32, size & 0xFFFFFFFF)
    data += found.long.ljust(longnames.PATH_MAX, b"\0") + found.entry.name.ljust(14, b"\0")
    dos.memory.copy_to(call.es, call.di, data)


@_long(0x4E)
def find_first(dos: Kernel, call: Call) -> None:
    """AX = search for DS:DX with attributes CL and at least CH; the first one is put to ES:DI."""
    place, _ = _place(dos, call.ds, call.dx)
    found = longnames.search(place, call.cl, call.ch)
    if not found:
        raise DosError(FILE_NOT_FOUND)
    handle = dos.long_searches.begin(found)
    _answer(dos, call, dos.long_searches.next(handle), call.si)
    call.ax, call.cx = handle, 0


@_long(0x4F)
def find_next(dos: Kernel, call: Call) -> None:
    """Put the next of the search BX to ES:DI."""
    _answer(dos, call, dos.long_searches.next(call.bx), call.si)
    call.cx = 0


@_long(0xA1)
def end_search(dos: Kernel, call: Call) -> None:
    """End the search BX."""
    dos.long_searches.end(call.bx)


# -- what there is ---------------------------------------------------------------------------------
@_long(0xA0)
def volume(dos: Kernel, call: Call) -> None:
    """BX, CX, DX = flags, longest name, longest path of the drive at DS:DX; its kind to ES:DI."""
    dos.split_drive(_text(dos, call.ds, call.dx))
    dos.memory.copy_to(call.es, call.di, b"FAT\0"[: call.cx])
    call.bx, call.cx, call.dx = _VOLUME_FLAGS, longnames.NAME_MAX, longnames.PATH_MAX
    call.ax = 0


@_long(0xA6)
def about_handle(dos: Kernel, call: Call) -> None:
    """Put what is known of the file BX to DS:DX."""
    file = dos.files.file(dos.psp, call.bx)
    if not isinstance(file, HostFile):
        raise DosError(INVALID_FUNCTION)
    about = os.fstat(file.fd)
    drive = dos.drives[file.drive]
    data = struct.pack("<I", drives.ARCHIVE) + _stamps(about, 0)
    size, inode = about.st_size, about.st_ino
    data += struct.pack("<3I", drive.serial, size >> 32, size & 0xFFFFFFFF)
    data += struct.pack("<3I", about.st_nlink, inode >> 32 & 0xFFFFFFFF, inode & 0xFFFFFFFF)
    dos.memory.copy_to(call.ds, call.dx, data)


@_long(0xA7)
def convert_time(dos: Kernel, call: Call) -> None:
    """BL=0: CX, DX, BH = the FILETIME at DS:SI as DOS has it; 1: the other way, to ES:DI."""
    if call.bl == 0:
        (ticks,) = struct.unpack("<Q", dos.memory.copy_from(call.ds, call.si, 8))
        seconds = longnames.from_filetime(ticks)
        call.dx, call.cx = clockwork.packed(seconds)
        call.bh = int(seconds % 2 * 100)
    elif call.bl == 1:
        seconds = clockwork.unpacked(call.dx, call.cx) + call.bh / 100
        ticks = longnames.to_filetime(seconds)
        dos.memory.copy_to(call.es, call.di, struct.pack("<Q", ticks))
    else:
        raise DosError(INVALID_FUNCTION)


@_long(0xA8)
def make_short(dos: Kernel, call: Call) -> None:
    """Put a short name for DS:SI to ES:DI: eleven bytes (DH=0), or with its dot and zero (1)."""
    short = longnames.short_of(_text(dos, call.ds, call.si))
    data = names.padded(short) if call.dh == 0 else short + b"\0"
    dos.memory.copy_to(call.es, call.di, data)
