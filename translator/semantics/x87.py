"""x87: stack handling, loads, stores, arithmetic and comparison (SDM vol. 1, 8.3).

The semantics describe the case without stack fault and with all exceptions masked.  An FPCHECK
stands before it: where it does not hold, the interp tier has the host execute the insn itself on
the guest's registers (helper `x87_native`), which does all the rest.
"""

from __future__ import annotations

from typing import NamedTuple

from translator import helpers
from translator.builder import CS, Builder
from translator.insn import Mem, Operand, Special
from translator.ir import Op, Value
from translator.semantics import insn

FULL = 0xFF
# A store through CS: #GP, but where an exception that comes first keeps it from storing.
INTO_CODE = helpers.declare("x87_into_code", (16,))


class FpCheck(NamedTuple):
    """Attribute of FPCHECK: ST(i) that must be in use, or empty; the insn itself.

    `opcode` is the first byte and ModRM; 0: the insn only waits for pending exceptions.  A memory
    insn gives its linear address as argument of the op.
    """

    valid: int
    empty: int
    opcode: int = 0


class FpStack(NamedTuple):
    """Attribute of FPSTACK: change of TOP, then ST(i) (before the change) to fill, to empty."""

    delta: int
    fill: int = 0
    empty: int = 0
    mode: str = ""  # TOP becomes 0 and all registers are in use (mmx), or empty (empty)


def opcode(b: Builder) -> int:
    """First byte and ModRM of an x87 insn."""
    key = b.insn.key
    at = next(i for i, byte in enumerate(key) if 0xD8 <= byte <= 0xDF)
    return key[at] << 8 | key[at + 1]


def wait(b: Builder) -> None:
    """Raise #MF here if an unmasked exception is pending."""
    b.unit.emit(Op.FPCHECK, 0, attr=FpCheck(0, 0))


def check(b: Builder, valid: int = 0, empty: int = 0, address: Value | None = None) -> None:
    """State what the fast path needs: ST(i) in use (mask) or empty (mask)."""
    args = () if address is None else (address,)
    b.unit.emit(Op.FPCHECK, 0, *args, attr=FpCheck(valid, empty, opcode(b)))
    b.set("fpu_ip", b.slot("pc"))


def stack(b: Builder, delta: int, fill: int = 0, empty: int = 0) -> None:
    """Move TOP and mark registers; masks count from the TOP before."""
    b.unit.emit(Op.FPSTACK, 0, attr=FpStack(delta, fill, empty))


def pop(b: Builder) -> None:
    """Pop ST(0)."""
    stack(b, 1, empty=1)


def push(b: Builder, value: Value) -> None:
    """Push a value; C1 becomes 0."""
    b.set_st(-1, value)
    stack(b, -1, fill=1 << 7)
    clear_c1(b)


def part(b: Builder, value: Value, index: int, width: int = 16) -> Value:
    """A further output of a HOST op."""
    return b.unit.emit(Op.PART, width, value, attr=index)


def clear_c1(b: Builder) -> None:
    """C1 ← 0."""
    b.set("fc1", b.const(0, 8))


def set_c1(b: Builder, status: Value) -> None:
    """C1 ← that of a status word."""
    b.set("fc1", status.bits(8, 8) & 0x02)


def set_conditions(b: Builder, status: Value) -> None:
    """C0 to C3 ← those of a status word."""
    b.set("fcc", status.bits(8, 8) & 0x45)
    set_c1(b, status)


def st_index(operand: Operand) -> int:
    """The i of an operand ST(i)."""
    assert isinstance(operand, Special)
    return operand.index


def second(b: Builder, src: Operand, also: int = 1) -> tuple[Value, str]:
    """Check and read a source operand; return it and the suffix of the HOST row for it."""
    if isinstance(src, Mem):
        address = b.operand_address(src)
        b.check(address, src.width // 8, write=False)
        check(b, valid=also, address=address)
        return b.load(address, src.width), f"_m{src.width}"
    index = st_index(src)
    check(b, valid=also | 1 << index)
    return b.st(index), ""


# -- arithmetic ------------------------------------------------------------------------------------
def _arithmetic(name: str) -> None:
    def compute(b: Builder, dst: Operand, src: Operand) -> None:
        index = st_index(dst)
        right, suffix = second(b, src, 1 << index)
        res = b.host(name + suffix, 80, b.st(index), right)
        set_c1(b, part(b, res, 1))
        b.set_st(index, res)

    @insn(name, *([] if name.startswith("fi") else [name + "p"]))
    def arithmetic(b: Builder, dst: Operand, src: Operand) -> None:
        """Dst ← dst op src, or src op dst; the popping forms then pop."""
        compute(b, dst, src)
        if b.insn.mnemonic.endswith("p"):
            pop(b)


for _name in ("add", "mul", "sub", "subr", "div", "divr"):
    _arithmetic("f" + _name)
    _arithmetic("fi" + _name)


# -- comparison ------------------------------------------------------------------------------------
def _comparison(name: str) -> None:
    @insn(name, name + "p")
    def compare(b: Builder, dst: Operand, src: Operand) -> None:
        """C3 C2 C0 ← ST(0) compared with src."""
        right, suffix = second(b, src)
        set_conditions(b, b.host(name + suffix, 16, b.st(0), right))
        if b.insn.mnemonic.endswith("p"):
            pop(b)


for _name in ("fcom", "ficom", "fucom"):
    _comparison(_name)


@insn("fcompp", "fucompp")
def fcompp(b: Builder) -> None:
    """C3 C2 C0 ← ST(0) compared with ST(1); pop twice."""
    check(b, valid=3)
    set_conditions(b, b.host(b.insn.mnemonic.removesuffix("pp"), 16, b.st(0), b.st(1)))
    stack(b, 2, empty=3)


@insn("fcomi", "fucomi", "fcomip", "fucomip")
def fcomi(b: Builder, dst: Operand, src: Operand) -> None:
    """ZF PF CF ← ST(0) compared with ST(i); OF SF AF ← 0."""
    index = st_index(src)
    check(b, valid=1 | 1 << index)
    below = b.host(b.insn.mnemonic.removesuffix("p"), 8, b.st(0), b.st(index))
    differ = part(b, below, 1, 8).trunc(1) ^ 1
    even = part(b, below, 2, 8).trunc(1)
    # ZF: low half is 0; PF: even parity of byte 0 ^ byte 4 (state.py).
    b.set_flag("szp", (differ ^ even ^ 1).zext(64).shl(32) | differ.zext(64))
    b.set_flag("cf", below.trunc(1))
    b.set_flag("of", b.const(0, 1))
    b.set_flag("af", b.const(0, 8))
    if b.insn.mnemonic.endswith("p"):
        pop(b)


@insn("ftst", "fxam")
def ftst(b: Builder) -> None:
    """C3 C2 C0 ← ST(0) compared with 0.0, or its class; C1 of fxam ← its sign."""
    check(b, valid=1)
    set_conditions(b, b.host(b.insn.mnemonic, 16, b.st(0)))


# -- loads and stores ------------------------------------------------------------------------------
@insn("fld", "fild")
def fld(b: Builder, src: Operand) -> None:
    """Push src."""
    if isinstance(src, Mem):
        address = b.operand_address(src)
        b.check(address, src.width // 8, write=False)
        check(b, empty=1 << 7, address=address)
        value = b.load(address, src.width)
        if src.width < 80:
            value = b.host(f"{b.insn.mnemonic}_m{src.width}", 80, value)
    else:
        index = st_index(src)
        check(b, valid=1 << index, empty=1 << 7)
        value = b.st(index)
    push(b, value)


@insn("fst", "fstp", "fist", "fistp", "fisttp", "fstpnce")
def fst(b: Builder, dst: Operand) -> None:
    """Dst ← ST(0); the popping forms then pop."""
    name = b.insn.mnemonic
    if isinstance(dst, Mem) and dst.seg == CS and b.mode.is_flat:
        b.call(INTO_CODE, 0, b.const(opcode(b), 16))
        return
    if isinstance(dst, Mem):
        address = b.operand_address(dst)
        b.check(address, dst.width // 8, write=True)
        check(b, valid=1, address=address)
        value = b.st(0)
        if dst.width < 80:
            row = name if name == "fisttp" else name.removesuffix("p")
            value = b.host(f"{row}_m{dst.width}", dst.width, value)
            set_c1(b, part(b, value, 1))
        else:
            clear_c1(b)
        if name.endswith("p"):
            pop(b)
        b.store(address, value)
        return
    index = st_index(dst)
    check(b, valid=1)
    b.set_st(index, b.st(0))
    clear_c1(b)
    if name == "fst":
        stack(b, 0, fill=1 << index)
    else:
        stack(b, 1, fill=1 << index, empty=1)


@insn("fxch")
def fxch(b: Builder, src: Operand) -> None:
    """Exchange ST(0) and ST(i)."""
    index = st_index(src)
    check(b, valid=1 | 1 << index)
    top, other = b.st(0), b.st(index)
    b.set_st(0, other)
    b.set_st(index, top)
    clear_c1(b)


def _fcmov(name: str, code: str) -> None:
    @insn("fcmov" + name)
    def fcmov(b: Builder, dst: Operand, src: Operand) -> None:
        """ST(0) ← ST(i) if the condition holds."""
        index = st_index(src)
        check(b, valid=1 | 1 << index)
        b.set_st(0, b.cond(code).select(b.st(index), b.st(0)))


for _name, _code in {
    "b": "b", "e": "e", "be": "be", "u": "p", "nb": "nb", "ne": "ne", "nbe": "nbe", "nu": "np",
}.items():  # fmt: skip
    _fcmov(_name, _code)


@insn("fld1", "fldl2t", "fldl2e", "fldpi", "fldlg2", "fldln2", "fldz")
def fldconst(b: Builder) -> None:
    """Push a constant, rounded as RC says."""
    check(b, empty=1 << 7)
    push(b, b.host(b.insn.mnemonic, 80))
