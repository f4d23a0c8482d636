"""`jitemu run` of a DOS program: settings in; ends this process as the program ended."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from jitemu.complain import complain
from jitemu.config import LIMIT_STATUS, USAGE_STATUS, Config
from jitemu.ending import die, orderly

if TYPE_CHECKING:
    from runtime.personalities.dos.system import Dos, End
    from runtime.screen.console import Console

_COM, _EXE, _BAT = (".com", ".exe", ".bat")
_IMPATIENT = 2.0  # s in which a second Ctrl-C ends a program that handles the first
_PATIENCE = 1.0  # s that a program has to end because of a signal


class Display(Protocol):
    """What shows a machine."""

    def close(self) -> None:
        """Give back what it took."""
        ...


def is_dos(program: str) -> bool:
    """Whether a file is for DOS: an MZ executable, or by its name a .COM image or a batch file."""
    try:
        with open(program, "rb") as file:
            head = file.read(4)
    except OSError:
        return False
    if head[:2] in (b"MZ", b"ZM"):
        return True
    return program.lower().endswith((_COM, _EXE, _BAT)) and not head.startswith((b"\x7fELF", b"#!"))


def start(config: Config, started: float) -> int:
    """Run a DOS program as the settings say; returns only if it cannot start."""
    from runtime.loaders.elf import LoadError
    from runtime.personalities.dos.system import Dos
    from translator.strategies import STRATEGIES

    if config.strategy not in STRATEGIES:
        names = ", ".join(sorted(STRATEGIES))
        complain(f"unknown strategy {config.strategy!r}: choose from {names}")
        return USAGE_STATUS
    if config.log or config.perf_map or config.jitdump:
        complain("-d, --perf-map and --jitdump are for Linux programs (DOS programs: -strace)")
        return USAGE_STATUS
    try:
        dos = Dos(config.program, list(config.args), config.dos, config.strategy)
    except LoadError as error:
        complain(str(error))
        return error.status
    except ValueError as error:
        complain(str(error))
        return USAGE_STATUS
    engine = dos.machine.processor.engine
    if config.region_threshold is not None:
        engine.tiering.set_threshold(config.region_threshold)
    if config.code_cache is not None:
        engine.cache.set_size(config.code_cache)
    if config.linux.strace:
        try:
            _trace(dos, config.log_file)
        except OSError as error:
            complain(f"--logfile {config.log_file}: {error.strerror}")
            return USAGE_STATUS
    gc.freeze()
    gc.set_threshold(200_000, 4, 2)
    killed: list[int] = []

    def end_now(number: int) -> None:
        dos.leave_terminal()
        die(number)

    def kill(number: int) -> None:
        killed.append(number)
        dos.machine.loop.stop("quit")
        _soon(_PATIENCE, lambda: end_now(number))  # if it waits for input

    with contextlib.ExitStack() as clean, orderly(kill):
        dos.leave_terminal = clean.close
        try:
            _show(dos, config, clean)
        except (OSError, ValueError) as error:
            complain(str(error))
            return USAGE_STATUS
        if config.dos.timeout is not None:
            _limit_time(dos, config.dos.timeout)
        end = _run(dos, config.budget)
        clean.close()
        if killed:
            die(killed[0])
        end = _with_script(dos, end)
        if config.stats:
            _print_statistics(dos, started)
        _finish(dos, end, report=config.dos.report)
    return 0


def _show(dos: Dos, config: Config, clean: contextlib.ExitStack) -> None:
    """Let the program have its terminal, or the display and the script it was started with."""
    if config.dos.has_screen:
        from runtime.screen.console import Console

        machine = dos.machine
        loop, ps2, vga = machine.loop, machine.ps2, dos.display.adapter()
        console = Console(loop.post, lambda: loop.is_elsewhere, ps2.keyboard, ps2.mouse, vga)
        shown = _open_display(console, config.display or "none", lambda: loop.stop("quit"))
        if shown is not None:
            clean.callback(shown.close)
        if config.script is not None:
            _run_script(dos, config.script, console)
    elif dos.is_interactive:
        from jitemu.dosterminal import DosTerminal

        terminal = DosTerminal(dos)
        clean.callback(terminal.close)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _open_display(console: Console, kind: str, on_quit: Callable[[], None]) -> Display | None:
    if kind == "text":
        from jitemu.display.terminal import TerminalDisplay

        return TerminalDisplay(console, on_quit)
    if kind == "window":
        from jitemu.display.window import WindowDisplay

        return WindowDisplay(console, on_quit)
    if kind.startswith("png:"):
        from jitemu.display.files import PngDisplay

        return PngDisplay(console, kind.removeprefix("png:"))
    return None


def _run_script(dos: Dos, path: str, console: Console) -> None:
    from jitemu.script import Script, ScriptError, ScriptRun

    try:
        script = Script(sys.stdin.read(), "stdin") if path == "-" else Script.load(path)
        script.check()
    except ScriptError as error:
        raise ValueError(str(error)) from None
    dos.script = ScriptRun(script, console, lambda: dos.machine.loop.stop("script"))


def _run(dos: Dos, budget: int | None) -> End:
    """Run to the end; Ctrl-C ends the program, unless it handles INT 23h and does so soon."""
    last = 0.0
    while True:
        try:
            return dos.run(budget)
        except KeyboardInterrupt:
            now = time.monotonic()
            is_drawn = dos.display.is_drawn  # then Ctrl-C is a key, and this was the third
            if is_drawn or not dos.handles_break() or now - last < _IMPATIENT:
                raise
            last = now
            dos.press_break()


def _trace(dos: Dos, path: str | None) -> None:
    """Print the calls of DOS to stderr or a file. OSError."""
    from runtime.personalities.dos.trace import Trace

    out = sys.stderr
    if path is not None:
        out = open(path.replace("%d", str(os.getpid())), "w", 1)  # noqa: SIM115 (until the end)
    dos.kernel.answer = Trace(dos.kernel, out).serve


def _limit_time(dos: Dos, seconds: float) -> None:
    def stop() -> None:
        dos.leave_terminal()
        complain(f"the time limit of {seconds:g} s is reached (--timeout)")
        os._exit(LIMIT_STATUS)

    _soon(seconds, stop)


def _soon(seconds: float, function: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, function)
    timer.daemon = True
    timer.start()


def _with_script(dos: Dos, end: End) -> End:
    """Return an end, or that the script waited for something that will not come any more."""
    from runtime.personalities.dos.system import End

    if dos.script is None:
        return end
    dos.script.machine_ended()
    return end if dos.script.error is None else End(1, str(dos.script.error))


def _print_statistics(dos: Dos, started: float) -> None:
    counts = dos.machine.processor.engine.statistics
    now = time.perf_counter() - started
    complain(
        f"{now:.3f} s, {time.process_time():.3f} s of processor time; "
        f"{counts.blocks} blocks, {counts.invalidations} blocks dropped, "
        f"{counts.insns_interpreted} insns interpreted"
    )


def _finish(dos: Dos, end: End, *, report: bool) -> None:
    """End this process, with what is to be told."""
    missing = dos.kernel.report
    if end.note:
        complain(end.note)
    if report:
        complain(missing.full())
    elif end.status and missing.summary():
        complain(missing.summary())
    status = LIMIT_STATUS if end.is_limit else end.status
    with contextlib.suppress(Exception):
        dos.close()
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(status)
