"""Ciphers, digests and Galois fields, by the host's insns of the same names (SDM vol. 1, 5.12)."""

from __future__ import annotations

from translator.builder import Builder
from translator.insn import Imm, Operand
from translator.ir import Value
from translator.semantics import Dst, insn
from translator.semantics.simd import whole


@insn(
    "aesenc", "aesenclast", "aesdec", "aesdeclast", "gf2p8mulb", "sha1nexte", "sha1msg1",
    "sha1msg2", "sha256msg1", "sha256msg2",
)  # fmt: skip
def binary(b: Builder, dst: Operand, src: Operand) -> Value:
    """Dst ← operation of dst and src; #GP if src in memory is not aligned."""
    return b.host(b.insn.mnemonic, 128, b.read(dst), whole(b, src))


@insn("sha256rnds2")
def sha256rnds2(b: Builder, dst: Operand, src: Operand) -> Value:
    """Dst ← two rounds of SHA-256 on dst and src, with the words in XMM0."""
    return b.host("sha256rnds2", 128, b.read(dst), whole(b, src), b.xmm(0))


@insn("pclmulqdq", "sha1rnds4", "gf2p8affineqb", "gf2p8affineinvqb")
def binary_immediate(b: Builder, dst: Operand, src: Operand, how: Imm) -> Value:
    """Dst ← operation of dst, src and an immediate."""
    return b.host(f"{b.insn.mnemonic}:{how.value}", 128, b.read(dst), whole(b, src))


@insn("aesimc")
def aesimc(b: Builder, dst: Dst, src: Operand) -> Value:
    """Dst ← src for decryption."""
    return b.host("aesimc", 128, whole(b, src))


@insn("aeskeygenassist")
def aeskeygenassist(b: Builder, dst: Dst, src: Operand, constant: Imm) -> Value:
    """Dst ← part of the next round's key."""
    return b.host(f"aeskeygenassist:{constant.value}", 128, whole(b, src))
