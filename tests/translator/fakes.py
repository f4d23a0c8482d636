"""A CPU and a memory in plain Python for the interp tier: no native code, no host pages."""

from __future__ import annotations

import numpy as np

from runtime import fpstate, helpers, helpers_simd, helpers_x87  # noqa: F401  (they register)
from runtime.cpu import flat_descriptor, set_linux_segments, szp_of
from runtime.system import bodies  # noqa: F401  (it registers some)
from tests.native import layout
from translator import flags
from translator.decode import decode
from translator.faults import GuestFault
from translator.state import FIELDS, GPRS, SEGMENTS, STATE_SIZE, Exit
from translator.tiers import interp

LIMIT = 100_000  # insns of one case

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
        self._find(address, width // 8, 1)
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
        self.system = None
        set_linux_segments(self)  # type: ignore[arg-type]
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
        szp: int = self.r64[_SZP]
        value: int = self.r32[_REST] | 2 | self.r8[_CF] | self.r8[_AF] & 0x10
        value |= ((szp ^ szp >> 32) & 0xFF).bit_count() % 2 << flags.PF ^ 1 << flags.PF
        value |= (szp & 0xFFFFFFFF == 0) << flags.ZF | szp >> 63 << flags.SF
        value |= self.r8[_OF] << flags.OF | (self.r32[_DF] != 1) << flags.DF
        return value

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


class FakeMachine:
    """What tests/native/host.py is for the host CPU: code and cases in, results out."""

    def __init__(self) -> None:
        self.mem = FakeMemory()
        self.code = self.mem.map(layout.CODE, layout.CODE_SIZE, read_only=True)
        self.regions = [self.mem.map(base, layout.REGION_SIZE) for base in layout.REGIONS]
        self.results = np.zeros(layout.MAX_CASES, dtype=layout.RESULT)

    def run(self, code: bytes, cases: np.ndarray) -> np.ndarray:
        """Run each case to its first fault; the results are valid until the next call."""
        self.code[:] = code.ljust(layout.CODE_SIZE, bytes([layout.HALT]))
        for number, case in enumerate(cases):
            self._run_one(case, self.results[number])
        return self.results[: len(cases)]

    def _run_one(self, case: np.void, result: np.void) -> None:
        for region, pattern in zip(self.regions, layout.PATTERN, strict=True):
            region[:] = pattern.tobytes()
        for address, size, data in case["changes"][: case["n_changes"]].tolist():
            self.mem.write(address, bytes(data)[:size])
        cpu = FakeCpu()
        fpstate.fxrstor(cpu.r8, case["fx"].tobytes())
        for i, value in enumerate(case["regs"].tolist()):
            cpu.r32[i] = value
        cpu.eflags = int(case["eflags"])
        cpu.set("eip", int(case["eip"]))
        fault = self._until_fault(cpu)
        result["vector"], result["error"], result["cr2"] = fault.vector, fault.error, fault.address
        result["eip"], result["eflags"], result["regs"] = cpu.get("eip"), cpu.eflags, cpu.regs
        result["segments"] = [cpu.get(name) for name in ("cs", "ds", "es", "ss", "fs", "gs")]
        result["fx"] = np.frombuffer(fpstate.fxsave(cpu.r8), dtype=np.uint8)
        for number, region in enumerate(self.regions):
            result["memory"][number] = np.frombuffer(bytes(region), dtype=np.uint8)

    def _until_fault(self, cpu: FakeCpu) -> GuestFault:
        try:
            for _ in range(LIMIT):
                eip = cpu.get("eip")
                at = eip - layout.CODE
                if not 0 <= at < layout.CODE_SIZE:
                    return GuestFault(14, eip, 0x14)
                exit_kind = interp.execute(decode(bytes(self.code[at : at + 16])), cpu, self.mem)
                if exit_kind == Exit.TRAP:
                    return GuestFault(cpu.get("exit_info"))
                if exit_kind:
                    return GuestFault(0x80)
        except GuestFault as fault:
            return fault
        raise AssertionError("the case does not end")
