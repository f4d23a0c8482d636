"""Linux kernels and what is made like them: started at their 16-bit setup code, as boot loaders do.

Documentation/arch/x86/boot.rst of the kernel, from "The Real-mode Kernel Header" on. For images
that only look like a kernel (iPXE, MEMDISK), for kernels too old for the 32-bit entry point, and
for "vga=", which setup code does with the video BIOS.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from runtime.loaders.bzimage import LoadError, is_bzimage, place_initrd
from runtime.system import segments
from runtime.system.physical import Physical
from runtime.system.processor import Processor

_HIGH, _LOW = 0x100000, 0x10000  # where the protected-mode part goes
_SETUP, _SETUP_OLD = 0x10000, 0x90000
_LINE, _LINE_END_OLD = 0x20000, 0x9A000  # the command line
_LOADED_HIGH, _CAN_USE_HEAP, _NO_NUMBER = 1, 0x80, 0xFF
_LINE_MAGIC = 0xA33F  # of protocols before 2.02
_SECTOR, _OLD_SECTORS = 512, 4
_MODES = {"normal": 0xFFFF, "ext": 0xFFFE, "ask": 0xFFFD}
_DIRECT = 0x020A  # since Linux 2.6.31: an image of this protocol has a 32-bit entry point


class RealStart(NamedTuple):
    """How setup code wants to begin: one segment for data and stack, code 20h behind it."""

    segment: int
    sp: int

    def apply(self, processor: Processor) -> None:
        """Set registers; interrupts are off."""
        cpu = processor.cpu
        for index in range(6):
            segments.set_real_segment(cpu, index, self.segment)
        segments.set_real_segment(cpu, segments.CS, self.segment + 0x20)
        cpu.esp, cpu.eflags, cpu.eip = self.sp, 2, 0
        processor.update_context()


def is_needed(image: bytes, command_line: str) -> bool:
    """Whether an image cannot do without its setup code."""
    (version,) = struct.unpack_from("<H", image, 0x206)
    return version < _DIRECT or _video_mode(command_line) != _MODES["normal"]


def _video_mode(command_line: str) -> int:
    """Return what the last "vga=" says; LoadError if that is no mode."""
    mode = _MODES["normal"]
    for word in command_line.split():
        name, sign, value = word.partition("=")
        if name != "vga" or not sign:
            continue
        try:
            mode = _MODES[value] if value in _MODES else int(value, 0)
        except ValueError:
            raise LoadError(f"{word}: choose normal, ext, ask or a number (-append)") from None
    return mode & 0xFFFF


def load(
    physical: Physical, image: bytes, ram_end: int, *, initrd: bytes = b"", command_line: str = ""
) -> RealStart:
    """Put a kernel into memory whose RAM above 1 MiB ends at *ram_end*; LoadError."""
    if not is_bzimage(image) or len(image) < 0x230:
        raise LoadError("no Linux kernel (bzImage)")
    (version,) = struct.unpack_from("<H", image, 0x206)
    size = ((image[0x1F1] or _OLD_SECTORS) + 1) * _SECTOR
    header, code = bytearray(image[:size]), image[size:]
    if not code:
        raise LoadError("the kernel is truncated")
    text = command_line.encode() + b"\0"
    is_high = bool(header[0x211] & _LOADED_HIGH)
    if is_high and version >= 0x0202:
        setup, line = _SETUP, _LINE
        limit = struct.unpack_from("<I", image, 0x238)[0] if version >= 0x0206 else 255
    else:
        setup, line, limit = _SETUP_OLD, _LINE_END_OLD - len(text) & -16, 255
    if len(text) > limit + 1:
        raise LoadError(f"the kernel takes {limit} bytes of command line (-append)")
    place = _HIGH if is_high else _LOW
    if place + len(code) > (ram_end if is_high else _SETUP_OLD):
        raise LoadError(f"the kernel needs {len(code) >> 20} MiB of memory (-m)")
    if version >= 0x0202:
        struct.pack_into("<I", header, 0x228, line)
    else:
        struct.pack_into("<HH", header, 0x20, _LINE_MAGIC, line - setup)
    struct.pack_into("<H", header, 0x1FA, _video_mode(command_line))
    header[0x210] = _NO_NUMBER
    if version >= 0x0201:
        header[0x211] |= _CAN_USE_HEAP
        struct.pack_into("<H", header, 0x224, line - setup - _SECTOR & 0xFFFF)
    if initrd:
        if version < 0x0203:
            struct.pack_into("<I", header, 0x22C, 0x37FFFFFF)
        start = place_initrd(bytes(header), len(initrd), place + len(code), ram_end)
        struct.pack_into("<II", header, 0x218, start, len(initrd))
        physical.write(start, initrd)
    physical.write(setup, bytes(header))
    physical.write(place, code)
    physical.write(line, text)
    return RealStart(setup >> 4, line - setup - 16 & 0xFFFF)
