"""Import every file that registers system calls, once, and at no other time than needed."""

from __future__ import annotations

from importlib import import_module

_MODULES = (
    "clock",
    "descriptors",
    "dirs",
    "execve",
    "files",
    "forks",
    "futex",
    "ids",
    "limits",
    "memcalls",
    "poll",
    "sched",
    "sigcalls",
    "sockets",
    "stat",
    "system",
    "timers",
    "transfer",
    "tty",
    "vm86",
    "wait",
    "xattr",
)


def load() -> None:
    """Fill the system call table."""
    for name in _MODULES:
        import_module(f"runtime.personalities.linux.{name}")
