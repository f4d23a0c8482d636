"""The x86 side of the unicorn package's interface, 2.1.4, on this project's CPU.

`from jitemu import unicorn` in place of `import unicorn`; or `python -m jitemu.unicorn SCRIPT`,
which runs a script as it is.
"""

from __future__ import annotations

from jitemu.unicorn import (
    arm64_const,
    arm_const,
    m68k_const,
    mips_const,
    ppc_const,
    riscv_const,
    s390x_const,
    sparc_const,
    tricore_const,
    unicorn_const,
    x86_const,
)
from jitemu.unicorn.context import UcContext
from jitemu.unicorn.errors import UcError
from jitemu.unicorn.uc import Uc
from jitemu.unicorn.unicorn_const import *  # noqa: F403

__version__ = "2.1.4"
_VERSION = (2, 1, 4)


def uc_version() -> tuple[int, int, int]:
    """Return the version of the interface: major, minor, patch."""
    return _VERSION


def version_bind() -> tuple[int, int, int]:
    """Return the version of the Python side of the interface."""
    return _VERSION


def uc_arch_supported(atype: int) -> bool:
    """Whether an architecture can be emulated: x86 alone."""
    return atype == unicorn_const.UC_ARCH_X86


def ucsubclass(cls: type[Uc]) -> type[Uc]:
    """Decorate a class derived from Uc, which needs nothing here."""
    return cls


def debug() -> str:
    """Return a line about this library."""
    return f"jitemu, interface of unicorn {__version__}, architectures: x86 (16- and 32-bit code)"


__all__ = [
    "Uc", "UcContext", "UcError", "arm64_const", "arm_const", "debug", "m68k_const", "mips_const",
    "ppc_const", "riscv_const", "s390x_const", "sparc_const", "tricore_const", "uc_arch_supported",
    "uc_version", "ucsubclass", "unicorn_const", "version_bind", "x86_const",
    *[name for name in vars(unicorn_const) if name.startswith("UC_")],
]  # fmt: skip
