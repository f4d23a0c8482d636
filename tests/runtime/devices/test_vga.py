"""The VGA on a bare bus: registers, and pictures of each kind of mode."""

from __future__ import annotations

import random

import numpy as np
import pytest

from runtime.screen.font import font
from runtime.screen.render import render
from runtime.screen.screen import Screen, cursor_of, text_of
from tests.runtime.devices.vga_board import Board

pytestmark = pytest.mark.particular


def test_text_looks_like_its_font() -> None:
    """A text mode's picture: glyphs, colours, the ninth dot, underline, cursor, blinking."""
    board = Board()
    board.set_mode(3)
    board.poke(0xB8000, bytes(4000))
    board.poke(0xB8000 + 160 * 2 + 2 * 5, b"A\x1e\xc4\x1e")
    board.out(0x3D4, 0x0A, 0x20)
    pixels = render(board.vga.frame())
    assert pixels.shape == (400, 720, 3)
    found = board.numbers(pixels)[32:48, 45:63]
    rows = np.frombuffer(font(16), np.uint8).reshape(256, 16)
    bits = np.unpackbits(rows[[0x41, 0xC4]], axis=1).reshape(2, 16, 8)
    assert (found[:, :8] == np.where(bits[0], 0x3E, 1)).all()
    assert (found[:, 8] == 1).all()
    assert (found[:, 9:17] == np.where(bits[1], 0x3E, 1)).all()
    assert (found[:, 17] == np.where(bits[1][:, 7], 0x3E, 1)).all()
    assert (board.numbers(pixels)[:32] == 0).all()
    board.out(0x3D4, 0x0A, 0x0D)
    board.out(0x3D4, 0x0E, 0)
    board.out(0x3D4, 0x0F, 165)
    board.poke(0xB8000 + 160 * 2 + 2 * 5, b" \x9e")
    with_cursor = board.numbers(render(board.vga.frame()))[32:48, 45:54]
    assert (with_cursor[13:15] == 0x3E).all()
    assert (with_cursor[:13] == 1).all()
    board.time.ns = 450_000_000
    assert (board.numbers(render(board.vga.frame(), blinks=True))[32:48, 45:54] == 1).all()
    assert cursor_of(board.vga.frame()) == (2, 5, True)
    board.set_mode(7)
    board.poke(0xB0000, b" \x01" * 60)
    underlined = board.numbers(render(board.vga.frame()))[:16, :540]
    assert (underlined[13] == 8).all()
    assert (underlined[:13] == 0).all()


def test_other_fonts_and_widths() -> None:
    """8x8 characters make 50 rows; 40 columns; a second font by bit 3 of attributes."""
    board = Board()
    board.set_mode(3)
    board.load_font(8)
    board.out(0x3D4, 9, 0x47)
    board.poke(0xB8000 + 160 * 49, b"X\7Y\7")
    frame = board.vga.frame()
    assert len(text_of(frame)) == 50
    assert text_of(frame)[49].startswith("XY")
    assert render(frame).shape == (400, 720, 3)
    board.set_mode(1)
    frame = board.vga.frame()
    assert [len(row) for row in text_of(frame)] == [40] * 25
    assert render(frame).shape == (400, 360, 3)
    board.load_font(16, 0x4000)
    memory = board.vga.memory
    memory.sync()
    memory.bytes[0x4000 + 32 * 0x58 : 0x4000 + 32 * 0x58 + 16, 2] = 0xFF
    board.out(0x3C4, 3, 0x04)  # attribute bit 3: the font at 4000h
    board.poke(0xB8000, b"X\x07X\x0f")
    found = board.numbers(render(board.vga.frame()))
    assert (found[:16, 9:17] == 0x3F).all()
    assert not (found[:16, :8] == 7).all()


@pytest.mark.parametrize("first", [0, 80 * 3])
def test_split_and_scrolled_text(first: int) -> None:
    """The start address moves what is shown; line compare shows the rest from address 0."""
    board = Board()
    board.set_mode(3)
    for row in range(60):
        board.poke(0xB8000 + 160 * row, b"%c\7" % (0x30 + row) * 80)
    board.out(0x3D4, 0x0C, first >> 8)
    board.out(0x3D4, 0x0D, first & 0xFF)
    rows = text_of(board.vga.frame())
    assert [row[0] for row in rows] == [chr(0x30 + first // 80 + i) for i in range(25)]
    board.out(0x3D4, 7, 0x0F)
    board.out(0x3D4, 9, 0x0F)
    board.out(0x3D4, 0x18, 16 * 10 - 1)
    rows = text_of(board.vga.frame())
    assert [row[79] for row in rows[:10]] == [chr(0x30 + first // 80 + i) for i in range(10)]
    assert [row[0] for row in rows[10:]] == [chr(0x30 + i) for i in range(15)]


def test_mode_13() -> None:
    """A byte is a pixel, in plain RAM."""
    board = Board()
    board.set_mode(0x13)
    board.poke(0xA0000, bytes(i * 7 & 63 for i in range(64000)))
    assert board.physical.is_writable(0xA0)
    pixels = render(board.vga.frame())
    assert pixels.shape == (200, 320, 3)
    assert (board.numbers(pixels).ravel() == [i * 7 & 63 for i in range(64000)]).all()
    assert pixels[0, 1].tolist() == board.colour(7)
    board.bus.port_out(0x3C6, 0x0F, 1)
    assert pixels[0, 3].tolist() == board.colour(21)
    assert render(board.vga.frame())[0, 3].tolist() == board.colour(5)


def test_mode_x() -> None:
    """Unchained, 320x240: a plane has each fourth pixel; panning by a pixel, a second page."""
    board = Board()
    board.set_mode(0x13)
    board.out(0x3C4, 4, 6)
    board.bus.port_out(0x3C2, 0xE3, 1)
    changes = {0x11: 0x2C, 0x06: 0x0D, 0x07: 0x3E, 0x10: 0xEA, 0x12: 0xDF, 0x14: 0, 0x15: 0xE7}
    for index, value in {**changes, 0x16: 6, 0x17: 0xE3}.items():
        board.out(0x3D4, index, value)
    for plane in range(4):
        board.out(0x3C4, 2, 1 << plane)
        for row in (0, 1, 239):
            board.poke(0xA0000 + 80 * row, bytes([row % 50 + plane] * 80))
        board.poke(0xA0000 + 19200, bytes([60 + plane % 2] * 81))
    pixels = board.numbers(render(board.vga.frame()))
    assert pixels.shape == (240, 320)
    assert pixels[0].tolist() == [0, 1, 2, 3] * 80
    assert pixels[239].tolist() == [39, 40, 41, 42] * 80
    assert not pixels[2:239].any()
    board.out(0x3D4, 0x0C, 19200 >> 8)
    board.out(0x3D4, 0x0D, 19200 & 0xFF)
    board.attribute(0x13, 2)
    assert board.numbers(render(board.vga.frame()))[0].tolist() == [61, 60] * 160


@pytest.mark.parametrize(("mode", "width", "height"), [(0x0D, 320, 200), (0x12, 640, 480)])
def test_planar(mode: int, width: int, height: int) -> None:
    """Sixteen colours by write mode 2 and bit mask, as BIOS services draw dots."""
    board, rng = Board(), np.random.default_rng(mode)
    board.set_mode(mode)
    dots = [(int(rng.integers(height)), int(rng.integers(width)), i % 16) for i in range(300)]
    expected = np.zeros((height, width), np.uint8)
    board.out(0x3CE, 5, 2)
    for y, x, colour in dots:
        expected[y, x] = colour
        address = 0xA0000 + y * width // 8 + x // 8
        board.out(0x3CE, 8, 0x80 >> x % 8)
        board.peek(address)
        board.poke(address, bytes([colour]))
    table = np.frombuffer(bytes(board.vga.attribute[:16]), np.uint8)
    pixels = render(board.vga.frame())
    assert pixels.shape == (height, width, 3)
    assert (board.numbers(pixels) == table[expected]).all()


def test_cga_modes() -> None:
    """Modes 4 and 6: odd lines 8 KiB above the even ones; 2 bits and 1 bit a pixel."""
    board = Board()
    board.set_mode(4)
    board.poke(0xB8000, bytes([0b00011011] * 80))
    board.poke(0xBA000, bytes([0b11111111] * 80))
    board.poke(0xB8000 + 80 * 99, bytes([0b01010101] * 80))
    pixels = board.numbers(render(board.vga.frame()))
    assert pixels.shape == (200, 320)
    assert pixels[0].tolist() == [0, 0x13, 0x15, 0x17] * 80
    assert (pixels[1] == 0x17).all()
    assert (pixels[198] == 0x13).all()
    assert not pixels[2:198].any()
    board.set_mode(6)
    board.poke(0xB8000, bytes(16000))
    board.poke(0xBA000 + 80, bytes([0b10100000] * 80))
    pixels = board.numbers(render(board.vga.frame()))
    assert pixels.shape == (200, 640)
    assert pixels[3].tolist() == [0x17, 0, 0x17, 0, 0, 0, 0, 0] * 80
    assert not pixels[:3].any()


def test_switched_off() -> None:
    """Screen off is black, whatever is in memory; without memory enabled nothing is there."""
    board = Board()
    board.bus.port_out(0x3C2, 0x01, 1)  # as GRUB does, built as firmware of QEMU
    assert board.peek(0xA0000) == 0
    board.set_mode(0x13)
    board.poke(0xA0000, b"\x20" * 100)
    assert render(board.vga.frame()).any()
    board.out(0x3C4, 1, 0x21)
    assert not render(board.vga.frame()).any()
    board.bus.port_out(0x3C2, 0x61, 1)
    assert board.peek(0xA0000) == 0xFF
    board.bus.port_out(0x3C2, 0x63, 1)
    assert board.peek(0xA0000) == 0x20


def test_registers() -> None:
    """What was written is read back, as far as bits exist; the protected ones stay."""
    board = Board()
    board.set_mode(3)
    read = board.bus.port_in
    assert read(0x3CC, 1) == 0x67
    board.bus.port_out(0x3C4, 2, 1)
    assert read(0x3C4, 2) == 0x0302
    board.out(0x3D4, 0x11, 0x8E)
    board.out(0x3D4, 0, 0x12)
    board.out(0x3D4, 7, 0x00)
    board.bus.port_out(0x3D4, 0, 1)
    assert read(0x3D5, 1) == 0x5F
    assert board.vga.crtc[7] == 0x0F
    assert read(0x3B4, 1) == read(0x3B5, 1) == 0xFF  # the CRT controller is at 3D4h
    board.bus.port_out(0x3C2, 0x66, 1)
    assert read(0x3B5, 1) == 0x5F
    board.bus.port_out(0x3C2, 0x67, 1)
    read(0x3DA, 1)
    board.bus.port_out(0x3C0, 0x31, 1)
    assert read(0x3C1, 1) == 0
    board.bus.port_out(0x3C0, 0x05, 1)
    assert read(0x3C1, 1) == 5
    board.bus.port_out(0x3C7, 3, 1)
    assert [read(0x3C9, 1) for _ in range(4)] == [3, 6, 60, 4]


@pytest.mark.parametrize("wide", [0, 0x20])
def test_colours_in_blocks(wide: int) -> None:
    """`rep outsb` and `rep insb` at the palette's port are many single accesses."""
    one, many = Board(), Board()
    data = bytes(random.Random(3).randbytes(2000))
    for board in (one, many):
        board.dispi(4, 0x41 | wide)
        board.bus.port_out(0x3C8, 7, 1)
        board.bus.port_out(0x3C7, 200, 1)
    for value in data:
        one.bus.port_out(0x3C9, value, 1)
    left = data
    while left:
        done = many.bus.write_stream(0x3C9, left, 1)
        assert done > 0
        left = left[done:]
    assert one.vga.palette == many.vga.palette
    assert one.bus.port_in(0x3C8, 1) == many.bus.port_in(0x3C8, 1)
    found = b""
    while len(found) < 1000:
        found += many.bus.read_stream(0x3C9, 1, 1000 - len(found))
    assert found == bytes(one.bus.port_in(0x3C9, 1) for _ in range(1000))
    assert many.bus.write_stream(0x3C9, data, 2) == 0
    assert many.bus.read_stream(0x3C9, 2, 4) == b""


def test_retrace_comes_and_goes() -> None:
    """Input status 1 tells lines and frames apart: about 70 frames a second, 400 lines shown."""
    board = Board()
    board.set_mode(3)
    seen, was = 0, 0
    shown = 0
    for i in range(20_000):
        board.time.ns = i * 5_000
        status = board.bus.port_in(0x3DA, 1)
        seen += bool(status & 8 and not was & 8)
        shown += not status & 1
        was = status
    assert seen == 7
    assert 0.6 < shown / 20_000 < 0.85


def test_bochs_modes() -> None:
    """A linear framebuffer in each depth, banks, virtual screens, and what cannot be."""
    board = Board()
    board.set_mode(3)
    assert board.bus.port_in(0x1CF, 2) == 0xB0C5
    board.dispi(4, 2)
    board.bus.port_out(0x1CE, 3, 2)
    assert board.bus.port_in(0x1CF, 2) == 32
    board.dispi(4, 0)
    board.vga.place_linear(0xC00000)
    for depth, pixel, colour in [
        (8, b"\x07", board.colour(7)),
        (15, b"\x1f\x7c", [255, 0, 255]),
        (16, b"\xe0\x07", [0, 255, 0]),
        (24, b"\x01\x02\x03", [3, 2, 1]),
        (32, b"\x01\x02\x03\x00", [3, 2, 1]),
    ]:
        for index, value in [(1, 640), (2, 400), (3, depth), (4, 0x41)]:
            board.dispi(index, value)
        assert not board.physical.view[0xC00000 : 0xC00000 + 640 * 400].tobytes().strip(b"\0")
        place = (640 * 399 + 5) * len(pixel)
        board.physical.write(0xC00000 + place, pixel)
        pixels = Screen(board.vga.frame).ndarray
        assert pixels.shape == (400, 640, 3)
        assert pixels[399, 5].tolist() == colour
        board.dispi(5, place >> 16)
        board.poke(0xA0000 + (place & 0xFFFF) + len(pixel), pixel)
        assert Screen(board.vga.frame).ndarray[399, 6].tolist() == colour
        board.dispi(6, 1024)
        board.dispi(8, 2)
        board.dispi(9, 1)
        again = Screen(board.vga.frame).ndarray
        assert again.shape == (400, 640, 3)
        board.dispi(4, 0)
    board.dispi(1, 60000)
    board.dispi(2, 60000)
    board.dispi(3, 77)
    board.dispi(4, 0x41)
    assert board.vga.dispi.mode.pitch * board.vga.dispi.mode.height <= 4 << 20
    assert Screen(board.vga.frame).ndarray.shape[2] == 3


def test_lines_go_on_in_the_next_one() -> None:
    """Programs that scroll sideways start a display anywhere in a line, as QEMU's adapter lets."""
    board = Board()
    board.set_mode(3)
    board.vga.place_linear(0xC00000)
    for index, value in [(1, 640), (2, 400), (3, 8), (4, 0x41), (8, 600), (9, 3)]:
        board.dispi(index, value)
    board.physical.write(0xC00000 + 4 * 640 + 599, b"\x07")
    picture = Screen(board.vga.frame).ndarray
    assert picture[0, 639].tolist() == board.colour(7)
    assert int((picture == board.colour(7)).all(axis=2).sum()) == 1
    board.dispi(9, 0xFFFF)  # the last lines have no next one
    board.bus.port_out(0x1CE, 8, 2)
    assert board.bus.port_in(0x1CF, 2) == 0
    assert Screen(board.vga.frame).ndarray.shape == (400, 640, 3)


def test_the_framebuffer_moves_with_what_it_holds() -> None:
    """A new base address shows the same bytes; none shows nothing."""
    board = Board()
    board.set_mode(3)
    board.vga.place_linear(0x800000)
    for index, value in [(1, 640), (2, 400), (3, 8), (4, 0x41)]:
        board.dispi(index, value)
    board.physical.write(0x800000 + 100_000, b"pixels")
    board.poke(0xA0000, b"window" * 20)
    board.vga.place_linear(0x400000)
    assert board.physical.load(0x800000, 32) == 0xFFFFFFFF
    assert board.physical.read(0x400000 + 100_000, 6) == b"pixels"
    assert board.peek(0xA0000) == ord("w")
    board.vga.place_linear(None)
    assert board.physical.load(0x400000, 32) == 0xFFFFFFFF
    board.vga.place_linear(0xFF0000000)  # where no memory can be
    assert board.vga.place is None


def test_save_and_wait(tmp_path) -> None:
    """PNG files have the signature and size; waiting ends with what is on the screen."""
    board = Board()
    board.set_mode(3)
    board.poke(0xB8000, b"C\7:\7\\\7>\7")
    screen = Screen(board.vga.frame)
    screen.save(tmp_path / "x.png")
    data = (tmp_path / "x.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert data[16:24] == (720).to_bytes(4, "big") + (400).to_bytes(4, "big")
    assert screen.wait_text("C:\\>", 1).startswith("C:\\>")
    with pytest.raises(TimeoutError, match=r"no 'D:' within 0.1 s; the screen ends with: C:\\>"):
        screen.wait_text("D:", 0.1)
    with pytest.raises(RuntimeError, match="ended before"):
        screen.wait_text("D:", 1, lambda seconds: False)


@pytest.mark.parametrize("seed", range(5))
def test_nonsense_is_survived(seed: int) -> None:
    """Random traffic to all ports and the window: always a picture, never an error."""
    rng, board = random.Random(seed), Board(memory=1 << 20)
    screen = Screen(board.vga.frame)
    ports = [0x3B4, 0x3B5, 0x3BA, *range(0x3C0, 0x3D0), 0x3D4, 0x3D5, 0x3DA, 0x1CE, 0x1CF, 0x1D0]
    for step in range(3000):
        what = rng.random()
        if what < 0.6:
            port = rng.choice(ports)
            value = rng.choice([rng.randrange(12), rng.randrange(256), rng.randrange(1 << 32)])
            board.bus.port_out(port, value, rng.choice([1, 1, 2, 4]))
        elif what < 0.7:
            board.bus.port_in(rng.choice(ports), rng.choice([1, 2, 4]))
        else:
            address = 0xA0000 + rng.randrange(0x20000 - 8)
            size = rng.choice([1, 1, 2, 4, 8])
            for _ in range(rng.choice([1, 60])):
                if rng.random() < 0.5:
                    board.physical.store(address, rng.randrange(1 << 8 * size), 8 * size)
                else:
                    board.physical.load(address, 8 * size)
        if not step % 60:
            assert screen.ndarray.dtype == np.uint8
            assert isinstance(screen.text, str)
            screen.cursor  # noqa: B018
        if not step % 400:
            board.vga.place_linear(rng.choice([None, 8 << 20, 12 << 20, 1 << 40]))
