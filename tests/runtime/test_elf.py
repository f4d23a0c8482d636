"""Loading i386 programs: segments, the first stack, scripts; what is broken is one LoadError."""

from __future__ import annotations

import errno
import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.loaders import elf
from runtime.loaders.elf import LoadError
from runtime.memory import EXEC, READ, WRITE, Memory
from runtime.personalities.linux import image
from runtime.personalities.linux.options import LinuxOptions
from runtime.personalities.linux.vfs import Vfs

CODE_AT = 0x08048000
PT_LOAD, PT_INTERP, PT_GNU_STACK = 1, 3, 0x6474E551


def build(
    *,
    kind: int = 2,
    base: int = CODE_AT,
    interpreter: bytes | None = None,
    stack_flags: int | None = 6,
    machine: int = 3,
) -> bytes:
    """Make a program: a page of code, and 16 bytes of data followed by two pages of zeros."""
    code, data = b"\xcd\x80" + bytes(range(64)), b"initialised data"
    headers = [(PT_LOAD, 0, base, base, 0x1000 + 66, 0x1000 + 66, 5, 0x1000)]
    at = base + 0x2000
    headers.append((PT_LOAD, 0x2FF8, at + 0xFF8, at + 0xFF8, 16, 16 + 0x2000, 6, 0x1000))
    if interpreter is not None:
        headers.append((PT_INTERP, 0x200, 0, 0, len(interpreter), len(interpreter), 4, 1))
    if stack_flags is not None:
        headers.append((PT_GNU_STACK, 0, 0, 0, 0, 0, stack_flags, 16))
    ident = b"\x7fELF\1\1\1" + bytes(9)
    entry = base + 0x1000
    head = struct.pack(
        "<16sHHIIIIIHHHHHH",
        ident,
        kind,
        machine,
        1,
        entry,
        52,
        0,
        0,
        52,
        32,
        len(headers),
        40,
        0,
        0,
    )
    table = b"".join(struct.pack("<8I", *header) for header in headers)
    out = bytearray(0x3008 + 100)
    out[: len(head) + len(table)] = head + table
    out[0x200 : 0x200 + len(interpreter or b"")] = interpreter or b""
    out[0x1000 : 0x1000 + len(code)] = code
    out[0x2FF8 : 0x2FF8 + len(data)] = data
    out[0x3008:] = b"\xff" * 100  # must not be seen in the zeros
    return bytes(out)


class Bench:
    """A process without threads, whose guest sees one directory."""

    def __init__(self, folder: Path, options: LinuxOptions | None = None) -> None:
        self.folder = folder
        self.mem = Memory()
        self.vfs = Vfs(options or LinuxOptions(), cwd=os.fsencode(folder))
        self.process: Any = SimpleNamespace(
            mem=self.mem,
            vfs=self.vfs,
            options=options or LinuxOptions(),
            rlimits={},
            engine=SimpleNamespace(begin=lambda program: None),
        )

    def put(self, name: str, content: bytes, mode: int = 0o755) -> None:
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(mode)

    def prepare(self, name: str, *args: bytes) -> image.Plan:
        return image.prepare_first(self.process, name.encode(), [name.encode(), *args], [b"A=1"])

    def error(self, name: str) -> LoadError:
        with pytest.raises(LoadError) as info:
            self.prepare(name)
        return info.value

    def close(self) -> None:
        self.mem.close()
        self.vfs.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def stack_of(mem: Memory, stack: int) -> tuple[list[bytes], list[bytes], dict[int, int]]:
    count, at = mem.u32(stack), stack + 4
    vectors: list[list[bytes]] = []
    for _ in range(2):
        vector = []
        while pointer := mem.u32(at):
            vector.append(mem.cstr(pointer))
            at += 4
        at += 4
        vectors.append(vector)
    assert len(vectors[0]) == count
    auxv = {}
    while key := mem.u32(at):
        auxv[key] = mem.u32(at + 4)
        at += 8
    return vectors[0], vectors[1], auxv


def test_program_in_the_sysroot_has_the_guests_name(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    made = Bench(tmp_path, LinuxOptions(sysroot=str(root)))
    made.put("root/bin/prog", build())
    for name in (str(root / "bin" / "prog"), "/bin/prog"):
        assert made.prepare(name).file.path == b"/bin/prog"
    made.close()


def test_static_program_and_its_stack(bench: Bench) -> None:
    bench.put("prog", build())
    start = image.load(bench.process, bench.prepare("./prog", b"x", b"", b"last"))
    mem = bench.mem
    assert start.entry == CODE_AT + 0x1000
    assert mem.fetch(start.entry, 2) == b"\xcd\x80"
    assert mem.prot_at(CODE_AT) == READ | EXEC
    assert mem.read(CODE_AT + 0x2FF8, 16) == b"initialised data"
    assert mem.read(CODE_AT + 0x3008, 0x2000) == bytes(0x2000)
    assert mem.brk_start == CODE_AT + 0x6000
    argv, envp, auxv = stack_of(mem, start.stack)
    assert argv == [b"./prog", b"x", b"", b"last"]
    assert envp == [b"A=1"]
    assert start.stack % 16 == 0
    assert (auxv[3], auxv[5], auxv[9]) == (CODE_AT + 52, 3, start.entry)
    assert mem.cstr(auxv[15]) == b"i686"
    assert mem.cstr(auxv[31]) == b"./prog"
    assert mem.read(auxv[25], 16) != bytes(16)
    assert 32 not in auxv
    assert 33 not in auxv
    assert mem.prot_at(start.stack) == READ | WRITE
    assert bench.process.exe == str(bench.folder / "prog")
    assert bench.process.comm == b"prog"


def test_movable_program_with_interpreter(bench: Bench) -> None:
    bench.put("ld.so", build(kind=3, base=0))
    bench.put(
        "prog", build(kind=3, base=0, interpreter=os.fsencode(bench.folder / "ld.so") + b"\0")
    )
    start = image.load(bench.process, bench.prepare("prog"))
    auxv = stack_of(bench.mem, start.stack)[2]
    assert auxv[9] == 0x56555000 + 0x1000
    assert auxv[3] == 0x56555000 + 52
    assert start.entry == auxv[7] + 0x1000
    assert auxv[7] > 0xF7000000
    names = {region.name for region in bench.mem.regions()}
    assert {str(bench.folder / "ld.so"), str(bench.folder / "prog"), "[stack]"} <= names


def test_program_without_stack_note_may_execute_everything(bench: Bench) -> None:
    bench.put("prog", build(stack_flags=None))
    start = image.load(bench.process, bench.prepare("prog"))
    assert bench.mem.prot_at(start.stack) == READ | WRITE | EXEC
    assert bench.mem.prot_at(CODE_AT + 0x3000) == READ | WRITE | EXEC
    assert bench.mem.read_implies_exec


def test_scripts(bench: Bench) -> None:
    bench.put("prog", build())
    bench.put("one", b"#! ./prog  an arg \nrest")
    bench.put("two", b"#!./one\n")
    plan = bench.prepare("./two", b"x")
    assert plan.argv == [b"./prog", b"an arg", b"./one", b"./two", b"x"]
    assert plan.filename == b"./two"
    bench.put("loop", b"#!./loop\n")
    assert bench.error("./loop").errno == errno.ELOOP
    bench.put("none", b"#!\n")
    assert bench.error("./none").errno == errno.ENOEXEC
    bench.put("gone", b"#!/no/such\n")
    assert bench.error("./gone").errno == errno.ENOENT


def test_broken_programs(bench: Bench) -> None:
    bench.put("empty", b"")
    bench.put("text", b"hello\n")
    bench.put("amd64", build(machine=62)[:4] + b"\2" + build(machine=62)[5:])
    bench.put("arm", build(machine=40))
    bench.put("short", build()[:0x1100])
    bench.put("object", build(kind=1))
    bench.put("unreadable", build(), 0o644)
    bench.put("lost", build(interpreter=b"/lib/no-linker.so\0"))
    bench.put("badlinker", build(interpreter=os.fsencode(bench.folder / "text") + b"\0"))
    expected = {
        "empty": (errno.ENOEXEC, 126, "empty"),
        "text": (errno.ENOEXEC, 126, "not an ELF"),
        "amd64": (errno.ENOEXEC, 126, "64-bit for Advanced Micro Devices X86-64"),
        "arm": (errno.ENOEXEC, 126, "ARM"),
        "short": (errno.ENOEXEC, 126, "truncated"),
        "object": (errno.ENOEXEC, 126, "object"),
        "unreadable": (errno.EACCES, 126, "Permission denied"),
        "lost": (errno.ENOENT, 127, "/lib/no-linker.so"),
        "badlinker": (errno.ELIBBAD, 126, "text"),
        "missing": (errno.ENOENT, 127, "No such file"),
        "/": (errno.EACCES, 126, "Permission"),
        "/dev/null": (errno.EACCES, 126, "regular"),
        "/proc/self/status": (errno.EACCES, 126, "Permission"),
    }
    for name, (code, status, text) in expected.items():
        error = bench.error(name)
        assert (error.errno, error.status) == (code, status), name
        assert text in str(error)
        assert "\n" not in str(error)
    assert not bench.vfs.fds.records


def test_garbage_gives_nothing_but_load_errors(bench: Bench) -> None:
    rng = random.Random(5)
    good = build(interpreter=os.fsencode(bench.folder / "ld.so") + b"\0")
    bench.put("ld.so", build(kind=3, base=0))
    failed: list[tuple[int | None, int]] = []
    before = len(os.listdir("/proc/self/fd"))
    for round_ in range(400):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 6)):
            place = rng.choice([rng.randrange(52), rng.randrange(52, 200), rng.randrange(0x220)])
            data[place] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        cut = rng.randrange(len(data)) if round_ % 4 == 0 else len(data)
        bench.put("fuzzed", bytes(data[:cut]))
        bench.mem.reset()
        try:
            image.load(bench.process, bench.prepare("fuzzed"))
        except LoadError as error:
            failed.append((error.errno, error.status))
    assert 50 < len(failed) < 400
    assert all(code and status in (126, 127) for code, status in failed)
    assert len(os.listdir("/proc/self/fd")) < before + 20


def test_memory_limit_and_stack_size(bench: Bench) -> None:
    bench.put("prog", build())
    bench.mem.limit = 1 << 20
    with pytest.raises(LoadError, match="stack"):
        image.load(bench.process, bench.prepare("prog"))
    bench.mem.limit = None
    bench.mem.reset()
    bench.process.options = LinuxOptions(stack_size=512 << 20)
    image.load(bench.process, bench.prepare("prog"))
    assert bench.mem.find_free(4096) < 0xE0000000


def test_parse_of_a_directory_fails_cleanly(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(LoadError):
        elf.parse(fd, "x")
    os.close(fd)
