"""Insn -> Shape: what translating a block needs to know of an insn beyond its length and slots."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from translator import flags
from translator.decode import Scan, decode_key
from translator.insn import Insn
from translator.ir import CondLink, Op, Terminal, Unit
from translator.semantics import lift

# Ops that leave the insn's straight path: what is dropped before them could be missed.
_FAULTS = frozenset({Op.LOAD, Op.STORE, Op.CMPXCHG, Op.RMW, Op.FAULT_IF, Op.EXIT_IF, Op.CALL})
_UNSUPPORTED = frozenset({Op.CALL, Op.RMW})
_FP_STACK = frozenset({Op.GETST, Op.SETST, Op.FPSTACK, Op.FPCHECK})


class Fpu(NamedTuple):
    """x87 stack needs and effects of an insn; masks count from the starting TOP."""

    valid: int  # registers that must be non-empty
    empty: int  # registers that must be empty
    delta: int
    fill: int
    free: int
    mode: str  # "", mmx, empty

    def allowed(self, fpu: int) -> bool:
        """Whether the insn runs without a stack fault at TOP << 8 | tags."""
        top, tags = fpu >> 8, fpu & 0xFF
        return not (_turn(self.valid, top) & ~tags or _turn(self.empty, top) & tags)

    def after(self, fpu: int) -> int:
        """Return TOP << 8 | tags behind the insn."""
        if self.mode == "mmx":
            return 0x00FF
        if self.mode == "empty":
            return 0
        top, tags = fpu >> 8, fpu & 0xFF
        tags = (tags | _turn(self.fill, top)) & ~_turn(self.free, top)
        return ((top + self.delta) & 7) << 8 | tags


def _turn(mask: int, top: int) -> int:
    """Turn a mask of ST(i) into one of physical registers."""
    mask <<= top
    return (mask | mask >> 8) & 0xFF


class Shape(NamedTuple):
    """One insn shape: its IR and the facts that planning a block reads."""

    insn: Insn
    unit: Unit
    reads: frozenset[str]  # flag groups
    writes: frozenset[str]  # flag groups it always defines
    can_fault: bool
    is_supported: bool  # host code can do it
    is_float: bool  # its result depends on FCW or MXCSR, or it touches the x87 stack
    fpu: Fpu | None
    terminal: Terminal | None

    @property
    def is_conditional(self) -> bool:
        """Whether it ends in a two-way branch."""
        return isinstance(self.terminal, CondLink)


@lru_cache(maxsize=1 << 15)
def shape_of(key: bytes) -> Shape:
    """Return the shape of a key that `scan` yielded."""
    insn = decode_key(key)
    unit = lift(insn)
    reads: set[str] = set()
    writes: set[str] = set()
    fpu: Fpu | None = None
    kinds = {v.op for v in unit.ops}
    for v in unit.ops:
        if v.op is Op.GETFLAG:
            reads.add(str(v.attr))
        elif v.op is Op.COND:
            reads |= flags.code_groups(str(v.attr))
        elif v.op is Op.SETFLAG:
            writes.add(str(v.attr))
        elif v.op is Op.FLAGS:
            assert isinstance(v.attr, flags.Rule)
            writes |= set(v.attr.groups)
    if kinds & _FP_STACK:
        fpu = _fpu(unit)
    return Shape(
        insn, unit, frozenset(reads), frozenset(writes), bool(kinds & _FAULTS),
        not kinds & _UNSUPPORTED, fpu is not None or Op.HOST in kinds, fpu, unit.terminal,
    )  # fmt: skip


def _fpu(unit: Unit) -> Fpu:
    valid = empty = 0
    delta, fill, free, mode = 0, 0, 0, ""
    for v in unit.ops:
        if v.op is Op.FPCHECK:
            assert isinstance(v.attr, tuple)
            valid, empty = v.attr[0], v.attr[1]
        elif v.op is Op.FPSTACK:
            assert isinstance(v.attr, tuple)
            delta, fill, free, mode = v.attr
    return Fpu(valid, empty, delta, fill, free, mode)


def slots_of(found: Scan, pc: int, width: int) -> dict[str, int]:
    """Return the numbers of an insn's slots when it stands at *pc*."""
    after = (pc + found.length) & 0xFFFFFFFF
    target = (after + found.imm) & (0xFFFF if width == 16 else 0xFFFFFFFF)
    return {
        "imm": found.imm & 0xFFFFFFFF,
        "imm2": found.imm2,
        "disp": found.disp & 0xFFFFFFFF,
        "pc": pc,
        "next": after,
        "target": target,
    }
