"""The software interrupts of DOS besides INT 21h, and the vectors of all.

20h, 22h to 29h, 2Eh and 2Fh. INT 23h (Ctrl-C) and 24h (critical error) call what the guest has
put there; DOS's own end the program and let the function fail.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from runtime.firmware.call import Call
from runtime.firmware.callbacks import Result
from runtime.personalities.dos import programs, tables
from runtime.personalities.dos.errors import ACCESS_DENIED, CriticalError
from runtime.personalities.dos.multiplex import multiplex
from runtime.personalities.dos.sectors import access

if TYPE_CHECKING:
    from runtime.personalities.dos.kernel import Kernel

# 0000:00C0, which the far call at PSP:5 leads to, and where that is with address line 20.
_CPM_CALLS = 0xC0, 0x1000C0
_RETRY, _ABORT, _FAIL = 1, 2, 3  # what INT 24h answers
_DISK_WRITE = 0x3F  # AH for INT 24h
_FIRST_CRITICAL = 19  # DOS error of the first number in DI
_WITH_CARRY = 0x38  # functions from here on return errors in AX
_CRASHED = 255  # exit code


# Functions that a handler of INT 24h may call, those of characters and a few that only tell.
_MAY_ASK = frozenset((*range(0x0D), 0x2F, 0x30, 0x33, 0x50, 0x51, 0x59, 0x62))


class Unanswered(Exception):  # noqa: N818 (nothing is wrong)
    """A handler of INT 24h asks the user, and there is none."""


class _Question(NamedTuple):
    """A critical error that INT 24h has not decided: what is restored if nobody can."""

    error: CriticalError
    ss: int
    sp: int
    psp: int
    handles: bytes  # the program's, which a handler may redirect for its question


class Interrupts:
    """The handlers of one DOS."""

    def __init__(self, dos: Kernel) -> None:
        """Put the vectors into guest memory."""
        self.dos = dos
        callbacks = dos.machine.callbacks
        self.callbacks = callbacks
        self.entry = callbacks.add(lambda call: dos.answer(call))
        self.default_break = callbacks.add(self._break)
        self.default_critical = callbacks.add(self._fail)
        self._after_break = callbacks.add_code(b"\xcd\x23", self._broken, ends="")
        self._break_stack = 0
        self._after_critical = callbacks.add_code(b"\xcd\x24", self._decided, ends="")
        self._question: _Question | None = None
        handlers = {
            0x00: callbacks.add(self._divide),
            0x20: callbacks.add(self._terminate),
            0x21: self.entry,
            0x22: callbacks.add(self._terminate),
            0x23: self.default_break,
            0x24: self.default_critical,
            0x25: callbacks.add(lambda call: access(dos, call, writes=False), ends="retf"),
            0x26: callbacks.add(lambda call: access(dos, call, writes=True), ends="retf"),
            0x27: callbacks.add(self._stay_resident),
            0x29: callbacks.add(self._fast_output),
            0x2E: callbacks.add(self._command),
            0x2F: callbacks.add(lambda call: multiplex(dos, call)),
        }
        for vector in (0x28, 0x2A, 0x2B, 0x2C, 0x2D):
            handlers[vector] = dos.machine.iret
        for vector, place in handlers.items():
            callbacks.set_vector(vector, place)
        segment, offset = callbacks.add_code(self._cpm, ends="")
        jump = b"\xea" + struct.pack("<HH", offset, segment)
        for address in _CPM_CALLS:
            dos.memory.write(address, jump)

    # -- ends of programs --------------------------------------------------------------------------
    def _terminate(self, call: Call) -> None:
        """INT 20h: end the program whose PSP is at CS."""
        programs.end(self.dos, 0)

    def _divide(self, call: Call) -> None:
        """INT 0: the program divided by zero, and ends."""
        self.dos.console.write(b"\r\nDivide overflow\r\n")
        programs.end(self.dos, _CRASHED)

    def _stay_resident(self, call: Call) -> None:
        """INT 27h: end the program; what is below CS:DX stays."""
        programs.end(self.dos, 0, programs.RESIDENT, keep=(call.dx or 0x10000) + 15 >> 4)

    # -- Ctrl-C and critical errors ----------------------------------------------------------------
    def control_break(self, call: Call) -> Result | None:
        """Let INT 23h decide: the program ends, or the function begins again."""
        dos = self.dos
        dos.line, dos.flushed, dos.typed = None, None, b""
        dos.console.write(b"^C\r\n")
        if dos.memory.u32(4 * 0x23) == _far(self.default_break):
            dos.skip_carry = True
            programs.end(dos, 0, programs.BREAK)
            return None
        dos.skip_carry = True
        self._break_stack = call.sp
        self.callbacks.jump(*self._after_break)
        return None

    def _broken(self, call: Call) -> None:
        """INT 23h's handler returned: by iret, or by retf with CF for the end."""
        is_far = call.sp != self._break_stack
        has_carry = bool(call.cpu.eflags & 1)
        call.sp = self._break_stack
        if is_far and has_carry:
            programs.end(self.dos, 0, programs.BREAK)
        else:
            self.callbacks.jump(*self.entry)

    def _break(self, call: Call) -> None:
        """DOS's own INT 23h: the program ends."""
        programs.end(self.dos, 0, programs.BREAK)

    def _fail(self, call: Call) -> None:
        """DOS's own INT 24h: the function fails."""
        call.al = _FAIL

    def critical_error(self, call: Call, error: CriticalError) -> None:
        """Let INT 24h decide: ignore, try again, end the program, or let the function fail."""
        dos = self.dos
        if dos.memory.u32(4 * 0x24) == _far(self.default_critical):
            self._end_failed(call, error)
            return
        dos.skip_carry = True
        registers = call.es, call.ds, call.bp, call.di, call.si, call.dx, call.cx, call.bx, call.ax
        for value in registers:
            call.push(value)
        self._question = _Question(error, call.ss, call.sp, dos.psp, dos.files.handles(dos.psp))
        # AH: a disk, written to; fail, retry and ignore are allowed. BP:SI: a device's header.
        call.ax = _DISK_WRITE << 8 | error.drive
        call.di = error.code - _FIRST_CRITICAL
        call.bp, call.si = tables.SEGMENT, tables.DISK_DEVICE
        self.callbacks.jump(*self._after_critical)

    def _decided(self, call: Call) -> None:
        """INT 24h's handler returned."""
        answer, question = call.al, self._question
        assert question is not None
        self._question, error = None, question.error
        stack = call.ss, call.sp
        words = struct.unpack("<9H", self.dos.memory.copy_from(*stack, 18))
        call.ax, call.bx, call.cx, call.dx, call.si, call.di, call.bp, call.ds, call.es = words
        call.sp = call.sp + 18 & 0xFFFF
        call.has_frame = True
        if answer == _RETRY:
            self.callbacks.jump(*self.entry)
        elif answer == _ABORT:
            programs.end(self.dos, 0, programs.CRITICAL)
        else:
            self._end_failed(call, error)
            self.callbacks.jump(*self.dos.machine.iret)

    def note_call(self, function: int) -> None:
        """Take note of a call of INT 21h: one that no handler of INT 24h makes says it has left."""
        if function not in _MAY_ASK:
            self._question = None

    def expect_answer(self) -> None:
        """Let handlers of INT 24h read characters only if a user types them; Unanswered."""
        if self._question is not None and not self.dos.has_user:
            raise Unanswered

    def give_up(self, call: Call) -> None:
        """Let the function fail that a handler of INT 24h asks about: nobody answers."""
        question, dos = self._question, self.dos
        assert question is not None
        dos.psp, dos.flushed, dos.line = question.psp, None, None
        dos.files.set_handles(dos.psp, question.handles)
        call.ss, call.sp, call.al = question.ss, question.sp, _FAIL
        dos.console.write(b"\r\n")
        self._decided(call)

    def _end_failed(self, call: Call, error: CriticalError) -> None:
        """Let the function fail, as those who know no critical errors expect it."""
        if call.ah < _WITH_CARRY:
            call.al = 0xFF
        else:
            self.dos.fail(call, ACCESS_DENIED)
        self.dos.last_error = error.code
        self.dos.skip_carry = True

    # -- others ------------------------------------------------------------------------------------
    def _fast_output(self, call: Call) -> None:
        """INT 29h: write AL to the screen."""
        self.dos.console.write(bytes((call.al,)))

    def _command(self, call: Call) -> None:
        """INT 2Eh: there is no resident command interpreter."""
        call.ax = 0xFFFF

    def _cpm(self, call: Call) -> None:
        """Serve the far call at PSP:5, with CL for AH: as INT 21h to the caller's next insn."""
        load, store = call.processor.access.load, call.processor.access.store
        base = call.ss << 4
        # On the stack: IP of this call's own jump, CS; then the near call's IP.
        _, _, ip = (load(base + (call.sp + 2 * i & 0xFFFF), 16) for i in range(3))
        segment = load(base + (call.sp + 2 & 0xFFFF), 16)
        frame = (ip, segment, call.cpu.eflags & 0xFFFF)
        for i, value in enumerate(frame):
            store(base + (call.sp + 2 * i & 0xFFFF), value, 16)
        call.ah = call.cl if call.cl <= 0x24 else 0xFF
        self.callbacks.jump(*self.entry)


def _far(place: tuple[int, int]) -> int:
    return place[0] << 16 | place[1]
