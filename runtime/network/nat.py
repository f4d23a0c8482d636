"""The network that a guest sees: a gateway that is the host, a name server, and what is behind.

The addresses are those of QEMU's user networking: guest 10.0.2.15, host 10.0.2.2, names 10.0.2.3.
What the guest sends to 10.0.2.2 goes to the host's own servers (127.0.0.1), the rest wherever the
host can reach. Nobody can connect to the guest, but at ports of the host that are forwarded to it.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass

from runtime.clock import SECOND, Clock
from runtime.network import dhcp, packets
from runtime.network.packets import ARP, ICMP, IPV4, TCP, UDP, Datagram, Segment
from runtime.network.poller import READ, Poller
from runtime.network.tcp import ACK, RST, SYN, Connection

GUEST, GATEWAY, NAMES, MASK = (
    socket.inet_aton(text) for text in ("10.0.2.15", "10.0.2.2", "10.0.2.3", "255.255.255.0")
)
ROUTER_MAC = bytes.fromhex("525500000202")
_BROADCAST = b"\xff" * 6
_DNS, _DHCP_SERVER, _DHCP_CLIENT = 53, 67, 68
_FLOWS_MAX, _CONNECTIONS_MAX = 256, 256
_IDLE = 60 * SECOND
_LARGEST = 1472  # bytes of a datagram that fits a frame


@dataclass
class _Flow:
    """A UDP port of the guest and whom it talks to."""

    socket: socket.socket
    used: int  # guest time


class UserNetwork:
    """The other end of the guest's cable."""

    def __init__(
        self, clock: Clock, poller: Poller, resolver: tuple[str, int] | None = None
    ) -> None:
        """Connect the host; *resolver*: address and port of a name server, None: the host's own."""
        self.clock, self.poller = clock, poller
        self.resolver = resolver or host_resolver()
        self.deliver: Callable[[bytes], None] = lambda frame: None  # to the guest; the card's
        self.guest_mac = _BROADCAST
        self.flows: dict[tuple[int, bytes, int], _Flow] = {}
        self.connections: dict[tuple[int, bytes, int], Connection] = {}
        self._listeners: list[socket.socket] = []

    def close(self) -> None:
        """End everything."""
        self.hang_up()
        for listener in self._listeners:
            self.poller.forget(listener.fileno())
            listener.close()
        self._listeners.clear()

    def hang_up(self) -> None:
        """End all connections: the guest has forgotten them."""
        for flow in self.flows.values():
            self._drop(flow)
        for connection in self.connections.values():
            connection.close()
        self.flows.clear()
        self.connections.clear()

    # -- frames ------------------------------------------------------------------------------------
    def frame(self, data: bytes) -> None:
        """Take a frame of the guest; what makes no sense is dropped, as on any network."""
        parsed = packets.parse_ethernet(data)
        if parsed is None:
            return
        _, self.guest_mac, kind, body = parsed
        if kind == ARP:
            self._arp(body)
        elif kind == IPV4 and (packet := packets.parse_ipv4(body)) is not None:
            handler = {UDP: self._udp, TCP: self._tcp, ICMP: self._icmp}.get(packet.protocol)
            if handler is not None:
                handler(packet)

    def _send(self, packet: Datagram) -> None:
        mac = self.guest_mac
        self.deliver(packets.ethernet(mac, ROUTER_MAC, IPV4, packets.ipv4(packet)))

    def _arp(self, body: bytes) -> None:
        """Say whose the gateway's and the name server's addresses are."""
        if (
            len(body) < 28
            or body[:8] != b"\0\1\x08\0\6\4\0\1"
            or body[24:28] not in (GATEWAY, NAMES)
        ):
            return
        reply = b"\0\1\x08\0\6\4\0\2" + ROUTER_MAC + body[24:28] + body[8:14] + body[14:18]
        self.deliver(packets.ethernet(body[8:14], ROUTER_MAC, ARP, reply))

    def _icmp(self, packet: Datagram) -> None:
        """Answer pings of the gateway and the name server."""
        body = packet.body
        if packet.target in (GATEWAY, NAMES) and len(body) >= 8 and body[0] == 8:
            reply = b"\0\0\0\0" + body[4:]
            reply = reply[:2] + packets.checksum(reply).to_bytes(2, "big") + reply[4:]
            self._send(Datagram(packet.target, packet.source, ICMP, reply))

    def _target(self, address: bytes, port: int) -> tuple[str, int] | None:
        """Return where the host is to send what the guest sends to an address."""
        if address == GATEWAY:
            return "127.0.0.1", port
        if address == NAMES:
            return self.resolver if port == _DNS else None
        if address[:3] == GATEWAY[:3] or address[0] in (0, 127) or address[0] >= 224 or not port:
            return None
        return socket.inet_ntoa(address), port

    # -- UDP ---------------------------------------------------------------------------------------
    def _udp(self, packet: Datagram) -> None:
        parsed = packets.parse_udp(packet.body)
        if parsed is None:
            return
        source, port, data = parsed
        if port == _DHCP_SERVER:
            reply = dhcp.answer(data, GUEST, GATEWAY, MASK, NAMES)
            if reply is not None:
                target = b"\xff" * 4
                self._send(packets.udp((GATEWAY, port), (target, _DHCP_CLIENT), reply))
            return
        target_address = self._target(packet.target, port)
        if target_address is None:
            return
        key = source, packet.target, port
        flow = self.flows.get(key) or self._flow(key, target_address)
        if flow is not None:
            flow.used = self.clock.now()
            with contextlib.suppress(OSError):
                flow.socket.send(data)

    def _flow(self, key: tuple[int, bytes, int], target: tuple[str, int]) -> _Flow | None:
        now = self.clock.now()
        for old, flow in list(self.flows.items()):
            if now - flow.used > _IDLE:
                self._drop(self.flows.pop(old))
        if len(self.flows) >= _FLOWS_MAX:
            oldest = min(self.flows, key=lambda k: self.flows[k].used)
            self._drop(self.flows.pop(oldest))
        try:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        except OSError:
            return None
        made.setblocking(False)
        try:
            made.connect(target)
        except OSError:
            made.close()
            return None
        flow = self.flows[key] = _Flow(made, now)
        self._listen(key, flow)
        return flow

    def _listen(self, key: tuple[int, bytes, int], flow: _Flow) -> None:
        self.poller.watch(flow.socket.fileno(), READ, lambda: self._received(key, flow))

    def _received(self, key: tuple[int, bytes, int], flow: _Flow) -> None:
        port, address, remote = key
        with contextlib.suppress(OSError):
            for _ in range(32):
                data = flow.socket.recv(65536)
                flow.used = self.clock.now()
                if len(data) <= _LARGEST:
                    self._send(packets.udp((address, remote), (GUEST, port), data))
        self._listen(key, flow)

    def _drop(self, flow: _Flow) -> None:
        self.poller.forget(flow.socket.fileno())
        flow.socket.close()

    # -- TCP ---------------------------------------------------------------------------------------
    def _tcp(self, packet: Datagram) -> None:
        segment = packets.parse_tcp(packet.body)
        if segment is None:
            return
        key = segment.source, packet.target, segment.target
        connection = self.connections.get(key)
        if connection is not None:
            connection.take(segment)
        elif segment.flags & (SYN | ACK | RST) == SYN:
            self._connect(key, packet, segment)
        elif not segment.flags & RST:
            self._refuse(packet, segment)

    def _connect(self, key: tuple[int, bytes, int], packet: Datagram, first: Segment) -> None:
        target = self._target(packet.target, first.target)
        if target is None or len(self.connections) >= _CONNECTIONS_MAX:
            self._refuse(packet, first)
            return
        made = Connection(self.clock, self.poller, key, *self._ends(key, packet.source))
        try:
            made.connect(target, first)
        except OSError:  # no more descriptors
            self._refuse(packet, first)
            return
        if not made.is_over:
            self.connections[key] = made

    def _ends(
        self, key: tuple[int, bytes, int], guest: bytes
    ) -> tuple[Callable[[Segment, bytes], None], Callable[[], None]]:
        """Return how a connection sends to the guest, and what it calls at its end."""

        def send(segment: Segment, options: bytes) -> None:
            self._send(packets.tcp(key[1], guest, segment, options))

        def ended() -> None:
            self.connections.pop(key, None)

        return send, ended

    def forward(self, place: tuple[str, int], guest: tuple[str, int]) -> int:
        """Let what connects to an address of the host connect to the guest; return the port.

        OSError where that is taken.
        """
        listener = socket.create_server(place)
        listener.setblocking(False)
        self._listeners.append(listener)
        address, port = socket.inet_aton(guest[0]), guest[1]

        def accept() -> None:
            with contextlib.suppress(OSError):  # it has gone already, or there are too many
                self._accept(listener.accept()[0], address, port)
            self.poller.watch(listener.fileno(), READ, accept)

        self.poller.watch(listener.fileno(), READ, accept)
        return int(listener.getsockname()[1])

    def _accept(self, peer: socket.socket, guest: bytes, port: int) -> None:
        """Connect to the guest for somebody, as a port of the gateway that is free."""
        number = peer.getpeername()[1]
        while (key := (port, GATEWAY, number)) in self.connections:
            number = number + 1 & 0xFFFF or 1024
        if len(self.connections) >= _CONNECTIONS_MAX:
            peer.close()
            return
        made = Connection(self.clock, self.poller, key, *self._ends(key, guest))
        self.connections[key] = made
        made.call(peer)

    def _refuse(self, packet: Datagram, segment: Segment) -> None:
        """Say that nobody listens (RFC 793, 3.4)."""
        length = len(segment.body) + bool(segment.flags & SYN) + (segment.flags & 1)
        number = segment.acknowledged if segment.flags & ACK else 0
        seen = segment.sequence + length & 0xFFFFFFFF
        reply = Segment(segment.target, segment.source, number, seen, RST | ACK, 0)
        self._send(packets.tcp(packet.target, packet.source, reply))


def host_resolver() -> tuple[str, int] | None:
    """Return address and port of the host's first IPv4 name server."""
    try:
        with open("/etc/resolv.conf", encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            with contextlib.suppress(OSError):
                socket.inet_aton(words[1])
                return words[1], _DNS
    return None
