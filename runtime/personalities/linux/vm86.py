"""Virtual-8086 mode for programs: what a 32-bit kernel does for vm86 and vm86old.

The calls load the registers that the program gives and return when something happens that it has
to see; cli, sti, pushf, popf, int and iret are emulated with a virtual IF (vm86(2), Linux 6.1's
arch/x86/kernel/vm86_32.c).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.interpreting import Exit
from runtime.memory import MemoryFault
from runtime.personalities.linux import defs, segments
from runtime.personalities.linux.table import syscall
from runtime.system import segments as hidden
from translator.state import GPRS, SEGMENTS

if TYPE_CHECKING:
    from runtime.personalities.linux.threads import Thread

SIGNAL, UNKNOWN, INTERRUPT, STI, PIC_RETURN, TRAP = 0, 1, 2, 3, 4, 6
_INSTALL_CHECK, _ENTER, _ENTER_NO_BYPASS = 0, 1, 2
_IF, _TF, _AC = 1 << 9, 1 << 8, 1 << 18
_IOPL, _NT, _ID = 3 << 12, 1 << 14, 1 << 21
_VIF, _VIP = 1 << 19, 1 << 20
_SAFE, _RETURNED = 0xDD5, 0xDFF
_BIOS = 0xF000
_FORCE_RETURN, _DEBUGGED, _TF_PENDING = 1, 2, 4
# struct vm86_regs: general registers, four unused words and orig_eax, then the rest of what iret
# pops; then flags, screen bitmap, processor, two bit maps; of vm86plus flags and a bit map more.
_REGS, _REST, _PLUS = struct.Struct("<21I"), struct.Struct("<III32s32s"), struct.Struct("<I32s")
_GENERAL = ("ebx", "ecx", "edx", "esi", "edi", "ebp", "eax")
_VIRTUAL = ("es", "ds", "fs", "gs")
_PREFIXES = frozenset(b"\x66\x67\x2e\x3e\x26\x36\x65\x64\xf2\xf3")
# Which flags a processor has that a program may see as it set them: by cpu_type.
_FLAGS_SINCE = {2: 0, 3: _NT | _IOPL, 4: _NT | _IOPL | _AC}
_GP, _UD = 13, 6


@dataclass
class Session:
    """A thread in virtual-8086 mode."""

    address: int  # of the program's structure
    kept: dict[str, int]  # registers of the caller
    interrupts: bytes  # bit map of the interrupts that the program wants to see
    dos: bytes  # the same for the functions of int 21h
    virtual: int  # flags as the program set them; VIF and VIP
    mask: int  # the flags of these that it may see
    plus: int  # flags of vm86plus
    debugged: bytes
    is_plus: bool


@syscall(113, "vm86old")
def vm86old(t: Thread, address: int) -> int:
    """Run in virtual-8086 mode."""
    return _enter(t, address, is_plus=False)


@syscall(166, "vm86")
def vm86(t: Thread, function: int, address: int) -> int:
    """Run in virtual-8086 mode with what vm86plus adds; interrupts of devices are refused."""
    if function == _INSTALL_CHECK:
        return 0
    if function in (_ENTER, _ENTER_NO_BYPASS):
        return _enter(t, address, is_plus=True)
    return -defs.EPERM if 3 <= function <= 6 else -defs.EINVAL


def _enter(t: Thread, address: int, *, is_plus: bool) -> int:
    cpu = t.cpu
    words = _REGS.unpack(t.mem.read(address, _REGS.size))
    _, _, processor, interrupts, dos = _REST.unpack(t.mem.read(address + _REGS.size, _REST.size))
    plus, debugged = 0, bytes(32)
    if is_plus:
        place = address + _REGS.size + _REST.size
        plus, debugged = _PLUS.unpack(t.mem.read(place, _PLUS.size))
    kept = {name: getattr(cpu, name) for name in (*GPRS, "eip", "eflags", *SEGMENTS)}
    eip, cs, flags, esp, ss, *virtual = words[12:]
    mask = _FLAGS_SINCE.get(processor, _NT | _IOPL | _AC | _ID)
    t.vm86 = Session(address, kept, interrupts, dos, flags, mask, plus, debugged, is_plus=is_plus)
    for name, value in zip(_GENERAL, words, strict=False):
        setattr(cpu, name, value)
    cpu.eip, cpu.esp = eip, esp
    cpu.eflags = flags & _SAFE | cpu.eflags & ~_SAFE | hidden.EFLAGS_VM
    for name, selector in zip(("cs", "ss", *_VIRTUAL), (cs, ss, *virtual), strict=True):
        hidden.set_real_segment(cpu, SEGMENTS.index(name), selector & 0xFFFF)
    hidden.update_context(cpu)
    return int(cpu.eax)


def leave(t: Thread, result: int) -> None:
    """Return from the call; the program's structure gets the registers of virtual-8086 mode."""
    session, cpu = t.vm86, t.cpu
    assert session is not None
    t.vm86 = None
    seen = _VIF | session.mask
    flags = cpu.eflags & ~seen | session.virtual & seen
    values = [getattr(cpu, name) for name in _GENERAL]
    tail = [cpu.eip, cpu.cs, flags, cpu.esp, cpu.ss, *(getattr(cpu, name) for name in _VIRTUAL)]
    for name in (*GPRS, "eip", "eflags"):
        setattr(cpu, name, session.kept[name])
    hidden.update_context(cpu)
    for name in SEGMENTS:
        segments.load(t, name, session.kept[name], quiet=True)
    cpu.eax = result
    t.mem.write(session.address, struct.pack("<7I", *values))
    t.mem.write(session.address + 48, struct.pack("<9I", *tail))


def handle(t: Thread, stop: Exit) -> Exit | None:
    """Handle a fault in virtual-8086 mode as the kernel does; return what becomes a signal."""
    assert t.vm86 is not None
    if stop.vector == _GP:
        return _emulate(t, t.vm86)
    if stop.vector < _UD and _trap(t, t.vm86, stop.vector):
        return None
    return stop


def _trap(t: Thread, session: Session, vector: int) -> bool:
    if not session.is_plus:
        return False
    if vector in (1, 3):
        leave(t, TRAP | vector << 8)
    else:
        _interrupt(t, session, vector)
    return True


# -- flags -----------------------------------------------------------------------------------------
def _flags(t: Thread, session: Session) -> int:
    flags = t.cpu.eflags & _RETURNED | _IOPL
    if session.virtual & _VIF:
        flags |= _IF
    return flags | session.virtual & session.mask


def _set_flags(t: Thread, session: Session, flags: int, size: int) -> None:
    mask = session.mask if size == 4 else session.mask & 0xFFFF
    if session.plus & (_DEBUGGED | _TF_PENDING) == _DEBUGGED | _TF_PENDING:
        flags |= _TF
    session.virtual = session.virtual & ~mask | flags & mask
    t.cpu.eflags = t.cpu.eflags & ~_SAFE | flags & _SAFE
    _set_if(session, is_on=bool(flags & _IF))


def _set_if(session: Session, *, is_on: bool) -> None:
    session.virtual = session.virtual | _VIF if is_on else session.virtual & ~_VIF


# -- the emulated insns ----------------------------------------------------------------------------
class _Stack:
    """The stack of virtual-8086 mode; SP wraps."""

    def __init__(self, t: Thread) -> None:
        self.t, self.base, self.sp = t, t.cpu.ss << 4, t.cpu.esp & 0xFFFF

    def push(self, value: int, size: int) -> None:
        """Push a number of *size* bytes."""
        for byte in reversed((value & (1 << 8 * size) - 1).to_bytes(size, "little")):
            self.sp = self.sp - 1 & 0xFFFF
            self.t.mem.write(self.base + self.sp, bytes((byte,)))

    def pop(self, size: int) -> int:
        """Pop a number of *size* bytes."""
        data = b"".join(self.t.mem.read(self.base + (self.sp + i & 0xFFFF), 1) for i in range(size))
        self.sp = self.sp + size & 0xFFFF
        return int.from_bytes(data, "little")

    def commit(self) -> None:
        """Make SP the CPU's."""
        self.t.cpu.esp = self.t.cpu.esp & ~0xFFFF | self.sp


def _is_seen(t: Thread, session: Session, vector: int) -> bool:
    """Tell whether the program wants to see an interrupt itself; those of the BIOS, it must."""
    function = t.cpu.eax >> 8 & 0xFF
    for_dos = vector == 0x21 and session.dos[function >> 3] >> (function & 7) & 1
    wanted = session.interrupts[vector >> 3] >> (vector & 7) & 1 or for_dos
    return bool(wanted) or t.cpu.cs == _BIOS


def _interrupt(t: Thread, session: Session, vector: int) -> None:
    """Call the handler in the vector table, or let the program see the interrupt."""
    cpu, stack = t.cpu, _Stack(t)
    try:
        entry: int = _BIOS << 16 if _is_seen(t, session, vector) else t.mem.u32(4 * vector)
        if entry >> 16 != _BIOS:
            for value in (_flags(t, session), cpu.cs, cpu.eip):
                stack.push(value, 2)
    except MemoryFault:
        entry = _BIOS << 16
    if entry >> 16 == _BIOS:
        leave(t, INTERRUPT | vector << 8)
        return
    stack.commit()
    hidden.set_real_segment(cpu, hidden.CS, entry >> 16)
    cpu.eip = cpu.eip & ~0xFFFF | entry & 0xFFFF
    cpu.eflags &= ~(_TF | _AC)
    _set_if(session, is_on=False)
    hidden.update_context(cpu)


def _emulate(t: Thread, session: Session) -> Exit | None:
    """Execute the insn that raised #GP; return the trap that follows, if that is a signal."""
    cpu = t.cpu
    had_tf, ip, size = cpu.eflags & _TF, cpu.eip & 0xFFFF, 2

    def next_byte() -> int:
        nonlocal ip
        value: int = t.mem.read((cpu.cs << 4) + ip, 1)[0]
        ip = ip + 1 & 0xFFFF
        return value

    stack, is_checked = _Stack(t), False
    try:
        while (opcode := next_byte()) in _PREFIXES:
            size = 4 if opcode == 0x66 else size
        if opcode == 0xCD:
            vector = next_byte()
            cpu.eip = cpu.eip & ~0xFFFF | ip
            if session.plus & _DEBUGGED and session.debugged[vector >> 3] >> (vector & 7) & 1:
                leave(t, INTERRUPT | vector << 8)
            else:
                _interrupt(t, session, vector)
            return None
        if opcode == 0x9C:
            stack.push(_flags(t, session), size)
        elif opcode == 0x9D:
            _set_flags(t, session, stack.pop(size), size)
            is_checked = True
        elif opcode == 0xCF:
            ip, selector, flags = (stack.pop(size) for _ in range(3))
            ip &= 0xFFFF
            hidden.set_real_segment(cpu, hidden.CS, selector & 0xFFFF)
            _set_flags(t, session, flags, size)
            is_checked = True
        elif opcode in (0xFA, 0xFB):
            is_checked = opcode == 0xFB
            _set_if(session, is_on=is_checked)
        else:
            leave(t, UNKNOWN)
            return None
    except MemoryFault:
        leave(t, UNKNOWN)
        return None
    stack.commit()
    cpu.eip = cpu.eip & ~0xFFFF | ip
    hidden.update_context(cpu)
    return _settle(t, session, is_checked=is_checked, had_tf=bool(had_tf))


def _settle(t: Thread, session: Session, *, is_checked: bool, had_tf: bool) -> Exit | None:
    """Look whether the program has to see what flags say behind an emulated insn."""
    if is_checked and session.virtual & (_VIP | _VIF) == _VIP | _VIF:
        leave(t, STI)
    elif session.plus & _FORCE_RETURN and session.virtual & (_IF | _VIF):
        leave(t, PIC_RETURN)
    elif had_tf and not _trap(t, session, 1):
        return Exit("fault", 1, info="step")
    return None
