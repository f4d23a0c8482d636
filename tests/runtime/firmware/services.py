"""A PC whose BIOS services a test calls, without guest code around them."""

from __future__ import annotations

from typing import Any

from runtime.disks.disk import SECTOR
from runtime.firmware.call import Call
from runtime.firmware.callbacks import Result
from runtime.machines.pc import Pc, PcConfig
from runtime.machines.storage import Drives
from translator.state import FIELDS

STACK = 0x6000
_CR0 = FIELDS["cr0"].offset // 4


class Memory:
    """A disk of bytes."""

    def __init__(self, data: bytes, *, is_read_only: bool = False) -> None:
        self.data = bytearray(data.ljust(-(-len(data) // SECTOR) * SECTOR, b"\0"))
        self.is_read_only = is_read_only

    @property
    def sectors(self) -> int:
        return len(self.data) // SECTOR

    def read(self, sector: int, count: int) -> bytes:
        found = bytes(self.data[sector * SECTOR : (sector + count) * SECTOR])
        return found.ljust(count * SECTOR, b"\0")

    def write(self, sector: int, data: bytes) -> None:
        if self.is_read_only:
            raise PermissionError("read only")
        self.data[sector * SECTOR : sector * SECTOR + len(data)] = data

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


class Services:
    """The services of a PC after power-on."""

    def __init__(self, drives: Drives | None = None, memory: int = 16 << 20, **more: Any) -> None:
        self.pc = Pc(PcConfig(memory, drives=drives or Drives(), strategy="interp", **more))
        assert self.pc.builtin is not None
        self.bios = self.pc.builtin
        self.physical = self.pc.physical

    def close(self) -> None:
        self.pc.close()

    def call(self, vector: int, **registers: int) -> Call:
        """Execute `int vector` from 0:500h with registers; all others are 0."""
        call = self.bios.call
        if call.cpu.r32[_CR0] & 1:  # INT 15h function 89h was called
            self.pc.processor.reset()
        for name in ("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp"):
            setattr(call, name, 0)
        call.es = call.ds = call.ss = 0
        call.esp, call.has_frame = STACK, True
        self.physical.write(STACK, bytes.fromhex("0005 0000 0202"))
        for name, value in registers.items():
            setattr(call, name, value)
        self.result: Result | None = self.bios.service(vector)(call)
        return call

    def byte(self, address: int) -> int:
        return self.physical.load(address, 8)

    def word(self, address: int) -> int:
        return self.physical.load(address, 16)
