"""Words of -serial -> what a serial port is connected to: stdio, files, sockets."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import tty
from collections.abc import Callable
from typing import Protocol

from jitemu.complain import complain

_READ, _COMMAND = 4096, 1  # bytes; Ctrl-A
# TELNET (RFC 854): what begins a command, commands with an option behind; our greeting: we echo,
# suppress go-ahead (RFC 857, 858), and both sides send bytes (RFC 856).
_IAC, _NEGOTIATES = 255, range(251, 255)
_GREETING = bytes((255, 251, 1, 255, 251, 3, 255, 251, 0, 255, 253, 0))
_FLAGS = {"server", "server=on", "server=off", "nowait", "wait", "wait=on", "wait=off", "nodelay"}
STDIO = ("stdio", "mon:stdio")
FORMS = (
    "stdio, mon:stdio, null, none, pty, file:PATH, tcp:HOST:PORT[,server[,nowait]], "
    "telnet:HOST:PORT[,server[,nowait]] or unix:PATH[,server[,nowait]]"
)


class Peer(Protocol):
    """The other end of a serial line."""

    def write(self, data: bytes) -> None:
        """Take what the guest sent; in the guest's thread."""
        ...

    def start(self, receive: Callable[[bytes], None]) -> None:
        """Begin to hand over, from any thread, what is for the guest."""
        ...

    def close(self) -> None:
        """Finish."""
        ...


class Null:
    """Somebody who takes everything and says nothing."""

    def write(self, data: bytes) -> None:
        """Forget it."""

    def start(self, receive: Callable[[bytes], None]) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Do nothing."""


class File(Null):
    """A file that gets all that is sent."""

    def __init__(self, path: str) -> None:
        """Make the file, or empty it; OSError."""
        self._file = open(path, "wb", 0)  # noqa: SIM115 (closed by `close`)

    def write(self, data: bytes) -> None:
        """Append."""
        self._file.write(data)

    def close(self) -> None:
        """Close it."""
        self._file.close()


class Stdio:
    """The terminal, or whatever stdin and stdout are.

    In a terminal keys go to the guest as they are pressed, and Ctrl-A is for us, as in QEMU: then X
    ends the machine, another Ctrl-A or A is one for the guest.
    """

    def __init__(self, *, keys: bool = True, quits: bool = True) -> None:
        """Take stdin over, if it is a terminal: *keys* come without echo.

        *quits*: Ctrl-C ends the machine; else it is for the guest.
        """
        self._saved: list[object] | None = None
        self.on_quit: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGINT)
        self._is_command = False
        if keys and sys.stdin is not None and os.isatty(0):
            import termios

            self._saved = termios.tcgetattr(0)
            mode = termios.tcgetattr(0)
            mode[0] &= ~(termios.ICRNL | termios.IXON)
            mode[3] &= ~(termios.ICANON | termios.ECHO)
            if not quits:
                mode[3] &= ~termios.ISIG
            termios.tcsetattr(0, termios.TCSADRAIN, mode)

    def write(self, data: bytes) -> None:
        """Print, whatever the terminal's encoding."""
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def start(self, receive: Callable[[bytes], None]) -> None:
        """Read stdin in a thread, until its end."""

        def read() -> None:
            with contextlib.suppress(OSError, ValueError):
                while data := os.read(0, _READ):
                    rest = data if self._saved is None else self.filter(data)
                    if rest:
                        receive(rest)

        threading.Thread(target=read, name="stdin", daemon=True).start()

    def filter(self, data: bytes) -> bytes:
        """Take our commands out of what was typed."""
        found = bytearray()
        for key in data:
            if self._is_command:
                self._is_command = False
                if key in b"xX":
                    self.on_quit()
                elif key in (_COMMAND, *b"aA"):
                    found.append(_COMMAND)
            elif key == _COMMAND:
                self._is_command = True
            else:
                found.append(key)
        return bytes(found)

    def close(self) -> None:
        """Give the terminal back as it was."""
        if self._saved is not None:
            import termios

            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)  # type: ignore[arg-type]
            self._saved = None


class Socket:
    """A stream socket: connected to somebody, or waiting for one caller after the other."""

    def __init__(
        self,
        family: int,
        address: object,
        *,
        is_server: bool,
        waits: bool = False,
        is_telnet: bool = False,
    ) -> None:
        """Connect or listen; *waits* for the first caller. OSError."""
        self._is_telnet = is_telnet
        self._command = b""  # the beginning of one of TELNET's
        made = socket.socket(family, socket.SOCK_STREAM)
        self._listener: socket.socket | None = None
        self._peer: socket.socket | None = None
        try:
            if is_server:
                if isinstance(address, str):
                    _remove_abandoned(address)
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                made.bind(address)  # type: ignore[arg-type]
                made.listen(1)
                self._listener = made
                if waits:
                    complain(f"waiting for a caller at {_shown(made.getsockname())}")
                    self._accept()
            else:
                made.connect(address)  # type: ignore[arg-type]
                self._peer = made
        except OSError:
            made.close()
            raise

    @property
    def port(self) -> int:
        """The TCP port that it listens on, or is connected from."""
        who = self._listener or self._peer
        return int(who.getsockname()[1]) if who is not None else 0

    def _accept(self) -> socket.socket:
        assert self._listener is not None
        peer, _ = self._listener.accept()
        if self._is_telnet:
            peer.sendall(_GREETING)
        self._peer, self._command = peer, b""
        return peer

    def write(self, data: bytes) -> None:
        """Send; what nobody is there for is lost, as on a line that is not plugged in."""
        peer = self._peer
        if peer is not None:
            try:
                peer.sendall(data.replace(b"\xff", b"\xff\xff") if self._is_telnet else data)
            except OSError:
                self._peer = None

    def start(self, receive: Callable[[bytes], None]) -> None:
        """Receive in a thread."""
        threading.Thread(target=self._serve, args=(receive,), name="serial", daemon=True).start()

    def _serve(self, receive: Callable[[bytes], None]) -> None:
        with contextlib.suppress(OSError):
            while True:
                if self._peer is None and self._listener is None:
                    return
                peer = self._peer or self._accept()
                try:
                    data = peer.recv(_READ)
                except OSError:
                    data = b""
                if not data:
                    self._peer = None
                elif self._is_telnet:
                    data, self._command = typed(self._command + data)
                if data:
                    receive(data)

    def close(self) -> None:
        """Hang up."""
        name = "" if self._listener is None else self._listener.getsockname()
        if isinstance(name, str) and name:
            with contextlib.suppress(OSError):
                os.unlink(name)
        for who in (self._peer, self._listener):
            if who is not None:
                with contextlib.suppress(OSError):
                    who.shutdown(socket.SHUT_RDWR)
                who.close()


def _remove_abandoned(path: str) -> None:
    """Remove a socket on which nobody listens any more."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as caller:
        try:
            caller.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)


class Pty:
    """A terminal of its own, whose name a person is told."""

    def __init__(self) -> None:
        """Make it; OSError."""
        self._ours, self._theirs = os.openpty()  # both: without a user it would hang up
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        complain(f"a serial port is at {os.ttyname(self._theirs)}")

    def write(self, data: bytes) -> None:
        """Send; what nobody reads is lost when there is too much of it."""
        with contextlib.suppress(OSError):
            os.write(self._ours, data)

    def start(self, receive: Callable[[bytes], None]) -> None:
        """Read in a thread."""

        def read() -> None:
            with contextlib.suppress(OSError, ValueError):
                while select.select([self._ours], [], []):
                    receive(os.read(self._ours, _READ))

        threading.Thread(target=read, name="serial", daemon=True).start()

    def close(self) -> None:
        """Hang up."""
        os.close(self._theirs)
        os.close(self._ours)


def typed(data: bytes) -> tuple[bytes, bytes]:
    """Take TELNET's commands (RFC 854) out of what a caller sent; return the rest of one, too."""
    found = bytearray()
    while data:
        if data[0] != _IAC:
            end = data.find(_IAC)
            end = len(data) if end < 0 else end
            found += data[:end]
            data = data[end:]
            continue
        size = 3 if len(data) > 1 and data[1] in _NEGOTIATES else 2
        if len(data) < size:
            return bytes(found), data
        if data[1] == _IAC:
            found.append(_IAC)
        data = data[size:]
    return bytes(found), b""


def _shown(address: object) -> str:
    return ":".join(map(str, address)) if isinstance(address, tuple) else str(address)


def connect(text: str) -> Peer | None:
    """Open what -serial names; None for "none". ValueError for what it cannot be, OSError."""
    kind, _, rest = text.partition(":")
    if text in STDIO:
        return Stdio(quits=text == "stdio")
    if text == "null":
        return Null()
    if text == "none":
        return None
    if text == "pty":
        return Pty()
    if kind == "file" and rest:
        return File(rest)
    place, *flags = rest.split(",")
    is_server = any(flag in ("server", "server=on") for flag in flags)
    waits = is_server and not {"nowait", "wait=off"} & set(flags)
    if set(flags) <= _FLAGS:
        if kind in ("tcp", "telnet"):
            host, _, port = place.rpartition(":")
            if port.isdecimal() and int(port) < 1 << 16:
                return Socket(
                    socket.AF_INET,
                    (host or "127.0.0.1", int(port)),
                    is_server=is_server,
                    waits=waits,
                    is_telnet=kind == "telnet",
                )
        if kind == "unix" and place:
            return Socket(socket.AF_UNIX, place, is_server=is_server, waits=waits)
    raise ValueError(f"-serial {text}: expected {FORMS}")
