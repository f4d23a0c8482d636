"""Host process ids that a guest names -> which of them it may reach: those of its own run.

Process ids are the host's, but a confined guest has no business with the host's processes. What
belongs to a run holds the descriptor of its private directory (scratch.py): forks inherit it, and
no guest can get at it. With --host-fs everything may be reached that the user may.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.personalities.linux import defs
from runtime.personalities.linux.table import signed

if TYPE_CHECKING:
    from runtime.personalities.linux.process import Process

PRIO_PROCESS, PRIO_PGRP, PRIO_USER = range(3)


def may(process: Process, pid: int) -> bool:
    """Tell whether the guest may signal or change the process or thread *pid*."""
    if pid in (0, os.getpid()) or pid in process.threads or process.vfs.scratch is None:
        return True
    return _is_of_run(process, pid) or _is_dead_child(pid)


def check(process: Process, pid: int) -> int:
    """Return *pid*, 0 being the caller, as a signed number; raise ESRCH if it is out of reach."""
    number = signed(pid)
    if not may(process, number):
        raise OSError(defs.ESRCH, "no such process")
    return number


def check_owner(process: Process, owner: int) -> None:
    """Check who shall get a descriptor's SIGIO: a process, or minus a group; else ESRCH."""
    if owner != -os.getpgrp():
        check(process, owner)


def check_target(process: Process, which: int, who: int) -> None:
    """Check what setpriority names; of users only the caller's processes could be meant: EPERM."""
    if which == PRIO_PROCESS:
        check(process, who)
    elif (which, who) != (PRIO_PGRP, 0) and process.vfs.scratch is not None:
        raise OSError(defs.EPERM, "processes of others")


def group(process: Process, pid: int) -> list[int] | None:
    """Return whom kill(pid) with *pid* <= 0 means, the caller last; None: whomever the host says.

    The kernel's order is as undefined as this one's.
    """
    if process.vfs.scratch is None:
        return None
    me = os.getpid()
    wanted = {0: os.getpgrp(), -1: 0}.get(pid, -pid)
    found = [
        int(name)
        for name in os.listdir("/proc")
        if name.isdecimal() and int(name) != me and _is_of_run(process, int(name))
    ]
    found = [number for number in found if not wanted or _group_of(number) == wanted]
    return [*found, me] if wanted == os.getpgrp() else found


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return -1


def _is_of_run(process: Process, pid: int) -> bool:
    scratch = process.vfs.scratch
    assert scratch is not None
    try:
        found = os.stat(f"/proc/{pid}/fd/{scratch.lock}")
    except PermissionError:  # it has changed its user: descendants can be told all the same
        return _is_descendant(pid)
    except OSError:
        return False
    return os.path.samestat(found, os.fstat(scratch.lock))


def _is_descendant(pid: int) -> bool:
    me = os.getpid()
    while pid > 1 and pid != me:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                pid = int(file.read().rpartition(b")")[2].split()[1])
        except OSError:
            return False
    return pid == me


def _is_dead_child(pid: int) -> bool:
    """Tell whether *pid* is a child that waits to be reaped: it can be named, to no effect."""
    try:
        state = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except (OSError, OverflowError):
        return False
    return state is not None
