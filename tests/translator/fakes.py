"""A CPU and a memory in plain Python for the interp tier: no native code, no host pages."""

from __future__ import annotations

from runtime.cpu import flat_descriptor, szp_of
from translator import flags
from translator.faults import GuestFault
from translator.state import FIELDS, GPRS, SEGMENTS, STATE_SIZE

_SZP = FIELDS["szp"].offset // 8
_CF, _OF, _AF = (FIELDS[name].offset for name in ("cf", "of", "af"))
_DF, _REST = FIELDS["df"].offset // 4, FIELDS["eflags_rest"].offset // 4


class FakeMemory:
    """Guest memory as separate byte arrays; everything else faults."""

    def __init__(self) -> None:
        self.areas: dict[int, bytearray] = {}
        self.read_only: set[int] = set()

    def map(self, address: int, size: int, *, read_only: bool = False) -> bytearray:
        """Add an area of zeros and return its bytes."""
        if read_only:
            self.read_only.add(address)
        return self.areas.setdefault(address, bytearray(size))

    def _find(self, address: int, size: int, write: int) -> tuple[bytearray, int]:
        for start, data in self.areas.items():
            if start <= address and address + size <= start + len(data):
                if write and start in self.read_only:
                    raise GuestFault(14, address, 7)
                return data, address - start
        missing = next(
            address + i
            for i in range(size)
            if not any(s <= address + i < s + len(d) for s, d in self.areas.items())
        )
        raise GuestFault(14, missing & 0xFFFFFFFF, 4 | write << 1)

    def read(self, address: int, size: int) -> bytes:
        """Read bytes, from one area."""
        data, at = self._find(address, size, 0)
        return bytes(data[at : at + size])

    def write(self, address: int, value: bytes) -> None:
        """Write bytes, into one area."""
        data, at = self._find(address, len(value), 1)
        data[at : at + len(value)] = value

    def load(self, address: int, width: int) -> int:
        """Read a number."""
        return int.from_bytes(self.read(address, width // 8), "little")

    def store(self, address: int, value: int, width: int) -> None:
        """Write a number."""
        self.write(address, value.to_bytes(width // 8, "little"))

    def cmpxchg(self, address: int, expected: int, new: int, width: int) -> int:
        """Write *new* if *expected* is there; return what was there."""
        old = self.load(address, width)
        self.store(address, new if old == expected else old, width)
        return old


class FakeCpu:
    """The state buffer with its views; fields by name through `get` and `set`."""

    def __init__(self) -> None:
        self.buffer = bytearray(STATE_SIZE)
        view = memoryview(self.buffer)
        self.r8, self.r16, self.r32, self.r64 = (view.cast(c) for c in "BHIQ")  # type: ignore[call-overload]
        self.descriptor = flat_descriptor
        self.cs = 0x23
        for name in ("ds", "es", "ss"):
            self.set(name, 0x2B)
        self.set("fcw", 0x37F)
        self.set("mxcsr", 0x1F80)
        self.eflags = 2

    def get(self, name: str) -> int:
        """Read a field."""
        offset, width = FIELDS[name]
        return int.from_bytes(self.buffer[offset : offset + width // 8], "little")

    def set(self, name: str, value: int) -> None:
        """Write a field."""
        offset, width = FIELDS[name]
        self.r8[offset : offset + width // 8] = value.to_bytes(width // 8, "little")

    @property
    def regs(self) -> list[int]:
        """The general registers in encoding order."""
        return [self.r32[i] for i in range(8)]

    @property
    def eflags(self) -> int:
        """EFLAGS as the guest sees it."""
        szp = self.r64[_SZP]
        value = self.r32[_REST] | 2 | self.r8[_CF] | self.r8[_AF] & 0x10
        value |= ((szp ^ szp >> 32) & 0xFF).bit_count() % 2 << flags.PF ^ 1 << flags.PF
        value |= (szp & 0xFFFFFFFF == 0) << flags.ZF | szp >> 63 << flags.SF
        return value | self.r8[_OF] << flags.OF | (self.r32[_DF] != 1) << flags.DF

    @eflags.setter
    def eflags(self, value: int) -> None:
        self.r8[_CF], self.r8[_OF], self.r8[_AF] = value & 1, value >> flags.OF & 1, value & 0x10
        self.r64[_SZP] = szp_of(value)
        self.r32[_DF] = 0xFFFFFFFF if value >> flags.DF & 1 else 1
        self.r32[_REST] = value & ~(flags.ARITHMETIC | 1 << flags.DF | 2)


def _field(name: str) -> property:
    return property(lambda self: self.get(name), lambda self, value: self.set(name, value))


for _name in ("eip", *GPRS, *SEGMENTS, "fs_base", "gs_base"):
    setattr(FakeCpu, _name, _field(_name))
