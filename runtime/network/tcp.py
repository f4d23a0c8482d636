"""One TCP connection of the guest's, ended here, and carried on by a socket of the host.

Source: RFC 793. What the guest sends is taken in order only; what it has not acknowledged is sent
again. The wire between it and here loses nothing but what the guest itself drops.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable

from runtime.clock import SECOND, Clock
from runtime.network.packets import Segment
from runtime.network.poller import READ, WRITE, Poller

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
_MSS = 1460
_BUFFER = 65535  # bytes on their way, each direction; no window scaling
_AGAIN, _TRIES = SECOND // 2, 12
_MOD = 0xFFFFFFFF

Send = Callable[[Segment, bytes], None]  # and TCP options


class Connection:
    """Both halves of a connection; `is_over` once nothing is left of it."""

    def __init__(
        self,
        clock: Clock,
        poller: Poller,
        key: tuple[int, bytes, int],
        send: Send,
        ended: Callable[[], None],
    ) -> None:
        """Begin with `connect` or `call`. *key*: the guest's port, our address, our port."""
        self.poller, self.send, self.ended = poller, send, ended
        self.ports = key[2], key[0]
        self.expected = 0  # of the guest's numbers
        self.sent = self.acknowledged = 0  # of ours
        self.window = 0
        self.greeting = SYN | ACK
        self.is_open = self.is_over = False
        self.unacknowledged = bytearray()
        self.to_host = bytearray()
        self.guest_done = self.host_done = False  # a FIN came, the host ended
        self.is_shut, self.fin_sent = False, False
        self.tries = 0
        self._timer = clock.timer(self._send_again)
        self.clock = clock
        self.socket: socket.socket

    def connect(self, target: tuple[str, int], first: Segment) -> None:
        """Connect to *target* for the guest, whose SYN is *first*; OSError."""
        self.expected = first.sequence + 1 & _MOD
        self.sent = self.acknowledged = first.sequence ^ 0x5A5A5A5A
        self.window = first.window
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        if self.socket.connect_ex(target) not in (0, errno.EINPROGRESS):
            self.reset()
            return
        self.poller.watch(self.socket.fileno(), WRITE, self._connected)

    def call(self, peer: socket.socket) -> None:
        """Connect to the guest for *peer*, which is connected."""
        self.socket, self.greeting = peer, SYN
        peer.setblocking(False)
        self.sent = self.acknowledged = self.clock.now() // 4000 & _MOD  # RFC 793, 3.3
        self._greet()

    # -- towards the guest -------------------------------------------------------------------------
    def _emit(self, flags: int, body: bytes = b"", at: int | None = None) -> None:
        window = max(0, _BUFFER - len(self.to_host))
        number = self.sent if at is None else at
        segment = Segment(*self.ports, number, self.expected, flags, window, body)
        self.send(segment, b"\2\4" + _MSS.to_bytes(2, "big") if flags & SYN else b"")

    def _connected(self) -> None:
        try:
            self.socket.getpeername()
        except OSError:  # failed, or not yet: a number of another, closed socket may have woken us
            if not self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self.poller.watch(self.socket.fileno(), WRITE, self._connected)
            else:
                self.reset()
            return
        self._greet()

    def _greet(self) -> None:
        self._emit(self.greeting)
        self.sent = self.sent + 1 & _MOD
        self._expect_answer()

    def _expect_answer(self) -> None:
        if self.acknowledged != self.sent:
            if self._timer.when is None:
                self._timer.set(self.clock.now() + _AGAIN)
        else:
            self._timer.cancel()

    def _send_again(self) -> None:
        self.tries += 1
        if self.tries > _TRIES:
            self.reset()
            return
        if not self.is_open:
            self._emit(self.greeting, at=self.acknowledged)
        elif self.unacknowledged:
            self._emit(ACK | PSH, bytes(self.unacknowledged[:_MSS]), self.acknowledged)
        elif self.fin_sent:
            self._emit(FIN | ACK, at=self.acknowledged)
        self._expect_answer()

    @property
    def _room(self) -> int:
        """Bytes that the guest can still take."""
        return min(self.window, _BUFFER) - len(self.unacknowledged)

    def _pump(self) -> None:
        """Fetch from the host what the guest has room for."""
        if self.is_over or not self.is_open:
            return
        while not self.host_done:
            room = self._room
            if room <= 0:
                return  # the next acknowledgement comes back here
            try:
                data = self.socket.recv(min(room, _MSS))
            except BlockingIOError:
                self._watch()
                return
            except OSError:
                self.reset()
                return
            if not data:
                self.host_done = True
                break
            self._emit(ACK | PSH, data)
            self.unacknowledged += data
            self.sent = self.sent + len(data) & _MOD
            self._expect_answer()
        if self.host_done and not self.fin_sent:
            self.fin_sent = True
            self._emit(FIN | ACK)
            self.sent = self.sent + 1 & _MOD
            self._expect_answer()
        self._watch()

    def _watch(self) -> None:
        """Wait for what the host is to do next."""
        events = 0 if self.host_done or self._room <= 0 else READ
        if self.to_host:
            events |= WRITE
        if events and not self.is_over:
            self.poller.watch(self.socket.fileno(), events, self._ready)

    def _ready(self) -> None:
        self._flush()
        self._pump()
        self._finish()

    # -- from the guest ----------------------------------------------------------------------------
    def take(self, segment: Segment) -> None:
        """Act on a segment of the guest."""
        if segment.flags & RST:
            self._end()
            return
        if segment.flags & SYN:
            if self.greeting == SYN:
                self._called(segment)
            elif self.sent != self.acknowledged and not self.is_open:
                self._emit(SYN | ACK, at=self.acknowledged)
            return
        if not segment.flags & ACK or (self.sent == self.acknowledged and not self.is_open):
            return
        if not self.is_open and self.greeting == SYN:
            return  # of an older connection: the guest will answer our SYN
        self._acknowledge(segment)
        if self.is_open:
            self._accept(segment)
            self._flush()
            self._pump()
            self._finish()

    def _called(self, segment: Segment) -> None:
        """Go on when the guest accepts."""
        if segment.flags & ACK and not self.is_open and segment.acknowledged == self.sent:
            self.expected = segment.sequence + 1 & _MOD
            self._acknowledge(segment)
        if self.is_open:
            self._emit(ACK)
            self._pump()

    def _acknowledge(self, segment: Segment) -> None:
        self.window = segment.window
        count = segment.acknowledged - self.acknowledged & _MOD
        if not count or count > (self.sent - self.acknowledged & _MOD):
            return
        self.acknowledged, self.tries = segment.acknowledged, 0
        self._timer.cancel()
        self._expect_answer()
        if not self.is_open:
            self.is_open = True
            count -= 1
        del self.unacknowledged[:count]

    def _accept(self, segment: Segment) -> None:
        """Take data that is next, and the FIN behind it; answer everything else with what is."""
        body, skip = segment.body, self.expected - segment.sequence & _MOD
        if not body and not segment.flags & FIN:
            return
        is_next = skip <= len(body) and not self.guest_done
        if is_next:
            room = _BUFFER - len(self.to_host)
            data = body[skip : skip + room]
            self.to_host += data
            self.expected = self.expected + len(data) & _MOD
            if segment.flags & FIN and skip + len(data) == len(body):
                self.guest_done = True
                self.expected = self.expected + 1 & _MOD
        self._emit(ACK)

    def _flush(self) -> None:
        """Give the host what it takes."""
        was_full = len(self.to_host) >= _BUFFER - _MSS
        while self.to_host and not self.is_over:
            try:
                del self.to_host[: self.socket.send(self.to_host)]
            except BlockingIOError:
                self._watch()
                break
            except OSError:
                self.reset()
                return
        if was_full and len(self.to_host) < _BUFFER - _MSS and not self.is_over:
            self._emit(ACK)  # the window is open again
        if self.guest_done and not self.to_host and not self.is_shut and not self.is_over:
            self.is_shut = True
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)

    # -- ends --------------------------------------------------------------------------------------
    def _finish(self) -> None:
        if self.is_shut and self.fin_sent and self.sent == self.acknowledged:
            self._end()

    def reset(self) -> None:
        """Tell the guest that the connection is dead."""
        if not self.is_over:
            self._emit(RST | ACK)
            self._end()

    def _end(self) -> None:
        if not self.is_over:
            self.is_over = True
            self.close()
            self.ended()

    def close(self) -> None:
        """Give the socket back."""
        self.is_over = True
        self._timer.cancel()
        self.poller.forget(self.socket.fileno())
        self.socket.close()
