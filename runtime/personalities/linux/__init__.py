"""The Linux i386 personality: options and a program in, its output and its end out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.personalities.linux.options import LinuxOptions
from translator import DEFAULT_STRATEGY

if TYPE_CHECKING:
    from runtime.cpu import Cpu
    from runtime.personalities.linux.ending import End
    from runtime.personalities.linux.process import Process

__all__ = ["Linux", "LinuxOptions"]


class Linux:
    """One Linux guest: build it, `run` it until it ends or pauses.

    Calls of `run` must come from the host thread that made the object.
    """

    def __init__(
        self, program: str, argv: list[str], options: LinuxOptions, strategy: str = DEFAULT_STRATEGY
    ) -> None:
        """Load *program*; raise OSError with a clear text if that is impossible."""
        from runtime.cpu import Cpu
        from runtime.dispatch import Engine
        from runtime.memory import Memory
        from runtime.personalities.linux import handlers, mounts
        from runtime.personalities.linux.hostview import make_vfs
        from runtime.personalities.linux.process import Process

        handlers.load()
        for text in options.mounts:  # while nothing has to be given back
            mounts.parse_mount(text)
        mem = Memory(options.memory_limit)
        engine = Engine(mem, strategy)
        vfs = make_vfs(options, os.fsencode(program))
        engine.tiering.use(vfs.fds)
        self.process: Process = Process(options, mem, engine, vfs)
        self.cpu: Cpu = Cpu(mem)
        try:
            self._start(program, argv)
        except BaseException:
            vfs.close()
            for fd in list(vfs.fds.reserved):
                vfs.fds.release(fd)
            self.process.release_host()
            mem.close()
            raise

    def _start(self, program: str, argv: list[str]) -> None:
        """Load the first program the way execve would."""
        from runtime.personalities.linux import execve, image

        process = self.process
        options = process.options
        leader = process.start_leader(self.cpu)
        names = argv or [program]
        if options.argv0 is not None:
            names = [options.argv0, *names[1:]]
        environment = _environment(options)
        arguments = [os.fsencode(a) for a in names]
        plan = image.prepare_first(process, os.fsencode(program), arguments, environment)
        start = image.load(process, plan)
        execve.reset_thread(leader, start.entry, start.stack)
        process.watch_time()

    def stop(self, end: End) -> End:
        """End a paused guest."""
        self.process.end(end)
        return self.run() or end

    def run(self) -> End | None:
        """Run the guest to its end, or until it pauses: then return None.

        To go on, clear `process.pause_reason` and call this again; a pause that is asked for in
        between holds.

        A forked child of the guest never returns from here: it ends with its host process.
        """
        process = self.process
        process.resume()
        try:
            end = process.run()
        except Exception as error:
            process.end_by_error(error)
            end = process.run()
        if process.is_fork:
            process.run_to_death()
        if end is not None:
            process.finish(end)
        return end


def _environment(options: LinuxOptions) -> list[bytes]:
    if options.env is not None:
        return [os.fsencode(entry) for entry in options.env]
    return [key + b"=" + value for key, value in os.environb.items()]
