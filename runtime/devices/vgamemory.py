"""Memory of a VGA: four planes of bytes behind a window at A0000h, and how accesses reach them.

IBM, Personal System/2 Hardware Interface Technical Reference, *Video Subsystem*: latches, write
modes 0 to 3, read modes, chain 4, odd/even. A word of `planes` is one address, a byte of it one
plane.

While the registers say that window bytes are simply bytes of planes (text, 256 colours, fonts,
banks of VBE modes), the window is plain RAM of the guest, which is copied to the planes when
somebody looks at them or the registers change. Else callbacks answer; so they do at first after a
change, because a guest that changes registers between few accesses would pay more for the copies.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from runtime.system.physical import Blocks, Physical

WINDOW, WINDOW_SIZE = 0xA0000, 0x20000
PLANE_SIZE = 1 << 18  # addresses of a plane; a VGA has 64 K, the planar modes of VBE need more
_RANGES = (
    (0xA0000, 0x20000),
    (0xA0000, 0x10000),
    (0xB0000, 0x8000),
    (0xB8000, 0x8000),
)  # by bits 2 and 3 of the miscellaneous register
_PATIENCE = 48  # accesses by callbacks before the window becomes RAM
# Nibble -> word with FF in the bytes of the planes that it names.
SPREAD = tuple(sum(0xFF << 8 * p for p in range(4) if n >> p & 1) for n in range(16))
_SPREAD = np.array(SPREAD, np.uint32)
_EACH = 0x01010101

# Indices of registers.
MAP_MASK, MEMORY_MODE = 2, 4  # sequencer
SET_RESET, ENABLE_SET_RESET, COMPARE, ROTATE, READ_MAP, MODE, MISC, DONT_CARE, BIT_MASK = range(9)


class Layout(NamedTuple):
    """How RAM in the window stands for memory of the adapter."""

    kind: str  # "chain4", "pair", "plane", "bank"
    which: int  # first of the pair, plane, or bank
    base: int
    size: int


class VgaMemory:
    """Planes, latches, and the window."""

    def __init__(self, physical: Physical) -> None:
        """Answer for the window's addresses."""
        self.physical = physical
        self.sequencer, self.graphics = bytearray(8), bytearray(16)
        self.words = np.zeros(PLANE_SIZE, np.uint32)
        self.bytes = self.words.view(np.uint8).reshape(PLANE_SIZE, 4)
        self.planes = memoryview(self.words.data)  # faster than numpy for single words
        self.latch = 0
        self.is_enabled = True  # by bit 1 of the miscellaneous output register
        self.bank = 0  # in units of 64 K, of VBE modes
        self.linear: np.ndarray | None = None  # memory of a VBE mode of 8 bits or more
        self._layout: Layout | None = None  # of the window while it is RAM
        self._accesses = 0  # by callbacks since registers changed
        self._was = np.zeros(0, np.uint8)  # a bank as it was when it was put into the window
        blocks = Blocks(self.read_block, self.write_block, self.move_block)
        physical.add_device(WINDOW, WINDOW_SIZE, self.read, self.write, blocks)
        self.reset()

    # -- registers ---------------------------------------------------------------------------------
    def set_sequencer(self, index: int, value: int) -> None:
        """Write a register of the sequencer."""
        self.sequencer[index] = value
        if index == MAP_MASK:
            self._map_mask = SPREAD[value & 15]
        elif index == MEMORY_MODE:
            self._is_chain4, self._writes_pairs = bool(value & 8), not value & 4
        else:
            return
        self._accesses = 0
        if self._layout is not None:
            self._change_layout()

    def set_graphics(self, index: int, value: int) -> None:
        """Write a register of the graphics controller."""
        self.graphics[index] = value
        if index == BIT_MASK:
            self._bit_mask = value * _EACH
        elif index == SET_RESET:
            self._set = SPREAD[value & 15]
        elif index == ENABLE_SET_RESET:
            self._enable_set = SPREAD[value & 15]
        elif index == ROTATE:
            self._rotate, self._function = value & 7, value >> 3 & 3
        elif index == READ_MAP:
            self._read_map = value & 3
        elif index == MODE:
            self._write_mode, self._read_mode = value & 3, value >> 3 & 1
            self._reads_pairs = bool(value & 0x10)
        elif index == MISC:
            self.base, self.size = _RANGES[value >> 2 & 3]
        elif index == COMPARE:
            self._compare = SPREAD[value & 15]
        else:
            self._care = SPREAD[value & 15]
        self._accesses = 0
        if self._layout is not None:
            self._change_layout()

    def reset(self) -> None:
        """Set all registers to zero; memory stays."""
        self.is_enabled = True
        for index in range(len(self.sequencer)):
            self.set_sequencer(index, 0)
        for index in range(BIT_MASK + 1):
            self.set_graphics(index, 0)
        self.set_linear(None, 0)

    def enable(self, is_enabled: bool) -> None:
        """Let the window answer, or not."""
        self.is_enabled = is_enabled
        self._change_layout()

    def _change_layout(self) -> None:
        """Let the window be RAM of another kind, or no RAM, as registers say."""
        self._accesses = 0
        old, wanted = self._layout, self._plain()
        if old is None or wanted == old:
            return
        if wanted is not None and (old.base, old.size) == (wanted.base, wanted.size):
            self.sync()
            self._fill(wanted)
        else:
            self._leave()

    def _plain(self) -> Layout | None:
        """Return how the window is plain RAM with these registers; None: it is not."""
        if not self.is_enabled:
            return None
        base, size = self.base, self.size
        if self.linear is not None:
            return Layout("bank", self.bank, WINDOW, 0x10000)
        graphics, mask = self.graphics, self.sequencer[MAP_MASK] & 15
        is_simple = not (
            graphics[MODE] & 0x0B
            or graphics[ROTATE] & 0x1F
            or graphics[ENABLE_SET_RESET] & 15
            or graphics[BIT_MASK] != 0xFF
            or self.bank
            or size > 0x10000
        )
        if not is_simple:
            return None
        if self._is_chain4:
            return Layout("chain4", 0, base, size) if mask == 15 else None
        if self._writes_pairs != self._reads_pairs:
            return None
        if self._writes_pairs:
            first = self._read_map & 2
            return Layout("pair", first, base, size) if mask == 3 << first else None
        return Layout("plane", self._read_map, base, size) if mask == 1 << self._read_map else None

    # -- the window as RAM -------------------------------------------------------------------------
    def _part(self, layout: Layout) -> np.ndarray:
        """Return the memory that the window stands for, in the order of window bytes."""
        if layout.kind == "bank":
            assert self.linear is not None
            return self.linear[layout.which << 16 : (layout.which << 16) + layout.size]
        planes = self.bytes[: layout.size]
        if layout.kind == "chain4":
            return planes[::4]
        if layout.kind == "pair":
            return planes[::2, layout.which : layout.which + 2]
        return planes[:, layout.which]

    def _window(self, layout: Layout) -> np.ndarray:
        return np.frombuffer(self.physical.view, np.uint8, layout.size, layout.base)

    def _enter(self, layout: Layout) -> None:
        self._fill(layout)
        self.physical.add_ram(layout.base, layout.size)

    def _fill(self, layout: Layout) -> None:
        part = self._part(layout)
        self.physical.write(layout.base, part.tobytes())
        if layout.kind == "bank":
            self._was = part.copy()
        self._layout = layout

    def _leave(self) -> None:
        self.sync()
        layout, self._layout = self._layout, None
        if layout is not None:
            self.physical.take_ram(layout.base, layout.size)

    def sync(self) -> None:
        """Bring what the guest wrote to the window as RAM into the planes."""
        layout = self._layout
        if layout is None:
            return
        window, part = self._window(layout), self._part(layout)
        if layout.kind == "bank":  # the same memory may have been written elsewhere
            window = window[: len(part)]
            changed = np.flatnonzero(window != self._was)
            if len(changed):
                part[changed] = window[changed]
                self._was = window.copy()
        else:
            part[...] = window.reshape(part.shape)

    def clear(self) -> None:
        """Set all planes to zero, wherever the guest sees them."""
        self.words[:] = 0
        if self._layout is not None:
            self._fill(self._layout)

    def set_linear(self, linear: np.ndarray | None, bank: int) -> None:
        """Show a bank of a VBE mode's memory in the window; None: planes, from a bank on."""
        is_bank = self._layout is not None and self._layout.kind == "bank"
        if is_bank and linear is not self.linear:
            self._leave()
        self.linear, self.bank = linear, bank
        self._change_layout()

    # -- the window as callbacks -------------------------------------------------------------------
    def _enter_if_plain(self, address: int, size: int) -> bool:
        """Make the window RAM, if it can be; True if an access goes there now."""
        layout = self._plain()
        if layout is None:
            return False
        self._enter(layout)
        return layout.base <= address <= layout.base + layout.size - size

    def read(self, address: int, size: int) -> int:
        """Read bytes of the window, as the guest does."""
        self._accesses += 1
        if self._accesses == _PATIENCE and self._enter_if_plain(address, size):
            return self.physical.load(address, 8 * size)
        if size == 1:
            return self._read(address)
        return sum(self._read(address + i) << 8 * i for i in range(size))

    def write(self, address: int, value: int, size: int) -> None:
        """Write bytes of the window, as the guest does."""
        self._accesses += 1
        if self._accesses == _PATIENCE and self._enter_if_plain(address, size):
            self.physical.store(address, value, 8 * size)
            return
        if size == 1:
            self._write(address, value)
            return
        for i in range(size):
            self._write(address + i, value >> 8 * i & 0xFF)

    def _read(self, address: int) -> int:
        at = address - self.base
        if not 0 <= at < self.size or not self.is_enabled:
            return 0xFF
        linear = self.linear
        if linear is not None:
            at += self.bank << 16
            return int(linear[at]) if at < len(linear) else 0xFF
        plane = self._read_map
        if self._is_chain4:
            plane, at = at & 3, at & ~3
        elif self._reads_pairs:
            plane, at = plane & 2 | at & 1, at & ~1
        self.latch = latch = self.planes[(at & 0xFFFF) + (self.bank << 16) & PLANE_SIZE - 1]
        if not self._read_mode:
            return latch >> 8 * plane & 0xFF
        differs = (latch ^ self._compare) & self._care
        differs |= differs >> 16
        return ~(differs | differs >> 8) & 0xFF

    def _write(self, address: int, value: int) -> None:
        at = address - self.base
        if not 0 <= at < self.size or not self.is_enabled:
            return
        if self.linear is not None:
            at += self.bank << 16
            if at < len(self.linear):
                self.linear[at] = value
            return
        mask = self._map_mask
        if self._is_chain4:
            mask, at = mask & 0xFF << 8 * (at & 3), at & ~3
        elif self._writes_pairs:
            mask, at = mask & (0xFF00FF00 if at & 1 else 0x00FF00FF), at & ~1
        at = (at & 0xFFFF) + (self.bank << 16) & PLANE_SIZE - 1
        # What the byte becomes in each plane.
        mode, latch, bits = self._write_mode, self.latch, self._bit_mask
        if mode == 1:
            word = latch
        else:
            if mode == 2:
                word = SPREAD[value & 15]
            else:
                if turn := self._rotate:
                    value = (value >> turn | value << 8 - turn) & 0xFF
                if mode:
                    bits, word = bits & value * _EACH, self._set
                else:
                    word = value * _EACH
                    if enabled := self._enable_set:
                        word = word & ~enabled | self._set & enabled
            if function := self._function:
                word = (
                    word & latch
                    if function == 1
                    else word | latch
                    if function == 2
                    else word ^ latch
                )
            word = word & bits | latch & ~bits
        planes = self.planes
        planes[at] = word & mask | planes[at] & ~mask

    # -- many bytes at once, as by rep movs and rep stos -------------------------------------------
    def _clip(self, address: int, size: int) -> tuple[int, int, int]:
        """Return which addresses of the window a range covers, and how many bytes are before it."""
        if not self.is_enabled:
            return 0, 0, 0
        start = max(address - self.base, 0)
        end = max(min(address + size - self.base, self.size), start)
        return start, end, start + self.base - address

    def write_block(self, address: int, data: bytes) -> None:
        """Write bytes one behind the other, as single writes would."""
        self._accesses += 1
        if self._accesses == _PATIENCE and self._enter_if_plain(address, 0):
            self.physical.master_write(address, data)
            return
        start, end, skipped = self._clip(address, len(data))
        if start >= end:
            return
        part = np.frombuffer(data, np.uint8, end - start, skipped)
        if self.linear is not None:
            start += self.bank << 16
            room = self.linear[start : start + len(part)]
            room[...] = part[: len(room)]
            return
        step = 4 if self._is_chain4 else 2 if self._writes_pairs else 1
        for phase in range(start, min(start + step, end)):
            self._write_phase(phase, step, part[phase - start :: step])

    def _write_phase(self, start: int, step: int, part: np.ndarray) -> None:
        """Write the bytes that go to the same planes."""
        mask, first = self._map_mask, start
        if step == 4:
            mask, first = mask & 0xFF << 8 * (start & 3), start & ~3
        elif step == 2:
            mask, first = mask & (0xFF00FF00 if start & 1 else 0x00FF00FF), start & ~1
        places = (first + step * np.arange(len(part)) & 0xFFFF) + (self.bank << 16)
        places &= PLANE_SIZE - 1
        words = self.words
        words[places] = self._changed(part) & np.uint32(mask) | words[places] & np.uint32(
            ~mask & 0xFFFFFFFF
        )

    def _changed(self, part: np.ndarray) -> np.ndarray:
        """Return what bytes become in the planes, whatever latches hold."""
        mode, function = self._write_mode, self._function
        latch = np.uint32(self.latch)
        bits: np.ndarray = np.full(len(part), self._bit_mask, np.uint32)
        if mode == 1:
            return np.full(len(part), latch)
        if mode == 2:
            words = _SPREAD[part & 15]
        else:
            if turn := self._rotate:
                part = part >> turn | part << 8 - turn
            words = part * np.uint32(_EACH)
            if mode:
                bits, words = bits & words, np.full(len(part), self._set, np.uint32)
            elif enabled := np.uint32(self._enable_set):
                words = words & ~enabled | np.uint32(self._set) & enabled
        if function == 1:
            words = words & latch
        elif function:
            words = words | latch if function == 2 else words ^ latch
        changed: np.ndarray = words & bits | latch & ~bits
        return changed

    def read_block(self, address: int, size: int) -> bytes:
        """Read bytes one behind the other, as single reads would."""
        self._accesses += 1
        if self._accesses == _PATIENCE and self._enter_if_plain(address, 0):
            return self.physical.master_read(address, size)
        start, end, skipped = self._clip(address, size)
        found = np.full(size, 0xFF, np.uint8)
        if start < end:
            found[skipped : skipped + end - start] = self._read_range(start, end)
        return found.tobytes()

    def _read_range(self, start: int, end: int) -> np.ndarray:
        if self.linear is not None:
            part = self.linear[start + (self.bank << 16) : end + (self.bank << 16)]
            return np.concatenate((part, np.full(end - start - len(part), 0xFF, np.uint8)))
        at = np.arange(start, end)
        planes: np.ndarray = np.full(end - start, self._read_map)
        if self._is_chain4:
            planes, at = at & 3, at & ~3
        elif self._reads_pairs:
            planes, at = planes & 2 | at & 1, at & ~1
        places = (at & 0xFFFF) + (self.bank << 16) & PLANE_SIZE - 1
        self.latch = int(self.words[places[-1]])
        if not self._read_mode:
            taken: np.ndarray = self.bytes[places, planes]
            return taken
        differs: np.ndarray = (self.words[places] ^ np.uint32(self._compare)) & np.uint32(
            self._care
        )
        differs |= differs >> 16
        matches: np.ndarray = (~(differs | differs >> 8) & 0xFF).astype(np.uint8)
        return matches

    def move_block(self, source: int, target: int, size: int, is_down: bool = False) -> bool:
        """Move bytes within the window, upwards or downwards, as single reads and writes would.

        False, and nothing is done, where that is not the same as all reads before all writes.
        """
        first, last = (target, source) if is_down else (source, target)
        if self._write_mode != 1:
            if last in range(first, first + size) or not self._ignores_latch():
                return False
            data, lowest = self.read_block(source, size), max(source, self.base)
            if is_down and lowest < source + size:
                self._read(lowest)  # the latches have what was read last
            self.write_block(target, data)
            return True
        if self._is_chain4 or self._writes_pairs or self._reads_pairs or self.linear is not None:
            return False
        end = self.base + self.size - size
        if not (self.is_enabled and self.base <= source <= end and self.base <= target <= end):
            return False
        if self.size > 0x10000 or last in range(first + 1, first + size):
            return False
        start, goal = (at - self.base + (self.bank << 16) for at in (source, target))
        if max(start, goal) + size > PLANE_SIZE:
            return False
        words, mask = self.words, np.uint32(self._map_mask)
        part = words[start : start + size].copy()
        self.latch = int(part[0 if is_down else -1])
        words[goal : goal + size] = part & mask | words[goal : goal + size] & ~mask
        return True

    def _ignores_latch(self) -> bool:
        """Whether what is written does not depend on what was read before."""
        return not self._function and self._bit_mask == 0xFFFFFFFF and self._write_mode in (0, 2)
