"""Programs: loaded into memory, started, ended; what function 4Bh and the command line share."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from runtime.loaders import mz
from runtime.personalities.dos import fcb
from runtime.personalities.dos import psp as layout
from runtime.personalities.dos.errors import BAD_FORMAT, NO_MEMORY, DosError
from runtime.system import descriptors
from runtime.system.segments import CS, DS, ES, SS, update_context

if TYPE_CHECKING:
    from runtime.personalities.dos.kernel import Kernel, Place

NORMAL, BREAK, CRITICAL, RESIDENT = 0, 1, 2, 3  # how a program ended (function 4Dh)
_VECTORS = (0x22, 0x23, 0x24)
LARGEST = 4 << 20  # bytes of a program file that are looked at
_FLAGS, _KEPT = 0x202, 0x3000  # EFLAGS of a program: IF; IOPL stays
_STACK_RESERVE = 0x100
_DISTANCE = 0x1000  # paragraphs from address 0 on, for programs that need it


class ProgramEnd(Exception):  # noqa: N818 (nothing is wrong)
    """The first program has ended, with this exit code and maybe something to be said."""

    def __init__(self, status: int, note: str = "") -> None:
        super().__init__(status)
        self.status, self.note = status, note


class Start(NamedTuple):
    """Registers of a program that was loaded."""

    psp: int
    cs: int
    ip: int
    ss: int
    sp: int
    ax: int


def read_file(place: Place) -> bytes:
    """Read a program file; DosError."""
    fd = place.drive.open(place.path, os.O_RDONLY)
    try:
        data = b""
        while len(data) < LARGEST:
            part = os.read(fd, LARGEST)
            if not part:
                break
            data += part
        return data
    finally:
        os.close(fd)


def vectors(dos: Kernel) -> tuple[int, int, int]:
    """Return INT 22h, 23h and 24h."""
    first, second, third = (dos.memory.u32(4 * v) for v in _VECTORS)
    return first, second, third


def load(dos: Kernel, place: Place, environment: int, tail: bytes) -> Start:
    """Load a program, with a copy of an environment (a segment; 0: its parent's). DosError.

    *tail* is the command tail with its length and carriage return.
    """
    data = read_file(place)
    image = _image(data)
    parent = dos.psp
    source = environment or dos.memory.u16((parent << 4) + layout.ENVIRONMENT)
    text = layout.variables(dos.memory.copy_from(source, 0, 0x8000)) if source else b"\0\0"
    block = layout.environment([v for v in text.split(b"\0") if v], place.text())
    env = dos.arena.allocate(len(block) + 15 >> 4, parent)
    below = 0
    try:
        if image is not None and image.needs_distance:
            below = dos.arena.fill_below(_DISTANCE)
        segment, size = _memory(dos, image, len(data), parent)
    except DosError:
        dos.arena.free(env)
        raise
    finally:
        if below:
            dos.arena.free(below)
    dos.memory.copy_to(env, 0, block)
    name = place.path[-1].partition(b".")[0]
    dos.arena.set_owner(env, segment)
    dos.arena.set_owner(segment, segment, name)
    make_psp(dos, segment, segment + size, env, tail)
    if image is None:
        return _start_com(dos, segment, size, data)
    return _start_mz(dos, segment, size, image)


def _image(data: bytes) -> mz.MzImage | None:
    """Return what is to be loaded; None for a .COM image."""
    if not mz.is_mz(data):
        if len(data) > mz.COM_MAX or not data:
            raise DosError(BAD_FORMAT)
        return None
    try:
        return mz.parse(data)
    except mz.BadProgram:
        raise DosError(BAD_FORMAT) from None


def _memory(dos: Kernel, image: mz.MzImage | None, length: int, owner: int) -> tuple[int, int]:
    """Allocate a program's block: its segment and size in paragraphs."""
    if image is None:
        need = layout.SIZE_PARAGRAPHS + (length + _STACK_RESERVE + 15 >> 4)
        size = largest = dos.arena.largest(need)
    else:
        need = layout.SIZE_PARAGRAPHS + image.paragraphs + image.min_extra
        largest = dos.arena.largest(need)
        wanted = layout.SIZE_PARAGRAPHS + image.paragraphs + image.max_extra
        size = min(max(wanted, need), largest)
        if not image.min_extra and not image.max_extra:
            size = largest
    if need > largest:
        raise DosError(NO_MEMORY)
    return dos.arena.allocate(size, owner), size


def make_psp(dos: Kernel, segment: int, end: int, environment: int, tail: bytes) -> None:
    """Write a child's PSP, whose memory ends at a segment, with its parent's handles."""
    parent = dos.psp
    made = layout.make(segment, end, parent, environment, vectors(dos), dos.version)
    dos.memory.write(segment << 4, made)
    if parent:
        for handle in range(layout.JFT_SIZE):
            try:
                number = dos.files.number(parent, handle)
            except DosError:
                continue
            file = dos.files.table[number]
            if file is not None and not file.is_private:
                file.users += 1
                dos.files.put(segment, handle, number)
    dos.memory.write((segment << 4) + layout.TAIL, tail[:128])


def _start_com(dos: Kernel, segment: int, size: int, data: bytes) -> Start:
    dos.memory.write((segment << 4) + 0x100, data)
    sp = min(size << 4, 0x10000) - 2
    dos.memory.put16((segment << 4) + sp, 0)
    return Start(segment, segment, 0x100, segment, sp, 0)


def _start_mz(dos: Kernel, segment: int, size: int, image: mz.MzImage) -> Start:
    if image.min_extra or image.max_extra:
        base = segment + layout.SIZE_PARAGRAPHS
    else:  # at the end of the memory
        base = segment + size - image.paragraphs
    dos.memory.write(base << 4, image.relocated(base))
    cs, ss = base + image.cs & 0xFFFF, base + image.ss & 0xFFFF
    return Start(segment, cs, image.ip, ss, image.sp, 0)


def drive_state(dos: Kernel, segment: int) -> int:
    """Return AX of a new program: for each FCB of its PSP 0, or FFh if its drive is not there."""
    found = 0
    for shift, at in ((0, layout.FCB1), (8, layout.FCB2)):
        number = dos.memory.u8((segment << 4) + at)
        if number and number - 1 not in dos.drives:
            found |= 0xFF << shift
    return found


def enter(dos: Kernel, start: Start) -> None:
    """Let the processor go on at the beginning of a program."""
    dos.psp = start.psp
    dos.dta = start.psp, layout.TAIL
    processor = dos.machine.processor
    cpu = processor.cpu
    cpu.eax, cpu.ebx, cpu.ecx, cpu.edx = drive_state(dos, start.psp), 0, 0xFF, start.psp
    cpu.esi, cpu.edi, cpu.ebp = start.ip, start.sp, 0x91C
    for index, selector in ((CS, start.cs), (SS, start.ss), (DS, start.psp), (ES, start.psp)):
        descriptors.load_paragraph(cpu, index, selector)
    update_context(cpu)
    cpu.esp, cpu.eip = start.sp, start.ip
    cpu.eflags = _FLAGS | cpu.eflags & _KEPT


def begin_child(dos: Kernel) -> None:
    """Save the caller's registers on its stack, as DOS does.

    To be called in a function of INT 21h: on top of the caller's stack are IP, CS and FLAGS.
    """
    call = dos.machine.callbacks.call
    for value in (call.es, call.ds, call.bp, call.di, call.si, call.dx, call.cx, call.bx, call.ax):
        call.push(value)
    dos.memory.put32((dos.psp << 4) + layout.STACK, call.ss << 16 | call.sp)


def end(dos: Kernel, status: int, kind: int = NORMAL, keep: int | None = None) -> None:
    """End the running program; its parent goes on. ProgramEnd if it was the first one.

    *keep*: paragraphs that stay resident, with the files that are open.
    """
    segment = dos.psp
    base = segment << 4
    memory = dos.memory
    parent = memory.u16(base + layout.PARENT)
    if parent == segment:  # a shell that ends itself goes on, as under DOS
        parent = dos.root_psp
    for notify in list(dos.on_program_end):
        notify(segment)
    if keep is None:
        dos.files.close_all(segment)
    dos.return_code = kind << 8 | status & 0xFF
    for vector, at in zip(_VECTORS, (layout.TERMINATE, layout.BREAK, layout.CRITICAL), strict=True):
        memory.put32(4 * vector, memory.u32(base + at))
    note = _give_back(dos, segment, keep)
    dos.fcb_closed(segment)
    dos.psp = parent
    if segment == dos.first_psp or note:  # without its chain of blocks DOS cannot go on
        raise ProgramEnd(dos.return_code & 0xFF, note)
    _back_to_parent(dos, memory.u32(4 * 0x22))


def _give_back(dos: Kernel, segment: int, keep: int | None) -> str:
    """Free the memory of a program that ends; return what is wrong with it."""
    try:
        if keep is None:
            dos.arena.free_all(segment)
        else:
            dos.arena.resize(segment, keep)
    except DosError:
        return "the program has destroyed the chain of memory blocks"
    return ""


def _back_to_parent(dos: Kernel, target: int) -> None:
    """Restore the parent's registers and go on at the address of INT 22h."""
    memory = dos.memory
    stack = memory.u32((dos.psp << 4) + layout.STACK)
    ss, sp = stack >> 16, stack & 0xFFFF
    words = struct.unpack("<12H", memory.copy_from(ss, sp, 24))
    ax, bx, cx, dx, si, di, bp, ds, es, _, _, _ = words
    cpu = dos.machine.processor.cpu
    cpu.eax, cpu.ebx, cpu.ecx, cpu.edx = ax, bx, cx, dx
    cpu.esi, cpu.edi, cpu.ebp = si, di, bp
    for index, selector in ((CS, target >> 16), (SS, ss), (DS, ds), (ES, es)):
        descriptors.load_paragraph(cpu, index, selector)
    update_context(cpu)
    cpu.esp, cpu.eip = sp + 24 & 0xFFFF, target & 0xFFFF
    cpu.eflags = _FLAGS | cpu.eflags & _KEPT  # as DOS does: who knows what is on the stack


def root(dos: Kernel, variables: list[bytes]) -> None:
    """Make the process that the first program is a child of, with its environment."""
    block = layout.environment(variables, b"C:\\COMMAND.COM")
    segment = dos.arena.allocate(layout.SIZE_PARAGRAPHS + 1, 8)
    env = dos.arena.allocate(len(block) + 15 >> 4, segment)
    dos.arena.set_owner(segment, segment, b"COMMAND")
    dos.memory.copy_to(env, 0, block)
    made = layout.make(segment, segment + 0x11, segment, env, vectors(dos), dos.version)
    dos.memory.write(segment << 4, made)
    dos.psp = dos.root_psp = segment


def set_fcbs(dos: Kernel, segment: int, words: bytes) -> None:
    """Put the first two words of a command line into a PSP's FCBs, as a shell does."""
    text = words
    for at in (layout.FCB1, layout.FCB2):
        text = text.lstrip(b" \t")
        _, found, _ = fcb.parse(text, bytes(12), 1)
        dos.memory.write((segment << 4) + at, found)
        text = text.partition(b" ")[2]
    dos.machine.processor.cpu.eax = drive_state(dos, segment)
