"""INT 21h: programs (00h, 26h, 31h, 4Bh, 4Ch, 4Dh, 50h, 51h, 55h, 62h)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from runtime.firmware.call import Call
from runtime.loaders import mz
from runtime.personalities.dos import names, programs, shell
from runtime.personalities.dos import psp as layout
from runtime.personalities.dos.errors import BAD_FORMAT, INVALID_FUNCTION, DosError
from runtime.personalities.dos.table import service

if TYPE_CHECKING:
    from runtime.personalities.dos.handles import OpenFile
    from runtime.personalities.dos.kernel import Kernel

_RUN, _LOAD, _OVERLAY, _STATE = 0, 1, 3, 5
_MIN_RESIDENT = 6  # paragraphs that DOS keeps at least


@service(0x00)
def terminate(dos: Kernel, call: Call) -> None:
    """End the program, whose PSP is at CS, with 0."""
    programs.end(dos, 0)


@service(0x4C)
def exit_(dos: Kernel, call: Call) -> None:
    """End the program with AL."""
    dos.skip_carry = True
    programs.end(dos, call.al)


@service(0x31)
def stay_resident(dos: Kernel, call: Call) -> None:
    """End the program with AL; DX paragraphs of it stay."""
    dos.skip_carry = True
    programs.end(dos, call.al, programs.RESIDENT, keep=max(call.dx, _MIN_RESIDENT))


@service(0x4D)
def return_code(dos: Kernel, call: Call) -> None:
    """AL = exit code of the last child, AH = how it ended; only once."""
    call.ax, dos.return_code = dos.return_code, 0


@service(0x50)
def set_psp(dos: Kernel, call: Call) -> None:
    """Make BX the running program's PSP."""
    dos.psp = call.bx


@service(0x51, 0x62)
def get_psp(dos: Kernel, call: Call) -> None:
    """BX = PSP of the running program."""
    call.bx = dos.psp


@service(0x26)
def copy_psp(dos: Kernel, call: Call) -> None:
    """Make a PSP at segment DX, like the running program's."""
    old = bytearray(dos.memory.read(dos.psp << 4, 256))
    struct.pack_into("<III", old, layout.TERMINATE, *programs.vectors(dos))
    dos.memory.write(call.dx << 4, bytes(old))


@service(0x55)
def child_psp(dos: Kernel, call: Call) -> None:
    """Make a child's PSP at segment DX whose memory ends at SI, and make it the running one."""
    environment = dos.memory.u16((dos.psp << 4) + layout.ENVIRONMENT)
    programs.make_psp(dos, call.dx, call.si, environment, b"\0\r")
    dos.psp = call.dx


@service(0x4B)
def execute(dos: Kernel, call: Call) -> None:
    """Load the program at DS:DX with the parameters at ES:BX: run it, or load it only."""
    if call.al in (_RUN, _LOAD):
        _execute(dos, call, is_run=call.al == _RUN)
    elif call.al == _OVERLAY:
        _overlay(dos, call)
    elif call.al == _STATE:
        call.ax = 0
    else:
        raise DosError(INVALID_FUNCTION)


def _execute(dos: Kernel, call: Call, *, is_run: bool) -> None:
    block = dos.memory.copy_from(call.es, call.bx, 14)
    environment, tail, first, second = struct.unpack("<HIII", block)
    text = dos.memory.copy_from(tail >> 16, tail & 0xFFFF, 128)
    files: list[tuple[int, OpenFile]] = []
    path = dos.path_at(call.ds, call.dx)
    try:
        place = dos.resolve_entry(path)
    except DosError:
        command = shell.parse(text[1 : 1 + text[0]].partition(b"\r")[0])
        if command is None or names.upper(path[-len(shell.NAME) :]) != shell.NAME or not is_run:
            raise
        found = None if command.word in shell.BUILT_IN else shell.find(dos, command.word)
        if found is None:
            dos.return_code = shell.run_built_in(dos, command)
            return
        place, text = found, layout.tail(command.rest)
        files = shell.open_redirections(dos, command)
    fcbs = [dos.memory.copy_from(far >> 16, far & 0xFFFF, 16) for far in (first, second)]
    before = dos.memory.u32(4 * 0x22)
    cs, ip = call.caller
    dos.memory.put32(4 * 0x22, cs << 16 | ip)  # in the child's PSP: where its end returns to
    try:
        start = programs.load(dos, place, environment, text)
    except DosError:
        dos.memory.put32(4 * 0x22, before)
        raise
    for fcb, at in zip(fcbs, (layout.FCB1, layout.FCB2), strict=True):
        dos.memory.write((start.psp << 4) + at, fcb)
    parameters = call.es, call.bx
    shell.redirect(dos, start.psp, files)
    if is_run:
        programs.begin_child(dos)
        dos.skip_carry = True
        programs.enter(dos, start)
        return
    # The caller starts it: SS:SP with AX of the beginning on top, and CS:IP, behind the parameters.
    programs.begin_child(dos)
    call.sp = call.sp + 18 & 0xFFFF
    ax = programs.drive_state(dos, start.psp)
    dos.memory.copy_to(start.ss, start.sp - 2, struct.pack("<H", ax))
    words = struct.pack("<HHHH", start.sp - 2 & 0xFFFF, start.ss, start.ip, start.cs)
    dos.memory.copy_to(parameters[0], parameters[1] + 14, words)
    dos.psp, dos.dta = start.psp, (start.psp, layout.TAIL)


def _overlay(dos: Kernel, call: Call) -> None:
    """Load an image at a segment, relocated for another."""
    data = programs.read_file(dos.resolve_entry(dos.path_at(call.ds, call.dx)))
    segment, factor = struct.unpack("<HH", dos.memory.copy_from(call.es, call.bx, 4))
    if mz.is_mz(data):
        try:
            data = mz.parse(data).relocated(factor)
        except mz.BadProgram:
            raise DosError(BAD_FORMAT) from None
    end = (segment << 4) + len(data)
    if end > 0xA0000:
        raise DosError(BAD_FORMAT)
    dos.memory.write(segment << 4, data)
    call.ax = 0
