"""What functions 38h and 65h tell of a country: how it writes dates, times and numbers.

Source: Ralf Brown's Interrupt List, INT 21h AH=38h (format of country information).
"""

from __future__ import annotations

import struct

USA, CODE_PAGE = 1, 437
# country: date (0 MDY, 1 DMY, 2 YMD), currency, thousands, decimal, date and time separators,
# currency format, digits behind its point, time (0: 12 hours), list separator
_COUNTRIES = {
    1: (0, b"$", b",", b".", b"-", b":", 0, 2, 0, b","),
    2: (2, b"$", b" ", b",", b"-", b":", 3, 2, 1, b";"),
    31: (1, b"\x9f", b".", b",", b"-", b":", 2, 2, 1, b";"),
    33: (1, b"F", b" ", b",", b"/", b":", 3, 2, 1, b";"),
    34: (1, b"\x9e", b".", b",", b"/", b":", 3, 2, 1, b";"),
    39: (1, b"L.", b".", b",", b"/", b".", 2, 0, 1, b";"),
    44: (1, b"\x9c", b",", b".", b"/", b":", 0, 2, 1, b","),
    45: (1, b"kr", b".", b",", b"-", b".", 2, 2, 1, b";"),
    46: (2, b"Kr", b" ", b",", b"-", b".", 3, 2, 1, b";"),
    47: (1, b"Kr", b".", b",", b".", b".", 2, 2, 1, b";"),
    49: (1, b"DM", b".", b",", b".", b":", 3, 2, 1, b";"),
    81: (2, b"\x9d", b",", b".", b"-", b":", 0, 0, 1, b","),
}


def is_known(country: int) -> bool:
    """Whether there is information about a country (its telephone code)."""
    return country in _COUNTRIES


def information(country: int, case_map: tuple[int, int]) -> bytes:
    """Return the information block of 34 bytes; KeyError."""
    row = _COUNTRIES[country]
    date, currency, thousands, decimal, day, hour, style, digits, clock, items = row
    block = struct.pack("<H", date) + currency.ljust(5, b"\0")
    block += b"".join(text.ljust(2, b"\0") for text in (thousands, decimal, day, hour))
    block += struct.pack("<BBBHH", style, digits, clock, case_map[1], case_map[0])
    return (block + items.ljust(2, b"\0")).ljust(34, b"\0")
