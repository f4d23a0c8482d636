"""The 8042 with keyboard and mouse on a bare bus."""

from __future__ import annotations

import random

import pytest

from runtime.bus import Bus, Line
from runtime.clock import Clock
from runtime.devices import keys
from runtime.devices.ps2 import Ps2
from runtime.system.physical import Physical

pytestmark = pytest.mark.particular
FULL, AUX = 1, 0x20


class Still:
    """A time that only tests move."""

    ns = 0

    def now(self) -> int:
        """Return what was set."""
        return self.ns


class Board:
    """A controller, and a guest that polls it."""

    def __init__(self) -> None:
        self.time = Still()
        self.clock = Clock(self.time)
        self.bus = Bus(Physical(4096))
        self.irqs: list[str] = []
        self.resets = 0
        self.a20 = Line()
        self.ps2 = Ps2(
            self.bus, self.clock, self.irq("1"), self.irq("12"), self.a20, Line(self.count_reset)
        )

    def irq(self, name: str) -> Line:
        return Line(lambda level: self.irqs.append(name) if level else None)

    def count_reset(self, level: bool) -> None:
        self.resets += level

    def command(self, command: int, *data: int) -> None:
        self.bus.port_out(0x64, command, 1)
        for byte in data:
            self.bus.port_out(0x60, byte, 1)

    def send(self, *data: int) -> None:
        for byte in data:
            self.bus.port_out(0x60, byte, 1)

    def mouse(self, *data: int) -> None:
        for byte in data:
            self.command(0xD4, byte)

    def read(self, ms: int = 3000) -> bytes:
        """Return what comes within *ms* of guest time, keyboard and mouse."""
        found, end = bytearray(), self.time.ns + ms * 1_000_000
        while True:
            self.clock.run_due()
            if self.bus.port_in(0x64, 1) & FULL:
                found.append(self.bus.port_in(0x60, 1))
                continue
            when = self.clock.next_event()
            if when is None or when > end:
                self.time.ns = end
                return bytes(found)
            self.time.ns = max(self.time.ns, when)


def test_translation_and_sets_agree() -> None:
    """The controller's table makes of each key's code in set 2 that of set 1."""
    for name, key in keys.KEYS.items():
        if key.two:
            assert keys.TRANSLATED[key.two & 0xFF] | key.two & 0xFF00 == key.one, name


def test_self_tests() -> None:
    """Controller, lines and both devices say that they are well, with translation off."""
    board = Board()
    board.command(0xAA)
    assert board.read() == b"\x55"
    board.command(0xAB)
    board.command(0xA9)
    assert board.read() == b"\0\0"
    board.command(0x60, 0x03)
    board.send(0xFF)
    assert board.read() == b"\xfa\xaa"
    board.send(0xF2)
    assert board.read() == b"\xfa\xab\x83"
    board.mouse(0xFF)
    assert board.read() == b"\xfa\xaa\0"
    board.mouse(0xF2)
    assert board.read() == b"\xfa\0"


def test_answers_raise_their_irq() -> None:
    """A byte in the output buffer drives IRQ 1 or 12, and status says whose it is."""
    board = Board()
    board.irqs.clear()
    board.send(0xEE)
    assert board.irqs == ["1"]
    assert board.bus.port_in(0x64, 1) & (FULL | AUX) == FULL
    assert board.read() == b"\xee"
    board.mouse(0xF4)
    assert board.irqs == ["1", "12"]
    assert board.bus.port_in(0x64, 1) & (FULL | AUX) == FULL | AUX
    assert board.read() == b"\xfa"
    board.command(0x60, 0x40)  # no interrupts
    board.irqs.clear()
    board.send(0xEE)
    assert board.read() == b"\xee"
    assert board.irqs == []
    board.command(0xD2, 0x77)
    board.command(0xD3, 0x88)
    assert board.read() == b"\x77\x88"


@pytest.mark.parametrize(
    ("mode", "scan_set", "chord", "codes"),
    [
        (0x41, 2, "a", "1e 9e"),
        (0x41, 2, "A", "2a 1e 9e aa"),
        (0x41, 2, "ctrl-alt-delete", "1d 38 e0 53 e0 d3 b8 9d"),
        (0x41, 2, "up", "e0 48 e0 c8"),
        (0x41, 2, "print", "e0 2a e0 37 e0 b7 e0 aa"),
        (0x41, 2, "alt-print", "38 54 d4 b8"),
        (0x41, 2, "pause", "e1 1d 45 e1 9d c5"),
        (0x41, 2, "ctrl-pause", "1d e0 46 e0 c6 9d"),
        (0x41, 2, "f7", "41 c1"),
        (0x01, 2, "f7", "83 f0 83"),
        (0x01, 2, "A", "12 1c f0 1c f0 12"),
        (0x01, 2, "pause", "e1 14 77 e1 f0 14 f0 77"),
        (0x01, 1, "A", "2a 1e 9e aa"),
        (0x01, 1, "kp_enter", "e0 1c e0 9c"),
        (0x01, 3, "A", "12 1c f0 12"),
        (0x01, 3, "home", "6e"),
    ],
)
def test_codes(mode: int, scan_set: int, chord: str, codes: str) -> None:
    """Keys send what IBM's tables say, in each set, translated or not."""
    board = Board()
    board.command(0x60, mode)
    board.send(0xF0, scan_set)
    board.read()
    board.ps2.keyboard.press(chord)
    assert board.read().hex(" ") == codes


def test_text_waits_for_its_reader() -> None:
    """A long text comes whole, however late it is read, and no byte is read twice."""
    board = Board()
    board.ps2.keyboard.type("Dir\n" * 200)
    board.time.ns += 10**10
    codes = board.read(60_000)
    assert codes == bytes.fromhex("2a 20 a0 aa 17 97 13 93 1c 9c") * 200
    assert board.ps2.keyboard.is_idle


def test_typing_waits_until_the_guest_is_ready_but_not_for_ever() -> None:
    """The next stroke comes when the guest took the last, or after half a second."""
    board = Board()
    keyboard = board.ps2.keyboard
    keyboard.is_ready = lambda: board.time.ns > 200_000_000
    keyboard.type("a")
    assert board.read(150) == b""
    assert board.read(150) == b"\x1e\x9e"
    keyboard.is_ready = lambda: False
    keyboard.type("b")
    assert board.read(450) == b""
    assert board.read(200) == b"\x30\xb0"


def test_a_held_key_repeats() -> None:
    """After the delay, at the rate, until it is released; a shift does not."""
    board = Board()
    board.send(0xF3, 0x00)  # 250 ms, 30 a second
    board.read()
    board.ps2.keyboard.key("x", True)
    codes = board.read(1260)
    assert set(codes) == {0x2D}
    assert 29 <= len(codes) <= 32
    board.ps2.keyboard.key("x", True)  # the host repeats
    board.ps2.keyboard.key("x", False)
    assert board.read() == b"\xad"


def test_a_handler_may_read_a_scan_code_twice() -> None:
    """Behind the code that was read comes the next only when the cable brought it."""
    board = Board()
    board.ps2.keyboard.type("ab")
    assert board.bus.port_in(0x60, 1) == 0x1E
    assert board.bus.port_in(0x60, 1) == 0x1E
    assert board.read() == bytes.fromhex("9e 30 b0")


def test_leds_and_scan_set_are_kept() -> None:
    """ED and F0 take a parameter; a command in its place is a command."""
    board, seen = Board(), []
    board.ps2.keyboard.on_leds = seen.append
    board.send(0xED, 0x05)
    assert seen == [5]
    board.command(0x60, 0x01)
    board.read()
    board.send(0xED, 0xEE)
    assert board.read() == b"\xfa\xee"
    board.send(0xF0, 0)
    assert board.read() == b"\xfa\xfa\x02"
    board.send(0xFE)
    assert board.read() == b"\x02"
    board.send(0x12)
    assert board.read() == b"\xfe"


def test_disabled_devices_say_nothing() -> None:
    """What is disabled at the controller comes when it is enabled; F5 stops the keyboard."""
    board = Board()
    board.command(0xAD)
    board.ps2.keyboard.type("a")
    assert board.read() == b""
    board.command(0xAE)
    assert board.read() == b"\x1e\x9e"
    board.send(0xF5)
    board.read()
    board.ps2.keyboard.type("b")
    assert board.read() == b""
    board.send(0xF4)
    assert board.read() == b"\xfa\x30\xb0"


def test_mouse_packets() -> None:
    """Movements add up until they are read; buttons are never lost; y grows upwards."""
    board = Board()
    board.mouse(0xF4)
    assert board.read() == b"\xfa"
    mouse = board.ps2.mouse
    mouse.move(5, -3)
    mouse.move(1, 0)
    mouse.move(buttons=1)
    mouse.move(buttons=0)
    mouse.move(-300, 300, 2)
    moved = "08 05 03  08 01 00  09 00 00  08 00 00  3a 01 01  3a d3 d3"
    assert board.read() == bytes.fromhex(moved)


def test_mouse_wheel_and_five_buttons() -> None:
    """The magic rates make packets of four bytes."""
    board = Board()
    board.mouse(0xF3, 200, 0xF3, 100, 0xF3, 80, 0xF2, 0xF4)
    assert board.read() == b"\xfa" * 7 + b"\x03\xfa"
    board.ps2.mouse.move(dz=-1)
    assert board.read() == b"\x08\0\0\xff"
    board.mouse(0xF3, 200, 0xF3, 200, 0xF3, 80, 0xF2)
    assert board.read() == b"\xfa" * 7 + b"\x04"
    board.ps2.mouse.move(1, 1, 0x10 | 1, 1)
    assert board.read() == b"\x29\x01\xff\x21"


def test_mouse_modes() -> None:
    """Remote mode answers when asked, wrap mode echoes, E9 says how it is set."""
    board = Board()
    board.mouse(0xF0, 0xE8, 3, 0xF3, 40, 0xE7, 0xE9)
    assert board.read() == b"\xfa" * 7 + b"\x50\x03\x28"
    board.ps2.mouse.move(7, 0, 4)
    assert board.read() == b""
    board.mouse(0xEB)
    assert board.read() == b"\xfa\x0c\x07\0"
    board.mouse(0xEE, 0x12, 0xF4, 0xEC)
    assert board.read() == b"\xfa\x12\xf4\xfa"
    board.mouse(0x00)
    assert board.read() == b"\xfe"


def test_output_port() -> None:
    """The gate of address line 20 and the reset line are at the controller's output port."""
    board = Board()
    board.command(0xD1, 0xDF)
    assert board.a20.is_high
    board.command(0xD0)
    assert board.read()[0] & 3 == 3
    board.command(0xD1, 0xDD)
    assert not board.a20.is_high
    board.command(0xDF)
    assert board.a20.is_high
    assert board.resets == 0
    board.command(0xFE)
    assert board.resets == 1
    board.command(0xD1, 0xDE)
    assert board.resets == 2


def test_key_names() -> None:
    """Names are QEMU's; characters are keys of the US layout; others are refused."""
    assert keys.chord("ctrl-alt-delete") == ("ctrl", "alt", "delete")
    assert keys.chord("-") == ("minus",)
    assert keys.chord("Enter") == ("ret",)
    assert keys.strokes("a?") == [("a",), ("shift", "slash")]
    for character in map(chr, range(32, 127)):
        assert keys.CHARACTERS[character]
    for bad in ("hyper", "ctrl-nothing", "--"):
        with pytest.raises(ValueError, match="no key"):
            keys.chord(bad)
    with pytest.raises(ValueError, match="no key for 'é'"):
        keys.strokes("é")


@pytest.mark.parametrize("seed", range(4))
def test_nonsense_is_survived(seed: int) -> None:
    """Random commands, data, keys and movements: never an error; after resets both devices work."""
    rng, board = random.Random(seed), Board()
    names = list(keys.KEYS)
    for _ in range(4000):
        what = rng.random()
        if what < 0.6:
            value = rng.choice([rng.randrange(256), rng.randrange(0xA0, 0x100), 1 << 40])
            board.bus.port_out(rng.choice([0x60, 0x64]), value, rng.choice([1, 2, 4]))
        elif what < 0.8:
            assert 0 <= board.bus.port_in(rng.choice([0x60, 0x64]), 1) < 256
        elif what < 0.9:
            board.ps2.keyboard.key(rng.choice(names), rng.random() < 0.5)
        else:
            moves = [rng.randrange(-400, 400) for _ in range(2)]
            board.ps2.mouse.move(*moves, rng.randrange(32), rng.randrange(-9, 9))
        board.time.ns += rng.randrange(2_000_000)
        board.clock.run_due()
    for name in names:
        board.ps2.keyboard.key(name, False)
    board.command(0x60, 0x43)
    board.mouse(0xFF, 0xFF)
    board.send(0xFF, 0xFF)
    board.read(120_000)
    board.ps2.keyboard.type("a")
    assert board.read() == b"\x1e\x9e"
    board.mouse(0xF4)
    assert board.read() == b"\xfa"
    board.ps2.mouse.move(1, 0)
    assert len(board.read()) == 3
