"""Host code and the guest's symbols -> files by which Linux perf names guest functions.

A map, /tmp/perf-PID.map, is text: one line for each block or region, `START SIZE name` in hex
(Linux, tools/perf/Documentation/jit-interface.txt).  It shows what the arena holds now: dropped
blocks stay in it, whose code stays until the arena is emptied, and their samples with it.

A dump, jit-PID.dump, holds the code as well, with times, so that it stays right when places are
used again (Linux, tools/perf/Documentation/jitdump-specification.txt, version 1).  perf finds it by
an executable mapping of it.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

from jitemu.complain import complain
from jitemu.symbols import Symbols
from runtime import host, native
from runtime.blocktable import Block
from runtime.host import Sys

if TYPE_CHECKING:
    from runtime.personalities.linux import Linux
    from runtime.personalities.linux.fds import FdTable

_MAGIC, _VERSION, _X86_64 = 0x4A695444, 1, 62
_FILE = struct.Struct("<6IQQ")  # magic, version, size, machine, 0, pid, time, flags
_RECORD = struct.Struct("<IIQ")  # kind, size, time
_LOAD = struct.Struct("<IIQQQQ")  # pid, tid, address, address, size, number
_CODE_LOAD, _CODE_CLOSE = 0, 3


class _File:
    """A file of this process, kept out of the guest's way; where it cannot be written, it ends."""

    def __init__(self, fds: FdTable, path: str, *, is_shared_place: bool) -> None:
        """Create it; OSError. In a place that others can write to no link is followed."""
        self.path, self.fds = path, fds
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        if is_shared_place:
            flags |= os.O_NOFOLLOW
        fd = os.open(path, flags & ~os.O_TRUNC, 0o644)
        if is_shared_place and os.fstat(fd).st_uid != os.geteuid():
            os.close(fd)
            raise PermissionError(1, "it belongs to somebody else", path)
        os.ftruncate(fd, 0)
        self.fd = fds.reserve(fd)
        self.is_broken = False

    def write(self, data: bytes) -> None:
        try:
            while data and not self.is_broken:
                data = data[os.write(self.fd, data) :]
        except OSError as error:
            self.is_broken = True
            complain(f"{self.path}: {error.strerror}: nothing more is written to it")

    def restart(self) -> None:
        os.ftruncate(self.fd, 0)
        os.lseek(self.fd, 0, os.SEEK_SET)

    def close(self) -> None:
        self.fds.release(self.fd)


class PerfMap:
    """The map of this process."""

    def __init__(self, fds: FdTable) -> None:
        """Create the file; OSError."""
        path = f"/tmp/perf-{os.getpid()}.map"
        self.file = _File(fds, path, is_shared_place=True)

    def add(self, address: int, code: memoryview, name: str) -> None:
        """Write the line of some code."""
        self.file.write(f"{address:x} {len(code):x} {name}\n".encode(errors="replace"))

    def restart(self) -> None:
        """Forget everything."""
        self.file.restart()


class JitDump:
    """The dump of this process."""

    def __init__(self, fds: FdTable, folder: str) -> None:
        """Create the file and show it to perf; OSError."""
        self.pid, self.count = os.getpid(), 0
        self.file = _File(fds, f"{folder}/jit-{self.pid}.dump", is_shared_place=False)
        head = (_MAGIC, _VERSION, _FILE.size, _X86_64, 0, self.pid, time.monotonic_ns(), 0)
        self.file.write(_FILE.pack(*head))
        size, prot = mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC
        os.ftruncate(self.file.fd, size)
        self.mark = mmap.mmap(self.file.fd, size, mmap.MAP_PRIVATE, prot)
        os.ftruncate(self.file.fd, _FILE.size)

    def add(self, address: int, code: memoryview, name: str) -> None:
        """Write the record of some code."""
        text = name.encode(errors="replace") + b"\0"
        size = _RECORD.size + _LOAD.size + len(text) + len(code)
        self.count += 1
        tid = threading.get_native_id()
        numbers = (self.pid, tid, address, address, len(code), self.count)
        record = _RECORD.pack(_CODE_LOAD, size, time.monotonic_ns())
        self.file.write(record + _LOAD.pack(*numbers) + text + bytes(code))

    def restart(self) -> None:
        """Do nothing: the times tell what was where when."""


class Writers:
    """Tells the files of a process what its engine installs."""

    def __init__(self, linux: Linux, *, with_map: bool, with_dump: bool) -> None:
        """Create the files and hook into the engine; OSError."""
        self.process = linux.process
        self.engine = engine = linux.process.engine
        self.symbols = Symbols(engine.mem)
        self.with_map, self.with_dump = with_map, with_dump
        self.folder = os.getcwd()
        self.is_region = False
        self._open()
        cache, tiering = engine.cache, engine.tiering
        register, clear = cache.register, cache.clear
        install, after_fork = tiering.install, engine.after_fork

        def registered(block: Block) -> None:
            register(block)
            self._add(block)

        def cleared() -> None:
            clear()
            for writer in self.writers:
                writer.restart()
            self._support()

        def installed(*arguments: Any) -> Block:
            self.is_region = True
            try:
                return install(*arguments)
            finally:
                self.is_region = False

        def forked(*, is_child: bool) -> None:
            after_fork(is_child=is_child)
            if is_child:
                self._in_child()

        cache.is_watched = True
        self._hook(cache, "register", registered)
        self._hook(cache, "clear", cleared)
        self._hook(tiering, "install", installed)
        self._hook(engine, "after_fork", forked)

    def _hook(self, owner: object, name: str, function: object) -> None:
        setattr(owner, name, function)

    def _open(self) -> None:
        fds = self.process.vfs.fds
        self.writers: list[PerfMap | JitDump] = []
        if self.with_map:
            self.writers.append(PerfMap(fds))
        if self.with_dump:
            self.writers.append(JitDump(fds, self.folder))
        self._support()

    def _support(self) -> None:
        """Name the routines that are always in the arena."""
        arena = self.engine.cache.arena
        places = sorted((at, name) for name, at in arena.symbols.items() if at)
        ends = [*(at for at, _ in places[1:]), arena.floor]
        for (at, name), end in zip(places, ends, strict=True):
            if end > at:
                for writer in self.writers:
                    writer.add(arena.base + at, arena.code[at:end], f"{name} [jitemu]")

    def _add(self, block: Block) -> None:
        place = str(self.symbols.place(block.pc))
        name = "".join(c if c.isprintable() else "?" for c in place)
        if self.is_region:
            name += " [region]"
        cache = self.engine.cache
        code = cache.arena.code[block.offset : block.offset + block.size]
        for writer in self.writers:
            writer.add(cache.address(block), code, name)

    def _in_child(self) -> None:
        """Give a forked child files of its own; what its dump lacks is in its parent's."""
        for writer in self.writers:
            writer.file.close()
        try:
            self._open()
        except OSError as error:
            self.writers = []
            complain(f"{error.filename}: {error.strerror}")
            return
        if self.with_map:
            dump, self.writers = self.writers[1:], self.writers[:1]
            for block in self.engine.cache.table:
                self.is_region = bool(block.parts)
                self._add(block)
            self.is_region = False
            self.writers += dump
            # perf would go on with the parent's map, unless it hears that the arena is mapped anew.
            arena = self.engine.cache.arena
            for prot in (3, 7):
                host.syscall(Sys.MPROTECT, arena.base, native.ARENA_SIZE, prot)


def attach(linux: Linux, *, with_map: bool, with_dump: bool) -> None:
    """Write a map, a dump or both from now on; OSError if a file cannot be created."""
    Writers(linux, with_map=with_map, with_dump=with_dump)
