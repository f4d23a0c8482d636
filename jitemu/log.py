"""The items of -d: hooks on an engine that write what it translates and why it stops."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from jitemu import stages
from jitemu.complain import complain
from runtime.blocktable import Block
from runtime.cpu import Cpu
from runtime.interpreting import Exit
from runtime.personalities.linux import strace
from translator.insn import Insn
from translator.planner import Plan
from translator.shape import shape_of
from translator.tiers import hostdis

if TYPE_CHECKING:
    from jitemu.config import Config
    from runtime.personalities.linux import Linux
    from translator.regions import Region

_VECTORS = {0: "#DE", 1: "#DB", 3: "#BP", 4: "#OF", 5: "#BR", 6: "#UD", 11: "#NP", 12: "#SS"}
_VECTORS |= {13: "#GP", 14: "#PF", 16: "#MF", 17: "#AC", 19: "#XM"}


class Log:
    """One file that the process and its forked children append to."""

    def __init__(self, linux: Linux, path: str | None) -> None:
        fds = linux.process.vfs.fds
        self.name = "stderr" if path is None else path
        self.is_broken = False
        if path is None:
            self.fd = fds.reserve_copy(2)
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
            name = path.replace("%d", str(os.getpid()))
            self.fd = fds.reserve(os.open(name, flags, 0o666))

    def write(self, lines: Iterable[str]) -> None:
        """Write some lines at once, so that those of several processes do not mix.

        Where that fails the log ends, and the guest goes on.
        """
        data = "".join(f"{line}\n" for line in lines).encode()
        try:
            while data and not self.is_broken:
                data = data[os.write(self.fd, data) :]
        except OSError as error:
            self.is_broken = True
            complain(f"{self.name}: {error.strerror}: the log ends here")


def attach(linux: Linux, config: Config) -> None:
    """Make a guest's engine write the items that the settings ask for."""
    log = Log(linux, config.log_file)
    if config.log_file is not None:
        strace.write_to(log.fd)
    engine = linux.process.engine
    # The hooks replace methods of these objects: no cost, and no code in the engine, without -d.
    if config.log & {"in_asm", "op", "op_opt", "out_asm"}:
        engine.quick = None  # it makes the same code, but no plans that could be shown
        _hook(engine.cache, "install", lambda install: _installer(linux, config, log, install))
    if config.log & {"in_asm", "op"} and engine.strategy is None:
        _hook(engine, "_decode", lambda known: _decoder(linux, config, log, known))
    if config.log & {"int", "exits"}:
        _hook(engine, "run", lambda run: _runner(config, log, run))


def _hook(owner: object, name: str, wrap: Callable[[Any], Any]) -> None:
    setattr(owner, name, wrap(getattr(owner, name)))


def _installer(
    linux: Linux, config: Config, log: Log, install: Callable[..., Block]
) -> Callable[..., Block]:
    engine = linux.process.engine
    region: list[Region] = []  # that which is being installed, if it is none of the blocks

    def install_region(known: Callable[..., Block]) -> Callable[..., Block]:
        def hooked(location: int, formed: Region, *rest: Any) -> Block:
            region.append(formed)
            try:
                return known(location, formed, *rest)
            finally:
                region.clear()

        return hooked

    _hook(engine.tiering, "install", install_region)

    def hooked(location: int, plan: Plan, *rest: Any) -> Block:
        block = install(location, plan, *rest)
        items = config.log
        plans = [node.plan for node in region[0].nodes] if region else [plan]
        insns = sum(len(part.items) for part in plans)
        what = (
            f"region {plan.pc:#010x}, {len(plans)} blocks" if region else f"block {plan.pc:#010x}"
        )
        lines = [f"---- {what}, {insns} insns"]
        codes = [engine.mem.fetch(part.pc, part.end - part.pc) for part in plans]
        if "in_asm" in items:
            lines.append("IN:")
            for part, code in zip(plans, codes, strict=True):
                lines += stages.decode(part, code)
        if "op" in items:
            lines.append("OP:")
            for part, code in zip(plans, codes, strict=True):
                lines += stages.ir(part, code)
        if "op_opt" in items:
            whole = stages.region(region[0]) if region else stages.llvm(plan, engine.strategy)
            lines += ["OP_OPT:", *whole]
        if "out_asm" in items:
            start = block.offset
            host = bytes(engine.cache.arena.code[start : start + block.size])
            lines += [f"OUT: {block.size} bytes", *stages.placed(host, engine.cache.address(block))]
        log.write(lines)
        return block

    return hooked


def _decoder(
    linux: Linux, config: Config, log: Log, known: Callable[[Cpu], Insn]
) -> Callable[[Cpu], Insn]:
    engine = linux.process.engine
    shown_at: dict[int, Insn] = {}

    def hooked(cpu: Cpu) -> Insn:
        insn, eip = known(cpu), cpu.eip
        if shown_at.get(eip) is not insn:
            shown_at[eip] = insn
            code = engine.mem.fetch(eip, insn.length)
            shown = [stages.line(*found) for found in hostdis.lines(code, eip, 32)]
            lines = shown or [stages.line(eip, code, insn.mnemonic)]
            if "op" in config.log:
                lines.append(str(shape_of(insn.key).unit))
            log.write(lines)
        return insn

    return hooked


def _runner(config: Config, log: Log, run: Callable[[Cpu], Exit]) -> Callable[[Cpu], Exit]:
    def hooked(cpu: Cpu) -> Exit:
        stop = run(cpu)
        if stop.kind == "fault":
            name = _VECTORS.get(stop.vector, f"vector {stop.vector}")
            where = f" address={stop.address:#010x}" if stop.vector == 14 else ""
            registers = " ".join(f"{n}={getattr(cpu, n):08x}" for n in _SHOWN)
            log.write([f"---- {name} error={stop.error:#x}{where} {registers}"])
        elif "exits" in config.log:
            log.write([f"---- {stop.kind} eip={cpu.eip:08x} eax={cpu.eax:08x}"])
        return stop

    return hooked


_SHOWN = ("eip", "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eflags")
