"""Host code whose guest registers are others: where its insns name host registers.

The code is what LLVM made with registers that need a prefix bit (pattern.py), so that each insn has
room for any register, and no length changes.  The fields are found by trying: a field is one if,
with another number in it, the disassembly says another register there, and nothing else changes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from translator.tiers import hostdis

# The host registers of EAX, ECX, ... EDI: where ghccc passes its third to tenth argument.
HOST = (12, 3, 14, 6, 7, 8, 9, 15)
_NAMES = {3: ("rbx", "ebx", "bx", "bl"), 6: ("rsi", "esi", "si", "sil")}
_NAMES |= {7: ("rdi", "edi", "di", "dil")}
_NAMES |= {n: (f"r{n}", f"r{n}d", f"r{n}w", f"r{n}b") for n in (8, 9, 12, 14, 15)}
_NUMBERS = {name: (n, i) for n, names in _NAMES.items() for i, name in enumerate(names)}
_NAME = re.compile(rf"\b(?:{'|'.join(sorted(_NUMBERS, key=len, reverse=True))}|bh)\b")
_TRIED = {14: 3, 8: 6, 9: 7, 15: 8}  # a register for each that may be renamed
_PREFIXES = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3")
# What uses registers that it does not name.
_SILENT = re.compile("call|cpuid|cmpxchg8b|cmpxchg16b|xlat|v?maskmov|syscall|sysenter|int")
_NEEDS_SIB = 4  # low bits of a base register that cannot stand alone


class Field(NamedTuple):
    """Where code names a register: three bits of its host register, and one elsewhere."""

    register: int  # the guest's
    low: int  # offset of the byte
    shift: int
    low_flip: int
    high: int  # offset of the byte with the fourth bit
    bit: int
    high_flip: int
    is_bare: bool  # a base register without an SIB byte

    def number(self, code: bytes | bytearray) -> int:
        """Return the host register."""
        low = code[self.low] >> self.shift & 7 ^ self.low_flip
        return low | (code[self.high] >> self.bit & 1 ^ self.high_flip) << 3

    def put(self, code: bytearray, number: int) -> None:
        """Name another host register."""
        low = (number & 7 ^ self.low_flip) << self.shift
        code[self.low] = code[self.low] & ~(7 << self.shift) | low
        high = (number >> 3 ^ self.high_flip) << self.bit
        code[self.high] = code[self.high] & ~(1 << self.bit) | high


def fields(code: bytes, fixed: Collection[int]) -> list[Field] | None:
    """Return where code names the host registers of guest registers that others can replace.

    None if it cannot be told, or if it uses others than these and the *fixed* ones.
    """
    found: list[Field] = []
    at = 0
    for _, insn, text in hostdis.lines(code, 0):
        known = _of_insn(insn, text)
        if known is None or known.others.difference(HOST[register] for register in fixed):
            return None
        found += [f._replace(low=at + f.low, high=at + f.high) for f in known.fields]
        at += len(insn)
    return found if at == len(code) else None


def rename(code: bytes, places: Sequence[Field], actual: Sequence[int]) -> bytes | None:
    """Return code with other guest registers, by number; None if a field has no room for it."""
    changed = bytearray(code)
    for field in places:
        number = HOST[actual[field.register]]
        if field.is_bare and number & 7 == _NEEDS_SIB:
            return None
        field.put(changed, number)
    return bytes(changed)


class _Insn(NamedTuple):
    """The fields of one insn, offsets counting from its start, and what else it names."""

    fields: list[Field]
    others: frozenset[int]


def _text(insn: bytes) -> str:
    return next((text for _, _, text in hostdis.lines(insn, 0)), "")


@lru_cache(1 << 14)
def _of_insn(insn: bytes, text: str) -> _Insn | None:
    """Return what one insn names; None if that cannot be told."""
    if _SILENT.match(text):
        return None
    names = _NAME.findall(text)
    if "bh" in names:
        return None
    numbers = {_NUMBERS[name][0] for name in names}
    others = frozenset(numbers - _TRIED.keys())
    if numbers == others:
        return _Insn([], others)
    accepted = []
    changed = bytearray(insn)
    for field in _candidates(insn):
        number = field.number(insn)
        if number not in _TRIED:
            continue
        trial = bytearray(insn)
        field.put(trial, _TRIED[number])
        if _differs_in_names(text, _text(bytes(trial))):
            accepted.append(field._replace(register=HOST.index(number)))
            field.put(changed, _TRIED[number])

    def other(match: re.Match[str]) -> str:
        number, width = _NUMBERS[match[0]]
        return _NAMES[_TRIED.get(number, number)][width]

    return _Insn(accepted, others) if _text(bytes(changed)) == _NAME.sub(other, text) else None


def _differs_in_names(before: str, after: str) -> bool:
    """Whether one text is the other with other names for registers that were renamed."""
    if before == after or _NAME.sub("", before) != _NAME.sub("", after):
        return False
    for old, new in zip(_NAME.findall(before), _NAME.findall(after), strict=True):
        number, width = _NUMBERS[old]
        if new not in (old, _NAMES[_TRIED.get(number, number)][width]):
            return False
    return True


def _candidates(insn: bytes) -> Iterator[Field]:
    """Yield what may be a field for all that the encoding says; see Intel's manual, volume 2, 2.2.

    Without a prefix that has the fourth bit there is none.
    """
    at = 0
    while insn[at] in _PREFIXES:
        at += 1
    prefix, flip = at, 1
    if insn[at] == 0xC5:  # a VEX prefix of two bytes
        r, modrm = (at + 1, 7), at + 3
        yield Field(0, at + 1, 3, 7, at + 1, 6, 1, False)
        b = x = None
    elif insn[at] == 0xC4:
        r, x, b, modrm = (at + 1, 7), (at + 1, 6), (at + 1, 5), at + 4
        yield Field(0, at + 2, 3, 7, at + 2, 6, 1, False)
    elif insn[at] & 0xF0 == 0x40:
        flip = 0
        r, x, b = (prefix, 2), (prefix, 1), (prefix, 0)
        at += 1
        if insn[at] == 0x0F:
            at += 2 if insn[at + 1] in (0x38, 0x3A) else 1
        yield Field(0, at, 0, 0, *b, 0, False)
        modrm = at + 1
    else:
        return
    if modrm >= len(insn):
        return
    yield Field(0, modrm, 3, 0, *r, flip, False)
    if b is None or x is None:
        return
    mod, rm = insn[modrm] >> 6, insn[modrm] & 7
    if mod == 3 or rm != _NEEDS_SIB:
        yield Field(0, modrm, 0, 0, *b, flip, mod != 3)
    elif modrm + 1 < len(insn):
        yield Field(0, modrm + 1, 3, 0, *x, flip, False)
        yield Field(0, modrm + 1, 0, 0, *b, flip, False)
