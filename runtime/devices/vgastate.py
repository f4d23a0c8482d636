"""What the compiled part of a VGA knows: fields of 64 bits, register files, and the palette.

Offsets in bytes into one buffer, which vgaplanes.py and vgaregisters.py work on and Python reads.
"""

from __future__ import annotations

from runtime import native

PLANE_SIZE = 1 << 18  # addresses of a plane; a VGA has 64 K, the planar modes of VBE need more

# Memory: host address of the planes; of a VBE mode's memory (0: planes are shown) and its size;
# the window (size 0: it does not answer); what is added to its addresses; the latches; accesses
# until Python looks if the window can be RAM (then LEFT stays 1 until it has; 0 and below: it has
# looked); whether it is RAM.
WORDS, LINEAR, LINEAR_SIZE, BASE, SIZE, BANK, LATCH, LEFT, IS_RAM = range(0, 72, 8)
# What registers say, as accesses need it: masks have a byte for each plane.
(
    MAP_MASK, BITS, SET, ENABLE_SET, TURN, FUNCTION, READ_PLANE, WRITE_MODE, READ_MODE, COMPARE,
    CARE, IS_CHAIN4, WRITES_PAIRS, READS_PAIRS,
) = range(72, 184, 8)  # fmt: skip
# Whether a byte that is written is what all planes get; whether an address is one of the planes
# for writes; whether a byte that is read is one of a plane.
WRITES_PLAINLY, WRITES_IN_ORDER, READS_PLAINLY = range(184, 208, 8)
PATIENCE = 208  # what LEFT begins with after a change of registers
# Whether the window does, by the miscellaneous register; whether that bit was ever set.
ANSWERS, USES_ANSWERS = 216, 224

# Registers: those behind index ports, and the indices.
SEQUENCER, GRAPHICS, CRTC, ATTRIBUTE = 256, 264, 280, 312
SEQUENCER_SIZE, GRAPHICS_SIZE, CRTC_SIZE, ATTRIBUTE_SIZE = 5, 9, 0x19, 0x15
SEQUENCER_INDEX, GRAPHICS_INDEX, CRTC_INDEX, ATTRIBUTE_INDEX, ATTRIBUTE_DATA = range(344, 384, 8)
MISCELLANEOUS, FEATURE, ENABLE, TOGGLE, CLOCK = range(384, 424, 8)
# The palette: indices in thirds of colours, what 3C7h reads, mask of a third.
DAC_MASK, DAC_READ, DAC_WRITE, DAC_STATE, DAC_BITS = range(424, 464, 8)
PALETTE, PALETTE_SIZE = 512, 768
STATE_SIZE = PALETTE + PALETTE_SIZE

# Indices of registers.
MAP_MASK_REGISTER, MEMORY_MODE = 2, 4  # sequencer
SET_RESET, ENABLE_SET_RESET, COMPARE_REGISTER, ROTATE, READ_MAP, MODE, MISC, DONT_CARE, BIT_MASK = (
    range(9)
)


class VgaState:
    """The buffer, and views of its parts."""

    def __init__(self) -> None:
        """Make one of zeros."""
        self._buffer = bytearray(STATE_SIZE)
        self.address = native.address_of(self._buffer)
        view = memoryview(self._buffer)
        self._fields = view.cast("q")
        self.sequencer = view[SEQUENCER : SEQUENCER + SEQUENCER_SIZE]
        self.graphics = view[GRAPHICS : GRAPHICS + GRAPHICS_SIZE]
        self.crtc = view[CRTC : CRTC + CRTC_SIZE]
        self.attribute = view[ATTRIBUTE : ATTRIBUTE + ATTRIBUTE_SIZE]
        self.palette = view[PALETTE : PALETTE + PALETTE_SIZE]

    def clear_registers(self) -> None:
        """Set what the guest wrote to 0."""
        for start, end in ((SEQUENCER, CLOCK), (DAC_MASK, STATE_SIZE)):
            self._buffer[start:end] = bytes(end - start)

    def __getitem__(self, offset: int) -> int:
        return self._fields[offset // 8]

    def __setitem__(self, offset: int, value: int) -> None:
        self._fields[offset // 8] = value
