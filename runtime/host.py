"""Host system calls: number and arguments in, the kernel's result or -errno out.

Everything that touches the host kernel directly goes through `syscall`, so that one place decides
how a guest signal interrupts a blocking call and which numbers the host architecture uses. Calls
that may wait for long use `interruptible`; all others use `syscall` and are never disturbed.
"""

import ctypes
import errno

from runtime.host_numbers import Sys

__all__ = ["Sys", "check", "interruptible", "syscall"]

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long

_MASK = (1 << 64) - 1


def syscall(number: int, *args: int | bytes | None) -> int:
    """Make one host system call; return its result, or -errno. The GIL is released meanwhile.

    Integers are passed as 64-bit values, `bytes` as a pointer to their (read-only) contents and
    None as a null pointer.
    """
    converted = [
        ctypes.c_ulong(arg & _MASK) if isinstance(arg, int) else ctypes.c_char_p(arg)
        for arg in args
    ]
    result: int = _syscall(ctypes.c_long(number), *converted)
    return -ctypes.get_errno() if result == -1 else result


def interruptible(number: int, *args: int | bytes | None) -> int:
    """Like `syscall`, but returns -EINTR at once if the calling guest thread shall stop.

    The check and the call are one step for the signal handler, so no wake-up is lost.
    """
    from runtime import native  # which needs `syscall` for itself

    return native.interruptible(number, *[_as_int(arg) for arg in args])


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
