"""mremap of guest memory, done so that no hole ever opens in the host's reservation.

The host may place its own memory into any hole, so mappings are moved with DONTUNMAP or duplicated
and the old range is then overwritten by the reservation.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from runtime import hostmap
from runtime.regions import PAGE, Region

if TYPE_CHECKING:
    from runtime.memory import Memory


def remap(
    mem: Memory,
    old: int,
    old_size: int,
    new_size: int,
    may_move: bool,
    new_address: int | None,
    keep_old: bool,
) -> int:
    """Resize or move the mapping at *old*; sizes are whole pages. See mremap(2) for the errors."""
    from runtime.memory import SIZE, MemoryMapError

    if old & (PAGE - 1) or not new_size:
        raise MemoryMapError(errno.EINVAL)
    region = mem._map.at(old)
    if region is None or old + old_size > SIZE:
        raise MemoryMapError(errno.EFAULT)
    if not old_size and not region.shared:
        raise MemoryMapError(errno.EINVAL)
    if new_address is None and not keep_old and new_size <= old_size:
        if new_size < old_size:
            mem.unmap(old + new_size, old_size - new_size)
        return old
    if old + old_size > region.end:
        raise MemoryMapError(errno.EFAULT)
    if new_address is not None:
        overlaps = new_address < old + old_size and old < new_address + new_size
        if new_address & (PAGE - 1) or new_address + new_size > SIZE or overlaps:
            raise MemoryMapError(errno.EINVAL)
        mem.unmap(new_address, new_size)
        if new_size < old_size:
            mem.unmap(old + new_size, old_size - new_size)
            old_size = new_size
        return _move(mem, region, old, old_size, new_size, new_address, keep_old)
    if keep_old:
        if not may_move or old_size != new_size:
            raise MemoryMapError(errno.EINVAL)
        return _move(mem, region, old, old_size, new_size, mem.find_free(new_size), True)
    end = old + new_size
    can_extend = old_size and old + old_size == region.end and not region.key and end <= SIZE
    if can_extend and not mem._map.overlapping(region.end, end):
        _map_zeros(mem, region, old + old_size, new_size - old_size)
        return old
    if not may_move:
        raise MemoryMapError(errno.ENOMEM)
    return _move(mem, region, old, old_size, new_size, mem.find_free(new_size), False)


def _map_zeros(mem: Memory, region: Region, address: int, size: int) -> None:
    mem.map(address, size, region.prot, fixed=True, name=region.name)


def _move(
    mem: Memory, region: Region, old: int, old_size: int, new_size: int, target: int, keep_old: bool
) -> int:
    from runtime.memory import MemoryMapError, _host_prot

    growth = new_size - old_size
    if region.key and not region.shared and growth > 0:
        raise MemoryMapError(errno.ENOMEM)  # the file of a private mapping is no longer at hand
    mem._check_limit(new_size if region.prot else 0, old, 0 if keep_old else old_size)
    mem._forget_code(old, max(old_size, 1))
    # The host page must carry the guest's protection, not a watch's.
    hostmap.protect(mem.base + old, max(old_size, PAGE), _host_prot(region.prot))
    if region.shared and not keep_old:
        code = hostmap.duplicate(mem.base + old, new_size, mem.base + target)
    else:
        code = hostmap.move(mem.base + old, old_size, mem.base + target)
    if code:
        raise MemoryMapError(code)
    offset = region.offset + old - region.start if region.key else 0
    moved = region._replace(start=target, end=target + new_size, offset=offset)
    if growth > 0 and not region.shared:
        _map_zeros(mem, region, target + old_size, growth)
    mem._map.insert(moved)
    mem._set_pages(target, new_size, 0x80 | region.prot)
    if old_size and not keep_old:
        mem.unmap(old, old_size)
    return target
