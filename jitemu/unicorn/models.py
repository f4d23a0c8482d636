"""UC_CPU_X86_* -> the processor that is emulated: CPUID, opcodes, what old ones do otherwise.

There are seven: those of Unicorn's that are none of them are the nearest, and all processors with
SSE2 are "max", which has what this host allows.
"""

from __future__ import annotations

from jitemu.unicorn import x86_const as x86
from translator.mode import Model

DEFAULT = x86.UC_CPU_X86_HASWELL
_OF_NUMBER = {
    x86.UC_CPU_X86_486: Model.I486,
    x86.UC_CPU_X86_PENTIUM: Model.PENTIUM,
    x86.UC_CPU_X86_PENTIUM2: Model.PENTIUM3,
    x86.UC_CPU_X86_PENTIUM3: Model.PENTIUM3,
    x86.UC_CPU_X86_ATHLON: Model.PENTIUM3,
}
# Processors of ours: what Unicorn calls the nearest.
_OF_NAME = {
    "8086": (x86.UC_CPU_X86_486, Model.I8086),
    "286": (x86.UC_CPU_X86_486, Model.I286),
    "386": (x86.UC_CPU_X86_486, Model.I386),
    "486": (x86.UC_CPU_X86_486, Model.I486),
    "pentium": (x86.UC_CPU_X86_PENTIUM, Model.PENTIUM),
    "pentium3": (x86.UC_CPU_X86_PENTIUM3, Model.PENTIUM3),
    "max": (DEFAULT, Model.MAX),
}


def find(model: int | str | None) -> tuple[int, Model] | None:
    """Return number and model; None if there is none of that number or name. TypeError."""
    if isinstance(model, str):
        return _OF_NAME.get(model)
    number = DEFAULT if model is None else model
    if not 0 <= number < x86.UC_CPU_X86_ENDING:
        return None
    return number, _OF_NUMBER.get(number, Model.MAX)
