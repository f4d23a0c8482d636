"""Signal frames: CPU state and siginfo in, i386 sigframe or rt_sigframe in guest memory out.

The layouts are those of a Linux 6.x x86-64 kernel for 32-bit tasks (struct sigframe_ia32 and
struct rt_sigframe_ia32); `restore` and `restore_rt` are the way back for (rt_)sigreturn.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from runtime.memory import MemoryFault
from runtime.personalities.linux import defs, fpframe, segments

if TYPE_CHECKING:
    from runtime.personalities.linux.signals import Action
    from runtime.personalities.linux.threads import Thread

# pretcode, sig, sigcontext, unused fpstate, extramask, retcode
_OLD_SIZE = 4 + 4 + 88 + 624 + 4 + 8
_OLD_CONTEXT, _OLD_EXTRAMASK, _OLD_RETCODE = 8, 720, 724
# pretcode, sig, pinfo, puc, siginfo, ucontext, retcode
_RT_SIZE = 16 + 128 + 116 + 8
_RT_INFO, _RT_UCONTEXT, _RT_RETCODE = 16, 144, 260
_UC_STACK, _UC_CONTEXT, _UC_MASK = 8, 20, 108
_UC_FP_XSTATE = 1

# popl %eax; movl $119, %eax; int $0x80            movl $173, %eax; int $0x80; nop byte
_OLD_CODE, _RT_CODE = bytes.fromhex("58b877000000cd80"), bytes.fromhex("b8ad000000cd8000")

# gs fs es ds di si bp sp bx dx cx ax trapno err ip cs flags sp ss fpstate oldmask cr2
_CONTEXT = struct.Struct("<22I")

_AC, _DF, _TF, _RF = 1 << 18, 1 << 10, 1 << 8, 1 << 16
_RESTORED_FLAGS = _AC | 1 << 11 | _DF | _TF | 0xD5 | _RF  # plus SF ZF AF PF CF
MIN_STACK = 2048


class BadStack(Exception):  # noqa: N818 (the guest's event, not our error)
    """The frame does not fit on the stack or its memory is not writable."""


class AltStack(NamedTuple):
    """The alternate signal stack of a thread, as sigaltstack set it."""

    sp: int = 0
    flags: int = 0
    size: int = 0

    def contains(self, sp: int) -> bool:
        """Tell whether *sp* lies on this stack; never so once it disarms itself."""
        if self.flags & defs.SS_AUTODISARM:
            return False
        return self.holds(sp)

    def holds(self, sp: int) -> bool:
        """Tell whether *sp* lies on this stack, whatever the flags."""
        return self.sp < sp <= self.sp + self.size

    def state(self, sp: int) -> int:
        """Return SS_DISABLE, SS_ONSTACK or 0, as the kernel's sas_ss_flags."""
        if not self.size:
            return defs.SS_DISABLE
        return defs.SS_ONSTACK if self.contains(sp) else 0


DISARMED = AltStack(0, defs.SS_DISABLE, 0)


def push(t: Thread, signo: int, action: Action, info: bytes, mask: int) -> None:
    """Build the frame of *signo* with the saved *mask* and enter the handler."""
    is_rt = bool(action.flags & defs.SA_SIGINFO)
    frame, fpstate = _place(t, action, _RT_SIZE if is_rt else _OLD_SIZE)
    cpu, mem = t.cpu, t.mem
    context = _context(t, fpstate, mask)
    restorer = action.restorer if action.flags & defs.SA_RESTORER else 0
    restorer = restorer or t.process.return_stub(is_rt)
    try:
        mem.write(fpstate, fpframe.build(cpu.fxsave(), cpu.cs, cpu.ds))
        if is_rt:
            data = _rt_frame(t, frame, signo, restorer, info, context, mask)
        else:
            data = _old_frame(signo, restorer, context, mask)
        mem.write(frame, data)
    except MemoryFault as fault:
        raise BadStack from fault
    if t.altstack.flags & defs.SS_AUTODISARM:
        t.altstack = DISARMED
    cpu.esp = frame
    cpu.eip = action.handler
    cpu.eax = signo
    cpu.edx, cpu.ecx = (frame + _RT_INFO, frame + _RT_UCONTEXT) if is_rt else (0, 0)
    cpu.eflags &= ~(_DF | _RF | _TF)
    cpu.fxrstor(fpframe.INITIAL)
    for name in ("ds", "es", "ss"):
        segments.load(t, name, defs.USER_DS)
    segments.load(t, "cs", defs.USER_CS)


def _place(t: Thread, action: Action, size: int) -> tuple[int, int]:
    """Return the addresses of the frame and of the FP state above it."""
    sp = t.cpu.esp
    stack = t.altstack
    nested = stack.contains(sp)
    entering = False
    if action.flags & defs.SA_ONSTACK:
        if stack.state(sp) == 0:
            sp = stack.sp + stack.size
            entering = True
    elif (
        not nested
        and t.cpu.ss != defs.USER_DS
        and not action.flags & defs.SA_RESTORER
        and action.restorer
    ):
        sp = action.restorer  # the ancient way to name a signal stack
        entering = True
    state_size = fpframe.USER_SIZE + 4
    fxsave = (sp - state_size) & -64
    fpstate = fxsave - fpframe.FREGS_SIZE
    frame = ((fpstate - size + 4) & -16) - 4
    if (nested or entering) and not stack.holds(frame) and stack.size:
        raise BadStack
    if frame < 0:
        raise BadStack
    return frame, fpstate


def _context(t: Thread, fpstate: int, mask: int) -> bytes:
    cpu = t.cpu
    return _CONTEXT.pack(
        cpu.gs,
        cpu.fs,
        cpu.es,
        cpu.ds,
        cpu.edi,
        cpu.esi,
        cpu.ebp,
        cpu.esp,
        cpu.ebx,
        cpu.edx,
        cpu.ecx,
        cpu.eax,
        t.trap_number,
        t.trap_error,
        cpu.eip,
        cpu.cs,
        cpu.eflags,
        cpu.esp,
        cpu.ss,
        fpstate,
        mask & 0xFFFF_FFFF,
        t.trap_address,
    )


def _old_frame(signo: int, restorer: int, context: bytes, mask: int) -> bytes:
    data = bytearray(_OLD_SIZE)
    struct.pack_into("<II", data, 0, restorer, signo)
    data[_OLD_CONTEXT : _OLD_CONTEXT + 88] = context
    struct.pack_into("<I", data, _OLD_EXTRAMASK, mask >> 32)
    data[_OLD_RETCODE:] = _OLD_CODE
    return bytes(data)


def _rt_frame(
    t: Thread, frame: int, signo: int, restorer: int, info: bytes, context: bytes, mask: int
) -> bytes:
    head = struct.pack("<IIII", restorer, signo, frame + _RT_INFO, frame + _RT_UCONTEXT)
    stack = struct.pack("<III", t.altstack.sp, t.altstack.flags, t.altstack.size)
    ucontext = struct.pack("<II", _UC_FP_XSTATE, 0) + stack + context + struct.pack("<Q", mask)
    return head + info[:128].ljust(128, b"\0") + ucontext + _RT_CODE


def restore(t: Thread) -> int:
    """Undo the frame of a handler without SA_SIGINFO; return its signal mask."""
    frame = (t.cpu.esp - 8) & 0xFFFF_FFFF
    low: int = t.mem.u32(frame + _OLD_CONTEXT + 80)
    high: int = t.mem.u32(frame + _OLD_EXTRAMASK)
    _restore_context(t, t.mem.read(frame + _OLD_CONTEXT, 88))
    return low | high << 32


def restore_rt(t: Thread) -> tuple[int, AltStack]:
    """Undo the frame of an SA_SIGINFO handler; return its signal mask and alternate stack."""
    frame = (t.cpu.esp - 4) & 0xFFFF_FFFF
    ucontext = t.mem.read(frame + _RT_UCONTEXT, 116)
    _restore_context(t, ucontext[_UC_CONTEXT : _UC_CONTEXT + 88])
    mask: int = struct.unpack_from("<Q", ucontext, _UC_MASK)[0]
    return mask, AltStack(*struct.unpack_from("<III", ucontext, _UC_STACK))


def _restore_context(t: Thread, context: bytes) -> None:
    """Load every register from a sigcontext; raise MemoryFault or ValueError if it is unusable."""
    (gs, fs, es, ds, edi, esi, ebp, esp, ebx, edx, ecx, eax, _trap, _error, eip, cs, flags, _sp) = (
        _CONTEXT.unpack(context)[:18]
    )
    ss, fpstate = _CONTEXT.unpack(context)[18:20]
    image = fpframe.parse(_read_fpstate(t, fpstate)) if fpstate else fpframe.INITIAL
    cpu = t.cpu
    cpu.edi, cpu.esi, cpu.ebp, cpu.esp = edi, esi, ebp, esp
    cpu.ebx, cpu.edx, cpu.ecx, cpu.eax, cpu.eip = ebx, edx, ecx, eax, eip
    cpu.eflags = (cpu.eflags & ~_RESTORED_FLAGS) | (flags & _RESTORED_FLAGS)
    for name, selector in (("gs", gs), ("fs", fs), ("es", es), ("ds", ds)):
        selector &= 0xFFFF
        segments.load(t, name, selector | 3 if selector > 3 else selector, quiet=True)
    segments.load(t, "cs", cs & 0xFFFF | 3, quiet=True)
    segments.load(t, "ss", ss & 0xFFFF | 3, quiet=True)
    cpu.fxrstor(image)


def _read_fpstate(t: Thread, address: int) -> bytes:
    """Read as much FP state as the frame claims to have."""
    base: bytes = t.mem.read(address, fpframe.FREGS_SIZE + fpframe.FXSAVE_SIZE)
    try:
        return base + t.mem.read(address + len(base), fpframe.EXTENDED_SIZE - len(base))
    except MemoryFault:
        return base
