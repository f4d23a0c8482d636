"""System calls on the guest's memory: mapping, protection, brk, advice."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

from runtime import host, hostmap
from runtime.host import Sys
from runtime.memory import EXEC, READ, SIZE, WRITE, Memory, page_up
from runtime.personalities.linux.table import signed, syscall
from runtime.regions import PAGE

if TYPE_CHECKING:
    from runtime.personalities.linux.threads import Thread

_MAP_SHARED, _MAP_PRIVATE, _MAP_SHARED_VALIDATE, _MAP_TYPE = 1, 2, 3, 15
_MAP_FIXED, _MAP_ANONYMOUS, _MAP_NORESERVE = 0x10, 0x20, 0x4000
_MAP_POPULATE, _MAP_HUGETLB, _MAP_FIXED_NOREPLACE = 0x8000, 0x40000, 0x100000
_MREMAP_MAYMOVE, _MREMAP_FIXED, _MREMAP_DONTUNMAP = 1, 2, 4
_MADV_POPULATE_READ = 22
# What the host may do with guest pages; all but DONTNEED, FREE and REMOVE leave the contents.
_ADVICE = frozenset({0, 1, 2, 3, 4, 8, 9, 12, 13, 14, 15, 18, 19, 20, 21, 22, 23})
_DISCARDS = frozenset({4, 8, 9})
_IGNORED_ADVICE = frozenset({10, 11, 16, 17})  # fork and dump: they would open holes or undo ours


def _mmap(t: Thread, address: int, size: int, prot: int, flags: int, fd: int, offset: int) -> int:
    kind = flags & _MAP_TYPE
    if kind not in (_MAP_SHARED, _MAP_PRIVATE, _MAP_SHARED_VALIDATE) or not size:
        return -errno.EINVAL
    if flags & _MAP_HUGETLB:
        return -errno.ENOMEM  # no huge pages here
    prot &= READ | WRITE | EXEC
    if t.mem.read_implies_exec and prot & READ:
        prot |= EXEC
    name, number = "", -1
    if not flags & _MAP_ANONYMOUS:
        vfs = t.process.vfs
        number = vfs.fds.check(signed(fd))
        if number < 0:
            return -errno.EBADF
        try:
            name = os.fsdecode(vfs.fd_path(number))
        except FileNotFoundError:  # not open
            return -errno.EBADF
    is_fixed = bool(flags & (_MAP_FIXED | _MAP_FIXED_NOREPLACE))
    result = t.mem.map(
        address,
        size,
        prot,
        fixed=is_fixed,
        noreplace=bool(flags & _MAP_FIXED_NOREPLACE),
        fd=number,
        offset=offset,
        shared=kind != _MAP_PRIVATE,
        name=name,
        noreserve=bool(flags & _MAP_NORESERVE),
    )
    if flags & _MAP_POPULATE and prot:
        hostmap.advise(t.mem.base + result, page_up(size), _MADV_POPULATE_READ)
    return result


@syscall(192, "mmap2")
def mmap2(t: Thread, address: int, size: int, prot: int, flags: int, fd: int, page: int) -> int:
    """Map memory or a file; the offset counts pages."""
    return _mmap(t, address, size, prot, flags, fd, page * PAGE)


@syscall(90, "mmap")
def mmap(t: Thread, arguments: int) -> int:
    """Map memory or a file; the arguments are in memory."""
    address, size, prot, flags, fd, offset = struct.unpack("<6I", t.mem.read(arguments, 24))
    if offset % PAGE:
        return -errno.EINVAL
    return _mmap(t, address, size, prot, flags, fd, offset)


@syscall(91, "munmap")
def munmap(t: Thread, address: int, size: int) -> int:
    """Unmap memory."""
    t.mem.unmap(address, size)
    return 0


def _mprotect(t: Thread, address: int, size: int, prot: int) -> int:
    if prot & ~0x0300000F:
        return -errno.EINVAL
    prot &= READ | WRITE | EXEC
    if t.mem.read_implies_exec and prot & READ:
        prot |= EXEC
    t.mem.protect(address, size, prot)
    return 0


@syscall(125, "mprotect")
def mprotect(t: Thread, address: int, size: int, prot: int) -> int:
    """Change the protection of memory."""
    return _mprotect(t, address, size, prot)


@syscall(380, "pkey_mprotect")
def pkey_mprotect(t: Thread, address: int, size: int, prot: int, key: int) -> int:
    """Change the protection of memory; there are no protection keys."""
    if signed(key) != -1:
        return -errno.EINVAL
    return _mprotect(t, address, size, prot)


@syscall(163, "mremap")
def mremap(t: Thread, old: int, old_size: int, new_size: int, flags: int, new: int) -> int:
    """Resize or move a mapping."""
    if flags & ~(_MREMAP_MAYMOVE | _MREMAP_FIXED | _MREMAP_DONTUNMAP):
        return -errno.EINVAL
    may_move = bool(flags & _MREMAP_MAYMOVE)
    if flags & (_MREMAP_FIXED | _MREMAP_DONTUNMAP) and not may_move:
        return -errno.EINVAL
    return t.mem.remap(
        old,
        old_size,
        new_size,
        may_move=may_move,
        new_address=new if flags & _MREMAP_FIXED else None,
        keep_old=bool(flags & _MREMAP_DONTUNMAP),
    )


@syscall(45, "brk")
def brk(t: Thread, address: int) -> int:
    """Move the end of the heap; the result is where it is now."""
    return t.mem.set_brk(address)


def _check_range(mem: Memory, address: int, size: int, code: int = errno.ENOMEM) -> int:
    """Return the rounded size of a range, all of which must be mapped."""
    size = page_up(size)
    if address % PAGE:
        raise OSError(errno.EINVAL, "not aligned")
    if address + size > SIZE or (size and not mem.is_mapped(address, size)):
        raise OSError(code, "not mapped")
    return size


@syscall(219, "madvise")
def madvise(t: Thread, address: int, size: int, advice: int) -> int:
    """Take advice about memory."""
    if advice not in _ADVICE and advice not in _IGNORED_ADVICE:
        return -errno.EINVAL
    size = _check_range(t.mem, address, size)
    if not size or advice in _IGNORED_ADVICE:
        return 0
    if advice in _DISCARDS:
        t.mem.prepare_write(address, size)
    return -hostmap.advise(t.mem.base + address, size, advice)


@syscall(144, "msync")
def msync(t: Thread, address: int, size: int, flags: int) -> int:
    """Write shared mappings to their files."""
    size = _check_range(t.mem, address, size)
    return host.interruptible(Sys.MSYNC, t.mem.base + address, size, flags) if size else 0


@syscall(150, "mlock")
def mlock(t: Thread, address: int, size: int) -> int:
    """Keep pages in memory."""
    return mlock2(t, address, size, 0)


@syscall(376, "mlock2")
def mlock2(t: Thread, address: int, size: int, flags: int) -> int:
    """Keep pages in memory, perhaps only once they are touched."""
    if flags & ~1:
        return -errno.EINVAL
    size = _check_range(t.mem, address & -PAGE, size + address % PAGE)
    return host.syscall(Sys.MLOCK2, t.mem.base + (address & -PAGE), size, flags) if size else 0


@syscall(151, "munlock")
def munlock(t: Thread, address: int, size: int) -> int:
    """Let pages go again."""
    size = _check_range(t.mem, address & -PAGE, size + address % PAGE)
    return host.syscall(Sys.MUNLOCK, t.mem.base + (address & -PAGE), size) if size else 0


@syscall(152, "mlockall")
def mlockall(t: Thread, flags: int) -> int:
    """Accept: locking the emulator's whole reservation would help nobody."""
    return -errno.EINVAL if not flags or flags & ~7 else 0


@syscall(153, "munlockall")
def munlockall(t: Thread) -> int:
    """Undo mlockall."""
    return 0


@syscall(218, "mincore")
def mincore(t: Thread, address: int, size: int, vector: int) -> int:
    """Tell which pages are in memory."""
    size = _check_range(t.mem, address, size)
    where = t.mem.host(vector, size // PAGE, True)
    return host.syscall(Sys.MINCORE, t.mem.base + address, size, where) if size else 0


@syscall(257, "remap_file_pages")
def remap_file_pages(t: Thread, address: int, size: int, prot: int, page: int, flags: int) -> int:
    """Refuse what is long obsolete."""
    return -errno.EINVAL
