"""Guest code as the translator reads it: bytes of protected pages, flag look-ahead, plans.

Pages that code was read from are write-protected (memory.py), so what is cached here stays true
until `forget`.  A page that is written to every few insns is opened: it stays writable, and blocks
made from it compare their bytes whenever they are entered.  What counts is guest insns, not time,
so that the same run does the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from runtime.cpu import Cpu
from runtime.memory import EXEC, Memory
from translator.hooks import Marks
from translator.mode import CONTEXT_SHIFT as CONTEXT_SHIFT
from translator.mode import USER_CONTEXT, Context, context_of
from translator.planner import (
    TOLD_INSNS,
    TOLD_WINDOW,
    WINDOW,
    Options,
    Peek,
    Plan,
    form,
    look,
)
from translator.shape import ALL_FLAGS

PAGE_SHIFT, PAGE_SIZE = 12, 4096
# A location is the offset of code in CS, and:
LOCATION_PRECISE = 1 << 32  # precise floating-point mode
# ... and from bit CONTEXT_SHIFT up the number of the context (translator/mode.py).
_LINEAR = 0xFFFFFFFF
SMC_LIMIT = 8  # writes to a page with code, or changes of code that is compared, to judge from
# Insns between two writes from which on protecting a page is cheaper than comparing: a write that
# faults, and the code that is translated again, take 100 µs; compared code takes twice its time.
RARE = 200_000
RARE_MIN = 64
OPEN_INSNS = 16  # longest block of an open page
PATCHED_AMONG = 16  # blocks of a page in which code that is patched again and again is a small part
_LAST_PAGE = 0xFFFFF
_MAX_INSN = 15
_WRITES_MAX = 1 << 16  # pages whose writes are counted
_FEW = 16  # pages; a larger range is no write to code, but a new program
_PLANS_MAX = 64  # plans that are kept for those who want them again
UNKNOWN = Peek(ALL_FLAGS, False, 0, 0, [])


def _unknown(address: int) -> Peek:
    return UNKNOWN


@dataclass(slots=True)
class Writes:
    """What is known of the writes to one page with code."""

    rare: int = RARE  # insns between two writes that make it cheaper to protect the page
    level: int = 0  # of a bucket: each write fills in `rare`, each insn that runs drains one
    changes: int = 0  # of its code, while it is open
    places: set[int] = field(default_factory=set)  # where
    since: int = 0  # insns that ran while it is open
    hot: int = 0  # times that it was found hot, while it is open
    patience: int = 1  # such times until it is protected again
    cpu: int = 0  # the writer's state
    left: int = 0  # and its budget then

    def count_anew(self) -> None:
        """Forget the changes of code."""
        self.changes = self.since = 0
        self.places.clear()

    def passed(self, cpu: Cpu | None) -> int:
        """Return the insns since the last write; 0 if another thread did that."""
        writer, left = (0, 0) if cpu is None else (cpu.state_address, cpu.budget)
        passed = max(self.left - left, 0) if writer == self.cpu else 0
        self.cpu, self.left = writer, left
        return passed


class GuestCode:
    """Reads one guest's code. Not thread-safe: the engine holds its lock."""

    def __init__(self, mem: Memory, max_insns: int, recovers_flags: bool) -> None:
        self.mem, self.max_insns, self.recovers_flags = mem, max_insns, recovers_flags
        self.rare = RARE  # `Writes.rare` of pages that are written to from now on
        self.marks: Marks | None = None  # where hooks want to be called (runtime/embed)
        self.writes: dict[int, Writes] = {}  # by page
        self.open_pages = mem.open_pages
        self.pages: dict[int, bytes] = {}  # contents of write-protected pages
        self.peeks: dict[int, Peek] = {}  # address -> what `look` says
        self.peeks_in: dict[int, set[int]] = {}  # page -> those that depend on it
        self.plans: dict[tuple[int, Options], Plan] = {}  # recent ones, of protected pages

    @property
    def longest(self) -> int:
        """Insns of the longest block."""
        is_told = self.marks is not None and self.marks.counts_blocks
        return TOLD_INSNS if is_told else self.max_insns

    def plan(self, location: int, fpu: int) -> Plan:
        """Plan the block at a location for an x87 stack."""
        pc = location & 0xFFFFFFFF
        context = context_of(location >> CONTEXT_SHIFT)
        # Of the page behind, too: a store in this one can change what the block holds of that one.
        is_open = bool(self.open_pages) and self.is_open(context.cs_base + pc & _LINEAR, WINDOW)
        return self.plan_again(
            pc,
            Options(
                fpu,
                bool(location & LOCATION_PRECISE),
                is_open,
                OPEN_INSNS if is_open else self.longest,
                self.recovers_flags,
                context,
            ),
        )

    def plan_node(self, pc: int, fpu: int, most: int, context: Context) -> Plan | None:
        """Plan a block of at most so many insns for a region; None where there can be none."""
        options = Options(
            fpu,
            max_insns=min(most, self.longest),
            recovers=self.recovers_flags,
            context=context,
        )
        if not self.open_pages or not self.is_open(context.linear(pc), WINDOW):
            return self.plan_again(pc, options)
        if not self.mem.is_alone(context):
            plan = self.plan_again(pc, options)
            return None if self.is_open(plan.linear, plan.end - pc) else plan
        # As `plan` has it: the region grows along the blocks that are there.
        most = min(options.max_insns, OPEN_INSNS)
        return self.plan_again(pc, options._replace(ends_at_store=True, max_insns=most))

    def plan_again(self, pc: int, options: Options) -> Plan:
        """Plan a block as before, with the options of its first plan."""
        # In precise mode any floating-point insn ahead may raise an exception and show all flags.
        context = options.context
        size = TOLD_WINDOW if options.max_insns == TOLD_INSNS else WINDOW
        if not context.number:
            peek = _unknown if options.precise else self.peek
            return form(pc, self.fetch(pc, size), options, peek, self.marks)
        peek = _unknown if options.precise else partial(self.peek, context=context)
        return form(pc, self.fetch_in(context, pc, size), options, peek, self.marks)

    def plan_known(self, pc: int, options: Options) -> Plan:
        """Plan a block as before, for those who look only, and again and again."""
        plan = self.plans.get((pc, options))
        if plan is None:
            plan = self.plan_again(pc, options)
            if not self.is_open(plan.linear, max(plan.end - pc, 1)):
                if len(self.plans) >= _PLANS_MAX:
                    self.plans.clear()
                self.plans[pc, options] = plan
        return plan

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

    def fetch_in(self, context: Context, offset: int, size: int) -> bytes:
        """Return up to *size* bytes at an offset in CS; fewer where its segment ends."""
        return fetch_in(context, offset, size, self.fetch)

    def read_page(self, page: int) -> bytes:
        """Read a page of code after write-protecting it; b"" if it is not executable."""
        self.mem.watch(page)
        self._forget_peeks(page)  # which could not read it
        code = self.mem.fetch(page << PAGE_SHIFT, PAGE_SIZE)
        if self.mem.is_watched(page):
            self.pages[page] = code
        return code

    def peek(self, address: int, context: Context = USER_CONTEXT) -> Peek:
        """Say what the code at an address reads or shows of the flags."""
        place = address | context.number << CONTEXT_SHIFT
        found = self.peeks.get(place)
        if found is None:
            if context.number:
                found = look(address, partial(self.fetch_in, context), context)
            else:
                found = look(address, self.fetch)
            for page in {page for span in found.spans for page in pages_of_span(*span)}:
                self.peeks_in.setdefault(page, set()).add(place)
            if self.open_pages and any(self.is_open(*span) for span in found.spans):
                found = UNKNOWN
            if self.marks is not None and any(
                self.marks.shows(at, at + size - 1) for at, size in found.spans
            ):
                found = UNKNOWN
            self.peeks[place] = found
        return found

    def _forget_peeks(self, page: int) -> None:
        for place in self.peeks_in.pop(page, ()):
            self.peeks.pop(place, None)

    def shows(self, address: int, context: Context = USER_CONTEXT) -> bool:
        """Whether the code at an address shows flags by a fault only, which must be recovered."""
        return self.peek(address, context).is_shown

    def is_open(self, address: int, size: int) -> bool:
        """Whether a range lies in pages that may change at any time."""
        first, last = address >> PAGE_SHIFT, (address + size - 1) >> PAGE_SHIFT
        return any(page & _LAST_PAGE in self.open_pages for page in range(first, last + 1))

    def is_marked(self, page: int) -> bool:
        """Whether hooks want to be called in a page."""
        first = page << PAGE_SHIFT
        return self.marks is not None and self.marks.touch(first, first + PAGE_SIZE - 1)

    def count_writes(self, pages: range, cpu: Cpu | None) -> None:
        """Note that a thread wrote to pages with code; open those where it does so often."""
        for page in pages if len(pages) <= _FEW else [p for p in self.writes if p in pages]:
            if not (self.mem.prot_at(page << PAGE_SHIFT) or 0) & EXEC:
                # Unmapped, or writable for a while only: what is run here next is another life.
                self.open_pages.discard(page)
                self.writes.pop(page, None)
                continue
            writes = self.writes.setdefault(page, Writes(self.rare))
            writes.level = max(writes.level - writes.passed(cpu), 0) + writes.rare
            if writes.level > SMC_LIMIT * writes.rare and page not in self.open_pages:
                writes.hot = 0
                writes.count_anew()
                self.open_pages.add(page)

    def count_change(self, address: int, cpu: Cpu | None, blocks: Callable[[], int]) -> bool:
        """Note that code of an open page had changed; say whether to protect the page again.

        It is opened for writes that change no code, or not what is run.  Where they do, a block
        that is compared is translated as often as one that is protected, and with more effort.
        But a write to a protected page costs all of its *blocks*: where a few of many are patched
        again and again, as in GRUB's ways to real mode and back, it stays open.
        """
        page = address >> PAGE_SHIFT
        writes = self._closable(page)
        if writes is None:
            return False
        writes.since += writes.passed(cpu)
        writes.changes += 1
        writes.places.add(address)
        if writes.changes < SMC_LIMIT:
            return False
        if 2 * len(writes.places) <= writes.changes and blocks() > PATCHED_AMONG:
            writes.count_anew()
            return False
        writes.rare = max(min(writes.rare, writes.since // writes.changes), RARE_MIN)
        self.close(page)
        return True

    def is_calm(self, page: int) -> bool:
        """Say whether to protect an open page whose code is found hot.

        Nobody knows what is written there: each time it takes twice as often until the next.
        """
        writes = self._closable(page)
        if writes is None:
            return False
        writes.hot += 1
        if writes.hot < writes.patience:
            return False
        writes.hot, writes.patience = 0, 2 * writes.patience
        self.close(page)
        return True

    def _closable(self, page: int) -> Writes | None:
        """Return the writes to an open page that may be protected again.

        Shared memory stays open: what changes it next may be no access of ours.
        """
        if page not in self.open_pages or self.mem.is_shared(page << PAGE_SHIFT):
            return None
        return self.writes.get(page)

    def close(self, page: int) -> None:
        """Let a page be protected again; the caller drops its blocks."""
        self.open_pages.discard(page)
        self.writes[page].level = 0

    def forget(self, pages: Iterable[int]) -> None:
        """Drop what is known of pages that changed."""
        changed = set(pages)
        for page in changed:
            self.pages.pop(page, None)
            self._forget_peeks(page)
        for key, plan in list(self.plans.items()):
            if not changed.isdisjoint(pages_of(plan)):
                del self.plans[key]

    def trim(self) -> None:
        """Drop what can be read again."""
        self.pages.clear()
        self.peeks.clear()
        self.peeks_in.clear()
        self.plans.clear()
        if len(self.writes) > _WRITES_MAX:
            self.writes.clear()

    def clear(self) -> None:
        """Drop everything."""
        self.trim()
        self.writes.clear()
        self.open_pages.clear()


def fetch_in(context: Context, offset: int, size: int, fetch: Callable[[int, int], bytes]) -> bytes:
    """Return up to *size* bytes at an offset in CS, of what *fetch* reads at linear addresses."""
    if context.mode.wraps:
        first = min(size, 0x10000 - offset)
        code = fetch(context.linear(offset), first)
        if len(code) == first < size:
            code += fetch(context.linear(0), size - first)
        return code
    room = context.cs_limit - offset + 1
    return fetch(context.linear(offset), min(size, room)) if room > 0 else b""


def pages_of(plan: Plan) -> set[int]:
    """Return the numbers of the pages that a plan depends on."""
    return {page for span in plan.looked_at for page in pages_of_span(*span)}


def pages_of_span(address: int, size: int) -> Iterable[int]:
    """Return the numbers of the pages of a linear range."""
    last = address + max(size, 1) - 1 >> PAGE_SHIFT
    return (page & _LAST_PAGE for page in range(address >> PAGE_SHIFT, last + 1))
