"""The registers of a guest thread as plain ints, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.cpu import Cpu

GENERAL = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs")
NAMES = (*GENERAL, "eip", "eflags", *SEGMENTS, "fs_base", "gs_base", "mxcsr", "fcw")
_WIDTHS = {**dict.fromkeys(SEGMENTS, 16), "fcw": 16}


class _Register:
    """One register: reads give an unsigned int, writes take one that fits (or its negative)."""

    def __init__(self, name: str) -> None:
        self.name, self.width = name, _WIDTHS.get(name, 32)
        self.__doc__ = f"{name.upper()}, {self.width} bits."

    def __get__(self, owner: Registers, kind: type | None = None) -> int:
        return int(getattr(owner._cpu, self.name))

    def __set__(self, owner: Registers, value: int) -> None:
        if not -(1 << self.width - 1) <= value < 1 << self.width:
            raise ValueError(f"{self.name} holds {self.width} bits, not {value:#x}")
        setattr(owner._cpu, self.name, value & (1 << self.width) - 1)


class Registers:
    """Registers as attributes: `regs.eax` reads, `regs.eax = 5` writes."""

    def __init__(self, cpu: Cpu) -> None:
        self._cpu = cpu

    eax, ecx, edx, ebx, esp, ebp, esi, edi = (_Register(name) for name in GENERAL)
    eip, eflags = _Register("eip"), _Register("eflags")
    es, cs, ss, ds, fs, gs = (_Register(name) for name in SEGMENTS)
    fs_base, gs_base = _Register("fs_base"), _Register("gs_base")
    mxcsr, fcw = _Register("mxcsr"), _Register("fcw")

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Yield every register's name and value: `dict(regs)`."""
        for name in NAMES:
            yield name, getattr(self, name)

    def xmm(self, index: int) -> int:
        """Return XMM register *index* (0 to 7) as a 128-bit int."""
        if not 0 <= index < 8:
            raise IndexError(f"xmm{index}: there are xmm0 to xmm7")
        return self._cpu.xmm(index)

    def set_xmm(self, index: int, value: int) -> None:
        """Set XMM register *index* to a 128-bit int."""
        if not 0 <= index < 8 or not 0 <= value < 1 << 128:
            raise ValueError("xmm0 to xmm7 hold 128 bits each")
        self._cpu.set_xmm(index, value)

    def fxsave(self) -> bytes:
        """Return x87, MMX and SSE state as the 512-byte image of FXSAVE."""
        return self._cpu.fxsave()

    def __repr__(self) -> str:
        """Show the integer registers in hexadecimal."""
        return " ".join(
            f"{name}={getattr(self, name):#010x}" for name in (*GENERAL, "eip", "eflags")
        )
