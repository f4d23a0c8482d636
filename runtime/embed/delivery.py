"""Interrupts and exceptions through the guest's own tables, for those who ask for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime.embed.access import Failure
from runtime.system import interrupts
from runtime.system.requests import INTR
from translator.faults import GuestFault

if TYPE_CHECKING:
    from runtime.embed.stepping import Stepping

_BREAKPOINT, _OVERFLOW = 3, 4


class Delivery:
    """What waits to be delivered to one machine's guest, if it is `on`."""

    def __init__(self, machine: Stepping) -> None:
        self.machine, self.on, self.count = machine, False, 0
        self.waiting: deque[int] = deque()  # vectors of interrupts from outside

    def request(self, vector: int) -> None:
        """Interrupt the guest as soon as IF lets it; from any thread."""
        self.waiting.append(vector)
        self.machine.pins.requests.set_intr(True)

    def accept(self) -> bool:
        """Deliver an interrupt from outside, if one waits and may come; say whether to stop."""
        machine, requests = self.machine, self.machine.pins.requests
        while self.waiting and requests.next_interrupt() == INTR:
            if requests.in_shadow():
                requests.end_shadow()
                return machine.step()
            vector = self.waiting.popleft()
            requests.set_intr(bool(self.waiting))
            self._tell(vector, lambda vector=vector: self._outside(vector))  # type: ignore[misc]
            machine.jumped = False
            if machine.stopping:
                return True
        return False

    def _outside(self, vector: int) -> None:
        pins = self.machine.pins
        try:
            interrupts.deliver(pins, vector, is_external=True)
        except GuestFault as found:
            pins.fault(found.vector, found.error, found.address)

    def software(self, vector: int, *, is_trap: bool) -> None:
        """Deliver an interrupt that an insn asks for; *is_trap*: int1, which no gate refuses."""
        pins = self.machine.pins
        self._tell(vector, lambda: pins.fault(vector) if is_trap else pins.interrupt(vector))

    def exception(self, vector: int, error: int, address: int, *, is_told: bool) -> None:
        """Deliver an exception; *is_told*: its hooks were called already."""
        pins = self.machine.pins
        if is_told:
            self._go(lambda: pins.fault(vector, error, address))
        else:
            self._tell(vector, lambda: pins.fault(vector, error, address))

    def _tell(self, vector: int, deliver: Callable[[], None]) -> None:
        """Call the hooks; deliver, unless one of them stopped or went elsewhere."""
        machine = self.machine
        for hook in tuple(machine.hooks.by_kind["interrupt"]):
            hook.callback(machine.owner, vector, hook.data)
            if machine.stopping:
                return
        if not machine.jumped:
            self._go(deliver)

    def _go(self, deliver: Callable[[], None]) -> None:
        machine = self.machine
        try:
            deliver()
        except interrupts.Shutdown:
            raise Failure("exception") from None
        self.count += 1
        machine.jumped = True
        machine.engine.changes += 1
