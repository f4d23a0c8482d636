"""A machine's registers by name: ints, (mantissa, exponent) pairs, descriptor tables as tuples."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime import fpstate
from runtime.embed.access import Failure
from runtime.system import control, descriptors, segments
from translator.faults import GuestFault
from translator.state import FIELDS, GPRS, SEGMENTS

if TYPE_CHECKING:
    from runtime.embed.machine import Machine

_EIP = FIELDS["eip"].offset // 4
_FPU = FIELDS["fpu"].offset
_XMM, _FPR = FIELDS["xmm0"].offset, FIELDS["fpr0"].offset
FS_BASE, GS_BASE = 0xC0000100, 0xC0000101  # as MSRs


class SegmentError(Exception):
    """A selector that the machine cannot load."""


class Register(NamedTuple):
    """How to read and write a register."""

    read: Callable[[Machine], Any]
    write: Callable[[Machine, Any], None]


def number(value: Any) -> int:
    """Return a register's new value as an int. TypeError."""
    if not isinstance(value, int):
        raise TypeError(f"{type(value).__name__!r} object cannot be interpreted as an integer")
    return int(value)


def _general(index: int, width: int, shift: int = 0) -> Register:
    mask = (1 << width) - 1
    kept = 0xFFFFFFFF & ~(mask << shift)

    def write(machine: Machine, value: Any) -> None:
        r32 = machine.cpu.r32
        r32[index] = r32[index] & kept | (number(value) & mask) << shift

    return Register(lambda machine: machine.cpu.r32[index] >> shift & mask, write)


def _set_eip(machine: Machine, value: Any) -> None:
    machine.cpu.r32[_EIP] = number(value) & 0xFFFFFFFF
    machine.jumped = True
    machine.engine.changes += 1


def _set_ip(machine: Machine, value: Any) -> None:
    _set_eip(machine, number(value) & 0xFFFF)


_OF_MODE = segments.EFLAGS_VM | segments.EFLAGS_AC


def _set_eflags(machine: Machine, value: Any) -> None:
    before = machine.cpu.eflags
    machine.cpu.eflags = number(value) | 2
    if (before ^ value) & _OF_MODE and machine.pins is not None:
        machine.pins.update_context()
        machine.engine.changes += 1


def _set_flags(machine: Machine, value: Any) -> None:
    _set_eflags(machine, machine.cpu.eflags & ~0xFFFF | number(value) & 0xFFFF)


def _load_segment(machine: Machine, index: int, selector: int) -> None:
    """Load a segment register as the guest's insns do; for CS, too, as Unicorn does."""
    cpu, mem, pins = machine.cpu, machine.access, machine.pins
    try:
        if machine.is_real:
            pins.set_real_segment(index, selector)
        elif selector & ~3 or index == segments.SS or segments.mode_of_cpu(cpu).is_real:
            descriptors.load(cpu, mem, index, selector)
        else:  # a null selector leaves a flat segment
            _, _, _, attr = segments.segment(cpu, index)
            segments.set_segment(cpu, index, selector, 0, 0xFFFFFFFF, attr)
            pins.update_context()
    except (GuestFault, Failure):
        raise SegmentError(selector) from None


def _segment(name: str) -> Register:
    index = SEGMENTS.index(name)

    def write(machine: Machine, value: Any) -> None:
        selector = number(value) & 0xFFFF
        if machine.pins is None:  # a context that was saved
            setattr(machine.cpu, name, selector)
        else:
            _load_segment(machine, index, selector)
        machine.engine.changes += 1

    return Register(lambda machine: getattr(machine.cpu, name), write)


def _base(name: str) -> Register:
    def write(machine: Machine, value: Any) -> None:
        setattr(machine.cpu, name, number(value))

    return Register(lambda machine: getattr(machine.cpu, name), write)


def _control(index: int) -> Register:
    at = FIELDS[f"cr{index}"].offset // 4

    def write(machine: Machine, value: Any) -> None:
        machine.cpu.r32[at] = number(value) & 0xFFFFFFFF
        if machine.pins is not None and index != 2:
            machine.pins.take_paging()
        machine.engine.changes += 1

    return Register(lambda machine: machine.cpu.r32[at], write)


def _debug(index: int) -> Register:
    at = FIELDS[f"dr{index}"].offset // 4

    def write(machine: Machine, value: Any) -> None:
        machine.cpu.r32[at] = number(value) & 0xFFFFFFFF

    return Register(lambda machine: machine.cpu.r32[at], write)


def _table(name: str) -> Register:
    has_selector = name in ("ldtr", "tr")
    fields = (
        _field(name, 16) if has_selector else None,
        _field(f"{name}_base", 32),
        _field(f"{name}_limit", 32 if has_selector else 16),
        _field(f"{name}_attr", 32) if has_selector else None,
    )

    def write(machine: Machine, value: Any) -> None:
        if not isinstance(value, tuple) or len(value) != 4:
            raise TypeError(f"{name} is (selector, base, limit, flags)")
        for field, part in zip(fields, value, strict=True):
            if field is not None:
                field.write(machine, part)
        machine.engine.changes += 1

    def read(machine: Machine) -> tuple[int, ...]:
        return tuple(0 if field is None else field.read(machine) for field in fields)

    return Register(read, write)


def _vector(index: int) -> Register:
    at = _XMM + 16 * index

    def write(machine: Machine, value: Any) -> None:
        data = (number(value) & (1 << 128) - 1).to_bytes(16, "little")
        machine.cpu.r8[at : at + 16] = data

    return Register(lambda m: int.from_bytes(m.cpu.r8[at : at + 16], "little"), write)


def _float(index: int) -> Register:
    """Make a physical x87 register: (mantissa, sign and exponent)."""
    at = _FPR + 16 * index

    def read(machine: Machine) -> tuple[int, int]:
        data = machine.cpu.r8[at : at + 10]
        return int.from_bytes(data[:8], "little"), int.from_bytes(data[8:], "little")

    def write(machine: Machine, value: Any) -> None:
        if not isinstance(value, tuple) or len(value) != 2:
            raise TypeError("an x87 register is (mantissa, sign and exponent)")
        mantissa, exponent = map(number, value)
        machine.cpu.r8[at : at + 8] = (mantissa & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")
        machine.cpu.r8[at + 8 : at + 10] = (exponent & 0xFFFF).to_bytes(2, "little")
        machine.engine.changes += 1

    return Register(read, write)


def _mantissa(index: int, *, is_relative: bool) -> Register:
    """Make the low 64 bits of an x87 register, counted from TOP or not."""

    def place(machine: Machine) -> int:
        top = machine.cpu.r8[_FPU + 1] if is_relative else 0
        return _FPR + 16 * (index + top & 7)

    def read(machine: Machine) -> int:
        at = place(machine)
        return int.from_bytes(machine.cpu.r8[at : at + 8], "little")

    def write(machine: Machine, value: Any) -> None:
        at = place(machine)
        data = (number(value) & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")
        machine.cpu.r8[at : at + 8] = data
        machine.engine.changes += 1

    return Register(read, write)


def _status(machine: Machine, value: Any) -> None:
    fpstate.set_status(machine.cpu.r8, number(value) & 0xFFFF)
    machine.engine.changes += 1


def _set_control_word(machine: Machine, value: Any) -> None:
    machine.cpu.fcw = number(value) & 0xFFFF
    machine.engine.changes += 1


def _set_mxcsr(machine: Machine, value: Any) -> None:
    machine.cpu.mxcsr = number(value) & 0xFFFF
    machine.engine.changes += 1


def _set_tags(machine: Machine, value: Any) -> None:
    word = number(value)
    machine.cpu.r8[_FPU] = sum(1 << i for i in range(8) if word >> 2 * i & 3 != 3)
    machine.engine.changes += 1


def _field(name: str, width: int) -> Register:
    offset = FIELDS[name].offset

    def write(machine: Machine, value: Any) -> None:
        data = (number(value) & (1 << width) - 1).to_bytes(width // 8, "little")
        machine.cpu.r8[offset : offset + width // 8] = data

    return Register(
        lambda m: int.from_bytes(m.cpu.r8[offset : offset + width // 8], "little"), write
    )


REGISTERS: dict[str, Register] = {
    "eip": Register(lambda machine: machine.cpu.r32[_EIP], _set_eip),
    "ip": Register(lambda machine: machine.cpu.r32[_EIP] & 0xFFFF, _set_ip),
    "eflags": Register(lambda machine: machine.cpu.eflags, _set_eflags),
    "flags": Register(lambda machine: machine.cpu.eflags & 0xFFFF, _set_flags),
    "fs_base": _base("fs_base"),
    "gs_base": _base("gs_base"),
    "fpsw": Register(lambda machine: fpstate.status(machine.cpu.r8), _status),
    "fpcw": Register(lambda machine: machine.cpu.fcw, _set_control_word),
    "fptag": Register(lambda machine: fpstate.tag_word(machine.cpu.r8), _set_tags),
    "mxcsr": Register(lambda machine: machine.cpu.mxcsr, _set_mxcsr),
    "fip": _field("fpu_ip", 32),
    "fcs": _field("fpu_cs", 16),
    "fdp": _field("fpu_dp", 32),
    "fds": _field("fpu_ds", 16),
    "fop": _field("fpu_op", 16),
}
for _index, _name in enumerate(GPRS):
    REGISTERS[_name] = _general(_index, 32)
    REGISTERS[_name[1:]] = _general(_index, 16)
for _index, _letter in enumerate("acdb"):
    REGISTERS[_letter + "l"] = _general(_index, 8)
    REGISTERS[_letter + "h"] = _general(_index, 8, 8)
for _name in SEGMENTS:
    REGISTERS[_name] = _segment(_name)
for _index in range(8):
    REGISTERS[f"xmm{_index}"] = _vector(_index)
    REGISTERS[f"fp{_index}"] = _float(_index)
    REGISTERS[f"st{_index}"] = _mantissa(_index, is_relative=True)
    REGISTERS[f"mm{_index}"] = _mantissa(_index, is_relative=False)
    REGISTERS[f"dr{_index}"] = _debug(_index)
REGISTERS["cr1"] = Register(lambda machine: 0, lambda machine, value: None)  # there is none
for _index in (0, 2, 3, 4):
    REGISTERS[f"cr{_index}"] = _control(_index)
for _name in ("gdtr", "idtr", "ldtr", "tr"):
    REGISTERS[_name] = _table(_name)


def read_msr(machine: Machine, index: int) -> int:
    """Return a model-specific register; 0 if it was never written."""
    if index in (FS_BASE, GS_BASE):
        return int(machine.cpu.fs_base if index == FS_BASE else machine.cpu.gs_base)
    return machine.msrs.get(index, 0)


def write_msr(machine: Machine, index: int, value: int) -> None:
    """Set a model-specific register."""
    if index in (FS_BASE, GS_BASE):
        setattr(machine.cpu, "fs_base" if index == FS_BASE else "gs_base", value)
    machine.msrs[index] = value & 0xFFFFFFFFFFFFFFFF
    if index == control.EFER and machine.pins is not None:
        machine.pins.take_paging()
