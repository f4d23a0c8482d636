"""One guest process on one host process: what its threads share, and how it ends.

In: options, memory, engine and file view. Out: an `End`, once every thread is gone.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING

from runtime import host, native
from runtime.host import Sys
from runtime.personalities.linux import defs, execve, limits, signals
from runtime.personalities.linux.budget import Budget
from runtime.personalities.linux.ending import End, die, tell
from runtime.personalities.linux.report import Report
from runtime.personalities.linux.threads import Thread

if TYPE_CHECKING:
    from runtime.cpu import Cpu
    from runtime.dispatch import Engine
    from runtime.memory import Memory
    from runtime.personalities.linux.options import LinuxOptions
    from runtime.personalities.linux.segments import Descriptor
    from runtime.personalities.linux.vforks import Handover
    from runtime.personalities.linux.vfs import Vfs

INTERNAL_STATUS = 125
LIMIT_STATUS = 124  # the time or the budget is used up; as timeout(1)
# How long a thread may keep the GIL that another waits for. Python's 5 ms would be the length of
# every system call of a thread that runs beside one that is being translated all the time.
_SWITCH_SECONDS = 1e-5
_LEAVE_SECONDS = 2.0  # how long the leader waits for threads that sit in host calls


class Process:
    """The shared state of a guest's threads."""

    def __init__(self, options: LinuxOptions, mem: Memory, engine: Engine, vfs: Vfs) -> None:
        self.options = options
        self.mem = mem
        self.engine = engine
        self.vfs = vfs
        vfs.process = self
        self.report = Report()
        self.signals = signals.SignalTable()
        self.reserved_fds = vfs.fds.reserved  # descriptors that the guest must not touch
        self.is_fork = False  # a forked child: nobody above it takes its End
        self.started = time.monotonic()

        self.exe = ""  # guest path of the program
        self.argv: list[bytes] = []
        self.envp: list[bytes] = []
        self.comm = b""
        self.auxv = b""
        self.personality = 8  # PER_LINUX32
        self.rlimits: dict[int, tuple[int, int]] = {}  # the virtual ones: soft, hard
        self.ldt: dict[int, Descriptor] = {}
        self.timers: dict[int, int] = {}  # guest timer id -> host timer id
        self.vfork: Handover | None = None  # in a vfork child, until execve or the end

        self.changed = threading.Condition(threading.RLock())
        self.threads: dict[int, Thread] = {}
        self._switch_interval: float | None = None  # the host's own, while there are several
        self.leader: Thread | None = None
        self.budget = Budget(self)
        self.ending: End | None = None
        self.exec_request: execve.Request | None = None
        self.pause_reason: str | None = None  # why threads are on hold
        self.is_on_hold = False  # threads wait until `resume`
        self.hungry: Thread | None = None  # the thread whose budget ran out
        self.last_fault: tuple[int, str] = (0, "")
        self._stubs = 0

    # ---- threads ----

    def start_leader(self, cpu: Cpu) -> Thread:
        """Make the calling host thread the one that runs the guest's first thread."""
        leader = Thread(self, cpu, mask=signals.host_mask() & ~defs.HOST_OWNED)
        leader.is_leader = True
        self.leader = leader
        self.add(leader)
        self.budget.add(cpu)
        leader.bind()
        self.signals.adopt_host()
        limits.adopt_host(self)
        return leader

    def add(self, t: Thread) -> None:
        """Enter a thread into the books."""
        with self.changed:
            self.threads[t.tid] = t
            self._share_python()

    def remove(self, t: Thread) -> None:
        """Strike a thread out; whoever waits for it is told."""
        with self.changed:
            if self.threads.pop(t.tid, None) is not None:
                self.budget.retire(t.cpu)
                self._share_python()
            self.changed.notify_all()

    def _share_python(self) -> None:
        """Make several guest threads give up the GIL soon, a lone one when Python wants."""
        if len(self.threads) > 1 and self._switch_interval is None:
            self._switch_interval = sys.getswitchinterval()
            sys.setswitchinterval(min(self._switch_interval, _SWITCH_SECONDS))
        elif len(self.threads) <= 1 and self._switch_interval is not None:
            sys.setswitchinterval(self._switch_interval)
            self._switch_interval = None

    def others(self, t: Thread) -> list[Thread]:
        """Return the threads but *t*."""
        with self.changed:
            return [other for other in self.threads.values() if other is not t]

    def kick_others(self, t: Thread | None) -> None:
        """Wake every other thread, wherever it is, to look at what is asked of it."""
        with self.changed:
            for other in self.threads.values():
                if other is not t:
                    other.attention = True
                    other.cpu.request_stop()

    def wait_for_others(self, t: Thread) -> None:
        """Wait until *t* is the only thread; give up on threads that do not react."""
        limit = time.monotonic() + _LEAVE_SECONDS
        with self.changed:
            while any(other is not t for other in self.threads.values()):
                if not self.changed.wait(0.05):
                    self.kick_others(t)
                if time.monotonic() > limit:
                    return

    def run(self) -> End | None:
        """Run the leader until the process ends, or return None when it pauses."""
        leader = self.leader
        assert leader is not None
        while self.ending is None:
            leader.run()
            if self.pause_reason is not None:
                self._wait_until_held(leader)
                with self.changed:  # no other pause may be asked for in between
                    if self.pause_reason != "budget" or not self.budget.spread(self.hungry):
                        return None
                    self.pause_reason = None
                    self.resume()
            elif self.ending is None:
                self._idle(leader)
        self.kick_others(leader)
        self.wait_for_others(leader)
        leader.leave()
        return self.ending

    def _idle(self, leader: Thread) -> None:
        """Wait, with the leader gone, until the last thread ends or one of them calls execve."""
        mask = signals.block_all()
        with self.changed:
            while self.ending is None and self.exec_request is None and self.pause_reason is None:
                self.changed.wait()
        signals.set_host_mask(mask)
        if self.ending is None and self.exec_request is not None:
            execve.carry_out(leader)

    @property
    def has_request(self) -> bool:
        """Whether the threads are asked for something: see check_requests."""
        return self.is_on_hold or not (self.ending is None and self.exec_request is None)

    def check_requests(self, t: Thread) -> bool:
        """Do what others asked of this thread: end, make room for execve, pause.

        Return whether the thread now runs another program.
        """
        if self.ending is not None:
            t.ended = True
        elif self.exec_request is not None:
            if t.is_leader:
                execve.carry_out(t)
                return True
            t.ended = True
        elif self.is_on_hold:
            self._hold(t)
        return False

    # ---- pausing: the instruction budget ----

    def pause(self, t: Thread, reason: str) -> None:
        """Stop all threads; the leader returns to the API's caller."""
        with self.changed:
            if self.pause_reason is None:
                self.pause_reason, self.hungry = reason, t
            self.is_on_hold = True
            self.changed.notify_all()
        self.kick_others(t)
        self._hold(t)

    def pause_from_outside(self, reason: str) -> None:
        """Stop all threads soon; for host threads that run no guest code."""
        with self.changed:
            # A pause for the budget may end by itself.
            if self.pause_reason in (None, "budget") and self.ending is None:
                self.pause_reason, self.hungry = reason, None
                self.is_on_hold = True
            self.changed.notify_all()
        self.kick_others(None)

    def _hold(self, t: Thread) -> None:
        if t.is_leader:
            t.paused = True
            return
        with self.changed:
            t.held = True
            self.changed.notify_all()
            while self.is_on_hold and self.ending is None:
                self.changed.wait()
            t.held = False

    def _wait_until_held(self, leader: Thread) -> None:
        """Wait, in a pause, until no other thread runs; give up on threads that do not react."""
        limit = time.monotonic() + _LEAVE_SECONDS
        mask = signals.block_all()
        with self.changed:
            while self.ending is None and any(
                not t.held for t in self.threads.values() if t is not leader
            ):
                if not self.changed.wait(0.05):
                    self.kick_others(leader)
                if time.monotonic() > limit:
                    break
        signals.set_host_mask(mask)

    def resume(self) -> None:
        """Let threads go on, unless a pause is asked for; the caller has cleared the last one."""
        with self.changed:
            if self.pause_reason is None:
                self.is_on_hold = False
                if self.leader is not None:
                    self.leader.paused = False
                self.changed.notify_all()

    # ---- the end ----

    def end(self, end: End, by: Thread | None = None) -> None:
        """End the process: every thread leaves as soon as it is woken. The first caller decides."""
        with self.changed:
            if self.ending is None:
                self.ending = end
            self.changed.notify_all()
        self.kick_others(by)

    def exit_thread(self, t: Thread, status: int) -> None:
        """End one thread; the last one ends the process with *status*."""
        t.leave()
        self.remove(t)
        with self.changed:
            if not self.threads:
                self.end(End(status=status))

    def end_by_signal(self, signo: int) -> None:
        """End the process by a signal's default action."""
        fault, text = self.last_fault
        self.end(End(signal=signo, note=text if fault == signo else ""))

    def end_by_error(self, error: BaseException) -> None:
        """End the process because the emulator itself failed on some thread."""
        text = f"internal error: {type(error).__name__}: {error}"
        if os.environ.get("JITEMU_DEBUG"):
            traceback.print_exception(error)
        else:
            text += " (JITEMU_DEBUG=1 shows where; please report it)"
        self.end(End(status=INTERNAL_STATUS, note=text))

    def run_to_death(self) -> None:
        """Run a forked child to its end, and end the host process with it."""
        try:
            end = self.run() or self._out_of_budget()
        except BaseException as error:
            self.end_by_error(error)
            end = self.ending or End(INTERNAL_STATUS)
        self.finish(end)
        die(end)

    def _out_of_budget(self) -> End:
        """End a forked child that used up its budget."""
        if not self.options.quiet:
            tell(f"child process {os.getpid()} used up its budget")
        self.end(End(LIMIT_STATUS))
        return self.run() or End(LIMIT_STATUS)

    def finish(self, end: End) -> None:
        """Say what must be said at the end, in the first process only."""
        self.vfs.close()
        self.engine.close()
        if self.vfork is not None:
            self.vfork.finish()
        quiet = self.options.quiet
        if end.note and not quiet and (not self.is_fork or end.status == INTERNAL_STATUS):
            tell(end.note)
        if self.is_fork:
            return
        self._cancel_timers()
        self.release_host()
        if quiet:
            return
        failed = end.status != 0 or end.signal != 0
        if self.options.report:
            tell(self.report.full())
        elif failed and (missing := self.report.summary()):
            tell(missing)

    def release_host(self) -> None:
        """Leave host signals and the host thread as they were before the guest."""
        self.signals.give_back_host()
        if self.leader is not None:
            native.unbind(self.leader.cpu)

    def watch_time(self) -> None:
        """Start the thread that enforces `timeout`; forked children call it again."""
        if self.options.timeout is None:
            return
        seconds = self.options.timeout

        def expire() -> None:
            time.sleep(max(0.0, self.started + seconds - time.monotonic()))
            self.end(End(LIMIT_STATUS, note=f"stopped after {seconds:g} s (--timeout)"))

        mask = signals.block_all()
        threading.Thread(target=expire, daemon=True).start()
        signals.set_host_mask(mask)

    # ---- fork ----

    def before_fork(self) -> None:
        """Take every lock, so that the child finds the state between two changes."""
        self.changed.acquire()
        self.engine.before_fork()
        self.mem.lock.acquire()

    def after_fork_parent(self) -> None:
        """Release what `before_fork` took."""
        self.mem.lock.release()
        self.engine.after_fork(is_child=False)
        self.changed.release()

    def after_fork_child(self, t: Thread) -> None:
        """Make *t* the only thread of the child."""
        self.mem.after_fork()
        self.engine.after_fork(is_child=True)
        self.changed = threading.Condition(threading.RLock())
        native.after_fork(t.cpu)
        t.tid = os.getpid()
        self.vfs.after_fork()
        self.threads = {t.tid: t}
        self._share_python()
        self.budget.after_fork(t)
        self.leader = t
        t.is_leader = True
        t.queue = []
        self.is_fork = True
        self.timers = {}
        # What other threads of the parent were about to do is none of the child's business.
        self.ending = self.exec_request = self.pause_reason = None
        self.is_on_hold = False
        if self.vfork is not None:  # the parent's business with the grandparent
            self.release_fd(self.vfork.write_end)
            self.vfork = None
        self.watch_time()

    # ---- descriptors of the emulator ----

    def reserve_fd(self, fd: int) -> int:
        """Move one of the emulator's own descriptors out of the guest's way and register it."""
        return self.vfs.fds.reserve(fd)

    def release_fd(self, fd: int) -> None:
        """Close a descriptor that `reserve_fd` returned."""
        self.vfs.fds.release(fd)

    # ---- small services ----

    def return_stub(self, is_rt: bool) -> int:
        """Return the address of the code that calls (rt_)sigreturn, for handlers without restorer.

        Linux has it in the vdso; here it is a page of its own, made at first use.
        """
        if not self._stubs:
            self._stubs = self.mem.map(None, defs.PAGE, 5, name="[sigreturn]")
            code = bytes.fromhex("58b877000000cd80" + "b8ad000000cd80")
            self.mem.protect(self._stubs, defs.PAGE, 3)
            self.mem.write(self._stubs, code)
            self.mem.protect(self._stubs, defs.PAGE, 5)
        return self._stubs + (8 if is_rt else 0)

    def forget_image(self) -> None:
        """Drop what belongs to the old program at execve."""
        self._stubs = 0
        self.ldt = {}
        self._delete_timers()

    def _delete_timers(self) -> None:
        for timer in self.timers.values():
            host.syscall(Sys.TIMER_DELETE, timer)
        self.timers = {}

    def _cancel_timers(self) -> None:
        """Stop every timer of the guest: its signals must not hit the caller of the API."""
        self._delete_timers()
        for which in range(3):
            host.syscall(Sys.SETITIMER, which, bytes(32), 0)
