"""What is not compared, and why: flags that the architecture leaves undefined, single vectors.

Where a flag's value on the real chip is known it is compared: a mask stands here only where it is
not.  A vector is excluded by suite, file and index, with its reason.
"""

from __future__ import annotations

from typing import Any

from translator.flags import AF, CF, OF, PF, SF, ZF
from translator.mode import Model

ALL = 1 << CF | 1 << PF | 1 << AF | 1 << ZF | 1 << SF | 1 << OF
_DIVISIONS = ("F6.6", "F6.7", "F7.6", "F7.7")
# Flags that the 80286 leaves by rules that nobody has found out.
_UNKNOWN: dict[Model, dict[str, int]] = {
    Model.I8086: {},
    Model.I286: dict.fromkeys(_DIVISIONS, ALL),
}
# Flags that an 8086's division that fails has changed before; here a fault changes none.
_AT_EXCEPTIONS = {
    Model.I8086: dict.fromkeys((*_DIVISIONS, "D4"), ALL),
    Model.I286: dict.fromkeys((*_DIVISIONS, "D4"), ALL),
}

# (suite, file, index upstream) -> reason
EXCLUDED: dict[tuple[str, str, int], str] = {}


def compared_flags(row: dict[str, Any], model: Model, file: str) -> int:
    """Return the flags that are compared after an insn."""
    ignored = _UNKNOWN[model].get(file, 0)
    if flags_image(row, model) is not None:
        ignored |= _AT_EXCEPTIONS[model].get(file, 0)
    return 0xFFFF & ~ignored


def flags_image(row: dict[str, Any], model: Model) -> int | None:
    """Return the address of the flags that an exception pushed, None if there was none."""
    want = row["initial"]["regs"] | row["final"]["regs"]
    if model == Model.I8086:
        pushed = want["sp"] != row["initial"]["regs"]["sp"] and want["cs"] == 0
        if not pushed or want["ip"] != 0x400:
            return None
    elif "exception" not in row:  # its flag_address is one too low where that is odd
        return None
    address = (want["ss"] << 4) + (want["sp"] + 4 & 0xFFFF)
    return address & 0xFFFFF if model == Model.I8086 else int(address)
