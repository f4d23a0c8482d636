"""Insns of the interp tier that an operating system likes, compiled: as system.py has them.

fxsave and fxrstor (a switch of processes), cpuid (the start of each program: what Python answered
once is kept), and the addresses of operands in memory.
"""

from __future__ import annotations

from collections.abc import Callable

from translator.quick.accesses import effective32, operand_size
from translator.quick.compiler import copy, put8, put16, put32, put64, s64, u8, u16, u32
from translator.quick.paging import KNOWN_LEAVES, VIEW
from translator.quick.registers import EAX, ECX, EDX, FULL, executed, host_of
from translator.state import FIELDS

EBX, CR0 = FIELDS["ebx"].offset, FIELDS["cr0"].offset
FPU, FCW, FSW, FCC, FC1 = (FIELDS[n].offset for n in ("fpu", "fcw", "fsw", "fcc", "fc1"))
MXCSR, IP, OP, DP = (FIELDS[n].offset for n in ("mxcsr", "fpu_ip", "fpu_op", "fpu_dp"))
FPR, XMM = FIELDS["fpr0"].offset, FIELDS["xmm0"].offset
NO_FPU = 0xC  # of CR0: EM, TS
MXCSR_MASK, EXCEPTIONS, ES_B = 0xFFFF, 0x3F, 0x8080
IMAGE_SIZE = 512
BEHIND = 32  # where the length stands in what `memory_at` returns
LEAVES_MAX = 64  # rows of known answers: leaf, subleaf, EAX, EBX, ECX, EDX; u32 each
LEAF_ROW = 24


def memory_at(st: int, code: int) -> int:
    """Return the address that the ModRM byte at *code* names, flat, and its length above 32 bits.

    Below 0: it names a register.
    """
    modrm = u8(code)
    if modrm >= 0xC0:
        return -1
    size = 1 + operand_size(modrm, u8(code + 1), 1)
    return effective32(st, modrm, code + 1) | size << BEHIND


# -- x87 and SSE -----------------------------------------------------------------------------------
def fxsave(st: int, to: int) -> int:
    """Store the image (runtime/fpstate.py); the 96 bytes for software at its end stay."""
    fpu = u16(st + FPU)
    top = fpu >> 8
    conditions = u8(st + FCC) & 0x45 | u8(st + FC1) & 2
    put16(to, u16(st + FCW))
    put16(to + 2, u16(st + FSW) | conditions << 8 | top << 11)
    put16(to + 4, fpu & 0xFF)
    put16(to + 6, u16(st + OP))
    put64(to + 8, u32(st + IP))
    put64(to + 16, u32(st + DP))
    put32(to + 24, u32(st + MXCSR))
    put32(to + 28, MXCSR_MASK)
    for i in range(0, 8):
        register = st + FPR + 16 * (top + i & 7)
        put64(to + 32 + 16 * i, s64(register))
        put64(to + 40 + 16 * i, u16(register + 8))
    copy(to + 160, st + XMM, 128)
    return 1


def fxrstor(st: int, image: int) -> int:
    """Load the image; 0: it is bad."""
    mxcsr = u32(image + 24)
    if mxcsr & ~MXCSR_MASK:
        return 0
    fcw = u16(image) & 0x1F3F | 0x40
    fsw = u16(image + 2)
    top = fsw >> 11 & 7
    put16(st + FCW, fcw)
    put16(st + FSW, fsw & 0x7F | (ES_B if fsw & ~fcw & EXCEPTIONS else 0))
    put8(st + FCC, fsw >> 8 & 0x45)
    put8(st + FC1, fsw >> 8 & 2)
    put16(st + FPU, top << 8 | u8(image + 4))
    put16(st + OP, u16(image + 6) & 0x7FF)
    put32(st + IP, u32(image + 8))
    put32(st + DP, u32(image + 16))
    put32(st + MXCSR, mxcsr)
    for i in range(0, 8):
        register = st + FPR + 16 * (top + i & 7)
        put64(register, s64(image + 32 + 16 * i))
        put16(register + 8, u16(image + 40 + 16 * i))
    copy(st + XMM, image + 160, 128)
    return 1


def fx_insn(ctx: int, st: int, code: int, eip: int) -> int:
    """Execute fxsave or fxrstor; *code* is at its ModRM byte."""
    kind = u8(code) >> 3 & 7
    place = memory_at(st, code)
    if place < 0 or kind > 1 or place & 15 or u32(st + CR0) & NO_FPU:
        return 0
    image = host_of(ctx, s64(ctx + VIEW), place & FULL, IMAGE_SIZE, 1 - kind)
    if not image:
        return 0
    done = fxrstor(st, image) if kind else fxsave(st, image)
    return executed(st, eip + 2 + (place >> BEHIND)) if done else 0


# -- cpuid -----------------------------------------------------------------------------------------
def identify(ctx: int, st: int, behind: int) -> int:
    """Execute cpuid, if the answer is known."""
    table = s64(ctx + KNOWN_LEAVES)
    for i in range(0, u32(table)):
        row = table + 8 + LEAF_ROW * i
        if u32(row) == u32(st + EAX) and u32(row + 4) == u32(st + ECX):
            put32(st + EAX, u32(row + 8))
            put32(st + EBX, u32(row + 12))
            put32(st + ECX, u32(row + 16))
            put32(st + EDX, u32(row + 20))
            return executed(st, behind)
    return 0


FUNCTIONS: list[Callable[..., int]] = [memory_at, fxsave, fxrstor, fx_insn, identify]
