"""Host mapping calls in, error numbers out: mmap and friends of libc on absolute addresses."""

from __future__ import annotations

import ctypes
import mmap as _mmap
import os

PROT_READ, PROT_WRITE = _mmap.PROT_READ, _mmap.PROT_WRITE
_PRIVATE, _SHARED, _ANON = _mmap.MAP_PRIVATE, _mmap.MAP_SHARED, _mmap.MAP_ANONYMOUS
_FIXED, _NORESERVE = 0x10, 0x4000  # the same on x86-64 and AArch64
_MREMAP_MAYMOVE, _MREMAP_FIXED, _MREMAP_DONTUNMAP = 1, 2, 4
_DONTDUMP = 16
_FAILED = ctypes.c_void_p(-1).value

# PyDLL keeps the interpreter lock: these calls are short and a switch of threads would cost more.
_libc = ctypes.PyDLL(None, use_errno=True)
_size, _int, _ptr = ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p
_HUGE, _HUGEPAGE = 4 << 20, 14  # a mapping that gains by large pages; MADV_HUGEPAGE
_host_mmap = _libc.mmap
_host_mmap.restype, _host_mmap.argtypes = _ptr, (_ptr, _size, _int, _int, _int, ctypes.c_int64)
_host_mprotect = _libc.mprotect
_host_mprotect.restype, _host_mprotect.argtypes = _int, (_ptr, _size, _int)
_host_munmap = _libc.munmap
_host_munmap.restype, _host_munmap.argtypes = _int, (_ptr, _size)
_host_mremap = _libc.mremap
_host_mremap.restype, _host_mremap.argtypes = _ptr, (_ptr, _size, _size, _int, _ptr)
_host_madvise = _libc.madvise
_host_madvise.restype, _host_madvise.argtypes = _int, (_ptr, _size, _int)


def reserve(size: int, guard: int) -> int:
    """Reserve *size* bytes aligned to *size* with *guard* bytes behind; return the address."""
    total = 2 * size + guard
    start = _host_mmap(None, total, 0, _PRIVATE | _ANON | _NORESERVE, -1, 0)
    if start is None or start == _FAILED:
        why = os.strerror(ctypes.get_errno())
        raise MemoryError(f"cannot reserve {total >> 20} MiB of address space: {why}")
    base = int(start + size - 1) & -size
    if base > start:
        _host_munmap(start, base - start)
    _host_munmap(base + size + guard, start + total - (base + size + guard))
    _host_madvise(base, size + guard, _DONTDUMP)
    return base


class _Spare:
    """Mappings to do without where the host has no more (`vm.max_map_count`).

    Then mmap fails even where it would leave fewer than there were, and munmap of the range first
    would leave a hole that another thread's mmap may take.
    """

    _COUNT = 4  # what replacing the middle of a mapping needs, and another thread's

    def __init__(self) -> None:
        self._pages: list[int] = []
        self.fill()

    def fill(self) -> None:
        """Map the pages that are not there."""
        while len(self._pages) < self._COUNT:  # shared ones: never merged with a neighbour
            page = _host_mmap(None, _mmap.PAGESIZE, 0, _SHARED | _ANON, -1, 0)
            if page is None or page == _FAILED:
                return
            self._pages.append(page)

    def give(self) -> bool:
        """Unmap the pages; False if there are none."""
        if not self._pages:
            return False
        while self._pages:
            _host_munmap(self._pages.pop(), _mmap.PAGESIZE)
        return True


_spare = _Spare()


def reserve_again(address: int, size: int) -> None:
    """Turn a range back into reserved, inaccessible memory, without ever leaving a hole."""
    flags = _PRIVATE | _ANON | _NORESERVE | _FIXED
    if _host_mmap(address, size, 0, flags, -1, 0) == address:
        return
    why = ctypes.get_errno()
    is_done = _spare.give() and _host_mmap(address, size, 0, flags, -1, 0) == address
    _spare.fill()
    if not is_done:
        raise MemoryError(f"cannot give back memory: {os.strerror(why)}")


def release(address: int, size: int) -> None:
    """Unmap a range for good."""
    _host_munmap(address, size)


def map_fixed(
    address: int, size: int, prot: int, fd: int, offset: int, shared: bool, noreserve: bool = False
) -> int:
    """Map a file (or, with fd -1, zeros) over *address*; 0 or the error number."""
    flags = _FIXED | (_SHARED if shared else _PRIVATE)
    if fd < 0:
        flags |= _ANON
    if noreserve:
        flags |= _NORESERVE
    result = _host_mmap(address, size, prot, flags, fd, offset)
    if result != address:
        return ctypes.get_errno()
    if fd < 0 and not shared and size >= _HUGE:
        _host_madvise(address, size, _HUGEPAGE)  # where the host has them for those who ask
    return 0


def protect(address: int, size: int, prot: int) -> int:
    """Set the protection; 0 or the error number."""
    return ctypes.get_errno() if _host_mprotect(address, size, prot) else 0


def move(address: int, size: int, target: int) -> int:
    """Move a mapping over *target*, leaving empty pages behind; 0 or the error number."""
    flags = _MREMAP_MAYMOVE | _MREMAP_FIXED | _MREMAP_DONTUNMAP
    return 0 if _host_mremap(address, size, size, flags, target) == target else ctypes.get_errno()


def duplicate(address: int, size: int, target: int) -> int:
    """Map what the shared mapping at *address* shows a second time; 0 or the error number."""
    flags = _MREMAP_MAYMOVE | _MREMAP_FIXED
    return 0 if _host_mremap(address, 0, size, flags, target) == target else ctypes.get_errno()


def advise(address: int, size: int, advice: int) -> int:
    """Call madvise; 0 or the error number."""
    return ctypes.get_errno() if _host_madvise(address, size, advice) else 0
