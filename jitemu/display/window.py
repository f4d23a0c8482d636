"""A display in a window of the host's desktop, by pygame (SDL): picture, keys, mouse."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from runtime.screen.console import Console
from runtime.screen.render import render

_FRAME_MS = 33
_SIGACTION = 256  # bytes, more than a struct sigaction has
_SMALLEST = 640  # pixels across: smaller pictures are enlarged
# SDL's scan codes are those of USB keyboards (HID usage tables, 0x07), so that the layout of the
# host does not matter: the guest sees which key was pressed.
_LETTERS = {4 + i: chr(ord("a") + i) for i in range(26)}
_DIGITS = {30 + i: str((i + 1) % 10) for i in range(10)}
_FUNCTIONS = {58 + i: f"f{i + 1}" for i in range(12)}
_NAMED = """
40 ret 41 esc 42 backspace 43 tab 44 spc 45 minus 46 equal 47 bracket_left 48 bracket_right
49 backslash 50 backslash 51 semicolon 52 apostrophe 53 grave_accent 54 comma 55 dot 56 slash
57 caps_lock 70 print 71 scroll_lock 72 pause 73 insert 74 home 75 pgup 76 delete 77 end 78 pgdn
79 right 80 left 81 down 82 up 83 num_lock 84 kp_divide 85 asterisk 86 kp_subtract 87 kp_add
88 kp_enter 89 kp_1 90 kp_2 91 kp_3 92 kp_4 93 kp_5 94 kp_6 95 kp_7 96 kp_8 97 kp_9 98 kp_0
99 kp_decimal 100 less 101 menu 133 kp_comma 135 ro 136 hiragana 137 yen 138 henkan 139 muhenkan
224 ctrl 225 shift 226 alt 227 meta_l 228 ctrl_r 229 shift_r 230 alt_r 231 meta_r
"""


def _scan_codes() -> dict[int, str]:
    words = _NAMED.split()
    named = {int(words[i]): words[i + 1] for i in range(0, len(words), 2)}
    return {**_LETTERS, **_DIGITS, **_FUNCTIONS, **named}


SCAN_CODES = _scan_codes()
_BUTTONS = {1: 1, 2: 4, 3: 2, 6: 8, 7: 16}  # pygame's numbers -> bits of the mouse
TITLE = "jitemu"
GRABBED = "jitemu - Ctrl-Alt-G gives the mouse back"


@contextmanager
def keeping_handlers() -> Iterator[None]:
    """Put back the host's handlers of faults: pygame takes them over when it is imported.

    Guest code faults on purpose; without our handler it would do so for ever.
    """
    libc = ctypes.CDLL(None)
    saved = []
    for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL):
        saved.append((number, ctypes.create_string_buffer(_SIGACTION)))
        libc.sigaction(int(number), None, saved[-1][1])
    try:
        yield
    finally:
        for number, action in saved:
            libc.sigaction(int(number), action, None)


def load_pygame() -> Any:
    """Import pygame; ValueError with what to do if it is not there."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        with keeping_handlers():
            import pygame
    except ImportError as error:
        raise ValueError(
            f"--display window needs pygame-ce ({error}): pip install 'jitemu[window]'"
        ) from None
    return pygame


class WindowDisplay:
    """A window that lives in a thread of its own; closing it asks for the end of the machine."""

    def __init__(self, console: Console, on_quit: Callable[[], None]) -> None:
        """Open the window; ValueError: no pygame, or no desktop to open it on."""
        self._pygame = load_pygame()
        self.console, self._on_quit = console, on_quit
        self._is_grabbed = False
        self._buttons = 0
        self._held: set[str] = set()
        self._size = (0, 0)
        self._error = ""
        self._opened, self._done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="display", daemon=True)
        self._thread.start()
        self._opened.wait()
        if self._error:
            raise ValueError(f"--display window: {self._error}")

    def close(self) -> None:
        """Close the window."""
        self._done.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(2)

    def _run(self) -> None:
        pygame = self._pygame
        try:
            with keeping_handlers():
                pygame.display.init()
            pygame.display.set_caption(TITLE)
            self._window = pygame.display.set_mode((720, 400), pygame.RESIZABLE)
        except pygame.error as error:
            self._error = str(error)
            return
        finally:
            self._opened.set()
        try:
            while not self._done.is_set():
                for event in pygame.event.get():
                    self._take(event)
                self._draw()
                pygame.time.wait(_FRAME_MS)
        except (RuntimeError, ValueError, pygame.error) as error:
            print(f"jitemu: display: {error}", file=sys.stderr)
        finally:
            pygame.display.quit()

    # -- picture -----------------------------------------------------------------------------------
    def _draw(self) -> None:
        pygame = self._pygame
        pixels = render(self.console.frame(), blinks=True)
        height, width, _ = pixels.shape
        if (width, height) != self._size:
            self._size = (width, height)
            self._window = pygame.display.set_mode(shape(width, height), pygame.RESIZABLE)
        data = np.ascontiguousarray(pixels)
        picture = pygame.image.frombuffer(data, (width, height), "RGB").convert(self._window)
        pygame.transform.scale(picture, self._window.get_size(), self._window)
        pygame.display.flip()

    # -- keys and mouse ----------------------------------------------------------------------------
    def _take(self, event: Any) -> None:
        pygame = self._pygame
        if event.type == pygame.QUIT:
            self._on_quit()
        elif event.type == pygame.KEYDOWN:
            self._key(event.scancode, True)
        elif event.type == pygame.KEYUP:
            self._key(event.scancode, False)
        elif event.type == pygame.WINDOWFOCUSLOST:
            self._release()
        elif event.type == pygame.MOUSEBUTTONDOWN and not self._is_grabbed:
            self._grab(True)
        elif self._is_grabbed:
            self._mouse(event)

    def _mouse(self, event: Any) -> None:
        pygame = self._pygame
        if event.type == pygame.MOUSEMOTION:
            self.console.move(*event.rel)
        elif event.type in (pygame.MOUSEBUTTONDOWN, pygame.MOUSEBUTTONUP):
            bit = _BUTTONS.get(event.button, 0)
            is_down = event.type == pygame.MOUSEBUTTONDOWN
            self._buttons = self._buttons | bit if is_down else self._buttons & ~bit
            self.console.move(0, 0, self._buttons)
        elif event.type == pygame.MOUSEWHEEL:
            self.console.move(0, 0, None, -event.y)

    def _key(self, code: int, is_down: bool) -> None:
        name = SCAN_CODES.get(code)
        if name is None:
            return
        if is_down and name == "g" and self._held & {"ctrl", "ctrl_r"} and "alt" in self._held:
            self._grab(not self._is_grabbed)
            return
        (self._held.add if is_down else self._held.discard)(name)
        self.console.key(name, is_down)

    def _release(self) -> None:
        """Release all keys: the window does not see any more when that happens."""
        for name in self._held:
            self.console.key(name, False)
        self._held.clear()
        self._grab(False)

    def _grab(self, is_grabbed: bool) -> None:
        pygame = self._pygame
        self._is_grabbed = is_grabbed
        pygame.event.set_grab(is_grabbed)
        pygame.mouse.set_visible(not is_grabbed)
        pygame.display.set_caption(GRABBED if is_grabbed else TITLE)


def shape(width: int, height: int) -> tuple[int, int]:
    """Return the size of the window for a picture: 4:3 for modes whose pixels are not square."""
    if width * 3 != height * 4 and (width, height) in _STRETCHED:
        return _STRETCHED[width, height]
    factor = -(-_SMALLEST // width) if width < _SMALLEST else 1
    return width * factor, height * factor


_STRETCHED = {
    (320, 200): (640, 480),
    (320, 400): (640, 480),
    (360, 400): (720, 400),
    (640, 200): (640, 480),
    (640, 350): (640, 480),
    (640, 400): (640, 480),
}
