"""The system call table: `@syscall(number, "name")` fills SYSCALLS, the dispatcher reads it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import NamedTuple, TypeVar

F = TypeVar("F", bound="Callable[..., int]")


class Syscall(NamedTuple):
    """One i386 system call: `handler(thread, *args)` takes *nargs* unsigned 32-bit ints."""

    number: int
    name: str
    nargs: int
    handler: Callable[..., int]


SYSCALLS: dict[int, Syscall] = {}


def syscall(number: int, name: str) -> Callable[[F], F]:
    """Register the decorated function as system call *number*; stack it for several numbers."""

    def register(handler: F) -> F:
        if number in SYSCALLS:
            raise ValueError(f"system call {number} is {SYSCALLS[number].name} already")
        SYSCALLS[number] = Syscall(number, name, _count_args(handler), handler)
        return handler

    return register


def _count_args(handler: Callable[..., int]) -> int:
    """Count the parameters behind the thread; at most six, all positional."""
    parameters = list(inspect.signature(handler).parameters.values())
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not 1 <= len(parameters) <= 7 or any(p.kind not in plain for p in parameters):
        raise TypeError(f"{handler!r} must take a thread and up to six positional arguments")
    return len(parameters) - 1


def signed(value: int) -> int:
    """Return a 32-bit argument as the signed int that the kernel would see."""
    return value - (1 << 32) if value & 0x8000_0000 else value
