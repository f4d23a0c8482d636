"""Addition, subtraction, comparison and their relatives (SDM vol. 1, 7.3.2)."""

from __future__ import annotations

from translator import flags
from translator.builder import Builder
from translator.ir import Value
from translator.semantics import insn


@insn("add")
def add(b: Builder, dst: Value, src: Value) -> Value:
    """Dst ← dst + src."""
    res = dst + src
    b.set_flags(flags.ADD, res, dst, src)
    return res


@insn("adc")
def adc(b: Builder, dst: Value, src: Value) -> Value:
    """Dst ← dst + src + CF."""
    # The carry is the bit above a sum of 64 bits: shorter chains than any formula of the operands.
    whole = dst.zext(64) + src.zext(64) + b.flag("cf").zext(64)
    res = whole.trunc(dst.width)
    b.set_flags(flags.ADC, res, dst, src)
    b.set_flag("cf", whole.bit(dst.width))
    return res


@insn("adcx", "adox")
def adcx(b: Builder, dst: Value, src: Value) -> Value:
    """Dst ← dst + src + CF, which is all it changes; adox: with OF."""
    flag = "cf" if b.insn.mnemonic == "adcx" else "of"
    whole = dst.zext(64) + src.zext(64) + b.flag(flag).zext(64)
    b.set_flag(flag, whole.bit(dst.width))
    return whole.trunc(dst.width)


@insn("sub")
def sub(b: Builder, dst: Value, src: Value) -> Value:
    """Dst ← dst - src."""
    res = dst - src
    b.set_flags(flags.SUB, res, dst, src)
    return res


@insn("sbb")
def sbb(b: Builder, dst: Value, src: Value) -> Value:
    """Dst ← dst - src - CF."""
    whole = dst.zext(64) - src.zext(64) - b.flag("cf").zext(64)
    res = whole.trunc(dst.width)
    b.set_flags(flags.SBB, res, dst, src)
    b.set_flag("cf", whole.msb())
    return res


@insn("cmp")
def cmp(b: Builder, dst: Value, src: Value) -> None:
    """Flags of dst - src; no result, so nothing is written back."""
    sub(b, dst, src)


@insn("inc")
def inc(b: Builder, dst: Value) -> Value:
    """Dst ← dst + 1; CF stays."""
    res = dst + 1
    b.set_flags(flags.INC, res, dst, b.const(1, dst.width))
    return res


@insn("dec")
def dec(b: Builder, dst: Value) -> Value:
    """Dst ← dst - 1; CF stays."""
    res = dst - 1
    b.set_flags(flags.DEC, res, dst, b.const(1, dst.width))
    return res


@insn("neg")
def neg(b: Builder, dst: Value) -> Value:
    """Dst ← 0 - dst."""
    zero = b.const(0, dst.width)
    res = zero - dst
    b.set_flags(flags.SUB, res, zero, dst)
    return res
