"""Socket calls, direct and through socketcall. Sockets are host sockets with the same number."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime import host
from runtime.host import Sys
from runtime.personalities.linux import cmsg, defs, sockaddr, timespec
from runtime.personalities.linux.table import signed, syscall

if TYPE_CHECKING:
    from runtime.personalities.linux.threads import Thread

_ADDRESS_SIZE = 128
_SOL_SOCKET = 1
_SO_RCVTIMEO, _SO_SNDTIMEO, _SO_ATTACH_FILTER, _SO_ATTACH_BPF = 20, 21, 26, 50
_MSG_WAITFORONE, _MSG_DONTWAIT = 0x10000, 0x40
_MAX_MESSAGES = 1024


def _check(t: Thread, fd: int) -> None:
    if fd in t.process.reserved_fds:
        raise OSError(defs.EBADF, "reserved descriptor")


def _wait_result(t: Thread, fd: int, result: int, option: int) -> int:
    """Forbid a restart of a call that was interrupted on a socket with a timeout, as Linux does."""
    if result == -defs.EINTR:
        value = ctypes.create_string_buffer(16)
        size = ctypes.c_uint32(16)
        start = ctypes.addressof(value)
        code = host.syscall(Sys.GETSOCKOPT, fd, _SOL_SOCKET, option, start, ctypes.addressof(size))
        t.no_restart = code == 0 and any(value.raw)
    return result


@syscall(359, "socket")
def socket(t: Thread, family: int, kind: int, protocol: int) -> int:
    """Make a socket."""
    sockaddr.check_family(t, family)
    return host.syscall(Sys.SOCKET, family, kind, signed(protocol))


@syscall(360, "socketpair")
def socketpair(t: Thread, family: int, kind: int, protocol: int, address: int) -> int:
    """Make two connected sockets."""
    sockaddr.check_family(t, family)
    pair = (ctypes.c_int32 * 2)()
    start = ctypes.addressof(pair)
    result = host.syscall(Sys.SOCKETPAIR, family, kind, signed(protocol), start)
    if result == 0:
        t.mem.write(address, struct.pack("<2i", *pair))
    return result


@syscall(361, "bind")
def bind(t: Thread, fd: int, address: int, size: int) -> int:
    """Give a socket a name."""
    _check(t, fd)
    with sockaddr.HostAddress(t, sockaddr.read(t, address, size), create=True) as data:
        return host.syscall(Sys.BIND, fd, data, len(data))


@syscall(362, "connect")
def connect(t: Thread, fd: int, address: int, size: int) -> int:
    """Connect a socket."""
    _check(t, fd)
    with sockaddr.HostAddress(t, sockaddr.read(t, address, size)) as data:
        result = host.interruptible(Sys.CONNECT, fd, data, len(data))
    return _wait_result(t, fd, result, _SO_SNDTIMEO)


@syscall(363, "listen")
def listen(t: Thread, fd: int, backlog: int) -> int:
    """Wait for connections from now on."""
    _check(t, fd)
    return host.syscall(Sys.LISTEN, fd, signed(backlog))


@syscall(364, "accept4")
def accept4(t: Thread, fd: int, address: int, size_at: int, flags: int) -> int:
    """Take a connection."""
    _check(t, fd)
    result, name = _with_name(Sys.ACCEPT4, fd, lambda n, s: (n, s, flags), wait=True)
    if result >= 0 and address:
        sockaddr.write(t, address, size_at, name)
    return _wait_result(t, fd, result, _SO_RCVTIMEO)


def _with_name(
    number: Sys, fd: int, rest: Callable[[int, int], tuple[int, ...]], *, wait: bool = False
) -> tuple[int, bytes]:
    """Make a host call that fills an address; return its result and the address."""
    name = ctypes.create_string_buffer(_ADDRESS_SIZE)
    size = ctypes.c_uint32(_ADDRESS_SIZE)
    call = host.interruptible if wait else host.syscall
    result = call(number, fd, *rest(ctypes.addressof(name), ctypes.addressof(size)))
    return result, name.raw[: size.value]


@syscall(367, "getsockname")
def getsockname(t: Thread, fd: int, address: int, size_at: int) -> int:
    """Return a socket's own name."""
    return _name(t, Sys.GETSOCKNAME, fd, address, size_at)


@syscall(368, "getpeername")
def getpeername(t: Thread, fd: int, address: int, size_at: int) -> int:
    """Return the name of the other end."""
    return _name(t, Sys.GETPEERNAME, fd, address, size_at)


def _name(t: Thread, number: Sys, fd: int, address: int, size_at: int) -> int:
    _check(t, fd)
    result, name = _with_name(number, fd, lambda n, s: (n, s))
    if result == 0:
        sockaddr.write(t, address, size_at, name)
    return result


@syscall(369, "sendto")
def sendto(t: Thread, fd: int, data: int, size: int, flags: int, address: int, length: int) -> int:
    """Send a message, to an address if one is given."""
    _check(t, fd)
    pointer = t.mem.host(data, size)
    t.attention = True  # SIGPIPE
    if not address:
        result = host.interruptible(Sys.SENDTO, fd, pointer, size, flags, 0, 0)
    else:
        with sockaddr.HostAddress(t, sockaddr.read(t, address, length)) as name:
            result = host.interruptible(Sys.SENDTO, fd, pointer, size, flags, name, len(name))
    return _wait_result(t, fd, result, _SO_SNDTIMEO)


@syscall(371, "recvfrom")
def recvfrom(
    t: Thread, fd: int, data: int, size: int, flags: int, address: int, size_at: int
) -> int:
    """Receive a message and the address of its sender."""
    _check(t, fd)
    pointer = t.mem.host(data, size, write=True)
    result, name = _with_name(
        Sys.RECVFROM, fd, lambda n, s: (pointer, size, flags, n, s), wait=True
    )
    if result >= 0 and address:
        sockaddr.write(t, address, size_at, name)
    return _wait_result(t, fd, result, _SO_RCVTIMEO)


@syscall(370, "sendmsg")
def sendmsg(t: Thread, fd: int, message: int, flags: int) -> int:
    """Send a message from several buffers, with control data."""
    _check(t, fd)
    m = cmsg.read(t, message)
    iov = cmsg.vector(t, m.vector, m.buffers, write=False)
    control = b""
    if m.control and m.control_size:
        control = cmsg.control_to_host(t, t.mem.read(m.control, m.control_size))
    control_buffer = ctypes.create_string_buffer(control, len(control) or 1)
    control_at = ctypes.addressof(control_buffer) if control else 0
    t.attention = True
    name = sockaddr.read(t, m.name, m.name_size) if m.name and m.name_size > 0 else b""
    with sockaddr.HostAddress(t, name) as data:
        name_buffer = ctypes.create_string_buffer(data, len(data) or 1)
        head = cmsg.header(
            ctypes.addressof(name_buffer) if data else 0,
            len(data),
            ctypes.addressof(iov),
            m.buffers,
            control_at,
            len(control),
        )
        result = host.interruptible(Sys.SENDMSG, fd, ctypes.addressof(head), flags)
    return _wait_result(t, fd, result, _SO_SNDTIMEO)


@syscall(372, "recvmsg")
def recvmsg(t: Thread, fd: int, message: int, flags: int) -> int:
    """Receive a message into several buffers, with control data."""
    _check(t, fd)
    m = cmsg.read(t, message)
    iov = cmsg.vector(t, m.vector, m.buffers, write=True)
    name = ctypes.create_string_buffer(_ADDRESS_SIZE)
    room = cmsg.host_room(m.control_size) if m.control else 0
    control = ctypes.create_string_buffer(room or 1)
    head = cmsg.header(
        ctypes.addressof(name) if m.name else 0,
        _ADDRESS_SIZE if m.name else 0,
        ctypes.addressof(iov),
        m.buffers,
        ctypes.addressof(control) if room else 0,
        room,
    )
    result = host.interruptible(Sys.RECVMSG, fd, ctypes.addressof(head), flags)
    if result < 0:
        return _wait_result(t, fd, result, _SO_RCVTIMEO)
    name_size, control_size, out_flags = cmsg.results(head)
    guest_control, cut = cmsg.control_to_guest(control.raw[:control_size], m.control_size)
    if cut:
        out_flags |= cmsg.MSG_CTRUNC
    if m.name:
        address = sockaddr.to_guest(name.raw[:name_size])
        t.mem.write(m.name, address[: max(0, m.name_size)])
        name_size = len(address)
    if m.control:
        t.mem.write(m.control, guest_control)
    t.mem.put_u32(message + 4, name_size)
    t.mem.put_u32(message + 20, len(guest_control))
    t.mem.put_u32(message + 24, out_flags & 0xFFFF_FFFF)
    return result


def _several(
    t: Thread, one: Callable[[int, int], int], messages: int, count: int, stride: int = 32
) -> int:
    """Run *one* (address, index) for each struct mmsghdr; return how many worked."""
    done = 0
    for i in range(min(count, _MAX_MESSAGES)):
        result = one(messages + stride * i, i)
        if result < 0:
            return done or result
        t.mem.put_u32(messages + stride * i + 28, result)
        done += 1
    return done


@syscall(345, "sendmmsg")
def sendmmsg(t: Thread, fd: int, messages: int, count: int, flags: int) -> int:
    """Send several messages."""
    return _several(t, lambda address, _: sendmsg(t, fd, address, flags), messages, count)


def _recvmmsg(
    t: Thread, fd: int, messages: int, count: int, flags: int, timeout: float | None
) -> int:
    end = t.deadline(timeout)

    def one(address: int, index: int) -> int:
        wanted = flags & ~_MSG_WAITFORONE
        if index and (flags & _MSG_WAITFORONE or (end is not None and t.time_left(timeout) == 0)):
            wanted |= _MSG_DONTWAIT
        return recvmsg(t, fd, address, wanted)

    return _several(t, one, messages, count)


@syscall(337, "recvmmsg")
def recvmmsg(t: Thread, fd: int, messages: int, count: int, flags: int, timeout: int) -> int:
    """Receive several messages; 32-bit time."""
    return _recvmmsg(t, fd, messages, count, flags, timespec.read32(t.mem, timeout))


@syscall(417, "recvmmsg_time64")
def recvmmsg_time64(t: Thread, fd: int, messages: int, count: int, flags: int, timeout: int) -> int:
    """Receive several messages; 64-bit time."""
    return _recvmmsg(t, fd, messages, count, flags, timespec.read64(t.mem, timeout))


@syscall(373, "shutdown")
def shutdown(t: Thread, fd: int, how: int) -> int:
    """Close one or both directions."""
    _check(t, fd)
    return host.syscall(Sys.SHUTDOWN, fd, signed(how))


@syscall(366, "setsockopt")
def setsockopt(t: Thread, fd: int, level: int, option: int, value: int, size: int) -> int:
    """Set an option."""
    _check(t, fd)
    if size > defs.PAGE:
        return -defs.EINVAL
    data: bytes = t.mem.read(value, size) if value else b""
    if level == _SOL_SOCKET and option in (_SO_RCVTIMEO, _SO_SNDTIMEO):
        if size < 8:
            return -defs.EINVAL
        data = struct.pack("<qq", *struct.unpack_from("<ii", data))
    elif level == _SOL_SOCKET and option in (_SO_ATTACH_FILTER, _SO_ATTACH_BPF):
        t.process.report.unsupported("setsockopt: socket filters")
        return -defs.EINVAL
    return host.syscall(Sys.SETSOCKOPT, fd, signed(level), option, data, len(data))


@syscall(365, "getsockopt")
def getsockopt(t: Thread, fd: int, level: int, option: int, value: int, size_at: int) -> int:
    """Read an option."""
    _check(t, fd)
    room = struct.unpack("<i", t.mem.read(size_at, 4))[0]
    if room < 0:
        return -defs.EINVAL
    is_time = level == _SOL_SOCKET and option in (_SO_RCVTIMEO, _SO_SNDTIMEO)
    buffer = ctypes.create_string_buffer(max(16, min(room, defs.PAGE)))
    size = ctypes.c_uint32(16 if is_time else min(room, defs.PAGE))
    result = host.syscall(
        Sys.GETSOCKOPT, fd, signed(level), option,
        ctypes.addressof(buffer), ctypes.addressof(size),
    )  # fmt: skip
    if result < 0:
        return result
    data = buffer.raw[: size.value]
    if is_time:
        data = struct.pack("<ii", *struct.unpack("<qq", data))[:room]
    t.mem.write(value, data)
    t.mem.put_u32(size_at, len(data))
    return result


# socketcall: number -> (handler, how many words of its vector count)
_CALLS: dict[int, tuple[Callable[..., int], int]] = {
    1: (socket, 3), 2: (bind, 3), 3: (connect, 3), 4: (listen, 2),
    5: (lambda t, fd, address, size: accept4(t, fd, address, size, 0), 3),
    6: (getsockname, 3), 7: (getpeername, 3), 8: (socketpair, 4),
    9: (lambda t, fd, data, size, flags: sendto(t, fd, data, size, flags, 0, 0), 4),
    10: (lambda t, fd, data, size, flags: recvfrom(t, fd, data, size, flags, 0, 0), 4),
    11: (sendto, 6), 12: (recvfrom, 6), 13: (shutdown, 2), 14: (setsockopt, 5),
    15: (getsockopt, 5), 16: (sendmsg, 3), 17: (recvmsg, 3), 18: (accept4, 4),
    19: (recvmmsg, 5), 20: (sendmmsg, 4),
}  # fmt: skip


@syscall(102, "socketcall")
def socketcall(t: Thread, call: int, arguments: int) -> int:
    """Make the socket call that the first argument numbers; its arguments are in memory."""
    if call not in _CALLS:
        return -defs.EINVAL
    handler, count = _CALLS[call]
    return handler(t, *struct.unpack(f"<{count}I", t.mem.read(arguments, 4 * count)))
