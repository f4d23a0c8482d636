"""EMS 4.0: expanded memory in a page frame of 64 KiB at E000h.

The frame shows the pages themselves: one that is mapped twice is the same memory twice.
Source: Lotus, Intel and Microsoft Expanded Memory Specification, version 4.0, 1987.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runtime.firmware.call import Call
from runtime.personalities.dos.handles import IS_DEVICE, OpenFile
from runtime.personalities.dos.memory import linear
from runtime.system.segments import DS, ES

if TYPE_CHECKING:
    from runtime.personalities.dos.extended import ExtendedMemory
    from runtime.personalities.dos.kernel import Kernel

FRAME, PAGE, SLOTS = 0xE000, 0x4000, 4
_BAD_HANDLE, _BAD_FUNCTION, _NO_HANDLES, _HAS_CONTEXT = 0x83, 0x84, 0x85, 0x86
_TOO_MANY, _NO_PAGES, _ZERO, _BAD_LOGICAL, _BAD_PHYSICAL = 0x87, 0x88, 0x89, 0x8A, 0x8B
_CONTEXT_USED, _NO_CONTEXT, _BAD_SUBFUNCTION = 0x8D, 0x8E, 0x8F
_BEYOND, _TOO_LONG, _BAD_SEGMENT, _NAME_USED, _NO_NAME = 0x93, 0x96, 0x9C, 0xA1, 0xA0
_OVERLAPS, _BAD_MAP = 0x97, 0xA3
_IF = 0x200
_HANDLES = 255
_CALLS, _CALL_STACK = 256, 16  # calls by function 56h at a time; bytes of stack that each needs
_VCPI = 0xDE  # virtual control program interface, of drivers that run DOS in virtual-8086 mode
_LIMIT = 0x2000000  # bytes of all pages at most
_MIB = 1 << 20
Mapped = tuple[int, int] | None  # handle and logical page


class EmsError(Exception):
    """A function failed; AH gets this code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"EMS error {code:02X}h")
        self.code = code


@dataclass
class Handle:
    """Pages of a program."""

    pages: list[int]  # where they are
    name: bytes = bytes(8)
    saved: list[Mapped] | None = field(default=None)


class Device(OpenFile):
    """EMMXXXX0, by which programs know that there is a driver."""

    name = b"EMMXXXX0"
    info = IS_DEVICE | 0x4000


class Ems:
    """The driver."""

    def __init__(self, dos: Kernel, pool: ExtendedMemory) -> None:
        """Serve INT 67h."""
        self.dos, self.memory, self.pool = dos, dos.memory, pool
        self._ram = dos.machine.physical
        self.handles = {0: Handle([])}
        self.mapped: list[Mapped] = [None] * SLOTS
        self.total = min(pool.total(), _LIMIT) // PAGE
        self.used = 0
        callbacks = dos.machine.callbacks
        # The vector's segment begins like a device driver: its name is at 0Ah.
        segment = dos.arena.allocate(2, 8, b"EMM")
        place = callbacks.add(self._serve)
        jump = b"\xea" + struct.pack("<HH", place[1], place[0])
        header = struct.pack("<IHHH", 0xFFFFFFFF, 0xC000, 0x12, 0x12) + b"EMMXXXX0" + jump
        dos.memory.write(segment << 4, header)
        callbacks.set_vector(0x67, (segment, 0x12))
        dos.devices[b"EMMXXXX0"] = Device()
        # Function 56h goes on here: the caller's procedure, then the map that it wants behind that.
        self._calling = callbacks.add_code(self._enter, self._left, ends="iret")
        self._called: list[tuple[int, int, int, bytes]] = []  # target, handle, AL, old map

    def _serve(self, call: Call) -> None:
        """Do function AH: 0 or an error in AH."""
        found = _FUNCTIONS.get(call.ah)
        try:
            if found is None:
                if call.ah != _VCPI:  # extenders ask; without it they go to protected mode directly
                    self.dos.report.unsupported(f"EMS function {call.ah:02X}h")
                raise EmsError(_BAD_FUNCTION)
            found(self, call)
        except EmsError as error:
            call.ah = error.code
        else:
            call.ah = 0

    def handle(self, number: int) -> Handle:
        """Return the pages of a handle."""
        found = self.handles.get(number)
        if found is None:
            raise EmsError(_BAD_HANDLE)
        return found

    # -- pages -------------------------------------------------------------------------------------
    def _allot(self, count: int) -> list[int]:
        """Return places for pages."""
        if count > self.total:
            raise EmsError(_TOO_MANY)
        if count > self.total - self.used:
            raise EmsError(_NO_PAGES)
        places = self.pool.allocate_many(count, PAGE)
        if places is None:
            raise EmsError(_NO_PAGES)
        self.used += count
        return places

    def _give_back(self, places: Iterable[int]) -> None:
        for place in places:
            self.pool.free(place)
            self.used -= 1

    def place(self, mapped: tuple[int, int]) -> int:
        """Return where a logical page is kept."""
        return self.handles[mapped[0]].pages[mapped[1]]

    def map(self, slot: int, wanted: Mapped) -> None:
        """Let a page of the frame show a logical page, or nothing."""
        if self.mapped[slot] != wanted:
            self.mapped[slot] = wanted
            frame = (FRAME << 4) + slot * PAGE
            self._ram.show(frame, PAGE, frame if wanted is None else self.place(wanted))

    def map_checked(self, slot: int, logical: int, number: int) -> None:
        """Map a page that a program asks for; FFFFh: none."""
        handle = self.handle(number)
        if slot >= SLOTS:
            raise EmsError(_BAD_PHYSICAL)
        if logical == 0xFFFF:
            self.map(slot, None)
        elif logical >= len(handle.pages):
            raise EmsError(_BAD_LOGICAL)
        else:
            self.map(slot, (number, logical))

    # -- functions of EMS 3 ------------------------------------------------------------------------
    def status(self, call: Call) -> None:
        """Say that all is well."""

    def frame(self, call: Call) -> None:
        """BX = segment of the page frame."""
        call.bx = FRAME

    def count(self, call: Call) -> None:
        """BX, DX = pages free, pages in all."""
        call.bx, call.dx = self.total - self.used, self.total

    def allocate(self, call: Call) -> None:
        """DX = handle of BX pages."""
        if call.ah == 0x43 and not call.bx:
            raise EmsError(_ZERO)
        number = next((n for n in range(1, _HANDLES) if n not in self.handles), 0)
        if not number:
            raise EmsError(_NO_HANDLES)
        self.handles[number] = Handle(self._allot(call.bx))
        call.dx = number

    def map_page(self, call: Call) -> None:
        """Let page AL of the frame show page BX of handle DX."""
        self.map_checked(call.al, call.bx, call.dx)

    def free(self, call: Call) -> None:
        """Give the pages of handle DX back."""
        handle = self.handle(call.dx)
        if handle.saved is not None:
            raise EmsError(_HAS_CONTEXT)
        self._unmap(call.dx, 0)
        self._give_back(handle.pages)
        handle.pages = []
        if call.dx:
            del self.handles[call.dx]

    def _unmap(self, number: int, first: int) -> None:
        """Show no page of a handle from a logical one on."""
        for slot, held in enumerate(self.mapped):
            if held is not None and held[0] == number and held[1] >= first:
                self.map(slot, None)

    def version(self, call: Call) -> None:
        """AL = version."""
        call.al = 0x40

    def save(self, call: Call) -> None:
        """Keep what the frame shows under handle DX."""
        handle = self.handle(call.dx)
        if handle.saved is not None:
            raise EmsError(_CONTEXT_USED)
        handle.saved = list(self.mapped)

    def restore(self, call: Call) -> None:
        """Show what was kept under handle DX."""
        handle = self.handle(call.dx)
        if handle.saved is None:
            raise EmsError(_NO_CONTEXT)
        saved, handle.saved = handle.saved, None
        self._show(saved)

    def _show(self, wanted: list[Mapped]) -> None:
        for slot, mapped in enumerate(wanted):
            known = mapped is not None and mapped[0] in self.handles
            if mapped is not None and known and mapped[1] < len(self.handles[mapped[0]].pages):
                self.map(slot, mapped)
            else:
                self.map(slot, None)

    def handle_count(self, call: Call) -> None:
        """BX = handles in use."""
        call.bx = len(self.handles)

    def page_count(self, call: Call) -> None:
        """BX = pages of handle DX."""
        call.bx = len(self.handle(call.dx).pages)

    def all_pages(self, call: Call) -> None:
        """Put handles and their pages to ES:DI; BX = how many."""
        rows = b"".join(struct.pack("<HH", n, len(h.pages)) for n, h in self.handles.items())
        self.memory.copy_to(call.es, call.di, rows)
        call.bx = len(self.handles)

    # -- maps --------------------------------------------------------------------------------------
    def _encoded(self) -> bytes:
        words = [(0xFFFF, 0) if held is None else held for held in self.mapped]
        return b"".join(struct.pack("<HH", *pair) for pair in words)

    def _decoded(self, data: bytes) -> list[Mapped]:
        pairs = list(struct.iter_unpack("<HH", data[: 4 * SLOTS]))
        return [None if number == 0xFFFF else (number, logical) for number, logical in pairs]

    def page_map(self, call: Call) -> None:
        """AL=0: put the map to ES:DI; 1: take it from DS:SI; 2: both; 3: AL = its size."""
        if call.al > 3:
            raise EmsError(_BAD_SUBFUNCTION)
        new = call.read(call.linear(DS, call.si), 4 * SLOTS) if call.al in (1, 2) else b""
        if call.al in (0, 2):
            call.write(call.linear(ES, call.di), self._encoded())
        if call.al in (1, 2):
            self._show(self._decoded(new))
        if call.al == 3:
            call.al = 4 * SLOTS

    def partial_map(self, call: Call) -> None:
        """AL=0: put the map of segments at DS:SI to ES:DI; 1: restore; 2: AL = its size."""
        if call.al == 0:
            at = call.linear(DS, call.si)
            count = call.load(at, 16)
            slots = [_slot_of(call.load(at + 2 + 2 * i, 16)) for i in range(min(count, SLOTS))]
            rows = struct.pack("<H", len(slots))
            for slot in slots:
                held = self.mapped[slot]
                rows += struct.pack("<HHH", slot, *((0xFFFF, 0) if held is None else held))
            call.write(call.linear(ES, call.di), rows)
        elif call.al == 1:
            at = call.linear(DS, call.si)
            for i in range(min(call.load(at, 16), SLOTS)):
                slot, number, logical = struct.unpack("<HHH", call.read(at + 2 + 6 * i, 6))
                if slot >= SLOTS:
                    raise EmsError(_BAD_MAP)
                wanted = list(self.mapped)
                wanted[slot] = None if number == 0xFFFF else (number, logical)
                self._show(wanted)
        elif call.al == 2:
            if call.bx > SLOTS:
                raise EmsError(_BAD_PHYSICAL)
            call.al = 2 + 6 * call.bx
        else:
            raise EmsError(_BAD_SUBFUNCTION)

    def map_many(self, call: Call) -> None:
        """Map CX pages of handle DX as the pairs at DS:SI say: by number (AL=0) or segment (1)."""
        if call.al > 1:
            raise EmsError(_BAD_SUBFUNCTION)
        self._map_pairs(call.dx, call.al, call.read(call.linear(DS, call.si), 4 * call.cx))

    def _map_pairs(self, number: int, kind: int, pairs: bytes) -> None:
        """Map pages of a handle: pairs of a logical page, and a number (0) or segment (1)."""
        for logical, physical in struct.iter_unpack("<HH", pairs):
            self.map_checked(_slot_of(physical) if kind else physical, logical, number)

    def jump(self, call: Call) -> None:
        """Map pages of handle DX as the structure at DS:SI says, and go on where it says."""
        if call.al > 1:
            raise EmsError(_BAD_SUBFUNCTION)
        target, count, far = struct.unpack("<IBI", call.read(call.linear(DS, call.si), 9))
        self._map_pairs(call.dx, call.al, self._far(far, 4 * count))
        flags, call.ah = call.flags, 0
        call.sp = call.sp + 6 & 0xFFFF  # the frame of this interrupt
        call.has_frame, call.flags = False, flags
        self.dos.machine.callbacks.jump(target >> 16, target & 0xFFFF)

    def call(self, call: Call) -> None:
        """Do the same for a procedure, and map other pages when it returns; AL=2: BX = stack."""
        if call.al == 2:
            call.bx = _CALL_STACK
            return
        if call.al > 1:
            raise EmsError(_BAD_SUBFUNCTION)
        data = call.read(call.linear(DS, call.si), 14)
        target, count, far, old_count, old_far = struct.unpack("<IBIBI", data)
        old = self._far(old_far, 4 * old_count)
        self._map_pairs(call.dx, call.al, self._far(far, 4 * count))
        if len(self._called) >= _CALLS:
            raise EmsError(_BAD_FUNCTION)
        self._called.append((target, call.dx, call.al, old))
        self.dos.machine.callbacks.jump(*self._calling)

    def _far(self, far: int, size: int) -> bytes:
        return self.memory.copy_from(far >> 16, far & 0xFFFF, size)

    def _enter(self, call: Call) -> None:
        """Call the procedure that function 56h was asked to call."""
        target = self._called[-1][0] if self._called else 0
        call.cpu.eflags |= call.flags & _IF
        self.dos.machine.callbacks.far_call(target >> 16, target & 0xFFFF)

    def _left(self, call: Call) -> None:
        """Map what the caller wants to find."""
        call.ah = 0
        if self._called:
            _, number, kind, old = self._called.pop()
            try:
                self._map_pairs(number, kind, old)
            except EmsError as error:
                call.ah = error.code

    def reallocate(self, call: Call) -> None:
        """Let handle DX have BX pages."""
        handle, count = self.handle(call.dx), call.bx
        if count < len(handle.pages):
            self._unmap(call.dx, count)
            self._give_back(handle.pages[count:])
            del handle.pages[count:]
        else:
            handle.pages += self._allot(count - len(handle.pages))

    def attribute(self, call: Call) -> None:
        """AL=0: AL = volatile; 2: only volatile ones are possible."""
        if call.al == 0:
            self.handle(call.dx)
            call.al = 0
        elif call.al == 2:
            call.al = 0
        else:
            raise EmsError(0x91)

    def name(self, call: Call) -> None:
        """AL=0: put the name of handle DX to ES:DI; 1: take it from DS:SI."""
        handle = self.handle(call.dx)
        if call.al == 0:
            call.write(call.linear(ES, call.di), handle.name)
        elif call.al == 1:
            name = call.read(call.linear(DS, call.si), 8)
            if any(name) and any(h.name == name for h in self.handles.values() if h is not handle):
                raise EmsError(_NAME_USED)
            handle.name = name
        else:
            raise EmsError(_BAD_SUBFUNCTION)

    def directory(self, call: Call) -> None:
        """AL=0: put handles and names to ES:DI; 1: DX = handle of a name; 2: BX = handles."""
        if call.al == 0:
            rows = b"".join(struct.pack("<H", n) + h.name for n, h in self.handles.items())
            call.write(call.linear(ES, call.di), rows)
            call.al = len(self.handles)
        elif call.al == 1:
            wanted = call.read(call.linear(DS, call.si), 8)
            found = [n for n, h in self.handles.items() if h.name == wanted and any(wanted)]
            if not found:
                raise EmsError(_NO_NAME)
            call.dx = found[0]
        elif call.al == 2:
            call.bx = _HANDLES
        else:
            raise EmsError(_BAD_SUBFUNCTION)

    # -- moving ------------------------------------------------------------------------------------
    def move(self, call: Call) -> None:
        """Copy (AL=0) or exchange (1) as the structure at DS:SI says."""
        if call.al > 1:
            raise EmsError(_BAD_SUBFUNCTION)
        data = call.read(call.linear(DS, call.si), 18)
        (length,) = struct.unpack_from("<I", data)
        if length > _MIB:
            raise EmsError(_TOO_LONG)
        source = self._parts(data[4:11], length)
        target = self._parts(data[11:18], length)
        text = b"".join(self.memory.read(at, size) for at, size in source)
        if call.al:
            other = b"".join(self.memory.read(at, size) for at, size in target)
            self._scatter(source, other)
        self._scatter(target, text)

    def _parts(self, data: bytes, length: int) -> list[tuple[int, int]]:
        """Return address and size of the parts that a region consists of."""
        kind, number, offset, page = struct.unpack("<BHHH", data)
        if kind == 0:
            return [(linear(page, offset), length)]
        handle = self.handle(number)
        found = []
        at = page * PAGE + offset
        while length:
            logical, within = divmod(at, PAGE)
            if logical >= len(handle.pages):
                raise EmsError(_BEYOND)
            size = min(PAGE - within, length)
            found.append((handle.pages[logical] + within, size))
            at, length = at + size, length - size
        return found

    def _scatter(self, parts: list[tuple[int, int]], data: bytes) -> None:
        for at, size in parts:
            self.memory.write(at, data[:size])
            data = data[size:]

    def physical(self, call: Call) -> None:
        """AL=0: put segments and numbers of the frame's pages to ES:DI; CX = how many."""
        if call.al == 0:
            rows = (struct.pack("<HH", FRAME + i * (PAGE >> 4), i) for i in range(SLOTS))
            call.write(call.linear(ES, call.di), b"".join(rows))
        elif call.al != 1:
            raise EmsError(_BAD_SUBFUNCTION)
        call.cx = SLOTS

    def hardware(self, call: Call) -> None:
        """AL=1: BX, DX = raw pages free and in all, of 16 KiB as others."""
        if call.al != 1:
            raise EmsError(_BAD_SUBFUNCTION)
        self.count(call)


def _slot_of(segment: int) -> int:
    slot, rest = divmod(segment - FRAME, PAGE >> 4)
    if rest or not 0 <= slot < SLOTS:
        raise EmsError(_BAD_PHYSICAL)
    return slot


_FUNCTIONS: dict[int, Callable[[Ems, Call], None]] = {
    0x40: Ems.status,
    0x41: Ems.frame,
    0x42: Ems.count,
    0x43: Ems.allocate,
    0x44: Ems.map_page,
    0x45: Ems.free,
    0x46: Ems.version,
    0x47: Ems.save,
    0x48: Ems.restore,
    0x4B: Ems.handle_count,
    0x4C: Ems.page_count,
    0x4D: Ems.all_pages,
    0x4E: Ems.page_map,
    0x4F: Ems.partial_map,
    0x50: Ems.map_many,
    0x51: Ems.reallocate,
    0x52: Ems.attribute,
    0x53: Ems.name,
    0x54: Ems.directory,
    0x55: Ems.jump,
    0x56: Ems.call,
    0x57: Ems.move,
    0x58: Ems.physical,
    0x59: Ems.hardware,
    0x5A: Ems.allocate,
}
