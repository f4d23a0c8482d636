"""fork, wait, limits, ids, clocks, sockets and the end, on a process without translated code."""

from __future__ import annotations

import os
import socket
import struct
import time

import pytest

from runtime.personalities.linux import defs, ending, segments, vforks
from runtime.personalities.linux.report import Report
from runtime.personalities.linux.table import SYSCALLS, syscall
from tests.runtime.linux_fakes import DATA, call, guest, perform, play

pytestmark = pytest.mark.alone
FORK, WAIT4, EXIT_GROUP, CLONE, VFORK = 2, 114, 252, 120, 190


def test_table_rejects_duplicates_and_odd_signatures() -> None:
    """A number is registered once; handlers take a thread and plain arguments."""
    with guest() as t:
        assert t.tid == os.getpid()

    def handler(t: object, *args: int) -> int:
        return 0

    with pytest.raises(TypeError):
        syscall(9999, "odd")(handler)
    with pytest.raises(ValueError, match="is getpid already"):
        syscall(20, "again")(lambda t: 0)
    assert SYSCALLS[120].nargs == 5


def test_fork_and_wait() -> None:
    """The child gets 0 and its own pid; the parent its status and resource usage."""
    with guest() as t:
        parent = os.getpid()
        child = perform(t, FORK)
        if os.getpid() != parent:
            good = child == 0 and t.tid == os.getpid() and t.process.is_fork
            os._exit(7 if good else 8)
        assert perform(t, WAIT4, child, DATA, 0, DATA + 8) == child
        assert t.mem.u32(DATA) == 7 << 8
        assert t.mem.u32(DATA + 8 + 72) == 0  # struct rusage ends there
        assert perform(t, WAIT4, child, DATA, 0, 0) == -10  # ECHILD


def test_clone_sets_tid_words() -> None:
    """CLONE_PARENT_SETTID writes here, CLONE_CHILD_SETTID there, CLONE_CHILD_CLEARTID is kept."""
    with guest() as t:
        parent = os.getpid()
        flags = 0x1000000 | 0x100000 | 0x200000 | 17
        child = perform(t, CLONE, flags, 0x5001_0000, DATA, 0, DATA + 4)
        if os.getpid() != parent:
            good = t.mem.u32(DATA + 4) == os.getpid() and t.cpu.esp == 0x5001_0000
            os._exit(1 if good and t.clear_child_tid == DATA + 4 else 2)
        assert t.mem.u32(DATA) == child
        assert t.mem.u32(DATA + 4) == 0
        assert os.waitpid(child, 0)[1] == 1 << 8


def test_vfork_shows_what_the_child_wrote() -> None:
    """The parent waits for the child's end and sees its memory."""
    with guest() as t:
        parent = os.getpid()
        t.mem.put_u32(DATA, 1)
        start = time.monotonic()
        child = perform(t, VFORK)
        if os.getpid() != parent:
            t.mem.put_u32(DATA, 2)
            time.sleep(0.1)
            t.process.finish(ending.End())
            os._exit(0)
        assert time.monotonic() - start > 0.09
        assert t.mem.u32(DATA) == 2
        os.waitpid(child, 0)
        assert not t.process.reserved_fds.intersection(range(3, 1000))


def test_written_pages_finds_exactly_the_written_ones() -> None:
    """In a forked child, only pages that it wrote to count."""
    with guest() as t:
        for page in range(4):
            t.mem.put_u32(DATA + 0x1000 * page, page + 1)
        parent = os.getpid()
        child = perform(t, FORK)
        if os.getpid() != parent:
            t.mem.put_u32(DATA + 0x2000, 99)
            found = {address for address, _ in vforks.written_pages(t.process, DATA)}
            os._exit(0 if found == {DATA + 0x2000} else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_changes_are_the_words_that_differ() -> None:
    """Of a page that other threads write to as well, only what the child changed is taken over."""
    before = bytearray(defs.PAGE)
    after = bytearray(before)
    after[5] = 1
    after[8:12] = b"abcd"
    after[4095] = 2
    assert vforks.changes(bytes(before), bytes(after)) == [
        (4, bytes(after[4:12])),
        (4092, bytes(after[4092:])),
    ]
    assert vforks.changes(bytes(after), bytes(after)) == []
    assert vforks.changes(None, bytes(after)) == [(0, bytes(after))]


def test_namespaces_and_shared_memory_are_refused() -> None:
    """Clone flags that cannot be had give errors, and the report tells."""
    with guest() as t:
        assert perform(t, CLONE, 0x20000 | 17) == -defs.EPERM
        assert perform(t, CLONE, 0x10000) == -defs.EINVAL
        assert perform(t, CLONE, 0x100 | 17) == -defs.EINVAL
        assert "shares memory" in t.process.report.summary()


def test_exit_group_ends_the_process() -> None:
    """The status is the low byte."""
    with guest() as t:
        perform(t, EXIT_GROUP, 0x1234)
        assert t.process.ending == ending.End(status=0x34)


def test_unknown_calls_are_counted() -> None:
    """ENOSYS, and the names in the report."""
    with guest() as t:
        assert perform(t, 999) == -defs.ENOSYS
        assert perform(t, 453) == -defs.ENOSYS
        assert perform(t, 453) == -defs.ENOSYS
        assert t.process.report.summary() == "unknown system calls: map_shadow_stack (2), 511 (1)"
        assert "2 map_shadow_stack" in t.process.report.full()


def test_report_is_shared_with_children() -> None:
    """A forked child's counts arrive."""
    report = Report()
    child = os.fork()
    if child == 0:
        report.unknown_call(5)
        report.unsupported("something")
        os._exit(0)
    os.waitpid(child, 0)
    assert report.summary() == "unknown system calls: open (1); unsupported: something (1)"


def test_limits_are_kept_from_the_host() -> None:
    """The guest's limit of address space is only shown; a raised hard limit needs rights."""
    with guest() as t:
        t.mem.write(DATA, struct.pack("<II", 1 << 20, 1 << 21))
        assert perform(t, 75, 9, DATA) == 0
        assert perform(t, 191, 9, DATA + 8) == 0
        assert t.mem.read(DATA + 8, 8) == struct.pack("<II", 1 << 20, 1 << 21)
        assert perform(t, 340, 0, 9, 0, DATA + 16) == 0
        assert t.mem.read(DATA + 16, 16) == struct.pack("<QQ", 1 << 20, 1 << 21)


def test_uname_and_times() -> None:
    """The machine is an i686 with the release that was asked for."""
    with guest(release="4.9.0") as t:
        assert perform(t, 122, DATA) == 0
        fields = [t.mem.read(DATA + 65 * i, 65).rstrip(b"\0") for i in range(6)]
        assert fields[0] == b"Linux"
        assert fields[2] == b"4.9.0"
        assert fields[4] == b"i686"
        assert perform(t, 403, 0, DATA) == 0
        seconds, nanoseconds = struct.unpack("<qq", t.mem.read(DATA, 16))
        assert abs(seconds + nanoseconds / 1e9 - time.time()) < 5
        assert perform(t, 265, 0, 0x10) == -defs.EFAULT


def test_tls_entries() -> None:
    """set_thread_area chooses entry 12 and moves the base of a loaded GS."""
    with guest() as t:
        t.mem.write(DATA, struct.pack("<iIII", -1, 0x1234000, 0xFFFFF, 0x51))
        assert perform(t, 243, DATA) == 0
        assert t.mem.u32(DATA) == 12
        assert segments.load(t, "gs", 0x63)
        assert t.cpu.gs_base == 0x1234000
        t.mem.write(DATA, struct.pack("<iIII", 12, 0x5678000, 0xFFFFF, 0x51))
        assert perform(t, 243, DATA) == 0
        assert t.cpu.gs_base == 0x5678000
        assert not segments.load(t, "gs", 0x6B)
        assert segments.load(t, "gs", 0)
        assert t.cpu.gs_base == 0
        assert segments.processor_descriptor(t, 0x2B) == 0x00CFF3000000FFFF
        assert segments.processor_descriptor(t, 0x23) == 0x00CFFB000000FFFF


def test_network_is_off_by_default() -> None:
    """Internet sockets are refused and reported; pairs always work."""
    with guest() as t:
        assert perform(t, 359, socket.AF_INET, socket.SOCK_STREAM, 0) == -defs.EACCES
        t.mem.write(DATA, struct.pack("<III", socket.AF_INET6, socket.SOCK_DGRAM, 0))
        assert perform(t, 102, 1, DATA) == -defs.EACCES
        assert "--net host" in t.process.report.summary()
        assert perform(t, 360, socket.AF_UNIX, socket.SOCK_STREAM, 0, DATA) == 0
        for fd in struct.unpack("<2i", t.mem.read(DATA, 8)):
            os.close(fd)
        name = struct.pack("<H", socket.AF_UNIX) + b"\0abstract"
        t.mem.write(DATA, name)
        fd = perform(t, 359, socket.AF_UNIX, socket.SOCK_STREAM, 0)
        assert perform(t, 361, fd, DATA, len(name)) == -defs.EACCES
        os.close(fd)
    with guest(net="host") as t:
        fd = perform(t, 359, socket.AF_INET, socket.SOCK_STREAM, 0)
        assert fd >= 0
        os.close(fd)


def test_timeout_ends_a_waiting_guest() -> None:
    """The status is that of timeout(1), whatever the guest waits for."""
    with guest(timeout=0.1) as t:
        t.process.watch_time()
        start = time.monotonic()
        play(t, call(29))
        assert t.process.ending is not None
        assert t.process.ending.status == 124
        assert time.monotonic() - start < 2


def test_strace_line(capfd: pytest.CaptureFixture[str]) -> None:
    """One line per call, in the form of qemu-user."""
    with guest(strace=True) as t:
        t.mem.write(DATA, b"text\n")
        perform(t, 48, defs.SIGUSR1, 1)
        perform(t, 359, 99, 1, 0)
        perform(t, 999)
    lines = capfd.readouterr().err.splitlines()
    pid = os.getpid()
    assert lines[0] == f"{pid} signal(SIGUSR1,0x00000001) = 0"
    assert lines[1] == f"{pid} socket(99,1,0) = -1 errno=13 (Permission denied)"
    assert lines[2].startswith(f"{pid} syscall_999() = -1 errno=38")
