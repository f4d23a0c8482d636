"""A PS/2 mouse with three or five buttons and a wheel: host's movements -> packets.

IBM, Personal System/2 Hardware Interface Technical Reference, *Mouse*: commands and packets. The
wheel's packets and the rates that ask for them are Microsoft's IntelliMouse: 200, 100, 80 gives
identity 3, then 200, 200, 80 identity 4 with two more buttons.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from runtime.clock import SECOND, Clock

_ACK, _RESEND = 0xFA, 0xFE
_SCALED = (0, 1, 1, 3, 6, 9)  # 2:1 scaling, in stream mode; from 6 on twice as much
_LIMIT = 255  # of a movement in one packet
_QUEUED_MAX = 256
LEFT, RIGHT, MIDDLE, SIDE, EXTRA = 1, 2, 4, 8, 16


class Mouse:
    """The device at the other end of the cable; the controller calls `receive` and `take`."""

    def __init__(self, clock: Clock) -> None:
        """Begin as after a reset that succeeded: it says nothing until it is enabled."""
        self.clock = clock
        self.on_output: Callable[[], None] = lambda: None
        self._replies: deque[int] = deque()
        self._packet: deque[int] = deque()
        self._moves: deque[list[int]] = deque()  # dx, dy, dz, buttons; dy grows downwards
        self._sending = clock.timer(self._send)
        self._next = 0
        self._last = 0
        self.buttons = 0
        self._reset()

    def _reset(self) -> None:
        self.identity = 0
        self._is_wrapping = False
        self._set_defaults()

    def _set_defaults(self) -> None:
        self.rate, self.resolution, self.scales = 100, 2, False
        self.is_enabled, self.is_remote = False, False
        self._rates = [0, 0, 0]
        self._command: int | None = None
        self._packet.clear()
        self._moves.clear()

    # -- host side ---------------------------------------------------------------------------------
    def move(self, dx: int = 0, dy: int = 0, buttons: int | None = None, dz: int = 0) -> None:
        """Move by counts (dy down, dz of the wheel towards the user); *buttons* is a set of bits.

        1 left, 2 right, 4 middle, 8 and 16 those at the side; None leaves them as they are.
        """
        buttons = self.buttons if buttons is None else buttons & 31
        if not self.is_enabled and not self.is_remote:
            self.buttons = buttons
            return
        moves = self._moves
        if moves and (moves[-1][3] == buttons or len(moves) >= _QUEUED_MAX):
            last = moves[-1]
            last[:] = [last[0] + dx, last[1] + dy, last[2] + dz, buttons]
        elif dx or dy or dz or buttons != (moves[-1][3] if moves else self.buttons):
            moves.append([dx, dy, dz, buttons])
        self._send()

    @property
    def is_idle(self) -> bool:
        """Whether the guest has read all movements."""
        return not (self._moves or self._packet)

    def _send(self) -> None:
        """Make the next packet, at the sample rate, when the last one has been taken."""
        if not self.is_enabled or self.is_remote or self._is_wrapping:
            return
        if self._packet or not self._moves:
            return
        now = self.clock.now()
        if now < self._next:
            self._sending.set(self._next)
            return
        self._next = now + SECOND // max(self.rate, 1)
        self._packet.extend(self._sample(self.scales))
        self.on_output()

    def _sample(self, scales: bool = False) -> list[int]:
        """Take a packet from what has moved."""
        move = self._moves[0] if self._moves else [0, 0, 0, self.buttons]
        self.buttons = move[3]
        taken = [max(-_LIMIT, min(_LIMIT, move[0])), max(-_LIMIT, min(_LIMIT, move[1]))]
        wheel = max(-8, min(7, move[2]))
        for i, part in enumerate((*taken, wheel)):
            move[i] -= part
        if self._moves and (not any(move[:3]) or (not self.identity and not any(move[:2]))):
            self._moves.popleft()
        dx, dy = taken[0], -taken[1]
        if scales:
            dx, dy = _scaled(dx), _scaled(dy)
        first = self.buttons & 7 | 8 | (dx < 0) << 4 | (dy < 0) << 5
        packet = [first, dx & 0xFF, dy & 0xFF]
        if self.identity == 3:
            packet.append(wheel & 0xFF)
        elif self.identity == 4:
            packet.append(wheel & 0xF | (self.buttons >> 3 & 3) << 4)
        return packet

    # -- controller side ---------------------------------------------------------------------------
    @property
    def has_reply(self) -> bool:
        """Whether the next byte answers a command."""
        return bool(self._replies)

    @property
    def has_output(self) -> bool:
        """Whether there is a byte to take."""
        return bool(self._replies or self._packet)

    def take(self) -> int:
        """Return the next byte for the controller."""
        if self._replies:
            self._last = self._replies.popleft()
        else:
            self._last = self._packet.popleft()
            self._send()
        return self._last

    def receive(self, byte: int) -> None:
        """Take a byte from the controller: a command, or what a command waits for."""
        command, self._command = self._command, None
        self._packet.clear()
        if self._is_wrapping and byte not in (0xEC, 0xFF):
            self._replies.append(byte)
        elif command is not None:
            self._parameter(command, byte)
        else:
            self._begin(byte)
        if self._replies:
            self.on_output()

    def _parameter(self, command: int, byte: int) -> None:
        self._replies.append(_ACK)
        if command == 0xE8:
            self.resolution = byte & 3
            return
        self.rate = byte
        self._rates = [*self._rates[1:], byte]
        if self._rates == [200, 100, 80] and self.identity == 0:
            self.identity = 3
        elif self._rates == [200, 200, 80] and self.identity == 3:
            self.identity = 4

    def _begin(self, command: int) -> None:
        if command == 0xFE:
            self._replies.append(self._last)
            return
        if command < 0xE6 or command in (0xED, 0xEF, 0xF1) or 0xF7 <= command <= 0xFD:
            self._replies.append(_RESEND)
            return
        self._replies.append(_ACK)
        if command in (0xE8, 0xF3):
            self._command = command
        elif command in (0xE6, 0xE7):
            self.scales = command == 0xE7
        elif command == 0xE9:
            flags = self.is_remote << 6 | self.is_enabled << 5 | self.scales << 4
            pressed = (self.buttons & 1) << 2 | (self.buttons & 4) >> 1 | (self.buttons & 2) >> 1
            self._replies.extend((flags | pressed, self.resolution, self.rate))
        elif command == 0xEB:
            self._replies.extend(self._sample())
        elif command in (0xEC, 0xEE):
            self._is_wrapping = command == 0xEE
        elif command == 0xF2:
            self._replies.append(self.identity)
        elif command == 0xFF:
            self._reset()
            self._replies.extend((0xAA, 0x00))
        else:
            self._set_mode(command)

    def _set_mode(self, command: int) -> None:
        if command in (0xEA, 0xF0):
            self.is_remote = command == 0xF0
            self._packet.clear()
        elif command == 0xF6:
            self._set_defaults()
        else:  # F4, F5
            self.is_enabled = command == 0xF4
            self._packet.clear()
            self._moves.clear()


def _scaled(count: int) -> int:
    size = _SCALED[abs(count)] if abs(count) < len(_SCALED) else min(2 * abs(count), _LIMIT)
    return -size if count < 0 else size
