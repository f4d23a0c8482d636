"""Code page 437, as display adapters show it: codes <-> characters."""

from __future__ import annotations

_CONTROLS = "\0☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼"
# code -> character; 0 is shown as nothing
CP437 = _CONTROLS + bytes(range(32, 127)).decode() + "⌂" + bytes(range(128, 256)).decode("cp437")
CODES = {character: code for code, character in enumerate(CP437)}
_SHOWN = " " + CP437[1:].replace("\xa0", " ")


def shown(codes: bytes) -> str:
    """Return how codes look on a screen; 0 and FF look like spaces."""
    return "".join([_SHOWN[code] for code in codes])
