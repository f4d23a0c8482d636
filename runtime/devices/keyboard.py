"""A PS/2 keyboard: host's keys -> scan codes, at the pace at which the guest reads them.

IBM, Personal System/2 Hardware Interface Technical Reference, *Keyboards (101- and 102-key)*:
commands, scan code sets, typematic rates.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from runtime.clock import Clock
from runtime.devices import keys
from runtime.devices.keys import KEYS, TRANSLATED

_MS = 1_000_000  # ns
_ACK, _RESEND, _ECHO, _TEST_PASSED = 0xFA, 0xFE, 0xEE, 0xAA
_IDENTITY = (0xAB, 0x83)
_DEFAULT_RATE = 0x2B  # 10.9 characters a second after 500 ms
_HOLD, _GAP = 12 * _MS, 8 * _MS  # of a typed key; faster than anybody types
_PATIENCE = 500 * _MS  # how long at most keys wait until the guest took the last ones
_LOOK = 5 * _MS  # how often is asked whether it did


class _Event(NamedTuple):
    key: str
    is_down: bool
    wait: int  # ns before the next event
    is_first: bool  # of a stroke: may wait for the guest


class Keyboard:
    """The device at the other end of the cable; the controller calls `receive` and `take`."""

    def __init__(self, clock: Clock) -> None:
        """Begin as after a reset that succeeded, scanning in set 2."""
        self.clock = clock
        # Called when there is something to take.
        self.on_output: Callable[[], None] = lambda: None
        # Whether the guest has taken what was typed before, as far as the machine can say.
        self.is_ready: Callable[[], bool] = lambda: True
        self.leds = 0  # 1 scroll lock, 2 num lock, 4 caps lock
        self.on_leds: Callable[[int], None] = lambda leds: None
        self.held: dict[str, None] = {}  # in the order in which they were pressed
        self._replies: deque[int] = deque()
        self._codes: deque[int] = deque()
        self._events: deque[_Event] = deque()
        self._feeding = clock.timer(self._feed)
        self._repeating = clock.timer(self._repeat)
        self._next = 0  # when the next event may follow, in ns
        self._waits_since: int | None = None
        self._last = 0  # byte sent last
        self._set_defaults()
        self.is_scanning = True

    def _set_defaults(self) -> None:
        self.set = 2
        self.rate = _DEFAULT_RATE
        self._command: int | None = None  # whose parameter is awaited
        # of set 3: which keys say when they are released, and which repeat
        self._breaking = set(keys.SET3_MAKE_BREAK)
        self._typematic = set(KEYS) - keys.SET3_MAKE_BREAK - keys.SET3_MAKE
        self._codes.clear()
        self._repeated: str | None = None
        self._repeating.cancel()

    # -- host side ---------------------------------------------------------------------------------
    def key(self, name: str, is_down: bool) -> None:
        """Press or release a key, as soon as the guest has taken what came before.

        ValueError: there is no such key.
        """
        self._queue([_Event(keys.key_named(name), is_down, 0, False)])

    def press(self, chord: str, hold: float = 0.1) -> None:
        """Press keys together, as in "ctrl-alt-del", for *hold* s of guest time; ValueError."""
        self._queue(_stroke(keys.chord(chord), int(hold * 1e9), 4 * _GAP))

    def type(self, text: str) -> None:
        """Type a text on the US layout; ValueError: it has a character without a key."""
        for stroke in keys.strokes(text):
            self._queue(_stroke(stroke, _HOLD, _GAP))

    @property
    def is_idle(self) -> bool:
        """Whether everything that was typed has been read by the guest."""
        return not (self._events or self._codes)

    def _queue(self, events: Iterable[_Event]) -> None:
        self._events.extend(events)
        self._feed()

    def _feed(self) -> None:
        """Let events become scan codes: the next when the guest has taken the last."""
        while self._events and self.is_scanning and not self._codes:
            now, event = self.clock.now(), self._events[0]
            if now < self._next:
                self._feeding.set(self._next)
                return
            if event.is_first and not self._may_begin(now):
                self._feeding.set(now + _LOOK)
                return
            self._events.popleft()
            self._next = now + event.wait
            self._change(event.key, event.is_down)

    def _may_begin(self, now: int) -> bool:
        if not self.is_ready():
            if self._waits_since is None:
                self._waits_since = now
            if now - self._waits_since < _PATIENCE:
                return False
        self._waits_since = None
        return True

    # -- scan codes --------------------------------------------------------------------------------
    def _change(self, key: str, is_down: bool) -> None:
        if is_down == (key in self.held):
            return  # the host's own repetition
        codes = self._scan_codes(key, is_down)
        if is_down:
            self.held[key] = None
            if self._repeats(key):
                self._repeated = key
                self._repeating.set(self.clock.now() + ((self.rate >> 5 & 3) + 1) * 250 * _MS)
        else:
            del self.held[key]
            if key == self._repeated:
                self._repeated = None
                self._repeating.cancel()
        self._send_codes(codes)  # last: if the guest reads at once, the next event comes at once

    def _repeat(self) -> None:
        """Send the key pressed last again, while it is held."""
        if self._repeated is None or not self.is_scanning:
            return
        if not self._codes:
            self._send_codes(self._scan_codes(self._repeated, True))
        # period = (8 + A) * 2^B * 4.17 ms
        period = (8 + (self.rate & 7)) * (1 << (self.rate >> 3 & 3)) * 4_170_000
        self._repeating.set(self.clock.now() + period)

    def _repeats(self, key: str) -> bool:
        if self.set == 3:
            return key in self._typematic
        return key != "pause"

    def _scan_codes(self, key: str, is_down: bool) -> list[int]:
        if self.set == 3:
            if not (code := KEYS[key].three) or not (is_down or key in self._breaking):
                return []
            return [code] if is_down else [0xF0, code]
        codes = self._special(key, is_down) if key in ("print", "pause") else None
        if codes is None:
            two = KEYS[key].two
            codes = [0xE0] * (two > 0xFF) + [0xF0] * (not is_down) + [two & 0xFF]
        return codes if self.set == 2 else list(translate(codes))

    def _special(self, key: str, is_down: bool) -> list[int]:
        """Return what the two keys send that older keyboards had as combinations, in set 2."""
        is_control = "ctrl" in self.held or "ctrl_r" in self.held
        if key == "pause":
            if not is_down:
                return []
            text = "e0 7e e0 f0 7e" if is_control else "e1 14 77 e1 f0 14 f0 77"
        elif "alt" in self.held or "alt_r" in self.held:
            text = "84" if is_down else "f0 84"
        elif is_control or "shift" in self.held or "shift_r" in self.held:
            text = "e0 7c" if is_down else "e0 f0 7c"
        else:
            text = "e0 12 e0 7c" if is_down else "e0 f0 7c e0 f0 12"
        return list(bytes.fromhex(text))

    def _send_codes(self, codes: list[int]) -> None:
        self._codes.extend(codes)
        if codes:
            self.on_output()

    # -- controller side ---------------------------------------------------------------------------
    @property
    def has_reply(self) -> bool:
        """Whether the next byte answers a command."""
        return bool(self._replies)

    @property
    def has_output(self) -> bool:
        """Whether there is a byte to take."""
        return bool(self._replies or self._codes)

    def take(self) -> int:
        """Return the next byte for the controller."""
        if self._replies:
            self._last = self._replies.popleft()
        else:
            self._last = self._codes.popleft()
            self._feed()
        return self._last

    def receive(self, byte: int) -> None:
        """Take a byte from the controller: a command, or what a command waits for."""
        command, self._command = self._command, None
        if command is not None and (byte < 0xED or command == 0xF0):
            self._parameter(command, byte)
        else:
            self._begin(byte)
        if self._replies:
            self.on_output()
        self._feed()

    def _begin(self, command: int) -> None:
        if command == 0xFE:
            self._replies.append(self._last)
        elif command == 0xEE:
            self._replies.append(_ECHO)
        elif command < 0xED or command in (0xEF, 0xF1):
            self._replies.append(_RESEND)
        else:
            self._replies.append(_ACK)
            if command in (0xED, 0xF0, 0xF3, 0xFB, 0xFC, 0xFD):
                self._command = command
            elif command == 0xF2:
                self._replies.extend(_IDENTITY)
            elif command == 0xF4:
                self._codes.clear()
                self.is_scanning = True
            elif command in (0xF5, 0xF6):
                self._set_defaults()
                self.is_scanning = command == 0xF6
            elif command == 0xFF:
                self._set_defaults()
                self.leds = 0
                self.is_scanning = True
                self._replies.append(_TEST_PASSED)
            else:
                self._set_all(command)

    def _set_all(self, command: int) -> None:
        """Let all keys of set 3 repeat (F7, FA), say when released (F8, FA), or neither (F9)."""
        self._typematic = set(KEYS) if command in (0xF7, 0xFA) else set()
        self._breaking = set(KEYS) if command in (0xF8, 0xFA) else set()

    def _parameter(self, command: int, byte: int) -> None:
        if command == 0xF0:
            if byte > 3:
                self._replies.append(_RESEND)
                self._command = command
                return
            self._replies.append(_ACK)
            if byte:
                self.set = byte
                self._codes.clear()
            else:
                self._replies.append(self.set)
            return
        self._replies.append(_ACK)
        if command == 0xED:
            self.leds = byte & 7
            self.on_leds(self.leds)
        elif command == 0xF3:
            self.rate = byte & 0x7F
        else:  # one key after the other, until a command comes
            self._command = command
            for name, key in KEYS.items():
                if key.three == byte:
                    self._typematic.discard(name)
                    self._breaking.discard(name)
                    if command == 0xFB:
                        self._typematic.add(name)
                    elif command == 0xFC:
                        self._breaking.add(name)


def translate(codes: Iterable[int]) -> Iterable[int]:
    """Turn set 2 into set 1, as the 8042 does."""
    is_break = 0
    for code in codes:
        if code == 0xF0:
            is_break = 0x80
        else:
            yield TRANSLATED[code] | is_break
            is_break = 0


def _stroke(names: tuple[str, ...], hold: int, gap: int) -> list[_Event]:
    """Press keys one after the other, hold them, release them in reverse."""
    downs = [_Event(name, True, 0, i == 0) for i, name in enumerate(names)]
    downs[-1] = downs[-1]._replace(wait=hold)
    ups = [_Event(name, False, 0, False) for name in reversed(names)]
    ups[-1] = ups[-1]._replace(wait=gap)
    return downs + ups
