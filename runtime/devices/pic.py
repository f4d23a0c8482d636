"""Two 8259A interrupt controllers, cascaded as in a PC/AT, and their edge/level registers.

Intel 8259A datasheet (order number 231468); ELCR: Intel 82371SB (PIIX3) datasheet, 2.4.
In: sixteen lines. Out: the INTR wire, and the vector of an acknowledge cycle.
"""

from __future__ import annotations

from collections.abc import Callable

from runtime.bus import Bus, Line

CASCADE = 2  # input of the first chip that the second one drives
_NEVER_LEVEL = 0b0010_0001_0000_0111  # timer, keyboard, cascade, RTC, FPU are edges for ever
_SPURIOUS = 7
_READY, _ICW2, _ICW3, _ICW4 = range(4)


class Chip:
    """One 8259A.

    A request of an edge-triggered input is kept when the line falls before it is acknowledged,
    as chipsets do, so that a pulse is a request.
    """

    def __init__(self, output: Line, slaves: int = 0) -> None:
        """Make a chip whose INT pin drives *output*; *slaves*: inputs with another chip."""
        self.output, self.slaves = output, slaves
        self.lines = 0  # levels of the inputs
        self.level = 0  # inputs that ELCR makes level-triggered
        self.power_on()

    def power_on(self) -> None:
        """Be as after reset: nothing gets through before it is programmed."""
        self.irr = self.isr = 0
        self.imr = 0xFF
        self.base = 0
        self.lowest = 7  # input of the lowest priority
        self.stage = _READY
        self.icw1 = 0
        self.auto_end = self.rotates = self.special_mask = self.nests_slaves = False
        self.reads_isr = self.polls = False
        self.update()

    # -- requests ----------------------------------------------------------------------------------
    def set_input(self, irq: int, level: bool) -> None:
        """Take note of an input's new level."""
        bit = 1 << irq
        if level:
            self.lines |= bit
            self.irr |= bit
        else:
            self.lines &= ~bit
            if (self._levels | self.slaves) & bit:  # what a chip took back is no request
                self.irr &= ~bit
        self.update()

    @property
    def _levels(self) -> int:
        return 0xFF if self.icw1 & 8 else self.level

    def set_levels(self, level: int) -> None:
        """Choose the inputs that are level-triggered."""
        self.level = level
        self.irr = self.irr & ~level | self.lines & level
        self.update()

    def _first(self, bits: int) -> int:
        """Return how far the highest of some inputs is from the highest priority; 8 for none."""
        if not bits:
            return 8
        shift = self.lowest + 1 & 7
        turned = (bits >> shift | bits << 8 - shift) & 0xFF
        return (turned & -turned).bit_length() - 1

    def pending(self) -> int | None:
        """Return the input that shall be served now."""
        place = self._first(self.irr & ~self.imr)
        if place == 8:
            return None
        served = self._first(self.isr & ~self.imr if self.special_mask else self.isr)
        irq = place + self.lowest + 1 & 7
        if place < served:
            return irq
        nests = self.nests_slaves and self.slaves >> irq & 1
        return irq if nests and place == served else None

    def update(self) -> None:
        """Drive INT as the requests say."""
        self.output.set(self.pending() is not None)

    def acknowledge(self) -> int | None:
        """Begin to serve the highest request and return its input; None if there is none."""
        irq = self.pending()
        if irq is None:
            return None
        bit = 1 << irq
        if not self._levels & bit:
            self.irr &= ~bit
        if not self.auto_end:
            self.isr |= bit
        elif self.rotates:
            self.lowest = irq
        self.output.set(False)  # what else there is is a new edge for the other chip
        self.update()
        return irq

    def has_waiting(self, irq: int) -> bool:
        """Whether a request that is not masked has not been acknowledged yet."""
        return bool(self.irr & ~self.imr & 1 << irq)

    # -- registers ---------------------------------------------------------------------------------
    def read(self, port: int, size: int = 1) -> int:
        """Read the register that was chosen, or the mask; after a poll command, acknowledge."""
        if self.polls:
            self.polls = False
            irq = self.acknowledge()
            return 0 if irq is None else 0x80 | irq
        if port & 1:
            return self.imr
        return self.isr if self.reads_isr else self.irr

    def write(self, port: int, value: int, size: int = 1) -> None:
        """Take a command word or one of the initialization."""
        value &= 0xFF
        if not port & 1:
            if value & 0x10:
                self._begin(value)
            elif value & 8:
                self._mode(value)
            else:
                self._end(value)
        elif self.stage == _ICW2:
            self.base = value & 0xF8
            self._next(_ICW3 if not self.icw1 & 2 else _ICW4)
        elif self.stage == _ICW3:
            self._next(_ICW4)  # which inputs have chips is wired
        elif self.stage == _ICW4:
            self.auto_end, self.nests_slaves = bool(value & 2), bool(value & 16)
            self.stage = _READY
        else:
            self.imr = value
        self.update()

    def _next(self, stage: int) -> None:
        self.stage = _READY if stage == _ICW4 and not self.icw1 & 1 else stage

    def _begin(self, value: int) -> None:
        """ICW1: forget requests, masks and priorities."""
        self.icw1, self.stage = value, _ICW2
        self.imr = self.isr = 0
        self.irr = self.lines & self._levels
        self.lowest = 7
        self.special_mask = self.reads_isr = self.polls = False
        self.auto_end = self.nests_slaves = self.rotates = False

    def _mode(self, value: int) -> None:
        """OCW3: special mask mode, poll, which register is read."""
        if value & 0x40:
            self.special_mask = bool(value & 0x20)
        if value & 4:
            self.polls = True
        elif value & 2:
            self.reads_isr = bool(value & 1)

    def _end(self, value: int) -> None:
        """OCW2: end of interrupt, rotation."""
        rotates, is_specific, ends = value & 0x80, value & 0x40, value & 0x20
        irq = value & 7
        if ends:
            if not is_specific:
                served = self.isr & ~self.imr if self.special_mask else self.isr
                place = self._first(served)
                if place == 8:
                    return
                irq = place + self.lowest + 1 & 7
            self.isr &= ~(1 << irq)
            if rotates:
                self.lowest = irq
        elif is_specific:
            if rotates:
                self.lowest = irq
        else:
            self.rotates = bool(rotates)


class Pic:
    """The two chips of a PC: ports 20h and A0h, ELCR at 4D0h."""

    def __init__(self, bus: Bus, intr: Line) -> None:
        """Drive *intr* while a request is to be served."""
        self.master = Chip(intr, 1 << CASCADE)
        self.slave = Chip(Line(lambda level: self.master.set_input(CASCADE, level)))
        self.lines = [Line(self._input(irq)) for irq in range(16)]
        self.elcr = 0
        for first, chip in ((0x20, self.master), (0xA0, self.slave)):
            bus.map_ports(first, 2, chip.read, chip.write, owner="pic")
        bus.map_ports(0x4D0, 2, self._read_elcr, self._write_elcr, owner="pic")

    def _input(self, irq: int) -> Callable[[bool], None]:
        chip = self.slave if irq & 8 else self.master
        return lambda level: chip.set_input(irq & 7, level)

    def line(self, irq: int) -> Line:
        """Return the wire of an interrupt request, 0 to 15; not 2, which is the cascade."""
        if irq == CASCADE:
            raise ValueError("IRQ 2 is the wire between the controllers")
        return self.lines[irq]

    def reset(self) -> None:
        """Be as after power-on; the lines stay as they are driven."""
        for chip in (self.slave, self.master):
            chip.power_on()
            chip.set_levels(0)
        self.elcr = 0

    def acknowledge(self) -> int:
        """Answer the processor's acknowledge cycle with a vector."""
        irq = self.master.acknowledge()
        if irq is None:
            return self.master.base | _SPURIOUS
        if irq != CASCADE:
            return self.master.base | irq
        irq = self.slave.acknowledge()
        return self.slave.base | (_SPURIOUS if irq is None else irq)

    def _read_elcr(self, port: int, size: int) -> int:
        return self.elcr >> 8 * (port & 1)

    def _write_elcr(self, port: int, value: int, size: int) -> None:
        shift, mask = 8 * (port & 1), (1 << 8 * size) - 1
        elcr = self.elcr & ~(mask << shift) | (value & mask) << shift
        self.elcr = elcr & 0xFFFF & ~_NEVER_LEVEL
        self.master.set_levels(self.elcr & 0xFF)
        self.slave.set_levels(self.elcr >> 8)
