"""From real to protected mode and back, and calls from one into the other.

A call saves the processor's state, lets the other mode run until it comes to a stub that it was
given as its return address, and goes on where it was with what the callee has left in registers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from runtime.firmware.call import Call
from runtime.personalities.dos.dpmi import descriptors as at
from runtime.personalities.dos.dpmi.descriptors import Tables
from runtime.system import descriptors, segments
from runtime.system.segments import CS, DS, ES, FS, GS, SS
from translator.state import FIELDS

if TYPE_CHECKING:
    from runtime.personalities.dos.machine import DosMachine

_R32 = {n: FIELDS[n].offset // 4 for n in ("cr0", "idtr_base", "gdtr_base")}
_R16 = {n: FIELDS[n].offset // 2 for n in ("idtr_limit", "gdtr_limit")}
_GENERAL = ("edi", "esi", "ebp", "ebx", "edx", "ecx", "eax")
_SEGMENTS = (ES, CS, SS, DS, FS, GS)
_CONTEXT = FIELDS["context"].offset // 8
IOPL3, IF, TF = 0x3000, 0x200, 0x100
RETURNED = 0xCD5  # flags that an interrupt of real mode returns: those of arithmetic, and DF
STRUCTURE = 0x32  # bytes of the real-mode call structure


class Registers(NamedTuple):
    """The real-mode call structure (DPMI 0.9, function 0300h)."""

    edi: int
    esi: int
    ebp: int
    reserved: int
    ebx: int
    edx: int
    ecx: int
    eax: int
    flags: int
    es: int
    ds: int
    fs: int
    gs: int
    ip: int
    cs: int
    sp: int
    ss: int


_LAYOUT = struct.Struct("<8I9H")


def decode(data: bytes) -> Registers:
    """Read a real-mode call structure."""
    return Registers(*_LAYOUT.unpack(data))


def encode(registers: Registers) -> bytes:
    """Write a real-mode call structure."""
    return _LAYOUT.pack(*registers)


class State(NamedTuple):
    """All that a mode switch changes."""

    general: tuple[int, ...]
    esp: int
    eip: int
    eflags: int
    segments: tuple[tuple[int, int, int, int], ...]
    is_protected: bool


class Frame(NamedTuple):
    """A call that has not returned."""

    state: State
    on_return: Callable[[], None]
    real_stack: tuple[int, int]  # as they were before the call
    host_esp: int


class Switch:
    """The modes of one machine under a DPMI host."""

    def __init__(self, machine: DosMachine, tables: Tables) -> None:
        """Begin in real mode."""
        self.machine, self.tables = machine, tables
        self.cpu = machine.processor.cpu
        self.is_protected = False
        self.is_wide = False  # a 32-bit client
        self.frames: list[Frame] = []
        self.real_stack = (0, 0)  # SS, SP for the next call of real mode
        self.host_esp = at.STACK3_SIZE  # the same of protected mode, in the host's own stack
        # What a callee left: registers of real mode; ES and EDI of protected mode.
        self.left: Registers | None = None
        self.left_es = self.left_edi = 0
        callbacks = machine.callbacks
        self.real_return = callbacks.add(self._returned, ends="")
        self.protected_return = callbacks.add(self._returned, ends="")

    # -- modes -------------------------------------------------------------------------------------
    def save(self) -> State:
        """Return the processor's state."""
        cpu = self.cpu
        general = tuple(getattr(cpu, name) for name in _GENERAL)
        hidden = tuple(segments.segment(cpu, index) for index in _SEGMENTS)
        return State(general, cpu.esp, cpu.eip, cpu.eflags, hidden, self.is_protected)

    def restore(self, state: State) -> None:
        """Set the processor's state."""
        cpu = self.cpu
        self.enter(is_protected=state.is_protected)
        for name, value in zip(_GENERAL, state.general, strict=True):
            setattr(cpu, name, value)
        cpu.esp, cpu.eip, cpu.eflags = state.esp, state.eip, state.eflags
        for index, hidden in zip(_SEGMENTS, state.segments, strict=True):
            segments.set_segment(cpu, index, *hidden)
        segments.update_context(cpu)

    def enter(self, *, is_protected: bool) -> None:
        """Switch the processor's mode; segment registers are the caller's business."""
        cpu = self.cpu
        self.is_protected = is_protected
        cr0 = cpu.r32[_R32["cr0"]]
        cpu.r32[_R32["cr0"]] = cr0 | 1 if is_protected else cr0 & ~1
        base, limit = self.tables.idt if is_protected else (0, 0x3FF)
        cpu.r32[_R32["idtr_base"]], cpu.r16[_R16["idtr_limit"]] = base, limit

    def load_tables(self) -> None:
        """Load GDTR, LDTR and TR."""
        self.tables.reset_task()
        cpu, access = self.cpu, self.machine.processor.access
        base, limit = self.tables.gdt
        cpu.r32[_R32["gdtr_base"]], cpu.r16[_R16["gdtr_limit"]] = base, limit
        descriptors.load_ldt(cpu, access, at.LOCAL)
        descriptors.load_tr(cpu, access, at.TASK)

    def set_protected(self, index: int, selector: int) -> None:
        """Load a segment register of protected mode from the tables, ring 3; null if it cannot."""
        cpu, access = self.cpu, self.machine.processor.access
        found = descriptors.find(cpu, access, selector) if selector & 0xFFFC else None
        if found is None or not found.is_present:
            descriptors.put_null(cpu, index, selector)
        else:
            descriptors.put(cpu, index, descriptors.mark_accessed(access, found))

    def set_real(self, index: int, segment: int) -> None:
        """Load a segment register of real mode, with its limit and rights."""
        segments.set_real_segment(self.cpu, index, segment)

    # -- calls -------------------------------------------------------------------------------------
    def call_real(
        self,
        registers: Registers,
        on_return: Callable[[], None],
        *,
        is_interrupt: bool,
        words: bytes = b"",
    ) -> None:
        """Let real mode run from CS:IP of *registers* until it returns; then *on_return*.

        SS:SP of 0:0 mean the host's own stack. *words* are put on it, as arguments.
        """
        cpu = self.cpu
        state = self.save()
        ss, sp = (registers.ss, registers.sp) if registers.ss | registers.sp else self.real_stack
        self.frames.append(Frame(state, on_return, self.real_stack, self.host_esp))
        sp = sp - len(words) & 0xFFFF
        self.machine.memory.copy_to(ss, sp, words)
        segment, offset = self.real_return
        frame = struct.pack("<HH", offset, segment)
        if is_interrupt:
            frame += struct.pack("<H", registers.flags & ~TF)
        sp = sp - len(frame) & 0xFFFF
        self.machine.memory.copy_to(ss, sp, frame)
        self.real_stack = ss, sp
        self.enter(is_protected=False)
        flags = registers.flags & ~(IOPL3 | TF) | 2
        if is_interrupt:
            flags &= ~IF
        self._load_real(registers, flags)
        self.set_real(SS, ss)
        cpu.esp = sp
        segments.update_context(cpu)
        if is_interrupt and self._serve_at_once():
            self._returned(self.machine.callbacks.call)

    def _serve_at_once(self) -> bool:
        """Serve an interrupt that real mode has just got: whether a function of ours did all of it.

        Flags are then what iret makes them; the rest of what it does is left to the caller.
        """
        callbacks, cpu = self.machine.callbacks, self.cpu
        if not callbacks.serves(cpu.cs, cpu.eip) or not callbacks.serve_at_once():
            return False
        frame = self.machine.memory.copy_from(cpu.ss, cpu.esp, 6)
        offset, segment, flags = struct.unpack("<HHH", frame)
        if self.is_protected or (segment, offset) != self.real_return:
            return False
        cpu.esp = cpu.esp + 6 & 0xFFFF
        cpu.eflags = cpu.eflags & ~0xFFFF | flags
        return True

    def reflect_at_once(self, segment: int, offset: int, psp: int) -> bool:
        """Let a function of ours serve an interrupt of protected mode; False if it is not ours.

        As `call_real` does with the client's registers, but no guest code runs if it can be helped.
        """
        cpu = self.cpu
        if not self.machine.callbacks.serves(segment, offset):
            return False
        esp, eip, eflags = cpu.esp, cpu.eip, cpu.eflags
        context = cpu.r64[_CONTEXT]
        hidden = tuple(segments.segment(cpu, index) for index in _SEGMENTS)

        def back() -> None:
            left = self.left
            assert left is not None
            for name in _GENERAL:
                setattr(cpu, name, getattr(left, name))
            cpu.eflags = eflags & ~RETURNED | left.flags & RETURNED

        kept = self.real_stack
        state = State((0,) * len(_GENERAL), esp, eip, eflags, hidden, True)
        self.frames.append(Frame(state, back, kept, self.host_esp))
        ss, sp = kept[0], kept[1] - 6 & 0xFFFF
        flags = eflags & 0xFFFF & ~(IOPL3 | TF)
        self.machine.memory.copy_to(ss, sp, struct.pack("<HHH", *self.real_return[::-1], flags))
        self.real_stack = ss, sp
        self.enter(is_protected=False)
        for index, value in zip(_SEGMENTS, (psp, segment, ss, psp, 0, 0), strict=True):
            self.set_real(index, value)
        cpu.esp, cpu.eip, cpu.eflags = sp, offset, (flags | 2) & ~IF
        if not self._serve_at_once():
            segments.update_context(cpu)
            return True
        self.frames.pop()
        self.real_stack = kept
        self.enter(is_protected=True)
        for index, values in zip(_SEGMENTS, hidden, strict=True):
            segments.set_segment(cpu, index, *values)
        flags = cpu.eflags
        cpu.esp, cpu.eip, cpu.eflags = esp, eip, eflags & ~RETURNED | flags & RETURNED
        cpu.r64[_CONTEXT] = context
        return True

    def _load_real(self, registers: Registers, flags: int) -> None:
        cpu = self.cpu
        for name in _GENERAL:
            setattr(cpu, name, getattr(registers, name))
        for index, value in (
            (ES, registers.es),
            (CS, registers.cs),
            (DS, registers.ds),
            (FS, registers.fs),
            (GS, registers.gs),
        ):
            self.set_real(index, value)
        cpu.eip, cpu.eflags = registers.ip, flags

    def go_real(self, registers: Registers) -> None:
        """Go on in real mode, as a callback's structure says."""
        self.enter(is_protected=False)
        self._load_real(registers, registers.flags & ~(IOPL3 | TF) | 2)
        self.set_real(SS, registers.ss)
        self.cpu.esp = registers.sp
        segments.update_context(self.cpu)

    def registers(self) -> Registers:
        """Return the registers of real mode, as a call structure has them."""
        cpu = self.cpu
        edi, esi, ebp, ebx, edx, ecx, eax = (getattr(cpu, name) for name in _GENERAL)
        flags = cpu.eflags & 0xFFFF
        others = flags, cpu.es, cpu.ds, cpu.fs, cpu.gs, cpu.eip & 0xFFFF, cpu.cs
        return Registers(edi, esi, ebp, 0, ebx, edx, ecx, eax, *others, cpu.esp & 0xFFFF, cpu.ss)

    def call_protected(self, selector: int, offset: int, on_return: Callable[[], None]) -> None:
        """Let protected mode run a handler until its iret, on the host's stack; from real mode.

        Registers stay as they are; the caller sets those that the handler is to find, behind it.
        """
        cpu = self.cpu
        state = self.save()
        self.frames.append(Frame(state, on_return, self.real_stack, self.host_esp))
        self.real_stack = cpu.ss, cpu.esp & 0xFFFF
        place = (at.CODE32 if self.is_wide else at.CODE16, self.protected_return[1])
        flags = cpu.eflags & ~(IF | TF) | IOPL3
        size = 4 if self.is_wide else 2
        values = (place[1], place[0], flags & (0xFFFFFFFF if self.is_wide else 0xFFFF))
        frame = b"".join(value.to_bytes(size, "little") for value in values)
        esp = (self.host_esp & ~15) - len(frame)
        if esp < 0x100:
            raise MemoryError("DPMI: calls are nested too deeply")
        self.machine.memory.write(self.tables.area + at.STACK3 + esp, frame)
        self.host_esp = esp
        self.enter(is_protected=True)
        for index in (ES, DS, FS, GS):
            descriptors.put_null(cpu, index)
        self.set_protected(CS, selector)
        self.set_protected(SS, at.STACK)
        cpu.esp, cpu.eip, cpu.eflags = esp, offset, flags
        segments.update_context(cpu)

    def _returned(self, call: Call) -> None:
        """End the last call: the caller's state comes back, and *on_return* looks at what was."""
        frame = self.frames.pop()
        self.left = self.registers() if not self.is_protected else None
        self.left_es, self.left_edi = call.es, call.edi
        self.real_stack, self.host_esp = frame.real_stack, frame.host_esp
        self.restore(frame.state)
        frame.on_return()
