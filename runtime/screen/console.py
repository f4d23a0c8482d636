"""Keyboard, mouse and screen of a machine for other threads than the guest's.

Devices belong to the thread that runs the guest; what is asked for here is handed over to it and
done between two insns.  While nobody runs the machine, and in that thread, it is done at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from runtime.devices import keys
from runtime.devices.keyboard import Keyboard
from runtime.devices.mouse import Mouse
from runtime.devices.vga import Vga
from runtime.screen.frame import Frame
from runtime.screen.screen import Screen

T = TypeVar("T")
_PATIENCE = 0.5  # s until somebody who waits looks whether the machine still runs
_LOOK = 0.01


class Console:
    """What a person at the machine has."""

    def __init__(
        self,
        post: Callable[[Callable[[], object]], None],
        is_elsewhere: Callable[[], bool],
        keyboard: Keyboard,
        mouse: Mouse,
        vga: Vga | None,
    ) -> None:
        """*post* hands a function over to the guest's thread; *is_elsewhere*: it is needed."""
        self._post, self._is_elsewhere = post, is_elsewhere
        self.keyboard, self.mouse, self.vga = keyboard, mouse, vga
        self.screen = Screen(self.frame)

    def ask(self, function: Callable[[], T]) -> T:
        """Call a function between two insns and return its result, or raise what it raises."""
        if not self._is_elsewhere():
            return function()
        results: list[T] = []
        errors: list[Exception] = []
        lock, done = threading.Lock(), threading.Event()

        def call() -> None:
            with lock:
                if done.is_set():
                    return
                try:
                    results.append(function())
                except Exception as error:  # the caller's business
                    errors.append(error)
                done.set()

        self._post(call)
        while not done.wait(_PATIENCE):
            if not self._is_elsewhere():
                call()  # the machine stopped before it came to it
        if errors:
            raise errors[0]
        return results[0]

    def frame(self) -> Frame:
        """Copy what is shown; RuntimeError without a display adapter."""
        if self.vga is None:
            raise RuntimeError("the machine has no display adapter")
        return self.ask(self.vga.frame)

    def type(self, text: str) -> None:
        """Type a text on a US keyboard; ValueError: it has a character without a key."""
        keys.strokes(text)
        self.ask(lambda: self.keyboard.type(text))

    def press(self, chord: str, hold: float = 0.1) -> None:
        """Press keys together ("ctrl-alt-delete", QEMU's names) for *hold* s; ValueError."""
        keys.chord(chord)
        self.ask(lambda: self.keyboard.press(chord, hold))

    def key(self, name: str, is_down: bool) -> None:
        """Press or release one key; ValueError."""
        keys.key_named(name)
        self.ask(lambda: self.keyboard.key(name, is_down))

    def move(self, dx: int, dy: int, buttons: int | None = None, dz: int = 0) -> None:
        """Move the mouse by counts, dy downwards; *buttons*: 1 left, 2 right, 4 middle."""
        self.ask(lambda: self.mouse.move(dx, dy, buttons, dz))

    def wait_typed(self, timeout: float = 60, is_over: Callable[[], bool] = lambda: False) -> None:
        """Wait until the guest has read what was typed and moved; TimeoutError.

        *is_over*: the machine has ended, and will read nothing.
        """
        end = time.monotonic() + timeout
        while not self.ask(lambda: self.keyboard.is_idle and self.mouse.is_idle):
            if is_over():
                return
            if time.monotonic() > end:
                raise TimeoutError(f"the guest did not read all keys within {timeout:g} s")
            time.sleep(_LOOK)
