"""Messages of sendmsg and recvmsg: i386 headers, vectors and control data in, host forms out.

Control headers are 12 bytes aligned to 4 in the guest, 16 bytes aligned to 8 on the host.
"""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING, NamedTuple

from runtime.personalities.linux import defs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.personalities.linux.threads import Thread

_GUEST = struct.Struct("<IiIIIIi")
_HOST = struct.Struct("<QI4xQQQQi4x")
_GUEST_CONTROL, _HOST_CONTROL = struct.Struct("<Iii"), struct.Struct("<Qii")
_IOV_MAX = 1024
_SOL_SOCKET, _SCM_RIGHTS = 1, 1
_SCM_TIMESTAMP, _SCM_TIMESTAMPNS = 29, 35  # with 32-bit times for the guest
MSG_CTRUNC = 8
EMSGSIZE = 90
_MAX_CONTROL = 64 << 10


class Message(NamedTuple):
    """The guest's struct msghdr."""

    name: int
    name_size: int
    vector: int
    buffers: int
    control: int
    control_size: int
    flags: int


def read(t: Thread, address: int) -> Message:
    """Read a struct msghdr."""
    return Message(*_GUEST.unpack(t.mem.read(address, _GUEST.size)))


def vector(t: Thread, address: int, count: int, *, write: bool) -> ctypes.Array[ctypes.c_uint64]:
    """Convert the guest's iovec to one with host pointers."""
    if count > _IOV_MAX:
        raise OSError(EMSGSIZE, "too many buffers")
    pairs = struct.unpack(f"<{2 * count}I", t.mem.read(address, 8 * count))
    made = (ctypes.c_uint64 * max(2, 2 * count))()
    for i in range(0, 2 * count, 2):
        made[i] = t.mem.host(pairs[i], pairs[i + 1], write=write)
        made[i + 1] = pairs[i + 1]
    return made


def header(
    name: int, name_size: int, iov: int, count: int, control: int, size: int
) -> ctypes.Array[ctypes.c_char]:
    """Build the host's struct msghdr from host pointers."""
    packed = _HOST.pack(name, name_size, iov, count, control, size, 0)
    return ctypes.create_string_buffer(packed, _HOST.size)


def results(head: ctypes.Array[ctypes.c_char]) -> tuple[int, int, int]:
    """Return name size, control size and flags that the host filled in."""
    fields = _HOST.unpack(head.raw)
    return fields[1], fields[5], fields[6]


def control_to_host(t: Thread, data: bytes) -> bytes:
    """Convert control data of the guest; its descriptors must be its own."""
    out = bytearray()
    for level, kind, body in _walk(data, _GUEST_CONTROL, 4):
        if level == _SOL_SOCKET and kind == _SCM_RIGHTS:
            _check_descriptors(t, body)
        out += bytes(-len(out) & 7)
        out += _HOST_CONTROL.pack(_HOST_CONTROL.size + len(body), level, kind) + body
    return bytes(out + bytes(-len(out) & 7))


def _check_descriptors(t: Thread, body: bytes) -> None:
    count = len(body) // 4
    fds = struct.unpack_from(f"<{count}i", body)
    if t.process.reserved_fds.intersection(fds):
        raise OSError(defs.EBADF, "reserved descriptor")


def control_to_guest(data: bytes, room: int) -> tuple[bytes, bool]:
    """Convert control data of the host; also tell whether it had to be cut to *room* bytes."""
    out = bytearray()
    for level, kind, body in _walk(data, _HOST_CONTROL, 8):
        if level == _SOL_SOCKET and kind in (_SCM_TIMESTAMP, _SCM_TIMESTAMPNS) and len(body) == 16:
            body = struct.pack("<Ii", *(v & 0xFFFF_FFFF for v in struct.unpack("<qq", body)))
        padding = -len(out) & 3
        if len(out) + padding + _GUEST_CONTROL.size + len(body) > room:
            return bytes(out), True
        out += bytes(padding) + _GUEST_CONTROL.pack(_GUEST_CONTROL.size + len(body), level, kind)
        out += body
    out += bytes(min(-len(out) & 3, room - len(out)))
    return bytes(out), False


def host_room(guest_size: int) -> int:
    """Return a host control buffer that holds whatever fits in the guest's.

    Headers grow by 4 bytes and paddings by 4 more; but descriptors must not be received that
    the guest has no room for, so the bound is tight for one message.
    """
    if guest_size < _GUEST_CONTROL.size:
        return 0
    messages = guest_size // (_GUEST_CONTROL.size + 4)
    return min(_MAX_CONTROL, guest_size + 4 * max(1, min(messages, 2)))


def _walk(data: bytes, head: struct.Struct, align: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield level, type and body of each control message."""
    at = 0
    while at + head.size <= len(data):
        size, level, kind = head.unpack_from(data, at)
        if size < head.size or at + size > len(data):
            if align == 4:
                raise OSError(defs.EINVAL, "bad control data")
            return
        yield level, kind, data[at + head.size : at + size]
        at += (size + align - 1) & -align
