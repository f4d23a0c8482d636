"""The Python interface: ends, several guests, registers, memory, streams, the host's state."""

from __future__ import annotations

import doctest
import errno
import os
import re
import signal
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from runtime.embed.compiling import SHARED
from tests.building import build
from tests.commands import BAD, program
from tests.running import ANY, REPOSITORY, WITH_LIBC, work_directory

from jitemu import LoadError, Process  # isort: skip

pytestmark = pytest.mark.usefixtures("untouched")


# ---- ends ----


@pytest.mark.parametrize("strategy", WITH_LIBC)
def test_exit(strategy: str) -> None:
    """The status, captured output, and nothing to run any more."""
    with Process(program("echo"), ["7", "x y"], stdin=b"in", capture=True, strategy=strategy) as p:
        result = p.run()
        assert (result.reason, result.exit_status, result.signal) == ("exit", 7, None)
        assert result.is_over
        assert result.returncode == 7
        assert result.stdout is not None
        assert b"argv[2]=x y\n" in result.stdout
        assert result.stdout.endswith(b"in")
        assert result.stderr == b""
        with pytest.raises(ValueError, match="has ended"):
            p.run()


@pytest.mark.parametrize(
    ("how", "number"), [("null", signal.SIGSEGV), ("abort", signal.SIGABRT), ("ud2", signal.SIGILL)]
)
def test_death(how: str, number: int) -> None:
    """A deadly signal ends the guest alone."""
    with Process(program("crash", BAD), [how], capture=True) as guest:
        result = guest.run()
    assert (result.reason, result.exit_status, result.signal) == ("signal", None, number)
    assert result.returncode == -number
    assert (result.stdout, result.stderr) == (b"before\n", b"")
    assert ("SIG" in result.note) == (how != "abort")


def test_unloadable() -> None:
    """LoadError is an OSError with the errno of execve; the host is as before."""
    for path, code in (("/nosuch", errno.ENOENT), (__file__, errno.EACCES), ("/", errno.EACCES)):
        with pytest.raises(LoadError) as caught:
            Process(path)
        assert caught.value.errno == code
        assert path.rpartition("/")[2] in str(caught.value)
    with pytest.raises(LoadError, match="--memory"):
        Process(program("mix"), memory=1 << 20)


@pytest.mark.parametrize(
    "settings",
    [{"strategy": "nosuch"}, {"net": "on"}, {"sysroot": "/nosuch"}, {"mounts": ["/no:"]}],
)
def test_bad_settings(settings: dict[str, object]) -> None:
    """ValueError names what is wrong, before anything has happened."""
    with pytest.raises(ValueError, match=next(iter(settings)).rstrip("s")):
        Process(program("mix"), **settings)  # type: ignore[arg-type]


# ---- several ----


def test_one_after_the_other() -> None:
    """Many guests in one Python process; two at a time are refused."""
    for number in range(8):
        strategy = ("interp", ANY)[number % 2]
        with Process(
            program("echo"), [str(number)], stdin=b"", capture=True, strategy=strategy
        ) as p:
            p.run(budget=100 * number)
            with pytest.raises(RuntimeError, match="unfinished"):
                Process(program("mix"))
            assert p.run().exit_status == number
    first = Process(program("mix"))
    status = first.run().exit_status
    with Process(program("mix")) as second:  # the first has ended, though it is not closed
        assert second.run().exit_status == status
    assert first.regs.eax == 1
    first.close()


def test_close_in_the_middle() -> None:
    """A guest that still runs threads is ended; its regions go; use is refused."""
    others = threading.active_count()
    for _ in range(3):
        guest = Process(program("workers"), capture=True)
        while threading.active_count() < others + 3:
            assert guest.run(budget=300_000).reason == "budget"
        guest.close()
        guest.close()
        assert threading.active_count() == others
        for use in (guest.run, guest.disassemble, guest.memory.regions):
            with pytest.raises(ValueError, match="closed"):
                use()


def test_never_run() -> None:
    with Process(program("echo")) as guest:
        assert guest.regs.eip
    with Process(program("echo"), stdin=b"", capture=True) as guest:
        assert guest.run().returncode == 0


def test_other_host_thread() -> None:
    """Only the thread that made a process runs it."""
    with Process(program("mix")) as guest:
        errors = []

        def use() -> None:
            try:
                guest.run()
            except RuntimeError as error:
                errors.append(error)

        worker = threading.Thread(target=use)
        worker.start()
        worker.join()
        assert len(errors) == 1


def test_not_in_the_main_thread() -> None:
    """A worker thread may make and run one."""
    results = []

    def work() -> None:
        with Process(program("echo"), stdin=b"", capture=True) as guest:
            results.append(guest.run(timeout=30).returncode)

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert results == [0]


# ---- registers and memory ----


def test_registers() -> None:
    """Registers are ints to read and to write; a changed eip is where it goes on."""
    with Process(program("mix")) as guest:
        regs = guest.regs
        assert regs.esp & 3 == 0
        assert (regs.cs, regs.ds, regs.fs) == (0x23, 0x2B, 0)
        assert (regs.mxcsr, regs.fcw) == (0x1F80, 0x37F)
        regs.eax = -1
        assert regs.eax == 0xFFFFFFFF
        regs.eflags = 0x8D5
        assert regs.eflags & 0x8D5 == 0x8D5
        for name, value in (("eax", 1 << 32), ("ecx", -(1 << 31) - 1), ("ds", 1 << 16)):
            with pytest.raises(ValueError, match=name):
                setattr(regs, name, value)
        regs.set_xmm(3, 1 << 127 | 5)
        assert regs.xmm(3) == 1 << 127 | 5
        assert len(regs.fxsave()) == 512
        # Leave by a system call of our own: exit(33).
        guest.memory.write(regs.eip, bytes.fromhex("cd80"))
        regs.eax, regs.ebx = 1, 33
        assert guest.run().exit_status == 33


@pytest.mark.parametrize("strategy", WITH_LIBC)
def test_memory(strategy: str) -> None:
    """Views show what the guest sees; what it may not have raises; written code is translated."""
    with Process(program("memory"), capture=True, strategy=strategy) as guest:
        result = guest.run(budget=200_000)
        assert result.reason == "budget"
        assert result.stdout is not None
        found = re.fullmatch(rb"0x(\w+) 7 s\n", result.stdout)
        assert found, result
        cell = int(found[1], 16)
        memory = guest.memory
        view = memory[cell : cell + 4]
        assert view.dtype == "uint8"
        assert view.tobytes() == memory.read(cell, 4) == b"\x44\x33\x22\x11"
        assert memory[cell] == 0x44
        assert not view.flags.writeable
        assert memory.view(0x20000000, 5).tobytes() == b"short"
        for address, size, what in (
            (0, 1, "not mapped"), (0x20000000, 4097, "behind"), (0x30000000, 1, "cannot be read"),
            (0xFFFFFFFF, 2, "4 GiB"), (-1, 1, "4 GiB"), (1 << 32, 1, "4 GiB"),
            (0x40000000, 4097, "0x40001000 is not mapped"),
        ):  # fmt: skip
            with pytest.raises(IndexError, match=what):
                memory.view(address, size)
            with pytest.raises(IndexError):
                memory.read(address, size)
            with pytest.raises(IndexError):
                memory.write(address, bytes(size)) if address != 0x30000000 else memory.view(
                    address, size, writable=True
                )
        # Code that has run: the next call sees the change.
        memory[0x40000001] = 9
        guest.run(budget=1000)
        memory[0x40000001:0x40000002] = b"\x0a"
        writable = memory.view(cell, 4, writable=True)
        writable[:] = (5, 0, 0, 0)
        assert view[0] == 5
        assert guest.run().exit_status == 15
        assert any(r.name == "[stack]" and r.prot == 3 for r in memory.regions())
        kept = memory[cell : cell + 4]
    assert kept.tobytes() == b"\x05\0\0\0"  # a view keeps the memory alive


def test_writing_to_code_that_is_read_only() -> None:
    """A debugger's write goes through and leaves the protection as it was."""
    with Process(program("mix")) as guest:
        eip = guest.regs.eip
        prots = {r.start: r.prot for r in guest.memory.regions()}
        with pytest.raises(IndexError, match="cannot be written"):
            guest.memory.view(eip, 1, writable=True)
        guest.memory[eip] = 0xF4  # hlt
        assert {r.start: r.prot for r in guest.memory.regions()} == prots
        assert guest.run().signal == signal.SIGSEGV


def test_disassembly() -> None:
    """From eip or any address on, with the bytes."""
    with Process(program("mix")) as guest:
        insns = guest.disassemble(count=5)
        assert insns[0].address == guest.regs.eip
        assert len(insns) == 5
        for this, following in pairwise(insns):
            assert following.address == this.address + len(this.code)
            assert guest.memory.read(this.address, len(this.code)) == this.code
        assert guest.disassemble(insns[2].address, 1) == [insns[2]]
        assert guest.disassemble(0) == []


# ---- the host's own things ----


def test_descriptors_are_apart(tmp_path: Path) -> None:
    """The guest can neither see nor close ours; what it leaks is closed."""
    mine = (tmp_path / "mine").open("w+")
    with mine, Process(program("descriptors"), capture=True) as guest:
        guest.run(budget=1000)
        during = (tmp_path / "during").open("w+")
        with during:
            result = guest.run()
            during.write("x")
        mine.write("x")
    assert result.stdout == b"0 1 2 \n"
    assert result.exit_status == 1


def test_passed_descriptors() -> None:
    """`pass_fds` are the guest's to use."""
    reader, writer = os.pipe()
    spare = os.dup(reader)
    with Process(program("descriptors"), capture=True, pass_fds=[reader]) as guest:
        assert guest.run().stdout == f"0 1 2 {reader} \n".encode()
    os.close(spare)
    os.close(writer)
    with pytest.raises(OSError, match="Bad file"):
        os.close(reader)  # the guest closed it


def test_streams_to_files(tmp_path: Path) -> None:
    """Streams may be files or descriptors."""
    with (tmp_path / "out").open("wb") as out, (tmp_path / "in").open("w+") as source:
        source.write("from a file")
        source.flush()
        source.seek(0)
        with Process(program("echo"), stdin=source, stdout=out, stderr=out.fileno()) as guest:
            assert guest.run().stdout is None
    assert (tmp_path / "out").read_bytes().endswith(b"from a file")


def test_environment_and_settings() -> None:
    """`env` is the whole environment; the rest as the command line has it."""
    with Process(
        program("echo"), env={"ADDED": "1"}, argv0="me", release="5.5", stdin=b"", capture=True
    ) as guest:
        out = guest.run().stdout
    assert out == b"argv[0]=me\nHOME=(unset)\nADDED=1\nEMPTY=(unset)\nINHERITED=(unset)\n5.5 i686\n"


def test_forking_guest() -> None:
    """A guest's children do not come back into this Python."""

    def children() -> set[int]:
        tasks = Path("/proc/self/task").iterdir()
        return {int(pid) for task in tasks for pid in (task / "children").read_text().split()}

    of_other_tests = children()
    # Without a compiling process, which has a parent for a moment.
    with Process(program("workers"), ["fork"], strategy="stencil", capture=True) as guest:
        result = guest.run(budget=5_000_000)
        assert result.reason == "budget"
        ended = [os.waitpid(pid, 0)[1] for pid in children() - of_other_tests]
    assert ended
    assert {os.WEXITSTATUS(status) for status in ended} == {124}  # by its own budget


def test_private_files_are_removed() -> None:
    """What the guest put into its /tmp is gone with it."""
    with work_directory({}) as work:
        env, old = work / "t", os.environ.get("TMPDIR")
        env.mkdir()
        os.environ["TMPDIR"] = str(env)
        try:
            with Process(program("memory"), capture=True) as guest:
                guest.run(budget=200_000)
                assert len(list(env.iterdir())) == 1
            assert list(env.iterdir()) == []
        finally:
            os.environ.pop("TMPDIR") if old is None else os.environ.update(TMPDIR=old)


def test_readme_examples(tmp_path: Path) -> None:
    """The examples of the README do what they say."""
    of_other_tests = SHARED.compiler
    text = (REPOSITORY / "README.md").read_text()
    examples = doctest.DocTestParser().get_doctest(text, {}, "README", "README.md", 0)
    assert len(examples.examples) >= 3
    examples.globs["hello"] = str(build(REPOSITORY / "examples" / "hello.c"))
    failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(examples)
    assert not failed
    # With --region-threshold the Uc's few insns get hot.
    if SHARED.compiler is not None and SHARED.compiler is not of_other_tests:
        SHARED.close()
        SHARED.compiler.wait()
        SHARED.after_fork()
