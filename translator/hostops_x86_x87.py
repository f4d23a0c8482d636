"""HOST rows of x86-64 hosts: x87."""

from __future__ import annotations

import re

from translator.hostop import HostOp

Operands = tuple[tuple[str, int], ...]

_OPERAND = re.compile(r"\$(\d)")
_STATUS = "; fnstsw %ax"
_AX = ("={ax}", 16)
_ST = ("={st}", 80)
# Letters of the memory forms: suffix of the assembler, width.
_FLOATS = {"32": "s", "64": "l"}
_INTEGERS = {"16": "s", "32": "l", "64": "ll"}


def _unary(asm: str) -> HostOp:
    """ST(0) ← operation(ST(0)), status."""
    return HostOp(asm + _STATUS, (_ST, _AX), (("0", 80),))


def _binary(asm: str) -> HostOp:
    """ST(0) ← operation(ST(0), ST(1)), status."""
    return HostOp(asm + _STATUS, (_ST, _AX), (("0", 80), ("{st(1)}", 80)))


def _popping(asm: str) -> HostOp:
    """Like _binary, of an insn that leaves its result in the place of ST(1) and pops."""
    return HostOp(asm + _STATUS, (_ST, _AX), (("0", 80), ("{st(1)}", 80)), "~{st(1)}")


def _pushing(asm: str) -> HostOp:
    """ST(0), ST(1) ← operation(ST(0)), status."""
    return HostOp(asm + _STATUS, (_ST, ("={st(1)}", 80), _AX), (("0", 80),))


def _compare(asm: str) -> HostOp:
    """Status of comparing ST(0) with ST(1)."""
    return HostOp(asm + _STATUS, (_AX,), (("{st}", 80), ("{st(1)}", 80)))


def _compare_flags(asm: str) -> HostOp:
    """CF, ZF, PF of comparing ST(0) with ST(1), as the SSE rows do it."""
    outs = (("=q", 8), ("=q", 8), ("=q", 8))
    asm += "; setb $0; sete $1; setp $2"
    return HostOp(asm, outs, (("{st}", 80), ("{st(1)}", 80)), "~{flags}")


def _test(asm: str) -> HostOp:
    """Status of looking at ST(0)."""
    return HostOp(asm + _STATUS, (_AX,), (("{st}", 80),))


def _memory(asm: str, width: int) -> HostOp:
    """ST(0) ← operation(ST(0), memory operand), status."""
    return HostOp(f"{asm} $3{_STATUS}", (_ST, _AX), (("0", 80), ("*m", width)))


def _compare_memory(asm: str, width: int) -> HostOp:
    """Status of comparing ST(0) with a memory operand."""
    return HostOp(f"{asm} $2{_STATUS}", (_AX,), (("{st}", 80), ("*m", width)))


def _load(asm: str, width: int) -> HostOp:
    """ST(0) ← memory operand, pushed."""
    return HostOp(f"{asm} $1", (_ST,), (("*m", width),))


def _store(asm: str, width: int) -> HostOp:
    """Memory operand and status from ST(0); popped, which the clobber says."""
    return HostOp(f"{asm} $0{_STATUS}", (("=*m", width), _AX), (("{st}", 80),), "~{st}")


def _rows() -> dict[str, HostOp]:
    rows: dict[str, HostOp] = {}
    for name in ("fadd", "fmul", "fsub", "fsubr", "fdiv", "fdivr"):
        rows[name] = _binary(f"{name} %st(1), %st")
        for width, letter in _FLOATS.items():
            rows[f"{name}_m{width}"] = _memory(name + letter, int(width))
        for width in ("16", "32"):
            rows[f"fi{name[1:]}_m{width}"] = _memory(f"fi{name[1:]}{_INTEGERS[width]}", int(width))
    for width, letter in _FLOATS.items():
        rows[f"fcom_m{width}"] = _compare_memory("fcom" + letter, int(width))
        rows[f"fld_m{width}"] = _load("fld" + letter, int(width))
        rows[f"fst_m{width}"] = _store("fstp" + letter, int(width))
    for width, letter in _INTEGERS.items():
        if width != "64":
            rows[f"ficom_m{width}"] = _compare_memory("ficom" + letter, int(width))
        rows[f"fild_m{width}"] = _load("fild" + letter, int(width))
        rows[f"fist_m{width}"] = _store("fistp" + letter, int(width))
        rows[f"fisttp_m{width}"] = _store("fisttp" + letter, int(width))
    for name in ("fcom", "fucom"):
        rows[name] = _compare(f"{name} %st(1)")
    for name in ("fcomi", "fucomi"):
        rows[name] = _compare_flags(f"{name} %st(1), %st")
    for name in ("ftst", "fxam"):
        rows[name] = _test(name)
    for name in ("fsqrt", "frndint", "f2xm1", "fsin", "fcos", "fchs", "fabs"):
        rows[name] = _unary(name)
    rows["fscale"] = _binary("fscale")
    for name in ("fprem", "fprem1"):
        # The class of the result as a further status word.
        asm = f"{name}{_STATUS}; movw %ax, $1; fxam{_STATUS}"
        rows[name] = HostOp(asm, (_ST, ("=&r", 16), _AX), (("0", 80), ("{st(1)}", 80)))
    for name in ("fyl2x", "fyl2xp1", "fpatan"):
        rows[name] = _popping(name)
    rows["fxtract"] = _pushing("fxtract")
    for name in ("fld1", "fldl2t", "fldl2e", "fldpi", "fldlg2", "fldln2", "fldz"):
        rows[name] = HostOp(name, (_ST,))
    rows["fldcw"] = HostOp("fldcw $0", (), (("*m", 16),))
    rows["fnclex"] = HostOp("fnclex", ())
    # The host's sticky exception flags.
    rows["fnstsw"] = HostOp("fnstsw %ax", (_AX,))
    return rows


ROWS = _rows()


def quiet(row: HostOp) -> HostOp | None:
    """Return a row without the status that it yields last; None if it yields none."""
    if not row.outs or row.outs[-1] != _AX or row.asm.count(_STATUS) != 1:
        return None
    last = len(row.outs) - 1
    asm = row.asm.replace(_STATUS, "")
    asm = _OPERAND.sub(lambda m: f"${int(m[1]) - (int(m[1]) > last)}", asm)
    return row._replace(asm=asm, outs=row.outs[:-1])
