"""i386 ELF files in, mapped segments and the facts that the auxiliary vector tells out.

Whatever a file holds ends in a `LoadError`, never in another exception. The two structures of the
System V ABI that a loader needs are read here; pyelftools, which takes 10 ms to import, only tells
what a file of another processor is.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import struct
from typing import NamedTuple

from runtime.memory import EXEC, READ, WRITE, Memory, MemoryFault, MemoryMapError
from runtime.regions import PAGE

TASK_SIZE = 0xFFFFE000
_EHDR = struct.Struct("<16s2H5I6H")
_PHDR = struct.Struct("<8I")
_ET_REL, _ET_EXEC, _ET_DYN, _ET_CORE = range(1, 5)
_EM_386 = 3
_PT_LOAD, _PT_INTERP, _PT_GNU_STACK = 1, 3, 0x6474E551
_LONGEST_HEADER = 64  # of a 64-bit file
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


class _Header(NamedTuple):
    """Elf32_Ehdr."""

    ident: bytes
    type: int
    machine: int
    version: int
    entry: int
    phoff: int
    shoff: int
    flags: int
    ehsize: int
    phentsize: int
    phnum: int
    shentsize: int
    shnum: int
    shstrndx: int


class _Entry(NamedTuple):
    """Elf32_Phdr."""

    type: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int
    flags: int
    align: int


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
        head = os.pread(fd, _LONGEST_HEADER, 0)
    except LoadError:
        raise
    except OSError as error:
        raise LoadError(f"{name}: {error.strerror}", error.errno or errno.EIO) from None
    header = _header(head, name)
    _check_header(header, name)
    table = _pread(fd, header.phnum * _PHDR.size, header.phoff, name)
    segments: list[Segment] = []
    interpreter = None
    has_stack_note = is_stack_executable = False
    for entry in map(_Entry._make, _PHDR.iter_unpack(table)):
        if entry.type == _PT_LOAD and entry.memsz:
            segment = _segment(entry)
            _check_segment(segment, status.st_size, name)
            segments.append(segment)
        elif entry.type == _PT_INTERP and interpreter is None:
            interpreter = _read_interpreter(fd, entry.offset, entry.filesz, name)
        elif entry.type == _PT_GNU_STACK:
            has_stack_note, is_stack_executable = True, bool(entry.flags & 1)
    if not segments:
        raise LoadError(f"{name}: no loadable segments")
    return Elf(
        header.type == _ET_DYN,
        header.entry,
        tuple(segments),
        header.phoff,
        header.phnum,
        interpreter,
        has_stack_note,
        is_stack_executable,
    )


def _header(head: bytes, name: str) -> _Header:
    """Return the ELF header."""
    if head[:4] != b"\x7fELF":
        raise LoadError(f"{name}: not an ELF program" if head else f"{name}: empty file")
    if head[4:6] != b"\1\1":  # neither 32-bit nor little-endian
        raise _foreign(head, name)
    if len(head) < _EHDR.size:
        raise LoadError(f"{name}: truncated ELF header")
    header = _Header._make(_EHDR.unpack_from(head))
    if header.machine != _EM_386:
        raise _foreign(head, name)
    return header


def _foreign(head: bytes, name: str) -> LoadError:
    """Say what a file of another processor is."""
    from elftools.common.exceptions import ELFParseError
    from elftools.common.utils import struct_parse
    from elftools.elf.descriptions import describe_e_machine
    from elftools.elf.structs import ELFStructs

    bits, is_little = 64 if head[4:5] == b"\2" else 32, head[5:6] != b"\2"
    structs = ELFStructs(little_endian=is_little, elfclass=bits)
    structs.create_basic_structs()
    try:
        header = struct_parse(structs.Elf_Ehdr, io.BytesIO(head))
    except ELFParseError:
        return LoadError(f"{name}: truncated ELF header")
    words = {"ELFCLASS32": "32-bit", "ELFCLASS64": "64-bit"}
    kind = words.get(header.e_ident.EI_CLASS, "unknown class")
    found = describe_e_machine(header.e_machine)
    return LoadError(f"{name}: not an i386 program: ELF {kind} for {found}")


def _check_header(header: _Header, name: str) -> None:
    if header.type not in (_ET_EXEC, _ET_DYN):
        kinds = {_ET_REL: "a relocatable object file", _ET_CORE: "a core dump"}
        what = kinds.get(header.type, f"ELF type {header.type}")
        raise LoadError(f"{name}: not a program but {what}")
    if header.phentsize != _PHDR.size or not 0 < header.phnum <= 0xFFFF // _PHDR.size:
        raise LoadError(f"{name}: bad program header table")


def _segment(entry: _Entry) -> Segment:
    flags = entry.flags
    prot = (READ if flags & 4 else 0) | (WRITE if flags & 2 else 0) | (EXEC if flags & 1 else 0)
    place = entry.offset, entry.vaddr, entry.filesz, entry.memsz
    return Segment(*place, prot, entry.align)


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
