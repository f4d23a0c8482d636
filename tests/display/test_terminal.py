"""The display in a terminal: what is drawn, keys, and that the terminal is given back."""

from __future__ import annotations

import os
import pty
import re
import termios
import time

import numpy as np
import pytest

from jitemu.display import cells
from jitemu.display.files import PngDisplay
from jitemu.display.terminal import TerminalDisplay
from tests.display.board import Board

pytestmark = pytest.mark.particular
_TOKEN = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|(.)", re.DOTALL)


class Vt:
    """Enough of a terminal to see what was drawn: position -> character and SGR colours."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], tuple[str, str, str]] = {}
        self.row = self.column = 0
        self.front = self.back = ""
        self.drawn = 0

    def feed(self, text: str) -> None:
        for parameters, final, character in _TOKEN.findall(text):
            if character:
                self.cells[self.row, self.column] = (character, self.front, self.back)
                self.column += 1
                self.drawn += 1
            elif final == "H":
                self.row, self.column = (int(n) - 1 for n in parameters.split(";"))
            elif final == "J":
                self.cells.clear()
            elif final == "m":
                for part in re.findall(r"[34]8;2;\d+;\d+;\d+|[34]8;5;\d+|0", parameters):
                    if part[0] == "3":
                        self.front = part[3:]
                    elif part[0] == "4":
                        self.back = part[3:]

    def line(self, row: int) -> str:
        found = {c: cell[0] for (r, c), cell in self.cells.items() if r == row}
        return "".join(found.get(i, "?") for i in range(max(found) + 1))


def test_text_is_drawn_once() -> None:
    """The first picture is whole, the next only what changed."""
    board, vt = Board(), Vt()
    board.show("C:\\> é│", 0, 0x1E)
    first, cursor = cells.picture(board.vga.frame(), 50, 120)
    assert first.shape == (25, 80)
    assert cursor == (0, 0)
    vt.feed(cells.draw(first, None, is_true=True))
    assert vt.line(0).startswith("C:\\> é│ ")
    assert vt.cells[0, 0] == ("C", "2;251;243;4", "2;4;8;251")
    assert vt.drawn == 2000
    board.show("D", 0, 0x1E)
    second, _ = cells.picture(board.vga.frame(), 50, 120)
    text = cells.draw(second, first, is_true=True)
    assert text.count("H") == 1
    vt.feed(text)
    assert vt.line(0).startswith("D:\\>")
    assert vt.drawn == 2001
    assert cells.draw(second, second, is_true=True) == ""
    assert "38;5;" in cells.draw(second, None, is_true=False)


def test_a_small_terminal_shows_the_part_with_the_cursor() -> None:
    """Rows above are left out, columns to the right are cut."""
    board = Board()
    for row in range(25):
        board.show(f"row {row:02}", row)
    board.out(0x3D4, 0x0E, 80 * 24 >> 8)
    board.out(0x3D4, 0x0F, 80 * 24 & 0xFF)
    vt = Vt()
    found, cursor = cells.picture(board.vga.frame(), 10, 6)
    vt.feed(cells.draw(found, None, is_true=True))
    assert [vt.line(i) for i in (0, 9)] == ["row 15", "row 24"]
    assert cursor == (9, 0)


def test_pixels_become_half_blocks() -> None:
    """Each character shows two pixels, in the proportions of a display."""
    board = Board()
    board.set_mode(0x13)
    board.poke(0xA0000, bytes([7]) * 32000 + bytes([9]) * 32000)
    found, cursor = cells.picture(board.vga.frame(), 24, 80)
    assert cursor is None
    assert found.shape == (24, 64)
    assert set(found["front"][:12].ravel()) == {0x1C38E3}
    assert set(found["back"][12:].ravel()) == {0x2449DB}
    assert np.all(found["character"] == ord("▀"))


def wait(condition, seconds: float = 5) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_terminal_is_taken_over_and_given_back() -> None:
    """Keys reach the guest, Ctrl-C too; Ctrl-] q ends; settings are as before."""
    board, quits = Board(), []
    board.show("hello from the guest")
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (30, 100))
    before = termios.tcgetattr(slave)
    display = TerminalDisplay(
        board.console, lambda: quits.append(1), input_fd=slave, output_fd=slave
    )
    data = b""

    def read_until(text: bytes) -> None:
        nonlocal data
        while text not in data:
            data += os.read(master, 65536)

    read_until(b"hello from the guest")
    assert not termios.tcgetattr(slave)[3] & (termios.ICANON | termios.ISIG)
    os.write(master, b"a\x03\x1b[A")
    wait(lambda: not board.ps2.keyboard._events or board.run() or False)
    wait(lambda: board.run() or bytes.fromhex("1e9e 1d2eae9d e048e0c8") in board.codes)
    os.write(master, b"\x1d\x1d\x1dq")
    wait(lambda: quits)
    wait(lambda: board.run() or bytes.fromhex("1d1b9b9d") in board.codes)
    display.close()
    assert termios.tcgetattr(slave) == before
    read_until(b"\x1b[?1049l")
    os.close(master)
    os.close(slave)


def test_without_a_terminal() -> None:
    """A clear error, before anything was changed."""
    with (
        open(os.devnull, "rb") as null,
        pytest.raises(ValueError, match="--display text needs a terminal"),
    ):
        TerminalDisplay(Board().console, lambda: None, input_fd=null.fileno())


def test_pictures_are_written(tmp_path) -> None:
    """At intervals and at the end; where none can be written, that is said at once."""
    board = Board()
    display = PngDisplay(board.console, str(tmp_path / "x.png"), 0.02)
    wait(lambda: (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG"))
    board.set_mode(0x13)
    display.close()
    assert (tmp_path / "x.png").read_bytes()[16:24] == bytes.fromhex("00000140 000000c8")
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]
    with pytest.raises(OSError, match="No such file"):
        PngDisplay(board.console, str(tmp_path / "no" / "x.png"))
