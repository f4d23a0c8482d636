"""SSE4.2: comparison of strings in XMM registers, and CRC-32C (SDM vol. 1, 12.12)."""

from __future__ import annotations

from translator import flags
from translator.builder import Builder
from translator.insn import Imm, Operand
from translator.ir import Op, Value
from translator.semantics import Dst, insn

_USED = 0x7F  # bits of the immediate


def _compare(b: Builder, left: Operand, right: Operand, how: Imm) -> Value:
    """Compare by the host's insn of the same name; set the flags; return index or mask."""
    name = b.insn.mnemonic
    assert how.value is not None
    # The memory operand need not be aligned.
    arguments = [b.read(left, 128), b.read(right, 128)]
    if name.startswith("pcmpe"):
        arguments += [b.reg("eax"), b.reg("edx")]
    width = 32 if name.endswith("i") else 128
    res = b.host(f"{name}:{how.value & _USED}", width, *arguments)
    bits = b.unit.emit(Op.PART, 16, res, attr=1)
    b.set_flag("szp", flags.zero_sign(bits.bit(14), bits.bit(15)))
    b.set_flag("cf", bits.bit(8))
    b.set_flag("of", bits.bit(0))
    b.set_flag("af", b.const(0, flags.GROUP_WIDTHS["af"]))
    return res


@insn("pcmpestri", "pcmpistri")
def pcmpstri(b: Builder, left: Operand, right: Operand, how: Imm) -> None:
    """ECX ← index of what the comparison finds; flags of it."""
    b.set_reg("ecx", _compare(b, left, right, how))


@insn("pcmpestrm", "pcmpistrm")
def pcmpstrm(b: Builder, left: Operand, right: Operand, how: Imm) -> None:
    """XMM0 ← mask of what the comparison finds; flags of it."""
    b.set_xmm(0, _compare(b, left, right, how))


@insn("crc32")
def crc32(b: Builder, dst: Dst, src: Value) -> Value:
    """Dst ← CRC-32C of dst with the bits of src behind it."""
    return b.host(f"crc32_{src.width}", 32, b.read(dst), src)
