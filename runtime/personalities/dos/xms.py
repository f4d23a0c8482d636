"""XMS 3.0: extended memory blocks, the high memory area, address line 20, upper memory.

Source: Extended Memory Specification (XMS), version 3.0, Microsoft, Lotus, Intel and AST, 1991.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.firmware.call import Call
from runtime.personalities.dos.errors import NO_MEMORY, DosError
from runtime.personalities.dos.memory import linear
from runtime.system.segments import DS

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.personalities.dos.extended import ExtendedMemory
    from runtime.personalities.dos.kernel import Kernel

_NOT_IMPLEMENTED, _DRIVER_ERROR, _HMA_IN_USE, _HMA_NOT_ALLOCATED = 0x80, 0x8E, 0x91, 0x93
_NO_MEMORY, _NO_HANDLES, _BAD_HANDLE = 0xA0, 0xA1, 0xA2
_BAD_SOURCE, _BAD_SOURCE_OFFSET, _BAD_TARGET, _BAD_TARGET_OFFSET = 0xA3, 0xA4, 0xA5, 0xA6
_BAD_LENGTH, _NOT_LOCKED, _IS_LOCKED, _LOCKS_FULL = 0xA7, 0xAA, 0xAB, 0xAC
_SMALLER_UPPER, _NO_UPPER, _BAD_UPPER = 0xB0, 0xB1, 0xB2
_HANDLES, _FIRST, _STEP = 64, 0x100, 10  # handles look like offsets, as a driver's are
_LOCKS = 255
_FAR_MAX = 0x110000  # what segment:offset reaches


class XmsError(Exception):
    """A function failed; BL gets this code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"XMS error {code:02X}h")
        self.code = code


@dataclass
class Block:
    """An extended memory block; one of no bytes has no memory."""

    start: int
    size: int  # bytes
    locks: int = 0


class Xms:
    """The driver."""

    def __init__(self, dos: Kernel, pool: ExtendedMemory) -> None:
        """Answer INT 2Fh functions 4300h and 4310h."""
        self.dos, self.memory, self.pool = dos, dos.memory, pool
        self.blocks: dict[int, Block] = {}
        self.has_hma = True
        callbacks = dos.machine.callbacks
        # Drivers begin with a jump over three bytes, so that others can hook them.
        self.entry = callbacks.add_code(b"\xeb\x03\x90\x90\x90", self._serve, ends="retf")
        dos.multiplex[0x4300] = self._is_there
        dos.multiplex[0x4310] = self._entry

    def _is_there(self, call: Call) -> None:
        call.al = 0x80

    def _entry(self, call: Call) -> None:
        call.es, call.bx = self.entry

    def _serve(self, call: Call) -> None:
        """Do function AH: AX = 1, or 0 and an error in BL."""
        found = _FUNCTIONS.get(call.ah)
        try:
            if found is None:
                self.dos.report.unsupported(f"XMS function {call.ah:02X}h")
                raise XmsError(_NOT_IMPLEMENTED)
            found(self, call)
        except XmsError as error:
            call.ax, call.bl = 0, error.code
        except DosError:  # the chain of blocks is destroyed
            call.ax, call.bl = 0, _DRIVER_ERROR

    # -- what there is -----------------------------------------------------------------------------
    def version(self, call: Call) -> None:
        """AX = version of the specification, BX of the driver, DX = 1: there is an HMA."""
        call.ax, call.bx, call.dx = 0x0300, 0x0301, 1

    def request_hma(self, call: Call) -> None:
        """Take the high memory area."""
        if not self.has_hma:
            raise XmsError(_HMA_IN_USE)
        self.has_hma = False
        call.ax = 1

    def release_hma(self, call: Call) -> None:
        """Give the high memory area back."""
        if self.has_hma:
            raise XmsError(_HMA_NOT_ALLOCATED)
        self.has_hma = True
        call.ax = 1

    def a20_on(self, call: Call) -> None:
        """Let address line 20 through (it always is)."""
        call.ax = 1

    def a20(self, call: Call) -> None:
        """AX = whether address line 20 is let through."""
        call.ax, call.bl = 1, 0

    def query(self, call: Call) -> None:
        """AX, DX = largest free block, all that is free, in KiB, at most 64 MiB."""
        largest, total = self.pool.largest() >> 10, self.pool.total() >> 10
        call.ax, call.dx, call.bl = min(largest, 0xFFFF), min(total, 0xFFFF), 0
        if not total:
            call.bl = _NO_MEMORY

    def query_any(self, call: Call) -> None:
        """EAX, EDX = the same without a limit; ECX = highest address."""
        call.eax, call.edx = self.pool.largest() >> 10, self.pool.total() >> 10
        call.ecx, call.bl = self.pool.end - 1, 0 if call.edx else _NO_MEMORY

    # -- blocks ------------------------------------------------------------------------------------
    def _block(self, handle: int, error: int = _BAD_HANDLE) -> Block:
        found = self.blocks.get(handle)
        if found is None:
            raise XmsError(error)
        return found

    def _allocate(self, kib: int) -> int:
        handles = range(_FIRST, _FIRST + _HANDLES * _STEP, _STEP)
        handle = next((h for h in handles if h not in self.blocks), 0)
        if not handle:
            raise XmsError(_NO_HANDLES)
        start = self.pool.allocate(kib << 10) if kib else 0
        if start is None:
            raise XmsError(_NO_MEMORY)
        self.blocks[handle] = Block(start, kib << 10)
        return handle

    def allocate(self, call: Call) -> None:
        """DX = handle of DX KiB (09h), or EDX KiB (89h)."""
        kib = call.dx if call.ah == 0x09 else call.edx
        call.dx = self._allocate(kib)
        call.ax, call.bl = 1, 0

    def free(self, call: Call) -> None:
        """Free the block DX."""
        block = self._block(call.dx)
        if block.locks:
            raise XmsError(_IS_LOCKED)
        if block.size:
            self.pool.free(block.start)
        del self.blocks[call.dx]
        call.ax, call.bl = 1, 0

    def move(self, call: Call) -> None:
        """Copy as the structure at DS:SI says; handle 0 means segment:offset."""
        place = call.linear(DS, call.si)
        data = call.read(place, 16)
        length = int.from_bytes(data[0:4], "little")
        source = self._place(data[4:10], length, _BAD_SOURCE, _BAD_SOURCE_OFFSET)
        target = self._place(data[10:16], length, _BAD_TARGET, _BAD_TARGET_OFFSET)
        if length & 1:
            raise XmsError(_BAD_LENGTH)
        if length:
            self.memory.write(target, self.memory.read(source, length))
        call.ax, call.bl = 1, 0

    def _place(self, data: bytes, length: int, bad_handle: int, bad_offset: int) -> int:
        handle, offset = int.from_bytes(data[:2], "little"), int.from_bytes(data[2:], "little")
        if not handle:
            address = linear(offset >> 16, offset & 0xFFFF)
            if address + length > _FAR_MAX:
                raise XmsError(_BAD_LENGTH)
            return address
        block = self._block(handle, bad_handle)
        if offset > block.size:
            raise XmsError(bad_offset)
        if offset + length > block.size:
            raise XmsError(_BAD_LENGTH)
        return block.start + offset

    def lock(self, call: Call) -> None:
        """DX:BX = physical address of the block DX."""
        block = self._block(call.dx)
        if block.locks >= _LOCKS:
            raise XmsError(_LOCKS_FULL)
        block.locks += 1
        call.ax, call.dx, call.bx = 1, block.start >> 16, block.start & 0xFFFF

    def unlock(self, call: Call) -> None:
        """Let the block DX move again, as far as it ever would."""
        block = self._block(call.dx)
        if not block.locks:
            raise XmsError(_NOT_LOCKED)
        block.locks -= 1
        call.ax, call.bl = 1, 0

    def information(self, call: Call) -> None:
        """BH, BL, DX = locks, free handles, KiB of the block DX; 8Eh: CX, EDX."""
        block = self._block(call.dx)
        free = _HANDLES - len(self.blocks)
        is_long, kib = call.ah == 0x8E, block.size >> 10
        call.bh = block.locks
        if is_long:
            call.cx, call.edx = free, kib
        else:
            call.bl, call.dx = min(free, 0xFF), min(kib, 0xFFFF)
        call.ax = 1

    def resize(self, call: Call) -> None:
        """Let the block DX have BX KiB (0Fh) or EBX KiB (8Fh); it may move."""
        block = self._block(call.dx)
        size = (call.bx if call.ah == 0x0F else call.ebx) << 10
        if block.locks:
            raise XmsError(_IS_LOCKED)
        if not block.size or not size or not self.pool.resize(block.start, size):
            start = self.pool.allocate(size) if size else 0
            if start is None:
                raise XmsError(_NO_MEMORY)
            kept = min(block.size, size)
            if kept:
                self.memory.write(start, self.memory.read(block.start, kept))
            if block.size:
                self.pool.free(block.start)
            block.start = start
        block.size = size
        call.ax, call.bl = 1, 0

    # -- upper memory ------------------------------------------------------------------------------
    def allocate_upper(self, call: Call) -> None:
        """BX, DX = segment and size of DX paragraphs; DX = the largest size if that fails."""
        arena = self.dos.arena
        try:
            call.bx = arena.allocate_upper(call.dx)
        except DosError as error:
            if error.code != NO_MEMORY:
                raise
            call.dx = arena.largest_upper()
            raise XmsError(_SMALLER_UPPER if call.dx else _NO_UPPER) from None
        call.ax = 1

    def _upper(self, segment: int) -> None:
        if not self.dos.arena.owns_upper(segment):
            raise XmsError(_BAD_UPPER)

    def free_upper(self, call: Call) -> None:
        """Free the upper memory at segment DX."""
        self._upper(call.dx)
        self.dos.arena.free(call.dx)
        call.ax = 1

    def resize_upper(self, call: Call) -> None:
        """Let the upper memory at segment DX have BX paragraphs; DX = how many there could be."""
        self._upper(call.dx)
        got = self.dos.arena.resize(call.dx, call.bx)
        if got < call.bx:
            call.dx = got
            raise XmsError(_SMALLER_UPPER)
        call.ax = 1


_FUNCTIONS: dict[int, Callable[[Xms, Call], None]] = {
    0x00: Xms.version,
    0x01: Xms.request_hma,
    0x02: Xms.release_hma,
    0x03: Xms.a20_on,
    0x04: Xms.a20_on,
    0x05: Xms.a20_on,
    0x06: Xms.a20_on,
    0x07: Xms.a20,
    0x08: Xms.query,
    0x88: Xms.query_any,
    0x09: Xms.allocate,
    0x89: Xms.allocate,
    0x0A: Xms.free,
    0x0B: Xms.move,
    0x0C: Xms.lock,
    0x0D: Xms.unlock,
    0x0E: Xms.information,
    0x8E: Xms.information,
    0x0F: Xms.resize,
    0x8F: Xms.resize,
    0x10: Xms.allocate_upper,
    0x11: Xms.free_upper,
    0x12: Xms.resize_upper,
}
