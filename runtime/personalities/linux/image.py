"""A program's path, arguments and environment in, a loaded program with its first stack out.

`prepare` does what can fail while the old program still exists: it finds the file, follows `#!`
lines and checks the ELF headers. `load` then fills an empty memory.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from typing import TYPE_CHECKING, NamedTuple

from runtime.loaders import elf
from runtime.loaders.elf import CANNOT_RUN, NOT_FOUND, LoadError
from runtime.memory import EXEC, READ, SIZE, WRITE, MemoryFault, MemoryMapError
from runtime.personalities.linux import limits
from runtime.personalities.linux.cpuinfo import HWCAP
from runtime.personalities.linux.openat2 import AT_FDCWD
from runtime.regions import PAGE

if TYPE_CHECKING:
    from runtime.memory import Memory
    from runtime.personalities.linux.fds import FdTable
    from runtime.personalities.linux.process import Process
    from runtime.personalities.linux.vfs import Vfs

PIE_BASE = 0x56555000  # where Linux puts movable programs without randomisation
STACK_TOP = 0xFFFFE000
_GAP = 1 << 20  # kept free below the stack
_LONGEST_SHEBANG = 256
_MAX_SCRIPTS = 5
_AT_EMPTY_PATH, _AT_SYMLINK_NOFOLLOW = 0x1000, 0x100
_O_NONBLOCK, _O_CLOEXEC, _O_NOFOLLOW = 0o4000, 0o2000000, 0o400000

_AT_PHDR, _AT_PHENT, _AT_PHNUM, _AT_PAGESZ, _AT_BASE, _AT_FLAGS, _AT_ENTRY = range(3, 10)
_AT_UID, _AT_EUID, _AT_GID, _AT_EGID, _AT_PLATFORM, _AT_HWCAP, _AT_CLKTCK = range(11, 18)
_AT_SECURE, _AT_RANDOM, _AT_HWCAP2, _AT_EXECFN = 23, 25, 26, 31


class ProgramFile:
    """An opened program file; its descriptor is out of the guest's reach."""

    def __init__(self, table: FdTable, fd: int, path: bytes) -> None:
        self._table = table
        self.fd = fd
        self.path = path

    @property
    def name(self) -> str:
        """The guest path, for messages."""
        return os.fsdecode(self.path)

    def close(self) -> None:
        """Close the file."""
        if self.fd >= 0:
            self._table.release(self.fd)
            self.fd = -1

    __del__ = close


class Plan(NamedTuple):
    """A program that can be loaded."""

    file: ProgramFile
    elf: elf.Elf
    interpreter: ProgramFile | None
    interpreter_elf: elf.Elf | None
    argv: list[bytes]
    envp: list[bytes]
    filename: bytes  # as execve got it: AT_EXECFN and the origin of comm


class Start(NamedTuple):
    """The registers of a fresh program."""

    entry: int
    stack: int


def prepare(
    process: Process,
    dirfd: int,
    path: bytes,
    argv: list[bytes],
    envp: list[bytes],
    flags: int = 0,
) -> Plan:
    """Find and check a program; raises LoadError (an OSError with the errno of execve)."""
    vfs = process.vfs
    filename = path
    if not path:
        if not flags & _AT_EMPTY_PATH:
            raise LoadError("'': No such file or directory", errno.ENOENT, NOT_FOUND)
        filename = b"/dev/fd/%d" % dirfd
        path, dirfd = b"/proc/self/fd/%d" % dirfd, AT_FDCWD
    elif dirfd != AT_FDCWD and not path.startswith(b"/"):
        filename = b"/dev/fd/%d/%s" % (dirfd, path)
    argv = argv or [b""]  # as Linux does since 5.18
    script, opened = filename, _open(vfs, dirfd, path, flags)
    for _ in range(_MAX_SCRIPTS):
        words = _shebang(opened)
        if words is None:
            break
        opened.close()
        argv = [*words, script, *argv[1:]]
        script = words[0]
        opened = _open(vfs, AT_FDCWD, script, 0)
    else:
        raise LoadError(f"{opened.name}: too many levels of #!", errno.ELOOP)
    parsed = elf.parse(opened.fd, opened.name)
    interpreter = interpreter_elf = None
    if parsed.interpreter is not None:
        interpreter = _open_interpreter(vfs, parsed.interpreter, opened.name)
        try:
            interpreter_elf = elf.parse(interpreter.fd, interpreter.name)
        except LoadError as error:
            # ELIBBAD is what Linux says about a broken interpreter.
            raise LoadError(error.message, errno.ELIBBAD) from None
    _check_size(argv, envp, filename, limits.stack_size(process))
    return Plan(opened, parsed, interpreter, interpreter_elf, argv, envp, filename)


def prepare_first(process: Process, program: bytes, argv: list[bytes], envp: list[bytes]) -> Plan:
    """Find and check the run's own program: a path, or a name in the current directory or PATH."""
    if program and b"/" not in program:
        search = next((e[5:] for e in envp if e.startswith(b"PATH=")), b"")
        folders = [b".", *search.split(b":")]
        named = [folder + b"/" + program for folder in folders if folder]
        program = next((path for path in named if process.vfs.exists(path)), program)
    else:
        program = _guest_name(process, program)
    # It may be relative to a directory that the guest does not see.
    real = os.path.realpath(program)
    if program and not process.vfs.exists(program) and process.vfs.exists(real):
        program = real
    return prepare(process, AT_FDCWD, program, argv, envp)


def _guest_name(process: Process, program: bytes) -> bytes:
    """Return the guest's path of a program that is named by the host's path into the sysroot."""
    options = process.options
    if options.sysroot is None or options.host_fs:
        return program
    folder, name = os.path.split(program)
    root = os.path.realpath(os.fsencode(options.sysroot)).rstrip(b"/")
    folder = os.path.realpath(folder)  # not of the program: its links are the guest's
    inside = folder == root or folder.startswith(root + b"/")
    return folder[len(root) :] + b"/" + name if inside else program


def _open(vfs: Vfs, dirfd: int, path: bytes, flags: int) -> ProgramFile:
    """Open an executable regular file."""
    name = os.fsdecode(path)
    guest_flags = _O_NONBLOCK | _O_CLOEXEC
    if flags & _AT_SYMLINK_NOFOLLOW:
        guest_flags |= _O_NOFOLLOW
    try:
        fd = vfs.open(dirfd, path, guest_flags)
    except OSError as error:
        fd = -(error.errno or errno.EIO)
    if fd < 0:
        status = NOT_FOUND if fd == -errno.ENOENT else CANNOT_RUN
        raise LoadError(f"{name}: {os.strerror(-fd)}", -fd, status)
    found = vfs.fd_path(fd)
    record = vfs.fds.records.pop(fd, None)
    kept = vfs.fds.reserve(fd)
    file = ProgramFile(vfs.fds, kept, found)
    if not stat.S_ISREG(os.fstat(kept).st_mode):
        raise LoadError(f"{name}: not a regular file", errno.EACCES)
    is_made_up = record is not None and record.node is not None
    if is_made_up or not os.access(f"/proc/self/fd/{kept}", os.X_OK, effective_ids=True):
        raise LoadError(f"{name}: Permission denied", errno.EACCES)
    return file


def _open_interpreter(vfs: Vfs, path: bytes, program: str) -> ProgramFile:
    try:
        return _open(vfs, AT_FDCWD, path, 0)
    except LoadError as error:
        text = f"{program}: interpreter {error.message}"
        if error.errno == errno.ENOENT:
            text += " (is the directory of the guest's libraries given with -L?)"
        raise LoadError(text, error.errno or errno.ENOENT, error.status) from None


def _shebang(file: ProgramFile) -> list[bytes] | None:
    """Return interpreter and argument of a `#!` line, or None if the file has none."""
    try:
        line = os.pread(file.fd, _LONGEST_SHEBANG, 0)
    except OSError as error:
        raise LoadError(f"{file.name}: {error.strerror}", error.errno or errno.EIO) from None
    if not line.startswith(b"#!"):
        return None
    text, newline, _ = line[2:].partition(b"\n")
    words = text.split(b"\0")[0].strip(b" \t").split(None, 1)
    is_cut = not newline and len(line) == _LONGEST_SHEBANG and len(words) < 2
    if not words or is_cut:
        raise LoadError(f"{file.name}: bad #! line")
    return [words[0], words[1].strip(b" \t")] if len(words) > 1 else words


def _check_size(argv: list[bytes], envp: list[bytes], filename: bytes, stack: int) -> None:
    size = sum(len(s) + 5 for s in argv) + sum(len(s) + 5 for s in envp) + len(filename)
    if size > max(min(stack, 8 << 20) // 4, 32 * PAGE):
        raise LoadError("Argument list too long", errno.E2BIG)


def load(process: Process, plan: Plan) -> Start:
    """Load the program into the process's empty memory and tell the process about it."""
    mem, main = process.mem, plan.elf
    mem.read_implies_exec = not main.has_stack_note
    stack_prot = READ | WRITE
    if main.is_stack_executable or mem.read_implies_exec:
        stack_prot |= EXEC
    stack_size = max(limits.stack_size(process) + PAGE - 1 & -PAGE, 32 * PAGE)
    bottom = STACK_TOP - stack_size
    if bottom < SIZE // 4:
        raise LoadError("the stack does not fit into the address space", errno.ENOMEM)
    mem.mmap_top = min(mem.mmap_top, bottom - _GAP & -PAGE)
    try:
        mem.map(bottom, stack_size, stack_prot, fixed=True, name="[stack]", noreserve=True)
    except MemoryMapError:
        text = f"no room for a stack of {stack_size >> 10} KiB (see --memory and --stack-size)"
        raise LoadError(text, errno.ENOMEM) from None
    base = PIE_BASE if plan.interpreter is not None else None
    loaded = elf.load(mem, plan.file.fd, main, base, plan.file.name)
    entry, interpreter_base = loaded.entry, 0
    if plan.interpreter is not None and plan.interpreter_elf is not None:
        name = plan.interpreter.name
        linker = elf.load(mem, plan.interpreter.fd, plan.interpreter_elf, None, name)
        entry, interpreter_base = linker.entry, linker.bias
    is_static_pie = main.is_pie and plan.interpreter is None
    mem.brk_start = mem.brk_end = PIE_BASE if is_static_pie else loaded.end + PAGE - 1 & -PAGE
    facts = {
        _AT_HWCAP: HWCAP,
        _AT_PAGESZ: PAGE,
        _AT_CLKTCK: 100,
        _AT_PHDR: loaded.phdr,
        _AT_PHENT: 32,
        _AT_PHNUM: main.phdr_count,
        _AT_BASE: interpreter_base,
        _AT_FLAGS: 0,
        _AT_ENTRY: loaded.entry,
        _AT_UID: os.getuid(),
        _AT_EUID: os.geteuid(),
        _AT_GID: os.getgid(),
        _AT_EGID: os.getegid(),
        _AT_SECURE: 0,
        _AT_HWCAP2: 0,
    }
    try:
        stack, auxv = _fill_stack(mem, plan, facts)
    except MemoryFault:
        raise LoadError("Argument list too long", errno.E2BIG) from None
    process.engine.begin(os.pread(plan.file.fd, PAGE, 0))
    process.exe = os.fsdecode(plan.file.path)
    process.argv, process.envp = plan.argv, plan.envp
    process.comm = plan.filename.rpartition(b"/")[2][:15]
    process.auxv = auxv
    plan.file.close()
    if plan.interpreter is not None:
        plan.interpreter.close()
    return Start(entry, stack)


def _fill_stack(mem: Memory, plan: Plan, facts: dict[int, int]) -> tuple[int, bytes]:
    """Write strings, auxiliary vector and pointers; return the stack pointer and the vector."""
    top = STACK_TOP - 4
    strings = bytearray()
    offsets = []
    for text in (*plan.argv, *plan.envp, plan.filename):
        offsets.append(len(strings))
        strings += text + b"\0"
    start = top - len(strings)
    platform = start - 8 & -16
    random = platform - 16
    facts |= {_AT_PLATFORM: platform, _AT_RANDOM: random, _AT_EXECFN: start + offsets[-1]}
    auxv = b"".join(struct.pack("<II", *pair) for pair in facts.items()) + bytes(8)
    argc = len(plan.argv)
    pointers = [start + offset for offset in offsets[:-1]]
    vector = [argc, *pointers[:argc], 0, *pointers[argc:], 0]
    head = struct.pack(f"<{len(vector)}I", *vector) + auxv
    stack = random - len(head) & -16
    mem.write(start, bytes(strings))
    mem.write(platform, b"i686\0")
    mem.write(random, os.urandom(16))
    mem.write(stack, head)
    return stack, auxv
