"""Bodies of the x87 helpers: environment, images, and insns that the host executes as they are."""

from __future__ import annotations

from typing import Any

from runtime import fpstate
from translator.faults import GuestFault
from translator.helpers import BODIES
from translator.state import FIELDS
from translator.tiers import micro

_FSW, _FCW = (FIELDS[name].offset // 2 for name in ("fsw", "fcw"))
_MF, _GP = 16, 13
_ES = 0x80
_INVALID, _RANGE = 0x01, 0x18  # IE; OE and UE: unmasked, they keep a store from memory

# Size in bytes and direction of the memory operands: (first byte, reg field) -> size; negative:
# stored.  What is missing is 4 (D8-DB), 8 (DC DD), 2 (DE DF), loaded.
_OPERANDS = {
    (0xD9, 2): -4, (0xD9, 3): -4,
    (0xDB, 1): -4, (0xDB, 2): -4, (0xDB, 3): -4, (0xDB, 5): 10, (0xDB, 7): -10,
    (0xDD, 1): -8, (0xDD, 2): -8, (0xDD, 3): -8,
    (0xDF, 1): -2, (0xDF, 2): -2, (0xDF, 3): -2, (0xDF, 4): 10, (0xDF, 5): 8, (0xDF, 6): -10,
    (0xDF, 7): -8,
}  # fmt: skip
_FLOAT_STORES = {(0xD9, 2), (0xD9, 3), (0xDD, 2), (0xDD, 3)}


def _load(mem: Any, address: int, size: int) -> bytes:
    """Read guest memory."""
    data = b""
    while len(data) < size:
        step = 8 if size - len(data) >= 8 else 2
        at = address + len(data) & 0xFFFFFFFF
        data += mem.load(at, 8 * step).to_bytes(step, "little")
    return data


def _store(mem: Any, address: int, data: bytes) -> None:
    """Write guest memory."""
    done = 0
    while done < len(data):
        step = next(n for n in (8, 4, 2) if n <= len(data) - done)
        piece = data[done : done + step]
        mem.store(address + done & 0xFFFFFFFF, int.from_bytes(piece, "little"), 8 * step)
        done += step


def _touch(mem: Any, address: int, *offsets: int, write: bool) -> None:
    """Fault where the host would before it loads or stores anything: it tries these bytes first."""
    for offset in offsets:
        at = address + offset & 0xFFFFFFFF
        if write:
            mem.cmpxchg(at, 0, 0, 8)
        else:
            mem.load(at, 8)


def _modrm(mem: Any, address: int) -> int:
    """Return the ModRM byte of the x87 insn at an address; a shape has lost its mod field."""
    byte: int = 0
    while not 0xD8 <= byte <= 0xDF:
        byte = mem.load(address, 8)
        address = address + 1 & 0xFFFFFFFF
    modrm: int = mem.load(address, 8)
    return modrm


def x87_native(cpu: Any, mem: Any, opcode: int, address: int) -> None:
    """Have the host execute one waiting x87 insn (first byte, ModRM) on the guest's registers."""
    _execute(cpu, mem, opcode, address, is_writable=True)


def x87_into_code(cpu: Any, mem: Any, opcode: int) -> None:
    """Execute an insn that stores through CS: #GP unless an exception keeps it from storing."""
    _execute(cpu, mem, opcode, 0, is_writable=False)


def _execute(cpu: Any, mem: Any, opcode: int, address: int, is_writable: bool) -> None:
    if cpu.r16[_FSW] & _ES:
        raise GuestFault(_MF)
    first, modrm = opcode >> 8, opcode & 0xFF
    size, is_store = 0, False
    if modrm < 0xC0:
        default = 4 if first < 0xDC else 8 if first < 0xDE else 2
        size = _OPERANDS.get((first, modrm >> 3 & 7), default)
        size, is_store = abs(size), size < 0
    operand = b"" if is_store or not size else _load(mem, address, size)
    state, fcw = cpu.r8, cpu.r16[_FCW]
    before = fpstate.fxsave(state)
    image = before[:24] + b"\x80\x1f\0\0" + before[28:]  # the host's own MXCSR will do
    image, result, eflags = micro.x87(opcode, image, operand, cpu.eflags)
    unmasked = int.from_bytes(image[2:4], "little") & ~fcw
    if is_store:
        is_float = (first, modrm >> 3 & 7) in _FLOAT_STORES
        if not unmasked & (_INVALID | _RANGE if is_float else _INVALID):
            if not is_writable:
                raise GuestFault(_GP)
            _store(mem, address, result[:size])
    fpstate.load_x87(state, image)
    if first in (0xDB, 0xDF) and modrm >= 0xE8:  # fcomi and its relatives
        cpu.eflags = cpu.eflags & ~0x8D5 | eflags & 0x8D5
    pointers = before[8:12], before[16:20], before[6:8]
    _, dp, op = (int.from_bytes(p, "little") for p in pointers)
    if unmasked & 0x3F:  # only then does the host set data pointer and opcode
        dp, op = address if size else dp, first << 8 | _modrm(mem, cpu.eip)
    fpstate.set_pointers(state, cpu.eip, dp, op)


def _environment(cpu: Any, mem: Any, name: str, address: int, width: int) -> None:
    state = cpu.r8
    size = fpstate.ENV_SIZE[width] + (80 if name in ("frstor", "fnsave") else 0)
    # The first number, which may cross into the next page, then the last byte.
    crossing = -address & 0xFFF
    first = (0, crossing) if crossing < width // 8 else (0,)
    _touch(mem, address, *first, size - 1, write=name.startswith("fn"))
    match name:
        case "fldenv":
            fpstate.fldenv(state, _load(mem, address, size))
        case "frstor":
            fpstate.frstor(state, _load(mem, address, size))
        case "fnstenv":
            _store(mem, address, fpstate.fnstenv(state, width))
            fpstate.set_control(state, cpu.r16[_FCW] | 0x3F)
            fpstate.set_status(state, fpstate.status(state))
        case _:
            _store(mem, address, fpstate.fsave(state, width))
            fpstate.initialise(state)


def fxsave(cpu: Any, mem: Any, address: int) -> None:
    """Store the FXSAVE image; the 96 bytes for software at its end stay."""
    _touch(mem, address, fpstate.FXSAVE_SIZE - 1, 0, write=True)
    _store(mem, address, fpstate.fxsave(cpu.r8)[:288])


def fxrstor(cpu: Any, mem: Any, address: int) -> None:
    """Load the FXSAVE image; reserved bits in MXCSR are #GP."""
    _touch(mem, address, fpstate.FXSAVE_SIZE - 1, write=False)
    image = _load(mem, address, fpstate.FXSAVE_SIZE)
    if int.from_bytes(image[24:28], "little") & ~fpstate.MXCSR_MASK:
        raise GuestFault(_GP)
    fpstate.fxrstor(cpu.r8, image)


def _bind(name: str) -> Any:
    return lambda cpu, mem, address, width: _environment(cpu, mem, name, address, width)


BODIES["x87_native"] = x87_native
BODIES["x87_into_code"] = x87_into_code
BODIES["fxsave"] = fxsave
BODIES["fxrstor"] = fxrstor
for _name in ("fldenv", "fnstenv", "frstor", "fnsave"):
    BODIES[_name] = _bind(_name)
