"""What the source that interp generates calls: number functions, x87 stack, host ops."""

from __future__ import annotations

from typing import Any

from translator.faults import GuestFault
from translator.state import FIELDS
from translator.tiers.exactness import is_inexact
from translator.vectors import join, lanes

__all__ = ["GuestFault"]

_FPU, _FCW, _FSW = (FIELDS[name].offset // 2 for name in ("fpu", "fcw", "fsw"))
_MXCSR = FIELDS["mxcsr"].offset // 4
_FPR = FIELDS["fpr0"].offset
_MASKS, _ES = 0x3F, 0x80
_EARLY, _FTZ = 0x07, 0x8000  # MXCSR: IE DE ZE, flush to zero
_OE, _UE, _PE = 0x08, 0x10, 0x20


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
    """Read a physical register."""
    at = _FPR + 16 * (index & 7)
    return int.from_bytes(cpu.r8[at : at + 10], "little")


def _set_st(cpu: Any, index: int, value: int) -> None:
    at = _FPR + 16 * (index & 7)
    cpu.r8[at : at + 10] = value.to_bytes(10, "little")


def _fp_pending(cpu: Any) -> bool:
    """Tell whether an unmasked x87 exception waits for the next waiting insn."""
    return bool(cpu.r16[_FSW] & _ES)


def _fp_special(cpu: Any, valid: int, empty: int) -> bool:
    """Tell whether an insn needs more than its IR says.

    That is when an exception is unmasked or pending, or when not all ST(i) in *valid* are in use
    and all in *empty* empty.
    """
    if cpu.r16[_FCW] & _MASKS != _MASKS or cpu.r16[_FSW] & _ES:
        return True
    top, filled = cpu.r16[_FPU] >> 8, cpu.r16[_FPU] & 0xFF
    return bool(_turn(valid, top) & ~filled or _turn(empty, top) & filled)


def _move_stack(fpu: int, delta: int, fill: int, empty: int, mode: str = "") -> int:
    """Return the field `fpu` after TOP += delta and marking ST(i) of the masks full or empty."""
    if mode == "mmx":
        return 0xFF
    if mode == "empty":
        return 0
    top = fpu >> 8
    return (top + delta & 7) << 8 | (fpu & 0xFF | _turn(fill, top)) & ~_turn(empty, top)


# -- host ops ------------------------------------------------------------------------------------
def _host(cpu: Any, name: str, args: tuple[int, ...]) -> tuple[tuple[int, ...], int, int]:
    """Compute a HOST op; return its outputs and the x87 and SSE exception flags that it raised."""
    if name.startswith("dpp") and ~cpu.r32[_MXCSR] >> 7 & _MASKS:
        _dot_product(cpu, name, args)
    return _step(cpu, name, args)


def _dot_product(cpu: Any, name: str, args: tuple[int, ...]) -> None:
    """Fault as the steps of dpps or dppd do: products, then sums of neighbours."""
    kind, number = name[2:4], int(name.partition(":")[2])
    lane = 32 if kind == "ps" else 64
    selected = (((1 << lane) - 1) << i * lane for i in range(128 // lane) if number >> 4 + i & 1)
    mask = sum(selected)
    (value,), _, flags = _step(cpu, "mul" + kind, (args[0] & mask, args[1] & mask))
    for _ in range(128 // lane // 2):
        numbers = lanes(value, lane, 128)
        neighbours = join(numbers[0::2], lane), join(numbers[1::2], lane)
        (value,), _, more = _step(cpu, "add" + kind, neighbours, flags)
        flags |= more


def _step(
    cpu: Any, name: str, args: tuple[int, ...], before: int = 0
) -> tuple[tuple[int, ...], int, int]:
    """Run a HOST row; *before* are the flags of the insn's earlier steps."""
    from translator.tiers import micro

    mxcsr = cpu.r32[_MXCSR]
    unmasked = ~(mxcsr >> 7) & _MASKS
    # Unmasked, a tiny result is never flushed, and raises UE even where it is exact.
    control = mxcsr & ~_FTZ if unmasked & _UE else mxcsr
    outs, fsw, raised = micro.call(name, args, cpu.r16[_FCW], control)
    if unmasked:
        if unmasked & _UE:
            raised |= micro.call(name, args, cpu.r16[_FCW], mxcsr | _FTZ)[2] & _UE
        if raised & unmasked:
            # Invalid, denormal and division by zero are found before computing.
            early = raised & unmasked & _EARLY
            if raised & unmasked & (_OE | _UE) and not is_inexact(name, args, mxcsr):
                raised &= ~_PE
            cpu.r32[_MXCSR] = mxcsr | before | (raised & _EARLY if early else raised)
            raise GuestFault(19)
    # FPCHECK has made sure that all x87 exceptions are masked.
    return outs, fsw & _MASKS, raised
