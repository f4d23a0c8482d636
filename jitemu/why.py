"""`jitemu why`: runs a program as `jitemu run` does, then says where its time went and why."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from jitemu.complain import complain
from jitemu.config import USAGE_STATUS, Config
from jitemu.options import UsageError, config, parser, split

if TYPE_CHECKING:
    from jitemu.advice import Entry
    from jitemu.statistics import Statistics, Times
    from runtime.personalities.linux import Linux
    from runtime.profiling import Profile

_CALLS = 5  # system calls that are named
_MUCH = 0.25  # part of the time that is worth a word


class Calls:
    """Counts the system calls of this process and the processor time that they take."""

    def __init__(self) -> None:
        from runtime.personalities.linux.table import SYSCALLS
        from runtime.personalities.linux.threads import Thread

        self.counts: Counter[str] = Counter()
        self.seconds = 0.0
        answer = Thread.system_call

        def timed(thread: Thread) -> None:
            entry = SYSCALLS.get(thread.registers[0])
            self.counts[entry.name if entry is not None else "unknown"] += 1
            begun = time.thread_time()
            try:
                answer(thread)
            finally:
                self.seconds += max(0.0, time.thread_time() - begun)

        Thread.system_call = timed  # type: ignore[method-assign, assignment]


def why(words: Sequence[str]) -> int:
    """Run a guest and report; returns only if it could not be started."""
    from jitemu import run

    started = time.perf_counter()
    run.die_of_interrupt()
    made = parser("jitemu why")
    add = made.add_argument_group("report").add_argument
    add("--output", metavar="FILE", help="write it to FILE instead of stderr")
    add("--json", action="store_true", help="write it as JSON")
    try:
        own, guest = split(made, words)
        found = made.parse_args(own)
        settings = config(found, guest)
        if settings.log:
            raise UsageError("-d is for jitemu run")
    except UsageError as error:
        complain(f"why: {error} (see jitemu why --help)")
        return USAGE_STATUS
    output = None
    if found.output is not None:
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            output = os.open(found.output, flags, 0o666)
        except OSError as error:
            complain(f"--output {found.output}: {error.strerror}")
            return USAGE_STATUS

    def watch(linux: Linux) -> Callable[[Times], None]:
        from runtime.profiling import Profile

        kept = None if output is None else linux.process.vfs.fds.reserve(output)
        calls, profile = Calls(), Profile(linux.process.engine)

        def report(times: Times) -> None:
            text = make(linux, times, profile, calls, settings, as_json=found.json)
            _write(text, kept, found.output)

        return report

    return run.start(settings, started, watch)


def _write(text: str, fd: int | None, name: str | None) -> None:
    import sys

    try:
        if fd is None:
            if sys.stderr is not None:
                print(text, file=sys.stderr, flush=True)
            return
        data = (text + "\n").encode(errors="replace")
        while data:
            data = data[os.write(fd, data) :]
    except OSError as error:
        complain(f"{name or 'stderr'}: {error.strerror}")


def make(
    linux: Linux, times: Times, profile: Profile, calls: Calls, settings: Config, *, as_json: bool
) -> str:
    """Return the report."""
    from jitemu.advice import Judge
    from jitemu.statistics import collect
    from jitemu.symbols import Symbols

    process = linux.process
    found = collect(linux, times, profile)
    entries = Judge(profile, Symbols(process.mem), found.insns).entries()
    general = advice(found, profile, calls, settings)
    if as_json:
        return json.dumps(
            {
                "program": process.exe,
                "strategy": settings.strategy,
                "statistics": _plain(found),
                "system_calls": {"seconds": calls.seconds, "counts": dict(calls.counts)},
                "advice": general,
                "entries": [asdict(entry) for entry in entries],
            },
            indent=2,
        )
    lines = [f"{process.exe}: {found.insns:,} insns, strategy {settings.strategy}", ""]
    lines += [*_times(found, calls), "", *general, ""]
    for number, entry in enumerate(entries, 1):
        lines += _entry(number, entry)
    return "\n".join(lines).rstrip()


def _plain(found: Statistics) -> dict[str, Any]:
    values = found._asdict()
    for name in ("regions", "memory"):
        if values[name] is not None:
            values[name] = values[name]._asdict()
    return values


def _parts(found: Statistics, calls: Calls) -> dict[str, float]:
    """Return what the processor time of this process was spent on."""
    python = found.python_seconds or 0.0
    answering = min(calls.seconds, python)
    return {
        "host code": found.native_seconds or 0.0,
        "interp tier": found.interp_seconds or 0.0,
        "system calls, in Python": answering,
        "dispatcher, in Python": python - answering,
        "translating": found.translate_seconds,
        "compiling": found.compile_seconds,
    }


def _times(found: Statistics, calls: Calls) -> list[str]:
    parts = _parts(found, calls)
    total = sum(parts.values()) or 1.0
    lines = [
        f"{found.start_seconds:.2f} s of start, {found.elapsed_seconds:.2f} s of running, "
        f"{total:.2f} s of processor time:"
    ]
    for name, seconds in sorted(parts.items(), key=lambda item: -item[1]):
        lines.append(f"  {seconds / total:6.1%}  {seconds:8.3f} s  {name}")
    if found.regions is not None:
        lines.append(f"regions: {found.regions.text()}")
    lines.append(f"host code: {found.memory.code_text()}")
    return lines


def advice(found: Statistics, profile: Profile, calls: Calls, settings: Config) -> list[str]:
    """Return what holds for the whole run."""
    parts = _parts(found, calls)
    total = sum(parts.values()) or 1.0
    share = {name: seconds / total for name, seconds in parts.items()}
    lines = []
    if profile.programs > 1:
        lines.append(
            f"The guest executed {profile.programs - 1} other programs; the entries below are the "
            "last one's."
        )
    python = share["system calls, in Python"] + share["dispatcher, in Python"]
    exits = {name: count for name, count in found.exits.items() if name != "link"}
    if python > _MUCH and 2 * exits.get("syscall", 0) > sum(exits.values()):
        named = ", ".join(f"{name} {count:,}" for name, count in calls.counts.most_common(_CALLS))
        lines.append(f"System calls dominate: {python:.0%} of the time in Python ({named}).")
    elif share["dispatcher, in Python"] > _MUCH and exits:
        named = ", ".join(f"{name} {count:,}" for name, count in found.exits.items())
        lines.append(
            f"{share['dispatcher, in Python']:.0%} of the time goes to leaving host code ({named})."
        )
    if share["interp tier"] > _MUCH and settings.strategy != "interp":
        lines.append(
            f"{share['interp tier']:.0%} of the time goes to {found.insns_interpreted:,} insns "
            "that only the interp tier executes; the entries below name them."
        )
    if share["compiling"] > _MUCH:
        lines.append(
            f"{share['compiling']:.0%} of the time goes to LLVM: what it compiled is in the cache "
            "now, and the next run saves that."
        )
    if share["translating"] > _MUCH:
        each = found.insns / max(found.insns_translated, 1)
        lines.append(
            f"{share['translating']:.0%} of the time goes to translating "
            f"{found.insns_translated:,} insns, each of which ran {each:,.0f} times on average: "
            "a short run of much code."
        )
    if found.memory.resets > profile.programs and found.memory.code:
        lines.append(
            f"All host code was dropped {found.memory.resets} times for room: a larger "
            "--code-cache may help."
        )
    if found.invalidations > found.blocks // 4:
        lines.append(f"{found.invalidations:,} blocks were dropped because their code changed.")
    if not profile.seen.spots and not profile.seen.interpreted:
        lines.append("The run was too short to see where the time goes.")
    return lines or ["Nothing stands out."]


def _entry(number: int, entry: Entry) -> list[str]:
    facts = [f"{entry.insns} insns", f"{entry.ir_ops} IR ops", f"{entry.host_bytes} host bytes"]
    shares = [f"{entry.share_of_insns:.1%} of the insns"]
    if entry.samples:
        shares.insert(0, f"{entry.share_of_time:.1%} of the time")
        shares.append(f"{entry.samples:,} samples ({entry.share_of_samples:.1%})")
    if entry.executions is not None:
        shares.append(f"run about {entry.executions:,} times")
    lines = [
        f"{number:2}. {entry.address:#010x}  {entry.name}  [{entry.tier}]",
        f"    {', '.join(shares)}",
        f"    {', '.join(facts if entry.tier != 'interp' else facts[:1])}",
    ]
    if entry.exits:
        left = ", ".join(f"{name} {count:,}" for name, count in entry.exits.items())
        lines.append(f"    exits: {left}")
    if entry.dropped:
        gone = ", ".join(f"{name} {count:,}" for name, count in entry.dropped.items())
        lines.append(f"    dropped: {gone}")
    lines += [f"      {text}" for text in entry.code]
    return [*lines, f"    => {entry.advice}", ""]
