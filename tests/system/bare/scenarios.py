"""Families of scenarios: each gate, transfer and check of protected mode, drawn by a seed.

A family draws one scenario; most of it is right, so that each check decides in some of them.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from tests.system.bare.image import (
    CODE,
    CODES,
    DATAS,
    DONE,
    IDT,
    OTHER,
    OWN_TOP,
    SEL_16,
    SEL_B,
    SEL_TSS,
    STUBS,
    TARGET,
    TSS,
    TSS_16,
    TSS_B,
    USER_TOP,
    Scenario,
    descriptor,
    gate,
    tss16,
    tss32,
)

Rng = random.Random
FAMILIES: dict[str, Callable[[Rng, str], Scenario]] = {}
END = bytes((0xCD, DONE))
VM, IF, TF, NT = 1 << 17, 1 << 9, 1 << 8, 1 << 14


def family(function: Callable[[Rng, str], Scenario]) -> Callable[[Rng, str], Scenario]:
    """Register a family under the function's name."""
    FAMILIES[function.__name__] = function
    return function


def draw(name: str, count: int, seed: int = 1) -> list[Scenario]:
    """Draw scenarios of a family, the same ones each time."""
    rng = Rng(f"{name} {seed}")
    return [FAMILIES[name](rng, f"{name}-{number}") for number in range(count)]


# -- pieces ----------------------------------------------------------------------------------------
def imm16(value: int) -> bytes:
    """Encode 16 bits."""
    return struct.pack("<H", value & 0xFFFF)


def imm32(value: int) -> bytes:
    """Encode 32 bits."""
    return struct.pack("<I", value & 0xFFFFFFFF)


def push(value: int) -> bytes:
    """Encode push imm32."""
    return b"\x68" + imm32(value)


def mov_eax(value: int) -> bytes:
    """Encode mov eax, imm32."""
    return b"\xb8" + imm32(value)


def load_segment(index: int, selector: int) -> bytes:
    """Encode mov eax, selector; mov segment register, ax."""
    return mov_eax(selector) + bytes((0x8E, 0xC0 | index << 3))


def far(opcode: int, selector: int, offset: int, *, is_wide: bool = True) -> bytes:
    """Encode a far jump (EAh) or call (9Ah)."""
    place = imm32(offset) if is_wide else imm16(offset)
    return bytes((opcode,) if is_wide else (0x66, opcode)) + place + imm16(selector)


def often(rng: Rng, usual: int, *others: int, chance: float = 0.75) -> int:
    """Draw what is usual, or else something else."""
    return usual if rng.random() < chance else rng.choice(others)


def any_segment(
    rng: Rng,
    dpl: int,
    kind: int,
    *,
    conforms: bool = True,
    grows_down: bool = True,
    is_present: bool = False,
) -> bytes:
    """Draw a descriptor near one of memory with a type and privilege level."""
    kind = often(rng, kind, *range(16), chance=0.7)
    if (kind >= 12 and not conforms) or (4 <= kind < 8 and not grows_down):
        kind -= 4
    s = often(rng, 1, 0, chance=0.93)
    p = 1 if is_present else often(rng, 1, 0, chance=0.9)
    access = p << 7 | often(rng, dpl, 0, 1, 2, 3) << 5 | s << 4 | kind
    if not s and kind & 7 in (1, 3):
        access &= ~0x80  # an arbitrary task state leads too far
    limit, flags = rng.choice(((0xFFFFF, 12), (0xFFFFF, 12), (0xFFFFF, 4), (0xF, 12)))
    return descriptor(0, limit, access, flags)


def free_selector(rng: Rng, rpl: int) -> int:
    """Draw a selector of a free descriptor in GDT or LDT."""
    return rng.choice((0xA0, 0xA4)) | often(rng, rpl, 0, 1, 2, 3)


def odd_selector(rng: Rng, selector: int) -> int:
    """Draw a selector, seldom null or outside its table."""
    return often(rng, selector, 0, 3, 0x7F8, 0x7FC | rng.randrange(4), chance=0.94)


def wide_return(rng: Rng, opcode: bytes) -> bytes:
    """Encode a return, seldom with the other operand size."""
    return opcode if rng.random() < 0.7 else b"\x66" + opcode


# -- segment registers and selectors ---------------------------------------------------------------
@family
def load_data(rng: Rng, name: str) -> Scenario:
    """Load DS, ES, FS or GS, by mov, pop or lds."""
    ring = rng.randrange(4)
    selector = free_selector(rng, ring)
    index, pop = rng.choice(((0, b"\x07"), (3, b"\x1f"), (4, b"\x0f\xa1"), (5, b"\x0f\xa9")))
    used = odd_selector(rng, selector)
    code = push(used) + pop if rng.random() < 0.3 else load_segment(index, used)
    made = Scenario(name, ring=ring).describe(selector, any_segment(rng, ring, rng.choice((2, 3))))
    return made.put(CODE, code + END)


@family
def load_stack(rng: Rng, name: str) -> Scenario:
    """Load SS."""
    ring = rng.randrange(4)
    selector = free_selector(rng, ring)
    used = odd_selector(rng, selector)
    code = push(used) + b"\x17" if rng.random() < 0.3 else load_segment(2, used)
    made = Scenario(name, ring=ring).describe(selector, any_segment(rng, ring, 2, grows_down=False))
    return made.put(CODE, code + b"\x50\x9c" + END)


@family
def ask(rng: Rng, name: str) -> Scenario:
    """lar, lsl, verr, verw and arpl."""
    ring = rng.randrange(4)
    selector = free_selector(rng, ring)
    kind, s, p = rng.randrange(16), rng.randrange(2), rng.randrange(2)
    access = p << 7 | rng.randrange(4) << 5 | s << 4 | kind
    made = Scenario(name, ring=ring)
    made.describe(
        selector, descriptor(0x123456, rng.randrange(1 << 20), access, rng.choice((4, 12)))
    )
    code = mov_eax(odd_selector(rng, selector)) + b"\xbb\x78\x56\x34\x12\x89\xd9"
    code += b"\x0f\x02\xd8\x9c\x0f\x03\xc8\x9c\x0f\x00\xe0\x9c\x0f\x00\xe8\x9c"
    code += b"\x66\x0f\x02\xd8\x66\x0f\x03\xc8"
    code += b"\xba" + imm32(rng.randrange(4)) + b"\x63\xd0\x9c"
    return made.put(CODE, code + END)


@family
def tables(rng: Rng, name: str) -> Scenario:
    """lldt, ltr, sldt, str, sgdt, sidt, smsw, lmsw, clts."""
    ring = often(rng, 0, 1, 2, 3)
    selector = rng.choice((0xA0, 0xA0, 0xA4)) | rng.randrange(4)
    p, dpl = often(rng, 1, 0), rng.randrange(4)
    load = rng.choice((b"\x0f\x00\xd0", b"\x0f\x00\xd8"))
    kind = often(rng, 2 if load[2] == 0xD0 else 9, *range(16))
    made = Scenario(name, ring=ring)
    made.describe(selector, descriptor(TSS_B, 0x67, p << 7 | dpl << 5 | kind))
    code = rng.choice((
        mov_eax(often(rng, selector, 0x7F8)) + load,
        mov_eax(often(rng, selector, 0, 0x7F8)) + b"\x0f\x00\xd0",
        b"\x0f\x06", b"\x0f\x01\xf0", mov_eax(0xFFFFFFF0) + b"\x0f\x01\xf0",
        b"\x0f\x08", b"\x0f\x09", b"\xf4", b"\x0f\x20\xc0", b"\x0f\x21\xf8",
    ))  # fmt: skip
    if code == b"\xf4" and ring == 0:
        code = b""
    see = b"\x0f\x00\xc3\x0f\x00\xc9\x66\x0f\x00\xca\x0f\x01\xe6"
    see += b"\x0f\x01\x05" + imm32(OWN_TOP - 0x200) + b"\x0f\x01\x0d" + imm32(OWN_TOP - 0x1F0)
    return made.put(CODE, see + code + see + END)


# -- far transfers ---------------------------------------------------------------------------------
@family
def direct(rng: Rng, name: str) -> Scenario:
    """Far jumps and calls to code segments."""
    ring = rng.randrange(4)
    selector = free_selector(rng, ring)
    made = Scenario(name, ring=ring)
    made.describe(selector, any_segment(rng, ring, rng.choice((10, 11, 14))))
    opcode = rng.choice((0xEA, 0x9A))
    code = far(opcode, odd_selector(rng, selector), TARGET, is_wide=rng.random() < 0.7)
    made.put(TARGET, wide_return(rng, b"\xcb") if opcode == 0x9A and rng.random() < 0.5 else END)
    return made.put(CODE, code + END)


def _gate_stack(rng: Rng, made: Scenario, ring: int) -> None:
    """Sometimes let the task state name another stack for an inner ring."""
    if rng.random() < 0.3 and ring < 3:
        selector = 0xC0 | often(rng, ring, 0, 1, 2, 3)
        kind = often(rng, 2, 0, 1, 3, 8, 10, chance=0.6)
        access = often(rng, 1, 0) << 7 | often(rng, ring, 0, 1, 2, 3) << 5 | 0x10 | kind
        made.describe(selector, descriptor(0, 0xFFFFF, access, often(rng, 12, 8)))
        made.put(TSS + 4 + 8 * ring + 4, imm32(odd_selector(rng, selector)))
    elif rng.random() < 0.08:
        limit = rng.choice((3, 7, 9, 11, 15, 19, 0x19))
        made.describe(SEL_TSS, descriptor(TSS, limit, 0x89))


@family
def call_gate(rng: Rng, name: str) -> Scenario:
    """Far calls and jumps through call gates, and the way back."""
    ring = rng.randrange(4)
    inner = rng.randrange(ring + 1)
    kind = often(rng, rng.choice((4, 12)), *range(16), chance=0.93)
    if kind & 7 in (1, 3):
        kind = 12
    count = rng.choice((0, 0, 1, 3, 31))
    target = free_selector(rng, inner) & ~3 | rng.randrange(4)
    made = Scenario(name, ring=ring)
    opcode = often(rng, 0x9A, 0xEA)
    is_jump = opcode == 0xEA
    entry = any_segment(rng, inner, rng.choice((10, 11)), conforms=False, is_present=is_jump)
    made.describe(target, entry)
    selector = rng.choice((0xD0, 0xD4)) | often(rng, ring, 0, 1, 2, 3)
    dpl, p = often(rng, 3, 0, 1, 2), often(rng, 1, 0, chance=0.93)
    made.describe(selector, gate(odd_selector(rng, target), TARGET, kind, dpl, count, p))
    _gate_stack(rng, made, inner)
    back = bytes((0xCA, *imm16(count * (2 if kind == 4 else 4))))
    # Of a 16-bit gate the frame is 16 bits wide, and the code's size is random.
    made.put(TARGET, wide_return(rng, back) if rng.random() < 0.6 else END)
    code = push(0x11111111) + push(0x22222222) + push(0x33333333)
    wide = rng.random() < 0.8
    code += far(opcode, odd_selector(rng, selector), 0x1234, is_wide=wide)
    return made.put(CODE, code + END)


@family
def far_return(rng: Rng, name: str) -> Scenario:
    """retf to the same and to outer levels, from a frame that is pushed."""
    ring = rng.randrange(4)
    outer = often(rng, ring, 0, 1, 2, 3, chance=0.3)
    made = Scenario(name, ring=ring)
    cs, ss = (free_selector(rng, outer) for _ in range(2))
    ss = ss & 7 | 0xB0
    made.describe(cs, any_segment(rng, outer, rng.choice((10, 11, 15))))
    made.describe(ss, any_segment(rng, outer, 2, grows_down=False, is_present=True))
    code = load_segment(0, 0x10) if ring == 0 else b""
    code += push(odd_selector(rng, ss)) + push(USER_TOP) + push(odd_selector(rng, cs))
    code += push(TARGET) + rng.choice((b"\xcb", b"\xcb", b"\xca\x00\x00"))
    return made.put(TARGET, END).put(CODE, code)


@family
def interrupt_return(rng: Rng, name: str) -> Scenario:
    """iret to the same and to outer levels and to virtual-8086 mode."""
    ring = often(rng, 0, 1, 2, 3, chance=0.6)
    outer = often(rng, ring, 0, 1, 2, 3, chance=0.3)
    iopl = rng.randrange(4)
    made = Scenario(name, ring=ring, eflags=2 | iopl << 12 | rng.choice((0, IF)))
    cs, ss = (free_selector(rng, outer) for _ in range(2))
    ss = ss & 7 | 0xB0
    made.describe(cs, any_segment(rng, outer, rng.choice((10, 11, 15))))
    made.describe(ss, any_segment(rng, outer, 2, grows_down=False, is_present=True))
    image = rng.getrandbits(22) & ~(VM | TF | NT | 1 << 16 | 3 << 19) | 2
    code = load_segment(0, 0x10) if ring == 0 else b""
    if ring == 0 and rng.random() < 0.3:
        image |= VM
        for selector in (0x4444, 0x5555, 0x6666, 0x7777, 0x20, 0x100):
            code += push(selector)
        code += push(image) + push(0x700) + push(0x1100) + b"\xcf"
        return made.put(0x8100, b"\x90" + END).put(CODE, code)
    if rng.random() < 0.15:
        code += b"\x66" + b"\x68" + imm16(image) + b"\x66\x68" + imm16(cs) + b"\x66\x68"
        code += imm16(TARGET) + b"\x66\xcf"
    else:
        code += push(odd_selector(rng, ss)) + push(USER_TOP) + push(image)
        code += push(odd_selector(rng, cs)) + push(TARGET) + b"\xcf"
    return made.put(TARGET, b"\x9c" + END).put(CODE, code)


# -- interrupts ------------------------------------------------------------------------------------
_CAUSES = (
    b"\xcd\x31", b"\xcd\x31", b"\xcd\x31", b"\xcc", b"\xb0\x7f\x04\x01\xce", b"\x0f\x0b",
    b"\x31\xc9\xf7\xf1", load_segment(0, 0x7F0), load_segment(2, 0),
)  # fmt: skip


@family
def interrupt(rng: Rng, name: str) -> Scenario:
    """Software interrupts and exceptions through gates that may be wrong; double faults."""
    ring = rng.randrange(4)
    inner = rng.randrange(ring + 1)
    made = Scenario(name, ring=ring, eflags=2 | IF | often(rng, 0, NT, 3 << 12))
    cause = rng.choice(_CAUSES)
    target = free_selector(rng, inner) & ~3 | rng.randrange(4)
    made.describe(target, any_segment(rng, inner, rng.choice((10, 11, 15))))
    _gate_stack(rng, made, inner)
    kind = often(rng, rng.choice((6, 7, 14, 15)), *range(16), chance=0.93)
    if kind == 5:
        kind = 14
    dpl, p = often(rng, 3, 0, 1, 2), often(rng, 1, 0, chance=0.93)
    selector = odd_selector(rng, target)
    for vector in (0, 3, 4, 6, 13):
        made.put(IDT + 8 * vector, gate(selector, OTHER, kind, dpl, 0, p))
    made.put(IDT + 8 * 0x31, gate(selector, TARGET, kind, dpl, 0, p)).put(OTHER, END)
    if rng.random() < 0.1:
        made.put(IDT + 8 * 11, bytes(8))
    made.put(
        TARGET, wide_return(rng, b"\xcf") if cause == _CAUSES[0] and rng.random() < 0.5 else END
    )
    return made.put(CODE, cause + END)


@family
def priority(rng: Rng, name: str) -> Scenario:
    """Insns that could raise several exceptions at other levels than ring 0."""
    ring = rng.randrange(4)
    iopl = rng.randrange(4)
    code = rng.choice((
        b"\xfa", b"\xfb", b"\x9c\x58\x35\x00\x02\x00\x00\x50\x9d", b"\xf4", b"\x0f\x06",
        b"\x9c\x58\x35\x00\x32\x04\x00\x50\x9d",
        b"\xb9\x76\x01\0\0\x0f\x30", b"\xb9\x75\x01\0\0\x0f\x32", b"\x0f\x22\xc0",
        b"\x0f\x22\xe0", b"\x0f\x23\xf8", b"\x0f\x01\x3d" + imm32(0), b"\xcd\x20",
        b"\xcd\x30", b"\xe4\x80\x31\xc0", b"\x66\xe7\x80",
        b"\xec\x31\xc0", b"\x0f\x35", b"\x0f\x34",
        b"\x0f\x00\xd0", b"\xb0\x08\x0f\x00\xd8", b"\x0f\x01\x15" + imm32(TSS), b"\x0f\x01\xf0",
    ))  # fmt: skip
    if code in (b"\xf4", b"\x0f\x34", b"\x0f\x35") and ring == 0:
        code = b"\x0f\x06"
    if code[:2] == b"\x0f\x22":
        code = b"\x0f\x20\xc0" + code if code[2] == 0xC0 else code
    made = Scenario(name, ring=ring, eflags=2 | iopl << 12)
    return made.put(CODE, code + b"\x9c" + END)


@family
def ports(rng: Rng, name: str) -> Scenario:
    """The I/O permission map."""
    ring, iopl = rng.choice((1, 2, 3)), often(rng, 0, 1, 2, 3)
    port = rng.choice((0, 7, 15, 0x80, 0x85, 0x87, 0xBE, 0xBF, 0xC0, 0xFF, 0x3F8))
    offset, limit = (
        rng.choice((0x68, 0x68, 0x60, 0x8F, 0xFFFF)),
        rng.choice((0x8F, 0x8F, 0x67, 0x70)),
    )
    made = Scenario(name, ring=ring, eflags=2 | iopl << 12 | often(rng, 0, VM))
    made.describe(SEL_TSS, descriptor(TSS, limit, 0x89))
    made.put(TSS + 0x66, imm16(offset))
    made.put(TSS + 0x68, bytes(rng.choice((0, 0, 0, 0xFF, 1 << port % 8)) for _ in range(0x28)))
    code = b"\xba" + (imm16(port) if made.eflags & VM else imm32(port))
    code += rng.choice((b"\xec", b"\xed", b"\x66\xed")) + b"\x30\xc0" + END
    if made.eflags & VM:
        made.ring, made.eip, made.cs, made.ss, made.esp = (
            3,
            0,
            CODE >> 4,
            USER_TOP - 0x100 >> 4,
            0x100,
        )
    return made.put(CODE, code.replace(b"\x30\xc0", b"\x66" * bool(made.eflags & VM) + mov_eax(0)))


# -- tasks -----------------------------------------------------------------------------------------
def _some_state(rng: Rng, made: Scenario, *, is_wide: bool, nested: bool) -> None:
    """Fill task state B or that of 16 bits."""
    ring = rng.randrange(4)
    fields: dict[str, int] = {"cs": CODES[ring], "ss": DATAS[ring]}
    if is_wide:
        flags = 2 | rng.choice((0, 0, NT, IF, 3 << 12))
        if rng.random() < 0.1:
            flags |= VM
            fields |= {"cs": TARGET >> 4, "eip": 0, "ss": 0x400, "esp": 0x3F0}
        made.put(TSS_B, tss32(eflags=flags, **fields))
    else:
        made.put(TSS_16, tss16(flags=2 | rng.choice((0, NT, IF)), **fields))
    returns = nested and not (is_wide and flags & VM)
    made.put(TARGET, rng.choice((END, END, b"\xcf" + END)) if returns else END)


@family
def task(rng: Rng, name: str) -> Scenario:
    """Task switches by jump, call, interrupt and exception, direct and through gates; iret back."""
    ring = rng.randrange(4)
    is_wide = rng.random() < 0.7
    made = Scenario(name, ring=ring, eflags=2 | often(rng, 0, IF))
    way = rng.choice(("jump", "call", "int", "fault"))
    _some_state(rng, made, is_wide=is_wide, nested=way != "jump")
    state, base, limit = (SEL_B, TSS_B, 0x67) if is_wide else (SEL_16, TSS_16, 0x2B)
    kind = often(rng, 9 if is_wide else 1, 11 if is_wide else 3, 2, chance=0.9)
    dpl, p = often(rng, 3, 0, 1, 2), often(rng, 1, 0, chance=0.93)
    size = often(rng, limit, limit - 1, chance=0.93)
    made.describe(state, descriptor(base, size, p << 7 | dpl << 5 | kind))
    entry = gate(
        often(rng, state, 0, 0x10, SEL_TSS), 0, 5, often(rng, 3, 0, 1, 2), 0, often(rng, 1, 0)
    )
    if way in ("int", "fault"):
        for vector in (0x31, 6, 13):
            made.put(IDT + 8 * vector, entry)
        code = b"\xcd\x31" if way == "int" else rng.choice((b"\x0f\x0b", load_segment(0, 0x7F0)))
    else:
        selector = state
        if rng.random() < 0.5:
            selector = 0xD0
            made.describe(selector, entry)
        selector |= often(rng, 0, 1, 2, 3)
        code = far(0xEA if way == "jump" else 0x9A, selector, 0x5678)
    return made.put(CODE, code + END)


@family
def task_return(rng: Rng, name: str) -> Scenario:
    """iret with NT set."""
    ring = often(rng, 0, 3)
    made = Scenario(name, ring=ring, eflags=2 | NT)
    is_wide = rng.random() < 0.7
    _some_state(rng, made, is_wide=is_wide, nested=False)
    state, base, limit = (SEL_B, TSS_B, 0x67) if is_wide else (SEL_16, TSS_16, 0x2B)
    kind = often(rng, 11 if is_wide else 3, 9 if is_wide else 1, 2, chance=0.85)
    p = often(rng, 1, 0, chance=0.93)
    size = often(rng, limit, limit - 1, chance=0.93)
    made.describe(state, descriptor(base, size, p << 7 | kind))
    made.put(TSS, imm32(odd_selector(rng, state | often(rng, 0, 4, 3))))
    return made.put(CODE, b"\xcf" + END)


# -- virtual-8086 mode -----------------------------------------------------------------------------
@family
def virtual(rng: Rng, name: str) -> Scenario:
    """Sensitive insns, interrupts and segments in virtual-8086 mode, with any IOPL."""
    iopl = often(rng, 0, 3)
    made = Scenario(name, ring=3, eflags=2 | VM | iopl << 12 | rng.choice((0, IF)))
    made.eip, made.cs, made.ss, made.esp = 0, CODE >> 4, USER_TOP - 0x100 >> 4, 0x100
    made.segments = (0x123, 0x800, 0x345, 0x456)
    pieces = (
        b"\xfa", b"\xfb", b"\x9c", b"\x9d", b"\x66\x9c", b"\x66\x9d", b"\xcd\x31", b"\xcc",
        b"\xb0\x7f\x04\x01\xce", b"\xf4", b"\x0f\x00\xc0", b"\x0f\x20\xc0", b"\x0f\x01\xe0",
        b"\xf0\x90", b"\x0f\x0b", b"\x63\xc0", b"\x0f\x02\xc0", b"\xb8\x34\x12\x8e\xd8\x8c\xdb",
        b"\x6a\x00\x68\x00\x08\x68\x10\x00\xcf", b"\x9a\x80\x00\x00\x08", b"\x0f\x01\x16\x00\x00",
        b"\xea\x00\x01\x00\x08", b"\x33\xc9\xf7\xf1",
    )  # fmt: skip
    entry = often(rng, 0xEE00, 0x8E00, 0xEF00, 0x8600, 0xE600)
    inner = often(rng, 0, 3)
    selector = CODES[inner]
    made.put(IDT + 8 * 0x31, struct.pack("<HHHH", TARGET, selector, entry, 0))
    made.put(TARGET, END)
    made.put(CODE + 0x80, b"\xcb")
    return made.put(CODE, rng.choice(pieces) + b"\x8b\xc4" + END)


# -- stepping and breakpoints ----------------------------------------------------------------------
@family
def stepping(rng: Rng, name: str) -> Scenario:
    """TF through insns that change it, the stack or the privilege level."""
    ring = rng.choice((0, 3))
    made = Scenario(name, ring=ring, eflags=2 | often(rng, 0, TF))
    data = DATAS[ring]
    code = rng.choice((
        b"\x90", load_segment(2, data)[:5] + b"\x8e\xd0\x40\x41", b"\x9c\x5b\x53\x9d\x41",
        b"\x68\x02\x01\x00\x00\x9d\x41\x42", push(data) + b"\x17\x40\x41", b"\xcd\x31", b"\xcc",
        b"\xb9\x03\x00\x00\x00\xbf" + imm32(OWN_TOP - 0x200) + b"\xf3\xaa",
        push(0x102) + push(CODES[ring]) + push(OTHER) + b"\xcf", b"\x0f\x0b",
    ))  # fmt: skip
    made.put(OTHER, b"\x43\x43" + END)
    made.put(IDT + 8, gate(8, STUBS + 16, often(rng, 14, 15), 0))
    made.put(IDT + 8 * 0x31, gate(8, TARGET, often(rng, 14, 15), 3))
    made.put(TARGET, b"\x90\xcf")
    return made.put(CODE, code + b"\x90\x90" + END)


@family
def breakpoints(rng: Rng, name: str) -> Scenario:
    """Debug registers: insns, data, general detection; RF in what is saved."""
    made = Scenario(name, ring=0, eflags=2 | often(rng, 0, TF, 1 << 16))
    kind = rng.choice((0, 0, 1, 3))
    size = 0 if kind == 0 else rng.choice((0, 1, 3))
    data = OWN_TOP - 0x200
    place = CODE + 0x80 if kind == 0 else data + rng.randrange(8) // (size + 1) * (size + 1)
    index = rng.randrange(4)
    control = rng.choice((1, 2, 3)) << 2 * index | (size << 2 | kind) << 16 + 4 * index
    code = mov_eax(place) + bytes((0x0F, 0x23, 0xC0 | index << 3))
    code += mov_eax(control) + b"\x0f\x23\xf8"
    code += rng.choice((b"", b"\x0f\x21\xc3", push(0x10002) + b"\x9d"))
    jump = push(often(rng, 2, 0x10002)) + push(8) + push(CODE + 0x80) + b"\xcf"
    act = rng.choice((
        b"\xa1" + imm32(data), b"\xa3" + imm32(data + 4), b"\xff\x05" + imm32(data + 4),
        b"\xbf" + imm32(data) + b"\xb9\x03\x00\x00\x00\xf3\xab", b"\xa0" + imm32(data + 3), b"\x90",
        b"\x8e\x1d" + imm32(data), b"\x0f\x0b",
    ))  # fmt: skip
    made.put(CODE + 0x80, act + b"\x90\x90" + END)
    return made.put(CODE, code + jump)
