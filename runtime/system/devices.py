"""Ports and devices of a machine, called by native code where guest code asks for them.

The mechanism is that of embedded machines: `jitemu_serve` calls Python objects at places
(runtime/nativeserve.py).  Here one row serves all, filled for each access (quick/accesses.py).
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from runtime.bus import Bus
from runtime.embed.serving import Serving
from runtime.nativeserve import ASKED, CALL, PAUSED, TABLE
from translator.quick import paging as at
from translator.quick.accesses import CALL_SIZE
from translator.state import FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.cpu import Cpu
    from runtime.system.linear import Linear

_CONTEXT = FIELDS["context"].offset // 8
_STALE = at.STALE // 8
_SIZES = (1, 2, 4)
assert 8 * len(CALL) == CALL_SIZE


class Devices:
    """What a processor's engine enters guest code by."""

    def __init__(self, context: int, cpu: Cpu, linear: Linear) -> None:
        """Take the address of the engine's tables, the only CPU, and its memory."""
        self.cpu, self.linear = cpu, linear
        self.serving = Serving(context, cpu.state_address)
        self.serving.table[TABLE.index("machine")] = linear.context_address
        linear.fields[at.NATIVES // 8] = linear.physical.natives.address
        self.kept: list[Any] = []  # also what was connected before: it may be running
        self.rows = array("q")
        self.is_inside = False

    def connect(
        self, port_in: Callable[[int, int], int], port_out: Callable[[int, int, int], None]
    ) -> None:
        """Let functions answer for all ports."""
        physical = self.linear.physical
        self.kept.append(self.rows)
        self.rows = array("q")
        for size in _SIZES:
            self._add(port_in, 0, size)
        for size in _SIZES:
            self._add(port_out, 0, 0, size)
        for size in _SIZES:
            self._add(physical.load, 0, 8 * size)
        for size in _SIZES:
            self._add(physical.store, 0, 0, 8 * size)
        self.linear.fields[at.CALLEES // 8] = self.rows.buffer_info()[0]
        # Compiled functions answer instead if it is the bus that does, and nobody between.
        bus = getattr(port_in, "__self__", None)
        is_same = bus is getattr(port_out, "__self__", None)
        is_bus = isinstance(bus, Bus) and bus.physical is physical and is_same
        self.linear.fields[at.NATIVE_PORTS // 8] = int(is_bus)

    def _add(self, call: Callable[..., Any], *arguments: int) -> None:
        """Add a callee; native code replaces the first argument, or the first two."""
        objects = array("q", [id(one) for one in arguments])
        self.kept.append((call, arguments, objects))
        self.rows.extend((id(call), objects.buffer_info()[0], len(objects)))

    def enter(self, state: int, code: int) -> int:
        """Run guest code until Python is needed for more than a device; return the kind of exit.

        RuntimeError if a device's callback does so: what was asked of it stands in the only row.
        """
        serving, cpu = self.serving, self.cpu
        if self.is_inside:
            raise RuntimeError("the callback of a port or a device cannot run the processor")
        self.is_inside = True
        try:
            kind: int = serving.serve(serving.address, code)
        finally:
            self.is_inside = False
        cpu.context_seen = cpu.r64[_CONTEXT]  # compiled code changes what belongs to it, too
        if self.linear.fields[_STALE]:
            self.linear.take_log()
        if kind == ASKED:
            assert cpu.system is not None
            cpu.system.requests.behind()
            return 0
        if kind == PAUSED:
            serving.refill()
            return 0
        return kind
