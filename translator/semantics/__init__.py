"""Insn -> IR: the registry of semantics functions and `lift`, which wraps them.

A semantics function takes the builder and the insn's operands and only computes.  Its parameter
annotations are the contract: a ``Value`` parameter arrives loaded, a ``Dst`` is written but not
read, an ``Operand`` arrives as decoded.  What it returns is written to operand 0.

Effects are transactional: registers, flags and other state that an insn writes are seen by later
reads of the same insn at once, but reach the guest only when the insn ends; a fault or side exit
abandons them.  Memory writes are immediate, so a function stores last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from translator import conditions
from translator.builder import Builder
from translator.insn import Insn, Mem, Operand, Special
from translator.ir import Leave, Link, Op, Repeat, Unit, Value
from translator.mode import Model, Segments
from translator.state import SEGMENTS, WATCHED, Exit

Dst = Operand  # annotation: operand 0, written only
Function = Callable[..., Value | None]


class Semantics(NamedTuple):
    """A registered function with what its annotations say of each operand."""

    function: Function
    kinds: tuple[str, ...]


_WRITES = (Op.STORE, Op.CMPXCHG)
_PORTS = frozenset({"in", "out", "ins", "outs"})  # there are none without a machine
BULK = frozenset({"movs", "stos", "cmps", "scas"})  # what tiers may do many at once of
SEMANTICS: dict[str, Semantics] = {}
# String insns: they describe one iteration; `lift` adds the repetition.
STRINGS: dict[str, bool] = {}  # mnemonic -> compares (repe and repne differ)


def insn(
    *mnemonics: str, string: bool = False, compares: bool = False
) -> Callable[[Function], Function]:
    """Register the semantics of one or more mnemonics."""

    def register(function: Function) -> Function:
        kinds = tuple(
            str(k) for name, k in function.__annotations__.items() if name not in ("b", "return")
        )
        for mnemonic in mnemonics:
            if mnemonic in SEMANTICS:
                raise ValueError(f"{mnemonic} is registered twice")
            SEMANTICS[mnemonic] = Semantics(function, kinds)
            if string:
                STRINGS[mnemonic] = compares
        return function

    return register


def lift(insn: Insn) -> Unit:
    """Lift one insn. A mnemonic without semantics raises #UD."""
    b = _builder(insn)
    semantics = SEMANTICS.get(insn.mnemonic)
    if semantics is None and insn.mode.model == Model.I8086:
        pass  # there is no #UD; what the few undefined forms do nobody relies on
    elif semantics is None or (not insn.mode.has_sse and is_sse(insn)):
        b.trap("#UD")
    elif insn.mnemonic in _PORTS and not insn.mode.system:
        b.trap("#GP")
    elif insn.rep and insn.mnemonic in STRINGS:
        _repeat(b, semantics)
    else:
        _apply(b, semantics)
    written = {op.args[0] for op in b.unit.ops if op.op in _WRITES} | {*b.helper_writes}
    if not written.isdisjoint(b.code_places):
        b = _builder(insn)
        if insn.mnemonic == "pop":  # its source comes before its destination
            b.load(b.reg(4), insn.width)
        b.trap("#GP")
    return b.unit


def is_sse(insn: Insn) -> bool:
    """Whether an insn uses XMM registers or MXCSR: #UD while CR4.OSFXSR is 0 (SDM vol. 3, 2.5)."""
    if insn.mnemonic in ("ldmxcsr", "stmxcsr"):
        return True
    return any(isinstance(o, Special) and o.kind == "xmm" for o in insn.operands)


def _builder(insn: Insn) -> Builder:
    b = Builder(insn)
    if insn.condition:
        b.exit_if(conditions.build(b, insn.condition), Leave(Exit.TRAP, "pc", WATCHED))
    return b


def updates(unit: Unit) -> bool:
    """Whether a unit reads memory in order to write it: its page faults are all write faults."""
    read = {op.args[0] for op in unit.ops if op.op is Op.LOAD}
    return any(op.args[0] in read for op in unit.ops if op.op in _WRITES)


def _apply(b: Builder, semantics: Semantics) -> None:
    """Load operands, compute, write operand 0."""
    insn = b.insn
    arguments: list[Value | Operand] = []
    place: Value | None = None  # address of operand 0, computed once
    old: Value | None = None
    for i, (operand, kind) in enumerate(zip(insn.operands, semantics.kinds, strict=True)):
        if i == 0 and isinstance(operand, Mem) and kind in ("Value", "Dst"):
            place = b.operand_address(operand)
        if kind != "Value":
            arguments.append(operand)
        elif i == 0 and place is not None:
            old = b.load(place, operand.width)
            arguments.append(old)
        else:
            arguments.append(b.read(operand))
    result = semantics.function(b, *arguments)
    if result is not None:
        write_back(b, insn.operands[0], place, old, result)


def write_back(
    b: Builder, dst: Operand, place: Value | None, old: Value | None, result: Value
) -> None:
    """Write *result* to a register or, if *place* is given, to memory, where *old* was read."""
    if place is None:
        b.write(dst, result)
    elif b.insn.lock:
        assert old is not None
        compare_exchange(b, place, old, result)
    else:
        b.store(place, result)


def compare_exchange(b: Builder, place: Value, old: Value, new: Value) -> None:
    """Finish a locked read-modify-write; if another thread came between, the insn starts again."""
    seen = b.cmpxchg(place, old, new)
    b.exit_if(seen.ne(old), Link("pc"))


def _repeat(b: Builder, semantics: Semantics) -> None:
    """One iteration of a repeated string insn; the unit links to itself until the count is 0."""
    count = b.reg(1, b.insn.addr_width)
    b.exit_if(count.eq(0), Link("next"))
    _apply(b, semantics)
    left = count - 1
    b.set_reg(1, left)
    b.branch(left.ne(0) if b.going_on is None else b.going_on, "pc", "next")
    insn = b.insn
    looks = b.mode.watches or b.mode.checks_alignment  # at each access
    if insn.mnemonic not in BULK or looks:
        return
    what = insn.mnemonic, insn.operands[0].width, STRINGS[insn.mnemonic] and insn.rep == 0xF2
    base = f"{SEGMENTS[insn.seg]}_base"
    if insn.addr_width == 32 and b.mode.is_flat:
        b.unit.repeat = Repeat(*what, base if insn.seg >= 4 else "")
    elif insn.addr_width == 16 and b.mode.segments is Segments.REAL and not b.mode.wraps:
        source = insn.operands[1]
        base = f"{SEGMENTS[source.seg]}_base" if isinstance(source, Mem) else ""
        b.unit.repeat = Repeat(*what, base, "es_base", is_narrow=True)


from translator.semantics import (  # noqa: E402  (they register)
    arith,  # noqa: F401
    bcd,  # noqa: F401
    bits,  # noqa: F401
    bmi,  # noqa: F401
    branch,  # noqa: F401
    crypto,  # noqa: F401
    flagops,  # noqa: F401
    logic,  # noqa: F401
    move,  # noqa: F401
    muldiv,  # noqa: F401
    rotate,  # noqa: F401
    segment,  # noqa: F401
    shift,  # noqa: F401
    sse4,  # noqa: F401
    sse4_strings,  # noqa: F401
    sse_float,  # noqa: F401
    sse_int,  # noqa: F401
    sse_move,  # noqa: F401
    stack,  # noqa: F401
    strings,  # noqa: F401
    system,  # noqa: F401
    x87,  # noqa: F401
    x87_control,  # noqa: F401
    x87_functions,  # noqa: F401
)
