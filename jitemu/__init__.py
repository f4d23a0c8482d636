"""jitemu: run x86 guests by binary translation.

The public API is `Process`, with the values that it hands out (`Result`, `Statistics` and
`Instruction`), and `Machine`, with `Ended` and `DiskError`.  Everything else may change without
notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "DiskError",
    "Ended",
    "Instruction",
    "LoadError",
    "Machine",
    "Process",
    "Result",
    "Statistics",
    "__version__",
]

if TYPE_CHECKING:
    from jitemu.machine import Ended, Machine
    from jitemu.process import Instruction, Process, Result
    from jitemu.statistics import Statistics
    from runtime.disks.disk import DiskError
    from runtime.loaders.elf import LoadError

_HOMES = {
    "DiskError": "runtime.disks.disk",
    "Ended": "jitemu.machine",
    "Instruction": "jitemu.process",
    "Machine": "jitemu.machine",
    "Process": "jitemu.process",
    "Result": "jitemu.process",
    "Statistics": "jitemu.statistics",
    "LoadError": "runtime.loaders.elf",
}


def __getattr__(name: str) -> Any:
    # Imported at first use: the command line starts without numpy.
    if name not in _HOMES:
        raise AttributeError(f"module 'jitemu' has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value
