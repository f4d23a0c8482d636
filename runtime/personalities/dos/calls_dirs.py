"""INT 21h: drives, directories, names (0Dh, 0Eh, 19h, 1Bh, 1Ch, 36h, 39h to 3Bh, 41h, 43h...)."""

from __future__ import annotations

import struct
from collections import OrderedDict
from typing import TYPE_CHECKING

from runtime.firmware.call import Call
from runtime.personalities.dos import drives, names, tables
from runtime.personalities.dos.errors import (
    ACCESS_DENIED,
    FILE_NOT_FOUND,
    INVALID_DRIVE,
    INVALID_FUNCTION,
    NO_MORE_FILES,
    NOT_SAME_DEVICE,
    PATH_NOT_FOUND,
    DosError,
)
from runtime.personalities.dos.table import service

if TYPE_CHECKING:
    from runtime.personalities.dos.kernel import Kernel, Place

CLUSTER, _SECTOR = 32 * 512, 512  # bytes
_CLUSTERS_MAX = 0xFFF0
_SEARCHES_MAX = 256
_CHANGEABLE = drives.READ_ONLY | drives.HIDDEN | drives.SYSTEM | drives.ARCHIVE


@service(0x0D)
def reset_disks(dos: Kernel, call: Call) -> None:
    """Flush buffers: there are none."""


@service(0x0E)
def select_drive(dos: Kernel, call: Call) -> None:
    """Make drive DL (0: A) the current one if it exists; AL = number of drives."""
    if call.dl in dos.drives:
        dos.drive = call.dl
    call.al = max(5, max(dos.drives, default=0) + 1)


@service(0x19)
def current_drive(dos: Kernel, call: Call) -> None:
    """AL = current drive, 0 for A."""
    call.al = dos.drive


def clusters(dos: Kernel, number: int) -> tuple[int, int]:
    """Return free and all clusters of a drive, as many as can be told."""
    free, total = dos.drives[number].space()
    return min(free // CLUSTER, _CLUSTERS_MAX), min(total // CLUSTER, _CLUSTERS_MAX)


@service(0x1B, 0x1C)
def allocation(dos: Kernel, call: Call) -> None:
    """AL, CX, DX = sectors a cluster, bytes a sector, clusters of drive DL; DS:BX = its medium."""
    number = dos.drive_number(call.dl if call.ah == 0x1C else 0)
    _, total = clusters(dos, number)
    call.al, call.cx, call.dx = CLUSTER // _SECTOR, _SECTOR, total
    call.ds, call.bx = dos.tables.medium


@service(0x36)
def disk_space(dos: Kernel, call: Call) -> None:
    """AX, BX, CX, DX = sectors a cluster, free clusters, bytes a sector, clusters of drive DL."""
    try:
        number = dos.drive_number(call.dl)
    except DosError:
        call.ax = 0xFFFF
        return
    call.bx, call.dx = clusters(dos, number)
    call.ax, call.cx = CLUSTER // _SECTOR, _SECTOR


@service(0x39)
def make_directory(dos: Kernel, call: Call) -> None:
    """Make the directory at DS:DX."""
    place = dos.resolve(dos.path_at(call.ds, call.dx))
    place.drive.make_directory(place.path)


@service(0x3A)
def remove_directory(dos: Kernel, call: Call) -> None:
    """Remove the directory at DS:DX."""
    place = dos.resolve(dos.path_at(call.ds, call.dx))
    place.drive.remove_directory(place.path)


@service(0x3B)
def change_directory(dos: Kernel, call: Call) -> None:
    """Make the directory at DS:DX its drive's current one."""
    enter_directory(dos, dos.resolve(dos.path_at(call.ds, call.dx)))


def enter_directory(dos: Kernel, place: Place) -> None:
    """Make a directory its drive's current one; DosError."""
    if not place.drive.exists(place.path) or len(b"\\".join(place.path)) > 63:
        raise DosError(PATH_NOT_FOUND)
    place.drive.current = place.path
    tables.describe_drives(dos)


@service(0x47)
def current_directory(dos: Kernel, call: Call) -> None:
    """Put the current directory of drive DL to DS:SI, without drive and leading backslash."""
    drive = dos.drives[dos.drive_number(call.dl)]
    dos.memory.copy_to(call.ds, call.si, b"\\".join(drive.current) + b"\0")
    call.ax = 0x0100


@service(0x41)
def delete(dos: Kernel, call: Call) -> None:
    """Delete the file at DS:DX."""
    text = dos.path_at(call.ds, call.dx)
    if dos.device(text) is not None:
        raise DosError(ACCESS_DENIED)
    place = dos.resolve(text)
    place.drive.remove(place.path)


@service(0x43)
def attributes(dos: Kernel, call: Call) -> None:
    """CX = attributes of the file at DS:DX (AL=0), or set them (1)."""
    place = dos.resolve(dos.path_at(call.ds, call.dx))
    if call.al == 0:
        if not place.path:
            raise DosError(FILE_NOT_FOUND)
        call.cx = call.ax = place.drive.entry(place.path).attributes
    elif call.al == 1:
        if call.cx & ~(_CHANGEABLE | drives.DIRECTORY):
            raise DosError(ACCESS_DENIED)
        place.drive.set_attributes(place.path, call.cx)
    else:
        raise DosError(INVALID_FUNCTION)


@service(0x56)
def rename(dos: Kernel, call: Call) -> None:
    """Rename the file at DS:DX to ES:DI, on the same drive."""
    old = dos.resolve(dos.path_at(call.ds, call.dx))
    new = dos.resolve(dos.path_at(call.es, call.di))
    if old.number != new.number:
        raise DosError(NOT_SAME_DEVICE)
    old.drive.rename(old.path, new.path)


@service(0x60)
def true_name(dos: Kernel, call: Call) -> None:
    """Put the full path of the name at DS:SI to ES:DI."""
    text = dos.path_at(call.ds, call.si)
    device = dos.device(text)
    if device is not None:
        found = b"%c:/" % (65 + dos.drive) + device.name
    else:
        place = dos.resolve(text)
        if any(b"*" in name or b"?" in name for name in place.path[:-1]):
            raise DosError(PATH_NOT_FOUND)
        last = [names.joined(names.padded(name)) for name in place.path[-1:]]
        found = place._replace(path=(*place.path[:-1], *last)).text()
    dos.memory.copy_to(call.es, call.di, found + b"\0")
    call.al = 0


# -- searches --------------------------------------------------------------------------------------
class Searches:
    """What find next goes on with: entries found, and the next one."""

    def __init__(self) -> None:
        """Begin without searches."""
        self._found: OrderedDict[int, list[drives.Entry]] = OrderedDict()
        self._last = 0

    def add(self, entries: list[drives.Entry]) -> int:
        """Keep the entries of a search; return its number, from 1 on."""
        self._last = self._last % 0xFFFF + 1
        self._found.pop(self._last, None)
        self._found[self._last] = entries
        while len(self._found) > _SEARCHES_MAX:
            self._found.popitem(last=False)
        return self._last

    def entry(self, number: int, index: int) -> drives.Entry:
        """Return an entry; DosError behind the last one."""
        entries = self._found.get(number)
        if entries is None or index >= len(entries):
            self._found.pop(number, None)
            raise DosError(NO_MORE_FILES)
        self._found.move_to_end(number)
        return entries[index]


def begin_search(dos: Kernel, text: bytes, attributes: int) -> tuple[int, int, bytes]:
    """Search for a path with wildcards: number of the search, drive, template. DosError."""
    device = dos.device(text)
    if device is not None:
        found = [drives.Entry(device.name, 0x40, 0, 0x21, 0)]
        return dos.searches.add(found), dos.drive, names.padded(device.name)
    place = dos.resolve(text)
    if not place.path:
        if attributes & drives.VOLUME:
            place = place._replace(path=(b"*.*",))
        else:
            raise DosError(NO_MORE_FILES)
    template = names.padded(place.path[-1])
    directory = () if attributes == drives.VOLUME else place.path[:-1]
    entries = place.drive.search(directory, template, attributes)
    return dos.searches.add(entries), place.number, template


def _answer(dos: Kernel, search: int, index: int, head: bytes) -> None:
    """Fill the DTA with an entry and where to go on."""
    entry = dos.searches.entry(search, index)
    state = head[:13] + struct.pack("<HHI", index + 1, search, 0)
    data = state + struct.pack("<BHHI", entry.attributes, entry.time, entry.date, entry.size)
    dos.memory.copy_to(*dos.dta, data + entry.name.ljust(13, b"\0"))


@service(0x4E)
def find_first(dos: Kernel, call: Call) -> None:
    """Put the first entry that fits the path at DS:DX and the attributes CX into the DTA."""
    try:
        text = dos.path_at(call.ds, call.dx)
        search, drive, template = begin_search(dos, text, call.cx & 0x3F)
    except DosError as error:
        raise DosError(NO_MORE_FILES if error.code == FILE_NOT_FOUND else error.code) from None
    _answer(dos, search, 0, bytes([drive + 1]) + template + bytes([call.cx & 0x3F]))
    call.ax = 0


@service(0x4F)
def find_next(dos: Kernel, call: Call) -> None:
    """Put the next entry of the search that the DTA tells of there."""
    head = dos.memory.copy_from(*dos.dta, 21)
    index, search = struct.unpack_from("<HH", head, 13)
    _answer(dos, search, index, head)
    call.ax = 0


@service(0x2F)
def get_dta(dos: Kernel, call: Call) -> None:
    """ES:BX = DTA."""
    call.es, call.bx = dos.dta


@service(0x1A)
def set_dta(dos: Kernel, call: Call) -> None:
    """Let the DTA be at DS:DX."""
    dos.dta = call.ds, call.dx


@service(0x69)
def serial_number(dos: Kernel, call: Call) -> None:
    """Put serial number, label and file system of drive BL to DS:DX."""
    if call.al != 0:
        raise DosError(INVALID_FUNCTION)
    drive = dos.drives[dos.drive_number(call.bl)]
    label = (drive.label or b"NO NAME")[:11].ljust(11)
    dos.memory.copy_to(call.ds, call.dx, struct.pack("<HI", 0, drive.serial) + label + b"FAT16   ")


@service(0x1F, 0x32)
def parameter_block(dos: Kernel, call: Call) -> None:
    """There is no parameter block: drives are the host's, as a network's."""
    raise DosError(INVALID_DRIVE)
