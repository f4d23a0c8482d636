"""Linear memory of a machine: the host's own page tables as the guest's TLB.

Two windows of 4 GiB of host address space show linear memory as supervisor and as user code see it.
A page is empty until an access faults; then the fault handler walks the guest's tables and maps it
with the rights found there (translator/quick/paging.py).  So an access that hits costs nothing, and
what is done for a TLB (invlpg, CR3) empties pages.  Frames with translated code are read-only.
"""

from __future__ import annotations

import ctypes
import mmap
import threading
from array import array
from collections.abc import Callable, Iterable

from runtime import hostmap, native
from runtime.blocktable import TableLock
from runtime.memory import SIZE, Memory
from runtime.system.aliases import Aliases
from runtime.system.coderows import CodeRows, OpenPages, runs
from runtime.system.physical import PAGE, PAGE_SHIFT, Physical
from translator.faults import GuestFault
from translator.mode import Context
from translator.quick import layout, rare, spaces, usercode
from translator.quick import paging as at

SUPERVISOR, USER = 0, 1
CR0_WP, CR0_PG = 1 << 16, 1 << 31
CR4_PSE, CR4_PAE, CR4_PGE = 1 << 4, 1 << 5, 1 << 7
_PF, _GP, _PRESENT = 14, 13, 1
_LISTED_MAX = 1 << 15  # pages filled in a window; the host allows 65,530 mappings in all
_AROUND, _AROUND_PHYSICAL = 32, 1024  # pages mapped at once, at most; with paging off
_LINE_20 = 1 << 20 - PAGE_SHIFT  # in page numbers
_FEW = 256  # runs of pages that are emptied one by one
_CROWDED = "cannot map or empty guest memory: too many mappings on the host"
_PDPTE_RESERVED = 0x7FFFFF0000000000 | 1 << 63 | 0x1E6


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
        self._code_frames: dict[int, set[int]] = {}
        self.code_rows = CodeRows()
        self.open_pages = OpenPages(self.bar)
        self._lock: TableLock | threading.RLock = threading.RLock()  # of what code is made of
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
        self._empty_shown = functions("empty_frame", *arguments, keep_gil=True)
        self._protect_shown = functions("protect", *arguments, keep_gil=True)
        self._deliver = functions("deliver", *[ctypes.c_int64] * 6, keep_gil=True)
        self._row_now = functions("row_now", *arguments, keep_gil=True)
        self._activate = functions("activate", *arguments, keep_gil=True)
        self._verify_pages = functions("verify_pages", *arguments[:2], keep_gil=True)
        self._differing = functions("differing", *[ctypes.c_int64] * 6, keep_gil=True)
        # Called when linear addresses may have become others.
        self.on_flush: Callable[[], None] = lambda: None
        # Called when code of ring 3 in linear pages was put aside: what was read of them is no
        # longer so; and with those that show another frame than before.
        self.on_forget: Callable[[list[int], list[int]], None] = lambda gone, _: self._drop(gone)
        # Called when linear pages have become others: their code of rings 0 to 2 is wrong.
        self.on_remap: Callable[[list[int]], None] = self._drop
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
        pages = SIZE >> PAGE_SHIFT
        self._in_rows = self.area(at.IN_ROWS, pages // 4).cast("B")
        self._words = self.area(at.WORDS, pages)
        self.area(at.ACTIVE_PAGES, pages + 1)
        self._leaves = self.area(at.KNOWN_LEAVES, 2 + rare.LEAF_ROW // 4 * rare.LEAVES_MAX)
        self._log = self.area(at.LOG, 2 * usercode.LOG_MAX).cast("B").cast("q")

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

    def use_blocks(self, address: int, blocks: memoryview, lock: TableLock) -> None:
        """Put code of ring 3 in a table of blocks aside where its pages are others for a while."""
        self._lock = lock
        self._set(at.BLOCKS, address)
        blocks[layout.WORDS // 8] = self.fields[at.WORDS // 8]

    @property
    def space(self) -> int:
        """What the context of ring 3's code says of paging: 1, or 0: it is off."""
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

    def keep_leaf(self, row: tuple[int, ...]) -> None:
        """Let compiled code answer cpuid: leaf, subleaf, EAX, EBX, ECX, EDX."""
        count = self._leaves[0]
        if count < rare.LEAVES_MAX:
            start = 2 + len(row) * count
            self._leaves[start : start + len(row)] = memoryview(array("I", row))
            self._leaves[0] = count + 1

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
        self._set(at.SPACE, int(is_on))
        self.flush(keep_global=keep_global)

    def forget_code(self) -> None:
        """Drop all translated code."""
        self._forget_frames(list(self.code_frames))

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
            raise MemoryError(_CROWDED)
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
        if self._in_rows[page] or self._words[page]:
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
        raise MemoryError(_CROWDED)

    # -- translated code ---------------------------------------------------------------------------
    @property
    def _reading(self) -> int:
        return at.A_FETCH | (at.A_USER if self.view == USER else 0)

    def _protect(self, frame: int) -> None:
        """Map a frame read-only wherever it is, because code comes from it."""
        if frame in self.code_frames:
            return
        self.code_frames[frame] = set()
        if self.fields[at.ON // 8]:
            if not self._protect_shown(self.context_address, frame):
                raise MemoryError(_CROWDED)
            return
        if frame < len(self._code):
            self._code[frame] = 1
        for view, base in enumerate(self.bases):
            table = self.tables[view]
            for page in self._pages_of(frame, view):
                if table[page] & at.NOW:
                    table[page] &= ~at.NOW & 0xFFFFFFFF
                    hostmap.protect(base + (page << PAGE_SHIFT), PAGE, hostmap.PROT_READ)

    def _pages_of(self, frame: int, view: int) -> list[int]:
        """Return the pages that show a frame with paging off: its own, and below line 20."""
        table = self.tables[view]
        near = {frame, *self.aliases.pages(frame)}
        near |= {page ^ _LINE_20 for page in near}
        return [p for p in near if table[p] and table[p] >> at.FRAME_SHIFT == frame]

    def _verify(self, *, keep_global: bool) -> None:
        """Drop the code of pages that now are others, or put it aside."""
        with self._lock:
            self.take_log()
            self._verify_pages(self.context_address)
            self.take_log()
        known, changed, index = self.code_rows, [], -1
        arguments = self.context_address, known.address
        while (index := self._differing(*arguments, index + 1, len(known), int(keep_global))) >= 0:
            changed.append(known.rows[index] & spaces.R_PAGE)
        if changed:
            known.remove(changed)
            self._show_rows()
            self.on_remap(changed)

    def take_log(self) -> None:
        """Take note of what compiled code did with pages of ring 3's code."""
        if not self.fields[at.STALE // 8]:
            return
        with self._lock:
            lines = self._log[: self.fields[at.LOG_COUNT // 8]].tolist()
            self._set(at.LOG_COUNT, 0)
            self._set(at.STALE, 0)
            gone, others = [], []
            for line in lines:
                page = line & usercode.L_PAGE
                if line & usercode.L_WATCHED:
                    self._code_frames.setdefault(line >> usercode.L_FRAME, set()).add(page)
                elif line & usercode.L_GONE:
                    gone.append(page)
                else:
                    others.append(page)
            if gone or others:
                self.on_forget(gone, others)

    @property
    def code_frames(self) -> dict[int, set[int]]:
        """The linear pages that code came from, by frame."""
        self.take_log()
        return self._code_frames

    def _show_rows(self) -> None:
        """Let compiled code know where the rows are."""
        self._set(at.ROWS, self.code_rows.address)
        self._set(at.ROW_COUNT, len(self.code_rows))

    def frame_word(self, page: int) -> int:
        """Return what code of ring 3 in a page knows the page's frame by; 0: it has had none."""
        frame = self._words[page] & usercode.W_FRAME
        return frame and frame | usercode.ACTIVE | usercode.LISTED

    def bar(self, page: int, bit: int, *, is_barred: bool) -> None:
        """Say whether compiled code must not translate a page of ring 3 by itself, and why."""
        self._in_rows[page] = self._in_rows[page] & ~bit | (bit if is_barred else 0)

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
            shown = self.code_frames.pop(frame)
            pages |= shown
            for page in shown:
                self._words[page] &= ~usercode.ACTIVE & 0xFFFFFFFF
            if frame < len(self._code):
                self._code[frame] = 0
            self._empty_frame(frame)
        self._drop(pages)

    def _empty_frame(self, frame: int) -> None:
        """Empty the pages that show a frame read-only because of code, so that writes find it."""
        if self.fields[at.ON // 8]:
            if self._empty_shown(self.context_address, frame):
                raise MemoryError(_CROWDED)
            return
        for view, base in enumerate(self.bases):
            table = self.tables[view]
            for page in self._pages_of(frame, view):
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
        if self.view == USER and self.space:
            self._in_rows[page] |= usercode.IS_READ
            with self._lock:
                while not self._activate(self.context_address, page):
                    self.take_log()
            return
        frame = self.frame_of(page << PAGE_SHIFT, self._reading)
        if frame is not None:
            self._protect(frame)
            self.code_frames[frame].add(page)
            self._in_rows[page] |= usercode.HAS_ROW
            self.code_rows.put(int(self._row_now(self.context_address, page, 0)))
            self._show_rows()

    def is_watched(self, page: int) -> bool:
        """Say whether writes to a linear page are seen."""
        if self.view == USER and self.space:
            return bool(self._words[page] & usercode.ACTIVE)
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
