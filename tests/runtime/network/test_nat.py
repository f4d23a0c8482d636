"""The guest's network: what a small TCP/IP stack, the guest's, gets from local servers."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from runtime.devices.virtio.net import MAC, VirtioNet
from runtime.network import packets
from runtime.network.nat import GATEWAY, GUEST, NAMES, ROUTER_MAC, UserNetwork, host_resolver
from runtime.network.packets import ARP, ICMP, IPV4, TCP, UDP, Datagram, Segment
from runtime.network.poller import Poller
from runtime.network.tcp import ACK, FIN, PSH, RST, SYN
from tests.runtime.devices.times import HandClock
from tests.runtime.devices.virtiodriver import Driver, ram


class Guest:
    """The guest's end of the cable."""

    def __init__(self, resolver: tuple[str, int] | None = None) -> None:
        self.clock, self.poller = HandClock(), Poller()
        self.network = UserNetwork(self.clock, self.poller, resolver)
        self.frames: list[bytes] = []
        self.network.deliver = self.frames.append

    def send(self, packet: Datagram) -> None:
        self.network.frame(packets.ethernet(ROUTER_MAC, MAC, IPV4, packets.ipv4(packet)))

    def receive(self, seconds: float = 5) -> Datagram:
        """Return the next packet; wait for it."""
        end = time.monotonic() + seconds
        while not self.frames:
            assert time.monotonic() < end, "nothing came"
            self.poller.turn(0.1)
        parsed = packets.parse_ethernet(self.frames.pop(0))
        assert parsed is not None
        target, source, kind, body = parsed
        assert (target, source, kind) == (MAC, ROUTER_MAC, IPV4)
        packet = packets.parse_ipv4(body)
        assert packet is not None
        return packet

    def is_quiet(self) -> bool:
        for _ in range(3):
            self.poller.turn(0.02)
        return not self.frames


@pytest.fixture
def guest() -> Iterator[Guest]:
    made = Guest()
    yield made
    made.network.close()
    made.poller.close()


class Tcp:
    """The guest's side of one connection."""

    def __init__(
        self, guest: Guest, port: int, address: bytes = GATEWAY, *, local: int = 40000
    ) -> None:
        """Connect; with port 0 wait for somebody's SYN instead."""
        self.guest, self.ports, self.address = guest, (local, port), address
        self.sent, self.seen, self.window = 1000, 0, 65535
        self.got, self.is_done, self.is_dead = bytearray(), False, False
        if port:
            self.emit(SYN)

    def emit(self, flags: int, body: bytes = b"", at: int | None = None) -> None:
        number = self.sent if at is None else at
        segment = Segment(*self.ports, number, self.seen, flags, self.window, body)
        self.guest.send(packets.tcp(GUEST, self.address, segment))
        if at is None:
            self.sent += len(body) + bool(flags & (SYN | FIN))

    def step(self) -> Segment:
        packet = self.guest.receive()
        assert (packet.protocol, packet.source, packet.target) == (TCP, self.address, GUEST)
        segment = packets.parse_tcp(packet.body)
        assert segment is not None
        if segment.flags & RST:
            self.is_dead = True
        elif segment.flags & SYN:
            self.seen = segment.sequence + 1 & 0xFFFFFFFF
            self.ports = segment.target, segment.source
            self.emit(ACK if segment.flags & ACK else SYN | ACK)
        elif segment.sequence == self.seen:
            self.got += segment.body
            self.is_done |= bool(segment.flags & FIN)
            self.seen = self.seen + len(segment.body) + (segment.flags & FIN) & 0xFFFFFFFF
            if segment.body or segment.flags & FIN:
                self.emit(ACK)
        return segment


@contextlib.contextmanager
def server(serve: object) -> Iterator[int]:
    """Run *serve*(socket) for one connection; give the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            peer, _ = listener.accept()
            with peer, contextlib.suppress(OSError):
                serve(peer)  # type: ignore[operator]

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


def echo(peer: socket.socket) -> None:
    while data := peer.recv(65536):
        peer.sendall(data)


def test_a_connection(guest: Guest) -> None:
    with server(echo) as port:
        tcp = Tcp(guest, port)
        assert tcp.step().flags == SYN | ACK
        text = random.Random(1).randbytes(50_000)
        for at in range(0, len(text), 1460):
            tcp.emit(ACK | PSH, text[at : at + 1460])
        while len(tcp.got) < len(text):
            tcp.step()
        assert tcp.got == text
        tcp.emit(FIN | ACK)
        while not tcp.is_done:
            tcp.step()
        assert guest.is_quiet()
        assert not guest.network.connections


def test_a_way_in(guest: Guest) -> None:
    """Whoever connects to the host's port talks to the guest's, while it listens."""
    port = guest.network.forward(("127.0.0.1", 0), ("10.0.2.15", 22))
    guest.network.guest_mac = MAC
    with socket.create_connection(("127.0.0.1", port), 5) as caller:
        tcp = Tcp(guest, 0, local=22)
        first = tcp.step()
        assert (first.flags, first.target) == (SYN, 22)
        assert tcp.step().flags == ACK
        text = random.Random(3).randbytes(20_000)
        tcp.emit(ACK | PSH, b"SSH-2.0\n")
        tcp.step()
        assert caller.recv(100) == b"SSH-2.0\n"
        caller.sendall(text)
        caller.shutdown(socket.SHUT_WR)
        while not tcp.is_done:
            tcp.step()
        assert tcp.got == text
        tcp.emit(FIN | ACK)
        while guest.network.connections:
            tcp.step()
        assert caller.recv(1) == b""


def test_ways_in_that_lead_nowhere(guest: Guest) -> None:
    """A guest that refuses, and one that says nothing, end the caller's connection."""
    port = guest.network.forward(("127.0.0.1", 0), ("10.0.2.15", 22))
    guest.network.guest_mac = MAC
    with socket.create_connection(("127.0.0.1", port), 5) as caller:
        tcp = Tcp(guest, 0, local=22)
        packet = packets.parse_tcp(guest.receive().body)
        assert packet is not None
        tcp.ports, tcp.seen = (22, packet.source), packet.sequence + 1 & 0xFFFFFFFF
        tcp.emit(RST | ACK)
        assert caller.recv(1) == b""
    with socket.create_connection(("127.0.0.1", port), 5) as caller:
        guest.receive()
        for _ in range(13):
            guest.clock.hand.ns += 1_000_000_000
            guest.clock.run_due()
        assert not guest.network.connections
        assert caller.recv(1) == b""
    guest.network.hang_up()  # the guest's driver begins anew: ways in stay
    socket.create_connection(("127.0.0.1", port), 5).close()
    guest.network.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        guest.network.forward(taken.getsockname(), ("10.0.2.15", 22))


def test_the_host_ends_first_and_lost_segments_come_again(guest: Guest) -> None:
    text = random.Random(2).randbytes(80_000)
    with server(lambda peer: peer.sendall(text)) as port:
        tcp = Tcp(guest, port)
        draw, lost = random.Random(3), 0
        while not tcp.is_done:
            while not guest.frames:
                if not guest.poller.turn(0.01):
                    guest.clock.hand.ns += 1_000_000_000
                    guest.clock.run_due()
            if draw.random() < 0.05:
                guest.frames.pop(0)
                lost += 1
                continue
            segment = tcp.step()
            if segment.body and segment.sequence != tcp.seen - len(segment.body) & 0xFFFFFFFF:
                tcp.emit(ACK)
        assert tcp.got == text
        assert lost > 3
        tcp.emit(FIN | ACK)
        guest.is_quiet()
        assert not guest.network.connections


def test_windows(guest: Guest) -> None:
    """Nothing is sent that the guest has no room for."""
    with server(lambda peer: peer.sendall(b"x" * 5000)) as port:
        tcp = Tcp(guest, port)
        tcp.window = 1000
        tcp.step()
        tcp.window = 0
        assert len(tcp.step().body) == 1000
        assert guest.is_quiet()
        tcp.window = 65535
        tcp.emit(ACK)
        while not tcp.is_done:
            tcp.step()
        assert len(tcp.got) == 5000


def test_nobody_listens(guest: Guest) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for address, number in (
        (GATEWAY, port),
        (NAMES, 80),
        (b"\x0a\0\2\x63", 80),
        (b"\x7f\0\0\1", 80),
    ):
        tcp = Tcp(guest, number, address)
        assert tcp.step().flags == RST | ACK
    guest.send(packets.tcp(GUEST, GATEWAY, Segment(1, port, 5, 6, ACK, 0)))
    assert packets.parse_tcp(guest.receive().body)[4] == RST | ACK  # type: ignore[index]


def test_resets(guest: Guest) -> None:
    def wait(peer: socket.socket) -> None:
        with contextlib.suppress(ConnectionResetError):
            assert peer.recv(10) == b""

    with server(wait) as port:
        tcp = Tcp(guest, port)
        tcp.step()
        tcp.emit(RST)
        assert not guest.network.connections

    def break_off(peer: socket.socket) -> None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with server(break_off) as port:
        tcp = Tcp(guest, port)
        while not tcp.is_dead:
            tcp.step()
        assert not guest.network.connections


def test_udp_and_names() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        address = peer.getsockname()
        guest = Guest(resolver=address)
        for target, port in ((GATEWAY, address[1]), (NAMES, 53)):
            guest.send(packets.udp((GUEST, 5000), (target, port), b"question"))
            data, back = peer.recvfrom(100)
            assert data == b"question"
            peer.sendto(b"answer", back)
            packet = guest.receive()
            assert (packet.protocol, packet.source) == (UDP, target)
            assert packets.parse_udp(packet.body) == (port, 5000, b"answer")
        assert len(guest.network.flows) == 2
        guest.clock.hand.ns += 100_000_000_000
        guest.send(packets.udp((GUEST, 5001), (GATEWAY, address[1]), b"x"))
        assert len(guest.network.flows) == 1
        guest.network.close()
        guest.poller.close()
    assert host_resolver() is None or socket.inet_aton(host_resolver()[0])  # type: ignore[index]


def test_the_guest_gets_an_address(guest: Guest) -> None:
    def ask(kind: int, *options: bytes) -> dict[int, bytes]:
        head = struct.pack("!BBBBIHH16s16s192s", 1, 1, 6, 0, 77, 0, 0, bytes(16), MAC, bytes(192))
        body = head + b"\x63\x82\x53\x63\x35\1" + bytes([kind]) + b"".join(options) + b"\xff"
        guest.send(packets.udp((bytes(4), 68), (b"\xff" * 4, 67), body))
        packet = guest.receive()
        source, target, data = packets.parse_udp(packet.body)  # type: ignore[misc]
        assert (source, target, data[0], data[4:8]) == (67, 68, 2, b"\0\0\0\x4d")
        assert data[28:34] == MAC
        found, at = {0: data[16:20]}, 240
        while data[at] != 255:
            found[data[at]] = data[at + 2 : at + 2 + data[at + 1]]
            at += 2 + data[at + 1]
        return found

    offer = ask(1)
    assert (offer[0], offer[53], offer[3], offer[6]) == (GUEST, b"\2", GATEWAY, NAMES)
    assert ask(3, b"\x32\4" + GUEST)[53] == b"\5"
    assert ask(3, b"\x32\4\1\2\3\4")[53] == b"\6"


def test_arp_and_ping(guest: Guest) -> None:
    question = b"\0\1\x08\0\6\4\0\1" + MAC + GUEST + bytes(6) + GATEWAY
    guest.network.frame(packets.ethernet(b"\xff" * 6, MAC, ARP, question))
    reply = packets.parse_ethernet(guest.frames.pop())
    assert reply is not None
    assert reply[3] == b"\0\1\x08\0\6\4\0\2" + ROUTER_MAC + GATEWAY + MAC + GUEST
    guest.network.frame(packets.ethernet(b"\xff" * 6, MAC, ARP, question[:-1] + b"\x09"))
    body = b"\x08\0\0\0\0\1\0\2ping"
    body = body[:2] + packets.checksum(body).to_bytes(2, "big") + body[4:]
    guest.send(Datagram(GUEST, GATEWAY, ICMP, body))
    packet = guest.receive()
    assert packet.body[:2] + packet.body[4:] == b"\0\0\0\1\0\2ping"
    assert packets.checksum(packet.body) == 0
    assert guest.is_quiet()


def test_nonsense(guest: Guest) -> None:
    """Random frames do no harm, and go nowhere."""
    draw = random.Random(1)
    for _ in range(3000):
        body = draw.randbytes(draw.randrange(60))
        target = draw.choice([GATEWAY, NAMES, b"\xff" * 4, b"\xe0\0\0\1"])
        packet = Datagram(GUEST, target, draw.choice([TCP, UDP, ICMP, 2]), body)
        frame = packets.ethernet(ROUTER_MAC, MAC, draw.choice([IPV4, ARP]), packets.ipv4(packet))
        cut = bytearray(frame[: draw.randrange(len(frame) + 1)] if draw.random() < 0.3 else frame)
        if cut and draw.random() < 0.3:
            cut[draw.randrange(len(cut))] ^= draw.randrange(256)
        if packet.protocol != UDP and packet.target != GATEWAY:
            guest.network.frame(bytes(cut))
    assert len(guest.network.connections) < 10


@pytest.mark.parametrize("modern", [False, True])
def test_over_virtio(modern: bool) -> None:
    sent: list[bytes] = []
    device = VirtioNet(ram(), sent.append)
    driver = Driver(device, modern=modern)
    head = 12 if modern else 10
    driver.offer(1, bytes(head), b"f" * 60)
    driver.notify(1)
    assert sent == [b"f" * 60]
    device.receive(b"early" * 20)
    (place,) = driver.offer(0, 1600)
    driver.notify(0)
    assert driver.used(0) == [head + 100]
    assert driver.physical.read(place + head, 100) == b"early" * 20
    assert driver.physical.read(place, head) == (bytes(10) + b"\1\0" if modern else bytes(10))
    assert bytes(device.config) == MAC + b"\1\0"
