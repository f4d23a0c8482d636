"""Host system calls: number and arguments in, the kernel's result or -errno out.

Everything that touches the host kernel directly goes through `syscall`, so that one place decides
how a guest signal interrupts a blocking call and which numbers the host architecture uses. Calls
that may wait for long use `interruptible`; all others use `syscall` and are never disturbed.
"""

import ctypes
import errno
from collections.abc import Callable

from runtime.host_numbers import Sys

__all__ = ["Sys", "check", "interruptible", "set_interruptible", "syscall"]

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = [ctypes.c_long] * 7
_ZEROS = [(0,) * (6 - count) for count in range(7)]


def syscall(number: int, *args: int | bytes | None) -> int:
    """Make one host system call; return its result, or -errno. The GIL is released meanwhile.

    Integers are passed as 64-bit values, `bytes` as a pointer to their (read-only) contents and
    None as a null pointer.
    """
    try:
        result: int = _syscall(number, *args, *_ZEROS[len(args)])
    except ctypes.ArgumentError:
        result = _syscall(number, *[_as_int(arg) for arg in args], *_ZEROS[len(args)])
    return -ctypes.get_errno() if result == -1 else result


def interruptible(number: int, *args: int | bytes | None) -> int:
    """Like `syscall`, but returns -EINTR at once if the calling guest thread shall stop.

    The check and the call are one step for the signal handler, so no wake-up is lost.
    """
    try:
        return _interruptible(number, *args)
    except ctypes.ArgumentError:  # bytes and None are rare; the fast way takes numbers only
        return _interruptible(number, *[_as_int(arg) for arg in args])


def set_interruptible(call: Callable[..., int]) -> None:
    """Name the native routine behind `interruptible`."""
    global _interruptible
    _interruptible = call


_interruptible: Callable[..., int] = syscall


def _as_int(arg: int | bytes | None) -> int:
    """Return an argument as a number; the caller keeps the bytes alive."""
    if isinstance(arg, int):
        return arg
    return ctypes.cast(ctypes.c_char_p(arg), ctypes.c_void_p).value or 0


def check(result: int) -> int:
    """Return *result*, or raise OSError if it is a negative errno."""
    if -4096 < result < 0:
        raise OSError(-result, errno.errorcode.get(-result, "unknown error"))
    return result
