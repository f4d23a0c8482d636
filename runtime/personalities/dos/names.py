"""File names: the host's on one side, DOS's 8.3 names in code page 437 on the other.

A host name that is a DOS name but for case keeps it; others get a short name with a tilde and a
number, unique in their directory and the same as long as the program runs.  Long names (functions
71xxh) are the host's own.
"""

from __future__ import annotations

from collections.abc import Iterable

# What may stand in a name besides letters, digits and bytes from 80h on (DOS technical reference).
_PUNCTUATION = b"!#$%&'()-@^_`{}~"
_VALID = frozenset(_PUNCTUATION) | frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_VALID |= frozenset(range(0x80, 0x100))
_NOT_LONG = frozenset(b'"*/:<>?\\|')
DEVICES = frozenset(b"CON NUL PRN AUX CLOCK$ LPT1 LPT2 LPT3 COM1 COM2 COM3 COM4".split())
# Upper case of 80h to FFh in code page 437: the letters that have one.
_SMALL, _CAPITAL = b"\x81\x82\x84\x86\x87\x91\x94\xa4", b"\x9a\x90\x8e\x8f\x80\x92\x99\xa5"
_UPPER = bytes.maketrans(
    _SMALL + bytes(range(ord("a"), ord("z") + 1)), _CAPITAL + bytes(range(ord("A"), ord("Z") + 1))
)


def upper(text: bytes) -> bytes:
    """Return text in capitals, as file names are compared."""
    return text.translate(_UPPER)


def upper_byte(value: int) -> int:
    """Return a character as a capital."""
    return _UPPER[value]


def to_dos(host: bytes) -> bytes | None:
    """Return a host name in code page 437; None if it cannot be written there."""
    try:
        return host.decode("utf-8").encode("cp437")
    except UnicodeError:
        return None


def to_host(name: bytes) -> bytes:
    """Return a DOS name as the host's."""
    return name.decode("cp437").encode("utf-8")


def is_short(name: bytes) -> bool:
    """Whether a name in capitals is an 8.3 name."""
    base, dot, extension = name.partition(b".")
    if not 1 <= len(base) <= 8 or len(extension) > 3 or (dot and not extension):
        return False
    return _VALID.issuperset(base) and _VALID.issuperset(extension)


def is_long(name: bytes) -> bool:
    """Whether a name can be a long one, of at most 255 characters."""
    return (
        0 < len(name) < 256
        and name[-1:] not in (b".", b" ")
        and not any(c < 0x20 or c in _NOT_LONG for c in name)
    )


def shortened(name: bytes) -> bytes:
    """Return a name as programs may give it: cut to 8.3 like DOS does."""
    if name in (b".", b".."):
        return name
    base, _, extension = name.partition(b".")
    extension = extension.partition(b".")[0]
    return base[:8] + (b"." + extension[:3] if extension else b"")


def padded(name: bytes) -> bytes:
    """Return a name as the eleven bytes of FCBs and directory entries, with wildcards spread."""
    if name in (b".", b".."):
        return name.ljust(11)
    base, _, extension = name.partition(b".")
    return _field(base, 8) + _field(extension, 3)


def _field(text: bytes, size: int) -> bytes:
    head, star, _ = text.partition(b"*")
    return (head + b"?" * (size if star else 0)).ljust(size)[:size]


def joined(eleven: bytes) -> bytes:
    """Return the name that eleven bytes stand for."""
    base, extension = eleven[:8].rstrip(b" "), eleven[8:11].rstrip(b" ")
    return base + (b"." + extension if extension else b"")


def matches(template: bytes, eleven: bytes) -> bool:
    """Whether a padded name fits a padded template."""
    return all(t in (0x3F, c) for t, c in zip(template, eleven, strict=True))


class Names:
    """The names of one host directory, both ways."""

    def __init__(self) -> None:
        """Begin without names."""
        self.of_host: dict[bytes, bytes] = {}
        self.of_short: dict[bytes, bytes] = {}
        self._of_long: dict[bytes, bytes] = {}  # capitals -> host name
        self._is_sorted = True  # _of_long has all names
        self.stamp: tuple[int, ...] = ()  # what the directory looked like when it was read

    def update(self, found: Iterable[bytes]) -> None:
        """Take note of what is in the directory now; known names keep their short ones."""
        now = set(found)
        if now == self.of_host.keys():
            return
        self._is_sorted = False
        for host in [h for h in self.of_host if h not in now]:
            del self.of_short[self.of_host.pop(host)]
        fresh = sorted(now - self.of_host.keys(), key=lambda h: (upper(h) != h, h))
        odd = []
        for host in fresh:
            name = to_dos(host)
            short = None if name is None else upper(name)
            if short is None or not is_short(short) or short in self.of_short or is_device(short):
                odd.append(host)
            else:
                self._add(host, short)
        for host in odd:
            self._add(host, self._made_up(host))

    def _add(self, host: bytes, short: bytes) -> None:
        self.of_host[host], self.of_short[short] = short, host

    def long(self, host: bytes) -> bytes:
        """Return the long name of a host name: the same, or the short one if DOS cannot have it."""
        name = to_dos(host)
        return self.of_host[host] if name is None or not is_long(name) else name

    def find_long(self, name: bytes) -> bytes | None:
        """Return the host name that a long or short name means, whatever its case."""
        host = to_host(name)
        if host in self.of_host and self.long(host) == name:
            return host
        if not self._is_sorted:
            self._of_long = {}
            for known in sorted(self.of_host):
                self._of_long.setdefault(upper(self.long(known)), known)
            self._is_sorted = True
        capitals = upper(name)
        return self._of_long.get(capitals) or self.of_short.get(capitals)

    def _made_up(self, host: bytes) -> bytes:
        text = upper(to_dos(host) or host.decode("utf-8", "replace").encode("cp437", "replace"))
        text = text.replace(b" ", b"").lstrip(b".")
        base, dot, extension = text.rpartition(b".")
        if not dot:
            base, extension = text, b""
        base = bytes(c if c in _VALID else 0x5F for c in base.replace(b".", b"")) or b"_"
        extension = bytes(c if c in _VALID else 0x5F for c in extension[:3])
        for number in range(1, 10**7):
            tail = b"~%d" % number
            short = base[: 8 - len(tail)] + tail + (b"." + extension if extension else b"")
            if short not in self.of_short:
                return short
        raise OSError("too many files of one name")


def is_device(name: bytes) -> bool:
    """Whether a name, with or without extension, is a character device's."""
    return name.partition(b".")[0].rstrip(b" :") in DEVICES
