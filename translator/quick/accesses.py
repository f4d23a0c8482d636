"""Insns that talk to devices, compiled: ports, and moves whose memory no page shows.

Guest code left at such an insn (interp tier).  What it asks for becomes a row of places
(runtime/nativeserve.py), whose Python callee native code calls.  A move that meets plain memory is
done here.
"""

from __future__ import annotations

from collections.abc import Callable

from translator.mode import CONTEXT_MODE_SHIFT, MODE_BITS, UNUSUAL, Mode, Model, Segments
from translator.quick.blocks import MOVS, OUTS, STOS, repeat
from translator.quick.compiler import invoke, put8, put16, put32, put64, s8, s64, u8, u16, u32
from translator.quick.natives import (
    P_IN,
    P_OUT,
    P_STATE,
    R_READ,
    R_STATE,
    R_WRITE,
    port_at,
    range_at,
)
from translator.quick.paging import (
    A_MARK,
    A_USER,
    A_WRITE,
    CALLEES,
    COMPILED,
    KINDS,
    PAGES,
    VIEW,
    walk,
)
from translator.quick.registers import (
    BUDGET,
    CONTEXT,
    CS,
    DS,
    EDX,
    EIP,
    FS,
    FULL,
    HIDDEN,
    INFO,
    IOPL,
    LOW,
    REST,
    ROW,
    SEG_BASES,
    SS,
    STEPS,
    WSPAN,
    executed,
    host_of,
)
from translator.state import FIELDS

# Columns of a row of places (runtime/nativeserve.py has them and checks this).
COLUMNS = (
    "calls", "count", "resume", "key", "op", "mask", "register", "base", "index", "shift", "disp",
    "first", "last", "origin", "other", "after", "offset_at", "value_at",
)  # fmt: skip
_CALLS, _COUNT, _RESUME, _KEY, _OP, _MASK, _REGISTER, _BASE, _INDEX, _SHIFT, _DISP = range(0, 88, 8)
_FIRST, _LAST, _ORIGIN, _OTHER, _AFTER, _OFFSET_AT, _VALUE_AT = range(88, 144, 8)
READ, WRITE = 1, 2  # op
CALL_SIZE = 24
# Callees: for 1, 2 and 4 bytes each. Where the first argument (a port, an address) and the second
# (the number that is written) stand among the arguments.
PORT_IN, PORT_OUT, LOAD, STORE = range(0, 12, 3)
_SECOND = 8
_NUMBER = FIELDS["fault_address"].offset  # holds an immediate
_ESP, _EBP = 4, 5
_CODE16 = Mode(code32=False).number
_PARAGRAPHS = Mode(vm86=True).number  # real and virtual-8086 mode
_SEGMENTS, _CHECKED = 3 << 2, Segments.CHECKED << 2
assert Mode(segments=Segments.CHECKED).number == _CHECKED
_CPL = 6
_ODD = UNUSUAL >> CONTEXT_MODE_SHIFT  # somebody watches accesses, or alignment is checked
_MODEL = 9
_OLD = Model.I286  # this one and the 8086 have other prefixes and wrap


def log2(size: int) -> int:
    """Return 0, 1, 2 for 1, 2, 4 bytes."""
    return size >> 1


def ask(
    ctx: int, st: int, row: int, what: int, at: int, size: int, register: int, behind: int
) -> int:
    """Fill the row of an access to a port or an address, if there is one."""
    if not row:
        return 0
    writes = what != PORT_IN and what != LOAD
    put64(row + _CALLS, s64(ctx + CALLEES) + CALL_SIZE * (what + log2(size)))
    put64(row + _COUNT, 1)
    put64(row + _RESUME, 0)
    put64(row + _KEY, 0)
    put64(row + _OP, WRITE if writes else READ)
    put64(row + _MASK, (1 << 8 * size) - 1)
    put64(row + _REGISTER, register)
    put64(row + _BASE, -1)
    put64(row + _INDEX, -1)
    put64(row + _SHIFT, 0)
    put64(row + _DISP, at)
    put64(row + _FIRST, 0)
    put64(row + _LAST, FULL)
    put64(row + _ORIGIN, 0)
    put64(row + _AFTER, behind)
    put64(row + _OFFSET_AT, 0)
    put64(row + _VALUE_AT, _SECOND)
    put32(st + INFO, 0)
    put64(st + BUDGET, s64(st + BUDGET) - 1)
    return 1


def register_at(index: int, size: int) -> int:
    """Return the offset in the state of a general register."""
    return 4 * (index - 4) + 1 if size == 1 and index >= 4 else 4 * index


def segment_allows(st: int, mode: int, segment: int, offset: int, size: int, write: int) -> int:
    """Whether an access lies in its segment, which allows it."""
    if mode & _SEGMENTS == 0 and segment < FS:
        return 1
    hidden = st + HIDDEN + ROW * segment
    span = s64(hidden + (WSPAN if write else 0))
    return span >= 0 and (offset - u32(hidden + LOW) & FULL) + size - 1 <= span


def move(ctx: int, st: int, mode: int, segment: int, offset: int, size: int, write: int) -> int:
    """Return the linear address of an access, or -1: Python looks."""
    if not segment_allows(st, mode, segment, offset, size, write):
        return -1
    address = u32(st + SEG_BASES + 4 * segment) + offset & FULL
    return -1 if (address & 0xFFF) + size > 0x1000 else address


def effective16(st: int, modrm: int, at: int) -> int:
    """Return the offset that a ModRM byte with 16-bit addresses means."""
    rm = modrm & 7
    mod = modrm >> 6
    total = 0
    if mod == 0 and rm == 6:
        return u16(at)
    if rm == 0 or rm == 1 or rm == 7:
        total = u16(st + 4 * 3)
    elif rm == 2 or rm == 3 or rm == 6:
        total = u16(st + 4 * _EBP)
    if rm == 0 or rm == 2 or rm == 4:
        total += u16(st + 4 * 6)
    elif rm == 1 or rm == 3 or rm == 5:
        total += u16(st + 4 * 7)
    if mod == 1:
        total += s8(at)
    elif mod == 2:
        total += u16(at)
    return total & 0xFFFF


def effective32(st: int, modrm: int, at: int) -> int:
    """Return the offset that a ModRM byte with 32-bit addresses means; *at*: what is behind it."""
    rm = modrm & 7
    mod = modrm >> 6
    total = 0
    base = rm
    if rm == 4:
        sib = u8(at)
        at += 1
        base = sib & 7
        index = sib >> 3 & 7
        if index != 4:
            total = u32(st + 4 * index) << (sib >> 6)
    if mod == 0 and base == 5:
        total += u32(at)
    else:
        total += u32(st + 4 * base)
    if mod == 1:
        total += s8(at)
    elif mod == 2:
        total += u32(at)
    return total & FULL


def operand_size(modrm: int, sib: int, wide: int) -> int:
    """Return how many bytes of SIB and displacement follow a ModRM byte."""
    rm = modrm & 7
    mod = modrm >> 6
    if not wide:
        return mod if mod else (2 if rm == 6 else 0)
    size = 1 if rm == 4 else 0
    if mod == 1:
        return size + 1
    if mod == 2 or (rm == 5 and mod == 0) or (rm == 4 and mod == 0 and sib & 7 == 5):
        return size + 4
    return size


def is_on_stack(modrm: int, sib: int, wide: int) -> int:
    """Whether an address counts from SS if nothing else is said."""
    rm = modrm & 7
    mod = modrm >> 6
    if not wide:
        return rm == 2 or rm == 3 or (rm == 6 and mod != 0)
    base = sib & 7 if rm == 4 else rm
    return base == _ESP or (base == _EBP and mod != 0)


def is_port(code: int) -> int:
    """Whether there is an insn for ports without prefixes, not at a page's last byte."""
    return u8(code) & 0xF4 == 0xE4 and code & 0xFFF != 0xFFF


def put_register(at: int, value: int, size: int) -> int:
    """Set a register, or a part of it."""
    if size == 1:
        put8(at, value)
    elif size == 2:
        put16(at, value)
    else:
        put32(at, value)
    return 0


def port_access(ctx: int, st: int, row: int, op: int, port: int, size: int, behind: int) -> int:
    """Execute in or out; see `access`."""
    code = port_at(ctx, port)
    function = s64(code + (P_OUT if op & 2 else P_IN)) if code else 0
    if not function:
        return ask(ctx, st, row, PORT_OUT if op & 2 else PORT_IN, port, size, 0, behind)
    if op & 2:
        value = u32(st) if size == 4 else u16(st) if size == 2 else u8(st)
        if invoke(function, s64(code + P_STATE), port, value, size):
            return 1 + executed(st, behind)
    else:
        value = invoke(function, s64(code + P_STATE), port, size)
        if value >= 0:
            put_register(st, value, size)
            return 1 + executed(st, behind)
    return ask(ctx, st, row, PORT_OUT if op & 2 else PORT_IN, port, size, 0, behind)


def device_access(
    ctx: int, st: int, row: int, place: int, size: int, register: int, write: int, behind: int
) -> int:
    """Move between a register and a device; see `access`."""
    code = range_at(ctx, place, size)
    if code and write:
        at = st + register
        value = u32(at) if size == 4 else u16(at) if size == 2 else u8(at)
        if invoke(s64(code + R_WRITE), s64(code + R_STATE), place, value, size):
            return 1 + executed(st, behind)
    elif code:
        value = invoke(s64(code + R_READ), s64(code + R_STATE), place, size)
        if value >= 0:
            put_register(st + register, value, size)
            return 1 + executed(st, behind)
    return ask(ctx, st, row, STORE if write else LOAD, place, size, register, behind)


def access(ctx: int, st: int, row: int) -> int:
    """Look at the insn at EIP: 0, it is Python's; 1, *row* says what to call; 2, it is done.

    Without a row (0), nothing is done that needs Python.
    """
    if u32(st + REST) & STEPS or not s64(ctx + COMPILED) or s64(st + BUDGET) < 0:
        return 0
    mode = s64(st + CONTEXT) >> 32 + CONTEXT_MODE_SHIFT & (1 << MODE_BITS) - 1
    model = mode >> _MODEL & 7
    level = 3 - (mode >> _CPL & 3)
    is_real = mode & _PARAGRAPHS
    if mode & _ODD or (is_real and level) or model == Model.I8086 or model == _OLD:
        return 0
    view = s64(ctx + VIEW)
    eip = u32(st + EIP)
    begin = host_of(ctx, view, u32(st + SEG_BASES + 4 * CS) + eip & FULL, 1, 0)
    if not begin or ((begin & 0xFFF) + 12 > 0x1000 and not is_port(begin)):
        return 0
    wide = not mode & _CODE16
    far = wide
    segment = -1
    code = begin
    op = u8(code)
    rep = 0
    while (
        (op & 0xFC == 0x64) or op == 0x26 or op == 0x2E or op == 0x36 or op == 0x3E
        or op & 0xFE == 0xF2
    ):  # fmt: skip
        if op & 0xFE == 0xF2:
            rep = op
        elif op == 0x66:
            wide = mode & _CODE16 != 0
        elif op == 0x67:
            far = mode & _CODE16 != 0
        elif op & 0xFE == 0x64:
            segment = op & 7  # FS GS
        else:
            segment = op >> 3 & 3  # ES CS SS DS
        code += 1
        if code - begin > 3:
            return 0
        op = u8(code)
    code += 1
    full = 4 if wide else 2
    size = full if op & 1 else 1
    if op & 0xFE == OUTS or (rep and (op & 0xFE == MOVS or op & 0xFE == STOS)):
        if op & 0xFE == OUTS and not is_real and level > u32(st + REST) >> IOPL & 3:
            return 0
        behind = eip + code - begin
        if behind > FULL or (mode & _CODE16 and behind > 0xFFFF):
            return 0
        done = repeat(ctx, st, mode, op, DS if segment < 0 else segment, size, far, rep)
        if done == 2:
            put32(st + EIP, behind)
        return 2 if done else 0
    if rep:
        return 0
    if op & 0xF4 == 0xE4:  # in, out
        if not is_real and level > u32(st + REST) >> IOPL & 3:
            return 0
        port = u16(st + EDX)
        if not op & 8:
            port = u8(code)
            code += 1
        behind = eip + code - begin
        if behind > FULL or (mode & _CODE16 and behind > 0xFFFF):
            return 0
        return port_access(ctx, st, row, op, port, size, behind)
    write = register = offset = 0
    if op & 0xFC == 0xA0:  # mov between the accumulator and an address
        write = op >> 1 & 1
        offset = u32(code) if far else u16(code)
        code += 4 if far else 2
        segment = DS if segment < 0 else segment
    elif op & 0xFC == 0x88 or op & 0xFE == 0xC6:
        modrm = u8(code)
        if modrm >= 0xC0:
            return 0
        sib = u8(code + 1)
        offset = effective32(st, modrm, code + 1) if far else effective16(st, modrm, code + 1)
        if segment < 0:
            segment = SS if is_on_stack(modrm, sib, far) else DS
        code += 1 + operand_size(modrm, sib, far)
        write = 1
        if op & 0xFE == 0xC6:
            if modrm & 0x38:
                return 0
            register = _NUMBER
            put32(st + _NUMBER, u32(code) if size == 4 else u16(code) if size == 2 else u8(code))
            code += size
        else:
            write = not op & 2
            register = register_at(modrm >> 3 & 7, size)
    else:
        return 0
    behind = eip + code - begin
    if behind > FULL or (mode & _CODE16 and behind > 0xFFFF):
        return 0
    if write and segment == CS:
        return 0
    address = move(ctx, st, mode, segment, offset, size, write)
    if address < 0:
        return 0
    plain = host_of(ctx, view, address, size, write)
    if plain:
        return transfer(st, plain, size, register, write) + executed(st, behind)
    page = walk(ctx, address, A_MARK | (A_WRITE if write else 0) | (A_USER if view else 0))
    if page < 0:
        return 0
    frame = page >> 8
    if frame < s64(ctx + PAGES) and u8(s64(ctx + KINDS) + frame) != 2:
        return 0
    place = frame << 12 | address & 0xFFF
    if place > FULL:
        return 0
    return device_access(ctx, st, row, place, size, register, write, behind)


def transfer(st: int, host: int, size: int, register: int, write: int) -> int:
    """Move between a register and memory; 1."""
    source = st + register if write else host
    target = host if write else st + register
    if size == 1:
        put8(target, u8(source))
    elif size == 2:
        put16(target, u16(source))
    else:
        put32(target, u32(source))
    return 1


PUBLIC = {"access"}
FUNCTIONS: list[Callable[..., int]] = [
    log2, ask, register_at, segment_allows, move, effective16, effective32, operand_size,
    is_on_stack, is_port, put_register, port_access, device_access, access, transfer,
]  # fmt: skip
