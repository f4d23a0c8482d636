"""The guest's /proc: made from the process and, for the machine's state, the host's /proc."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from runtime.personalities.linux import mounts
from runtime.personalities.linux.cpuinfo import cpuinfo_text
from runtime.personalities.linux.maps import maps_text
from runtime.personalities.linux.virtual import Dir, FdLink, File, Link, Node

if TYPE_CHECKING:
    from runtime.personalities.linux.vfs import Vfs

_SHOWS_GUEST = frozenset((b"exe", b"maps", b"cmdline", b"environ", b"auxv", b"comm", b"stat"))
_HOST_FILES = (b"loadavg", b"meminfo", b"stat", b"uptime")


def _host(path: str) -> Callable[[], bytes]:
    """Return a function that reads a file of the host's /proc."""

    def read() -> bytes:
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError:
            return b""

    return read


class FdDir(Dir):
    """/proc/self/fd: the guest's descriptors."""

    mode = 0o040500

    def __init__(self, vfs: Vfs) -> None:
        super().__init__()
        self._vfs = vfs

    def lookup(self, name: bytes) -> Node | None:
        """Return the link of an open descriptor."""
        if not name.isdigit() or len(name) > 9:
            return None
        fd = int(name)
        if fd in self._vfs.fds.reserved or not _is_open(fd):
            return None
        return FdLink(fd)

    def names(self) -> Iterable[bytes]:
        """Numbers of the open descriptors."""
        # The listing shows the descriptor it is read through as well, which is closed by now.
        numbers = sorted(int(name) for name in os.listdir(b"/proc/self/fd"))
        reserved = self._vfs.fds.reserved
        return [b"%d" % fd for fd in numbers if fd not in reserved and _is_open(fd)]


class FdInfoDir(FdDir):
    """/proc/self/fdinfo: what the host knows about each descriptor."""

    def lookup(self, name: bytes) -> Node | None:
        """Return the description of an open descriptor."""
        if super().lookup(name) is None:
            return None
        return File(_host(f"/proc/self/fdinfo/{int(name)}"))


class TaskDir(Dir):
    """/proc/self/task: a directory for each guest thread."""

    def __init__(self, vfs: Vfs) -> None:
        super().__init__()
        self._vfs = vfs

    def lookup(self, name: bytes) -> Node | None:
        """Return the directory of a thread."""
        return _task(self._vfs, int(name)) if name in self.names() else None

    def names(self) -> Iterable[bytes]:
        """Thread numbers."""
        process = self._vfs.process
        threads = sorted(process.threads) if process is not None else [os.getpid()]
        return [b"%d" % tid for tid in threads]


class ProcDir(Dir):
    """/proc itself: the entry of the process has its number as name."""

    def __init__(self, vfs: Vfs, entries: dict[bytes, Node | Callable[[], Node]]) -> None:
        super().__init__(entries)
        self._vfs = vfs

    def lookup(self, name: bytes) -> Node | None:
        """Return an entry; a number other than the process's own is nothing."""
        if name == b"%d" % os.getpid():
            return _own(self._vfs)
        return super().lookup(name)

    def names(self) -> Iterable[bytes]:
        """Names of the entries."""
        return [b"%d" % os.getpid(), *super().names()]


def root(vfs: Vfs) -> Dir:
    """Make the tree; *vfs* names the process that it shows, once there is one."""
    entries: dict[bytes, Node | Callable[[], Node]] = {
        name: File(_host(f"/proc/{name.decode()}")) for name in _HOST_FILES
    }
    entries |= {
        b"self": Link(lambda: b"%d" % os.getpid()),
        b"thread-self": Link(lambda: b"%d/task/%d" % (os.getpid(), _tid())),
        b"cpuinfo": File(lambda: cpuinfo_text().encode()),
        b"filesystems": File(b"nodev\tproc\nnodev\ttmpfs\nnodev\tjitemu\n"),
        b"mounts": Link(b"self/mounts"),
        b"version": File(lambda: b"Linux version %s (jitemu)\n" % vfs.release.encode()),
        b"cmdline": File(b"\n"),
        b"sys": Dir({b"kernel": _sys_kernel(vfs), b"vm": _sys_vm(), b"fs": _sys_fs()}),
    }
    return ProcDir(vfs, entries)


def replaced(vfs: Vfs, path: bytes) -> Node | None:
    """Return the node for a path below /proc that would show the emulator, for --host-fs."""
    own = re.match(rb"/proc/(?:self|thread-self|%d)(?:/task/\d+)?/(\w+)$" % os.getpid(), path)
    if own and own[1] in _SHOWS_GUEST:
        return _task(vfs, os.getpid()).lookup(own[1])
    if path == b"/proc/cpuinfo":
        return File(lambda: cpuinfo_text().encode())
    return None


def _tid() -> int:
    import threading

    return threading.get_native_id()


def _sys_kernel(vfs: Vfs) -> Dir:
    random = {
        name: File(_host(f"/proc/sys/kernel/random/{name.decode()}"))
        for name in (b"uuid", b"boot_id", b"entropy_avail")
    }
    return Dir({
        b"osrelease": File(lambda: vfs.release.encode() + b"\n"),
        b"ostype": File(b"Linux\n"),
        b"version": File(_host("/proc/sys/kernel/version")),
        b"hostname": File(lambda: os.uname().nodename.encode() + b"\n"),
        b"pid_max": File(_host("/proc/sys/kernel/pid_max")),
        b"threads-max": File(_host("/proc/sys/kernel/threads-max")),
        b"cap_last_cap": File(_host("/proc/sys/kernel/cap_last_cap")),
        b"ngroups_max": File(b"65536\n"),
        b"randomize_va_space": File(b"0\n"),
        b"random": Dir(random),
    })  # fmt: skip


def _sys_vm() -> Dir:
    return Dir({
        b"overcommit_memory": File(_host("/proc/sys/vm/overcommit_memory")),
        b"mmap_min_addr": File(_host("/proc/sys/vm/mmap_min_addr")),
        b"max_map_count": File(_host("/proc/sys/vm/max_map_count")),
    })  # fmt: skip


def _sys_fs() -> Dir:
    names = (b"pipe-max-size", b"file-max", b"nr_open")
    return Dir({name: File(_host(f"/proc/sys/fs/{name.decode()}")) for name in names})


def _own(vfs: Vfs) -> Dir:
    """Make /proc/PID."""
    entries = _task(vfs, os.getpid()).entries
    entries |= {b"task": TaskDir(vfs), b"coredump_filter": File(b"00000033\n")}
    return Dir(entries)


def _task(vfs: Vfs, tid: int) -> Dir:
    def process_bytes(name: str) -> Callable[[], bytes]:
        def make() -> bytes:
            values: list[bytes] = getattr(vfs.process, name, [])
            return b"".join(value + b"\0" for value in values)

        return make

    return Dir({
        b"exe": Link(lambda: os.fsencode(vfs.process.exe) if vfs.process else b""),
        b"cwd": Link(lambda: vfs.getcwd()),
        b"root": Link(b"/"),
        b"fd": FdDir(vfs),
        b"fdinfo": FdInfoDir(vfs),
        b"maps": File(lambda: maps_text(vfs)),
        b"cmdline": File(process_bytes("argv")),
        b"environ": File(process_bytes("envp")),
        b"auxv": File(lambda: bytes(getattr(vfs.process, "auxv", b""))),
        b"comm": File(lambda: _comm(vfs) + b"\n"),
        b"stat": File(lambda: _stat(vfs, tid)),
        b"statm": File(_host("/proc/self/statm")),
        b"status": File(lambda: _status(vfs, tid)),
        b"mounts": File(lambda: mounts.describe(vfs.table.points.values())),
        b"mountinfo": File(lambda: mounts.describe_info(vfs.table.points.values())),
        b"limits": File(_host("/proc/self/limits")),
        b"cgroup": File(b"0::/\n"),
        b"oom_score_adj": File(b"0\n"),
        b"loginuid": File(b"4294967295\n"),
        b"wchan": File(b"0"),
        b"personality": File(b"00000008\n"),
        b"io": File(_host("/proc/self/io")),
    })  # fmt: skip


def _comm(vfs: Vfs) -> bytes:
    return vfs.process.comm if vfs.process else b""


def _stat(vfs: Vfs, tid: int) -> bytes:
    """Host's line with the guest's name and without the emulator's addresses."""
    try:
        with open(f"/proc/self/task/{tid}/stat", "rb") as file:
            fields = file.read().rpartition(b") ")[2].split()
    except OSError:
        return b""
    for index in (25, 26, 27, 28, 29, 34):  # startcode endcode startstack kstkesp kstkeip wchan
        fields[index - 3 + 1] = b"0"
    return b"%d (%s) %s\n" % (tid, _comm(vfs)[:15], b" ".join(fields))


def _status(vfs: Vfs, tid: int) -> bytes:
    """Host's text with the guest's name and memory."""
    text = _host(f"/proc/self/task/{tid}/status")()
    text = re.sub(rb"^Name:.*$", lambda _: b"Name:\t" + _comm(vfs)[:15], text, count=1, flags=re.M)
    if vfs.process is not None:
        size = b"VmSize:\t%8d kB" % (vfs.process.mem.mapped_bytes >> 10)
        text = re.sub(rb"^VmSize:.*$", size, text, count=1, flags=re.M)
        threads = b"Threads:\t%d" % max(len(vfs.process.threads), 1)
        text = re.sub(rb"^Threads:.*$", threads, text, count=1, flags=re.M)
    return text


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
