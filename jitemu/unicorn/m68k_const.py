"""M68K: names and numbers as the unicorn package, 2.1.4, has them."""

from __future__ import annotations

from jitemu.unicorn.numbers import define

_NAMES = """
UC_CPU_M68K_: M5206 M68000 M68020 M68030 M68040 M68060 M5208 CFV4E ANY ENDING
UC_M68K_REG_: INVALID A0 A1 A2 A3 A4 A5 A6 A7 D0 D1 D2 D3 D4 D5 D6 D7 SR PC CR_SFC CR_DFC CR_VBR
  CR_CACR CR_TC CR_MMUSR CR_SRP CR_USP CR_MSP CR_ISP CR_URP CR_ITT0 CR_ITT1 CR_DTT0 CR_DTT1 ENDING
"""
define(globals(), _NAMES)


def __getattr__(name: str) -> int:
    """Say that there is no such constant; type checkers take any name for a number."""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
