"""Import every file that registers system calls, once, and at no other time than needed."""

from __future__ import annotations

from importlib import import_module

_MODULES = (
    "clock",
    "execve",
    "forks",
    "futex",
    "ids",
    "limits",
    "sched",
    "sigcalls",
    "sockets",
    "system",
    "timers",
    "wait",
)


def load() -> None:
    """Fill the system call table."""
    for name in _MODULES:
        import_module(f"runtime.personalities.linux.{name}")
