"""fork, vfork and clone: a new host process, or a new host thread, for the guest.

A vfork child is a forked one; when it calls execve or ends, the pages it wrote are copied to the
waiting parent, which is what sharing the memory would have shown (see vforks.py).
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
from typing import TYPE_CHECKING

from runtime import host, native
from runtime.host import Sys
from runtime.memory import MemoryFault
from runtime.personalities.linux import defs, segments, signals, vforks
from runtime.personalities.linux import threads as guest_threads
from runtime.personalities.linux.frames import AltStack
from runtime.personalities.linux.table import syscall

if TYPE_CHECKING:
    from runtime.personalities.linux.threads import Thread

_THREAD_FLAGS = defs.CLONE_VM | defs.CLONE_SIGHAND | defs.CLONE_THREAD


@syscall(2, "fork")
def fork(t: Thread) -> int:
    """Duplicate the process."""
    return fork_process(t, 0, 0, 0, 0, 0)


@syscall(190, "vfork")
def vfork(t: Thread) -> int:
    """Duplicate the process; the caller waits until the child calls execve or ends."""
    return fork_process(t, defs.CLONE_VM | defs.CLONE_VFORK, 0, 0, 0, 0)


@syscall(120, "clone")
def clone(t: Thread, flags: int, stack: int, parent_tid: int, tls: int, child_tid: int) -> int:
    """Make a thread or a process, as the flags say."""
    return do_clone(t, flags, stack, parent_tid, tls, child_tid)


@syscall(435, "clone3")
def clone3(t: Thread, address: int, size: int) -> int:
    """Make a thread or a process, as a struct clone_args says."""
    if size < 64:
        return -defs.EINVAL
    if size > defs.PAGE:
        return -7  # E2BIG
    fields = struct.unpack("<8Q", t.mem.read(address, 64))
    if any(t.mem.read(address + 64, size - 64)):
        return -defs.EINVAL  # set_tid and cgroup are not offered
    flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls = fields
    if flags & 0xFF or flags >> 32 or exit_signal > defs.NSIG or bool(stack) != bool(stack_size):
        return -defs.EINVAL
    if flags & defs.CLONE_PIDFD:
        if flags & defs.CLONE_PARENT_SETTID and pidfd != parent_tid:
            return -defs.EINVAL
        parent_tid = pidfd
    return do_clone(t, flags | exit_signal, stack + stack_size, parent_tid, tls, child_tid)


def do_clone(t: Thread, flags: int, stack: int, parent_tid: int, tls: int, child_tid: int) -> int:
    """Check the flags as the kernel does and make the thread or process."""
    if flags & defs.CLONE_NEW_ANY:
        return -defs.EPERM
    if flags & defs.CLONE_THREAD and not flags & defs.CLONE_SIGHAND:
        return -defs.EINVAL
    if flags & defs.CLONE_SIGHAND and not flags & defs.CLONE_VM:
        return -defs.EINVAL
    if flags & defs.CLONE_THREAD:
        if flags & defs.CLONE_PIDFD:
            return -defs.EINVAL
        return start_thread(t, flags, stack, parent_tid, tls, child_tid)
    if flags & defs.CLONE_VM and not flags & defs.CLONE_VFORK:
        t.process.report.unsupported("clone: a process that shares memory")
        return -defs.EINVAL
    if flags & (defs.CLONE_SIGHAND | defs.CLONE_PARENT):
        t.process.report.unsupported(f"clone: flags {flags:#x}")
        return -defs.EINVAL
    return fork_process(t, flags, stack, parent_tid, tls, child_tid)


# ---- processes ----


def fork_process(
    t: Thread, flags: int, stack: int, parent_tid: int, tls: int, child_tid: int
) -> int:
    """Fork the host process; in the child this returns 0 and the guest goes on there."""
    if tls and flags & defs.CLONE_SETTLS and (code := _check_tls(t, tls)):
        return code
    is_vfork = bool(flags & defs.CLONE_VFORK)
    handover = vforks.Handover(t) if is_vfork else None
    process = t.process
    mask = signals.block_all()
    process.before_fork()
    try:
        pid = os.fork()
    except OSError:
        process.after_fork_parent()
        signals.set_host_mask(mask)
        if handover:
            handover.abandon()
        raise
    if pid == 0:
        try:
            process.after_fork_child(t)
            if handover:
                handover.enter_child(process)
            _set_up_child(t, flags, stack, tls, child_tid)
            native.take_pending(t.cpu)  # pending signals are the parent's
        except BaseException:
            os._exit(127)
        signals.set_host_mask(mask)
        return 0
    process.after_fork_parent()
    signals.set_host_mask(mask)
    t.attention = True
    if flags & defs.CLONE_PARENT_SETTID:
        t.mem.put_u32(parent_tid, pid)
    if flags & defs.CLONE_PIDFD:
        t.mem.put_u32(parent_tid, host.check(host.syscall(Sys.PIDFD_OPEN, pid, 0)))
    if handover:
        handover.wait_in_parent(t)
    return pid


def _set_up_child(t: Thread, flags: int, stack: int, tls: int, child_tid: int) -> None:
    """Apply what clone asks for in a fresh child process."""
    t.clear_child_tid = child_tid if flags & defs.CLONE_CHILD_CLEARTID else 0
    t.robust_list = 0
    if stack:
        t.cpu.esp = stack
    if flags & defs.CLONE_SETTLS:
        segments.set_tls(t, tls, may_allocate=False)
        segments.refresh(t)
    if flags & defs.CLONE_CHILD_SETTID:
        with contextlib.suppress(MemoryFault):  # the kernel does not look at the result either
            t.mem.put_u32(child_tid, t.tid)


def _check_tls(t: Thread, tls: int) -> int:
    """Return -errno if the user_desc at *tls* could not be a TLS entry of a child."""
    number, _ = segments.read_user_desc(t, tls)
    return 0 if defs.TLS_MIN <= number <= defs.TLS_MAX else -defs.EINVAL


# ---- threads ----


def start_thread(
    t: Thread, flags: int, stack: int, parent_tid: int, tls: int, child_tid: int
) -> int:
    """Start a host thread for a new guest thread of this process; return its tid."""
    process = t.process
    cpu = t.cpu.copy()
    cpu.eax = 0
    if stack:
        cpu.esp = stack
    child = guest_threads.Thread(process, cpu, t.mask)
    child.tls = list(t.tls)
    child.altstack = AltStack()
    if flags & defs.CLONE_SETTLS:
        code = segments.set_tls(child, tls, may_allocate=False)
        if code:
            return code
        segments.refresh(child)
    if flags & defs.CLONE_CHILD_CLEARTID:
        child.clear_child_tid = child_tid
    ready, go = threading.Event(), threading.Event()
    worker = threading.Thread(target=_thread_main, args=(child, ready, go), daemon=True)
    mask = signals.block_all()  # the new host thread starts with this mask
    process.budget.share(t.cpu, cpu)
    try:
        worker.start()
        ready.wait()
    except RuntimeError:
        process.budget.retire(cpu)
        return -defs.EAGAIN
    finally:
        signals.set_host_mask(mask)
    process.add(child)
    if flags & defs.CLONE_PARENT_SETTID:
        t.mem.put_u32(parent_tid, child.tid)
    if flags & defs.CLONE_CHILD_SETTID:
        t.mem.put_u32(child_tid, child.tid)
    if process.has_request:  # since before it was in the books
        child.attention = True
    go.set()
    return child.tid


def _thread_main(child: Thread, ready: threading.Event, go: threading.Event) -> None:
    """Run a guest thread on the calling host thread until it ends."""
    process = child.process
    child.bind()
    ready.set()
    go.wait()
    signals.set_host_mask(child.mask & ~defs.HOST_OWNED)
    try:
        child.run()
    except BaseException as error:
        process.end_by_error(error)
    signals.block_all()
    if child.is_leader:  # this thread forked, and is all that the child process has
        process.run_to_death()
    if child.tid in process.threads:
        child.leave()
        process.remove(child)
    native.unbind(child.cpu)
    process.engine.retire(child.cpu)
