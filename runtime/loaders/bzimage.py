"""Linux kernels: a bzImage in, memory and registers ready for its 32-bit entry point out.

The boot protocol is Documentation/arch/x86/boot.rst of the kernel, its 32-bit part: the setup code
of real mode is not run, so `struct boot_params` says what it would have found out.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from runtime.loaders.flatstart import Start
from runtime.system.physical import Physical

_HEADER, _MAGIC = 0x1F1, b"HdrS"
_PARAMS, _COMMAND_LINE = 0x10000, 0x20000
_PARAMS_SIZE = 4096
_KERNEL = 0x100000
_LOADED_HIGH, _CAN_USE_HEAP = 1, 0x80
_OLDEST = 0x0203  # with initrd_addr_max
_LOADER = 0xFF  # no number assigned
_E820, _E820_MAX = 0x2D0, 128
_PAGE = 4096


class LoadError(ValueError):
    """It cannot be started; the message says why."""


class Range(NamedTuple):
    """A line of the memory map that firmware gives to systems (E820)."""

    start: int
    size: int
    kind: int  # 1 RAM, 2 reserved, 3 ACPI tables, 4 ACPI non-volatile


def is_bzimage(image: bytes) -> bool:
    """Whether a file has the kernel's header."""
    return image[0x202:0x206] == _MAGIC


def load(
    physical: Physical,
    image: bytes,
    ranges: Sequence[Range],
    *,
    initrd: bytes = b"",
    command_line: str = "",
    rsdp: int = 0,
) -> Start:
    """Put a kernel into memory; LoadError if it cannot be started so."""
    if not is_bzimage(image) or len(image) < 0x260:
        raise LoadError("no Linux kernel (bzImage)")
    (version,) = struct.unpack_from("<H", image, 0x206)
    if version < _OLDEST or not image[0x211] & _LOADED_HIGH:
        raise LoadError(f"a kernel of boot protocol {version >> 8}.{version & 0xFF:02}: too old")
    setup = ((image[_HEADER] or 4) + 1) * 512
    code = image[setup:]
    if not code:
        raise LoadError("the kernel is truncated")
    ram_end = max(
        (r.start + r.size for r in ranges if r.kind == 1 and r.start == _KERNEL), default=0
    )
    needed = len(code)
    if version >= 0x020A:
        needed = max(needed, struct.unpack_from("<I", image, 0x260)[0])
    if _KERNEL + needed > ram_end:
        raise LoadError(f"the kernel needs {needed >> 20} MiB of memory (-m)")
    place = place_initrd(image, len(initrd), _KERNEL + needed, ram_end)
    text = command_line.encode()
    limit = struct.unpack_from("<I", image, 0x238)[0] if version >= 0x0206 else 255
    if len(text) > limit:
        raise LoadError(f"the kernel takes {limit} bytes of command line (-append)")
    params = _params(image, ranges)
    params[0x210], params[0x211] = _LOADER, params[0x211] | _CAN_USE_HEAP
    struct.pack_into("<I", params, 0x228, _COMMAND_LINE)
    struct.pack_into("<H", params, 0x224, 0xFE00)  # end of the heap that setup code would have
    if initrd:
        struct.pack_into("<II", params, 0x218, place, len(initrd))
    struct.pack_into("<Q", params, 0x070, rsdp)
    physical.write(_PARAMS, bytes(params))
    physical.write(_COMMAND_LINE, text + b"\0")
    physical.write(_KERNEL, code)
    if initrd:
        physical.write(place, initrd)
    return Start(_KERNEL, {"esi": _PARAMS}, code=0x10, data=0x18)


def place_initrd(image: bytes, size: int, lowest: int, ram_end: int) -> int:
    """Choose where the initrd goes: as high as possible, as the protocol asks."""
    (highest,) = struct.unpack_from("<I", image, 0x22C)
    place: int = min(highest + 1, ram_end) - size & -_PAGE
    if size and place < lowest:
        raise LoadError("kernel and initrd do not fit into memory (-m)")
    return place


def _params(image: bytes, ranges: Sequence[Range]) -> bytearray:
    """Build struct boot_params: the setup header, an 80x25 text screen, the memory map."""
    params = bytearray(_PARAMS_SIZE)
    end = 0x202 + image[0x201]
    params[_HEADER:end] = image[_HEADER:end]
    # screen_info: cursor, page, mode 3, 80 columns, EGA memory, 25 lines, is VGA, 16 points.
    struct.pack_into("<BBHHBBHHHBBH", params, 0, 0, 0, 0, 0, 3, 80, 0, 3, 0, 25, 1, 16)
    extended = max((r.start + r.size - _KERNEL for r in ranges if r.start == _KERNEL), default=0)
    struct.pack_into("<H", params, 0x02, min(extended >> 10, 0xFFFF))
    struct.pack_into("<I", params, 0x1E0, extended >> 10)
    params[0x1E8] = min(len(ranges), _E820_MAX)
    for index, found in enumerate(ranges[:_E820_MAX]):
        struct.pack_into("<QQI", params, _E820 + 20 * index, *found)
    return params
