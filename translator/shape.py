"""Insn -> Shape: what translating a block needs to know of an insn beyond its length and slots."""

from __future__ import annotations

from typing import Any, NamedTuple

from translator import flags
from translator.decode import decode_key
from translator.insn import Insn
from translator.ir import CondLink, Link, Op, Unit, Value
from translator.recovery import only_rule, recovery
from translator.semantics import lift
from translator.state import RECOVERED

GROUP_BITS = {group: 1 << i for i, group in enumerate(flags.GROUPS)}
ALL_FLAGS = (1 << len(flags.GROUPS)) - 1
# What a slot name stands for: index into the list of an insn's numbers.  `rest` and `left` are the
# block's insns from this one on, with and without it; `count` and the following are of services.
SLOTS = (
    "imm", "imm2", "disp", "pc", "next", "target", "fpu", "top", "rest", "left",
    "count", "address", "bytes", "site", "recipe",
)  # fmt: skip
SLOT_INDEX = {name: i for i, name in enumerate(SLOTS)}
PC, NEXT, TARGET, REST = (SLOT_INDEX[name] for name in ("pc", "next", "target", "rest"))
IMM, IMM2, DISP = (SLOT_INDEX[name] for name in ("imm", "imm2", "disp"))
Slots = list[int]


def numbers(**named: int) -> Slots:
    """Return a list of slots with some of them set."""
    slots = [0] * len(SLOT_INDEX)
    for name, number in named.items():
        slots[SLOT_INDEX[name]] = number
    return slots


# Ops that may show the flags to somebody: by a memory fault, where dropped flags are recovered
# (recovery.py), or in another way, where they must have been stored.
_EXPOSES = frozenset({Op.LOAD, Op.STORE, Op.CMPXCHG})
_LEAKS = frozenset({Op.RMW, Op.FAULT_IF, Op.EXIT_IF, Op.CALL})
_UNSUPPORTED = frozenset({Op.CALL, Op.RMW})
_STORES = frozenset({Op.STORE, Op.CMPXCHG, Op.RMW, Op.CALL})
_CONDITIONS = frozenset({Op.COND, Op.GETFLAG})
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


class Shape:
    """One insn shape: its IR and the facts that planning a block reads. Compared by identity.

    Flag groups are masks of GROUP_BITS.
    """

    __slots__ = (
        "exposes",
        "fpu",
        "insn",
        "is_conditional",
        "is_float",
        "is_fusible_jump",
        "is_jump",
        "is_supported",
        "key",
        "leaks",
        "leaves_context",
        "pairs",
        "pattern",
        "reads",
        "recoverable",
        "recovery",
        "registers",
        "rule",
        "single",
        "stores",
        "terminal",
        "unit",
        "uses_fpu",
        "wraps_target",
        "writes",
    )  # fmt: skip

    def __init__(self, key: bytes) -> None:
        """Lift the shape and look at its ops."""
        self.key = key
        self.insn = decode_key(key)
        self.unit: Unit = lift(self.insn)
        self.terminal = self.unit.terminal
        kinds = {v.op for v in self.unit.ops}
        self.reads, self.writes = _flags(self.unit)
        self.exposes, self.leaks = bool(kinds & _EXPOSES), any(map(_leaks, self.unit.ops))
        self.registers = 0  # mask of the general registers it writes
        for v in self.unit.ops:
            if v.op is Op.SETREG:
                assert isinstance(v.attr, int)
                self.registers |= 1 << v.attr
        self.recovery = recovery(self.unit, SLOT_INDEX)
        self.rule = only_rule(self.unit)
        self.recoverable = 0  # mask of the flag groups that can be recovered behind it
        for group in self.recovery.groups if self.recovery else ():
            self.recoverable |= GROUP_BITS[group]
        self.stores = bool(kinds & _STORES)
        # It goes on in another segment: the address alone does not say where.
        self.leaves_context = any(v.op is Op.SET and v.attr == "context" for v in self.unit.ops)
        self.is_supported = not kinds & _UNSUPPORTED
        self.fpu = _fpu(self.unit) if kinds & _FP_STACK else None
        # Its result depends on FCW or MXCSR, or it touches the x87 stack.
        self.is_float = self.fpu is not None or Op.HOST in kinds
        # It is one that CR0.TS and CR0.EM forbid.
        self.uses_fpu = self.is_float or _uses_fpu(self.insn, self.unit)
        self.is_conditional = isinstance(self.terminal, CondLink)
        self.is_fusible_jump = self.is_conditional and kinds <= _CONDITIONS and bool(self.reads)
        self.is_jump = isinstance(self.terminal, Link) and self.terminal.slot == "target"
        self.wraps_target = self.insn.width == 16
        # Stencils by the flags that are live behind: of this insn, and of it with a jump behind.
        self.single: list[Any] = [None] * 16
        self.pairs: dict[tuple[Shape, int], Any] = {}
        self.pattern: tuple[bytes, tuple[int, ...]] | None = None  # see tiers/pattern.py


def _uses_fpu(insn: Insn, unit: Unit) -> bool:
    """Whether an insn is one of the x87, or uses registers of MMX or SSE."""
    if insn.mnemonic.startswith("f"):
        return True
    if insn.mnemonic in ("ldmxcsr", "stmxcsr"):
        return insn.mode.has_sse
    fields = (str(v.attr) for v in unit.ops if v.op in (Op.GET, Op.SET))
    return any(name.startswith(("xmm", "fpr", "mxcsr")) for name in fields)


def _leaks(v: Value) -> bool:
    """Whether an op may show flags where they are not recovered."""
    if v.op is Op.FAULT_IF:
        assert isinstance(v.attr, int)
        return not v.attr & RECOVERED
    return v.op in _LEAKS


def _flags(unit: Unit) -> tuple[int, int]:
    """Return the flag groups that a unit reads, and those it always defines."""
    reads = writes = 0
    for v in unit.ops:
        match v.op:
            case Op.GETFLAG:
                reads |= GROUP_BITS[str(v.attr)]
            case Op.COND:
                for group in flags.code_groups(str(v.attr)):
                    reads |= GROUP_BITS[group]
            case Op.SETFLAG:
                writes |= GROUP_BITS[str(v.attr)]
            case Op.FLAGS:
                assert isinstance(v.attr, flags.Rule)
                for group in v.attr.groups:
                    writes |= GROUP_BITS[group]
            case _:
                pass
    return reads, writes


SHAPES: dict[bytes, Shape] = {}
SHAPES_MAX = 1 << 15  # after which the runtime forgets them all, when no host code is left


def shape_of(key: bytes) -> Shape:
    """Return the shape of a key that `scan` yielded."""
    shape = SHAPES.get(key)
    if shape is None:
        shape = SHAPES[key] = Shape(key)
    return shape


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
