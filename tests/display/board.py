"""Keyboard, mouse and display adapter without a machine, and their console."""

from __future__ import annotations

import queue
import threading
import time

from runtime.bus import Line
from runtime.devices.ps2 import Ps2
from runtime.screen.console import Console
from tests.runtime.devices.vga_board import Board as VgaBoard


class Board(VgaBoard):
    """Somebody reads the keyboard at once and notes its scan codes."""

    def __init__(self) -> None:
        super().__init__()
        self.codes = bytearray()
        self.mouse_bytes = bytearray()
        self.ps2 = Ps2(
            self.bus, self.vga.clock, Line(self.read), Line(self.read_mouse), Line(), Line()
        )
        self.set_mode(3)
        self.console = Console(self.now, lambda: False, self.ps2.keyboard, self.ps2.mouse, self.vga)

    def now(self, function) -> None:
        function()

    def read(self, level: bool) -> None:
        if level:
            self.codes.append(self.bus.port_in(0x60, 1))

    def read_mouse(self, level: bool) -> None:
        if level:
            self.mouse_bytes.append(self.bus.port_in(0x60, 1))

    def run(self, seconds: float = 10) -> None:
        """Let guest time pass."""
        end = self.time.ns + int(seconds * 1e9)
        while (when := self.vga.clock.next_event()) is not None and when <= end:
            self.time.ns = max(self.time.ns, when)
            self.vga.clock.run_due()
        self.time.ns = end

    def show(self, text: str, row: int = 0, attribute: int = 7) -> None:
        """Write into text memory."""
        data = b"".join(bytes([c, attribute]) for c in text.encode("cp437"))
        self.poke(0xB8000 + 160 * row, data)


class Running:
    """A thread that plays the guest: takes what is posted, lets time pass, echoes keys."""

    def __init__(self) -> None:
        self.board = board = Board()
        self.posted: queue.SimpleQueue = queue.SimpleQueue()
        self.ends = threading.Event()
        self.reason: list[str] = []
        self.console = Console(
            self.posted.put, self.thread_lives, board.ps2.keyboard, board.ps2.mouse, board.vga
        )
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def thread_lives(self) -> bool:
        return self.thread.is_alive()

    def run(self) -> None:
        while not self.ends.is_set():
            self.board.run(0.001)
            while not self.posted.empty():
                self.posted.get()()
            if bytes.fromhex("1c9c") in self.board.codes:  # Enter
                self.board.show("done", 3)
            time.sleep(0.001)

    def stop(self) -> None:
        self.ends.set()
