"""i386 ELF files in, mapped segments and the facts that the auxiliary vector tells out.

The format is parsed here with `struct`: a loader needs the two headers only, and whatever the file
holds must end in a `LoadError`, never in another exception.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from typing import NamedTuple

from runtime.memory import EXEC, READ, WRITE, Memory, MemoryFault, MemoryMapError
from runtime.regions import PAGE

TASK_SIZE = 0xFFFFE000
ET_EXEC, ET_DYN = 2, 3
_PT_LOAD, _PT_INTERP, _PT_PHDR, _PT_GNU_STACK = 1, 3, 6, 0x6474E551
_EHDR = struct.Struct("<16sHHIIIIIHHHHHH")
_PHDR = struct.Struct("<IIIIIIII")
_EM_386 = 3
_MACHINES = {2: "SPARC", 3: "i386", 8: "MIPS", 20: "PowerPC", 21: "PowerPC64", 22: "S/390"}
_MACHINES |= {40: "ARM", 42: "SuperH", 62: "x86-64", 183: "AArch64", 243: "RISC-V"}
CANNOT_RUN, NOT_FOUND = 126, 127  # exit statuses, as shells have them


class LoadError(OSError):
    """A program cannot be started: what to tell the user, errno for execve, exit status for us."""

    def __init__(self, message: str, code: int = errno.ENOEXEC, status: int = CANNOT_RUN) -> None:
        super().__init__(code, message)
        self.message = message
        self.status = status

    def __str__(self) -> str:
        """Return the message alone."""
        return self.message


class Segment(NamedTuple):
    """One PT_LOAD entry; *prot* in guest bits."""

    offset: int
    address: int
    file_size: int
    memory_size: int
    prot: int
    align: int


class Elf(NamedTuple):
    """What the headers of an i386 program say."""

    is_pie: bool
    entry: int
    segments: tuple[Segment, ...]
    phdr_offset: int
    phdr_count: int
    interpreter: bytes | None
    has_stack_note: bool
    is_stack_executable: bool

    @property
    def low(self) -> int:
        """First page of the image."""
        return min(s.address for s in self.segments) & -PAGE

    @property
    def high(self) -> int:
        """End of the image."""
        return max(s.address + s.memory_size for s in self.segments)

    @property
    def align(self) -> int:
        """Alignment that a movable image asks for."""
        sizes = [s.align for s in self.segments if s.align and not s.align & (s.align - 1)]
        return min(max([PAGE, *sizes]), 1 << 24)


class Loaded(NamedTuple):
    """Where an image ended up."""

    bias: int
    entry: int
    phdr: int
    end: int


def parse(fd: int, name: str) -> Elf:
    """Read and check the headers of the file behind *fd*."""
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise LoadError(f"{name}: not a regular file", errno.EACCES)
        head = os.pread(fd, _EHDR.size, 0)
    except LoadError:
        raise
    except OSError as error:
        raise LoadError(f"{name}: {error.strerror}", error.errno or errno.EIO) from None
    fields = _check_header(head, name)
    kind, entry, phdr_offset, phdr_count = fields
    table = _pread(fd, phdr_count * _PHDR.size, phdr_offset, name)
    segments: list[Segment] = []
    interpreter = None
    has_stack_note = is_stack_executable = False
    for header in _PHDR.iter_unpack(table):
        type_, offset, address, _, file_size, memory_size, flags, align = header
        if type_ == _PT_LOAD and memory_size:
            prot = (READ if flags & 4 else 0) | (WRITE if flags & 2 else 0)
            prot |= EXEC if flags & 1 else 0
            segment = Segment(offset, address, file_size, memory_size, prot, align)
            _check_segment(segment, status.st_size, name)
            segments.append(segment)
        elif type_ == _PT_INTERP and interpreter is None:
            interpreter = _read_interpreter(fd, offset, file_size, name)
        elif type_ == _PT_GNU_STACK:
            has_stack_note, is_stack_executable = True, bool(flags & 1)
    if not segments:
        raise LoadError(f"{name}: no loadable segments")
    return Elf(
        kind == ET_DYN,
        entry,
        tuple(segments),
        phdr_offset,
        phdr_count,
        interpreter,
        has_stack_note,
        is_stack_executable,
    )


def _check_header(head: bytes, name: str) -> tuple[int, int, int, int]:
    """Return type, entry, offset and number of the program headers."""
    if head[:4] != b"\x7fELF":
        raise LoadError(f"{name}: not an ELF program" if head else f"{name}: empty file")
    if len(head) < _EHDR.size:
        raise LoadError(f"{name}: truncated ELF header")
    ident, kind, machine, _, entry, phoff, _, _, _, phentsize, phnum, *_ = _EHDR.unpack(head)
    order = "big" if ident[5] == 2 else "little"
    machine = int.from_bytes(head[18:20], order)  # type: ignore[arg-type]
    if ident[4] != 1 or ident[5] != 1 or machine != _EM_386:
        found = _MACHINES.get(machine, f"machine {machine}")
        bits = {1: "32-bit", 2: "64-bit"}.get(ident[4], "unknown class")
        raise LoadError(f"{name}: not an i386 program: ELF {bits} for {found}")
    if kind not in (ET_EXEC, ET_DYN):
        what = {1: "a relocatable object file", 4: "a core dump"}.get(kind, f"ELF type {kind}")
        raise LoadError(f"{name}: not a program but {what}")
    if phentsize != _PHDR.size or not 0 < phnum <= 0xFFFF // _PHDR.size:
        raise LoadError(f"{name}: bad program header table")
    return kind, entry, phoff, phnum


def _check_segment(s: Segment, file_size: int, name: str) -> None:
    if s.file_size > s.memory_size:
        raise LoadError(f"{name}: segment larger in the file than in memory")
    if s.address + s.memory_size > TASK_SIZE:
        raise LoadError(f"{name}: segment outside of the address space")
    if s.file_size and (s.address - s.offset) & (PAGE - 1):
        raise LoadError(f"{name}: segment offset and address do not agree")
    if s.offset + s.file_size > file_size:
        raise LoadError(f"{name}: truncated file")


def _read_interpreter(fd: int, offset: int, size: int, name: str) -> bytes:
    if not 2 <= size <= 4096:
        raise LoadError(f"{name}: bad interpreter name")
    text = _pread(fd, size, offset, name)
    if text[-1:] != b"\0":
        raise LoadError(f"{name}: bad interpreter name")
    return text[: text.index(0)]


def _pread(fd: int, size: int, offset: int, name: str) -> bytes:
    try:
        data = os.pread(fd, size, offset)
    except OSError as error:
        raise LoadError(f"{name}: {error.strerror}", error.errno or errno.EIO) from None
    if len(data) != size:
        raise LoadError(f"{name}: truncated file")
    return data


def load(mem: Memory, fd: int, elf: Elf, address: int | None, name: str) -> Loaded:
    """Map the segments; a movable image goes to *address*, or to the highest free place.

    *name* is the guest path that /proc/self/maps shows.
    """
    low, size = elf.low, elf.high - elf.low
    try:
        if elf.is_pie:
            if address is None:
                address = mem.find_free(size + elf.align - PAGE) + elf.align - 1
            bias = (address & -elf.align) - low
        else:
            bias = 0
        if low + bias < 0 or low + bias + size > TASK_SIZE:
            raise LoadError(f"{name}: does not fit into the address space", errno.ENOMEM)
        for segment in elf.segments:
            _load_segment(mem, fd, segment, bias, name)
    except MemoryMapError as error:
        raise LoadError(f"{name}: cannot be loaded: {error.strerror}", errno.ENOMEM) from None
    except MemoryFault as error:
        raise LoadError(f"{name}: cannot be loaded: {error}") from None
    return Loaded(bias, (elf.entry + bias) & 0xFFFFFFFF, _phdr_address(elf, bias), elf.high + bias)


def _load_segment(mem: Memory, fd: int, s: Segment, bias: int, name: str) -> None:
    prot = s.prot
    if mem.read_implies_exec and prot & READ:
        prot |= EXEC
    start = (s.address + bias) & -PAGE
    data_end = s.address + bias + s.file_size
    end = s.address + bias + s.memory_size
    file_end = start
    if s.file_size:
        skew = (s.address + bias) - start
        file_end = (data_end + PAGE - 1) & -PAGE
        tail = min(file_end, end) - data_end
        clears = tail > 0 and s.memory_size > s.file_size and prot & WRITE
        first = prot | WRITE if clears else prot
        size = file_end - start
        mem.map(start, size, first, fixed=True, fd=fd, offset=s.offset - skew, name=name)
        if clears:
            mem.write(data_end, bytes(file_end - data_end))
    if end > file_end:
        mem.map(file_end, end - file_end, prot, fixed=True)


def _phdr_address(elf: Elf, bias: int) -> int:
    for s in elf.segments:
        if s.offset <= elf.phdr_offset < s.offset + s.file_size:
            return (elf.phdr_offset - s.offset + s.address + bias) & 0xFFFFFFFF
    return 0
