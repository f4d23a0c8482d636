"""Copy between Python and raw host addresses without ever crashing on an unmapped page.

Native code that survives a fault does the copy; how far a faulting one gets, the kernel tells.
"""

from __future__ import annotations

import ctypes
import os
import threading

from runtime import native

_CHUNK = 4096


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


_libc = ctypes.PyDLL(None)
_argtypes = (
    ctypes.c_int,
    ctypes.POINTER(_Iovec),
    ctypes.c_ulong,
    ctypes.POINTER(_Iovec),
    ctypes.c_ulong,
    ctypes.c_ulong,
)
_readv = _libc.process_vm_readv
_readv.restype, _readv.argtypes = ctypes.c_ssize_t, _argtypes
_writev = _libc.process_vm_writev
_writev.restype, _writev.argtypes = ctypes.c_ssize_t, _argtypes


class _Window(threading.local):
    """A small bounce buffer for each host thread, so that the common copy allocates nothing."""

    def __init__(self) -> None:
        self.buffer = ctypes.create_string_buffer(_CHUNK)
        self.view = memoryview(self.buffer).cast("B")
        self.address = ctypes.addressof(self.buffer)
        self.local = _Iovec(self.address, 0)
        self.remote = _Iovec(0, 0)


_window = _Window()


def copy_from(address: int, size: int) -> bytes:
    """Read *size* bytes at host address *address*; fewer where memory ends."""
    window = _window
    if size > _CHUNK:
        data = bytearray(size)
        holder = (ctypes.c_char * size).from_buffer(data)
        start = ctypes.addressof(holder)
        done = size
        if native.copy(start, address, size):
            done = _readv(os.getpid(), _Iovec(start, size), 1, _Iovec(address, size), 1, 0)
        del holder
        return bytes(data) if done == size else bytes(data[: max(done, 0)])
    if not native.copy(window.address, address, size):
        return ctypes.string_at(window.address, size)
    local, remote = window.local, window.remote
    local.len = remote.len = size
    remote.base = address
    done = _readv(os.getpid(), local, 1, remote, 1, 0)
    return bytes(window.view[:done]) if done > 0 else b""


def copy_to(address: int, data: bytes | bytearray | memoryview) -> int:
    """Write *data* at host address *address*; return how many bytes could be stored."""
    window = _window
    size = len(data)
    if size > _CHUNK:
        raw = ctypes.c_char_p(bytes(data))
        start = ctypes.cast(raw, ctypes.c_void_p).value or 0
        if not native.copy(address, start, size):
            return size
        local = _Iovec(start, size)
        return max(int(_writev(os.getpid(), local, 1, _Iovec(address, size), 1, 0)), 0)
    window.view[:size] = data
    if not native.copy(address, window.address, size):
        return size
    local, remote = window.local, window.remote
    local.len = remote.len = size
    remote.base = address
    return max(int(_writev(os.getpid(), local, 1, remote, 1, 0)), 0)
