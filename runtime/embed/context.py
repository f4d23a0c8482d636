"""A machine's registers, kept aside: as an object, and as bytes without any code in them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runtime.cpu import Cpu
from translator.state import FIELDS

if TYPE_CHECKING:
    from runtime.embed.machine import Machine

_SIZE = FIELDS["exit_kind"].offset
_FLAGS, _BUDGET = FIELDS["szp"].offset, FIELDS["budget"].offset
_REST, _FLOOR = FIELDS["eflags_rest"].offset, FIELDS["floor"].offset
_VECTORS, _END = FIELDS["xmm0"].offset, FIELDS["memory_base"].offset
_SYSTEM, _LENGTH = FIELDS["es_rspan"].offset, (FIELDS["dr7"].offset + 4 + 7) & -8
# What belongs to the guest; between lies what belongs to the engine.
_RANGES = ((0, _SIZE), (_FLAGS, _BUDGET), (_REST, _FLOOR), (_VECTORS, _END), (_SYSTEM, _LENGTH))
_MAGIC = b"jitemu-x86-2\n"


class _Engine:
    changes = 0


class Snapshot:
    """Looks like a machine to those who read and write registers."""

    def __init__(self) -> None:
        self.state = bytearray(_LENGTH)
        self.cpu = Cpu.__new__(Cpu)
        view = memoryview(self.state)
        cpu: Any = self.cpu
        cpu.r8, cpu.r16, cpu.r32, cpu.r64 = (view.cast(c) for c in "BHIQ")  # type: ignore[call-overload]
        self.engine = _Engine()
        self.msrs = dict[int, int]()
        self.pins = None
        self.jumped = False
        self.space: Any = None

    def save(self, machine: Machine) -> None:
        """Take a machine's registers."""
        self.state[:] = machine.cpu.buffer[:_LENGTH]
        self.msrs = dict(machine.msrs)
        self.space = machine.space

    def restore(self, machine: Machine) -> None:
        """Give a machine these registers."""
        buffer = machine.cpu.buffer
        for start, end in _RANGES:
            buffer[start:end] = self.state[start:end]
        machine.msrs.clear()
        machine.msrs.update(self.msrs)
        machine.pins.take_paging()
        machine.engine.changes += 1  # where a hook's caller goes on, stays what it was

    def to_bytes(self) -> bytes:
        """Return all of it; `from_bytes` reads that."""
        rest = {"msrs": list(self.msrs.items())}
        state = b"".join(self.state[start:end] for start, end in _RANGES)
        return _MAGIC + state + json.dumps(rest).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Snapshot:
        """Read what `to_bytes` wrote. ValueError for anything else."""
        found = cls()
        size = sum(end - start for start, end in _RANGES)
        if not data.startswith(_MAGIC) or len(data) < len(_MAGIC) + size:
            raise ValueError("these bytes are no context of jitemu's")
        at = len(_MAGIC)
        for start, end in _RANGES:
            found.state[start:end] = data[at : at + end - start]
            at += end - start
        rest = json.loads(data[at:])
        try:
            found.msrs = {int(n): int(v) for n, v in rest["msrs"]}
        except (KeyError, TypeError) as error:
            raise ValueError("these bytes are no context of jitemu's") from error
        return found
