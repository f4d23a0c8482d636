"""execve in place: a path and string vectors in, the same process with a new program out.

Everything that can fail is tried before the old program is given up. The new program runs on the
leader's host thread, as on Linux; the caller hands its request over and ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runtime import host, native
from runtime.host import Sys
from runtime.personalities.linux import defs, fpframe, frames, image, segments, signals
from runtime.personalities.linux.ending import End
from runtime.personalities.linux.table import signed, syscall

if TYPE_CHECKING:
    from runtime.personalities.linux.process import Process
    from runtime.personalities.linux.threads import Thread

_AT_FDCWD = -100
_AT_EMPTY_PATH, _AT_SYMLINK_NOFOLLOW = 0x1000, 0x100
_PR_SET_NAME = 15
MAX_STRING = 32 * defs.PAGE
MAX_TOTAL = 2 << 20
E2BIG = 7


class Request(NamedTuple):
    """A program that is ready to be loaded, and the mask of the thread that asked for it."""

    plan: image.Plan
    mask: int


@syscall(11, "execve")
def execve(t: Thread, path: int, argv: int, envp: int) -> int:
    """Replace the program."""
    return _start(t, _AT_FDCWD, t.mem.cstr(path), argv, envp, 0)


@syscall(358, "execveat")
def execveat(t: Thread, dirfd: int, path: int, argv: int, envp: int, flags: int) -> int:
    """Replace the program by a file that is named relative to a directory or by a descriptor."""
    if flags & ~(_AT_EMPTY_PATH | _AT_SYMLINK_NOFOLLOW):
        return -defs.EINVAL
    return _start(t, signed(dirfd), t.mem.cstr(path), argv, envp, flags)


def _strings(t: Thread, address: int) -> list[bytes]:
    """Read a null-terminated vector of strings; a null vector is empty."""
    found: list[bytes] = []
    total = 0
    while address and (pointer := t.mem.u32(address)):
        try:
            text = t.mem.cstr(pointer, MAX_STRING)
        except OSError:  # longer than that
            raise OSError(E2BIG, "argument list too long") from None
        total += len(text) + 5
        if total > MAX_TOTAL:
            raise OSError(E2BIG, "argument list too long")
        found.append(text)
        address += 4
    return found


def _start(t: Thread, dirfd: int, path: bytes, argv: int, envp: int, flags: int) -> int:
    arguments, environment = _strings(t, argv), _strings(t, envp)
    plan = image.prepare(t.process, dirfd, path, arguments, environment, flags)
    process = t.process
    with process.changed:
        if process.exec_request is not None or process.ending is not None:
            t.ended = True  # somebody else was first
            return 0
        process.exec_request = Request(plan, t.mask)
        process.changed.notify_all()
    process.kick_others(t)
    if not t.is_leader:
        t.leave()
        process.remove(t)
        return 0
    carry_out(t)
    return 0


def carry_out(t: Thread) -> None:
    """Load the requested program on the leader, once the other threads are gone."""
    process = t.process
    request = process.exec_request
    assert request is not None
    process.wait_for_others(t)
    native.clear_stop(t.cpu)
    t.notify_clear_tid()
    with process.changed:
        process.threads = {t.tid: t}
        process.exec_request = None
    replace(process, t, request)


def replace(process: Process, t: Thread, request: Request) -> None:
    """Wipe the old program and start the new one on thread *t*."""
    if process.vfork is not None:
        process.vfork.finish()
    process.vfs.fds.close_on_exec()
    process.signals.after_exec()
    process.forget_image()
    process.engine.flush()
    process.mem.reset()
    try:
        start = image.load(process, request.plan)
    except OSError as error:  # too late to give an answer: Linux kills the process as well
        process.end(End(signal=defs.SIGSEGV, note=f"execve failed: {error}"), by=t)
        t.ended = True
        return
    host.syscall(Sys.PRCTL, _PR_SET_NAME, process.comm + b"\0")
    reset_thread(t, start.entry, start.stack)
    signals.set_mask(t, request.mask)


def reset_thread(t: Thread, entry: int, stack: int) -> None:
    """Give a thread the registers and the state that a fresh program starts with."""
    cpu = t.cpu
    t.ended = False
    t.attention = True
    t.altstack = frames.AltStack()
    t.saved_mask = None
    t.clear_child_tid = t.robust_list = 0
    t.tls = [None] * 3
    t.trap_number = t.trap_error = t.trap_address = 0
    for name in ("eax", "ecx", "edx", "ebx", "ebp", "esi", "edi"):
        setattr(cpu, name, 0)
    cpu.esp, cpu.eip, cpu.eflags = stack, entry, 0x202
    segments.load(t, "cs", defs.USER_CS)
    for name in ("ds", "es", "ss"):
        segments.load(t, name, defs.USER_DS)
    for name in ("fs", "gs"):
        segments.load(t, name, 0)
    cpu.fxrstor(fpframe.INITIAL)
