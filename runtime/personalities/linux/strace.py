"""One line per system call on stderr, in the form of qemu-user's -strace.

A call's arguments are shown by a string of letters, one per argument: d signed, u unsigned, x hex,
o octal, p path or other string, b buffer (its size is the next argument), f open flags, a directory
descriptor, s signal, t memory protection.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from runtime.memory import MemoryFault
from runtime.personalities.linux.faults import name as signal_name
from runtime.personalities.linux.names import NAMES
from runtime.personalities.linux.table import Syscall, signed

if TYPE_CHECKING:
    from runtime.personalities.linux.threads import Thread

_SHOWN = 32  # bytes of a buffer

_FORMATS = {
    "read": "dxu", "write": "dbu", "open": "pfo", "openat": "apfo", "close": "d", "execve": "pxx",
    "stat64": "px", "lstat64": "px", "fstat64": "dx", "fstatat64": "apxx", "statx": "apxxx",
    "access": "po", "faccessat": "apo", "faccessat2": "apox", "unlink": "p", "unlinkat": "apx",
    "mkdir": "po", "mkdirat": "apo", "rmdir": "p", "rename": "pp", "renameat": "apap",
    "renameat2": "apapx", "link": "pp", "linkat": "apapx", "symlink": "pp", "symlinkat": "pap",
    "readlink": "pxu", "readlinkat": "apxu", "chdir": "p", "fchdir": "d", "chmod": "po",
    "fchmod": "do", "fchmodat": "apo", "getcwd": "xu", "dup": "d", "dup2": "dd", "dup3": "ddf",
    "pipe": "x", "pipe2": "xf", "ioctl": "dxx", "fcntl": "ddx", "fcntl64": "ddx",
    "lseek": "ddd", "_llseek": "dxxxd", "pread64": "dxuxx", "pwrite64": "dbuxx",
    "mmap2": "xutxdx", "mmap": "x", "munmap": "xu", "mprotect": "xut", "mremap": "xuuxx",
    "brk": "x", "madvise": "xud", "kill": "ds", "tkill": "ds", "tgkill": "dds",
    "rt_sigaction": "sxxu", "sigaction": "sxx", "signal": "sx", "rt_sigprocmask": "dxxu",
    "alarm": "u", "wait4": "dxxx", "waitpid": "dxx", "exit": "d", "exit_group": "d",
    "futex": "xxuxxx", "futex_time64": "xxuxxx", "clone": "xxxxx", "getdents64": "dxu",
    "socket": "ddd", "connect": "dxu", "bind": "dxu", "sendto": "dbuxxu", "recvfrom": "dxuxxx",
    "poll": "xud", "nanosleep": "xx", "clock_gettime64": "dx", "getrandom": "xux", "umask": "o",
    "statfs64": "pux", "utimensat": "apxx", "chown32": "pdd", "ftruncate64": "dxx",
}  # fmt: skip

# Calls whose result is an address.
_HEX_RESULTS = frozenset({"mmap", "mmap2", "brk", "mremap", "shmat"})

_OPEN_FLAGS = {
    0o100: "O_CREAT", 0o200: "O_EXCL", 0o400: "O_NOCTTY", 0o1000: "O_TRUNC", 0o2000: "O_APPEND",
    0o4000: "O_NONBLOCK", 0o100000: "O_LARGEFILE", 0o200000: "O_DIRECTORY",
    0o400000: "O_NOFOLLOW", 0o2000000: "O_CLOEXEC", 0o10000000: "O_PATH",
}  # fmt: skip
_PROTECTIONS = {1: "PROT_READ", 2: "PROT_WRITE", 4: "PROT_EXEC"}


def _flags(value: int, names: dict[int, str], none: str) -> str:
    found = [name for bit, name in names.items() if value & bit]
    rest = value & ~sum(bit for bit in names if value & bit)
    if rest:
        found.append(f"{rest:#x}")
    return "|".join(found) or none


def _quoted(data: bytes) -> str:
    text = "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else _escape(b) for b in data)
    return f'"{text}"'


def _escape(byte: int) -> str:
    short = {10: "\\n", 9: "\\t", 13: "\\r", 0: "\\0", 34: '\\"', 92: "\\\\"}
    return short.get(byte) or f"\\x{byte:02x}"


def _string(t: Thread, address: int) -> str:
    if not address:
        return "NULL"
    try:
        return _quoted(t.mem.cstr(address))
    except (MemoryFault, OSError):
        return f"{address:#010x}"


def _buffer(t: Thread, address: int, size: int) -> str:
    try:
        data = t.mem.read(address, min(size, _SHOWN))
    except MemoryFault:
        return f"{address:#010x}"
    return _quoted(data) + ("..." if size > _SHOWN else "")


def _argument(t: Thread, letter: str, value: int, following: int) -> str:
    match letter:
        case "d":
            return str(signed(value))
        case "u":
            return str(value)
        case "o":
            return f"0{value:o}"
        case "p":
            return _string(t, value)
        case "b":
            return _buffer(t, value, following)
        case "a":
            return "AT_FDCWD" if signed(value) == -100 else str(signed(value))
        case "s":
            return signal_name(value)
        case "f":
            mode = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")[value & 3]
            rest = _flags(value & ~3, _OPEN_FLAGS, "")
            return f"{mode}|{rest}" if rest else mode
        case "t":
            return _flags(value, _PROTECTIONS, "PROT_NONE")
        case _:
            return "NULL" if value == 0 else f"{value:#010x}"


def _arguments(t: Thread, entry: Syscall, values: tuple[int, ...]) -> str:
    letters = _FORMATS.get(entry.name, "").ljust(len(values), "x")
    followers = (*values[1:], 0)
    shown = [
        _argument(t, letter, value, after)
        for letter, value, after in zip(letters, values, followers, strict=False)
    ]
    return ",".join(shown)


def start(t: Thread, entry: Syscall, values: tuple[int, ...]) -> str:
    """Return the line's beginning; a call that does not come back is printed at once."""
    line = f"{os.getpid()} {entry.name}({_arguments(t, entry, values)})"
    if entry.name in ("exit", "exit_group", "execve", "execveat"):
        _print(line)
    return line


def finish(t: Thread, entry: Syscall, values: tuple[int, ...], line: str, result: int) -> None:
    """Print the line with the call's result."""
    if entry.name in ("exit", "exit_group"):
        return
    if -4096 < result < 0:
        tail = f"-1 errno={-result} ({os.strerror(-result)})"
    elif entry.name in _HEX_RESULTS:
        tail = f"{result & 0xFFFF_FFFF:#010x}"
    else:
        tail = str(result)
    if entry.name == "read" and result > 0:
        tail += f" {_buffer(t, values[1], result)}"
    if entry.name in ("execve", "execveat"):
        line = f"{os.getpid()} {entry.name}"
    _print(f"{line} = {tail}")


def unknown(t: Thread, number: int) -> None:
    """Print a call that has no handler."""
    name = NAMES.get(number, f"syscall_{number}")
    _print(f"{os.getpid()} {name}() = -1 errno=38 (not implemented by jitemu)")


_output = 2


def write_to(fd: int) -> None:
    """Write to a descriptor other than stderr from now on."""
    global _output
    _output = fd


def _print(line: str) -> None:
    # One write, so that lines of several processes do not mix.
    with contextlib.suppress(OSError):  # the guest may have closed its stderr
        os.write(_output, line.encode(errors="replace") + b"\n")
