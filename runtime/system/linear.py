"""Linear memory of a machine: the host's own page tables as the guest's TLB.

Two windows of 4 GiB of host address space show linear memory as supervisor and as user code see it.
A page is empty until an access faults; then the fault handler walks the guest's tables and maps it
with the rights found there (translator/quick/paging.py).  So an access that hits costs nothing, and
what is done for a TLB (invlpg, CR3) empties pages.  Frames with translated code are read-only.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Iterable

from runtime import hostmap, native
from runtime.memory import SIZE, Memory
from runtime.system.aliases import Aliases
from runtime.system.coderows import CodeRows, runs
from runtime.system.physical import PAGE, PAGE_SHIFT, Physical
from translator.faults import GuestFault
from translator.mode import Context
from translator.quick import paging as at
from translator.quick import spaces

SUPERVISOR, USER = 0, 1
CR0_WP, CR0_PG = 1 << 16, 1 << 31
CR4_PSE, CR4_PAE, CR4_PGE = 1 << 4, 1 << 5, 1 << 7
_PF, _GP, _PRESENT = 14, 13, 1
_LISTED_MAX = 1 << 15  # pages filled in a window; the host allows 65,530 mappings in all
_AROUND, _AROUND_PHYSICAL = 32, 1024  # pages mapped at once, at most; with paging off
_LINE_20 = 1 << 20 - PAGE_SHIFT  # in page numbers
_FEW = 256  # runs of pages that are emptied one by one
_PDPTE_RESERVED = 0x7FFFFF0000000000 | 1 << 63 | 0x1E6
_SPACES_MAX = 0xFFFF


class Linear(Memory):
    """Linear memory as engine and interp tier use it: what `Memory` is for Linux programs."""

    def __init__(self, physical: Physical) -> None:
        """Begin with paging off, seen by supervisor code."""
        self.fields = memoryview(bytes(8 * at.PAGING_SIZE)).cast("q")
        self.bases: tuple[int, ...] = ()
        super().__init__()
        self.physical = physical
        self._second = Memory()
        self.bases = (*self.bases, self._second.base)
        self.code_frames: dict[int, set[int]] = {}  # frame -> linear pages that code came from
        self.code_rows: dict[int, CodeRows] = {}  # by space
        self.aside: dict[int, CodeRows] = {}  # by space: of code that was put aside
        self._spaces: dict[int, int] = {}  # CR3 -> number of the space
        self._last_space = 0
        self._areas: list[mmap.mmap] = []
        self._make_context()
        arguments = [ctypes.c_int64] * 3
        functions = native.arena.function
        self._walk = functions("walk", ctypes.c_int64, *arguments, keep_gil=True)
        self._fill = functions(
            "fill_page", ctypes.c_int64, *arguments, ctypes.c_int64, keep_gil=True
        )
        self._flush_windows = functions("flush_windows", *arguments, keep_gil=True)
        self._empty_page = functions("empty_page", *arguments, keep_gil=True)
        self._showing = functions("showing", *[ctypes.c_int64] * 5, keep_gil=True)
        self._deliver = functions("deliver", *[ctypes.c_int64] * 6, keep_gil=True)
        self._row_now = functions("row_now", *arguments, keep_gil=True)
        self._returning = functions("returning", *[ctypes.c_int64] * 5, keep_gil=True)
        self._differing = functions("differing", *[ctypes.c_int64] * 6, keep_gil=True)
        # Called when linear addresses may have become others.
        self.on_flush: Callable[[], None] = lambda: None
        # Called when what was read of linear pages is no longer so; no code is concerned.
        self.on_forget: Callable[[list[int]], None] = lambda pages: None
        # Called when linear pages have become others: their code in a space, 0: that of ring 0 to
        # 2, is no longer the right one.
        self.on_remap: Callable[[list[int], int], None] = lambda pages, space: self._drop(pages)
        # Called when a page of a space, whose code was put aside, is used for code again; with
        # whether it is what it was.
        self.on_return: Callable[[int, int, bool], None] = lambda page, space, is_same: None
        self.aliases = Aliases(self)
        physical.on_write = self.written
        physical.on_change = self._changed_kind

    def _make_context(self) -> None:
        self._context = bytearray(at.PAGING_SIZE)
        self.fields = memoryview(self._context).cast("q")
        self.context_address = native.address_of(self._context)
        physical = self.physical
        self._code = bytearray(len(physical.kinds))
        self._set(at.RAM, physical.address)
        self._set(at.PAGES, len(physical.kinds))
        self._set(at.KINDS, native.address_of(physical.kinds))
        self._set(at.CODE, native.address_of(self._code))
        self._set(at.FD, physical.fd)
        self._set(at.A20, -1)
        self._set(at.ABSENT, -1)
        self._set(at.COUNT_MAX, _LISTED_MAX)
        self._set(at.AROUND, _AROUND_PHYSICAL)
        self.tables, self.lists = [], []
        for view, base in enumerate(self.bases):
            self._set(at.BASES + 8 * view, base)
            self.tables.append(self.area(at.TABLES + 8 * view, SIZE >> PAGE_SHIFT))
            self.lists.append(self.area(at.LISTS + 8 * view, _LISTED_MAX))
        self._rows_at = self.area(at.ROWS, 4 * (_SPACES_MAX + 1)).cast("B").cast("q")
        self._spaces_at = self.area(at.SPACES, 2 * spaces.SPACES_SIZE)
        self._in_rows = self.area(at.IN_ROWS, SIZE >> PAGE_SHIFT + 2).cast("B")

    def area(self, field: int, count: int) -> memoryview:
        """Make a table of words that compiled code finds by a field."""
        area, address = native.reserve(4 * count, mmap.PROT_READ | mmap.PROT_WRITE)
        self._areas.append(area)
        self._set(field, address)
        return memoryview(area).cast("I")

    def _set(self, field: int, value: int) -> None:
        self.fields[field // 8] = value

    def close(self) -> None:
        """Give both windows back."""
        self._second.close()
        hostmap.release(self.bases[SUPERVISOR], SIZE + (1 << 16))

    # -- views and address spaces ------------------------------------------------------------------
    @property
    def base(self) -> int:
        """Host address of linear address 0, as guest code sees memory now."""
        return self.bases[self.fields[at.VIEW // 8]]

    @base.setter
    def base(self, address: int) -> None:
        self.bases = (address,)

    @property
    def view(self) -> int:
        """The window that guest code runs in now; compiled code changes it, too."""
        return self.fields[at.VIEW // 8]

    @property
    def space(self) -> int:
        """Number of the address space, for code of ring 3; 0: paging is off."""
        return self.fields[at.SPACE // 8]

    def select(self, view: int) -> None:
        """Let guest code see memory as supervisor or user from now on."""
        self._set(at.VIEW, view)

    def let_compiled(self, missing_flags: int) -> None:
        """Let quick/system.py do what is common, on a processor that lacks some flags of EFLAGS."""
        self._set(at.COMPILED, 1)
        self._set(at.MISSING_FLAGS, missing_flags)

    def deliver(self, state: int, vector: int, how: int = 0, error: int = 0) -> bool:
        """Send control to a handler if that is the common case (quick/system.py)."""
        return bool(self._deliver(self.context_address, state, vector, how, error))

    def set_fast_call(self, cs: int, esp: int, eip: int) -> None:
        """Keep copies of the registers of sysenter for compiled code."""
        self._set(at.SYSENTER_CS, cs)
        self._set(at.SYSENTER_ESP, esp)
        self._set(at.SYSENTER_EIP, eip)

    def set_tsc(self, offset: int, *, is_host: bool) -> None:
        """Tell compiled code what rdtsc adds to the host's clock, if it shows that."""
        self._set(at.TSC_ON, is_host)
        self._set(at.TSC_OFFSET, (offset + (1 << 63) & 0xFFFFFFFFFFFFFFFF) - (1 << 63))

    def is_alone(self, context: Context) -> bool:
        """Whether linear memory shows nothing twice; real mode knows what line 20 does."""
        if self.fields[at.ON // 8]:
            return False
        if context.mode.is_real:  # expanded memory is out of its reach, but in its frame
            return not self.aliases.has_twins
        return self.fields[at.A20 // 8] == -1 and not self.physical.shown

    def set_a20(self, *, enabled: bool) -> None:
        """Let address line 20 through, or hold it at 0."""
        self._set(at.A20, -1 if enabled else ~(1 << 20))
        self.flush(keep_global=False)

    def load_space(self, cr0: int, cr3: int, cr4: int, *, nx: bool, keep_global: bool) -> None:
        """Take over control registers, as writing CR0, CR3 or CR4 does; #GP if they are bad."""
        is_on, is_pae = bool(cr0 & CR0_PG), bool(cr4 & CR4_PAE)
        if is_on and is_pae:
            self._load_directories(cr3)
        was = [self.fields[f // 8] for f in (at.ON, at.PAE, at.PROTECTS, at.LARGE)]
        self._set(at.ON, is_on)
        self._set(at.PAE, is_pae)
        self._set(at.PROTECTS, bool(cr0 & CR0_WP))
        self._set(at.LARGE, bool(cr4 & CR4_PSE))
        self._set(at.GLOBAL, bool(cr4 & CR4_PGE))
        self._set(at.HAS_NX, nx and is_pae)
        self._set(at.ROOT, cr3 & 0xFFFFF000)
        self._set(at.AROUND, _AROUND if is_on else _AROUND_PHYSICAL)
        if was != [self.fields[f // 8] for f in (at.ON, at.PAE, at.PROTECTS, at.LARGE)]:
            keep_global = False
        self._set(at.SPACE, self._number(cr3) if is_on else 0)
        self.flush(keep_global=keep_global)

    def _number(self, cr3: int) -> int:
        """Return the number of an address space.

        An operating system soon uses the same tables again for another process; then code of the
        same program is brought back, page by page.
        """
        number = self._spaces.get(cr3, 0)
        if number:
            return number
        if self._last_space >= _SPACES_MAX:
            self._forget_all_code()
        self._last_space = number = self._last_space + 1
        self._spaces[cr3] = number
        entry = 2 * (cr3 >> PAGE_SHIFT & spaces.SPACES_SIZE - 1)
        self._spaces_at[entry], self._spaces_at[entry + 1] = cr3, number
        return number

    def forget_code(self) -> None:
        """Drop all translated code."""
        self._forget_frames(list(self.code_frames))

    def _forget_all_code(self) -> None:
        self.forget_code()
        for number in list(self.code_rows):
            del self.code_rows[number]
            self._show_rows(number)
        self.aside.clear()
        self._spaces.clear()
        self._spaces_at[:] = memoryview(bytes(self._spaces_at.nbytes)).cast("I")
        self._last_space = 0

    def _load_directories(self, cr3: int) -> None:
        """Load the four directory registers of PAE; #GP if an entry is bad."""
        base = cr3 & 0xFFFFFFE0
        found = [self.physical.load(base + 8 * i, 64) for i in range(4)]
        if any(entry & _PRESENT and entry & _PDPTE_RESERVED for entry in found):
            raise GuestFault(_GP)
        for i, entry in enumerate(found):
            self._set(at.DIRECTORIES + 8 * i, entry & 0x7FFFFFFFFFFFFFFF)

    def flush(self, *, keep_global: bool) -> None:
        """Empty pages that may have become others, but no global ones if *keep_global*."""
        if self._flush_windows(self.context_address, int(keep_global), 0):
            raise MemoryError("cannot empty guest memory: too many mappings on the host")
        self.on_flush()
        self._verify(keep_global=keep_global)

    def _empty_all(self, view: int, *, keep_global: bool) -> None:
        import numpy as np  # takes 0.1 s, and few machines need it

        count_at = at.COUNTS // 8 + view
        table, listed = np.asarray(self.tables[view]), np.asarray(self.lists[view])
        pages = np.unique(listed[: self.fields[count_at]])
        pages = pages[table[pages] != 0]
        kept = pages[:0]
        if keep_global:
            is_kept = table[pages] & at.KEPT != 0
            kept, pages = pages[is_kept], pages[~is_kept]
        if len(kept) > _LISTED_MAX // 2:
            kept, pages = pages[:0], np.concatenate((kept, pages))
        table[pages] = 0
        base, found = self.bases[view], runs(pages.tolist())
        if len(found) > _FEW and not len(kept):
            hostmap.reserve_again(base, SIZE)
        else:
            for first, count in found:
                hostmap.reserve_again(base + (first << PAGE_SHIFT), count << PAGE_SHIFT)
        listed[: len(kept)] = kept
        self.fields[count_at] = len(kept)

    def invlpg(self, address: int) -> None:
        """Empty the page of an address."""
        page = address >> PAGE_SHIFT
        self._empty_page(self.context_address, page, 0)
        self.on_flush()
        if self._in_rows[page]:
            self._verify(keep_global=False)

    # -- accesses ----------------------------------------------------------------------------------
    def walk(self, address: int, kind: int) -> int:
        """Walk the tables (quick/paging.py); GuestFault(14) if the access is not allowed."""
        page = int(self._walk(self.context_address, address, kind))
        if page < 0:
            raise GuestFault(_PF, address, -1 - page)
        return page

    def frame_of(self, address: int, kind: int = 0) -> int | None:
        """Return the frame of an address, without marking anything; None if there is none."""
        page = int(self._walk(self.context_address, address, kind))
        return None if page < 0 else page >> 8

    def fill(self, address: int, kind: int, view: int) -> bool:
        """Map the page of an access that faulted: whether it may be tried again.

        False: there is a device, or nothing, or ROM that is written to. GuestFault(14).
        """
        for _ in range(3):
            done = int(self._fill(self.context_address, view, address, kind))
            if done > 0:
                return True
            if done < 0:
                raise GuestFault(_PF, address, -1 - done)
            frame = self.walk(address, kind) >> 8
            if kind & at.A_WRITE and frame in self.code_frames:
                self._forget_frames([frame])
            elif self.fields[at.COUNTS // 8 + view] + _AROUND_PHYSICAL > _LISTED_MAX:
                self._empty_all(view, keep_global=False)
            elif not self.physical.is_ram(frame) or (
                kind & at.A_WRITE and not self.physical.is_writable(frame)
            ):
                return False
        raise MemoryError("cannot map guest memory: too many mappings on the host")

    # -- translated code ---------------------------------------------------------------------------
    @property
    def _reading(self) -> int:
        return at.A_FETCH | (at.A_USER if self.view == USER else 0)

    def _protect(self, frame: int) -> None:
        """Map a frame read-only wherever it is, because code comes from it."""
        if frame in self.code_frames:
            return
        self.code_frames[frame] = set()
        if frame < len(self._code):
            self._code[frame] = 1
        for view, base in enumerate(self.bases):
            table = self.tables[view]
            for page in self._pages_of(frame, view):
                if table[page] & at.NOW:
                    table[page] &= ~at.NOW & 0xFFFFFFFF
                    hostmap.protect(base + (page << PAGE_SHIFT), PAGE, hostmap.PROT_READ)

    def _pages_of(self, frame: int, view: int) -> list[int]:
        """Return the linear pages that show a frame in a window."""
        table = self.tables[view]
        if not self.fields[at.ON // 8]:  # with paging off: its own, and below address line 20
            near = {frame, *self.aliases.pages(frame)}
            near |= {page ^ _LINE_20 for page in near}
            return [p for p in near if table[p] and table[p] >> at.FRAME_SHIFT == frame]
        shown, index = set(), -1
        while (index := self._showing(self.context_address, view, frame, index + 1)) >= 0:
            shown.add(self.lists[view][index])
        return list(shown)

    def _verify(self, *, keep_global: bool) -> None:
        """Drop the code of pages that now are others."""
        for space in sorted({0, self.space}, reverse=True):
            changed = self._remapped(space, keep_global=keep_global and not space)
            if not space and self.space and 0 in self.code_rows:
                # What other spaces read is read again for this one, which has to note it.
                own = self.code_rows.get(self.space, ())
                outer = set(self.code_rows[0].outer()).difference(changed)
                changed += [page for page in outer if page not in own]
            if changed:
                known = self.code_rows[space]
                if space:
                    aside = self.aside.setdefault(space, CodeRows())
                    for page in changed:
                        aside.put(known.row(page))
                known.remove(changed)
                self._show_rows(space)
                self.on_remap(changed, space)
        self._set(at.STALE, 0)

    def _remapped(self, space: int, *, keep_global: bool = False) -> list[int]:
        """Return the pages of a space's code that now are others, or were found to be."""
        known = self.code_rows.get(space)
        if known is None:
            return []
        changed, count, at_row = known.dead(), len(known), -1
        arguments = self.context_address, known.address
        while (at_row := self._differing(*arguments, at_row + 1, count, int(keep_global))) >= 0:
            changed.append(known.rows[at_row] & spaces.R_PAGE)
        return changed

    def take_stale(self) -> None:
        """Forget what was read of pages that compiled code found to be others."""
        if self.fields[at.STALE // 8]:
            self._set(at.STALE, 0)
            known = self.code_rows[0]
            changed = known.dead()
            known.remove(changed)
            self._show_rows(0)
            self.on_forget(changed)

    def _show_rows(self, space: int) -> None:
        """Let compiled code know where the rows of a space are."""
        known = self.code_rows.get(space)
        self._rows_at[2 * space] = known.address if known else 0
        self._rows_at[2 * space + 1] = len(known) if known else 0

    def _drop(self, pages: Iterable[int]) -> None:
        for first, count in runs(sorted(pages)):
            self.on_code_change(first << PAGE_SHIFT, count << PAGE_SHIFT)

    def written(self, address: int, size: int) -> None:
        """Drop code made from physical memory that is about to change."""
        last = address + max(size, 1) - 1 >> PAGE_SHIFT
        frames = range(address >> PAGE_SHIFT, last + 1)
        if self.physical.shown:
            others = self.aliases.frames(frames.start, last)
            self._forget_frames([f for f in others if f in self.code_frames])
        if len(frames) > len(self.code_frames):
            self._forget_frames([f for f in self.code_frames if f in frames])
        else:
            self._forget_frames([f for f in frames if f in self.code_frames])

    def _forget_frames(self, frames: Iterable[int]) -> None:
        pages: set[int] = set()
        for frame in frames:
            pages |= self.code_frames.pop(frame)
            if frame < len(self._code):
                self._code[frame] = 0
            self._empty_frame(frame)
        self._drop(pages)

    def _empty_frame(self, frame: int) -> None:
        """Empty the pages that show a frame read-only because of code, so that writes find it."""
        for view, base in enumerate(self.bases):
            table = self.tables[view]
            for page in self._pages_of(frame, view):
                if table[page]:
                    table[page] = 0
                    hostmap.reserve_again(base + (page << PAGE_SHIFT), PAGE)

    def _changed_kind(self, address: int, size: int) -> None:
        self.written(address, size)
        self.flush(keep_global=False)

    # -- what the engine asks ----------------------------------------------------------------------
    def watch(self, page: int) -> None:
        """Protect the frame of a linear page, because code comes from it.

        Whoever keeps what was read forgets it when `on_flush` is called, so that code which both
        rings or several address spaces share is watched for each.
        """
        frame = self.frame_of(page << PAGE_SHIFT, self._reading)
        if frame is not None:
            self._protect(frame)
            self.code_frames[frame].add(page)
            self._in_rows[page] = 1
            row = int(self._row_now(self.context_address, page, 0))
            is_outer = self.view == USER and self.space
            for space in (0, self.space) if is_outer else (0,):
                known = self.code_rows.setdefault(space, CodeRows())
                known.put(row if is_outer else row | spaces.R_SUPER)
                self._show_rows(space)
            aside = self.aside.get(self.space) if is_outer else None
            if aside is not None and page in aside:
                is_same = aside.row(page) >> spaces.R_FRAME == frame
                aside.remove([page])
                self.on_return(page, self.space, is_same)

    def returned(self) -> list[int]:
        """Return the pages of code put aside that are what they were; they are watched again."""
        aside, known = self.aside[self.space], self.code_rows.setdefault(self.space, CodeRows())
        pages, index, count = [], -1, len(aside)
        arguments = self.context_address, aside.address
        while (index := self._returning(*arguments, index + 1, count)) >= 0:
            row = aside.rows[index]
            page = row & spaces.R_PAGE
            if page in self.code_frames.get(row >> spaces.R_FRAME, ()):  # nobody wrote to it
                pages.append(page)
                for rows in (known, self.code_rows.setdefault(0, CodeRows())):
                    rows.put(row)
                self._in_rows[page] = 1
        aside.remove(pages)
        self._show_rows(0)
        self._show_rows(self.space)
        return pages

    def is_watched(self, page: int) -> bool:
        """Say whether writes to a linear page are seen."""
        frame = self.frame_of(page << PAGE_SHIFT, self._reading)
        return frame is not None and page in self.code_frames.get(frame, ())

    def prepare_write(self, address: int, size: int) -> bool:
        """Answer False: `fill` does it."""
        return False

    def fetch(self, address: int, size: int) -> bytes:
        """Return up to *size* bytes of code at a linear address; fewer where it cannot be read."""
        data = b""
        while size > 0 and address < SIZE:
            count = min(size, PAGE - (address & PAGE - 1))
            try:
                frame = self.walk(address, self._reading | at.A_MARK) >> 8
            except GuestFault:
                break
            place = frame << PAGE_SHIFT | address & PAGE - 1
            if self.physical.is_ram(frame):
                data += self.physical.view[place : place + count]
            else:
                data += bytes(self.physical.load(place + i, 8) for i in range(count))
            address, size = address + count, size - count
        return data

    def prot_at(self, address: int) -> int | None:
        """Return what may be done with a page as if it were mapped memory: R 1, W 2, X 4."""
        return None if self.frame_of(address, self._reading) is None else 7

    def is_shared(self, address: int) -> bool:
        """Answer False: whatever changes memory is seen."""
        return False
