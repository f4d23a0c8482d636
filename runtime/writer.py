"""Pieces of host code -> one block's code in the arena, with its links and fault rows."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from typing import NamedTuple

from runtime.native import Arena
from translator.shape import PC, SLOT_INDEX, Slots
from translator.state import FIELDS
from translator.strategies import Piece
from translator.tiers.hostasm import CACHE_LINE, JUMP, NOP
from translator.tiers.stencil import LEAVE, NEXT, ST0, Stencil

_PUT4, _PUT4S = struct.Struct("<I").pack_into, struct.Struct("<i").pack_into
_FPR0 = FIELDS["fpr0"].offset
TOP = SLOT_INDEX["top"]
_PACK = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}
_MASKS = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFFFFFF, 8: 0xFFFFFFFFFFFFFFFF}


class Stub(NamedTuple):
    """The exit stub of a link: code, and the offsets of its three fields."""

    code: bytes
    pc: int
    site: int
    leave: int


def make_stub(stencil: Stencil) -> Stub:
    """Find the fields of the stub stencil."""
    places = {hole.slot: hole.offset for hole in stencil.holes}
    (leave,) = stencil.branches
    return Stub(stencil.code, places[PC], places[SLOT_INDEX["site"]], leave.offset)


class Writer:
    """Lays out one block's code before it is copied into the arena."""

    def __init__(self, arena: Arena, constant: Callable[[bytes], int], start: int) -> None:
        """Begin at an offset; *constant* returns where in the arena some bytes are."""
        self.arena, self.constant, self.start = arena, constant, start
        self.code = bytearray()
        self.faults: list[int] = []  # rows of the fault table, three numbers each
        self.colds: list[tuple[Piece, int]] = []
        self.links: list[tuple[int, int, int]] = []  # offset of the field, addend, guest target
        self.labels: dict[str, int] = {}
        self.forward: list[tuple[int, int, str]] = []
        self.is_far = False  # links go through jumps of their own
        self.symbols = arena.symbols
        self.leave = self.symbols[LEAVE]

    def align(self, stencil: Stencil) -> None:
        """Pad so that no link's field crosses a cache line: then patching it is atomic."""
        at = self.start + len(self.code)
        sites = [branch.offset for branch in stencil.branches if branch.insn >= 0]
        pad = 0
        while any((at + pad + site) % CACHE_LINE > CACHE_LINE - 4 for site in sites):
            pad += 1
        self.code += NOP * pad

    def hot(self, piece: Piece) -> None:
        """Append a piece's straight code and fill its holes."""
        stencil, slots = piece
        code = self.code
        at = len(code)
        code += stencil.code
        if stencil.cold:
            self.colds.append((piece, at))
            return
        for offset, size, insn, slot, addend in stencil.holes:
            if size == 4 and slot < ST0:
                _PUT4(code, at + offset, slots[insn][slot] + addend & 0xFFFFFFFF)
            else:
                self._put(at + offset, size, slots[insn], slot, addend)
        if stencil.branches or stencil.constants:
            self._branches(stencil, slots, at, at)
        for access, recovery, insn, pc in stencil.faults:
            self.faults += (
                self.start + at + access,
                self.leave if recovery < 0 else self.start + at + recovery,
                slots[insn][PC] if insn >= 0 else pc,
            )

    def cold(self) -> None:
        """Append the cold parts collected so far."""
        for (stencil, slots), at in self.colds:
            split = len(stencil.code)
            cold_at = len(self.code) - split  # so that offsets beyond the split fall right
            self.code += stencil.cold
            for offset, size, insn, slot, addend in stencil.holes:
                base = at if offset < split else cold_at
                self._put(base + offset, size, slots[insn], slot, addend)
            self._branches(stencil, slots, at, cold_at)
            for access, recovery, insn, pc in stencil.faults:
                target = self.leave
                if recovery >= 0:
                    target = self.start + (at if recovery < split else cold_at) + recovery
                number = slots[insn][PC] if insn >= 0 else pc
                self.faults += (self.start + at + access, target, number)
        self.colds.clear()

    def _put(self, at: int, size: int, slots: Slots, slot: int, addend: int) -> None:
        number = _FPR0 + 16 * (slots[TOP] + slot - ST0 & 7) if slot >= ST0 else slots[slot]
        if size < 0:
            size = -size
            number -= self.arena.base + self.start + at
        struct.pack_into(_PACK[size], self.code, at, number + addend & _MASKS[size])

    def _branches(self, stencil: Stencil, slots: list[Slots], hot_at: int, cold_at: int) -> None:
        split = len(stencil.code)
        for offset, addend, symbol, insn, slot in stencil.branches:
            at = (hot_at if offset < split else cold_at) + offset
            if insn >= 0:
                self.links.append((at, addend, slots[insn][slot]))
            elif symbol == NEXT:
                _PUT4S(self.code, at, hot_at + split + addend - at)
            elif symbol in self.symbols:
                self._relative(at, addend, self.symbols[symbol])
            else:
                self.forward.append((at, addend, symbol))
        for offset, addend, data in stencil.constants:
            at = (hot_at if offset < split else cold_at) + offset
            self._relative(at, addend, self.constant(data))

    def _relative(self, at: int, addend: int, target: int) -> None:
        _PUT4S(self.code, at, target + addend - (self.start + at))

    def stubs(self, stub: Stub) -> list[tuple[int, int, int]]:
        """Append the exit stub of every link; return (site, stub, guest target) of each."""
        code, start = self.code, self.start
        found = []
        if self.is_far:
            self.links = self._trampolines()
        for at, addend, target in self.links:
            place = len(code)
            site = start + at
            code += stub.code
            _PUT4(code, place + stub.pc, target)
            _PUT4(code, place + stub.site, site)
            _PUT4S(code, place + stub.leave, self.leave - (start + place + stub.leave + 4))
            _PUT4S(code, at, place + addend - at)
            found.append((site, start + place, target))
        for at, addend, name in self.forward:
            _PUT4S(code, at, self.labels[name] + addend - (start + at))
        return found

    def _trampolines(self) -> list[tuple[int, int, int]]:
        """Append one jump for each address that is linked to; return the fields of the jumps."""
        code = self.code
        fields: dict[int, int] = {}
        for at, addend, target in self.links:
            field = fields.get(target)
            if field is None:
                while (self.start + len(code) + 1) % CACHE_LINE > CACHE_LINE - 4:
                    code += NOP
                code += JUMP + bytes(4)
                field = fields[target] = len(code) - 4
            _PUT4S(code, at, field - 1 + addend - at)
        return [(field, -4, target) for target, field in fields.items()]

    def finish(self) -> None:
        """Copy everything into the arena."""
        arena = self.arena
        code, start = self.code, self.start
        arena.code[start : start + len(code)] = code
        arena.used = start + len(code)
        faults = self.faults
        if faults:
            if any(faults[i] > faults[i + 3] for i in range(0, len(faults) - 3, 3)):
                rows = sorted(zip(faults[::3], faults[1::3], faults[2::3], strict=True))
                faults = [number for row in rows for number in row]
            arena.add_faults(array("I", faults).tobytes())
