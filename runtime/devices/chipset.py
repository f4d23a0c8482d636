"""The 440FX host bridge and the PIIX3 ISA bridge, as far as firmware and systems look at them.

Intel 82441FX (PMC) datasheet, 3.2: PAM registers; Intel 82371SB (PIIX3) datasheet, 2.2: routing
of PCI interrupts.
"""

from __future__ import annotations

from collections.abc import Callable

from runtime.bus import Line
from runtime.devices.pci import Function, PciHost
from runtime.system.physical import Physical

PAM0, PIRQ_ROUTES = 0x59, 0x60
COMMAND_LOW = 4
_SHADOWS = [(0xF0000, 0x10000)] + [
    (0xC0000 + 0x8000 * i + 0x4000 * half, 0x4000) for i in range(6) for half in (0, 1)
]


class HostBridge(Function):
    """82441FX: what C0000h to FFFFFh are.

    ROM and the RAM behind it are the same memory: where writes are let through it is RAM, else
    ROM. (Reading ROM while writing RAM, to copy one to the other, so leaves what is there.)
    """

    def __init__(self, physical: Physical) -> None:
        super().__init__((0x8086, 0x1237), 0x060000, revision=2)
        self.physical = physical
        self.config[COMMAND_LOW] = 6
        self.allow(4, 0, 2)
        self.allow(PAM0, 0xFFFFFFFFFFFFFF, 7)
        self.allow(0x72, 0x7F, 1)
        self.config[0x72] = 2
        self.shadows = [-1] * len(_SHADOWS)
        self.on_write = self._written
        self._update()

    def reset(self) -> None:
        """Let ROM be there again."""
        super().reset()
        self.put(PAM0, 0, 7)
        self._update()

    def open(self) -> None:
        """Let all be RAM, read and written."""
        self.put(PAM0, 0x33333333333330, 7)
        self._update()

    def _written(self, offset: int, size: int) -> None:
        if offset < PAM0 + 7 and offset + size > PAM0:
            self._update()

    def _update(self) -> None:
        """Change the kind of what a PAM register says otherwise than before."""
        for index, (start, size) in enumerate(_SHADOWS):
            register, half = divmod(index + 1, 2)
            bits = self.config[PAM0 + register] >> 4 * half & 3
            if index == 0:
                bits = self.config[PAM0] >> 4 & 3
            is_ram = bits >> 1
            if is_ram != self.shadows[index]:
                self.shadows[index] = is_ram
                self.physical.set_rom(start, size, rom=not is_ram)


class IsaBridge(Function):
    """PIIX3: which IRQ each PCI interrupt wire drives."""

    def __init__(self, host: PciHost, line: Callable[[int], Line]) -> None:
        """*line* returns the wire of an IRQ."""
        super().__init__((0x8086, 0x7000), 0x060100, header=0x80)
        self.host, self.line = host, line
        self.config[COMMAND_LOW] = 7
        self.allow(4, 0, 2)
        self.allow(PIRQ_ROUTES, 0x8F8F8F8F, 4)
        self.put(PIRQ_ROUTES, 0x80808080, 4)
        self.irqs = [0] * 4  # that the wires drive; 0: none
        self.driven: dict[int, int] = {}  # IRQ -> wires that are high
        self.on_write = self._written
        host.on_pirq = self._pirq

    def reset(self) -> None:
        """Route nothing."""
        super().reset()
        self.put(PIRQ_ROUTES, 0x80808080, 4)
        self._written(PIRQ_ROUTES, 4)

    def _written(self, offset: int, size: int) -> None:
        for pirq in range(4):
            value = self.config[PIRQ_ROUTES + pirq]
            irq = 0 if value & 0x80 or value & 15 in (0, 1, 2, 8, 13) else value & 15
            if irq != self.irqs[pirq]:
                is_high = self.host.levels[pirq] > 0
                if is_high:
                    self._pirq(pirq, False)
                self.irqs[pirq] = irq
                if is_high:
                    self._pirq(pirq, True)

    def _pirq(self, pirq: int, level: bool) -> None:
        irq = self.irqs[pirq]
        if irq:
            self.driven[irq] = self.driven.get(irq, 0) + (1 if level else -1)
            self.line(irq).set(self.driven[irq] > 0)
