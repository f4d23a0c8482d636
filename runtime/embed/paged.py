"""Linear memory of a machine whose paging is on, or whose TLB its user fills."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from runtime import hostmap, native
from runtime.embed.access import Failure
from runtime.embed.backing import protection
from runtime.memory import EXEC, GUARD, READ, SIZE, WRITE
from runtime.system.linear import USER, Linear
from runtime.system.physical import PAGE, PAGE_SHIFT
from translator.faults import GuestFault
from translator.quick import paging as at

if TYPE_CHECKING:
    from runtime.embed.space import Part, Space

_LINEAR_PAGES = 1 << 20
_KINDS = {0: "read", at.A_WRITE: "write", at.A_FETCH: "fetch"}
# kind of access, linear address of a page -> physical address and permissions; or it raises
Filler = Callable[[str, int], tuple[int, int]]


class Paged(Linear):
    """Linear memory over a Space: the windows show host buffers, too, and what may be executed.

    `fill_entry`: asked for translations while `use_table` is on.
    """

    def __init__(self, space: Space, fill_entry: Filler) -> None:
        self.backing = space.back()
        super().__init__(self.backing)  # type: ignore[arg-type]
        self.space_of_parts, self.fill_entry = space, fill_entry
        self._set(at.ABSENT, 0)  # as Unicorn reads what is not there
        self.backing.on_span = self._moved
        self._table: memoryview | None = None
        self.is_lenient = False  # bad directories are no exception: the user may write them later

    def finisher(self) -> tuple[Any, ...]:
        """Return what gives everything back, once nobody knows this any more."""
        return (_finish, self.bases, self.backing.fd)

    def _moved(self) -> None:
        """Take over tables that were made anew for more physical memory."""
        backing = self.backing
        self._code = self._code + bytes(len(backing.kinds) - len(self._code))
        self._set(at.RAM, backing.address)
        self._set(at.PAGES, len(backing.kinds))
        self._set(at.KINDS, native.address_of(backing.kinds))
        self._set(at.CODE, native.address_of(self._code))

    def reload(self, cr3: int) -> None:
        """Read the directories of PAE, as the user may have written them since CR3 was loaded."""
        if self.fields[at.ON // 8] and self.fields[at.PAE // 8]:
            slots = range(at.DIRECTORIES // 8, at.DIRECTORIES // 8 + 4)
            before = [self.fields[i] for i in slots]
            with contextlib.suppress(GuestFault):
                self._load_directories(cr3)
            if before != [self.fields[i] for i in slots]:
                self.flush(keep_global=False)

    def _load_directories(self, cr3: int) -> None:
        try:
            super()._load_directories(cr3)
        except GuestFault:
            if not self.is_lenient:
                raise
            for i in range(4):
                self._set(at.DIRECTORIES + 8 * i, 0)

    # -- a TLB that the user fills -----------------------------------------------------------------
    def use_table(self, *, on: bool) -> None:
        """Translate by what `fill_entry` says, not by page tables; or by these again."""
        if on and self._table is None:
            area, address = native.reserve(8 * _LINEAR_PAGES, mmap.PROT_READ | mmap.PROT_WRITE)
            self._areas.append(area)
            self._table, self._table_area, self._table_at = (
                memoryview(area).cast("q"),
                area,
                address,
            )
        self._set(at.TLB, self._table_at if on else 0)
        self.flush(keep_global=False)

    @property
    def uses_table(self) -> bool:
        """Whether `fill_entry` is asked."""
        return bool(self.fields[at.TLB // 8])

    def flush(self, *, keep_global: bool) -> None:
        """Empty all pages, but global ones if *keep_global*."""
        if self.uses_table:
            self._table_area.madvise(mmap.MADV_DONTNEED)
        super().flush(keep_global=keep_global)

    def invlpg(self, address: int) -> None:
        """Empty the page of an address."""
        if self.uses_table and self._table is not None:
            self._table[address >> PAGE_SHIFT] = 0
        super().invlpg(address)

    def _ask(self, address: int, kind: int) -> None:
        """Let `fill_entry` say where a page is."""
        assert self._table is not None
        what = _KINDS[kind & (at.A_WRITE | at.A_FETCH)]
        place, perms = self.fill_entry(what, address & -PAGE)
        bits = (perms & READ and at.TLB_READ) | (perms & WRITE and at.TLB_WRITE)
        bits |= perms & EXEC and at.TLB_EXECUTE
        self._table[address >> PAGE_SHIFT] = (place >> PAGE_SHIFT) << 8 | bits

    # -- accesses ----------------------------------------------------------------------------------
    def walk(self, address: int, kind: int) -> int:
        """Walk the tables; GuestFault(14) if the access is not allowed."""
        try:
            return super().walk(address, kind)
        except GuestFault:
            if not self.uses_table:
                raise
        self._ask(address, kind)
        try:
            return super().walk(address, kind)
        except GuestFault:
            raise Failure("exception") from None

    def fill(self, address: int, kind: int, view: int) -> bool:
        """Map the page of an access that faulted: whether it may be tried again."""
        if self.uses_table:
            self.walk(address, kind)
        if super().fill(address, kind, view):
            return True
        return self._fill_odd(address, kind, view)

    def _fill_odd(self, address: int, kind: int, view: int) -> bool:
        """Map a page of a host buffer; False if it cannot be mapped."""
        found = self.walk(address, kind | at.A_MARK)
        frame = found >> 8
        part = self.space_of_parts.part_at(frame << PAGE_SHIFT)
        if part is None or not part.is_foreign or not part.perms & READ:
            return False
        if kind & at.A_WRITE and not part.perms & WRITE:
            return False
        if not self._show(part, frame, self.bases[view] + (address & -PAGE)):
            return False
        may = bool(found & at.MAY_WRITE) and bool(part.perms & WRITE)
        now = may and frame not in self.code_frames
        if kind & at.A_WRITE and not now:
            self._forget_frames([frame])
            now = True
        prot = protection(READ | WRITE if now else READ)
        hostmap.protect(self.bases[view] + (address & -PAGE), PAGE, prot)
        page, count_at = address >> PAGE_SHIFT, at.COUNTS // 8 + view
        state = (
            frame << at.FRAME_SHIFT | at.FILLED | (at.MAY if may else 0) | (at.NOW if now else 0)
        )
        self.tables[view][page] = state
        self.lists[view][self.fields[count_at]] = page
        self.fields[count_at] += 1
        return True

    def _show(self, part: Part, frame: int, target: int) -> bool:
        assert part.host is not None
        host = part.host + (frame << PAGE_SHIFT) - part.start
        if host % PAGE:
            return False
        return not hostmap.duplicate(host, PAGE, target)

    # -- what the engine asks ----------------------------------------------------------------------
    def fetch(self, address: int, size: int) -> bytes:
        """Return up to *size* bytes of code at a linear address; fewer where it cannot be read."""
        data, kind = b"", at.A_FETCH | at.A_MARK | (at.A_USER if self.view == USER else 0)
        while size > 0 and address < 1 << 32:
            count = min(size, PAGE - (address & PAGE - 1))
            frame = self.frame_of(address, kind)
            if frame is None:
                break
            place = frame << PAGE_SHIFT | address & PAGE - 1
            code = self.space_of_parts.fetch(place, count)
            data += code
            if len(code) < count:
                break
            address, size = address + count, size - count
        return data


def _finish(bases: tuple[int, int], fd: int) -> None:
    for base in bases:
        hostmap.release(base, SIZE + GUARD)
    os.close(fd)
