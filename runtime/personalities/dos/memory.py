"""The first megabyte as DOS sees it: bytes, words and strings at segment:offset."""

from __future__ import annotations

from runtime.system.physical import Physical

_VIDEO, _VIDEO_END = 0xA0000, 0xC0000
_NOTHING = b"\xff"  # what is read where there is no memory


def linear(segment: int, offset: int) -> int:
    """Return the address of segment:offset."""
    return (segment << 4) + (offset & 0xFFFF)


class RealMemory:
    """Guest memory for the personality; writes make translated code of it be dropped."""

    def __init__(self, physical: Physical) -> None:
        """Look at a machine's memory."""
        self.physical = physical

    # -- by address --------------------------------------------------------------------------------
    def read(self, address: int, size: int) -> bytes:
        """Copy from memory; display memory answers as to the guest's own accesses."""
        if address < _VIDEO_END and address + size > _VIDEO:
            return bytes(self.physical.load(address + i, 8) for i in range(size))
        if address + size > self.physical.size:  # a client of DPMI may point anywhere
            inside = max(self.physical.size - address, 0)
            found = self.physical.read(address, inside) if inside else b""
            return found.ljust(size, _NOTHING)
        return self.physical.read(address, size)

    def write(self, address: int, data: bytes) -> None:
        """Copy to memory; what DOS reads into display memory is drawn."""
        if address < _VIDEO_END and address + len(data) > _VIDEO:
            for i, value in enumerate(data):
                self.physical.store(address + i, value, 8)
        elif address < self.physical.size:
            self.physical.write(address, data[: self.physical.size - address])

    def u8(self, address: int) -> int:
        """Read a byte."""
        return self.physical.load(address, 8)

    def u16(self, address: int) -> int:
        """Read a word."""
        return self.physical.load(address, 16)

    def u32(self, address: int) -> int:
        """Read a doubleword."""
        return self.physical.load(address, 32)

    def put8(self, address: int, value: int) -> None:
        """Write a byte."""
        self.write(address, bytes((value & 0xFF,)))

    def put16(self, address: int, value: int) -> None:
        """Write a word."""
        self.write(address, (value & 0xFFFF).to_bytes(2, "little"))

    def put32(self, address: int, value: int) -> None:
        """Write a doubleword."""
        self.write(address, (value & 0xFFFFFFFF).to_bytes(4, "little"))

    # -- by segment and offset, which wraps at 64 KiB ----------------------------------------------
    def copy_from(self, segment: int, offset: int, size: int) -> bytes:
        """Read *size* bytes, at most 64 KiB, of a segment."""
        offset &= 0xFFFF
        first = min(size, 0x10000 - offset)
        data = self.read(linear(segment, offset), first)
        return data if first == size else data + self.read(linear(segment, 0), size - first)

    def copy_to(self, segment: int, offset: int, data: bytes) -> None:
        """Write to a segment."""
        offset &= 0xFFFF
        first = 0x10000 - offset
        self.write(linear(segment, offset), data[:first])
        if len(data) > first:
            self.write(linear(segment, 0), data[first:])

    def asciiz(self, segment: int, offset: int, limit: int = 260) -> bytes:
        """Read a string that ends with a zero byte, which is left out."""
        return self.copy_from(segment, offset, limit).partition(b"\0")[0]

    def until(self, segment: int, offset: int, end: bytes) -> bytes:
        """Read up to a byte, at most 64 KiB."""
        data = b""
        while len(data) < 0x10000:
            data += self.copy_from(segment, offset + len(data), 256)
            head, found, _ = data.partition(end)
            if found:
                return head
        return data[:0x10000]
