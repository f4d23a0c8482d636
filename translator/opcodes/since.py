"""Opcode row -> the processor that had it first, of those that can be chosen (mode.Model).

Rows of an 80386 are not named.  The opcodes of 8086 and 80286 are in old.py.
"""

from __future__ import annotations

import re

from translator.mode import Model

# Mnemonics (regular expressions) that came with a processor, in its order.
_CAME: tuple[tuple[Model, str], ...] = (
    (Model.I486, r"bswap|cmpxchg|xadd|invd|wbinvd|invlpg"),
    (Model.PENTIUM, r"cpuid|rdtsc|cmpxchg8b|rdmsr|wrmsr|rsm"),
    (Model.PENTIUM3, r"f?cmov\w+|fu?comip?|rdpmc|sysenter|sysexit|hint|fxsave|fxrstor"),
    (Model.MAX, r"fisttp|invpcid|ud[01]"),
)
_PATTERNS = [(model, re.compile(text)) for model, text in _CAME]
# Of the rows on XMM registers, those of SSE work on single precision.
_SSE2_UNPREFIXED = frozenset({"movnti", "lfence", "mfence", "clflush", "cvtps2pd", "cvtdq2ps"})
_SSE_CONVERSIONS = frozenset({"cvtsi2ss", "cvttss2si", "cvtss2si"})
_SSE2_OF_MMX = frozenset({"paddq", "psubq", "pmuludq", "movdq2q"})


def of_integer(mnemonic: str) -> Model:
    """Return since when there is an insn on general or x87 registers."""
    for model, pattern in _PATTERNS:
        if pattern.fullmatch(mnemonic):
            return model
    return Model.I386


def of_mmx(mnemonic: str, opcode: bytes) -> Model:
    """Return since when there is an insn on MMX registers."""
    is_later = opcode[1] in (0x38, 0x3A) or mnemonic in _SSE2_OF_MMX
    return Model.MAX if is_later else Model.PENTIUM3


def of_sse(mnemonic: str, opcode: bytes, prefix: str) -> Model:
    """Return since when there is an insn on XMM registers."""
    is_sse = opcode[1] not in (0x38, 0x3A)
    if prefix == "np":
        is_sse &= mnemonic not in _SSE2_UNPREFIXED
    else:
        is_sse &= prefix == "f3" and (mnemonic.endswith("ss") or mnemonic in _SSE_CONVERSIONS)
    return Model.PENTIUM3 if is_sse else Model.MAX
