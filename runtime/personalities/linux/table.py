"""The system call table: `@syscall(number, "name")` fills SYSCALLS, the dispatcher reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

_VARIABLE = 4 | 8  # CO_VARARGS, CO_VARKEYWORDS
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
    code = handler.__code__  # inspect.signature takes 10 ms for all of them
    if not 1 <= code.co_argcount <= 7 or code.co_kwonlyargcount or code.co_flags & _VARIABLE:
        raise TypeError(f"{handler!r} must take a thread and up to six positional arguments")
    return code.co_argcount - 1


def signed(value: int) -> int:
    """Return a 32-bit argument as the signed int that the kernel would see."""
    return value - (1 << 32) if value & 0x8000_0000 else value
