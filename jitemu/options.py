"""Arguments of `jitemu run` -> Config. Names are qemu-user's where it has the option."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any, NoReturn

from jitemu.config import Config
from runtime.personalities.dos.options import DosOptions
from runtime.personalities.linux.options import LinuxOptions
from translator import DEFAULT_STRATEGY

LOG_ITEMS = {
    "in_asm": "guest disassembly of each block, when it is translated",
    "op": "its IR",
    "op_opt": "the LLVM IR of its host code (strategy block: after the passes)",
    "out_asm": "its host code",
    "int": "faults and other exceptions of the guest",
    "exits": "every exit of translated code to the personality",
    "strace": "system calls, as -strace",
}
_SUFFIXES = {"K": 10, "M": 20, "G": 30, "T": 40}
_LARGEST_STACK = 1 << 30

EPILOG = """\
exit status:
  the guest's own; death by a signal is passed on as the same signal
  2    wrong usage                      124  --timeout or --budget ended the run
  126  PROGRAM cannot be run            125  jitemu itself failed (JITEMU_DEBUG=1: traceback)
  127  PROGRAM not found

files:
  The guest sees its sysroot (-L) and the directory of PROGRAM read-only, the current directory
  read-write, a private /tmp, and a small /dev, /proc and /sys; --mount adds to that.

  A DOS program (.COM, or an MZ executable) has the current directory as C:, read-write, and that
  of PROGRAM, if it lies elsewhere, as D:, read-only; --mount X=DIR[:ro] adds drives.

examples:
  jitemu run ./hello one two                             a static program and its arguments
  jitemu run -L ~/i386 /bin/sh -c 'seq 3 | wc -l'        a dynamic one with its libraries
  jitemu run --timeout 10 --memory 256M ./guest          limits
  jitemu run --mount ~/data:/data:rw --net host ./guest  more of the host
  jitemu run --stats -strace ./guest                     what it did
  jitemu run game.exe; jitemu run --display png:end.png game.exe
"""


class UsageError(Exception):
    """Arguments that make no sense; the message says why."""


class Parser(argparse.ArgumentParser):
    """Complains by UsageError, in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        raise UsageError(message)


class _Environment(argparse.Action):
    """Collects -E and -U in the order given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Keep the setting if it is one."""
        is_set = self.const == "set"
        name, sign, _ = values.partition("=")
        if not name or bool(sign) != is_set:
            raise UsageError(f"{option_string} {values}: expected {self.metavar}")
        changes = [*(getattr(namespace, self.dest) or ()), (is_set, values)]
        setattr(namespace, self.dest, changes)


def size(text: str) -> int:
    """Read a number of bytes with an optional suffix K, M, G or T (powers of 1024)."""
    number, shift = text, 0
    if text[-1:].upper() in _SUFFIXES:
        number, shift = text[:-1], _SUFFIXES[text[-1].upper()]
    try:
        value = int(number, 0) << shift
    except ValueError:
        value = -1
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no size (as 4096, 64K, 8M or 1G)")
    return value


def seconds(text: str) -> float:
    """Read a positive number of seconds."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


def count(text: str) -> int:
    """Read a number of insns; underscores and exponents are fine."""
    try:
        value = int(text, 0)
    except ValueError:
        try:
            value = int(float(text)) if float(text).is_integer() else -1
        except (ValueError, OverflowError):
            value = -1
    if not 0 <= value < 1 << 60:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of insns (as 1000000 or 1e9)")
    return value


def log_items(text: str) -> frozenset[str]:
    """Read a comma-separated list of LOG_ITEMS; `all` and `help` are known as well."""
    items = set(text.split(","))
    if "all" in items:
        items = set(LOG_ITEMS)
    if unknown := items - LOG_ITEMS.keys() - {"help"}:
        names = ", ".join(sorted(unknown))
        raise argparse.ArgumentTypeError(f"unknown item {names} (see -d help)")
    return frozenset(items)


def dos_version(text: str) -> tuple[int, int]:
    """Read a version of DOS, as 5.0 or 6.22."""
    major, _, minor = text.partition(".")
    try:
        found = int(major), int(minor or "0")
    except ValueError:
        found = 0, 0
    if not (2 <= found[0] <= 9 and 0 <= found[1] <= 99):
        raise argparse.ArgumentTypeError(f"{text!r} is no version of DOS (as 5.0)")
    return found


def cycles(text: str) -> int | None:
    """Read a number of insns a millisecond; None: as fast as possible."""
    if text == "max":
        return None
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 0 < value < 1 << 31:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of cycles (as 3000 or max)")
    return value


def display(text: str) -> str:
    """Read --display, as `jitemu boot` does."""
    from jitemu.bootwords import display as read

    return read(text)


def parser(command: str = "jitemu run") -> Parser:
    """Build the parser of what stands before PROGRAM."""
    made = Parser(
        prog=command,
        usage=f"{command} [options] PROGRAM [ARGS...]",
        description="Run an i386 Linux or a DOS program. "
        "Options end at PROGRAM; ARGS are the guest's.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument_group("program").add_argument
    add("-L", "--sysroot", metavar="DIR", help="directory that the guest sees as /")
    add(
        "-E",
        "--env",
        dest="environment",
        action=_Environment,
        const="set",
        metavar="VAR=VALUE",
        help="set a variable of the guest's environment, which is else the caller's",
    )
    add(
        "-U",
        "--unset-env",
        dest="environment",
        action=_Environment,
        const="unset",
        metavar="VAR",
        help="remove a variable from it",
    )
    add("-0", "--argv0", metavar="NAME", help="what the guest sees as its own name")
    add(
        "-s",
        "--stack-size",
        type=size,
        default=8 << 20,
        metavar="SIZE[KMG]",
        help="size of the first thread's stack (8M)",
    )
    add(
        "-r",
        "--uname-release",
        default="6.1.0",
        metavar="TEXT",
        help="kernel release that uname tells (6.1.0)",
    )
    add = made.add_argument_group("what the guest may use").add_argument
    add(
        "--mount",
        action="append",
        default=[],
        metavar="HOST[:GUEST][:ro|rw]",
        help="show a host directory or file, read-only unless rw; for DOS, X=DIR[:ro]: a drive",
    )
    add(
        "--host-fs",
        action="store_true",
        help="show the whole host file system as under qemu-user, not confined",
    )
    add("--net", choices=("off", "host"), default="off", help="internet sockets (off)")
    add(
        "--memory",
        type=size,
        metavar="SIZE[KMG]",
        help="limit of accessible guest memory, the stack included",
    )
    add("--timeout", type=seconds, metavar="SECONDS", help="end the guest after this time")
    add("--budget", type=count, metavar="INSNS", help="end the guest after so many insns")
    add = made.add_argument_group("DOS programs").add_argument
    add(
        "--dos-version",
        type=dos_version,
        default=(5, 0),
        metavar="N.N",
        help="version that DOS tells programs (5.0)",
    )
    add(
        "--cycles",
        type=cycles,
        metavar="N|max",
        help="insns a millisecond, for programs that need a slow machine (max)",
    )
    add(
        "--display",
        type=display,
        metavar="WHERE",
        help="show its screen: text, none, window, png:FILE (text, when it draws in a terminal)",
    )
    add("--script", metavar="FILE", help="press keys and look at the screen as FILE says")
    add = made.add_argument_group("translation").add_argument
    add(
        "--strategy",
        default=DEFAULT_STRATEGY,
        metavar="NAME",
        help="interp, stencil, block, region or tiered (default)",
    )
    add(
        "--region-threshold",
        type=count,
        metavar="INSNS",
        help="insns that run around a place until it is compiled as a region; 0: at once",
    )
    add(
        "--code-cache",
        type=size,
        metavar="SIZE[KMG]",
        help="host code that is kept before all of it is dropped, 1M to 255M (64M)",
    )
    add = made.add_argument_group("looking at it").add_argument
    add("-strace", "--strace", action="store_true", help="print the guest's system calls")
    add(
        "-d",
        "--log",
        type=log_items,
        default=frozenset(),
        metavar="ITEMS",
        help="log ITEMS, a comma-separated list; `-d help` lists them",
    )
    add(
        "-D",
        "--logfile",
        metavar="FILE",
        help="write -d and -strace to FILE instead of stderr; %%d is the process id",
    )
    add("--stats", action="store_true", help="print counts and times at the end, to stderr")
    add(
        "--report",
        action="store_true",
        help="print at the end what the guest asked for that jitemu lacks",
    )
    add(
        "--perf-map",
        action="store_true",
        help="write /tmp/perf-PID.map, by which Linux perf names guest functions",
    )
    add(
        "--jitdump",
        action="store_true",
        help="write jit-PID.dump here, for perf record -k 1 and perf inject --jit",
    )
    return made  # fmt: skip


def split(made: Parser, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Cut the arguments at PROGRAM: what comes before is ours, the rest the guest's.

    Values are joined to their options as --name=value: argparse would refuse `-0 -sh`.
    """
    actions = {name: action for action in made._actions for name in action.option_strings}
    own: list[str] = []
    index = 0
    while index < len(words):
        word = words[index]
        if word == "--":
            return own, list(words[index + 1 :])
        if not word.startswith("-") or word == "-":
            break
        index += 1
        short = actions.get(word[:2])
        if (action := actions.get(word)) is not None and action.nargs != 0:
            if index == len(words):
                raise UsageError(f"{word} needs a value")
            own.append(f"{action.option_strings[-1]}={words[index]}")
            index += 1
        elif action is None and short is not None and short.nargs != 0 and word[1] != "-":
            own.append(f"{short.option_strings[-1]}={word[2:]}")
        else:
            own.append(word)
    return own, list(words[index:])


def parse(words: Sequence[str]) -> Config:
    """Read the arguments of `jitemu run`; UsageError if they make no sense."""
    made = parser()
    own, guest = split(made, words)
    return config(made.parse_args(own), guest)


def config(found: argparse.Namespace, guest: list[str]) -> Config:
    """Make the settings of a run from what was parsed; UsageError if they make no sense."""
    if "help" in found.log:
        return Config("", log=found.log)
    if not guest:
        raise UsageError("PROGRAM is missing")
    if found.stack_size > _LARGEST_STACK:
        raise UsageError("--stack-size: at most 1G")
    if found.sysroot is not None and not os.path.isdir(found.sysroot):
        raise UsageError(f"--sysroot {found.sysroot}: no such directory")
    linux = LinuxOptions(
        sysroot=found.sysroot,
        mounts=tuple(found.mount),
        host_fs=found.host_fs,
        net=found.net,
        env=_environment(found.environment),
        argv0=found.argv0,
        stack_size=found.stack_size,
        strace=found.strace or "strace" in found.log,
        report=found.report,
        memory_limit=found.memory,
        timeout=found.timeout,
        release=found.uname_release,
    )
    dos = DosOptions(
        mounts=tuple(found.mount),
        env=tuple(text for is_set, text in found.environment or () if is_set),
        version=found.dos_version,
        cycles=found.cycles,
        has_screen=found.display is not None or found.script is not None,
        report=found.report,
        timeout=found.timeout,
        memory_limit=found.memory,
    )
    return Config(
        program=guest[0],
        args=tuple(guest[1:]),
        linux=linux,
        dos=dos,
        display=found.display,
        script=found.script,
        strategy=found.strategy,
        budget=found.budget,
        log=found.log - {"strace"},
        log_file=found.logfile,
        stats=found.stats,
        code_cache=found.code_cache,
        region_threshold=found.region_threshold,
        perf_map=found.perf_map,
        jitdump=found.jitdump,
    )


def _environment(changes: list[tuple[bool, str]] | None) -> tuple[str, ...]:
    variables = dict(os.environ)
    for is_set, text in changes or ():
        name, _, value = text.partition("=")
        if is_set:
            variables[name] = value
        else:
            variables.pop(name, None)
    return tuple(f"{name}={value}" for name, value in variables.items())
