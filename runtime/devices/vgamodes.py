"""Registers of the Bochs display interface: modes beyond VGA (*Bochs VBE Extensions*)."""

from __future__ import annotations

from runtime.screen.frame import Mode

DISPI_INDEX, DISPI_DATA = 0x1CE, 0x1CF
(
    _ID, _WIDTH, _HEIGHT, _DEPTH, _ENABLE, _BANK, _VIRTUAL_WIDTH, _VIRTUAL_HEIGHT, _X, _Y, _MEMORY,
) = range(11)  # fmt: skip
DISPI_LAST = _Y
_ENABLED, _CAPABILITIES, _WIDE_DAC, _KEEPS = 1, 2, 0x20, 0x80
_OLDEST, _NEWEST = 0xB0C0, 0xB0C5
_LARGEST = {_WIDTH: 2560, _HEIGHT: 1600, _DEPTH: 32}
_DEPTHS = (4, 8, 15, 16, 24, 32)


class Dispi:
    """The registers; what they mean is the adapter's business."""

    def __init__(self, memory: int) -> None:
        """*memory*: bytes of the linear framebuffer."""
        self.memory = memory
        self.reset()

    def reset(self) -> None:
        """Turn it off."""
        self.index, self.version = 0, _NEWEST
        self.registers = [0] * 11

    @property
    def is_enabled(self) -> bool:
        """Whether its mode is shown instead of VGA's."""
        return bool(self.registers[_ENABLE] & _ENABLED)

    @property
    def has_wide_colours(self) -> bool:
        """Whether parts of colours have 8 bits, not 6."""
        return bool(self.registers[_ENABLE] & _WIDE_DAC)

    @property
    def clears(self) -> bool:
        """Whether memory is to be cleared when a mode begins."""
        return not self.registers[_ENABLE] & _KEEPS

    @property
    def depth(self) -> int:
        """Bits a pixel."""
        return self.registers[_DEPTH]

    @property
    def bank(self) -> int:
        """Which 64 KiB the window shows."""
        return self.registers[_BANK]

    @property
    def mode(self) -> Mode:
        """What is shown while it is enabled."""
        registers = self.registers
        pitch = self._pitch(registers[_VIRTUAL_WIDTH])
        x, y = registers[_X], registers[_Y]
        start = y * pitch + (x // 8 if self.depth == 4 else x * self._bytes)
        return Mode(registers[_WIDTH], registers[_HEIGHT], self.depth, pitch, start)

    @property
    def _bytes(self) -> int:
        return (self.depth + 7) // 8

    def _pitch(self, width: int) -> int:
        return width // 8 if self.depth == 4 else width * self._bytes

    def read(self) -> int:
        """Read the register that is selected."""
        index, registers = self.index, self.registers
        if index == _ID:
            return self.version
        if index == _MEMORY:
            return self.memory >> 16
        if index in _LARGEST and registers[_ENABLE] & _CAPABILITIES:
            return _LARGEST[index]
        return registers[index] if index < len(registers) else 0

    def write(self, value: int) -> None:
        """Write the register that is selected; nonsense becomes what is nearest to it."""
        index, registers = self.index, self.registers
        if index == _ID:
            if _OLDEST <= value <= _NEWEST:
                self.version = value
        elif index in (_WIDTH, _HEIGHT, _DEPTH):
            if not self.is_enabled:
                registers[index] = value
        elif index == _ENABLE:
            self._enable(value)
        elif index == _BANK:
            registers[_BANK] = min(value, (self.memory >> 16) - 1)
        elif index <= DISPI_LAST:
            registers[index] = value
            if self.is_enabled:
                self._limit()

    def _enable(self, value: int) -> None:
        registers = self.registers
        starts = value & _ENABLED and not self.is_enabled
        if starts:
            if registers[_DEPTH] not in _DEPTHS:
                registers[_DEPTH] = 8
            registers[_WIDTH] = max(8, min(registers[_WIDTH], _LARGEST[_WIDTH]) & ~7)
            registers[_VIRTUAL_WIDTH] = registers[_WIDTH]
            registers[_X] = registers[_Y] = 0
        registers[_ENABLE] = value & (_ENABLED | _CAPABILITIES | _WIDE_DAC | 0x40 | _KEEPS)
        if starts:
            self._limit()
            registers[_BANK] = 0
        elif not value & _ENABLED:
            registers[_BANK] = 0

    def _limit(self) -> None:
        """Keep what is shown within memory."""
        registers = self.registers
        memory = self.memory if self.depth > 4 else 1 << 18
        width = max(registers[_WIDTH], registers[_VIRTUAL_WIDTH]) & ~7
        if self._pitch(width) * registers[_HEIGHT] > memory:
            width = registers[_WIDTH]
        registers[_VIRTUAL_WIDTH] = width
        rows = memory // self._pitch(width)
        registers[_HEIGHT] = max(1, min(registers[_HEIGHT], _LARGEST[_HEIGHT], rows))
        registers[_VIRTUAL_HEIGHT] = min(rows, 0xFFFF)
        registers[_X] = min(registers[_X], width - 1)
        registers[_Y] = min(registers[_Y], rows - registers[_HEIGHT])
        if registers[_Y] + registers[_HEIGHT] == rows:  # else a line goes on in the next one
            registers[_X] = min(registers[_X], width - registers[_WIDTH])
