"""DOS itself: what all its services share, and how INT 21h comes to them.

The chain of memory blocks, PSPs, environments and a few tables are in guest memory, where programs
look for them; open files and drives are Python objects.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from runtime.firmware.call import Call
from runtime.firmware.callbacks import Result
from runtime.personalities.dos import country, handlers, longnames, names, tables
from runtime.personalities.dos.calls_dirs import Searches
from runtime.personalities.dos.clockwork import Calendar
from runtime.personalities.dos.console import Console, Screen
from runtime.personalities.dos.drives import Drive, Path
from runtime.personalities.dos.errors import (
    INVALID_DRIVE,
    INVALID_FUNCTION,
    PATH_NOT_FOUND,
    CriticalError,
    DosError,
    of_host,
)
from runtime.personalities.dos.handles import Files, HostFile, Nul, OpenFile
from runtime.personalities.dos.interrupts import Interrupts, Unanswered
from runtime.personalities.dos.keyboard import Keys
from runtime.personalities.dos.lineedit import LineEditor
from runtime.personalities.dos.machine import DosMachine
from runtime.personalities.dos.mcb import Arena
from runtime.personalities.dos.report import Report
from runtime.personalities.dos.table import SERVICES

handlers.load()
_PATIENCE, _NAP = 20, 0.005  # fruitless questions until the host may rest; s
_CHARACTERS = 0x0C  # the last function of keyboard and screen
_WITH_CARRY = 0x38  # functions from here on say by CF whether they failed


class Place(NamedTuple):
    """What a DOS path names: a drive (0 is A:), and names from its root on."""

    number: int
    drive: Drive
    path: Path

    def text(self) -> bytes:
        """Return the path in full."""
        return b"%c:\\" % (65 + self.number) + b"\\".join(self.path)


class Kernel:
    """State of DOS."""

    def __init__(
        self, machine: DosMachine, screen: Screen, keys: Keys, version: tuple[int, int] = (5, 0)
    ) -> None:
        """Put DOS into a machine's memory."""
        self.machine, self.memory = machine, machine.memory
        self.version = version
        self.report = Report()
        self.calendar = Calendar()
        self.drives: dict[int, Drive] = {}
        self.drive = 2
        self.files = Files(self.memory)
        self.console = Console(screen, keys)
        self.console.users = 1  # DOS's own
        self.devices: dict[bytes, OpenFile] = {
            name: Nul() for name in names.DEVICES if name != b"CON"
        }
        self.has_user = True  # somebody is there to answer questions
        self.psp = 0
        self.dta = (0, 0x80)  # segment, offset
        self.verify = self.break_check = False
        self.return_code = 0  # function 4Dh
        self.last_error = 0
        self.switch = ord("/")
        self.country = country.USA
        self.root_psp = self.first_psp = 0
        self.line: LineEditor | None = None  # being typed
        self.flushed: int | None = None  # the input function that 0Ch waits for
        self.reads_at_end = 0  # of handle 0, one after the other
        self.typed = b""  # of a line, not read yet
        self.last_line = b""
        self.locks: set[tuple[int, int, int]] = set()
        self.searches, self.long_searches = Searches(), longnames.Searches()
        self.fcb_files: dict[int, tuple[int, HostFile]] = {}  # number -> PSP, file
        self.multiplex: dict[int, Callable[[Call], None]] = {}  # AX of INT 2Fh
        self.on_program_end: list[Callable[[int], None]] = []  # called with its PSP
        self.skip_carry = False  # the function running has left its caller
        self._idle = 0
        self.tables = tables.build(self)
        self.arena = Arena(
            self.memory, self.tables.first_block, tables.END_OF_MEMORY, tables.UPPER_MEMORY
        )
        tables.finish(self)
        self.answer: Callable[[Call], Result | None] = self.serve  # INT 21h; or who looks on
        self.interrupts = Interrupts(self)

    # -- INT 21h -----------------------------------------------------------------------------------
    def serve(self, call: Call) -> Result | None:
        """Serve INT 21h."""
        function = call.ah
        self.skip_carry = False
        if function > _CHARACTERS:
            self.interrupts.note_call(function)
        found = SERVICES.get(function)
        if found is None:
            self.report.unknown(0x21, function)
            call.ax, call.carry = INVALID_FUNCTION, True
            return None
        if function < _WITH_CARRY:
            try:
                return found(self, call)
            except Unanswered:
                self.interrupts.give_up(call)
                return None
            except CriticalError as error:
                self.interrupts.critical_error(call, error)
                return None
            except (DosError, OSError) as error:
                self.last_error = error_code(error)
                call.al = 0xFF
                return None
        try:
            result = found(self, call)
        except CriticalError as error:
            self.interrupts.critical_error(call, error)
            return None
        except (DosError, OSError) as error:
            self.fail(call, error_code(error))
            return None
        if result is None and not self.skip_carry:
            call.carry = False
        return result

    def fail(self, call: Call, code: int) -> None:
        """Let a function fail."""
        self.last_error = code
        call.ax, call.carry = code, True

    def control_break(self, call: Call) -> Result | None:
        """Ctrl-C was typed: INT 23h decides."""
        return self.interrupts.control_break(call)

    # -- waiting -----------------------------------------------------------------------------------
    def idle(self) -> None:
        """Give host time away: the program asked for input, and there is none."""
        self._idle += 1
        if self._idle > _PATIENCE:
            time.sleep(_NAP)

    def busy(self) -> None:
        """Take note that the program does something."""
        self._idle = 0

    # -- files -------------------------------------------------------------------------------------
    def device(self, text: bytes) -> OpenFile | None:
        """Return the character device that a path names; None if it is none."""
        name = names.upper(text.replace(b"/", b"\\").rpartition(b"\\")[2].partition(b":")[0])
        if len(text) > 2 and text[1:2] == b":":
            name = names.upper(text[2:].replace(b"/", b"\\").rpartition(b"\\")[2])
        name = name.partition(b".")[0].rstrip(b" :")
        if name == b"CON":
            return self.console
        return self.devices.get(name)

    def resolve_entry(self, text: bytes) -> Place:
        """Read the path of a file that exists; DosError."""
        place = self.resolve(text)
        place.drive.entry(place.path)
        return place

    def add_fcb_file(self, file: HostFile) -> int:
        """Keep a file opened by FCB; return its number."""
        number = next(n for n in range(1, 0x10000) if n not in self.fcb_files)
        self.fcb_files[number] = self.psp, file
        return number

    def fcb_closed(self, psp: int) -> None:
        """Close the files that a program opened by FCB."""
        for number in [n for n, (owner, _) in self.fcb_files.items() if owner == psp]:
            self.fcb_files.pop(number)[1].close()

    # -- paths -------------------------------------------------------------------------------------
    def drive_number(self, number: int) -> int:
        """Return a drive for a number as functions take it: 0 the current one, 1 A:; DosError."""
        number = self.drive if number == 0 else number - 1
        if number not in self.drives:
            raise DosError(INVALID_DRIVE)
        return number

    def split_drive(self, text: bytes) -> tuple[int, bytes]:
        """Cut the drive off a path; DosError if there is no such drive."""
        number = self.drive
        if text[1:2] == b":":
            letter = text[0] & 0xDF
            number, text = letter - 65, text[2:]
        if number not in self.drives:
            raise DosError(PATH_NOT_FOUND)
        return number, text

    def resolve(self, text: bytes) -> Place:
        """Read a DOS path: drive, current directory, dots; names are cut to 8.3. DosError."""
        number, text = self.split_drive(text.rstrip(b" "))
        drive = self.drives[number]
        text = names.upper(text).replace(b"/", b"\\")
        parts = [] if text[:1] == b"\\" else list(drive.current)
        for name in text.split(b"\\"):
            if name in (b"", b"."):
                continue
            if name == b"..":
                if not parts:
                    raise DosError(PATH_NOT_FOUND)
                parts.pop()
                continue
            if name.startswith(b"."):
                raise DosError(PATH_NOT_FOUND)
            parts.append(names.shortened(name))
        return Place(number, drive, tuple(parts))

    def path_at(self, segment: int, offset: int) -> bytes:
        """Read a path from guest memory; DosError if it is too long or empty."""
        text = self.memory.asciiz(segment, offset, 261)
        if len(text) > 128 or not text:
            raise DosError(PATH_NOT_FOUND)
        return text


def error_code(error: DosError | OSError) -> int:
    """Return the DOS error of an exception."""
    return error.code if isinstance(error, DosError) else of_host(error)
