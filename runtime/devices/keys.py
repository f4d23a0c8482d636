"""Keys of a PS/2 keyboard: names and characters -> scan codes.

Names are those of QEMU's `sendkey`.  Scan codes are public facts: IBM, Personal System/2 Hardware
Interface Technical Reference, *Keyboards (101- and 102-key)*; the extra keys are from Microsoft,
*Keyboard Scan Code Specification*, revision 1.3a.
"""

from __future__ import annotations

from typing import NamedTuple

# What the 8042 makes of set 2 (index) while it translates; F0 h is no code but "the next is a
# break", which becomes bit 7.
_TRANSLATED = """
ff 43 41 3f 3d 3b 3c 58 64 44 42 40 3e 0f 29 59  65 38 2a 70 1d 10 02 5a 66 71 2c 1f 1e 11 03 5b
67 2e 2d 20 12 05 04 5c 68 39 2f 21 14 13 06 5d  69 31 30 23 22 15 07 5e 6a 72 32 24 16 08 09 5f
6b 33 25 17 18 0b 0a 60 6c 34 35 26 27 19 0c 61  6d 73 28 74 1a 0d 62 6e 3a 36 1c 1b 75 2b 63 76
55 56 77 78 79 7a 0e 7b 7c 4f 7d 4b 47 7e 7f 6f  52 53 50 4c 4d 48 01 45 57 4e 51 4a 37 49 46 54
80 81 82 41 54
"""
TRANSLATED = bytes.fromhex(_TRANSLATED.replace("\n", " ")) + bytes(range(0x85, 0x100))

# name, codes in sets 1, 2 and 3 (0: the key is not there)
_KEYS = """
esc 01 76 08             1 02 16 16               2 03 1e 1e              3 04 26 26
4 05 25 25               5 06 2e 2e               6 07 36 36              7 08 3d 3d
8 09 3e 3e               9 0a 46 46               0 0b 45 45              minus 0c 4e 4e
equal 0d 55 55           backspace 0e 66 66       tab 0f 0d 0d            q 10 15 15
w 11 1d 1d               e 12 24 24               r 13 2d 2d              t 14 2c 2c
y 15 35 35               u 16 3c 3c               i 17 43 43              o 18 44 44
p 19 4d 4d               bracket_left 1a 54 54    bracket_right 1b 5b 5b  ret 1c 5a 5a
ctrl 1d 14 11            a 1e 1c 1c               s 1f 1b 1b              d 20 23 23
f 21 2b 2b               g 22 34 34               h 23 33 33              j 24 3b 3b
k 25 42 42               l 26 4b 4b               semicolon 27 4c 4c      apostrophe 28 52 52
grave_accent 29 0e 0e    shift 2a 12 12           backslash 2b 5d 5c      z 2c 1a 1a
x 2d 22 22               c 2e 21 21               v 2f 2a 2a              b 30 32 32
n 31 31 31               m 32 3a 3a               comma 33 41 41          dot 34 49 49
slash 35 4a 4a           shift_r 36 59 59         asterisk 37 7c 7e       alt 38 11 19
spc 39 29 29             caps_lock 3a 58 14       f1 3b 05 07             f2 3c 06 0f
f3 3d 04 17              f4 3e 0c 1f              f5 3f 03 27             f6 40 0b 2f
f7 41 83 37              f8 42 0a 3f              f9 43 01 47             f10 44 09 4f
num_lock 45 77 76        scroll_lock 46 7e 5f     kp_7 47 6c 6c           kp_8 48 75 75
kp_9 49 7d 7d            kp_subtract 4a 7b 84     kp_4 4b 6b 6b           kp_5 4c 73 73
kp_6 4d 74 74            kp_add 4e 79 7c          kp_1 4f 69 69           kp_2 50 72 72
kp_3 51 7a 7a            kp_0 52 70 70            kp_decimal 53 71 71     less 56 61 13
f11 57 78 56             f12 58 07 5e             kp_enter e01c e05a 79   ctrl_r e01d e014 58
kp_divide e035 e04a 77   alt_r e038 e011 39       home e047 e06c 6e       up e048 e075 63
pgup e049 e07d 6f        left e04b e06b 61        right e04d e074 6a      end e04f e069 65
down e050 e072 60        pgdn e051 e07a 6d        insert e052 e070 67     delete e053 e071 64
meta_l e05b e01f 8b      meta_r e05c e027 8c      menu e05d e02f 8d       power e05e e037 0
sleep e05f e03f 0        wake e063 e05e 0         audionext e019 e04d 0   audioprev e010 e015 0
audiomute e020 e023 0    audioplay e022 e034 0    audiostop e024 e03b 0   volumedown e02e e021 0
volumeup e030 e032 0     ro 73 51 51              yen 7d 6a 5d            henkan 79 64 86
muhenkan 7b 67 85        hiragana 70 13 87        kp_comma 7e 6d 7b       print 0 0 57
pause 0 0 62             sysrq 54 84 57
"""


class Key(NamedTuple):
    """Codes of a key; above FF with the prefix E0."""

    one: int
    two: int
    three: int


def _keys() -> dict[str, Key]:
    words = _KEYS.split()
    return {
        words[i]: Key(*(int(code, 16) for code in words[i + 1 : i + 4]))
        for i in range(0, len(words), 4)
    }


KEYS = _keys()
ALIASES = {
    "kp_multiply": "asterisk",
    "enter": "ret",
    "return": "ret",
    "space": "spc",
    "escape": "esc",
    "del": "delete",
    "ins": "insert",
    "win": "meta_l",
    "compose": "menu",
    "pageup": "pgup",
    "pagedown": "pgdn",
}

# Set 3 as it is after a reset: which keys do not repeat and say when they are released, and which
# only say that they were pressed. All others repeat.
SET3_MAKE_BREAK = {"shift", "shift_r", "ctrl", "alt", "caps_lock"}
_MAKE = """
esc print scroll_lock pause insert home pgup num_lock kp_divide asterisk kp_subtract end pgdn
kp_enter kp_decimal ctrl_r alt_r meta_l meta_r menu sysrq
"""
SET3_MAKE = {*_MAKE.split(), *(f"f{i}" for i in range(1, 13)), *(f"kp_{i}" for i in range(10))}

_PRINTED = {  # US layout: key -> what it types, what it types with shift
    "grave_accent": "`~", "minus": "-_", "equal": "=+", "bracket_left": "[{", "bracket_right": "]}",
    "semicolon": ";:", "apostrophe": "'\"", "backslash": "\\|", "comma": ",<", "dot": ".>",
    "slash": "/?", "1": "1!", "2": "2@", "3": "3#", "4": "4$", "5": "5%", "6": "6^", "7": "7&",
    "8": "8*", "9": "9(", "0": "0)",
}  # fmt: skip
_OTHERS = {
    " ": "spc", "\n": "ret", "\r": "ret", "\t": "tab", "\b": "backspace", "\x7f": "backspace",
    "\x1b": "esc",
}  # fmt: skip


def _characters() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {character: (key,) for character, key in _OTHERS.items()}
    for key, printed in _PRINTED.items():
        found[printed[0]], found[printed[1]] = (key,), ("shift", key)
    for i in range(26):
        letter = chr(ord("a") + i)
        found[letter], found[letter.upper()] = (letter,), ("shift", letter)
        found.setdefault(chr(i + 1), ("ctrl", letter))
    return found


CHARACTERS = _characters()  # character -> the keys to hold for it


def chord(text: str) -> tuple[str, ...]:
    """Take keys apart that are pressed together, as in "ctrl-alt-del"; ValueError: no such key."""
    if text in CHARACTERS:
        return CHARACTERS[text]
    if not (names := [part for part in text.split("-") if part]):
        raise ValueError(f"no key in {text!r}")
    return tuple(key_named(name) for name in names)


def key_named(name: str) -> str:
    """Return the name that KEYS has for a key; ValueError if there is no such key."""
    lowered = name.lower()
    if (found := ALIASES.get(lowered, lowered)) in KEYS:
        return found
    keys = CHARACTERS.get(name)
    if keys is not None and len(keys) == 1:
        return keys[0]
    raise ValueError(f"there is no key {name!r}")


def strokes(text: str) -> list[tuple[str, ...]]:
    """Return the chords that type a text on a US keyboard; ValueError: there is no key for it."""
    found = []
    for character in text:
        if (keys := CHARACTERS.get(character)) is None:
            raise ValueError(f"a US keyboard has no key for {character!r}")
        found.append(keys)
    return found
