"""A DOS program from the command line to its end: drives, standard streams, the run itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple, Protocol

from runtime.loaders import mz
from runtime.loaders.elf import LoadError
from runtime.personalities.dos import programs
from runtime.personalities.dos import psp as layout
from runtime.personalities.dos.console import (
    EndOfInput,
    Input,
    Output,
    OutputClosed,
    StandardInput,
    StandardOutput,
)
from runtime.personalities.dos.display import Display
from runtime.personalities.dos.dpmi.host import Host
from runtime.personalities.dos.drives import Drive
from runtime.personalities.dos.ems import Ems
from runtime.personalities.dos.errors import BAD_FORMAT, NO_MEMORY, DosError
from runtime.personalities.dos.extended import ExtendedMemory
from runtime.personalities.dos.handles import OpenFile
from runtime.personalities.dos.kernel import Kernel, Place
from runtime.personalities.dos.keyboard import BufferedKeys, Keys, KeyService
from runtime.personalities.dos.machine import MEMORY, SMALLEST, Crash, DosMachine, Halted
from runtime.personalities.dos.mouse import Mouse
from runtime.personalities.dos.options import DosOptions
from runtime.personalities.dos.xms import Xms
from runtime.system.physical import PAGE
from translator import DEFAULT_STRATEGY

_LIMIT = 1 << 60
NOT_FOUND, CANNOT_RUN = 127, 126
BATCH = ".bat"
CRASHED = 255  # exit status of a program that went wrong, as of one that divides by zero


class End(NamedTuple):
    """How a run ended: exit status, and a line for the user ("" if there is nothing to say)."""

    status: int
    note: str = ""
    is_limit: bool = False


class ScriptLike(Protocol):
    """What presses keys for the user."""

    @property
    def error(self) -> Exception | None:
        """What went wrong."""
        ...

    @property
    def status(self) -> int | None:
        """The exit status that it asks for."""
        ...

    def machine_ended(self) -> None:
        """Fail, if a text is waited for that cannot come any more."""
        ...


class Dos:
    """A DOS program, loaded and ready to run."""

    def __init__(
        self,
        program: str,
        arguments: list[str],
        options: DosOptions,
        strategy: str = DEFAULT_STRATEGY,
    ) -> None:
        """Load a program (a host path) with its arguments. LoadError, ValueError."""
        batch = program if program.lower().endswith(BATCH) else ""
        if batch:
            program = _interpreter(batch)
        data = _check(program)
        kind = mz.describe_other(data)
        self.note = f"{program} is for {kind}; what runs is its part for DOS" if kind else ""
        self.options = options
        # Set by who shows the program: gives the terminal back, from any thread; a running script.
        self.leave_terminal: Callable[[], None] = lambda: None
        self.script: ScriptLike | None = None
        size = MEMORY if options.memory_limit is None else options.memory_limit
        self.machine = DosMachine(strategy, max(size & -PAGE, SMALLEST))
        try:
            self.display = Display(self.machine, Output(1))
            self.is_interactive = os.isatty(0) and os.isatty(1) and not options.has_screen
            self.buffered: BufferedKeys | None = None
            self._input: Input | None = None
            keys: Keys
            if options.has_screen or os.isatty(0):
                keys = self.buffered = BufferedKeys(self.machine)
            else:
                keys = self._input = Input(0)
                KeyService(self.machine, self._input)
            if options.has_screen:
                self.display.adapter()
                self.display.is_drawn = self.display.is_shown = True
            self.kernel = Kernel(self.machine, self.display, keys, options.version)
            self.kernel.has_user = self.buffered is not None
            self._add_drivers()
            self._mount(options.mounts, program)
            if batch:
                name = self._place(batch).text().decode("cp437")
                arguments = ["/C", name, *arguments]
            self._start(program, arguments)
            self.machine.processor.engine.begin(data)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give all that the host lent back."""
        self.machine.close()

    def _add_drivers(self) -> None:
        """Put drivers into place: the mouse, and memory above the first MiB."""
        kernel = self.kernel
        self.mouse = Mouse(kernel)
        pool = ExtendedMemory(SMALLEST, self.machine.physical.size)
        if pool.total():
            self.xms = Xms(kernel, pool)
            self.ems = Ems(kernel, pool)
            self.dpmi = Host(kernel, pool)

    # -- drives ------------------------------------------------------------------------------------
    def _mount(self, mounts: tuple[str, ...], program: str) -> None:
        kernel = self.kernel
        for text in mounts:
            number, drive = _parse_mount(text)
            kernel.drives[number] = drive
        if 2 not in kernel.drives:
            kernel.drives[2] = Drive(os.getcwd())
        cwd = os.path.realpath(os.getcwd())
        for number, drive in sorted(kernel.drives.items()):
            drive.number = number
            if number >= 2 and (cwd == drive.root or cwd.startswith(drive.root.rstrip("/") + "/")):
                place = _inside(number, drive, cwd)
                if place is not None:
                    drive.current = place.path
        kernel.drive = 2

    def _place(self, program: str) -> Place:
        """Return the program's place on a drive; its directory becomes one if it has none."""
        kernel = self.kernel
        path = os.path.realpath(program)
        for number, drive in sorted(kernel.drives.items()):
            found = _inside(number, drive, path)
            if found is not None:
                return found
        number = next((n for n in range(3, 26) if n not in kernel.drives), -1)
        if number < 0:
            raise LoadError(f"{program}: no drive letter is left for its directory")
        kernel.drives[number] = drive = Drive(os.path.dirname(path), is_read_only=True)
        drive.number = number
        found = _inside(number, drive, path)
        if found is None:
            raise LoadError(f"{program}: has no DOS name")
        return found

    # -- the program -------------------------------------------------------------------------------
    def _start(self, program: str, arguments: list[str]) -> None:
        kernel = self.kernel
        place = self._place(program)
        folder = place._replace(path=place.path[:-1]).text().decode("cp437")
        paths = "C:\\" if folder == "C:\\" else f"{folder};C:\\"
        variables = {"PATH": paths, "COMSPEC": "C:\\COMMAND.COM", "PROMPT": "$P$G"}
        for entry in self.options.env:
            name, _, value = entry.partition("=")
            variables[name.upper()] = value
        words = " ".join(arguments).encode("cp437", "replace")
        tail = layout.tail(b" " + words if words else b"")
        if len(words) >= layout.TAIL_MAX:  # as 4DOS and others hand long command lines on
            variables["CMDLINE"] = " ".join([place.text().decode("cp437"), *arguments])
        block = [f"{n}={v}".encode("cp437", "replace") for n, v in variables.items()]
        programs.root(kernel, block)
        self._open_standard()
        try:
            start = programs.load(kernel, place, 0, tail)
        except DosError as error:
            raise LoadError(
                f"{program}: {_WHY.get(error.code, f'DOS error {error.code}')}"
            ) from None
        kernel.first_psp = start.psp
        programs.set_fcbs(kernel, start.psp, words)
        programs.enter(kernel, start)

    def _open_standard(self) -> None:
        kernel = self.kernel
        console = kernel.console
        first: OpenFile = console if self._input is None else StandardInput(self._input)
        files: list[OpenFile] = [first]
        for fd in (1, 2):
            is_console = self.options.has_screen or os.isatty(fd)
            files.append(console if is_console else StandardOutput(Output(fd)))
        files += [kernel.devices[b"AUX"], kernel.devices[b"PRN"]]
        for file in files:
            before = file.users
            kernel.files.open(kernel.psp, file)
            file.users += before

    def handles_break(self) -> bool:
        """Whether the program has its own INT 23h."""
        segment, offset = self.kernel.interrupts.default_break
        return self.kernel.memory.u32(4 * 0x23) != segment << 16 | offset

    def press_break(self) -> None:
        """Press Ctrl-C."""
        self.machine.ps2.keyboard.press("ctrl-c", 0.02)

    def run(self, budget: int | None = None) -> End:
        """Run the program to its end, or until it has executed *budget* insns.

        KeyboardInterrupt at Ctrl-C, BrokenPipeError if nobody reads its output.
        """
        machine = self.machine
        if self.options.cycles is not None:
            machine.slow_down(self.options.cycles, budget)
        else:
            machine.processor.cpu.budget = _LIMIT if budget is None else budget
        try:
            reason = machine.loop.run()
        except programs.ProgramEnd as end:
            return End(end.status, end.note or self.note)
        except OutputClosed:
            raise BrokenPipeError from None
        except EndOfInput:
            return End(1, "the program waits for input, which has ended")
        except Crash as error:
            return End(CRASHED, f"the program caused {error}")
        except Halted:
            return End(CRASHED, "the program halted the processor with interrupts off")
        if reason == "budget":
            note = f"the budget of {budget} insns is used up (--budget)"
            return End(CANNOT_RUN, note, is_limit=True)
        if reason == "interrupt":
            raise KeyboardInterrupt
        if reason in ("quit", "script"):
            return self._stopped()
        return End(CRASHED, f"the program ended the machine: {reason}")

    def _stopped(self) -> End:
        """Return how a run ended that the user, or a script, has ended."""
        script = self.script
        if script is not None and script.error is not None:
            return End(1, str(script.error))
        return End((script.status or 0) if script is not None else 0)


_WHY = {
    NO_MEMORY: "needs more conventional memory than there is",
    BAD_FORMAT: "is no program for DOS",
}


def _interpreter(batch: str) -> str:
    """Return the COMMAND.COM that runs a batch file: beside it, or here. LoadError."""
    if not os.path.isfile(batch):
        raise LoadError(f"{batch}: no such file", status=NOT_FOUND)
    for folder in (os.path.dirname(batch) or ".", "."):
        for name in sorted(os.listdir(folder)):
            if name.lower() == "command.com":
                return os.path.join(folder, name)
    raise LoadError(f"{batch}: a batch file needs a COMMAND.COM (FreeDOS's, say) beside it")


def _check(program: str) -> bytes:
    """Return the bytes of a program file; LoadError if it cannot be one."""
    try:
        with open(program, "rb") as file:
            data = file.read(programs.LARGEST)
    except FileNotFoundError:
        raise LoadError(f"{program}: no such file", status=NOT_FOUND) from None
    except OSError as error:
        raise LoadError(f"{program}: {(error.strerror or 'cannot be read').lower()}") from None
    if not data:
        raise LoadError(f"{program}: is empty")
    if mz.is_mz(data):
        try:
            mz.parse(data)
        except mz.BadProgram as error:
            raise LoadError(f"{program}: {error}") from None
    elif len(data) > mz.COM_MAX:
        raise LoadError(f"{program}: is too large for a .COM program")
    return data


def _inside(number: int, drive: Drive, path: str) -> Place | None:
    """Return where a host path is on a drive, None if it is elsewhere or not shown."""
    root = drive.root.rstrip("/") + "/"
    if not (path + "/").startswith(root):
        return None
    found: tuple[bytes, ...] = ()
    for part in os.fsencode(path[len(root) :]).split(b"/"):
        if not part:
            continue
        try:
            with drive.directory(found) as (_, known):
                name = known.of_host.get(part)
        except DosError:
            return None
        if name is None:
            return None
        found = (*found, name)
    return Place(number, drive, found)


def _parse_mount(text: str) -> tuple[int, Drive]:
    """Read X=DIR[:ro|rw]; ValueError."""
    letter, sign, path = text.partition("=")
    letter = letter.rstrip(":")
    if not sign or len(letter) != 1 or not letter.isascii() or not letter.isalpha() or not path:
        raise ValueError(f"--mount {text}: for a DOS program, X=DIR[:ro|rw] with a drive letter")
    is_read_only = False
    if path.endswith((":ro", ":rw")):
        path, is_read_only = path[:-3], path.endswith(":ro")
    try:
        return ord(letter.upper()) - 65, Drive(path, is_read_only=is_read_only)
    except OSError as error:
        raise ValueError(f"--mount {text}: {(error.strerror or '').lower()}") from None
