"""Bodies of the helpers that insns of a whole machine call (translator/helpers.py)."""

from __future__ import annotations

from typing import Any

from runtime.helpers import helper
from runtime.system import control, descriptors, old, returns, segments, tasks, transfers
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


# -- ports -----------------------------------------------------------------------------------------
@helper("check_port")
def check_port(cpu: Any, mem: Any, port: int, size: int) -> None:
    """Fault unless the program may use a port."""
    tasks.check_port(cpu, mem, port, size)


@helper("port_in")
def port_in(cpu: Any, mem: Any, port: int, size: int) -> int:
    """Read a port."""
    cpu.system.debug.port(port, size)
    return int(cpu.system.port_in(port, size)) & (1 << 8 * size) - 1


@helper("port_out")
def port_out(cpu: Any, mem: Any, port: int, value: int, size: int) -> None:
    """Write a port."""
    cpu.system.debug.port(port, size)
    cpu.system.port_out(port, value, size)


# -- segments --------------------------------------------------------------------------------------
@helper("load_segment")
def load_segment(cpu: Any, mem: Any, segment: int, selector: int) -> None:
    """Load a segment register other than CS."""
    descriptors.load(cpu, mem, segment, selector)


@helper("load_paragraph")
def load_paragraph(cpu: Any, mem: Any, selector: int) -> None:
    """Load CS in real mode where some segment is not as real mode makes them."""
    descriptors.load_paragraph(cpu, segments.CS, selector)


@helper("load_ldt")
def load_ldt(cpu: Any, mem: Any, selector: int) -> None:
    """LDTR ← selector."""
    descriptors.load_ldt(cpu, mem, selector)


@helper("load_tr")
def load_tr(cpu: Any, mem: Any, selector: int) -> None:
    """TR ← selector; the task becomes busy."""
    descriptors.load_tr(cpu, mem, selector)


@helper("access_rights")
def access_rights(cpu: Any, mem: Any, selector: int) -> int:
    """Return 1 << 32 | access rights, or 0."""
    return descriptors.rights(cpu, mem, selector)


@helper("segment_limit")
def segment_limit(cpu: Any, mem: Any, selector: int) -> int:
    """Return 1 << 32 | limit in bytes, or 0."""
    return descriptors.limit(cpu, mem, selector)


# -- far transfers ---------------------------------------------------------------------------------
@helper("far_jump")
def far_jump(cpu: Any, mem: Any, selector: int, offset: int, behind: int) -> None:
    """Jump through a code segment, a gate or a task."""
    transfers.far_jump(cpu, mem, selector, offset, behind)


@helper("far_call")
def far_call(cpu: Any, mem: Any, selector: int, offset: int, behind: int, width: int) -> None:
    """Call through a code segment, a gate or a task."""
    transfers.far_call(cpu, mem, selector, offset, behind, width // 8)


@helper("far_return")
def far_return(cpu: Any, mem: Any, release: int, width: int) -> None:
    """Return from a far call."""
    transfers.far_return(cpu, mem, release, width // 8)


@helper("interrupt_return")
def interrupt_return(cpu: Any, mem: Any, behind: int, width: int) -> None:
    """Return from a handler."""
    returns.interrupt_return(cpu, mem, behind, width // 8)


@helper("sysenter")
def sysenter(cpu: Any, mem: Any) -> None:
    """Enter ring 0."""
    control.sysenter(cpu.system)


@helper("sysexit")
def sysexit(cpu: Any, mem: Any) -> None:
    """Return to ring 3."""
    control.sysexit(cpu.system)


@helper("loadall")
def loadall(cpu: Any, mem: Any) -> None:
    """Load all registers of an 80286."""
    old.loadall(cpu.system)


# -- registers -------------------------------------------------------------------------------------
@helper("write_cr")
def write_cr(cpu: Any, mem: Any, index: int, value: int) -> None:
    """Write a control register."""
    control.write_cr(cpu.system, index, value)


@helper("read_dr")
def read_dr(cpu: Any, mem: Any, index: int) -> int:
    """Read a debug register."""
    return int(cpu.system.debug.read(index))


@helper("write_dr")
def write_dr(cpu: Any, mem: Any, index: int, value: int) -> None:
    """Write a debug register."""
    cpu.system.debug.write(index, value)


@helper("read_msr")
def read_msr(cpu: Any, mem: Any, index: int) -> int:
    """Read a model-specific register."""
    return control.read_msr(cpu.system, index)


@helper("write_msr")
def write_msr(cpu: Any, mem: Any, index: int, value: int) -> None:
    """Write a model-specific register."""
    control.write_msr(cpu.system, index, value)


@helper("invlpg")
def invlpg(cpu: Any, mem: Any, address: int) -> None:
    """Forget the translation of a page."""
    cpu.system.forget_page(address)
