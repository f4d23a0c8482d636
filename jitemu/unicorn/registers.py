"""UC_X86_REG_* -> the registers of a machine."""

from __future__ import annotations

from typing import Any

from jitemu.unicorn import x86_const
from jitemu.unicorn.errors import UcError
from jitemu.unicorn.unicorn_const import UC_ERR_ARG, UC_ERR_EXCEPTION
from runtime.embed.registers import REGISTERS, SegmentError, read_msr, write_msr
from translator.state import GPRS

_PREFIX = "UC_X86_REG_"
NAMES: dict[int, str] = {
    number: name.removeprefix(_PREFIX).lower()
    for name, number in vars(x86_const).items()
    if name.startswith(_PREFIX)
}
MSR = x86_const.UC_X86_REG_MSR
# Register number -> index into the 32-bit words of the CPU's state, for those that are all of one.
WORDS = {getattr(x86_const, _PREFIX + name.upper()): i for i, name in enumerate(GPRS)}
_KNOWN = {number: REGISTERS[name] for number, name in NAMES.items() if name in REGISTERS}
_BROAD = {number: int(name[3:]) for number, name in NAMES.items() if name[:3] in ("ymm", "zmm")}


def read(machine: Any, number: int, aux: Any = None) -> Any:
    """Return a register; 0 for what 32-bit code does not have, as the original does."""
    if number == MSR:
        return read_msr(machine, _index(aux))
    register = _KNOWN.get(number)
    if register is not None:
        return register.read(machine)
    if not isinstance(number, int):
        raise TypeError(f"a register is a number (UC_X86_REG_*), not {number!r}")
    if _BROAD.get(number, 8) < 8:
        return REGISTERS[f"xmm{_BROAD[number]}"].read(machine)
    return 0


def write(machine: Any, number: int, value: Any) -> None:
    """Set a register; nothing happens for what 32-bit code does not have."""
    if number == MSR:
        index, new = value
        write_msr(machine, index, new)
        return
    register = _KNOWN.get(number)
    if register is not None:
        try:
            register.write(machine, value)
        except SegmentError:
            raise UcError(UC_ERR_EXCEPTION) from None
    elif not isinstance(number, int):
        raise TypeError(f"a register is a number (UC_X86_REG_*), not {number!r}")
    elif _BROAD.get(number, 8) < 8:
        REGISTERS[f"xmm{_BROAD[number]}"].write(machine, value)


def _index(aux: Any) -> int:
    if not isinstance(aux, int):
        raise UcError(UC_ERR_ARG)
    return aux


class Batches:
    """Reading and writing many registers; `_registers` is what holds them."""

    _registers: Any

    def reg_read(self, reg_id: int, aux: Any = None) -> Any:
        """Return a register; *aux*: which MSR."""
        return read(self._registers, reg_id, aux)

    def reg_write(self, reg_id: int, value: Any) -> None:
        """Set a register."""
        write(self._registers, reg_id, value)

    def reg_read_batch(self, reg_data: Any) -> tuple[Any, ...]:
        """Return many registers, each named by its number or by (number, aux)."""
        return tuple(
            self.reg_read(*one) if isinstance(one, tuple) else self.reg_read(one)
            for one in reg_data
        )

    def reg_write_batch(self, reg_data: Any) -> None:
        """Set many registers from pairs of number and value."""
        for number, value in reg_data:
            self.reg_write(number, value)

    def msr_read(self, msr_id: int) -> int:
        """Return a model-specific register; 0 if it was never written."""
        return read_msr(self._registers, msr_id)

    def msr_write(self, msr_id: int, value: int) -> None:
        """Set a model-specific register."""
        write_msr(self._registers, msr_id, value)


class Attributes:
    """Registers as attributes: `uc.reg.eax` reads, `uc.reg.eax = 5` writes."""

    __slots__ = ("_machine",)
    _machine: Any

    def __init__(self, machine: Any) -> None:
        object.__setattr__(self, "_machine", machine)

    def __getattr__(self, name: str) -> Any:
        """Return a register's value."""
        register = REGISTERS.get(name)
        if register is None:
            raise AttributeError(f"there is no register {name!r}")
        return register.read(self._machine)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a register."""
        register = REGISTERS.get(name)
        if register is None:
            raise AttributeError(f"there is no register {name!r}")
        register.write(self._machine, value)

    def __dir__(self) -> list[str]:
        """List the registers."""
        return sorted(REGISTERS)

    def __repr__(self) -> str:
        """Show the general registers in hexadecimal."""
        names = (*GPRS, "eip", "eflags")
        return " ".join(f"{name}={getattr(self, name):#010x}" for name in names)
