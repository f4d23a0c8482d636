"""Whether a BIOS still holds keys: its buffer in the BIOS data area, at 40:1A."""

from __future__ import annotations

from collections.abc import Callable

from runtime.system.physical import Physical

_HEAD, _FIRST, _END = 0x41A, 0x1E, 0x3E


def key_reader(physical: Physical) -> Callable[[], bool]:
    """Return a function that says whether the guest has taken all keys out of the BIOS's buffer.

    The buffer holds 15 keys; who types faster than the guest reads loses some. Where no BIOS is,
    what is there makes no sense, and the answer is yes.
    """
    view = physical.view

    def has_taken_all() -> bool:
        head, tail = view[_HEAD] | view[_HEAD + 1] << 8, view[_HEAD + 2] | view[_HEAD + 3] << 8
        return head == tail or not (_FIRST <= head < _END and _FIRST <= tail < _END)

    return has_taken_all
