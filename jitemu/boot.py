"""`jitemu boot`: arguments in; runs a PC with its display and script; an exit status out."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from jitemu.complain import complain
from jitemu.config import LIMIT_STATUS, USAGE_STATUS
from jitemu.ending import die, orderly

if TYPE_CHECKING:
    from jitemu.bootoptions import BootOptions
    from jitemu.script import Script
    from jitemu.serialports import Peer
    from runtime.machines.pc import Pc, PcConfig
    from runtime.screen.console import Console

_SCRIPT_STATUS = 1
_UNCLAIMED_SHOWN = 12
_ENDS = "power off", "reset", "triple fault"  # what -no-shutdown does not end jitemu at
_BY_GUEST = (*_ENDS, "exit")
_LOOK = 0.05  # s between looks whether somebody quits


class Display(Protocol):
    """What shows the screen."""

    def close(self) -> None:
        """Give the terminal, window or file back; OSError."""
        ...


def boot(words: Sequence[str]) -> int:
    """Run a machine; return the exit status. KeyboardInterrupt at Ctrl-C."""
    started = time.perf_counter()
    from jitemu.bootoptions import parse
    from jitemu.options import UsageError

    try:
        options = parse(words)
    except UsageError as error:
        complain(f"{error} (see jitemu boot --help)")
        return USAGE_STATUS
    for note in options.notes:
        complain(note)
    from jitemu.script import ScriptError
    from runtime.disks.disk import DiskError

    run = _Run(options, started)
    try:
        with orderly(run.kill):
            status = run.run()
        if run.killed:
            die(run.killed)
        return status
    except (ValueError, DiskError, ScriptError) as error:
        complain(str(error))
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    return USAGE_STATUS


class _Run:
    """One machine from its options to its end."""

    def __init__(self, options: BootOptions, started: float) -> None:
        self.options, self.started = options, started
        self.clean = contextlib.ExitStack()
        self.pc: Pc | None = None
        self.killed = 0  # by a signal
        self.is_over = False

    def kill(self, number: int) -> None:
        """End the run as soon as may be, because of a signal."""
        self.killed = number
        if self.pc is None:
            self.clean.close()
            die(number)
        elif not self.is_over:
            self.pc.loop.stop("killed")

    def run(self) -> int:
        from jitemu.serialports import Stdio

        with self.clean:
            script = self._script()
            peers = [self._connect(text) for text in self.options.serial]
            console_peer = (
                None if self.options.console is None else self._connect(self.options.console)
            )
            pc = self.pc = self._build(peers, console_peer)
            for number, peer in enumerate(peers):
                if isinstance(peer, Stdio):
                    peer.on_quit = lambda: pc.loop.stop("quit")
                if peer is not None:
                    port = pc.serial[number]
                    peer.start(lambda data, port=port: pc.loop.post(lambda: port.receive(data)))  # type: ignore[misc]
            line = pc.paravirtual.console
            if console_peer is not None and line is not None:
                console_peer.start(lambda data: pc.loop.post(lambda: line.feed(data)))
            gc.freeze()
            gc.set_threshold(200_000, 4, 2)
            console = pc.make_console()
            self._show(pc, console)
            try:
                return self._go(pc, console, script)
            finally:
                self.is_over = True

    # -- building ----------------------------------------------------------------------------------
    def _script(self) -> Script | None:
        if self.options.script is None:
            return None
        from jitemu.script import Script

        script = Script.load(self.options.script)
        script.check()
        return script

    def _connect(self, text: str) -> Peer | None:
        from jitemu.serialports import connect

        try:
            peer = connect(text)
        except OSError as error:
            raise ValueError(f"{text}: {error.strerror}") from None
        if peer is not None:
            self.clean.callback(peer.close)
        return peer

    def _output(self, text: str | None, option: str) -> Callable[[bytes], None] | None:
        """Open what takes bytes only: a file, or stdout."""
        if text in (None, "none", "null"):
            return None
        from jitemu.serialports import File

        kind, _, path = text.partition(":")
        if text == "stdio":
            return _print
        if kind != "file" or not path:
            raise ValueError(f"{option} {text}: expected stdio, file:PATH or none")
        file = File(path)
        self.clean.callback(file.close)
        return file.write

    def _build(self, peers: Sequence[Peer | None], console: Peer | None) -> Pc:
        from jitemu import drives
        from runtime.machines.pc import Pc

        config = self._config(peers)
        config.check()
        virtual = config.paravirtual
        config.drives, virtual.disks = drives.open_all(self.options.drives)
        virtual.shares, virtual.network = self.options.shares, self.options.network
        virtual.entropy = os.urandom if self.options.has_entropy else None
        virtual.console = None if console is None else console.write
        pc = Pc(config)
        self.clean.callback(pc.close)
        if self.options.region_threshold is not None:
            pc.processor.engine.tiering.set_threshold(self.options.region_threshold)
        return pc

    def _config(self, peers: Sequence[Peer | None]) -> PcConfig:
        from jitemu.machine import read_file, read_initrd, vgabios_beside
        from jitemu.models import model_named
        from runtime.machines.pc import PcConfig
        from translator.strategies import STRATEGIES

        options = self.options
        if options.strategy not in STRATEGIES:
            names = ", ".join(sorted(STRATEGIES))
            raise ValueError(f"unknown strategy {options.strategy!r}: choose from {names}")
        kernel, bios = (
            b"" if path is None else read_file(path) for path in (options.kernel, options.bios)
        )
        initrd, modules = read_initrd(kernel, options.initrd)
        return PcConfig(
            memory=options.memory,
            model=model_named(options.cpu),
            strategy=options.strategy,
            clock=options.clock,
            ns_per_insn=options.ns_per_insn,
            start=options.rtc,
            kernel=kernel,
            initrd=initrd,
            modules=modules,
            append=options.append,
            bios=bios,
            vgabios=vgabios_beside(options.bios, options.vgabios),
            boot=options.boot,
            boot_menu=options.boot_menu,
            boot_wait=options.boot_wait,
            firmware_files={
                name: read_file(value) if kind == "file" else value.encode()
                for name, kind, value in options.firmware_items
            },
            boot_once=options.boot_once,
            serial=[None if peer is None else peer.write for peer in peers] or [None],
            parallel=self._output(options.parallel, "-parallel"),
            debug=self._output(options.debug, "-debugcon"),
            debug_port=options.debug_port,
            debug_exit=options.debug_exit,
            reboots=options.reboots,
        )

    def _show(self, pc: Pc, console: Console) -> None:
        """Open the display; without an option a terminal shows the screen if it is free."""
        kind = self.options.display
        if kind is None:
            is_used = self.options.script or self.options.uses_stdio()
            kind = "text" if not is_used and os.isatty(0) and os.isatty(1) else "none"

        def quit() -> None:
            pc.loop.stop("quit")

        shown: Display
        if kind == "text":
            from jitemu.display.terminal import TerminalDisplay

            shown = TerminalDisplay(console, quit)
        elif kind == "window":
            from jitemu.display.window import WindowDisplay

            shown = WindowDisplay(console, quit)
        elif kind.startswith("png:"):
            from jitemu.display.files import PngDisplay

            shown = PngDisplay(console, kind.removeprefix("png:"), 1.0)
        else:
            return
        self.clean.callback(shown.close)

    # -- running -----------------------------------------------------------------------------------
    def _go(self, pc: Pc, console: Console, script: Script | None) -> int:
        from jitemu.script import ScriptRun

        scripted = None
        if script is not None:
            scripted = ScriptRun(script, console, lambda: pc.loop.stop("script"))
        reason = pc.run(self.options.timeout)
        if self.options.stays and reason in _ENDS:
            reason = self._stay(pc, reason)
        if scripted is not None and reason in _BY_GUEST:
            scripted.machine_ended()
        if self.options.stats:
            self.clean.callback(complain, _statistics(pc, time.perf_counter() - self.started))
        if scripted is not None and scripted.error is not None:
            raise_late(self.clean, str(scripted.error))
            return _SCRIPT_STATUS
        if reason == "timeout":
            raise_late(self.clean, f"the time limit of {self.options.timeout:g} s is reached")
            return LIMIT_STATUS
        if reason == "triple fault":
            raise_late(self.clean, "the guest caused a triple fault (-no-reboot)")
        if reason == "exit":
            return pc.status or 0
        if reason == "script" and scripted is not None:
            return scripted.status or 0
        return 0

    def _stay(self, pc: Pc, reason: str) -> str:
        """Let the screen stand; return why no longer, or why the guest ended."""
        complain(f"the machine has ended ({reason}); -no-shutdown lets its screen stand")
        left = self.options.timeout
        end = None if left is None else self.started + left
        while not pc.loop.reason:
            if end is not None and time.perf_counter() >= end:
                return "timeout"
            time.sleep(_LOOK)
        return reason if pc.loop.reason == "quit" else pc.loop.reason


def raise_late(clean: contextlib.ExitStack, text: str) -> None:
    """Complain when the terminal has been given back."""
    callbacks = clean.pop_all()
    clean.callback(complain, text)
    clean.push(callbacks.__exit__)


def _print(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _statistics(pc: Pc, seconds: float) -> str:
    """Say where the time went, and what the guest asked for in vain."""
    counts = pc.processor.engine.statistics
    slept = pc.loop.halted_ns / 1e9
    lines = [
        f"{seconds:.3f} s, {slept:.3f} s of them halted; {time.process_time():.3f} s of processor "
        f"time; guest time {pc.clock.now() / 1e9:.3f} s",
        f"{counts.blocks} blocks, {counts.invalidations} dropped, "
        f"{counts.insns_interpreted} insns interpreted, {pc.resets} resets",
    ]
    if unclaimed := pc.unclaimed():
        lines.append("accesses to nothing:")
        first = sorted(unclaimed.items(), key=lambda item: -item[1])[:_UNCLAIMED_SHOWN]
        lines += [f"  {how:<5} {place:#x}: {count}" for (how, place), count in first]
        if len(unclaimed) > _UNCLAIMED_SHOWN:
            lines.append(f"  and {len(unclaimed) - _UNCLAIMED_SHOWN} others")
    return "\n".join(lines)
