"""Dates and times as DOS packs them, from the host's clock in local time."""

from __future__ import annotations

import time

_FIRST_YEAR = 1980


def packed(seconds: float) -> tuple[int, int]:
    """Return DOS date and time words of a moment (Unix time); 1980-01-01 is the earliest."""
    now = time.localtime(seconds)
    if now.tm_year < _FIRST_YEAR:
        return 0x21, 0
    year = min(now.tm_year - _FIRST_YEAR, 127)
    date = year << 9 | now.tm_mon << 5 | now.tm_mday
    return date, now.tm_hour << 11 | now.tm_min << 5 | min(now.tm_sec, 59) // 2


def unpacked(date: int, clock: int) -> float:
    """Return the Unix time of DOS date and time words; what is out of range is carried over."""
    parts = (date >> 9) + _FIRST_YEAR, date >> 5 & 15, date & 31
    hour, minute, second = clock >> 11, clock >> 5 & 63, (clock & 31) * 2
    return time.mktime((*parts, hour, minute, second, 0, 0, -1))


class Calendar:
    """Date and time of the guest: the host's, or set by it (functions 2Ah to 2Dh)."""

    def __init__(self) -> None:
        """Begin with the host's time."""
        self.offset = 0.0  # s added to the host's time

    def now(self) -> float:
        """Return the guest's Unix time."""
        return time.time() + self.offset

    def parts(self) -> tuple[time.struct_time, int]:
        """Return local time and hundredths of a second."""
        now = self.now()
        return time.localtime(now), int(now % 1 * 100)

    def set_date(self, year: int, month: int, day: int) -> bool:
        """Change the date; False if there is no such day."""
        now, _ = self.parts()
        try:
            wanted = time.mktime((year, month, day, *now[3:6], 0, 0, -1))
        except (OverflowError, ValueError):
            return False
        found = time.localtime(wanted)
        if (found.tm_year, found.tm_mon, found.tm_mday) != (year, month, day):
            return False
        if not _FIRST_YEAR <= year <= 2099:
            return False
        self.offset += wanted - time.mktime((*now[:6], 0, 0, -1))
        return True

    def set_time(self, hour: int, minute: int, second: int, hundredths: int) -> bool:
        """Change the time of day; False if there is no such time."""
        if hour > 23 or minute > 59 or second > 59 or hundredths > 99:
            return False
        now = self.now()
        today = time.localtime(now)
        wanted = time.mktime((*today[:3], hour, minute, second, 0, 0, -1)) + hundredths / 100
        self.offset += wanted - now
        return True
