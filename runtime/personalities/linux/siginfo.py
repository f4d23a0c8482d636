"""siginfo: the host's 128-byte record in, the i386 one out, and back for queued signals."""

from __future__ import annotations

import struct

from runtime.personalities.linux import defs

SIZE = 128

# si_code ranges whose layout depends on the signal, as in the kernel's siginfo_layout().
_FAULTS = frozenset({defs.SIGILL, defs.SIGFPE, defs.SIGSEGV, defs.SIGBUS, defs.SIGTRAP})
SIGPOLL_MAX = 6
SYS_SECCOMP = 1


def layout(signo: int, code: int) -> str:
    """Name the union member that a siginfo of *signo* and *code* uses."""
    if defs.SI_USER < code < defs.SI_KERNEL:
        if signo in _FAULTS:
            return "fault"
        if signo == defs.SIGCHLD:
            return "chld"
        if signo == defs.SIGIO:
            return "poll"
        if signo == defs.SIGSYS and code == SYS_SECCOMP:
            return "sys"
        return "poll" if code <= SIGPOLL_MAX else "kill"
    if code == defs.SI_TIMER:
        return "timer"
    if code == -5:  # SI_SIGIO
        return "poll"
    return "rt" if code < 0 else "kill"


# layout -> (host format, guest format); both start behind si_signo, si_errno, si_code.
_FORMATS = {
    "kill": ("<4xiI", "<iI"),
    "timer": ("<4xiIQ", "<iII"),
    "rt": ("<4xiIQ", "<iII"),
    "chld": ("<4xiIi4xqq", "<iIiii"),
    "fault": ("<4xQH", "<IH"),
    "poll": ("<4xqi", "<ii"),
    "sys": ("<4xQiI", "<IiI"),
}
# How many bits of each member survive the way to the guest.
_LOW = {"I": 0xFFFFFFFF, "i": 0xFFFFFFFF, "H": 0xFFFF}


def to_guest(host: bytes) -> bytes:
    """Convert a host siginfo to the i386 layout."""
    signo, error, code = struct.unpack_from("<iii", host)
    source, target = _FORMATS[layout(signo, code)]
    values = struct.unpack_from(source, host, 12)
    return pack(signo, code, target, *values, error=error)


def to_host(guest: bytes) -> bytes:
    """Convert an i386 siginfo, as the guest queues it, to the host layout."""
    signo, error, code = struct.unpack_from("<iii", guest)
    source, target = _FORMATS[layout(signo, code)]
    values = struct.unpack_from(target, guest, 12)
    head = struct.pack("<iii", signo, error, code)
    return (head + struct.pack(source, *values)).ljust(SIZE, b"\0")


def pack(signo: int, code: int, fmt: str, *values: int, error: int = 0) -> bytes:
    """Build an i386 siginfo from the members of one union layout; wide values are truncated."""
    letters = [c for c in fmt if c in "iIH"]
    fields = []
    for letter, value in zip(letters, values, strict=True):
        low = value & _LOW[letter]
        fields.append(low - (1 << 32) if letter == "i" and low >> 31 else low)
    return (struct.pack("<iii", signo, error, code) + struct.pack(fmt, *fields)).ljust(SIZE, b"\0")


def fault(signo: int, code: int, address: int) -> bytes:
    """Build the siginfo of a fault at *address*."""
    return pack(signo, code, "<IH", address, 0)


def kernel(signo: int) -> bytes:
    """Build the siginfo of a signal that the kernel sends without further facts."""
    return pack(signo, defs.SI_KERNEL, "<iI", 0, 0)


def user(signo: int, code: int, pid: int, uid: int) -> bytes:
    """Build the siginfo of kill (SI_USER) or tkill (SI_TKILL)."""
    return pack(signo, code, "<iI", pid, uid)


def code_of(info: bytes) -> int:
    """Return si_code; it lies at the same place in both layouts."""
    code: int = struct.unpack_from("<i", info, 8)[0]
    return code
