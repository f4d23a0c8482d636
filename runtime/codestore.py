"""Compiled support code and stencils on disk, so that most runs never load LLVM."""

from __future__ import annotations

from runtime import nativecode
from translator.tiers import backend


def support_object() -> bytes:
    """Return the object file of the native support routines."""
    return backend.compile_object(nativecode.text(), reloc="pic")
