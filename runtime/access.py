"""Guest memory for the interp tier: single accesses by native code, faults as GuestFault."""

from __future__ import annotations

import ctypes

from runtime import native
from runtime.memory import Memory
from translator.faults import GuestFault

_PRESENT, _WRITE, _USER, _FETCH = 1, 2, 4, 16


class GuestMemory:
    """Loads, stores and compare-exchanges at the width the guest asked for, each one access.

    A store to a page that holds translated code first drops that code.
    """

    def __init__(self, mem: Memory) -> None:
        self.mem = mem
        self.base = mem.base
        self.out = ctypes.c_uint64()
        self.out_address = ctypes.addressof(self.out)

    def load(self, address: int, width: int) -> int:
        """Read *width* bits (8, 16, 32, 64, 80 or 128)."""
        call = native.loads.get(width)
        if call is None:
            low = self.load(address, 64)
            return low | self.load(address + 8 & 0xFFFFFFFF, width - 64) << 64
        if call(self.base + address, self.out_address):
            raise self.fault(address, width, 0)
        return self.out.value

    def store(self, address: int, value: int, width: int) -> None:
        """Write *width* bits; all of them or none."""
        call = native.stores.get(width)
        if call is None:
            self._probe(address, width)
            self.store(address, value & 0xFFFFFFFFFFFFFFFF, 64)
            self.store(address + 8 & 0xFFFFFFFF, value >> 64, width - 64)
            return
        while call(self.base + address, value):
            if not self.mem.prepare_write(address, width // 8):
                raise self.fault(address, width, _WRITE)

    def cmpxchg(self, address: int, expected: int, new: int, width: int) -> int:
        """Atomically write *new* if *expected* is there; return what was there."""
        call = native.exchanges[width]
        while call(self.base + address, expected, new, self.out_address):
            if not self.mem.prepare_write(address, width // 8):
                raise self.fault(address, width, _WRITE)
        return self.out.value & ((1 << width) - 1)

    def load_system(self, address: int, width: int) -> int:
        """Read as ring 0 does, whatever the privilege level: descriptor tables, task states."""
        return self.load(address, width)

    def store_system(self, address: int, value: int, width: int) -> None:
        """Write as ring 0 does."""
        self.store(address, value, width)

    def _probe(self, address: int, width: int) -> None:
        """Fault before a store of two parts if its second part would."""
        self.mem.prepare_write(address, width // 8)
        for part in (address, address + width // 8 - 1 & 0xFFFFFFFF):
            if not (self.mem.prot_at(part) or 0) & 2:
                raise self.fault(address, width, _WRITE)

    def fault(self, address: int, width: int, error: int) -> GuestFault:
        """Describe the fault of an access: CR2 is the first byte that cannot be reached."""
        needed = 2 if error & _WRITE else 7
        for at in (address, (address | 0xFFF) + 1):
            prot = self.mem.prot_at(at & 0xFFFFFFFF)
            if prot is None or not prot & needed:
                present = _PRESENT if prot is not None else 0
                return GuestFault(14, at & 0xFFFFFFFF, error | _USER | present)
            if at + width // 8 <= (address | 0xFFF) + 1:
                break
        return GuestFault(14, address, error | _USER | _PRESENT)
