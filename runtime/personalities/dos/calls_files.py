"""INT 21h: files by handle (3Ch to 46h, 57h, 5Ah, 5Bh, 5Ch, 67h, 68h, 6Ch)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.firmware.call import Call
from runtime.firmware.callbacks import WAIT, Result
from runtime.personalities.dos import calls_keys, clockwork
from runtime.personalities.dos.console import Console
from runtime.personalities.dos.errors import (
    ACCESS_DENIED,
    FILE_EXISTS,
    FILE_NOT_FOUND,
    INVALID_ACCESS,
    INVALID_FUNCTION,
    LOCKED,
    NO_MEMORY,
    TOO_MANY_FILES,
    DosError,
)
from runtime.personalities.dos.handles import (
    CLOSED,
    JFT_COUNT,
    JFT_POINTER,
    MAX_FILES,
    HostFile,
    OpenFile,
)
from runtime.personalities.dos.lineedit import LineEditor
from runtime.personalities.dos.table import service

if TYPE_CHECKING:
    from runtime.personalities.dos.kernel import Kernel, Place

_ACCESS = (os.O_RDONLY, os.O_WRONLY, os.O_RDWR)
PRIVATE = 0x80  # open mode: children do not inherit it
_LINE = 128  # characters of a line read from CON


def open_file(dos: Kernel, text: bytes, mode: int) -> OpenFile:
    """Open a file or device by name; DosError."""
    if mode & 7 > 2:
        raise DosError(INVALID_ACCESS)
    device = dos.device(text)
    if device is not None:
        return device
    return open_place(dos.resolve(text), mode)


def open_place(place: Place, mode: int) -> HostFile:
    """Open a file; DosError."""
    access = mode & 7
    if access > 2:
        raise DosError(INVALID_ACCESS)
    entry = place.drive.entry(place.path)
    if access and entry.attributes & 1:
        raise DosError(ACCESS_DENIED)
    fd = place.drive.open(place.path, _ACCESS[access])
    return HostFile(fd, place.path[-1], place.number, access)


def create_file(dos: Kernel, text: bytes, attributes: int, *, is_new: bool = False) -> OpenFile:
    """Create a file, or open a device; DosError."""
    device = dos.device(text)
    if device is not None:
        return device
    place = dos.resolve(text)
    fd = place.drive.create(place.path, attributes, is_new=is_new)
    return HostFile(fd, place.path[-1], place.number, 2)


@service(0x3C)
def create(dos: Kernel, call: Call) -> None:
    """AX = handle of the file at DS:DX, made or emptied, with attributes CX."""
    text = dos.path_at(call.ds, call.dx)
    call.ax = dos.files.open(dos.psp, create_file(dos, text, call.cx))


@service(0x3D)
def open_(dos: Kernel, call: Call) -> None:
    """AX = handle of the file at DS:DX, for access AL."""
    file = open_file(dos, dos.path_at(call.ds, call.dx), call.al)
    file.is_private = bool(call.al & PRIVATE)
    call.ax = dos.files.open(dos.psp, file)


@service(0x3E)
def close(dos: Kernel, call: Call) -> None:
    """Close handle BX."""
    dos.files.close(dos.psp, call.bx)


@service(0x3F)
def read(dos: Kernel, call: Call) -> Result | None:
    """AX = bytes read from handle BX, at most CX, to DS:DX."""
    file = dos.files.file(dos.psp, call.bx)
    if file.mode == 1:
        raise DosError(ACCESS_DENIED)
    if isinstance(file, Console):
        return _read_console(dos, call, file)
    data = file.read(call.cx) if call.cx else b""
    dos.memory.copy_to(call.ds, call.dx, data)
    call.ax = len(data)
    return None


def _read_console(dos: Kernel, call: Call, file: Console) -> Result | None:
    """Read what was typed: a line and CR LF, or single characters in raw mode."""
    if file.is_raw:
        value = file.keys.read()
        if value is None:
            return WAIT
        dos.typed += bytes((value,))
        if len(dos.typed) < call.cx and (value == 0 or file.keys.ready()):
            return read(dos, call)
    elif not dos.typed:
        if dos.line is None:
            dos.line = LineEditor(_LINE - 1, dos.last_line, lambda data: calls_keys.put(dos, data))
        done = calls_keys.edit(dos, dos.line)
        if done is None:
            return WAIT
        text = bytes(dos.line.text)
        dos.line = None
        if not done:
            return dos.control_break(call)
        dos.last_line = text
        calls_keys.put(dos, b"\r\n")
        end = text.find(b"\x1a")
        dos.typed = text + b"\r\n" if end < 0 else text[:end]
    data, dos.typed = dos.typed[: call.cx], dos.typed[call.cx :]
    dos.memory.copy_to(call.ds, call.dx, data)
    call.ax = len(data)
    return None


@service(0x40)
def write(dos: Kernel, call: Call) -> None:
    """AX = bytes written of the CX at DS:DX to handle BX; none end the file there."""
    file = dos.files.file(dos.psp, call.bx)
    if file.mode == 0:
        raise DosError(ACCESS_DENIED)
    if not call.cx:
        file.truncate()
        call.ax = 0
        return
    call.ax = file.write(dos.memory.copy_from(call.ds, call.dx, call.cx))


@service(0x42)
def seek(dos: Kernel, call: Call) -> None:
    """DX:AX = file pointer of BX, moved by CX:DX from its start, where it is, or its end (AL)."""
    file = dos.files.file(dos.psp, call.bx)
    if call.al > 2:
        raise DosError(INVALID_FUNCTION)
    offset = call.cx << 16 | call.dx
    if call.al:
        offset -= (offset & 0x80000000) << 1
        if not file.is_device:
            # A place before the start: DOS has it as a huge one; no host file goes there.
            base = file.seek(0, call.al)
            if base + offset < 0:
                raise DosError(INVALID_FUNCTION)
    position = file.seek(offset, call.al)
    call.dx, call.ax = position >> 16 & 0xFFFF, position & 0xFFFF


@service(0x45)
def duplicate(dos: Kernel, call: Call) -> None:
    """AX = another handle for what BX leads to."""
    call.ax = dos.files.duplicate(dos.psp, call.bx)


@service(0x46)
def redirect(dos: Kernel, call: Call) -> None:
    """Let handle CX lead to what BX leads to."""
    dos.files.duplicate(dos.psp, call.bx, call.cx)


@service(0x57)
def times(dos: Kernel, call: Call) -> None:
    """AL=0: CX, DX = time and date that BX was written; 1: set them."""
    file = dos.files.file(dos.psp, call.bx)
    if call.al == 0:
        when = file.times() if isinstance(file, HostFile) else dos.calendar.now()
        call.dx, call.cx = clockwork.packed(when)
    elif call.al == 1:
        if isinstance(file, HostFile):
            if dos.drives[file.drive].is_read_only:
                raise DosError(ACCESS_DENIED)
            file.set_times(clockwork.unpacked(call.dx, call.cx))
    else:
        raise DosError(INVALID_FUNCTION)


@service(0x5A)
def temporary(dos: Kernel, call: Call) -> None:
    """AX = handle of a new file in the directory at DS:DX, behind which its name is put."""
    text = dos.memory.asciiz(call.ds, call.dx, 128)
    base = text if not text or text[-1:] in (b"\\", b"/", b":") else text + b"\\"
    for number in range(0x10000):
        name = b"%08X" % (int(dos.calendar.now() * 100) + number & 0xFFFFFFFF)
        try:
            file = create_file(dos, base + name, call.cx, is_new=True)
        except DosError as error:
            if error.code == FILE_EXISTS:
                continue
            raise
        call.ax = dos.files.open(dos.psp, file)
        dos.memory.copy_to(call.ds, call.dx, base + name + b"\0")
        return
    raise DosError(ACCESS_DENIED)


@service(0x5B)
def create_new(dos: Kernel, call: Call) -> None:
    """AX = handle of the file at DS:DX, which must not exist yet."""
    text = dos.path_at(call.ds, call.dx)
    call.ax = dos.files.open(dos.psp, create_file(dos, text, call.cx, is_new=True))


@service(0x5C)
def lock(dos: Kernel, call: Call) -> None:
    """Lock (AL=0) or unlock (1) SI:DI bytes at CX:DX of BX: one program, so only its own count."""
    number = dos.files.number(dos.psp, call.bx)
    region = number, call.cx << 16 | call.dx, call.si << 16 | call.di
    if call.al == 0:
        if any(_overlap(region, held) for held in dos.locks):
            raise DosError(LOCKED)
        dos.locks.add(region)
    elif call.al == 1:
        if region not in dos.locks:
            raise DosError(LOCKED)
        dos.locks.remove(region)
    else:
        raise DosError(INVALID_FUNCTION)


def _overlap(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    is_apart = one[1] + one[2] <= other[1] or other[1] + other[2] <= one[1]
    return one[0] == other[0] and not is_apart


@service(0x67)
def set_count(dos: Kernel, call: Call) -> None:
    """Let the program have BX handles."""
    base = dos.psp << 4
    count = max(call.bx, 20)
    old = dos.memory.u16(base + JFT_COUNT)
    far = dos.memory.u32(base + JFT_POINTER)
    if count <= old:
        return
    if count > MAX_FILES:
        raise DosError(TOO_MANY_FILES)
    table = dos.memory.read((far >> 16 << 4) + (far & 0xFFFF), old)
    try:
        segment = dos.arena.allocate(count + 15 >> 4, dos.psp)
    except DosError:
        raise DosError(NO_MEMORY) from None
    dos.memory.write(segment << 4, table.ljust(count, bytes([CLOSED])))
    dos.memory.put16(base + JFT_COUNT, count)
    dos.memory.put32(base + JFT_POINTER, segment << 16)


@service(0x68, 0x6A)
def commit(dos: Kernel, call: Call) -> None:
    """Let what was written to BX be on disk: the host has it already."""
    dos.files.file(dos.psp, call.bx)


@service(0x6C)
def extended_open(dos: Kernel, call: Call) -> None:
    """AX = handle of the file at DS:SI, CX = 1 opened, 2 made, 3 emptied; DL says what may be."""
    text = dos.path_at(call.ds, call.si)
    if_there, if_not = call.dl & 15, call.dl >> 4 & 15
    done = 1
    try:
        if if_there == 2 and dos.device(text) is None:
            dos.resolve_entry(text)
            file = create_file(dos, text, call.cx)
            done = 3
        else:
            file = open_file(dos, text, call.bx & 0xFF)
            if if_there == 0:
                file.close()
                raise DosError(FILE_EXISTS)
    except DosError as error:
        if error.code != FILE_NOT_FOUND or if_not != 1:
            raise
        file = create_file(dos, text, call.cx)
        done = 2
    file.is_private = bool(call.bx & PRIVATE)
    call.ax = dos.files.open(dos.psp, file)
    call.cx = done
