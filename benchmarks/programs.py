"""Real Debian i386 programs, five seconds natively at scale 1, checked by all that they print."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.workload import Settings, Task, UnavailableError, Workload

# All that the suites run, and nothing else; `jitemu sysroot DIR PACKAGE...` makes the same.
PACKAGES = (
    "base-files",
    "bash",
    "bzip2",
    "coreutils",
    "libc-bin",
    "lua5.4",
    "openssl",
    "p7zip-full",
    "perl",
    "python3",
    "sqlite3",
    "xz-utils",
    "zstd",
)
SCRIPTS = Path(__file__).parent / "scripts"
_MB = 1 << 20


def find_sysroot(settings: Settings) -> Path:
    """Return the sysroot that is given, or one with PACKAGES in the user's cache, made if needed.

    Raises UnavailableError if it cannot be made.
    """
    if settings.sysroot is not None:
        if not (settings.sysroot / "lib/ld-linux.so.2").exists():
            raise UnavailableError(f"{settings.sysroot} is no i386 sysroot")
        return settings.sysroot.absolute()
    from tests.debian import SysrootError, sysroot

    try:
        return sysroot(PACKAGES)
    except SysrootError as error:
        raise UnavailableError(f"no i386 sysroot: {error}") from None


def _text(size: int) -> bytes:
    """Return *size* bytes that compress like text and tables: words by Zipf's law, and numbers."""
    source = random.Random(1)
    letters = "etaoinshrdlucmfwygpbvkxqjz"
    words = [
        "".join(letters[int(source.random() ** 2 * 26)] for _ in range(source.randint(2, 10)))
        for _ in range(20000)
    ]
    chosen = source.choices(words, weights=[1 / (n + 2) for n in range(20000)], k=200_000)
    for place in range(0, len(chosen), 13):
        chosen[place] = f"{source.randrange(1_300_000)},{source.random():.4f}\n"
    block = " ".join(chosen).encode()
    blocks = [block]
    for _ in range(size // len(block)):  # the same words in another order each time
        source.shuffle(chosen)
        blocks.append(" ".join(chosen).encode())
    return b"".join(blocks)[:size]


def _data(settings: Settings, megabytes: float) -> str:
    """Write a file of text once; return its name."""
    size = max(1 << 16, int(megabytes * settings.scale * _MB))
    path = settings.folder / f"text-{size}"
    if not path.exists():
        path.write_bytes(_text(size))
        os.utime(path, (1_000_000_000, 1_000_000_000))  # some formats record it
    return path.name


def _script(settings: Settings, name: str, values: dict[str, str] | None = None) -> str:
    text = (SCRIPTS / name).read_text()
    for key, value in (values or {}).items():
        text = text.replace(key, value)
    (settings.folder / name).write_text(text)
    return name


def _program(
    name: str, path: str, what: str, arguments: Callable[[Settings], Iterable[str]]
) -> Workload:
    def prepare(settings: Settings) -> Task:
        root = find_sysroot(settings)
        if not (root / path.lstrip("/")).exists():
            raise UnavailableError(f"{root} has no {path}")
        fixed = (("PYTHONHASHSEED", "0"), ("OPENSSL_CONF", "/dev/null"))
        return Task(path, tuple(arguments(settings)), root, fixed)

    return Workload(name, "programs", prepare, what)


def _rounds(settings: Settings, count: float) -> str:
    return str(max(1, round(count * settings.scale)))


PROGRAMS = [
    _program("bzip2", "/usr/bin/bzip2", "compress text", lambda s: ["-9", "-c", _data(s, 80)]),
    _program("xz", "/usr/bin/xz", "compress text", lambda s: ["-T1", "-6", "-c", _data(s, 5.6)]),
    _program(
        "zstd",
        "/usr/bin/zstd",
        "compress text",
        lambda s: ["-q", "--single-thread", "-12", "-c", _data(s, 29)],
    ),
    _program(
        "lua",
        "/usr/bin/lua5.4",
        "tables, strings, floats",
        lambda s: [_script(s, "work.lua"), _rounds(s, 190)],
    ),
    _program(
        "perl",
        "/usr/bin/perl",
        "regular expressions, hashes, sorting",
        lambda s: [_script(s, "work.pl"), _rounds(s, 180)],
    ),
    _program(
        "python3",
        "/usr/bin/python3",
        "objects, json, regular expressions",
        lambda s: [_script(s, "work.py"), _rounds(s, 570)],
    ),
    _program(
        "sqlite3",
        "/usr/bin/sqlite3",
        "inserts, index, joins, in memory",
        lambda s: [
            "-batch",
            ":memory:",
            f".read {_script(s, 'work.sql', {':rows': _rounds(s, 1_300_000)})}",
        ],
    ),
    _program(
        "openssl",
        "/usr/bin/openssl",
        "PBKDF2 with SHA-512",
        lambda s: [
            *("kdf", "-keylen", "32", "-kdfopt", "digest:SHA512", "-kdfopt", "pass:word"),
            *("-kdfopt", "salt:salt", "-kdfopt", f"iter:{_rounds(s, 4_000_000)}", "PBKDF2"),
        ],
    ),
    _program(
        "7z",
        "/usr/lib/p7zip/7za",
        "deflate text, thoroughly",
        lambda s: ["a", "-tgzip", "-mx=9", "-mmt=1", "-bd", "-so", "out", _data(s, 9)],
    ),
]
