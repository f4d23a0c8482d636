"""Frames, addresses and checksums: bytes <-> fields.

Sources: RFC 826 (ARP), 791 (IPv4), 768 (UDP), 793 (TCP), 792 (ICMP), 1071 (checksums).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

IPV4, ARP = 0x0800, 0x0806
ICMP, TCP, UDP = 1, 6, 17
_ETHERNET = struct.Struct("!6s6sH")
_IP = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")
_TCP = struct.Struct("!HHIIBBHHH")
_TTL = 64


class Datagram(NamedTuple):
    """An IPv4 packet."""

    source: bytes
    target: bytes
    protocol: int
    body: bytes


class Segment(NamedTuple):
    """A TCP segment."""

    source: int  # port
    target: int
    sequence: int
    acknowledged: int
    flags: int
    window: int
    body: bytes = b""


def checksum(data: bytes) -> int:
    """Return the Internet checksum."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(target: bytes, source: bytes, kind: int, body: bytes) -> bytes:
    """Pack a frame."""
    return _ETHERNET.pack(target, source, kind) + body


def parse_ethernet(frame: bytes) -> tuple[bytes, bytes, int, bytes] | None:
    """Return target, source, type and body; None for what is too short."""
    if len(frame) < _ETHERNET.size:
        return None
    target, source, kind = _ETHERNET.unpack_from(frame)
    return target, source, kind, frame[_ETHERNET.size :]


def ipv4(packet: Datagram) -> bytes:
    """Pack a packet."""
    size = _IP.size + len(packet.body)
    fields = [0x45, 0, size, 0, 0x4000, _TTL, packet.protocol, 0, packet.source, packet.target]
    fields[7] = checksum(_IP.pack(*fields))
    return _IP.pack(*fields) + packet.body


def parse_ipv4(data: bytes) -> Datagram | None:
    """Return a packet; None for broken ones, and for fragments, which nobody here needs."""
    if len(data) < _IP.size:
        return None
    first, _, size, _, fragment, _, protocol, _, source, target = _IP.unpack_from(data)
    head = (first & 15) * 4
    if first >> 4 != 4 or head < _IP.size or not head <= size <= len(data):
        return None
    if fragment & 0x3FFF or checksum(data[:head]):
        return None
    return Datagram(source, target, protocol, data[head:size])


def _with_sum(packet: Datagram, place: int) -> Datagram:
    """Fill in the checksum, which covers addresses too (RFC 793, 3.1)."""
    body = bytearray(packet.body)
    pseudo = packet.source + packet.target + struct.pack("!HH", packet.protocol, len(body))
    value = checksum(pseudo + bytes(body)) or 0xFFFF
    body[place : place + 2] = value.to_bytes(2, "big")
    return packet._replace(body=bytes(body))


def udp(source: tuple[bytes, int], target: tuple[bytes, int], data: bytes) -> Datagram:
    """Pack a UDP datagram between addresses and ports."""
    head = _UDP.pack(source[1], target[1], _UDP.size + len(data), 0)
    return _with_sum(Datagram(source[0], target[0], UDP, head + data), 6)


def parse_udp(body: bytes) -> tuple[int, int, bytes] | None:
    """Return both ports and the data."""
    if len(body) < _UDP.size:
        return None
    source, target, size, _ = _UDP.unpack_from(body)
    if not _UDP.size <= size <= len(body):
        return None
    return source, target, body[_UDP.size : size]


def tcp(source: bytes, target: bytes, segment: Segment, options: bytes = b"") -> Datagram:
    """Pack a TCP segment between addresses."""
    words = (_TCP.size + len(options)) // 4
    head = _TCP.pack(
        segment.source,
        segment.target,
        segment.sequence,
        segment.acknowledged,
        words << 4,
        segment.flags,
        segment.window,
        0,
        0,
    )
    return _with_sum(Datagram(source, target, TCP, head + options + segment.body), 16)


def parse_tcp(body: bytes) -> Segment | None:
    """Return a segment, without its options."""
    if len(body) < _TCP.size:
        return None
    source, target, sequence, acknowledged, words, flags, window, _, _ = _TCP.unpack_from(body)
    head = (words >> 4) * 4
    if not _TCP.size <= head <= len(body):
        return None
    return Segment(source, target, sequence, acknowledged, flags, window, body[head:])
