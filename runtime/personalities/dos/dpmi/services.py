"""INT 31h: what a client of DPMI has, and the way to its functions (functions.py).

Source: DOS Protected Mode Interface (DPMI) Specification, version 0.9, DPMI Committee, 1990.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from runtime.firmware.call import Call
from runtime.personalities.dos.dpmi import descriptors as at
from runtime.personalities.dos.dpmi.descriptors import Segment
from runtime.personalities.dos.dpmi.switch import STRUCTURE
from runtime.personalities.dos.dpmi.switch import decode as decode_registers
from runtime.personalities.dos.dpmi.switch import encode as encode_registers
from runtime.system.segments import CS, DS, ES, FS, GS, SS, segment

if TYPE_CHECKING:
    from runtime.personalities.dos.dpmi.host import Host

UNSUPPORTED, NO_DESCRIPTORS, NO_MEMORY, BAD_VALUE, BAD_SELECTOR = (
    0x8001, 0x8011, 0x8013, 0x8021, 0x8022,
)  # fmt: skip
BAD_HANDLE, NO_CALLBACKS, BAD_CALLBACK = 0x8023, 0x8015, 0x8024
_CALLBACKS = 16
# Functions of DPMI 1.0 and of makers of hosts that start-up codes try, to do without: exceptions
# with more registers, attributes of pages, "MS-DOS".
_OPTIONAL = frozenset((0x0210, 0x0211, 0x0212, 0x0213, 0x0504, 0x0506, 0x0507, 0x0508, 0x0A00))


class DpmiError(Exception):
    """A function failed; the client gets CF and this number in AX."""

    def __init__(self, code: int) -> None:
        super().__init__(f"DPMI error {code:04X}h")
        self.code = code


Service = Callable[["Services", Call], None]
FUNCTIONS: dict[int, Service] = {}


def service(*numbers: int) -> Callable[[Service], Service]:
    """Let a function serve some functions of INT 31h (AX)."""

    def add(function: Service) -> Service:
        FUNCTIONS.update(dict.fromkeys(numbers, function))
        return function

    return add


class Held(NamedTuple):
    """What a client has."""

    is_wide: bool
    interrupts: dict[int, tuple[int, int]]
    exceptions: dict[int, tuple[int, int]]
    blocks: dict[int, int]
    dos_blocks: dict[int, tuple[int, int]]
    aliases: dict[int, int]
    selectors: bytes  # which were used before it came
    callbacks: list[bool]  # the same


class Services:
    """What the client of a host has; one that runs another one has it again afterwards.

    Selectors and callbacks are of one table for all.
    """

    def __init__(self, host: Host) -> None:
        """Wait for a client."""
        from runtime.personalities.dos.dpmi import functions

        _ = functions  # they enter themselves
        self.host = host
        self.tables, self.switch, self.pool = host.tables, host.switch, host.pool
        self.memory, self.callbacks = host.dos.memory, host.machine.callbacks
        self.is_wide = False
        self.interrupts: dict[int, tuple[int, int]] = {}
        self.exceptions: dict[int, tuple[int, int]] = {}
        self.blocks: dict[int, int] = {}  # of extended memory: handle, which is its start -> size
        self.dos_blocks: dict[int, tuple[int, int]] = {}  # selector -> segment, selectors
        self.aliases: dict[int, int] = {}  # segment of real mode -> selector (function 0002h)
        self.slots = [self._callback(i) for i in range(_CALLBACKS)]
        self.handlers: list[tuple[int, int, int, int] | None] = [None] * _CALLBACKS
        self.stacks: list[int | None] = [None] * _CALLBACKS  # selectors of real mode's stack
        self._selectors = bytes(at.ENTRIES)
        self._taken = [False] * _CALLBACKS

    def begin(self, *, is_wide: bool) -> None:
        """Take a client."""
        self.is_wide = is_wide
        host = self.host
        code = at.CODE32 if is_wide else at.CODE16
        self.interrupts = {v: (code, host.defaults[v]) for v in range(256)}
        self.exceptions, self.blocks, self.dos_blocks, self.aliases = {}, {}, {}, {}
        self._selectors = bytes(self.tables.used)
        self._taken = [handler is not None for handler in self.handlers]

    def end(self) -> None:
        """Give back what the client had."""
        for start in self.blocks:
            self.pool.free(start)
        self.blocks, self.dos_blocks, self.aliases = {}, {}, {}
        for index, was_taken in enumerate(self._taken):
            if not was_taken:
                self.handlers[index] = self.stacks[index] = None
        for index in range(16, at.ENTRIES):
            if self.tables.used[index] and not self._selectors[index]:
                self.tables.free(index << 3)

    def held(self) -> Held:
        """Return what the client has, before it runs another one."""
        return Held(
            self.is_wide,
            self.interrupts,
            self.exceptions,
            self.blocks,
            self.dos_blocks,
            self.aliases,
            self._selectors,
            self._taken,
        )

    def give(self, held: Held) -> None:
        """Let a client have what it had."""
        self.is_wide, self.interrupts, self.exceptions = held[:3]
        self.blocks, self.dos_blocks, self.aliases, self._selectors, self._taken = held[3:]

    def serve(self, call: Call) -> None:
        """Serve INT 31h."""
        found = FUNCTIONS.get(call.ax)
        call.carry = False
        try:
            if found is None:
                if call.ax not in _OPTIONAL:
                    self.host.dos.report.unknown(0x31, call.ax)
                raise DpmiError(UNSUPPORTED)
            found(self, call)
        except DpmiError as error:
            call.ax, call.carry = error.code, True

    # -- helpers -----------------------------------------------------------------------------------
    def offset(self, value: int) -> int:
        """Return a register as an offset of the client's size."""
        return value if self.is_wide else value & 0xFFFF

    def get(self, selector: int) -> Segment:
        """Return the descriptor of a client's selector; DpmiError."""
        found = self.tables.get(selector)
        if found is None:
            raise DpmiError(BAD_SELECTOR)
        return found

    def put(self, call: Call, selector: int, new: Segment) -> None:
        """Change a descriptor, and the segment registers that hold its selector."""
        self.tables.put(selector, new)
        for index in (DS, ES, FS, GS, SS, CS):
            held = segment(call.cpu, index)[0]
            is_loaded = held & ~3 == selector & ~3
            if is_loaded and index not in (CS, SS):
                self.switch.set_protected(index, held)
        call.processor.update_context()

    def new(self, what: Segment) -> int:
        """Return a new selector; DpmiError."""
        selector = self.tables.make(what)
        if selector is None:
            raise DpmiError(NO_DESCRIPTORS)
        return selector

    # -- callbacks of real mode --------------------------------------------------------------------
    def _callback(self, index: int) -> tuple[int, int]:
        return self.callbacks.add(lambda call: self._call_back(index), ends="")

    def _call_back(self, index: int) -> None:
        """Call a client's procedure for real mode, with the registers in its structure."""
        handler = self.handlers[index]
        if handler is None:
            return
        selector, offset, structure, place = handler
        switch, cpu = self.switch, self.switch.cpu
        registers = switch.registers()
        segment_ = self.get(structure)
        self.memory.write(segment_.base + place, encode_registers(registers))
        stack = self.stacks[index]
        if stack is None:
            stack = self.stacks[index] = self.new(Segment(0, 0xFFFF, at.DATA_ACCESS, 0))
        self.tables.put(stack, Segment(registers.ss << 4, 0xFFFF, at.DATA_ACCESS, 0))

        def back() -> None:
            found = self.tables.get(switch.left_es)
            if found is None:
                self.host.crash("a callback lost its structure")
                return
            place = found.base + self.offset(switch.left_edi)
            switch.go_real(decode_registers(self.memory.read(place, STRUCTURE)))

        switch.call_protected(selector, offset, back)
        switch.set_protected(DS, stack)
        switch.set_protected(ES, structure)
        cpu.esi, cpu.edi = registers.sp, place
        self.callbacks.processor.update_context()
