"""Firmware images: where they are in memory."""

from __future__ import annotations

from runtime.system.physical import Physical

_TOP, _LOW_END = 1 << 32, 1 << 20
_LOW = 1 << 17  # of an image are also below 1 MiB, at most
_BLOCK = 1 << 16
LARGEST = 16 << 20


def check(image: bytes) -> None:
    """ValueError for what is no firmware image: whole blocks of 64 KiB, with a jump at the end."""
    if not image or len(image) % _BLOCK or len(image) > LARGEST:
        raise ValueError("a firmware image has 64K to 16M, in whole blocks of 64K (-bios)")


def install(physical: Physical, image: bytes) -> None:
    """Put an image at the end of the 4 GiB, and its last 128 KiB at the end of the first MiB."""
    start = _TOP - len(image)
    physical.add_ram(start, len(image))
    physical.write(start, image)
    physical.set_rom(start, len(image))
    low = image[-_LOW:]
    physical.write(_LOW_END - len(low), low)
