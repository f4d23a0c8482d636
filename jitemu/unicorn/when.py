"""Registers that conditions are made of: `(eax == 5) & (cl < 8)`; see `Uc.breakpoint`."""

from __future__ import annotations

from translator.conditions import REGISTERS, Expression, number

eax, ecx, edx, ebx, esp, ebp, esi, edi = (REGISTERS[n] for n in (
    "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi",
))  # fmt: skip
ax, cx, dx, bx, sp, bp, si, di = (REGISTERS[n] for n in (
    "ax", "cx", "dx", "bx", "sp", "bp", "si", "di",
))  # fmt: skip
al, cl, dl, bl, ah, ch, dh, bh = (REGISTERS[n] for n in (
    "al", "cl", "dl", "bl", "ah", "ch", "dh", "bh",
))  # fmt: skip


def always(holds: object = True) -> Expression:
    """Return a condition that holds always, or never; TypeError for what is no truth."""
    if not isinstance(holds, bool):
        raise TypeError(f"{holds!r} is no condition")
    return number(int(holds)) == 1
