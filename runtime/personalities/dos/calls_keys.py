"""INT 21h: characters (01h to 0Ch), through handles 0 to 4 as they are redirected.

A key without a character is two: 0, then its code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.firmware.call import Call
from runtime.firmware.callbacks import WAIT, Result
from runtime.personalities.dos.console import (
    END_OF_FILE,
    ENDLESS,
    Console,
    EndOfInput,
    StandardInput,
)
from runtime.personalities.dos.errors import DosError
from runtime.personalities.dos.lineedit import BREAK, LINE_FEED, LineEditor
from runtime.personalities.dos.table import SERVICES, service

if TYPE_CHECKING:
    from runtime.personalities.dos.kernel import Kernel

STDIN, STDOUT, _AUX, _PRINTER = 0, 1, 3, 4
_ECHO, _RAW, _SILENT = 0x01, 0x07, 0x08  # function 07h does not look for Ctrl-C
_INPUT = frozenset((_ECHO, 0x06, _RAW, _SILENT, 0x0A))


def put(dos: Kernel, data: bytes, handle: int = STDOUT) -> None:
    """Write characters to a handle; nothing happens if it is closed."""
    try:
        file = dos.files.file(dos.psp, handle)
    except DosError:
        return
    file.write(data)


def ready(dos: Kernel) -> bool:
    """Whether handle 0 has a character."""
    try:
        return dos.files.file(dos.psp, STDIN).input_ready()
    except DosError:
        return False


def get(dos: Kernel) -> int | None:
    """Read a character of handle 0; None: there is none yet. Unanswered."""
    dos.interrupts.expect_answer()
    try:
        file = dos.files.file(dos.psp, STDIN)
    except DosError:
        return _at_end(dos)
    dos.busy()
    if isinstance(file, Console):
        return file.keys.read()
    if isinstance(file, StandardInput):
        return file.source.read()
    data = file.read(1)
    if not data:
        return _at_end(dos)
    dos.reads_at_end = 0
    return data[0]


def _at_end(dos: Kernel) -> int:
    """Return what is read where there is nothing; EndOfInput if that goes on and on."""
    dos.reads_at_end += 1
    if dos.reads_at_end > ENDLESS:
        raise EndOfInput
    return END_OF_FILE


def _is_typed(dos: Kernel) -> bool:
    try:
        return dos.files.file(dos.psp, STDIN).is_device
    except DosError:
        return False


@service(_ECHO, _RAW, _SILENT)
def read_key(dos: Kernel, call: Call) -> Result | None:
    """AL = character."""
    function = call.ah if dos.flushed is None else dos.flushed
    value = get(dos)
    if value is None:
        return WAIT
    if value == BREAK and function != _RAW:
        return dos.control_break(call)
    call.al = value
    if function == _ECHO:
        put(dos, bytes((value,)))
    return None


@service(0x02)
def write(dos: Kernel, call: Call) -> Result | None:
    """Write DL."""
    put(dos, bytes((call.dl,)))
    call.al = 0x20 if call.dl == 9 else call.dl  # as DOS leaves it
    return None


@service(0x03)
def read_aux(dos: Kernel, call: Call) -> None:
    """AL = character of AUX."""
    data = dos.files.file(dos.psp, _AUX).read(1)
    call.al = data[0] if data else END_OF_FILE


@service(0x04)
def write_aux(dos: Kernel, call: Call) -> None:
    """Write DL to AUX."""
    put(dos, bytes((call.dl,)), _AUX)


@service(0x05)
def write_printer(dos: Kernel, call: Call) -> None:
    """Write DL to PRN."""
    put(dos, bytes((call.dl,)), _PRINTER)


@service(0x06)
def direct(dos: Kernel, call: Call) -> None:
    """Write DL; or if it is FFh, AL = character if there is one, else ZF."""
    if call.dl != 0xFF:
        put(dos, bytes((call.dl,)))
        call.al = call.dl
        return
    value = get(dos) if ready(dos) else None
    if value is None:
        dos.idle()
    call.zero = value is None
    call.al = value or 0


@service(0x09)
def write_string(dos: Kernel, call: Call) -> None:
    """Write the string at DS:DX up to a $."""
    put(dos, dos.memory.until(call.ds, call.dx, b"$"))
    call.al = 0x24


@service(0x0A)
def read_line(dos: Kernel, call: Call) -> Result | None:
    """Read a line into the buffer at DS:DX: its size, the count, then characters and a CR."""
    size = dos.memory.copy_from(call.ds, call.dx, 1)[0]
    if not size:
        return None
    if dos.line is None:
        have = dos.memory.copy_from(call.ds, call.dx + 1, 1)[0]
        template = dos.memory.copy_from(call.ds, call.dx + 2, have) if have < size else b""
        dos.line = LineEditor(size - 1, template, lambda data: put(dos, data))
    done = edit(dos, dos.line)
    if done is None:
        return WAIT
    line = bytes(dos.line.text)
    dos.line = None
    if not done:
        return dos.control_break(call)
    dos.memory.copy_to(call.ds, call.dx + 1, bytes([len(line)]) + line + b"\r")
    put(dos, b"\r")
    return None


def edit(dos: Kernel, line: LineEditor) -> bool | None:
    """Give keys to a line: None if they did not suffice, False at Ctrl-C."""
    while True:
        value = get(dos)
        if value is None:
            return None
        if value == BREAK:
            return False
        if value == LINE_FEED and not _is_typed(dos):
            continue  # the line before ended with CR LF
        if value == END_OF_FILE and not _is_typed(dos):
            return True
        if line.key(value):
            return True


@service(0x0B)
def status(dos: Kernel, call: Call) -> None:
    """AL = FFh if there is a character."""
    call.al = 0xFF if ready(dos) else 0
    if not call.al:
        dos.idle()


@service(0x0C)
def flush(dos: Kernel, call: Call) -> Result | None:
    """Forget what was typed ahead, then do the function AL."""
    if dos.flushed is None:
        while _is_typed(dos) and ready(dos):
            get(dos)
    function = call.al
    if function not in _INPUT:
        call.al = 0
        return None
    dos.flushed = function
    result = SERVICES[function](dos, call)
    if result is not WAIT:
        dos.flushed = None
    return result
