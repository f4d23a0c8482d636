"""An encoded insn -> a start state in which it meets interesting operands."""

from __future__ import annotations

import struct
from random import Random

import numpy as np

from tests.generate import values
from tests.generate.encode import DATA, LOW, STRINGS, Encoded
from tests.native import layout

EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI = range(8)
STACK = 0x4000_0000
CODE_SELECTORS = (0x23, 0x23, 0x23, 0x23, 0x23, 0x23, 0, 0x2B, 0xFFF8)
DATA_SELECTORS = (0, 1, 3, 0x2B, 0x2B, 0x2B, 0x23, 0x28, 0xFFFF)
FLAG_BITS = 0xCD5
FLOAT_LETTERS = "PQNVWUT"
# FIP, FCS, FOP, FDP, FDS in what these insns store, as (offset, size): CPUs differ in them.
POINTERS32 = ((12, 16),)
POINTERS16 = ((6, 8),)
HIDDEN_STORES = {"fnstenv", "fnsave", "fxsave"}


def uses_floats(insn: Encoded) -> bool:
    """Whether the insn touches x87, MMX or XMM state."""
    row = insn.row
    if 0xD8 <= row.opcode[0] <= 0xDF or row.mnemonic in ("emms", "ldmxcsr", "stmxcsr", "wait"):
        return True
    if row.opcode[:2] in (b"\x0f\xae", b"\x9b"):
        return True
    return any((o[0] in FLOAT_LETTERS and o != "st0") or o == "st0" for o in row.operands)


class State:
    """A start state in the making: registers, flags, FPU, memory changes."""

    def __init__(self, rng: Random, eip: int) -> None:
        """Begin with interesting values everywhere and a stack pointer in its region."""
        self.rng, self.eip = rng, eip
        self.regs = [values.integer(rng, 32) for _ in range(8)]
        self.regs[ESP] = STACK + rng.randrange(0x800, 0x1800, 4)
        self.eflags = 0x202 | rng.getrandbits(32) & FLAG_BITS & ~0x400
        self.fx = values.DEFAULT_FX
        self.changes: list[tuple[int, bytes]] = []
        self.ignored: list[tuple[int, int]] = []

    def put(self, address: int, data: bytes) -> None:
        """Set memory, as far as it lies in one of the regions."""
        for base in layout.REGIONS:
            begin, end = max(address, base), min(address + len(data), base + layout.REGION_SIZE)
            for at in range(begin, end, layout.CHANGE_SIZE):
                piece = data[at - address : min(at + layout.CHANGE_SIZE, end) - address]
                self.changes.append((at, piece))

    def push(self, *words: int, size: int = 4) -> None:
        """Set what the insn will find on the stack."""
        data = b"".join((w & (1 << 8 * size) - 1).to_bytes(size, "little") for w in words)
        self.put(self.regs[ESP], data)

    def record(self) -> np.ndarray:
        """Return the state as a case."""
        case = np.zeros(1, dtype=layout.CASE)
        case["eip"], case["regs"], case["eflags"] = self.eip, self.regs, self.eflags
        case["fs"], case["gs"] = layout.FS_SELECTOR, layout.GS_SELECTOR
        case["fx"] = np.frombuffer(self.fx, dtype=np.uint8)
        kept = self.changes[: layout.MAX_CHANGES]
        case["n_changes"] = len(kept)
        for number, (address, data) in enumerate(kept):
            padded = np.frombuffer(data.ljust(layout.CHANGE_SIZE, b"\0"), dtype=np.uint8)
            case["changes"][0, number] = (address, len(data), padded)
        return case

    def target(self, insn: Encoded) -> int:
        """Choose where a memory operand lies: mostly inside a region, sometimes across its end."""
        rng, size = self.rng, insn.size
        base = rng.choice((DATA, DATA, DATA, DATA, DATA, STACK))
        kind = rng.random()
        if kind < 0.03:
            return rng.getrandbits(32) & 0x0FFF_FFFF | 0x5000_0000
        if kind < 0.06:
            return base + layout.REGION_SIZE - rng.randrange(size + 1)
        if kind < 0.08:
            return base - rng.randrange(size + 1)
        offset = rng.randrange(0x40, layout.REGION_SIZE - max(size, 64))
        return base + (offset & ~15 if rng.random() < 0.75 else offset)


def _segment(insn: Encoded) -> str:
    """Return the name of the segment register in a ModRM byte."""
    return ("es", "cs", "ss", "ds", "fs", "gs", "", "")[insn.modrm >> 3 & 7]


def _selector(rng: Random, segment: str) -> int:
    """Return a selector to load; ES to DS are flat in translated code (README, Quirks)."""
    others = (layout.FS_SELECTOR, layout.GS_SELECTOR) if segment in ("fs", "gs") else ()
    return rng.choice(DATA_SELECTORS + others)


def _operand_data(rng: Random, insn: Encoded) -> bytes:
    row, size = insn.row, insn.size
    name = row.mnemonic
    if name == "fbld":
        return values.bcd(rng)
    if name == "fxrstor":
        image = bytearray(values.fx_image(rng))
        if rng.random() < 0.1:
            image[26] = rng.getrandbits(8)
        return bytes(image)
    if name in ("fldenv", "frstor"):
        form = "<HHH" if insn.opsize == 16 else "<HxxHxxHxx"
        control = values.control_word(rng)
        words = struct.pack(form, control, values.status_word(rng, control), rng.getrandbits(16))
        head = words.ljust(14 if insn.opsize == 16 else 28, b"\0")
        return head + b"".join(values.float80(rng) for _ in range(8 if name == "frstor" else 0))
    if name == "ldmxcsr":
        junk = rng.getrandbits(32) if rng.random() < 0.1 else 0
        return (values.sse_control(rng) | junk).to_bytes(4, "little")
    if name == "fldcw":
        return values.control_word(rng).to_bytes(2, "little")
    if name == "bound":
        half = insn.opsize // 8
        low, high = sorted(values.integer(rng, 8 * half) for _ in range(2))
        return low.to_bytes(half, "little") + high.to_bytes(half, "little")
    if name == "lseg" or name in ("callfi", "jmpfi"):
        half = insn.opsize // 8
        offset = rng.getrandbits(8 * half) if name == "lseg" else 0x2000_0000 + rng.randrange(4096)
        offset &= (1 << 8 * half) - 1
        is_data = name == "lseg"
        selector = _selector(rng, row.operands[1]) if is_data else rng.choice(CODE_SELECTORS)
        return offset.to_bytes(half, "little") + selector.to_bytes(2, "little")
    is_float = 0xD8 <= row.opcode[0] <= 0xDF
    if size == 10:
        return values.float80(rng)
    if is_float and size == 4 and rng.random() < 0.6:
        return values.float32(rng).to_bytes(4, "little")
    if is_float and size == 8 and rng.random() < 0.6:
        return values.float64(rng).to_bytes(8, "little")
    if size >= 4 and uses_floats(insn):
        return values.vector(rng, max(size, 8))[:size]
    if size <= 8:
        return values.integer(rng, 8 * size).to_bytes(size, "little")
    return values.vector(rng)[:size]


def place_memory(state: State, insn: Encoded) -> int:
    """Make the memory operand's address a wanted one; return it."""
    rng = state.rng
    if insn.addrsize == 16 and insn.base is not None:
        offset = LOW + rng.randrange(0x40, 0x1F00) & (~15 if rng.random() < 0.6 else ~0)
        other = 0 if insn.index is None else state.regs[insn.index]
        low = offset - insn.disp - other & 0xFFFF
        state.regs[insn.base] = state.regs[insn.base] & 0xFFFF0000 | low
        return offset + insn.segment_base & 0xFFFFFFFF
    if not insn.is_absolute:
        assert insn.base is not None
        address = state.target(insn)
        offset = 0 if insn.index is None else state.regs[insn.index] * insn.scale
        state.regs[insn.base] = address - insn.segment_base - insn.disp - offset & 0xFFFFFFFF
        return address
    address = insn.disp + insn.segment_base
    if insn.index is not None:
        state.regs[insn.index] = rng.randrange(0, 24)
        address += state.regs[insn.index] * (insn.scale + (insn.base is not None))
    return address & 0xFFFFFFFF


def _code_target(state: State) -> int:
    if state.rng.random() < 0.08:
        return values.integer(state.rng, 32)
    return state.eip + state.rng.randint(-16, 24) & 0xFFFFFFFF


def prepare(rng: Random, insn: Encoded, eip: int) -> State:
    """Return a start state for one insn at *eip*."""
    state = State(rng, eip)
    row, name = insn.row, insn.row.mnemonic
    if uses_floats(insn):
        state.fx = values.fx_image(rng)
    if rng.random() < 0.3:
        state.eflags |= 0x400
    _special(state, insn)
    if insn.has_memory:
        address = place_memory(state, insn)
        data = _operand_data(rng, insn)
        if name in ("jmpi", "calli"):
            data = _code_target(state).to_bytes(4, "little")[: insn.size]
        if name == "cmpxchg8b" and rng.random() < 0.5:
            data = struct.pack("<II", state.regs[EAX], state.regs[EDX])
        if name == "cmpxchg" and rng.random() < 0.5:
            data = state.regs[EAX].to_bytes(4, "little")[: insn.size]
        if (row.operands and row.operands[0] == "Sw") or name == "movseg":
            data = _selector(rng, _segment(insn)).to_bytes(2, "little")
        state.put(address, data)
        room = -address & 0xFFF
        if 0xD8 <= row.opcode[0] <= 0xDF and room < insn.size:
            state.ignored.append((address, room))  # see README: x87 stores across a page end
        if name in HIDDEN_STORES:
            state.ignored += _pointers(insn, address)
    elif row.modrm:
        rm = insn.modrm & 7
        if name in ("jmpi", "calli"):
            state.regs[rm] = _code_target(state)
        elif name in ("movseg", "mov") and "Sw" in row.operands and row.operands[0] == "Sw":
            state.regs[rm] = _selector(rng, _segment(insn)) | rng.getrandbits(16) << 16
        elif name == "movseg" or name in ("lar", "lsl", "verr", "verw"):
            selectors = (0, 1, 0x2B, 0x23, 0x28, 0xFFFF, layout.FS_SELECTOR)
            state.regs[rm] = rng.choice(selectors) | rng.getrandbits(16) << 16
    return state


def _pointers(insn: Encoded, address: int) -> list[tuple[int, int]]:
    if insn.row.mnemonic == "fxsave":
        return [(address + 6, 18), (address + 28, 4)]
    where = POINTERS16 if insn.opsize == 16 else POINTERS32
    return [(address + offset, size) for offset, size in where]


def _special(state: State, insn: Encoded) -> None:
    """Set the registers and the stack that insns with implicit operands need."""
    rng, regs, row, name = state.rng, state.regs, insn.row, insn.row.mnemonic
    if name in STRINGS or name in ("xlat", "maskmovq", "maskmovdqu"):
        low = insn.addrsize == 16
        for reg in (ESI, EDI, EBX):
            regs[reg] = (LOW if low else DATA) + rng.randrange(0x200, 0x1E00)
            if not low and (reg != EDI or name not in STRINGS):  # ES:EDI knows no override
                regs[reg] = regs[reg] - insn.segment_base & 0xFFFFFFFF
            if rng.random() < 0.04:
                regs[reg] = values.integer(rng, 32)
            elif low:
                regs[reg] |= rng.getrandbits(16) << 16
        if rng.random() < 0.2:
            regs[EDI] = regs[ESI] + rng.randint(-9, 9) & 0xFFFFFFFF  # overlapping
        if low and name == "maskmovdqu" and regs[EDI] & 0xFFFF > 0xFFF0:
            regs[EDI] -= 16  # hardware wraps its second half at 64 KiB (README, Quirks)
        count = rng.choice((0, 1, 2, 3, 5, 17, 40, 200))
        regs[ECX] = count | (rng.getrandbits(16) << 16 if low else 0)
        if insn.rep and name in ("cmps", "scas"):
            fill = bytes([regs[EAX] & 0xFF]) * 48
            state.put(regs[EDI], fill)
            if name == "cmps" and rng.random() < 0.7:
                state.put(regs[ESI], fill)
    elif name in ("div", "idiv"):
        width = 8 if row.operands[0] == "Eb" else insn.opsize
        if rng.random() < 0.85:
            high = rng.choice((0, 0, 1, -1, rng.getrandbits(4)))
            regs[EDX] = high & 0xFFFFFFFF
            if width == 8:
                regs[EAX] = rng.getrandbits(16) >> rng.randrange(8)
    elif name in ("ret", "retn"):
        state.push(_code_target(state), values.integer(rng, 32), size=insn.opsize // 8)
    elif name in ("retf", "retfn", "iret"):
        flags = 0x202 | rng.getrandbits(12) & FLAG_BITS
        selector = rng.choice(CODE_SELECTORS)
        state.push(_code_target(state), selector, flags, size=insn.opsize // 8)
    elif name == "popf":
        flags = rng.getrandbits(32) & ~0x40100  # neither TF nor AC
        state.push(flags, size=insn.opsize // 8)
    elif name == "popseg":
        state.push(_selector(rng, row.operands[0]), 0)
    elif name in ("leave", "enter"):
        regs[EBP] = STACK + rng.randrange(0x800, 0x1800, 4)
        if rng.random() < 0.1:
            regs[EBP] = values.integer(rng, 32)
    elif name in ("loop", "loope", "loopne", "jcxz"):
        wide = (0x10000, 0x10001) if insn.addrsize == 16 else (3, 9)
        regs[ECX] = rng.choice((0, 1, 2, *wide, 200))
    elif name in ("bt", "bts", "btr", "btc") and rng.random() < 0.85:
        reg = insn.modrm >> 3 & 7
        if reg != ESP:
            regs[reg] = rng.randint(-500, 500) & 0xFFFFFFFF
    elif name in ("shld", "shrd") and insn.opsize == 16:
        regs[ECX] &= 0xFFFFFFEF
    elif name in ("daa", "das", "aaa", "aas"):
        regs[EAX] = regs[EAX] & 0xFFFFFF00 | rng.getrandbits(8)
    elif name == "bound" and rng.random() < 0.5:
        regs[insn.modrm >> 3 & 7] = rng.choice((0, 1, 5, 0xFFFFFFFF))
    elif name in ("cmpxchg", "cmpxchg8b") and not insn.has_memory and rng.random() < 0.5:
        regs[EAX] = regs[insn.modrm & 7]
    if rng.random() < 0.01 and name in ("push", "pop", "call", "pusha", "popa", "ret", "enter"):
        regs[ESP] = rng.choice((STACK, STACK + layout.REGION_SIZE, STACK + 2, 0x5000_0000))
