"""HOST rows of x86-64 hosts: SSE floating point, and what LLVM has no portable op for.

The rows are named like the insns.  Scalar rows take and return whole registers: the lanes above
the result are those of argument 0.
"""

from __future__ import annotations

from translator.hostop import HostOp

_X = ("=x", 128)
_PREDICATES = 8
_BIT = ("=q", 8)


def _unary(name: str) -> HostOp:
    """Make a row: result ← operation(argument)."""
    return HostOp(f"{name} $1, $0", (_X,), (("x", 128),))


def _binary(name: str) -> HostOp:
    """Make a row: result ← argument 0 operation argument 1 (their order decides between NaNs)."""
    return HostOp(f"{name} $2, $0", (_X,), (("0", 128), ("x", 128)))


def _compare(kind: str, predicate: int) -> HostOp:
    """Make a row: result ← masks of a comparison; the predicate is part of the name."""
    return HostOp(f"cmp{kind} $${predicate}, $2, $0", (_X,), (("0", 128), ("x", 128)))


def _flags(name: str) -> HostOp:
    """Make a row: ZF, PF and CF of comparing argument 0 with argument 1.

    Not by flag outputs: LLVM 22 may move one of them behind code that changes the flags.
    """
    asm = f"{name} $4, $3; sete $0; setp $1; setb $2"
    return HostOp(asm, (_BIT, _BIT, _BIT), (("x", 128), ("x", 128)), "~{flags}")


def _to_integer(name: str) -> HostOp:
    """Make a row: 32-bit integer ← scalar."""
    return HostOp(f"{name} $1, $0", (("=r", 32),), (("x", 128),))


def _from_integer(name: str) -> HostOp:
    """Make a row: argument 0 with its lowest lane ← 32-bit integer."""
    return HostOp(f"{name}l $2, $0", (_X,), (("0", 128), ("r", 32)))


_KINDS = ("ps", "pd", "ss", "sd")
_UNARY = (
    *("sqrtps", "sqrtpd", "rsqrtps", "rcpps"),
    *("cvtps2pd", "cvtpd2ps", "cvtdq2ps", "cvtdq2pd"),
    *("cvtps2dq", "cvttps2dq", "cvtpd2dq", "cvttpd2dq"),
)
_BINARY = (
    *(op + kind for op in ("add", "sub", "mul", "div", "min", "max") for kind in _KINDS),
    *("sqrtss", "sqrtsd", "rsqrtss", "rcpss", "cvtss2sd", "cvtsd2ss"),
    *("addsubps", "addsubpd", "haddps", "haddpd", "hsubps", "hsubpd"),
    "pshufb",
)

ROWS: dict[str, HostOp] = {
    **{name: _unary(name) for name in _UNARY},
    **{name: _binary(name) for name in _BINARY},
    **{f"cmp{kind}{p}": _compare(kind, p) for kind in _KINDS for p in range(_PREDICATES)},
    **{name: _flags(name) for name in ("comiss", "comisd", "ucomiss", "ucomisd")},
    **{name: _to_integer(name) for name in ("cvtss2si", "cvttss2si", "cvtsd2si", "cvttsd2si")},
    **{name: _from_integer(name) for name in ("cvtsi2ss", "cvtsi2sd")},
}
