"""Guest code as the translator reads it: bytes of protected pages, flag look-ahead, plans.

Pages that code was read from are write-protected (memory.py), so what is cached here stays true
until `forget`.  A page that is written to again and again is opened: it stays writable, and blocks
made from it compare their bytes whenever they are entered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from runtime.memory import Memory
from translator.planner import WINDOW, Options, Peek, Plan, form, look
from translator.shape import ALL_FLAGS

PAGE_SHIFT, PAGE_SIZE = 12, 4096
LOCATION_PRECISE = 1 << 32  # in a location: precise floating-point mode
SMC_LIMIT = 8  # writes to a page with code after which it is opened
OPEN_INSNS = 16  # longest block of an open page
_LAST_PAGE = 0xFFFFF
_MAX_INSN = 15
_WRITES_MAX = 1 << 16  # pages whose writes are counted
UNKNOWN = Peek(ALL_FLAGS, False, 0, 0, [])


def _unknown(address: int) -> Peek:
    return UNKNOWN


class GuestCode:
    """Reads one guest's code. Not thread-safe: the engine holds its lock."""

    def __init__(self, mem: Memory, max_insns: int, recovers_flags: bool) -> None:
        self.mem, self.max_insns, self.recovers_flags = mem, max_insns, recovers_flags
        self.writes: Counter[int] = Counter()  # page -> times its code was overwritten
        self.open_pages = mem.open_pages
        self.pages: dict[int, bytes] = {}  # contents of write-protected pages
        self.peeks: dict[int, Peek] = {}  # address -> what `look` says

    def plan(self, location: int, fpu: int) -> Plan:
        """Plan the block at a location for an x87 stack."""
        pc = location & 0xFFFFFFFF
        is_open = pc >> PAGE_SHIFT in self.open_pages
        return self.plan_again(
            pc,
            Options(
                fpu,
                location >= LOCATION_PRECISE,
                is_open,
                OPEN_INSNS if is_open else self.max_insns,
                self.recovers_flags,
            ),
        )

    def plan_again(self, pc: int, options: Options) -> Plan:
        """Plan a block as before, with the options of its first plan."""
        # In precise mode any floating-point insn ahead may raise an exception and show all flags.
        peek = _unknown if options.precise else self.peek
        return form(pc, self.fetch(pc, WINDOW), options, peek)

    def fetch(self, address: int, size: int) -> bytes:
        """Return up to *size* bytes of code; fewer where executable memory ends."""
        page, offset = address >> PAGE_SHIFT, address & (PAGE_SIZE - 1)
        if page in self.open_pages:
            return self.mem.fetch(address, min(size, PAGE_SIZE - offset + _MAX_INSN))
        code = self.pages.get(page) or self.read_page(page)
        if offset + size <= PAGE_SIZE or len(code) < PAGE_SIZE:
            return code[offset : offset + size]
        following = page + 1 & _LAST_PAGE
        if following in self.open_pages:
            return code[offset:] + self.mem.fetch(following << PAGE_SHIFT, _MAX_INSN)
        more = self.pages.get(following) or self.read_page(following)
        return code[offset:] + more[: offset + size - PAGE_SIZE]

    def read_page(self, page: int) -> bytes:
        """Read a page of code after write-protecting it; b"" if it is not executable."""
        self.mem.watch(page)
        code = self.mem.fetch(page << PAGE_SHIFT, PAGE_SIZE)
        if self.mem.is_watched(page):
            self.pages[page] = code
        return code

    def peek(self, address: int) -> Peek:
        """Say what the code at an address reads or shows of the flags."""
        found = self.peeks.get(address)
        if found is None:
            found = look(address, self.fetch)
            if self.open_pages and any(self.is_open(*span) for span in found.spans):
                found = UNKNOWN
            self.peeks[address] = found
        return found

    def shows(self, address: int) -> bool:
        """Whether the code at an address shows flags by a fault only, which must be recovered."""
        return self.peek(address).is_shown

    def is_open(self, address: int, size: int) -> bool:
        """Whether a range lies in pages that may change at any time."""
        first, last = address >> PAGE_SHIFT, (address + size - 1) >> PAGE_SHIFT
        return any(page & _LAST_PAGE in self.open_pages for page in range(first, last + 1))

    def count_write(self, pages: Iterable[int]) -> None:
        """Note that the guest wrote to pages with code; open those that it does it to often."""
        for page in pages:
            self.writes[page] += 1
            if self.writes[page] > SMC_LIMIT:
                self.open_pages.add(page)

    def forget(self, pages: Iterable[int]) -> None:
        """Drop what is known of pages that changed."""
        for page in pages:
            self.pages.pop(page, None)
        self.peeks.clear()

    def trim(self) -> None:
        """Drop what can be read again."""
        self.pages.clear()
        self.peeks.clear()
        if len(self.writes) > _WRITES_MAX:
            self.writes.clear()

    def clear(self) -> None:
        """Drop everything."""
        for known in (self.writes, self.open_pages, self.pages, self.peeks):
            known.clear()
