"""Python functions that guest code calls: as interrupt handlers or by far calls.

Each is a stub in the ROM at F000h: an undefined insn (ud2), which takes the processor out of guest
code in every tier with exact state, and behind it iret or retf.  So the function runs between two
insns; what it raises comes out of `Processor.run`.  It does not depend on what the guest does with
ports: in virtual-8086 mode under a monitor it works as in real mode.  The same bytes elsewhere are
what they are on hardware.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from runtime.firmware.call import Call
from runtime.system import descriptors, segments
from runtime.system.linear import USER
from runtime.system.physical import PAGE
from runtime.system.segments import CS
from translator.faults import GuestFault
from translator.mode import Model
from translator.quick import paging as at
from translator.state import FIELDS

if TYPE_CHECKING:
    from runtime.bus import Bus
    from runtime.system.processor import Processor

_CR0 = FIELDS["cr0"].offset // 4
SEGMENT = 0xF000
ROM, ROM_SIZE = SEGMENT << 4, 0x10000
FIRST, END = 0x0100, 0xE000  # offsets that are given out; the rest has its fixed places
_TRAP = b"\x0f\x0b"  # ud2
_ENDS = {"iret": b"\xcf", "retf": b"\xcb", "retf 2": b"\xca\2\0", "": b""}
_WAIT = b"\xfb\xf4\xeb"  # sti; hlt; jmp short
_INTERRUPT = b"\xcd%c\xc3"  # int n; ret


class Result(Enum):
    """What a function may return instead of None."""

    WAIT = "wait"  # let the guest's interrupts happen, then call the function again


WAIT = Result.WAIT
Function = Callable[[Call], Result | None]


class _Stub:
    __slots__ = ("behind", "function", "has_frame", "wait")

    def __init__(self, function: Function, behind: int, wait: int, *, has_frame: bool) -> None:
        self.function, self.behind, self.wait = function, behind, wait
        self.has_frame = has_frame


class Callbacks:
    """The functions of one machine, and the ROM that their stubs are in."""

    def __init__(self, bus: Bus, processor: Processor) -> None:
        """Begin with an empty ROM of 64 KiB at F0000h."""
        if processor.model == Model.I8086:
            raise ValueError("the built-in firmware needs an 80286 or later")
        self.physical, self.processor = bus.physical, processor
        self.call = Call(processor)
        self.on_call: Callable[[], None] = lambda: None  # before each function
        self._stubs: dict[int, _Stub] = {}  # by linear address of the ud2
        self._calls: dict[int, int] = {}  # vector -> offset of `int vector; ret`
        self._cleanups: dict[int, int] = {}  # bytes -> offset of `add sp, bytes; ret`
        self._next = FIRST
        self.physical.set_rom(ROM, ROM_SIZE)
        processor.on_undefined = self._undefined

    # -- contents of the ROM -----------------------------------------------------------------------
    def add(
        self, function: Function, ends: str = "iret", *, at: int | None = None
    ) -> tuple[int, int]:
        """Make a stub that calls a function and returns; return its segment and offset.

        *ends*: "iret", "retf", "retf 2" or "", which goes on at what is placed behind it.  *at*: an
        offset in the ROM, for entry points whose place is known to the world.
        """
        return self.add_code(function, ends=ends, at=at)

    def add_code(
        self, *parts: Function | bytes, ends: str = "iret", at: int | None = None
    ) -> tuple[int, int]:
        """Make a stub of several functions with code between them, executed in order."""
        body = b"".join(p if isinstance(p, bytes) else _TRAP for p in parts) + _ENDS[ends]
        tails = sum(not isinstance(p, bytes) for p in parts) * (len(_WAIT) + 1)
        start = self._allot(len(body) + tails) if at is None else at
        tail = self._allot(tails) if at is not None else start + len(body)
        offset, waits = start, b""
        for part in parts:
            if isinstance(part, bytes):
                offset += len(part)
                continue
            wait = tail + len(waits)
            waits += self._jump_back(wait, offset)
            behind = offset + len(_TRAP)
            has_frame = ends == "iret"
            self._stubs[ROM + offset] = _Stub(part, behind, wait, has_frame=has_frame)
            offset = behind
        self.put(start, body)
        self.put(tail, waits)
        return SEGMENT, start

    def _jump_back(self, wait: int, offset: int) -> bytes:
        """Return `sti; hlt; jmp offset` for a place."""
        distance = offset - (wait + len(_WAIT) + 1)
        if not -128 <= distance < 128:  # a fixed place: through a jump of full size
            near = self._allot(3)
            self.put(near, b"\xe9" + (offset - near - 3 & 0xFFFF).to_bytes(2, "little"))
            distance = near - (wait + len(_WAIT) + 1)
        return _WAIT + (distance & 0xFF).to_bytes(1, "little")

    def _allot(self, size: int) -> int:
        if self._next + size > END:
            raise ValueError("the ROM is full")
        self._next += size
        return self._next - size

    def place(self, data: bytes, align: int = 1) -> tuple[int, int]:
        """Put a table into the ROM; return its segment and offset."""
        self._next += -self._next % align
        offset = self._allot(len(data))
        self.put(offset, data)
        return SEGMENT, offset

    def put(self, offset: int, data: bytes) -> None:
        """Put bytes at a fixed place of the ROM."""
        if not 0 <= offset <= offset + len(data) <= ROM_SIZE:
            raise ValueError("beyond the ROM")
        self.physical.write(ROM + offset, data)

    def set_vector(self, vector: int, place: tuple[int, int]) -> None:
        """Let an interrupt vector of real mode point to a place (segment, offset)."""
        segment, offset = place
        self.physical.write(4 * vector, (segment << 16 | offset).to_bytes(4, "little"))

    # -- what functions may do ---------------------------------------------------------------------
    def interrupt(self, vector: int) -> None:
        """Let the guest execute `int vector` when the function has returned, then go on behind it.

        To be called once, by the running function, as its last act.
        """
        offset = self._calls.get(vector)
        if offset is None:
            offset = self._calls[vector] = self.place(_INTERRUPT % vector)[1]
        cpu = self.processor.cpu
        self.call.push(cpu.eip)
        cpu.eip = ROM + offset - segments.segment(cpu, CS)[1] & 0xFFFFFFFF

    def far_call(self, segment: int, offset: int, *arguments: int) -> None:
        """Let the guest call a far procedure when the function has returned, then go on behind it.

        *arguments* are words on the stack, the first one deepest, which are taken off again.  To be
        called once, as the last act.
        """
        cpu, size = self.processor.cpu, 2 * len(arguments)
        back = self._cleanups.get(size)
        if back is None:  # add sp, size; ret
            code = b"\x83\xc4" + bytes([size]) + b"\xc3"
            back = self._cleanups[size] = self.place(code)[1]
        self.call.push(cpu.eip)
        for value in arguments:
            self.call.push(value)
        self.call.push(SEGMENT)
        self.call.push(back)
        self.jump(segment, offset)

    def jump(self, segment: int, offset: int) -> None:
        """Let the guest go on at another place of real mode when the function has returned."""
        cpu = self.processor.cpu
        descriptors.load_paragraph(cpu, CS, segment & 0xFFFF)
        cpu.eip = offset & 0xFFFF

    def serves(self, segment: int, offset: int) -> bool:
        """Whether a function and an iret are all that a far pointer of real mode leads to."""
        stub = self._stubs.get(ROM + offset) if segment == SEGMENT else None
        return stub is not None and self.physical.view[ROM + stub.behind] == _ENDS["iret"][0]

    def serve_at_once(self) -> bool:
        """Do what the guest in real mode does next, at such a pointer, but for the iret.

        False if something else comes now than the iret.
        """
        cpu = self.processor.cpu
        behind = cpu.eip + len(_TRAP)
        self._undefined()
        return bool(cpu.cs == SEGMENT and cpu.eip == behind)

    # -- called by the processor -------------------------------------------------------------------
    def _undefined(self) -> bool:
        """Call the function of the stub at CS:EIP; False if there is none."""
        processor, cpu = self.processor, self.processor.cpu
        start = cpu.eip
        stub = self._stub_at(segments.segment(cpu, CS)[1] + start & 0xFFFFFFFF)
        if stub is None:
            return False
        self.on_call()
        self.call.has_frame = stub.has_frame
        behind = stub.behind
        cpu.eip = start + 2
        try:
            if stub.function(self.call) is WAIT:
                cpu.eip = start + stub.wait - behind + 2
        except GuestFault as fault:
            cpu.eip = start
            processor.fault(fault.vector, fault.error, fault.address)
        return True

    def _stub_at(self, address: int) -> _Stub | None:
        """Return the stub at a linear address, or, for ring 0, what is mapped there."""
        stub, memory = self._stubs.get(address), self.call.memory
        if stub is not None or memory.view == USER or not self.processor.cpu.r32[_CR0] >> 31:
            return stub
        try:
            frame = memory.walk(address, at.A_FETCH) >> 8
        except GuestFault:
            return None
        return self._stubs.get(frame * PAGE | address % PAGE)
