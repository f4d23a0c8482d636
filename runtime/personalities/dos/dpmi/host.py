"""The DPMI 0.9 host: how a program gets into protected mode, interrupts, exceptions, its end.

Clients run in ring 3 with IOPL 3 and without paging.  Their interrupt handlers are the gates of
the IDT; what they do not handle goes to real mode.  Exceptions come to ring 0, to stubs.

Source: DOS Protected Mode Interface (DPMI) Specification, version 0.9, DPMI Committee, 1990.
"""

from __future__ import annotations

import struct
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from runtime.firmware.call import Call
from runtime.firmware.callbacks import Function
from runtime.personalities.dos import programs
from runtime.personalities.dos import psp as layout
from runtime.personalities.dos.dpmi import descriptors as at
from runtime.personalities.dos.dpmi.descriptors import Segment, Tables, gate
from runtime.personalities.dos.dpmi.services import Held, Services
from runtime.personalities.dos.dpmi.switch import IF, IOPL3, RETURNED, TF, Switch
from runtime.personalities.dos.errors import DosError
from runtime.system import segments
from runtime.system.segments import CS, DS, ES, FS, GS, SS

if TYPE_CHECKING:
    from runtime.personalities.dos.extended import ExtendedMemory
    from runtime.personalities.dos.kernel import Kernel

# Exceptions, and those that push an error code.
EXCEPTIONS = (*range(8), *range(8, 15), 16, 17, 18, 19)
_WITH_CODE = frozenset((8, 10, 11, 12, 13, 14, 17))
_GP, _IN_IDT = 13, 2
_REAL_IRQ, _MOVED_IRQ, _SLAVE_IRQ = 0x08, 0xF8, 0x70  # vectors of interrupt requests
_BREAKS = frozenset((1, 3, 4))
_STACK = 0x100  # paragraphs of stack for calls of real mode
_HLT = 0xF4
_NAP = 0.001
# Interrupts of real mode that a client's handler of protected mode gets first.
HOOKED = frozenset((*range(0x08, 0x10), *range(0x70, 0x78), 0x1C, 0x23, 0x24))
_DIRECT = frozenset((0x10, *range(0x14, 0x70))) - HOOKED  # software interrupts, no exceptions
_CRASHED = 255  # exit code


class _Waiting(NamedTuple):
    """A client that runs another one."""

    client: int
    stack: int
    environment: int
    held: Held
    is_wide: bool
    real_stack: tuple[int, int]
    host_esp: int
    frames: int
    gates: bytes
    hooks: dict[int, tuple[int, int]]
    vectors: dict[int, int]  # of real mode, as its hooks are


class Host:
    """DPMI for a program, and for those that it runs."""

    def __init__(self, dos: Kernel, pool: ExtendedMemory) -> None:
        """Answer INT 2Fh function 1687h."""
        self.dos, self.pool, self.machine = dos, pool, dos.machine
        self.entry = self.machine.callbacks.add(self._enter, ends="retf")
        dos.multiplex[0x1687] = self._is_there
        self.is_built = False
        self.client = 0  # PSP of the program in protected mode; 0: none
        self._waiting: list[_Waiting] = []  # clients that run other clients
        self._hooks: dict[int, tuple[int, int]] = {}  # stubs of real mode

    def _is_there(self, call: Call) -> None:
        """AX = 0; where to go to protected mode, and what with."""
        call.ax, call.bx, call.cl, call.dx, call.si = 0, 1, 5, 0x005A, 0
        call.es, call.di = self.entry

    def _build(self) -> bool:
        """Make tables and stubs, once; False if there is no memory."""
        if self.is_built:
            return True
        area = self.pool.allocate(at.AREA)
        if area is None:
            return False
        callbacks = self.machine.callbacks
        self.tables = Tables(self.dos.memory, area)
        self.switch = Switch(self.machine, self.tables)
        self.services = Services(self)
        add = callbacks.add
        # For each vector: what happens by default. The code is the same for both sizes.
        self.defaults = [add(self._default(vector))[1] for vector in range(256)]
        self.faults = {vector: add(self._fault(vector))[1] for vector in EXCEPTIONS}
        self.fault_return = add(self._fault_returned, ends="")[1]
        self.fault_defaults = {
            vector: add(partial(self._unhandled, vector=vector), ends="")[1]
            for vector in EXCEPTIONS
        }
        self.real_hooks: dict[int, tuple[int, int]] = {}
        self.to_protected = add(self._raw_to_protected, ends="")
        self.to_real = add(self._raw_to_real, ends="")
        self.nothing = callbacks.place(b"\xcb")  # retf: save and restore state
        self.is_built = True
        return True

    # -- a client begins and ends ------------------------------------------------------------------
    def _enter(self, call: Call) -> None:
        """Switch to protected mode for the caller: CF if that is impossible. AX bit 0: 32-bit."""
        if self.client == self.dos.psp or not self._build():
            call.carry, call.ax = True, 0x8011
            return
        dos, switch = self.dos, self.switch
        try:
            stack = dos.arena.allocate(_STACK, dos.psp)
        except DosError:
            call.carry, call.ax = True, 0x8013
            return
        if self.client:
            self._wait()
        self.stack = stack
        is_wide = bool(call.ax & 1)
        cs, ip = call.caller
        ss, ds = call.ss, call.ds
        sp = call.sp + 4 & 0xFFFF
        tables = self.tables
        psp = dos.psp
        code = tables.make(Segment(cs << 4, 0xFFFF, at.CODE_ACCESS, 0))
        data = tables.make(Segment(ds << 4, 0xFFFF, at.DATA_ACCESS, 0))
        top = data
        if ss != ds:
            top = tables.make(Segment(ss << 4, 0xFFFF, at.DATA_ACCESS, 4 if is_wide else 0))
        prefix = tables.make(Segment(psp << 4, 0xFF, at.DATA_ACCESS, 0))
        self.environment = dos.memory.u16((psp << 4) + layout.ENVIRONMENT)
        env = 0
        if self.environment:
            env = tables.make(Segment(self.environment << 4, 0xFFFF, at.DATA_ACCESS, 0)) or 0
        dos.memory.put16((psp << 4) + layout.ENVIRONMENT, env)
        self.client = psp
        self.services.begin(is_wide=is_wide)
        switch.is_wide = is_wide
        switch.real_stack = stack, _STACK * 16
        if not self._waiting:
            switch.host_esp = at.STACK3_SIZE
            switch.frames.clear()
            self._acknowledge = self.machine.processor.acknowledge
            self.machine.processor.acknowledge = self._take_irq
            self.machine.processor.on_interrupt = self._at_once
            dos.on_program_end.append(self._program_ended)
        self._fill_gates()
        cpu = self.machine.processor.cpu
        switch.load_tables()
        switch.enter(is_protected=True)
        for index, selector in ((CS, code), (SS, top), (DS, data), (ES, prefix), (FS, 0), (GS, 0)):
            switch.set_protected(index, selector or 0)
        cpu.esp, cpu.eip = sp, ip
        cpu.eflags = cpu.eflags & ~1 | IOPL3
        segments.update_context(cpu)

    def _wait(self) -> None:
        """Put the client aside that has called real mode to run another one."""
        tables, switch, memory = self.tables, self.switch, self.dos.memory
        vectors = {vector: memory.u32(4 * vector) for vector in self.real_hooks}
        for vector, (segment, offset) in self.real_hooks.items():
            memory.put32(4 * vector, segment << 16 | offset)
        waiting = _Waiting(
            self.client,
            self.stack,
            self.environment,
            self.services.held(),
            switch.is_wide,
            switch.real_stack,
            switch.host_esp,
            len(switch.frames),
            memory.read(tables.idt[0], tables.idt[1] + 1),
            self.real_hooks,
            vectors,
        )
        self._waiting.append(waiting)
        self.real_hooks = {}

    def _go_on(self) -> None:
        """Let the client have its host again that has waited last."""
        was, switch, memory = self._waiting.pop(), self.switch, self.dos.memory
        self.client, self.stack, self.environment = was.client, was.stack, was.environment
        self.services.give(was.held)
        switch.is_wide, switch.real_stack, switch.host_esp = was[4:7]
        del switch.frames[was.frames :]
        memory.write(self.tables.idt[0], was.gates)
        self.real_hooks = was.hooks
        for vector, far in was.vectors.items():
            memory.put32(4 * vector, far)

    def _program_ended(self, psp: int) -> None:
        """Clean up behind the client, if it was the one that ends."""
        if psp != self.client:
            return
        self.leave()

    def leave(self) -> None:
        """Go back to real mode for good, and give all back that the client had."""
        dos, switch = self.dos, self.switch
        if not self.client:
            return
        dos.memory.put16((self.client << 4) + layout.ENVIRONMENT, self.environment)
        for vector, (segment, offset) in self.real_hooks.items():
            dos.memory.put32(4 * vector, segment << 16 | offset)
        self.real_hooks.clear()
        self.services.end()
        self.client = 0
        if not self._waiting:
            self.machine.processor.acknowledge = self._acknowledge
            self.machine.processor.on_interrupt = None
            dos.on_program_end.remove(self._program_ended)
        cpu = self.machine.processor.cpu
        switch.enter(is_protected=False)
        for index in (ES, CS, SS, DS, FS, GS):
            switch.set_real(index, dos.psp)
        if self._waiting:
            self._go_on()
        else:
            switch.frames.clear()
        cpu.eflags = cpu.eflags & ~IOPL3
        segments.update_context(cpu)

    def crash(self, text: str) -> None:
        """End a client that cannot go on."""
        self.dos.console.write(f"\r\nDPMI: {text}\r\n".encode("cp437"))
        self.leave()
        programs.end(self.dos, _CRASHED)

    # -- interrupts --------------------------------------------------------------------------------
    @property
    def code(self) -> int:
        """Selector of the stubs that a client's handlers may go on to."""
        return at.CODE32 if self.switch.is_wide else at.CODE16

    def _fill_gates(self) -> None:
        """Let each vector do what it does by default."""
        tables = self.tables
        for vector in range(256):
            self.set_handler(vector, self.code, self.defaults[vector])
        for vector in EXCEPTIONS:
            dpl = 3 if vector in _BREAKS else 0
            tables.set_gate(vector, gate(at.CODE0, self.faults[vector], 14, dpl))

    def set_handler(self, vector: int, selector: int, offset: int) -> None:
        """Let a client's procedure handle a vector."""
        is_irq = _REAL_IRQ <= vector < _REAL_IRQ + 8
        is_hardware = is_irq or _SLAVE_IRQ <= vector < _SLAVE_IRQ + 8
        kind = (14 if self.switch.is_wide else 6) | (0 if is_hardware else 1)
        data = gate(selector, offset, kind, 3)
        if is_irq:
            self.tables.set_gate(_MOVED_IRQ + vector - _REAL_IRQ, data)
        elif vector not in self.faults and vector < _MOVED_IRQ:
            self.tables.set_gate(vector, data)
        if vector in HOOKED and self.client:
            self._hook(vector, is_on=(selector, offset) != (self.code, self.defaults[vector]))

    def _hook(self, vector: int, *, is_on: bool) -> None:
        """Let a client's handler also get an interrupt that comes in real mode."""
        memory, callbacks = self.dos.memory, self.machine.callbacks
        if is_on and vector not in self.real_hooks:
            far = memory.u32(4 * vector)
            self.real_hooks[vector] = far >> 16, far & 0xFFFF
            if vector not in self._hooks:
                self._hooks[vector] = callbacks.add(self._from_real(vector))
            callbacks.set_vector(vector, self._hooks[vector])
        elif not is_on and vector in self.real_hooks:
            segment, offset = self.real_hooks.pop(vector)
            memory.put32(4 * vector, segment << 16 | offset)

    def _from_real(self, vector: int) -> Function:
        def serve(call: Call) -> None:
            self.switch.call_protected(*self.services.interrupts[vector], lambda: None)

        return serve

    def _take_irq(self) -> int:
        """Return the vector of an interrupt request; in protected mode, away from exceptions."""
        vector = self._acknowledge()
        if self.switch.is_protected and _REAL_IRQ <= vector < _REAL_IRQ + 8:
            return vector - _REAL_IRQ + _MOVED_IRQ
        return vector

    def _default(self, vector: int) -> Function:
        """Return what a vector does that no client handles: a service, or real mode's handler."""
        if vector == 0x31:
            return lambda call: self.services.serve(call)

        def reflect(call: Call) -> None:
            if vector == 0x21 and call.ah == 0x4C:
                status = call.al
                self.leave()
                programs.end(self.dos, status)
                return
            if vector == 0x2F and call.ax == 0x1686:
                call.ax = 0
                return
            self._reflect(call, vector)

        return reflect

    def _reflect(self, call: Call, vector: int) -> None:
        """Let real mode's handler serve an interrupt, with the client's registers."""
        far = self.real_hooks.get(vector)
        if far is None:
            word = self.dos.memory.u32(4 * vector)
            far = word >> 16, word & 0xFFFF
        before = self.switch.registers()
        psp = self.dos.psp
        flags = call.flags & ~IOPL3
        registers = before._replace(
            flags=flags, cs=far[0], ip=far[1], ss=0, sp=0, ds=psp, es=psp, fs=0, gs=0
        )

        def back() -> None:
            left = self.switch.left
            assert left is not None
            cpu = call.cpu
            cpu.eax, cpu.ebx, cpu.ecx, cpu.edx = left.eax, left.ebx, left.ecx, left.edx
            cpu.esi, cpu.edi, cpu.ebp = left.esi, left.edi, left.ebp
            call.has_frame = True
            call.flags = call.flags & ~RETURNED | left.flags & RETURNED

        self.switch.call_real(registers, back, is_interrupt=True)

    def _at_once(self, vector: int) -> bool:
        """Serve a client's software interrupt here and now, if it has no handler for it."""
        switch, cpu = self.switch, self.machine.processor.cpu
        if vector not in _DIRECT or not switch.is_protected or cpu.cs & 3 != 3 or cpu.eflags & TF:
            return False
        if self.services.interrupts[vector] != (self.code, self.defaults[vector]):
            return False
        if vector == 0x31:
            call = self.machine.callbacks.call
            call.has_frame = False
            self.services.serve(call)
            return True
        ax = cpu.eax & 0xFFFF
        if (vector == 0x21 and ax >> 8 == 0x4C) or (vector == 0x2F and ax == 0x1686):
            return False
        far = self.dos.memory.u32(4 * vector)
        return switch.reflect_at_once(far >> 16, far & 0xFFFF, self.dos.psp)

    # -- exceptions --------------------------------------------------------------------------------
    def _fault(self, vector: int) -> Function:
        """Return what the stub of an exception does, in ring 0."""

        def serve(call: Call) -> None:
            size = 24 if vector in _WITH_CODE else 20
            place = segments.segment(call.cpu, SS)[1] + call.esp
            words = struct.unpack(f"<{size // 4}I", call.read(place, size))
            error = words[0] if vector in _WITH_CODE else 0
            eip, cs, eflags, esp, ss = words[-5:]
            if not cs & 3:
                self.crash(f"exception {vector:02X}h in the host")
                return
            if vector == _GP and self._emulated(error, eip, cs, eflags, esp, ss):
                return
            handler = self.services.exceptions.get(vector)
            if handler is None and vector < 8:
                installed = self.services.interrupts[vector]
                if installed != (self.code, self.defaults[vector]) or vector in _BREAKS:
                    self._interrupt(installed, eip, cs, eflags, esp, ss)
                    return
            if handler is None:
                self._report(vector, error, eip, cs)
                return
            self._call_handler(handler, error, eip, cs, eflags, esp, ss)

        return serve

    def _resume(self, eip: int, cs: int, eflags: int, esp: int, ss: int) -> None:
        """Go on in ring 3."""
        cpu, switch = self.machine.processor.cpu, self.switch
        switch.set_protected(CS, cs)
        switch.set_protected(SS, ss)
        cpu.eip, cpu.esp = eip, esp
        cpu.eflags = eflags | IOPL3
        segments.update_context(cpu)

    def _emulated(self, error: int, eip: int, cs: int, eflags: int, esp: int, ss: int) -> bool:
        """Do what a client may do although the processor refuses: hlt, int 8 to 0Fh."""
        if error & _IN_IDT:
            vector = error >> 3
            self._interrupt(self.services.interrupts[vector], eip + 2, cs, eflags, esp, ss)
            return True
        if error:
            return False
        segment = self.tables.get(cs)
        if segment is not None and self.dos.memory.u8(segment.base + eip) == _HLT:
            time.sleep(_NAP)
            self._resume(eip + 1, cs, eflags | IF, esp, ss)
            return True
        return False

    def _push(self, ss: int, esp: int, values: tuple[int, ...]) -> int:
        """Push words of the client's size on a stack; return ESP."""
        segment = self.tables.get(ss) or Segment(self.tables.area + at.STACK3, 0, 0, 4)
        size = 4 if self.switch.is_wide else 2
        mask = 0xFFFFFFFF if segment.flags & 4 else 0xFFFF
        for value in values:
            esp = esp & ~mask | esp - size & mask
            data = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
            self.dos.memory.write(segment.base + (esp & mask), data)
        return esp

    def _interrupt(
        self, handler: tuple[int, int], eip: int, cs: int, eflags: int, esp: int, ss: int
    ) -> None:
        """Go on in a handler of an interrupt, on the client's stack."""
        esp = self._push(ss, esp, (eflags, cs, eip))
        self._resume(handler[1], handler[0], eflags, esp, ss)

    def _call_handler(
        self,
        handler: tuple[int, int],
        error: int,
        eip: int,
        cs: int,
        eflags: int,
        esp: int,
        ss: int,
    ) -> None:
        """Call a client's handler of an exception, on the host's stack; it ends with retf."""
        values = (ss, esp, eflags, cs, eip, error, self.code, self.fault_return)
        top = self._push(at.STACK, self.switch.host_esp & ~15, values)
        self._host_esp, self.switch.host_esp = self.switch.host_esp, top
        self._resume(handler[1], handler[0], eflags & ~IF, top, at.STACK)

    def _fault_returned(self, call: Call) -> None:
        """Go on where the frame says, which the handler may have changed."""
        size = 4 if self.switch.is_wide else 2
        place = segments.segment(call.cpu, SS)[1] + call.esp
        form = "<6I" if size == 4 else "<6H"
        _, eip, cs, eflags, esp, ss = struct.unpack(form, call.read(place, 6 * size))
        self.switch.host_esp = min(call.esp + 6 * size + 15 & ~15, at.STACK3_SIZE)
        self._resume(eip, cs, eflags, esp, ss)

    def _unhandled(self, call: Call, vector: int) -> None:
        """Serve the default handler of an exception, which a client has gone on to."""
        size = 4 if self.switch.is_wide else 2
        place = segments.segment(call.cpu, SS)[1] + call.esp + 2 * size
        form = "<3I" if size == 4 else "<3H"
        error, eip, cs = struct.unpack(form, call.read(place, 3 * size))
        self._report(vector, error, eip, cs)

    def _report(self, vector: int, error: int, eip: int, cs: int) -> None:
        self.crash(f"exception {vector:02X}h, error code {error:04X}h, at {cs:04X}:{eip:08X}")

    # -- raw mode switches -------------------------------------------------------------------------
    def _raw_to_protected(self, call: Call) -> None:
        """Go to protected mode: AX CX DX (E)BX SI (E)DI are DS ES SS (E)SP CS (E)IP."""
        cpu, switch = call.cpu, self.switch
        esp, eip = (call.ebx, call.edi) if switch.is_wide else (call.bx, call.di)
        switch.real_stack = call.ss, call.sp
        wanted = ((DS, call.ax), (ES, call.cx), (SS, call.dx), (CS, call.si), (FS, 0), (GS, 0))
        switch.enter(is_protected=True)
        for index, selector in wanted:
            switch.set_protected(index, selector)
        cpu.esp, cpu.eip, cpu.eflags = esp, eip, cpu.eflags | IOPL3
        segments.update_context(cpu)

    def _raw_to_real(self, call: Call) -> None:
        """Go to real mode: AX CX DX BX SI DI are DS ES SS SP CS IP."""
        cpu, switch = call.cpu, self.switch
        wanted = ((DS, call.ax), (ES, call.cx), (SS, call.dx), (CS, call.si), (FS, 0), (GS, 0))
        sp, ip = call.bx, call.di
        switch.enter(is_protected=False)
        for index, value in wanted:
            switch.set_real(index, value)
        cpu.esp, cpu.eip, cpu.eflags = sp, ip, cpu.eflags & ~IOPL3
        segments.update_context(cpu)
