"""Bodies of the helpers that insns of a whole machine call (translator/helpers.py)."""

from __future__ import annotations

from typing import Any

from runtime.helpers import helper
from translator import flags
from translator.faults import GuestFault
from translator.state import FIELDS

_EIP, _REST = FIELDS["eip"].offset // 4, FIELDS["eflags_rest"].offset // 4
_GP = 13


@helper("eip")
def eip(cpu: Any, mem: Any) -> int:
    """Return where the helper before this one sent control."""
    return int(cpu.r32[_EIP])


@helper("check_iopl")
def check_iopl(cpu: Any, mem: Any) -> None:
    """Fault in virtual-8086 mode unless IOPL is 3."""
    if cpu.r32[_REST] >> flags.IOPL & 3 != 3:
        raise GuestFault(_GP, error=0)


@helper("port_in")
def port_in(cpu: Any, mem: Any, port: int, size: int) -> int:
    """Read a port."""
    return int(cpu.system.port_in(port, size)) & (1 << 8 * size) - 1


@helper("port_out")
def port_out(cpu: Any, mem: Any, port: int, value: int, size: int) -> None:
    """Write a port."""
    cpu.system.port_out(port, value, size)
