"""A DHCP server for one guest: its question in, the answer out (RFC 2131, 2132)."""

from __future__ import annotations

import struct

_MAGIC = b"\x63\x82\x53\x63"
_HEAD = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s")
_DISCOVER, _OFFER, _REQUEST, _ACK, _NAK, _INFORM = 1, 2, 3, 5, 6, 8
_LEASE = 86400  # seconds


def _options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != 255:
        if not data[at]:
            at += 1
            continue
        if at + 1 >= len(data):
            break
        size = data[at + 1]
        found[data[at]] = data[at + 2 : at + 2 + size]
        at += 2 + size
    return found


def answer(data: bytes, address: bytes, gateway: bytes, mask: bytes, names: bytes) -> bytes | None:
    """Return the reply that gives the guest its address; None where there is none to give."""
    if len(data) < _HEAD.size + 4 or data[_HEAD.size : _HEAD.size + 4] != _MAGIC or data[0] != 1:
        return None
    fields = list(_HEAD.unpack_from(data))
    asked = _options(data[_HEAD.size + 4 :])
    kind = {b"\1": _OFFER, b"\3": _ACK, b"\x08": _ACK}.get(asked.get(53, b""))
    if kind is None:
        return None
    wanted = asked.get(50, bytes(4))
    if asked.get(53) == bytes([_REQUEST]) and wanted not in (bytes(4), address):
        kind = _NAK
    fields[0], fields[3] = 2, 0
    fields[8], fields[9] = (bytes(4) if kind == _NAK else address), gateway
    options = {53: bytes([kind]), 54: gateway}
    if kind != _NAK:
        options |= {51: _LEASE.to_bytes(4, "big"), 1: mask, 3: gateway, 6: names}
    tail = b"".join(bytes([code, len(value)]) + value for code, value in options.items())
    return (_HEAD.pack(*fields) + _MAGIC + tail + b"\xff").ljust(300, b"\0")
