"""What the source that interp generates calls: number functions, x87 stack, host ops."""

from __future__ import annotations

from typing import Any

from translator.faults import GuestFault
from translator.state import FIELDS

__all__ = ["GuestFault"]

# What a masked invalid operation yields: the QNaN "real indefinite".
_INDEFINITE = 0xFFFF_C000_0000_0000_0000
_FPU, _FCW, _FSW = (FIELDS[name].offset // 2 for name in ("fpu", "fcw", "fsw"))
_MXCSR = FIELDS["mxcsr"].offset // 4
_FPR = FIELDS["fpr0"].offset
_IE_SF, _C1, _ES_B = 0x41, 0x200, 0x8080


def _signed(value: int, width: int) -> int:
    half = 1 << (width - 1)
    return (value ^ half) - half


def _sdiv(left: int, right: int, width: int) -> int:
    a, b = _signed(left, width), _signed(right, width)
    quot = abs(a) // abs(b)
    return (quot if (a < 0) == (b < 0) else -quot) & ((1 << width) - 1)


def _srem(left: int, right: int, width: int) -> int:
    a, b = _signed(left, width), _signed(right, width)
    rem = abs(a) % abs(b)
    return (-rem if a < 0 else rem) & ((1 << width) - 1)


def _cttz(value: int, width: int) -> int:
    return (value & -value).bit_length() - 1 if value else width


def _bswap(value: int, width: int) -> int:
    return int.from_bytes(value.to_bytes(width // 8, "little"), "big")


def _wide(data: memoryview) -> int:
    return int.from_bytes(data, "little")


_RMW = {
    "add": lambda old, value, mask: (old + value) & mask,
    "and": lambda old, value, mask: old & value,
    "or": lambda old, value, mask: old | value,
    "xor": lambda old, value, mask: old ^ value,
    "xchg": lambda old, value, mask: value,
}


def _rmw(mem: Any, name: str, address: int, value: int, width: int) -> int:
    """Read, modify, write as one atomic step; return what was there."""
    old: int = mem.load(address, width)
    while True:
        new = _RMW[name](old, value, (1 << width) - 1)
        seen: int = mem.cmpxchg(address, old, new, width)
        if seen == old:
            return old
        old = seen


# -- x87 stack -----------------------------------------------------------------------------------
def _turn(mask: int, top: int) -> int:
    """Turn a mask of ST(i) into one of physical registers."""
    mask <<= top
    return (mask | mask >> 8) & 0xFF


def _get_st(cpu: Any, index: int) -> int:
    """Read a physical register; an empty one reads as the indefinite NaN."""
    index &= 7
    if not cpu.r16[_FPU] >> index & 1:
        return _INDEFINITE
    at = _FPR + 16 * index
    return int.from_bytes(cpu.r8[at : at + 10], "little")


def _set_st(cpu: Any, index: int, value: int) -> None:
    at = _FPR + 16 * (index & 7)
    cpu.r8[at : at + 10] = value.to_bytes(10, "little")


def _check_stack(cpu: Any, valid: int, empty: int) -> int:
    """Check ST(i) in *valid* and in *empty*. 0: right; 1: stack fault, masked; -1: unmasked."""
    top, filled = cpu.r16[_FPU] >> 8, cpu.r16[_FPU] & 0xFF
    under, over = _turn(valid, top) & ~filled, _turn(empty, top) & filled
    if not (under or over):
        return 0
    cpu.r16[_FSW] = cpu.r16[_FSW] & ~_C1 | _IE_SF | (_C1 if over else 0)
    if cpu.r16[_FCW] & 1:
        return 1
    cpu.r16[_FSW] |= _ES_B
    return -1


def _move_stack(fpu: int, delta: int, fill: int, empty: int, mode: str = "") -> int:
    """Return the field `fpu` after TOP += delta and marking ST(i) of the masks full or empty."""
    if mode == "mmx":
        return 0xFF
    if mode == "empty":
        return fpu & 0x700
    top = fpu >> 8
    return (top + delta & 7) << 8 | (fpu & 0xFF | _turn(fill, top)) & ~_turn(empty, top)


# -- host ops ------------------------------------------------------------------------------------
def _host(cpu: Any, name: str, args: tuple[int, ...]) -> tuple[int, ...] | None:
    """Compute a HOST op. None: an unmasked x87 exception keeps the insn from having effect."""
    from translator.tiers import micro

    fcw, mxcsr = cpu.r16[_FCW], cpu.r32[_MXCSR]
    outs, fsw, raised = micro.call(name, args, fcw, mxcsr)
    cpu.r32[_MXCSR] = mxcsr | raised & 0x3F
    if raised & ~(mxcsr >> 7) & 0x3F:
        raise GuestFault(19)
    cpu.r16[_FSW] |= fsw & 0x7F
    if fsw & ~fcw & 0x3F:
        cpu.r16[_FSW] |= _ES_B
        if fsw & ~fcw & 0x07:  # invalid, denormal, division by zero: found before computing
            return None
    return outs
