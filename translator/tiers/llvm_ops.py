"""Pure IR ops -> LLVM IR text: one row an op, shared by stencils and blocks."""

from __future__ import annotations

from collections.abc import Callable

from translator.ir import Op, Value
from translator.vectors import VECTORS

Text = Callable[[str], str]


def llvm_type(width: int) -> str:
    """Return the LLVM type of IR values of a width."""
    return "x86_fp80" if width == 80 else f"i{width}"


def _binary(name: str) -> Callable[..., str]:
    return lambda t, v, a, b: t(f"{name} {llvm_type(v.width)} {a}, {b}")


def _compare(name: str) -> Callable[..., str]:
    return lambda t, v, a, b: t(f"icmp {name} {llvm_type(v.args[0].width)} {a}, {b}")


def _cast(name: str) -> Callable[..., str]:
    return lambda t, v, a: t(f"{name} {llvm_type(v.args[0].width)} {a} to {llvm_type(v.width)}")


def _intrinsic(name: str, extra: str = "") -> Callable[..., str]:
    def lower(t: Text, v: Value, a: str) -> str:
        ty = llvm_type(v.width)
        return t(f"call {ty} @llvm.{name}.{ty}({ty} {a}{extra})")

    return lower


# Pure ops: (text emitter, value, names of the arguments) -> name of the result.
LOWER: dict[Op, Callable[..., str]] = {
    Op.ADD: _binary("add"),
    Op.SUB: _binary("sub"),
    Op.MUL: _binary("mul"),
    Op.UDIV: _binary("udiv"),
    Op.UREM: _binary("urem"),
    Op.SDIV: _binary("sdiv"),
    Op.SREM: _binary("srem"),
    Op.AND: _binary("and"),
    Op.OR: _binary("or"),
    Op.XOR: _binary("xor"),
    Op.SHL: _binary("shl"),
    Op.LSHR: _binary("lshr"),
    Op.ASHR: _binary("ashr"),
    Op.EQ: _compare("eq"),
    Op.NE: _compare("ne"),
    Op.ULT: _compare("ult"),
    Op.ULE: _compare("ule"),
    Op.SLT: _compare("slt"),
    Op.SLE: _compare("sle"),
    Op.SELECT: lambda t, v, c, a, b: t(
        f"select i1 {c}, {llvm_type(v.width)} {a}, {llvm_type(v.width)} {b}"
    ),
    Op.ZEXT: _cast("zext"),
    Op.SEXT: _cast("sext"),
    Op.TRUNC: _cast("trunc"),
    Op.CTLZ: _intrinsic("ctlz", ", i1 false"),
    Op.CTTZ: _intrinsic("cttz", ", i1 false"),
    Op.POPCNT: _intrinsic("ctpop"),
    Op.BSWAP: _intrinsic("bswap"),
    Op.VEC: lambda t, v, *args: VECTORS[v.attr[0]].lower(t, v.attr[1], v.width, *args, *v.attr[2:]),
}
# HOST rows of the x87 -> the intrinsic that rounds as the control word says and keeps exceptions
# (LLVM Language Reference, Constrained Floating-Point Intrinsics), and whether operands swap.
STRICT = {
    "fadd": ("fadd", False),
    "fmul": ("fmul", False),
    "fsub": ("fsub", False),
    "fdiv": ("fdiv", False),
    "fsubr": ("fsub", True),
    "fdivr": ("fdiv", True),
}


def strict_call(name: str, left: str, right: str) -> str:
    """Return the call of a constrained intrinsic on extended reals."""
    return (
        f"call x86_fp80 @llvm.experimental.constrained.{name}.f80(x86_fp80 {left}, "
        f'x86_fp80 {right}, metadata !"round.dynamic", metadata !"fpexcept.strict") strictfp'
    )


INTRINSICS = "\n".join(
    f"declare x86_fp80 @llvm.experimental.constrained.{name}.f80"
    "(x86_fp80, x86_fp80, metadata, metadata)"
    for name in ("fadd", "fmul", "fsub", "fdiv")
)
INTRINSICS += "\n" + "\n".join(
    f"declare i{w} @llvm.{name}.i{w}(i{w}{', i1' if name in ('ctlz', 'cttz') else ''})"
    for name in ("ctlz", "cttz", "ctpop", "bswap")
    for w in (8, 16, 32, 64)
    if (name, w) != ("bswap", 8)
)
INTRINSICS += "\n" + "\n".join(
    f"declare i32 @llvm.{name}.i32(i32, i32, i32)" for name in ("fshl", "fshr")
)
INTRINSICS += "\n" + "\n".join(
    f"declare {{i32, i1}} @llvm.{name}.with.overflow.i32(i32, i32)" for name in ("uadd", "usub")
)
