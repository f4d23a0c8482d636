"""`jitemu run` of a DOS program: settings in; ends this process as the program ended."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from jitemu.complain import complain
from jitemu.config import LIMIT_STATUS, USAGE_STATUS, Config

if TYPE_CHECKING:
    from runtime.personalities.dos.system import Dos, End

_COM, _EXE = (".com", ".exe")


def is_dos(program: str) -> bool:
    """Whether a file is for DOS: an MZ executable, or by its name an image without a header."""
    try:
        with open(program, "rb") as file:
            head = file.read(4)
    except OSError:
        return False
    if head[:2] in (b"MZ", b"ZM"):
        return True
    return program.lower().endswith((_COM, _EXE)) and not head.startswith((b"\x7fELF", b"#!"))


def start(config: Config, started: float) -> int:
    """Run a DOS program as the settings say; returns only if it cannot start."""
    from runtime.loaders.elf import LoadError
    from runtime.personalities.dos.system import Dos
    from translator.strategies import STRATEGIES

    if config.strategy not in STRATEGIES:
        names = ", ".join(sorted(STRATEGIES))
        complain(f"unknown strategy {config.strategy!r}: choose from {names}")
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
    gc.freeze()
    gc.set_threshold(200_000, 4, 2)
    if config.dos.timeout is not None:
        _limit_time(dos, config.dos.timeout)
    end = dos.run(config.budget)
    if config.stats:
        _print_statistics(dos, started)
    _finish(dos, end, report=config.dos.report)
    return 0


def _limit_time(dos: Dos, seconds: float) -> None:
    def stop() -> None:
        dos.leave_terminal()
        complain(f"the time limit of {seconds:g} s is reached (--timeout)")
        os._exit(LIMIT_STATUS)

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()


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
    dos.leave_terminal()
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
