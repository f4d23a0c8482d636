"""The window, on SDL's dummy video driver: picture, keys, mouse, closing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.particular
PROGRAM = """
import sys, time
import pygame
from jitemu.display.window import SCAN_CODES, WindowDisplay, shape
from runtime.devices.keys import KEYS
from tests.display.board import Running

assert set(SCAN_CODES.values()) <= set(KEYS)
guest, quits = Running(), []
board = guest.board
ask = guest.console.ask
ask(lambda: board.bus.port_out(0x64, 0xD4, 1))
ask(lambda: board.bus.port_out(0x60, 0xF4, 1))
ask(lambda: board.show("x", 0, 0x17))
display = WindowDisplay(guest.console, lambda: quits.append(1))

def wait(condition):
    for _ in range(500):
        try:
            if condition():
                return
        except pygame.error:
            pass  # the window is just changing
        time.sleep(0.01)
    raise SystemExit("waited in vain: " + repr(bytes(board.codes)))

wait(lambda: display._size == (720, 400))
wait(lambda: display._window.get_at((8, 1))[:3] == (4, 8, 251))
post = pygame.event.post
post(pygame.event.Event(pygame.KEYDOWN, scancode=224))
post(pygame.event.Event(pygame.KEYDOWN, scancode=4))
wait(lambda: board.codes.startswith(bytes([0x1D, 0x1E])))
post(pygame.event.Event(pygame.KEYUP, scancode=4))
post(pygame.event.Event(pygame.WINDOWFOCUSLOST))
wait(lambda: board.codes.endswith(bytes([0x9E, 0x9D])))
post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1))
wait(lambda: display._is_grabbed)
post(pygame.event.Event(pygame.MOUSEMOTION, rel=(3, 2)))
wait(lambda: bytes([0x28, 3, 0xFE]) in board.mouse_bytes)
post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=3))
wait(lambda: bytes([0x0A, 0, 0]) in board.mouse_bytes)
ask(lambda: board.set_mode(0x13))
wait(lambda: display._window.get_size() == (640, 480))
post(pygame.event.Event(pygame.QUIT))
wait(lambda: quits)
display.close()
assert not display._thread.is_alive()
assert shape(800, 600) == (800, 600)
"""


def needs_pygame() -> None:
    """Skip without the library. It is not imported here: the guests of other tests follow."""
    if importlib.util.find_spec("pygame") is None:
        pytest.skip("pygame-ce is not installed")


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_window() -> None:
    """All that a window does, without a desktop."""
    needs_pygame()
    done = run(PROGRAM, SDL_VIDEODRIVER="dummy")
    assert done.returncode == 0, done.stderr


def test_no_desktop_and_no_library() -> None:
    """One clear line."""
    program = (
        "from jitemu.display.window import WindowDisplay\n"
        "try:\n    WindowDisplay(None, print)\nexcept ValueError as error:\n    print(error)"
    )
    done = run("import sys; sys.modules['pygame'] = None\n" + program)
    assert "--display window needs pygame-ce" in done.stdout
    assert "pip install 'jitemu[window]'" in done.stdout
    needs_pygame()
    done = run(program, SDL_VIDEODRIVER="x11", DISPLAY=":99")
    assert done.stdout.startswith("--display window: "), done.stderr


def test_fault_handlers_stay() -> None:
    """Pygame would take SIGSEGV over, by which guest memory is mapped."""
    needs_pygame()
    program = """
import ctypes
from jitemu.display.window import load_pygame
def handler():
    action = ctypes.create_string_buffer(256)
    ctypes.CDLL(None).sigaction(11, None, action)
    return action.raw[:8]
before = handler()
load_pygame()
assert handler() == before
"""
    done = run(program)
    assert done.returncode == 0, done.stderr
