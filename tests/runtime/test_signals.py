"""Dispositions, masks, delivery, waiting and restarting, on a process without translated code."""

from __future__ import annotations

import os
import signal
import struct
import threading
import time

import pytest

from runtime.personalities.linux import defs
from runtime.personalities.linux.defs import sigset
from runtime.personalities.linux.signals import Action
from runtime.personalities.linux.threads import Thread
from tests.runtime.linux_fakes import DATA, Exit, call, guest, perform, play

pytestmark = pytest.mark.alone
HANDLER = 0x08049000
USR1, USR2 = defs.SIGUSR1, defs.SIGUSR2
KILL, PAUSE, NANOSLEEP, READ_ALARM = 37, 29, 162, 27
SIGPROCMASK, SIGPENDING, SIGTIMEDWAIT, SIGSUSPEND, SIGRETURN = 175, 176, 177, 179, 173


def install(t: Thread, signo: int, flags: int = 0, mask: int = 0) -> None:
    """Install a handler with SA_SIGINFO by the system call."""
    t.mem.write(DATA, struct.pack("<IIIQ", HANDLER + signo, flags | defs.SA_SIGINFO, 0, mask))
    assert perform(t, 174, signo, DATA, 0, 8) == 0


def block(t: Thread, mask: int) -> None:
    """Set the thread's mask by the system call."""
    t.mem.write(DATA, struct.pack("<Q", mask))
    assert perform(t, SIGPROCMASK, 2, DATA, 0, 8) == 0


def finish(t: Thread) -> int:
    """Return from the handler that the thread is in; return EAX of the interrupted code."""
    t.cpu.esp += 4
    return play(t, call(SIGRETURN))[0]


def test_kill_enters_the_handler_before_the_call_returns_to_the_guest() -> None:
    """A signal to oneself is delivered at once, with SI_USER and our ids."""
    with guest() as t:
        install(t, USR1)
        assert perform(t, KILL, os.getpid(), USR1) == USR1  # EAX is the handler's argument
        assert t.cpu.eip == HANDLER + USR1
        assert t.mask == sigset(USR1)
        info = struct.unpack("<5i", t.mem.read(t.cpu.edx, 20))
        assert info == (USR1, 0, defs.SI_USER, os.getpid(), os.getuid())
        assert finish(t) == 0  # what kill returned
        assert t.mask == 0


def test_order_of_two_pending_signals() -> None:
    """Of two that were blocked, the frame of the lower number lies below."""
    with guest() as t:
        install(t, USR1)
        install(t, USR2)
        block(t, sigset(USR1, USR2))
        perform(t, KILL, os.getpid(), USR2)
        perform(t, KILL, os.getpid(), USR1)
        t.mem.write(DATA + 8, bytes(8))
        assert perform(t, SIGPENDING, DATA + 8, 8) == 0
        assert t.mem.read(DATA + 8, 8) == struct.pack("<Q", sigset(USR1, USR2))
        block_all = t.mask
        t.mem.write(DATA, bytes(8))
        play(t, call(SIGPROCMASK, 2, DATA, 0, 8))
        assert block_all == sigset(USR1, USR2)
        assert t.cpu.eip == HANDLER + USR2  # entered last, so it runs first
        finish(t)
        assert t.cpu.eip == HANDLER + USR1


def test_real_time_signals_queue_in_order() -> None:
    """Every queued instance arrives, with its value, first in first out."""
    with guest() as t:
        install(t, 40)
        block(t, sigset(40))
        for value in (7, 8, 9):
            record = struct.pack("<iiiiII", 40, 0, -1, os.getpid(), 0, value).ljust(128, b"\0")
            t.mem.write(DATA + 256, record)
            assert perform(t, 178, os.getpid(), 40, DATA + 256) == 0
        t.mem.write(DATA, bytes(8))
        play(t, call(SIGPROCMASK, 2, DATA, 0, 8))
        seen = []
        for _ in range(3):
            assert t.cpu.eip == HANDLER + 40
            seen.append(t.mem.u32(t.cpu.edx + 20))
            finish(t)
        assert seen == [7, 8, 9]


def test_flags_nodefer_and_resethand() -> None:
    """SA_NODEFER leaves the signal unblocked, SA_RESETHAND removes the handler."""
    with guest() as t:
        install(t, USR1, defs.SA_NODEFER | defs.SA_RESETHAND, sigset(USR2))
        perform(t, KILL, os.getpid(), USR1)
        assert t.mask == sigset(USR2)
        assert t.process.signals.actions[USR1].handler == defs.SIG_DFL


def test_fatal_signal_to_oneself_ends_the_guest() -> None:
    """The host process survives, so that the end can be reported."""
    with guest() as t:
        play_all = perform(t, KILL, os.getpid(), defs.SIGTERM)
        assert t.process.ending is not None
        assert t.process.ending.signal == defs.SIGTERM
        assert t.process.ending.note == ""
        assert play_all is not None


def test_ignored_and_harmless_signals() -> None:
    """SIG_IGN and ignored-by-default signals do nothing."""
    with guest() as t:
        t.process.signals.set(USR1, Action(defs.SIG_IGN))
        assert perform(t, KILL, os.getpid(), USR1) == 0
        assert perform(t, KILL, os.getpid(), defs.SIGCHLD) == 0
        assert perform(t, KILL, os.getpid(), defs.SIGWINCH) == 0
        assert t.process.ending is None


def later(signo: int, delay: float = 0.1) -> threading.Thread:
    """Send a signal to this process from another thread, which blocks every signal itself."""

    def send() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        time.sleep(delay)
        os.kill(os.getpid(), signo)

    thread = threading.Thread(target=send)
    old = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    thread.start()
    signal.pthread_sigmask(signal.SIG_SETMASK, old)
    return thread


@pytest.mark.parametrize("flags", [0, defs.SA_RESTART])
def test_pause_ends_with_eintr_whatever_the_flags(flags: int) -> None:
    """A handler has run: pause gives EINTR."""
    with guest() as t:
        install(t, USR1, flags)
        sender = later(USR1)
        perform(t, PAUSE)
        sender.join()
        assert t.cpu.eip == HANDLER + USR1
        assert finish(t) == -defs.EINTR & 0xFFFFFFFF


def test_read_is_restarted_by_sa_restart() -> None:
    """A blocking call is made again after the handler if SA_RESTART asks for it."""
    with guest() as t:
        read_end, write_end = os.pipe()
        install(t, USR1, defs.SA_RESTART)
        start = t.cpu.eip
        t.cpu.eip = start

        from runtime import host
        from runtime.personalities.linux.table import SYSCALLS, Syscall

        def read(thread: Thread, fd: int, address: int, size: int) -> int:
            pointer = thread.mem.host(address, size, write=True)
            return host.interruptible(host.Sys.READ, fd, pointer, size)

        saved = SYSCALLS.get(3)
        SYSCALLS[3] = Syscall(3, "read", 3, read)
        try:
            sender = later(USR1)
            perform(t, 3, read_end, DATA, 1)
            sender.join()
            assert t.cpu.eip == HANDLER + USR1
            assert finish(t) == 3  # EAX holds the call's number again
            assert t.cpu.eip == start  # and EIP points at its insn
            install(t, USR1, 0)
            sender = later(USR1)
            perform(t, 3, read_end, DATA, 1)
            sender.join()
            assert finish(t) == -defs.EINTR & 0xFFFFFFFF
        finally:
            if saved is None:
                del SYSCALLS[3]
            else:
                SYSCALLS[3] = saved
            os.close(read_end)
            os.close(write_end)


def test_nanosleep_tells_what_is_left() -> None:
    """An interrupted nanosleep writes the remaining time."""
    with guest() as t:
        install(t, USR1, defs.SA_RESTART)
        t.mem.write(DATA, struct.pack("<ii", 5, 0))
        sender = later(USR1)
        perform(t, NANOSLEEP, DATA, DATA + 8)
        sender.join()
        seconds, nanoseconds = struct.unpack("<ii", t.mem.read(DATA + 8, 8))
        assert 4.5 < seconds + nanoseconds / 1e9 < 5.0
        assert finish(t) == -defs.EINTR & 0xFFFFFFFF


def test_sigsuspend_uses_its_mask_and_the_frame_holds_the_old_one() -> None:
    """The handler runs under the temporary mask; sigreturn brings back the former one."""
    with guest() as t:
        install(t, USR1)
        block(t, sigset(USR1, USR2))
        perform(t, KILL, os.getpid(), USR1)
        t.mem.write(DATA, struct.pack("<Q", sigset(defs.SIGTERM)))
        perform(t, SIGSUSPEND, DATA, 8)
        assert t.cpu.eip == HANDLER + USR1
        assert t.mask == sigset(defs.SIGTERM, USR1)
        assert finish(t) == -defs.EINTR & 0xFFFFFFFF
        assert t.mask == sigset(USR1, USR2)


def test_sigtimedwait_takes_a_blocked_signal() -> None:
    """The signal's number is the result, its siginfo is written; nothing in time gives EAGAIN."""
    with guest() as t:
        block(t, sigset(USR1, USR2))
        perform(t, KILL, os.getpid(), USR1)
        t.mem.write(DATA, struct.pack("<Qii", sigset(USR1), 0, 1000))
        assert perform(t, SIGTIMEDWAIT, DATA, DATA + 64, DATA + 8, 8) == USR1
        assert struct.unpack("<iii", t.mem.read(DATA + 64, 12)) == (USR1, 0, defs.SI_USER)
        assert perform(t, SIGTIMEDWAIT, DATA, DATA + 64, DATA + 8, 8) == -defs.EAGAIN


def test_fault_becomes_a_forced_signal() -> None:
    """A page fault carries address, code and error bits; blocked, it kills."""
    with guest() as t:
        install(t, defs.SIGSEGV)

        def fault(cpu: object) -> Exit:
            return Exit("fault", 14, 0x1234, 6)

        play(t, fault)
        assert t.cpu.eip == HANDLER + defs.SIGSEGV
        info = struct.unpack("<iiiI", t.mem.read(t.cpu.edx, 16))
        assert info == (defs.SIGSEGV, 0, 1, 0x1234)
        trap, error = struct.unpack("<II", t.mem.read(t.cpu.ecx + 20 + 48, 8))
        assert (trap, error, t.mem.u32(t.cpu.ecx + 20 + 84)) == (14, 6, 0x1234)
        play(t, fault)  # SIGSEGV is blocked now
        assert t.process.ending is not None
        assert t.process.ending.signal == defs.SIGSEGV
        assert "writing 0x00001234" in t.process.ending.note


def test_setitimer_interrupts() -> None:
    """A timer's signal arrives while the guest waits."""
    with guest() as t:
        install(t, defs.SIGALRM)
        t.mem.write(DATA, struct.pack("<4i", 0, 0, 0, 50_000))
        assert perform(t, 104, 0, DATA, 0) == 0
        perform(t, PAUSE)
        assert t.cpu.eip == HANDLER + defs.SIGALRM
        assert struct.unpack("<iii", t.mem.read(t.cpu.edx, 12))[2] == defs.SI_KERNEL
