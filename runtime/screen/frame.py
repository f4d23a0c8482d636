"""What a display adapter shows at a moment: registers and memory, to be drawn by anybody later."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mode:
    """A mode of the Bochs display interface: packed pixels from a linear memory."""

    width: int
    height: int
    depth: int  # bits a pixel: 4, 8, 15, 16, 24, 32
    pitch: int  # bytes from one line to the next; in planar modes of each plane
    start: int  # byte of the first pixel


@dataclass(frozen=True)
class Frame:
    """A picture before it is drawn. Arrays are copies, which nobody changes."""

    sequencer: bytes
    crtc: bytes
    graphics: bytes
    attribute: bytes
    is_on: bool  # the processor does not write to the palette, and display is not off
    palette: np.ndarray  # 256 x 3, 8 bits each
    planes: np.ndarray  # addresses x 4 bytes; empty in modes that do not show it
    mode: Mode | None = None
    linear: np.ndarray | None = None  # memory of that mode, from its first pixel on
    when: int = 0  # guest time, ns

    @property
    def is_text(self) -> bool:
        """Whether it is made of characters."""
        return self.mode is None and not (self.graphics[6] & 1 or self.attribute[0x10] & 1)

    @property
    def lines(self) -> int:
        """Scan lines that are displayed."""
        crtc = self.crtc
        return (crtc[0x12] | (crtc[7] & 2) << 7 | (crtc[7] & 0x40) << 3) + 1

    @property
    def columns(self) -> int:
        """Characters, or groups of 8 dots, in a line."""
        return self.crtc[1] + 1

    @property
    def cell_height(self) -> int:
        """Scan lines of a character row."""
        return (self.crtc[9] & 31) + 1

    @property
    def doubling(self) -> int:
        """How often each scan line is shown."""
        return 2 if self.crtc[9] & 0x80 else 1

    @property
    def start(self) -> int:
        """Address, as the CRT controller counts, of the first character or group."""
        return self.crtc[0x0C] << 8 | self.crtc[0x0D]

    @property
    def pitch(self) -> int:
        """Distance of rows, in the same unit."""
        return self.crtc[0x13] * 2

    @property
    def split(self) -> int:
        """Scan line behind which memory is shown from address 0 on."""
        crtc = self.crtc
        return crtc[0x18] | (crtc[7] & 0x10) << 4 | (crtc[9] & 0x40) << 3

    @property
    def rows(self) -> int:
        """Character rows."""
        return min(-(-self.lines // (self.cell_height * self.doubling)), 512)

    def addresses(self, counters: np.ndarray, scan: int = 0) -> np.ndarray:
        """Turn counters of the CRT controller into addresses of planes.

        *scan* is the line within the row, which may take the place of address bits, for memory
        laid out as that of a CGA or Hercules adapter.
        """
        control, underline = self.crtc[0x17], self.crtc[0x14]
        counters = counters & 0xFFFF
        if underline & 0x40:  # doublewords
            found = (counters << 2 | counters >> 14) & 0xFFFF
        elif control & 0x40:  # bytes
            found = counters
        else:  # words
            found = (counters << 1 | counters >> (15 if control & 0x20 else 13) & 1) & 0xFFFF
        if not control & 1:
            found = found & ~0x2000 | (scan & 1) << 13
        if not control & 2:
            found = found & ~0x4000 | (scan >> 1 & 1) << 14
        return found
