"""System calls about signals: dispositions, masks, sending, waiting, returning from handlers."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import TYPE_CHECKING

from runtime import host
from runtime.host import Sys
from runtime.memory import MemoryFault
from runtime.personalities.linux import defs, frames, reach, siginfo, signals, timespec
from runtime.personalities.linux.defs import sigbit
from runtime.personalities.linux.signals import Action, Pending
from runtime.personalities.linux.table import signed, syscall

if TYPE_CHECKING:
    from runtime.personalities.linux.threads import Thread

_SIG_BLOCK, _SIG_UNBLOCK, _SIG_SETMASK = 0, 1, 2
_KNOWN_FLAGS = 0xFE000007 | 0x00000800  # what sigaction keeps; 0x800 is SA_EXPOSE_TAGBITS
_SET_SIZE = 8


def _valid(signo: int) -> bool:
    return 1 <= signo <= defs.NSIG


# ---- dispositions ----


def _change(t: Thread, signo: int, action: Action | None) -> Action | None:
    """Set a disposition and return the old one; None if *signo* is invalid."""
    if not _valid(signo) or (action and sigbit(signo) & defs.UNBLOCKABLE):
        return None
    table = t.process.signals
    old = table.actions[signo]
    if action:
        mask = action.mask & ~defs.UNBLOCKABLE
        table.set(signo, action._replace(mask=mask, flags=action.flags & _KNOWN_FLAGS))
        if table.is_ignored(signo):
            t.queue = [p for p in t.queue if p.signo != signo]
    return old


@syscall(174, "rt_sigaction")
def rt_sigaction(t: Thread, signo: int, new: int, old: int, size: int) -> int:
    """Set or read a disposition; the full signal set."""
    if size != _SET_SIZE:
        return -defs.EINVAL
    action = None
    if new:
        handler, flags, restorer, mask = struct.unpack("<IIIQ", t.mem.read(new, 20))
        action = Action(handler, flags, restorer, mask)
    former = _change(t, signo, action)
    if former is None:
        return -defs.EINVAL
    if old:
        t.mem.write(
            old, struct.pack("<IIIQ", former.handler, former.flags, former.restorer, former.mask)
        )
    return 0


@syscall(67, "sigaction")
def sigaction(t: Thread, signo: int, new: int, old: int) -> int:
    """Set or read a disposition; the first 32 signals of the set."""
    action = None
    if new:
        handler, mask, flags, restorer = struct.unpack("<IIII", t.mem.read(new, 16))
        action = Action(handler, flags, restorer, mask)
    former = _change(t, signo, action)
    if former is None:
        return -defs.EINVAL
    if old:
        t.mem.write(
            old,
            struct.pack(
                "<IIII", former.handler, former.mask & 0xFFFF_FFFF, former.flags, former.restorer
            ),
        )
    return 0


@syscall(48, "signal")
def signal(t: Thread, signo: int, handler: int) -> int:
    """Set a one-shot handler, as in System V."""
    former = _change(t, signo, Action(handler, defs.SA_RESETHAND | defs.SA_NODEFER))
    return -defs.EINVAL if former is None else former.handler


# ---- masks ----


def _combine(how: int, mask: int, change: int) -> int | None:
    if how == _SIG_BLOCK:
        return mask | change
    if how == _SIG_UNBLOCK:
        return mask & ~change
    return change if how == _SIG_SETMASK else None


@syscall(175, "rt_sigprocmask")
def rt_sigprocmask(t: Thread, how: int, new: int, old: int, size: int) -> int:
    """Change the thread's mask."""
    if size != _SET_SIZE:
        return -defs.EINVAL
    former = t.mask
    if new:
        mask = _combine(how, former, int.from_bytes(t.mem.read(new, 8), "little"))
        if mask is None:
            return -defs.EINVAL
        signals.set_mask(t, mask)
    if old:
        t.mem.write(old, struct.pack("<Q", former))
    return 0


@syscall(126, "sigprocmask")
def sigprocmask(t: Thread, how: int, new: int, old: int) -> int:
    """Change the first 32 signals of the thread's mask."""
    former = t.mask
    if new:
        mask = _combine(how, former & 0xFFFF_FFFF, t.mem.u32(new))
        if mask is None:
            return -defs.EINVAL
        signals.set_mask(t, former & ~0xFFFF_FFFF | mask & 0xFFFF_FFFF)
    if old:
        t.mem.put_u32(old, former & 0xFFFF_FFFF)
    return 0


@syscall(68, "sgetmask")
def sgetmask(t: Thread) -> int:
    """Return the first 32 signals of the mask."""
    return t.mask & 0xFFFF_FFFF


@syscall(69, "ssetmask")
def ssetmask(t: Thread, mask: int) -> int:
    """Set the first 32 signals of the mask; return the former ones."""
    former = t.mask
    signals.set_mask(t, mask)
    return former & 0xFFFF_FFFF


def _pending_set(t: Thread) -> int:
    buffer = (ctypes.c_uint64 * 1)()
    host.check(host.syscall(Sys.RT_SIGPENDING, ctypes.addressof(buffer), 8))
    signals.collect(t)
    return int(buffer[0]) & t.mask | defs.sigset(*{p.signo for p in t.queue}) & t.mask


@syscall(176, "rt_sigpending")
def rt_sigpending(t: Thread, address: int, size: int) -> int:
    """Return the set of blocked signals that wait."""
    if size > _SET_SIZE:
        return -defs.EINVAL
    t.mem.write(address, struct.pack("<Q", _pending_set(t))[:size])
    return 0


@syscall(73, "sigpending")
def sigpending(t: Thread, address: int) -> int:
    """Return the first 32 signals that wait."""
    t.mem.put_u32(address, _pending_set(t) & 0xFFFF_FFFF)
    return 0


# ---- waiting ----


def _suspend(t: Thread, mask: int) -> int:
    signals.use_temporary_mask(t, mask)
    signals.collect(t)
    if not signals.has_actionable(t):
        packed = struct.pack("<Q", t.mask & ~defs.HOST_OWNED)
        host.interruptible(Sys.RT_SIGSUSPEND, packed, 8)
    return -defs.EINTR


@syscall(179, "rt_sigsuspend")
def rt_sigsuspend(t: Thread, address: int, size: int) -> int:
    """Wait for a signal under another mask."""
    if size != _SET_SIZE:
        return -defs.EINVAL
    return _suspend(t, int.from_bytes(t.mem.read(address, 8), "little"))


@syscall(72, "sigsuspend")
def sigsuspend(t: Thread, _unused1: int, _unused2: int, mask: int) -> int:
    """Wait for a signal under another mask of 32 signals."""
    return _suspend(t, mask)


@syscall(29, "pause")
def pause(t: Thread) -> int:
    """Wait for a signal."""
    signals.collect(t)
    if not signals.has_actionable(t):
        packed = struct.pack("<Q", t.mask & ~defs.HOST_OWNED)
        host.interruptible(Sys.RT_SIGSUSPEND, packed, 8)
    return -defs.EINTR


def _timed_wait(t: Thread, wanted_at: int, info_at: int, timeout: float | None, size: int) -> int:
    if size != _SET_SIZE:
        return -defs.EINVAL
    wanted = int.from_bytes(t.mem.read(wanted_at, 8), "little") & ~defs.UNBLOCKABLE
    signals.collect(t)
    if found := signals.take_next(t, wanted):
        return _report_signal(t, found.signo, found.info, info_at)
    record = ctypes.create_string_buffer(siginfo.SIZE)
    left = t.time_left(timeout)
    limit = None if left is None else timespec.pack_host(left)
    packed = struct.pack("<Q", wanted & ~defs.HOST_OWNED)
    result = host.interruptible(Sys.RT_SIGTIMEDWAIT, packed, ctypes.addressof(record), limit, 8)
    if result < 0:
        return result
    return _report_signal(t, result, siginfo.to_guest(record.raw), info_at)


def _report_signal(t: Thread, signo: int, info: bytes, address: int) -> int:
    if address:
        t.mem.write(address, info)
    return signo


@syscall(177, "rt_sigtimedwait")
def rt_sigtimedwait(t: Thread, wanted: int, info: int, timeout: int, size: int) -> int:
    """Take a blocked signal, waiting for it; 32-bit time."""
    return _timed_wait(t, wanted, info, timespec.read32(t.mem, timeout), size)


@syscall(421, "rt_sigtimedwait_time64")
def rt_sigtimedwait_time64(t: Thread, wanted: int, info: int, timeout: int, size: int) -> int:
    """Take a blocked signal, waiting for it; 64-bit time."""
    return _timed_wait(t, wanted, info, timespec.read64(t.mem, timeout), size)


# ---- sending ----


def _send_self(t: Thread, signo: int, code: int) -> bool:
    """Handle a signal to this very process or thread that the host must not see; else False.

    A fatal signal ends the guest in an orderly way, so that the emulator can still report.
    """
    table = t.process.signals
    if not signo or signo == defs.SIGSTOP:
        return False
    if sigbit(signo) & defs.HOST_OWNED:
        info = siginfo.user(signo, code, os.getpid(), os.getuid())
        signals.add(t, Pending(signo, info))
        t.attention = True
        return True
    if signo == defs.SIGKILL or (table.is_fatal(signo) and not t.mask & sigbit(signo)):
        t.process.end_by_signal(signo)
        t.ended = True
        return True
    return False


@syscall(37, "kill")
def kill(t: Thread, pid: int, signo: int) -> int:
    """Send a signal to a process or a group."""
    target = signed(pid)
    if signo > defs.NSIG:
        return -defs.EINVAL
    if target == os.getpid() and _send_self(t, signo, defs.SI_USER):
        return 0
    t.attention = True
    several = reach.group(t.process, target) if target <= 0 else None
    if several is not None:
        results = [kill(t, pid, signo) for pid in several] or [-defs.ESRCH]
        return max(results)
    return host.syscall(Sys.KILL, reach.check(t.process, target), signo)


@syscall(238, "tkill")
def tkill(t: Thread, tid: int, signo: int) -> int:
    """Send a signal to a thread."""
    return _to_thread(t, None, signed(tid), signo)


@syscall(270, "tgkill")
def tgkill(t: Thread, pid: int, tid: int, signo: int) -> int:
    """Send a signal to a thread of a process."""
    if signed(pid) <= 0:
        return -defs.EINVAL
    return _to_thread(t, signed(pid), signed(tid), signo)


def _to_thread(t: Thread, pid: int | None, tid: int, signo: int) -> int:
    if tid <= 0 or signo > defs.NSIG:
        return -defs.EINVAL
    if tid == t.tid and pid in (None, os.getpid()) and _send_self(t, signo, defs.SI_TKILL):
        return 0
    t.attention = True
    other = t.process.threads.get(tid)
    if other is not None and sigbit(signo or 1) & defs.HOST_OWNED and signo:
        info = siginfo.user(signo, defs.SI_TKILL, os.getpid(), os.getuid())
        signals.add(other, Pending(signo, info))
        other.attention = True
        other.cpu.request_stop()
        return 0
    reach.check(t.process, tid)
    if pid is None:
        return host.syscall(Sys.TKILL, tid, signo)
    return host.syscall(Sys.TGKILL, pid, tid, signo)


@syscall(178, "rt_sigqueueinfo")
def rt_sigqueueinfo(t: Thread, pid: int, signo: int, info: int) -> int:
    """Send a signal with a siginfo of one's own to a process."""
    return _queue(t, Sys.RT_SIGQUEUEINFO, (signed(pid),), signo, info)


@syscall(335, "rt_tgsigqueueinfo")
def rt_tgsigqueueinfo(t: Thread, pid: int, tid: int, signo: int, info: int) -> int:
    """Send a signal with a siginfo of one's own to a thread."""
    return _queue(t, Sys.RT_TGSIGQUEUEINFO, (signed(pid), signed(tid)), signo, info)


def _queue(t: Thread, number: int, target: tuple[int, ...], signo: int, address: int) -> int:
    data = struct.pack("<i", signed(signo)) + t.mem.read(address, siginfo.SIZE)[4:]
    if signo > defs.NSIG:
        return -defs.EINVAL
    code = siginfo.code_of(data)
    own = all(number in (os.getpid(), t.tid) for number in target)
    if (code >= 0 or code == defs.SI_TKILL) and target[0] != os.getpid():
        return -defs.EPERM
    if own and signo and sigbit(signo) & defs.HOST_OWNED:
        signals.add(t, Pending(signo, data))
        t.attention = True
        return 0
    if own and _send_self(t, signo, defs.SI_QUEUE):
        return 0
    t.attention = True
    reach.check(t.process, target[0])
    return host.syscall(number, *target, signo, siginfo.to_host(data))


# ---- the way back ----


@syscall(119, "sigreturn")
def sigreturn(t: Thread) -> int:
    """Return from a handler without SA_SIGINFO."""
    try:
        mask = frames.restore(t)
    except (MemoryFault, ValueError):
        signals.force(t, defs.SIGSEGV, siginfo.kernel(defs.SIGSEGV))
        return 0
    signals.set_mask(t, mask)
    t.attention = True
    return int(t.cpu.eax)


@syscall(173, "rt_sigreturn")
def rt_sigreturn(t: Thread) -> int:
    """Return from a handler with SA_SIGINFO."""
    try:
        mask, stack = frames.restore_rt(t)
    except (MemoryFault, ValueError):
        signals.force(t, defs.SIGSEGV, siginfo.kernel(defs.SIGSEGV))
        return 0
    signals.set_mask(t, mask)
    _set_altstack(t, stack)
    t.attention = True
    return int(t.cpu.eax)


@syscall(186, "sigaltstack")
def sigaltstack(t: Thread, new: int, old: int) -> int:
    """Set or read the alternate signal stack."""
    former = t.altstack
    state = former.state(t.cpu.esp) | former.flags & defs.SS_AUTODISARM
    if new:
        sp, flags, size = struct.unpack("<III", t.mem.read(new, 12))
        code = _set_altstack(t, frames.AltStack(sp, flags, size))
        if code:
            return code
    if old:
        t.mem.write(old, struct.pack("<III", former.sp, state, former.size))
    return 0


def _set_altstack(t: Thread, stack: frames.AltStack) -> int:
    """Apply the kernel's rules for a new alternate stack; return 0 or -errno."""
    if t.altstack.contains(t.cpu.esp) and t.altstack.size:
        return -defs.EPERM
    mode = stack.flags & ~defs.SS_AUTODISARM
    if mode not in (0, defs.SS_ONSTACK, defs.SS_DISABLE):
        return -defs.EINVAL
    if mode == defs.SS_DISABLE:
        stack = frames.AltStack(0, stack.flags, 0)
    elif stack.size < frames.MIN_STACK:
        return -defs.ENOMEM
    t.altstack = stack
    return 0


@syscall(0, "restart_syscall")
def restart_syscall(t: Thread) -> int:
    """Answer a call that only the kernel makes; interrupted calls are repeated in place."""
    return -defs.EINVAL
