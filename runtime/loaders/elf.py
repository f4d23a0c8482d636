"""i386 ELF files in, mapped segments and the facts that the auxiliary vector tells out.

Whatever a file holds ends in a `LoadError`, never in another exception. Of pyelftools the two
structures are used that a loader needs: 10 ms at start-up, where its ELFFile, which knows sections
and debug information as well, takes 24.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from functools import cache
from typing import Any, NamedTuple

from runtime.memory import EXEC, READ, WRITE, Memory, MemoryFault, MemoryMapError
from runtime.regions import PAGE

TASK_SIZE = 0xFFFFE000
_PHDR_SIZE = 32
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
    count = header.e_phnum
    table = io.BytesIO(_pread(fd, count * _PHDR_SIZE, header.e_phoff, name))
    segments: list[Segment] = []
    interpreter = None
    has_stack_note = is_stack_executable = False
    for _ in range(count):
        entry = _structs(32, True).Elf_Phdr.parse_stream(table)
        if entry.p_type == "PT_LOAD" and entry.p_memsz:
            segment = _segment(entry)
            _check_segment(segment, status.st_size, name)
            segments.append(segment)
        elif entry.p_type == "PT_INTERP" and interpreter is None:
            interpreter = _read_interpreter(fd, entry.p_offset, entry.p_filesz, name)
        elif entry.p_type == "PT_GNU_STACK":
            has_stack_note, is_stack_executable = True, bool(entry.p_flags & 1)
    if not segments:
        raise LoadError(f"{name}: no loadable segments")
    return Elf(
        header.e_type == "ET_DYN",
        header.e_entry,
        tuple(segments),
        header.e_phoff,
        count,
        interpreter,
        has_stack_note,
        is_stack_executable,
    )


@cache
def _structs(bits: int, is_little: bool) -> Any:
    """Return pyelftools' descriptions of the headers; imported when a program is loaded."""
    from elftools.elf.structs import ELFStructs

    made = ELFStructs(little_endian=is_little, elfclass=bits)
    made.create_basic_structs()
    made.create_advanced_structs()
    return made


def _header(head: bytes, name: str) -> Any:
    """Return the ELF header, also one of another processor."""
    if head[:4] != b"\x7fELF":
        raise LoadError(f"{name}: not an ELF program" if head else f"{name}: empty file")
    from elftools.common.exceptions import ELFParseError
    from elftools.common.utils import struct_parse

    bits, is_little = 64 if head[4:5] == b"\2" else 32, head[5:6] != b"\2"
    try:
        return struct_parse(_structs(bits, is_little).Elf_Ehdr, io.BytesIO(head))
    except ELFParseError:
        raise LoadError(f"{name}: truncated ELF header") from None


def _check_header(header: Any, name: str) -> None:
    ident = header.e_ident
    kind = ident.EI_CLASS, ident.EI_DATA, header.e_machine
    if kind != ("ELFCLASS32", "ELFDATA2LSB", "EM_386"):
        from elftools.elf.descriptions import describe_e_machine

        bits = {"ELFCLASS32": "32-bit", "ELFCLASS64": "64-bit"}.get(kind[0], "unknown class")
        found = describe_e_machine(header.e_machine)
        raise LoadError(f"{name}: not an i386 program: ELF {bits} for {found}")
    if header.e_type not in ("ET_EXEC", "ET_DYN"):
        kinds = {"ET_REL": "a relocatable object file", "ET_CORE": "a core dump"}
        what = kinds.get(header.e_type, f"ELF type {header.e_type}")
        raise LoadError(f"{name}: not a program but {what}")
    if header.e_phentsize != _PHDR_SIZE or not 0 < header.e_phnum <= 0xFFFF // _PHDR_SIZE:
        raise LoadError(f"{name}: bad program header table")


def _segment(entry: Any) -> Segment:
    flags = entry.p_flags
    prot = (READ if flags & 4 else 0) | (WRITE if flags & 2 else 0) | (EXEC if flags & 1 else 0)
    place = entry.p_offset, entry.p_vaddr, entry.p_filesz, entry.p_memsz
    return Segment(*place, prot, entry.p_align)


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
