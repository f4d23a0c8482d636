"""Signal state of a process and delivery to its threads: host signals in, guest frames out.

The guest's mask is the host thread's mask (except HOST_OWNED signals, which are held back here),
so the host kernel keeps pending signals, queues and priorities. A signal that arrives is recorded
by the native handler; `collect` fetches the records and `deliver` acts on them.
"""

from __future__ import annotations

import ctypes
import os
import signal as host_signal
import struct
from typing import TYPE_CHECKING, NamedTuple

from runtime import host, native
from runtime.host import Sys
from runtime.personalities.linux import defs, frames, siginfo, vm86
from runtime.personalities.linux.defs import sigbit

if TYPE_CHECKING:
    from runtime.personalities.linux.threads import Thread

_HOST_FLAGS = defs.SA_NOCLDSTOP | defs.SA_NOCLDWAIT
# Python itself ignores these at start-up, so their inherited disposition is unknown.
_PYTHON_IGNORES = frozenset({defs.SIGPIPE, defs.SIGXFSZ})
_SIG_SETMASK = 2
_LEFT_ALONE = defs.UNBLOCKABLE | defs.HOST_OWNED


class Action(NamedTuple):
    """The disposition of one signal, as in struct sigaction."""

    handler: int = defs.SIG_DFL
    flags: int = 0
    restorer: int = 0
    mask: int = 0


class Pending(NamedTuple):
    """A signal that arrived: number, i386 siginfo and the host's record for queueing it again."""

    signo: int
    info: bytes
    host_info: bytes | None = None


class SignalTable:
    """Dispositions of a process; keeps the host's dispositions in step."""

    def __init__(self) -> None:
        self.actions = [Action() for _ in range(defs.NSIG + 1)]
        self._host_state: tuple[int, dict[int, bytes]] | None = None

    def give_back_host(self) -> None:
        """Put back the host dispositions and the mask that were there before the guest."""
        if self._host_state is not None:
            mask, actions = self._host_state
            for signo, action in actions.items():
                host.syscall(Sys.RT_SIGACTION, signo, action, 0, 8)
            set_host_mask(mask)
            self._host_state = None

    def take_host(self, mask: int, kept: frozenset[int] = frozenset()) -> None:
        """Put the guest's dispositions and mask in force again, after `give_back_host`.

        Signals in *kept* stay the host's as long as the guest leaves them their default action.
        """
        self._save_host()
        for signo in range(1, defs.NSIG + 1):
            if signo not in kept or self.actions[signo].handler != defs.SIG_DFL:
                self._apply(signo)
        set_host_mask(mask & ~defs.HOST_OWNED)

    def _save_host(self) -> None:
        taken = (s for s in range(1, defs.NSIG + 1) if not sigbit(s) & _LEFT_ALONE)
        self._host_state = (host_mask(), {signo: _host_action(signo) for signo in taken})

    def adopt_host(self) -> None:
        """Start from what this process inherited, as execve leaves it: ignored or default."""
        self._save_host()
        for signo in range(1, defs.NSIG + 1):
            if signo in _PYTHON_IGNORES or sigbit(signo) & _LEFT_ALONE:
                ignored = False
            else:
                ignored = _is_ignored(signo)
            self.actions[signo] = Action(defs.SIG_IGN if ignored else defs.SIG_DFL)
            self._apply(signo)

    def set(self, signo: int, action: Action) -> None:
        """Change a disposition, here and on the host."""
        self.actions[signo] = action
        self._apply(signo)

    def after_exec(self) -> None:
        """Give caught signals their default action; ignored ones stay ignored."""
        for signo, action in enumerate(self.actions):
            if signo and action.handler != defs.SIG_IGN:
                self.set(signo, Action())
            elif signo:
                self.actions[signo] = Action(defs.SIG_IGN)

    def is_fatal(self, signo: int) -> bool:
        """Tell whether *signo* ends the process by default action."""
        harmless = defs.IGNORED_BY_DEFAULT | defs.STOPS_BY_DEFAULT
        return self.actions[signo].handler == defs.SIG_DFL and not sigbit(signo) & harmless

    def is_ignored(self, signo: int) -> bool:
        """Tell whether *signo* has no effect now."""
        handler = self.actions[signo].handler
        by_default = handler == defs.SIG_DFL and sigbit(signo) & defs.IGNORED_BY_DEFAULT
        return handler == defs.SIG_IGN or bool(by_default)

    def _apply(self, signo: int) -> None:
        action = self.actions[signo]
        if sigbit(signo) & _LEFT_ALONE:
            return
        if action.handler == defs.SIG_DFL:
            native.default(signo, action.flags & _HOST_FLAGS)
        elif action.handler == defs.SIG_IGN:
            native.ignore(signo)
        else:
            native.catch(signo, action.flags & _HOST_FLAGS)


def _host_action(signo: int) -> bytes:
    buffer = bytearray(32)
    host.syscall(Sys.RT_SIGACTION, signo, 0, _buffer(buffer), 8)
    return bytes(buffer)


def _is_ignored(signo: int) -> bool:
    try:
        return host_signal.getsignal(signo) == host_signal.SIG_IGN
    except ValueError:  # 32 and 33 belong to the C library
        return False


# ---- masks ----


def set_host_mask(mask: int) -> int:
    """Set the calling host thread's mask; return the former one."""
    old = bytearray(8)
    former = _buffer(old)
    new = struct.pack("<Q", mask & 0xFFFF_FFFF_FFFF_FFFF)
    host.check(host.syscall(Sys.RT_SIGPROCMASK, _SIG_SETMASK, new, former, 8))
    return int.from_bytes(old, "little")


def _buffer(data: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(data))


def host_mask() -> int:
    """Return the calling host thread's mask."""
    old = bytearray(8)
    host.check(host.syscall(Sys.RT_SIGPROCMASK, _SIG_SETMASK, 0, _buffer(old), 8))
    return int.from_bytes(old, "little")


def set_mask(t: Thread, mask: int) -> None:
    """Change the thread's guest mask and with it the mask of the host thread."""
    mask &= ~defs.UNBLOCKABLE
    if mask != t.mask:
        t.mask = mask
        set_host_mask(mask & ~defs.HOST_OWNED)
        t.attention = True


def use_temporary_mask(t: Thread, mask: int) -> None:
    """Set *mask* for the duration of the current system call (sigsuspend, ppoll, pselect...).

    The dispatcher puts the former mask back when the call returns; if a handler runs, its frame
    holds the former mask.
    """
    t.saved_mask = t.mask
    set_mask(t, mask)


def restore_saved_mask(t: Thread) -> None:
    """End a temporary mask."""
    if t.saved_mask is not None:
        mask, t.saved_mask = t.saved_mask, None
        set_mask(t, mask)


def block_all() -> int:
    """Block every signal that may be blocked on this host thread; return the former mask."""
    return set_host_mask(~defs.HOST_OWNED)


# ---- arrival ----


def collect(t: Thread) -> None:
    """Move what the native handler recorded into the thread's queue."""
    native.clear_stop(t.cpu)  # before the records are read: a later signal asks again
    if t.process.has_request:
        t.cpu.request_stop()  # still to be looked at: no call may wait before that
    for signo, info in native.take_pending(t.cpu):
        add(t, Pending(signo, siginfo.to_guest(info), bytes(info)))


def add(t: Thread, pending: Pending) -> None:
    """Queue a signal; a standard signal that waits already is not queued twice."""
    if pending.signo > 31 or all(p.signo != pending.signo for p in t.queue):
        t.queue.append(pending)


def take_next(t: Thread, wanted: int | None = None) -> Pending | None:
    """Take the signal to act on now: synchronous ones first, then by number, as the kernel does.

    With *wanted* (a set), only those signals are taken, blocked or not.
    """
    allowed = ~t.mask if wanted is None else wanted
    candidates = [p for p in t.queue if sigbit(p.signo) & allowed]
    if not candidates:
        return None
    best = min(candidates, key=lambda p: (not sigbit(p.signo) & defs.SYNCHRONOUS, p.signo))
    t.queue.remove(best)
    return best


def hand_back_blocked(t: Thread) -> None:
    """Give recorded signals that became blocked back to the host kernel, which keeps them pending.

    HOST_OWNED ones stay in the thread's queue, because the host never blocks them.
    """
    keep: list[Pending] = []
    for pending in t.queue:
        bit = sigbit(pending.signo)
        if bit & t.mask and not bit & defs.HOST_OWNED and pending.host_info is not None:
            host.syscall(
                Sys.RT_TGSIGQUEUEINFO, os.getpid(), t.tid, pending.signo, pending.host_info
            )
        else:
            keep.append(pending)
    t.queue[:] = keep


def has_actionable(t: Thread) -> bool:
    """Tell whether `deliver` would run a handler or end or stop the process."""
    table = t.process.signals
    return any(not sigbit(p.signo) & t.mask and not table.is_ignored(p.signo) for p in t.queue)


# ---- delivery ----


def deliver(t: Thread, interrupted: int | None = None) -> bool:
    """Act on every deliverable signal; return whether a handler was entered.

    *interrupted* is the number of a system call that gave EINTR, or None: the first handler's
    SA_RESTART decides whether the call is made again after the handler.
    """
    table = t.process.signals
    entered = False
    while not t.ended and (pending := take_next(t)) is not None:
        signo = pending.signo
        action = table.actions[signo]
        if table.is_ignored(signo):
            continue
        if action.handler == defs.SIG_DFL:
            default_action(t, signo)
            continue
        if interrupted is not None:
            _finish_interrupted(t, interrupted, action)
            interrupted = None
        enter_handler(t, pending, action)
        entered = True
    if t.queue:
        hand_back_blocked(t)
    return entered


def _finish_interrupted(t: Thread, number: int, action: Action) -> None:
    """Let the interrupted call give EINTR, or set the registers so that it is made again."""
    if action.flags & defs.SA_RESTART and t.may_restart(number):
        t.cpu.eax = number
        t.cpu.eip = (t.cpu.eip - 2) & 0xFFFF_FFFF
    else:
        t.cpu.eax = -defs.EINTR & 0xFFFF_FFFF


def enter_handler(t: Thread, pending: Pending, action: Action) -> None:
    """Build the frame and point the CPU at the handler; an unusable stack is a SIGSEGV."""
    signo = pending.signo
    if t.vm86 is not None:
        vm86.leave(t, vm86.SIGNAL)
    if action.flags & defs.SA_RESETHAND:
        t.process.signals.set(signo, Action(flags=action.flags, mask=action.mask))
    old_mask = t.mask if t.saved_mask is None else t.saved_mask
    try:
        frames.push(t, signo, action, pending.info, old_mask)
    except frames.BadStack:
        if signo == defs.SIGSEGV:
            t.process.signals.set(signo, Action())
        force(t, defs.SIGSEGV, siginfo.kernel(defs.SIGSEGV))
        return
    t.saved_mask = None
    mask = t.mask | action.mask
    if not action.flags & defs.SA_NODEFER:
        mask |= sigbit(signo)
    set_mask(t, mask)


def force(t: Thread, signo: int, info: bytes) -> None:
    """Queue a signal that the thread cannot avoid: blocked or ignored, it kills."""
    table = t.process.signals
    if sigbit(signo) & t.mask or table.actions[signo].handler == defs.SIG_IGN:
        table.set(signo, Action())
        set_mask(t, t.mask & ~sigbit(signo))
    t.queue = [p for p in t.queue if p.signo != signo]
    t.queue.append(Pending(signo, info))
    t.attention = True


def default_action(t: Thread, signo: int) -> None:
    """Carry out the default action: stop for real, or end the process."""
    if sigbit(signo) & defs.STOPS_BY_DEFAULT:
        os.kill(os.getpid(), host_signal.SIGSTOP)
    else:
        t.process.end_by_signal(signo)
        t.ended = True
