"""`jitemu run`: arguments in; ends this process as the guest ended."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jitemu.complain import complain
from jitemu.config import LIMIT_STATUS, USAGE_STATUS, Config

if TYPE_CHECKING:
    from jitemu.statistics import Times
    from runtime.personalities.linux import Linux

# Called before the guest runs; returns what to call when it has ended.
Watch = Callable[["Linux"], Callable[["Times"], None]]


def run(words: Sequence[str]) -> int:
    """Run a guest; returns only if it could not be started."""
    started = time.perf_counter()
    die_of_interrupt()
    from jitemu.options import LOG_ITEMS, UsageError, parse

    try:
        config = parse(words)
    except UsageError as error:
        complain(f"{error} (see jitemu run --help)")
        return USAGE_STATUS
    if "help" in config.log:
        print("\n".join(f"{name:<10} {text}" for name, text in LOG_ITEMS.items()), flush=True)
        return 0
    return start(config, started)


def die_of_interrupt() -> None:
    """Let Ctrl-C kill at once, as it would natively."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(config: Config, started: float, watch: Watch | None = None) -> int:
    """Run a guest as the settings say, since when is known; returns only if it cannot start."""
    from jitemu import dosrun

    if dosrun.is_dos(config.program):
        return dosrun.start(config, started)
    from runtime.loaders.elf import LoadError
    from runtime.personalities import linux as personality
    from translator.strategies import STRATEGIES

    if config.strategy not in STRATEGIES:
        names = ", ".join(sorted(STRATEGIES))
        complain(f"unknown strategy {config.strategy!r}: choose from {names}")
        return USAGE_STATUS
    arguments = [config.program, *config.args]
    try:
        linux = personality.Linux(config.program, arguments, config.linux, config.strategy)
    except LoadError as error:
        complain(str(error))
        return error.status
    except ValueError as error:  # an option's value that only the personality can judge
        complain(str(error))
        return USAGE_STATUS
    if _has_log(config):
        from jitemu.log import attach

        try:
            attach(linux, config)
        except OSError as error:
            complain(f"--logfile {config.log_file}: {error.strerror}")
            return USAGE_STATUS
    if config.region_threshold is not None:
        linux.process.engine.tiering.set_threshold(config.region_threshold)
    if config.code_cache is not None:
        linux.process.engine.cache.set_size(config.code_cache)
    if config.perf_map or config.jitdump:
        from jitemu import perf

        try:
            perf.attach(linux, with_map=config.perf_map, with_dump=config.jitdump)
        except OSError as error:
            complain(f"{error.filename}: {error.strerror}")
            return USAGE_STATUS
    _keep_stderr(linux)
    # Translating makes many objects that live long: looking for cycles among them at the usual
    # rate takes a third of the time.  But regions leave cycles, and a guest may run for ever.
    gc.freeze()
    gc.set_threshold(200_000, 4, 2)
    if config.budget is not None:
        linux.process.budget.set(config.budget)
    _finish(linux, config, started, watch)
    return 0


def _has_log(config: Config) -> bool:
    return bool(config.log or (config.log_file and config.linux.strace))


def _keep_stderr(linux: Linux) -> None:
    """Keep a stderr of our own: the guest may close or redirect its descriptor 2."""
    fds = linux.process.vfs.fds
    try:
        own = fds.reserve_copy(2)
    except OSError:
        own = fds.reserve(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC))
    sys.stderr = open(own, "w", 1, errors="backslashreplace", closefd=False)  # noqa: SIM115


def _finish(linux: Linux, config: Config, started: float, watch: Watch | None) -> None:
    from jitemu.statistics import Times, collect
    from runtime.personalities.linux.ending import End, die

    meter = report = None
    if watch is not None:
        report = watch(linux)
    elif config.stats:
        from runtime.profiling import Meter

        meter = Meter(linux.process.engine)
    times = Times(time.perf_counter() - started)
    with times:
        end = linux.run()
        if end is None:
            note = f"the budget of {config.budget} insns is used up (--budget)"
            end = linux.stop(End(LIMIT_STATUS, note=note))
    if report is not None:
        report(times)
    if config.stats:
        complain(collect(linux, times, meter).text(config.strategy))
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    die(end)
