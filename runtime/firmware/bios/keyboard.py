"""INT 09h: scan codes into the buffer and the shift states of the data area.

The stub (rom.py) has read the code, asked INT 15h function 4Fh and sent EOI; AL is the code, CF
says whether it is to be used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.firmware.bios import bda
from runtime.firmware.bios.keycodes import ALT_DIGITS, GRAY, KEYPAD, LETTERS, PLAIN
from runtime.firmware.call import Call
from runtime.firmware.callbacks import WAIT, Result

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

_RIGHT, _LEFT, _CTRL, _ALT, _SCROLL, _NUM, _CAPS, _INSERT = (1 << i for i in range(8))
_LEFT_CTRL, _LEFT_ALT, _SYSREQ, _PAUSED = 1, 2, 4, 8  # MORE_SHIFTS; the locks' keys above
_LAST_E1, _LAST_E0, _RIGHT_CTRL, _RIGHT_ALT = 1, 2, 4, 8  # KEYBOARD_STATE
_RELEASED = 0x80
_ACKNOWLEDGED = frozenset({0xFA, 0xFE, 0xEE, 0x00, 0xFF})  # answers of the keyboard
_LOCKS = {0x46: _SCROLL, 0x45: _NUM, 0x3A: _CAPS, 0x52: _INSERT}
_PAUSE_KEY, _DELETE, _PRINT, _BREAK, _SYSTEM = 0x45, 0x53, 0x37, 0x46, 0x54


class _State:
    """The three bytes of shift states, written back if they changed."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.shifts, self.more = call.load(bda.SHIFTS, 8), call.load(bda.MORE_SHIFTS, 8)
        self.keyboard = call.load(bda.KEYBOARD_STATE, 8)

    def save(self) -> None:
        self.call.store(bda.SHIFTS, self.shifts, 8)
        self.call.store(bda.MORE_SHIFTS, self.more, 8)
        self.call.store(bda.KEYBOARD_STATE, self.keyboard, 8)
        self.call.store(bda.LEDS, self.call.load(bda.LEDS, 8) & ~7 | self.shifts >> 4 & 7, 8)


def put_key(call: Call, code: int) -> bool:
    """Put a key into the buffer; False if it is full."""
    head, tail = call.load(bda.HEAD, 16), call.load(bda.TAIL, 16)
    following = tail + 2
    if following >= call.load(bda.BUFFER_END, 16):
        following = call.load(bda.BUFFER_START, 16)
    if following == head:
        return False
    call.store(0x400 + tail, code, 16)
    call.store(bda.TAIL, following, 16)
    return True


def key(bios: Bios, call: Call) -> None:
    """Act on a scan code."""
    code = call.al
    if not call.cpu.eflags & 1 or code in _ACKNOWLEDGED:
        return
    state = _State(call)
    if code in (0xE0, 0xE1):
        state.keyboard |= _LAST_E0 if code == 0xE0 else _LAST_E1
        state.save()
        return
    is_gray, is_pause = bool(state.keyboard & _LAST_E0), bool(state.keyboard & _LAST_E1)
    if not (is_pause and code & 0x7F == 0x1D):
        state.keyboard &= ~(_LAST_E0 | _LAST_E1)
    if is_pause:
        if code == _PAUSE_KEY:
            state.more |= _PAUSED
        state.save()
        return
    scan, is_down = code & 0x7F, not code & _RELEASED
    if is_gray and scan in (0x2A, 0x36):
        pass  # a shift that the keyboard itself wraps around gray keys
    elif not _shift(state, scan, is_down=is_down, is_gray=is_gray):
        if is_down:
            _press(bios, state, scan, is_gray=is_gray)
            return
        if scan == _SYSTEM:
            state.more &= ~_SYSREQ
    state.save()


def _shift(state: _State, scan: int, *, is_down: bool, is_gray: bool) -> bool:
    """Follow the keys that others are pressed with; False if it is none of them."""
    bits = {0x2A: _LEFT, 0x36: _RIGHT, 0x1D: _CTRL, 0x38: _ALT}
    if scan in bits:
        bit = bits[scan]
        if scan in (0x1D, 0x38):
            left = _LEFT_CTRL if scan == 0x1D else _LEFT_ALT
            right = _RIGHT_CTRL if scan == 0x1D else _RIGHT_ALT
            if is_gray:
                state.keyboard = state.keyboard | right if is_down else state.keyboard & ~right
            else:
                state.more = state.more | left if is_down else state.more & ~left
            is_down = bool(state.more & left or state.keyboard & right)
        state.shifts = state.shifts | bit if is_down else state.shifts & ~bit
        if scan == 0x38 and not is_down:
            number = state.call.load(bda.ALT_NUMBER, 8)
            state.call.store(bda.ALT_NUMBER, 0, 8)
            if number:
                put_key(state.call, number)
        return True
    if scan not in _LOCKS or (is_gray and scan != 0x52):
        return False
    lock = _LOCKS[scan]
    if not is_down:
        state.more &= ~lock
        return True
    if state.shifts & _CTRL and scan in (_BREAK, _PAUSE_KEY):
        return False
    if scan == 0x52 and (state.shifts & _ALT or (not is_gray and _shows_digits(state))):
        return False
    if not state.more & lock:
        state.more |= lock
        state.shifts ^= lock
    return scan != 0x52


def _shows_digits(state: _State) -> bool:
    is_shifted = bool(state.shifts & (_LEFT | _RIGHT))
    return bool(state.shifts & _NUM) != is_shifted


def _press(bios: Bios, state: _State, scan: int, *, is_gray: bool) -> None:
    """Act on a key that went down."""
    call, shifts = state.call, state.shifts
    is_paused, state.more = state.more & _PAUSED, state.more & ~_PAUSED
    state.save()
    if is_paused:
        return  # it only ends the pause
    if scan == _DELETE and shifts & _CTRL and shifts & _ALT:
        call.store(bda.RESET_FLAG, bda.RESET_WARM, 16)
        bios.out(0x64, 0xFE)
    elif scan == _BREAK and shifts & _CTRL:
        start = call.load(bda.BUFFER_START, 16)
        call.store(bda.HEAD, start, 16)
        call.store(bda.TAIL, start, 16)
        call.store(bda.BREAK, 0x80, 8)
        put_key(call, 0)
        bios.callbacks.interrupt(0x1B)
    elif scan == _PAUSE_KEY and shifts & _CTRL:
        state.more |= _PAUSED
        state.save()
    elif scan == _PRINT and (is_gray or shifts & (_LEFT | _RIGHT)) and not shifts & _ALT:
        if shifts & _CTRL:
            put_key(call, 0x7200)
        else:
            bios.callbacks.interrupt(5)
    elif scan == _SYSTEM or (scan == _PRINT and is_gray):
        state.more |= _SYSREQ
        state.save()
    elif shifts & _ALT and not is_gray and scan in ALT_DIGITS:
        number = call.load(bda.ALT_NUMBER, 8)
        call.store(bda.ALT_NUMBER, number * 10 + ALT_DIGITS[scan], 8)
    else:
        code = code_of(state.shifts, scan, is_gray=is_gray)
        if code >= 0:
            put_key(call, code)


def code_of(shifts: int, scan: int, *, is_gray: bool) -> int:
    """Return what a key enters into the buffer; -1 for nothing."""
    table = GRAY if is_gray else KEYPAD if scan in KEYPAD else PLAIN
    codes = table.get(scan)
    if codes is None:
        return -1
    if shifts & _ALT:
        return codes.alt
    if shifts & _CTRL:
        return codes.ctrl
    is_shifted = bool(shifts & (_LEFT | _RIGHT))
    if table is KEYPAD:
        is_shifted ^= bool(shifts & _NUM)
    elif scan in LETTERS and not is_gray:
        is_shifted ^= bool(shifts & _CAPS)
    return codes.shift if is_shifted else codes.plain


def pause(bios: Bios, call: Call) -> Result | None:
    """Wait while Pause is in effect."""
    return WAIT if call.load(bda.MORE_SHIFTS, 8) & _PAUSED else None
