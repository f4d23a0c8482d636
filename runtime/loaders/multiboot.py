"""Multiboot kernels: an ELF file or a.out kludge in, memory and registers for its entry point out.

Multiboot Specification version 0.6.96 (Free Software Foundation).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from runtime.loaders.bzimage import LoadError, Range
from runtime.loaders.flatstart import Start
from runtime.system.physical import Physical

_MAGIC, _LOADED = 0x1BADB002, 0x2BADB002
_SEARCHED = 8192
_HAS_ADDRESSES = 1 << 16
_UNKNOWN = 0xFFFF & ~7  # requirements that are not known: bits 0 and 1 are met, 2 (video) is not
_INFO, _ROOM = 0x9000, 0x6000  # where the information is put: below 64 KiB, beside no kernel
_MEMORY, _COMMAND_LINE, _MODULES, _MAP, _LOADER = 1, 4, 8, 0x40, 0x200
_PAGE, _MEBI = 4096, 1 << 20
_ELF32, _PT_LOAD = b"\x7fELF\1\1", 1


class Segment(NamedTuple):
    """A part of a kernel: where it belongs, its bytes, and how much memory it takes."""

    start: int
    data: bytes
    size: int


def find(image: bytes) -> int | None:
    """Return where the header of a Multiboot kernel is; None if it is none."""
    for offset in range(0, min(len(image) - 11, _SEARCHED - 11), 4):
        magic, flags, check = struct.unpack_from("<III", image, offset)
        if magic == _MAGIC and not magic + flags + check & 0xFFFFFFFF:
            return offset
    return None


def load(
    physical: Physical,
    image: bytes,
    ranges: Sequence[Range],
    *,
    command_line: str = "",
    modules: Sequence[tuple[bytes, str]] = (),
) -> Start:
    """Put a kernel and its modules into memory; LoadError if it cannot be started."""
    offset = find(image)
    if offset is None:
        raise LoadError("no Multiboot kernel")
    (flags,) = struct.unpack_from("<I", image, offset + 4)
    if flags & _UNKNOWN:
        raise LoadError(f"the kernel requires what no loader here has (flags {flags:#x})")
    found = _by_header(image, offset) if flags & _HAS_ADDRESSES else _by_elf(image)
    segments, entry = found
    ram = [r for r in ranges if r.kind == 1]
    for part in segments:
        if not any(
            r.start <= part.start and part.start + part.size <= r.start + r.size for r in ram
        ):
            raise LoadError(
                f"the kernel wants {part.size} bytes at {part.start:#x}: no memory there"
            )
    for part in segments:
        physical.write(part.start, part.data)
    top = max((part.start + part.size for part in segments), default=_MEBI)
    placed = []
    for data, text in modules:
        top = max(top, _MEBI) + _PAGE - 1 & -_PAGE
        if not any(r.start <= top and top + len(data) <= r.start + r.size for r in ram):
            raise LoadError("kernel and modules do not fit into memory (-m)")
        physical.write(top, data)
        placed.append((top, top + len(data), text))
        top += len(data)
    physical.write(_INFO, _information(ranges, command_line, placed))
    return Start(entry, {"eax": _LOADED, "ebx": _INFO}, code=0x08, data=0x10)


def _by_header(image: bytes, offset: int) -> tuple[list[Segment], int]:
    if len(image) < offset + 32:
        raise LoadError("the kernel is truncated")
    header, start, load_end, bss_end, entry = struct.unpack_from("<5I", image, offset + 12)
    first = offset - (header - start)
    if start > header or first < 0:
        raise LoadError("the kernel's header makes no sense")
    data = image[first : first + (load_end - start) if load_end else None]
    if load_end and load_end - start != len(data):
        raise LoadError("the kernel is truncated")
    size = max(bss_end - start if bss_end else 0, len(data))
    return [Segment(start, data, size)], entry


def _by_elf(image: bytes) -> tuple[list[Segment], int]:
    if image[:6] != _ELF32 or len(image) < 52:
        raise LoadError("a Multiboot kernel must be a 32-bit ELF file or say its addresses")
    entry, table = struct.unpack_from("<II", image, 24)
    size, count = struct.unpack_from("<HH", image, 42)
    segments, place = [], entry
    for index in range(count):
        at = table + index * size
        if len(image) < at + 32:
            raise LoadError("the kernel is truncated")
        kind, offset, linked, start, in_file, in_memory = struct.unpack_from("<6I", image, at)
        if kind != _PT_LOAD or not in_memory:
            continue
        data = image[offset : offset + in_file]
        if len(data) != in_file or in_memory < in_file:
            raise LoadError("the kernel is truncated")
        segments.append(Segment(start, data, in_memory))
        # Kernels that are linked to high addresses have a virtual entry point.
        if linked <= entry < linked + in_memory:
            place = start + entry - linked
    return segments, place


def _information(
    ranges: Sequence[Range], command_line: str, modules: Sequence[tuple[int, int, str]]
) -> bytes:
    """Build the Multiboot information structure (3.3) and what it points to."""
    data = bytearray(120)

    def add(part: bytes) -> int:
        place = _INFO + len(data)
        data.extend(part + bytes(-len(part) & 3))
        return place

    flags = _MEMORY | _COMMAND_LINE | _MAP | _LOADER | (_MODULES if modules else 0)
    extended = next((r.size for r in ranges if r.start == _MEBI and r.kind == 1), 0)
    struct.pack_into("<II", data, 4, 640 - 1, extended >> 10)
    line = add(command_line.encode() + b"\0")
    texts = [add(text.encode() + b"\0") for _, _, text in modules]
    rows = [struct.pack("<4I", m[0], m[1], t, 0) for m, t in zip(modules, texts, strict=True)]
    table = add(b"".join(rows))
    entries = b"".join(struct.pack("<IQQI", 20, r.start, r.size, r.kind) for r in ranges)
    memory = add(entries)
    name = add(b"jitemu\0")
    if len(data) > _ROOM:
        raise LoadError("command lines are too long (-append)")
    struct.pack_into("<I", data, 0, flags)
    struct.pack_into("<III", data, 16, line, len(modules), table)
    struct.pack_into("<II", data, 44, len(entries), memory)
    struct.pack_into("<I", data, 64, name)
    return bytes(data)
