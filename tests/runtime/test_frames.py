"""Signal frames against the C library's headers, and the way through a frame and back."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from runtime.personalities.linux import defs, fpframe, frames, siginfo
from runtime.personalities.linux.frames import AltStack
from runtime.personalities.linux.signals import Action
from tests.runtime.linux_fakes import DATA, STACK, STACK_SIZE, call, guest, perform, play

HANDLER, RESTORER = 0x08048100, 0x08048200
SIGUSR1 = defs.SIGUSR1

OFFSETS = r"""
#define _GNU_SOURCE
#include <stdio.h>
#include <stddef.h>
#include <signal.h>
#include <ucontext.h>
#define S(s, m) printf(#s " " #m " %zu\n", offsetof(s, m))
int main(void)
{
    S(ucontext_t, uc_stack); S(ucontext_t, uc_mcontext); S(ucontext_t, uc_sigmask);
    S(ucontext_t, uc_mcontext.gregs[REG_EIP]); S(ucontext_t, uc_mcontext.gregs[REG_GS]);
    S(ucontext_t, uc_mcontext.gregs[REG_EAX]); S(ucontext_t, uc_mcontext.gregs[REG_TRAPNO]);
    S(ucontext_t, uc_mcontext.gregs[REG_EFL]); S(ucontext_t, uc_mcontext.fpregs);
    S(ucontext_t, uc_mcontext.oldmask); S(ucontext_t, uc_mcontext.cr2);
    S(siginfo_t, si_signo); S(siginfo_t, si_errno); S(siginfo_t, si_code);
    S(siginfo_t, si_pid); S(siginfo_t, si_uid); S(siginfo_t, si_value); S(siginfo_t, si_status);
    S(siginfo_t, si_utime); S(siginfo_t, si_stime); S(siginfo_t, si_addr); S(siginfo_t, si_band);
    S(siginfo_t, si_fd); S(siginfo_t, si_timerid); S(siginfo_t, si_overrun);
    S(siginfo_t, si_call_addr); S(siginfo_t, si_syscall); S(siginfo_t, si_arch);
    printf("size siginfo_t %zu\n", sizeof(siginfo_t));
    return 0;
}
"""


@pytest.fixture(scope="module")
def offsets(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], int]:
    """Return (structure, member) -> offset as gcc -m32 sees them."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    folder: Path = tmp_path_factory.mktemp("offsets")
    (folder / "o.c").write_text(OFFSETS)
    built = subprocess.run(["gcc", "-m32", "-o", folder / "o", folder / "o.c"], check=False)
    if built.returncode:
        pytest.skip("gcc -m32 does not work")
    lines = subprocess.run([folder / "o"], capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in lines.splitlines())
    return {(kind, member): int(value) for kind, member, value in rows}


def test_ucontext_offsets(offsets: dict[tuple[str, str], int]) -> None:
    """The frame's ucontext has its members where the headers say."""
    at = {member: value for (kind, member), value in offsets.items() if kind == "ucontext_t"}
    assert at["uc_stack"] == frames._UC_STACK
    assert at["uc_mcontext"] == frames._UC_CONTEXT
    assert at["uc_sigmask"] == frames._UC_MASK
    context = at["uc_mcontext"]
    assert at["uc_mcontext.gregs[REG_GS]"] - context == 0
    assert at["uc_mcontext.gregs[REG_EAX]"] - context == 44
    assert at["uc_mcontext.gregs[REG_TRAPNO]"] - context == 48
    assert at["uc_mcontext.gregs[REG_EIP]"] - context == 56
    assert at["uc_mcontext.gregs[REG_EFL]"] - context == 64
    assert at["uc_mcontext.fpregs"] - context == 76
    assert at["uc_mcontext.oldmask"] - context == 80
    assert at["uc_mcontext.cr2"] - context == 84


def test_siginfo_offsets(offsets: dict[tuple[str, str], int]) -> None:
    """Converted siginfo records have their members where the headers say."""
    at = {member: value for (kind, member), value in offsets.items() if kind == "siginfo_t"}
    assert offsets[("size", "siginfo_t")] == siginfo.SIZE

    def word(info: bytes, member: str) -> int:
        value: int = struct.unpack_from("<i", info, at[member])[0]
        return value

    head = struct.pack("<iii4x", SIGUSR1, 0, defs.SI_QUEUE)
    queued = siginfo.to_guest(head + struct.pack("<iIQ", 11, 12, 13) + bytes(96))
    assert [word(queued, m) for m in ("si_pid", "si_uid", "si_value")] == [11, 12, 13]
    head = struct.pack("<iii4x", defs.SIGCHLD, 0, 1)
    child = siginfo.to_guest(head + struct.pack("<iIi4xqq", 21, 22, 23, 24, 25) + bytes(80))
    members = ("si_pid", "si_uid", "si_status", "si_utime", "si_stime")
    assert [word(child, m) for m in members] == [21, 22, 23, 24, 25]
    head = struct.pack("<iii4x", defs.SIGALRM, 0, defs.SI_TIMER)
    timer = siginfo.to_guest(head + struct.pack("<iIQ", 31, 32, 33) + bytes(96))
    assert [word(timer, m) for m in ("si_timerid", "si_overrun", "si_value")] == [31, 32, 33]
    head = struct.pack("<iii4x", defs.SIGIO, 0, 1)
    poll = siginfo.to_guest(head + struct.pack("<qi", 41, 42) + bytes(100))
    assert [word(poll, m) for m in ("si_band", "si_fd")] == [41, 42]
    head = struct.pack("<iii4x", defs.SIGSYS, 0, 1)
    call_info = siginfo.to_guest(head + struct.pack("<QiI", 51, 52, 53) + bytes(96))
    found = [word(call_info, m) for m in ("si_call_addr", "si_syscall", "si_arch")]
    assert found == [51, 52, 53]
    assert word(siginfo.fault(defs.SIGSEGV, 1, 61), "si_addr") == 61


@pytest.mark.parametrize("code", [defs.SI_QUEUE, defs.SI_USER, defs.SI_TKILL, defs.SI_TIMER])
def test_siginfo_round_trip(code: int) -> None:
    """What the guest queues comes back unchanged from the host's layout."""
    record = struct.pack("<iiiiII", 34, 0, code, 1234, 5678, 0xDEADBEEF)
    if code in (defs.SI_USER,):
        record = record[:20]
    record = record.ljust(128, b"\0")
    assert siginfo.to_guest(siginfo.to_host(record)) == record


@pytest.mark.parametrize("flags", [defs.SA_SIGINFO, 0])
def test_frame_round_trip(flags: int) -> None:
    """A handler's frame restores every register, the mask and the FPU."""
    with guest() as t:
        cpu = t.cpu
        values = {n: 0x1000 + i for i, n in enumerate(("eax", "ebx", "ecx", "edx", "esi", "edi"))}
        for name, value in values.items():
            setattr(cpu, name, value)
        cpu.eflags = 0xAD7  # every arithmetic flag, IF, DF clear
        image = bytearray(fpframe.INITIAL)
        image[160:176] = bytes(range(16))
        struct.pack_into("<I", image, 24, 0x1F00)
        cpu.fxrstor(bytes(image))
        before = (cpu.esp, cpu.eip, cpu.eflags, cpu.fxsave()[:416])
        action = Action(HANDLER, flags | defs.SA_RESTORER, RESTORER)
        old_mask = 0x1_0000_0200
        frames.push(t, SIGUSR1, action, siginfo.user(SIGUSR1, 0, 1, 2), old_mask)
        assert cpu.eip == HANDLER
        assert (cpu.esp + 4) & 15 == 0
        assert t.mem.u32(cpu.esp) == RESTORER
        assert t.mem.u32(cpu.esp + 4) == SIGUSR1
        assert cpu.fxsave()[160:176] == bytes(16)  # a handler starts with a fresh FPU
        for name in values:
            setattr(cpu, name, 0)
        cpu.eflags = 0x202
        cpu.esp += 4  # the handler returned
        if flags:
            assert (cpu.ecx, cpu.edx) == (0, 0)
            mask, stack = frames.restore_rt(t)
            assert stack == t.altstack
        else:
            cpu.esp += 4  # popl %eax
            mask = frames.restore(t)
        assert mask == old_mask
        assert (cpu.esp, cpu.eip, cpu.eflags, cpu.fxsave()[:416]) == before
        assert {name: getattr(cpu, name) for name in values} == values


def test_rt_frame_fields() -> None:
    """The handler's three arguments point into the frame; the FP state has its magic numbers."""
    with guest() as t:
        info = siginfo.user(SIGUSR1, 0, 77, 88)
        frames.push(t, SIGUSR1, Action(HANDLER, defs.SA_SIGINFO), info, 0)
        sp = t.cpu.esp
        stub, signo, info_at, context_at = struct.unpack("<4I", t.mem.read(sp, 16))
        assert t.mem.read(stub, 7).hex() == "b8ad000000cd80"
        assert (signo, t.cpu.eax, t.cpu.edx, t.cpu.ecx) == (10, 10, info_at, context_at)
        assert t.mem.read(info_at, 128) == info
        assert t.mem.read(sp + 260, 8).hex() == "b8ad000000cd8000"
        fpstate = t.mem.u32(context_at + 20 + 76)
        assert (fpstate + 112) % 64 == 0
        assert t.mem.u32(fpstate) == 0xFFFF037F
        assert t.mem.u32(fpstate + 8) == 0xFFFFFFFF  # every register is empty
        assert t.mem.u32(fpstate + 112 + 464) == fpframe.MAGIC1
        size = t.mem.u32(fpstate + 112 + 464 + 4)
        assert t.mem.u32(fpstate + size - 4) == fpframe.MAGIC2


def test_altstack_rules() -> None:
    """Entering, staying on, overflowing and disarming the alternate stack."""
    with guest() as t:
        top = DATA + 0x4000
        flags = defs.SA_SIGINFO | defs.SA_ONSTACK
        t.altstack = AltStack(DATA, 0, 0x4000)
        frames.push(t, SIGUSR1, Action(HANDLER, flags), siginfo.kernel(SIGUSR1), 0)
        assert DATA < t.cpu.esp < top
        inner = t.cpu.esp
        frames.push(t, SIGUSR1, Action(HANDLER, flags), siginfo.kernel(SIGUSR1), 0)
        assert DATA < t.cpu.esp < inner
        t.cpu.esp = DATA + 0x100
        with pytest.raises(frames.BadStack):
            frames.push(t, SIGUSR1, Action(HANDLER, flags), siginfo.kernel(SIGUSR1), 0)
        t.cpu.esp = STACK + STACK_SIZE - 64
        t.altstack = AltStack(DATA, defs.SS_AUTODISARM, 0x4000)
        frames.push(t, SIGUSR1, Action(HANDLER, flags), siginfo.kernel(SIGUSR1), 0)
        assert t.altstack == frames.DISARMED
        t.cpu.esp += 4
        assert frames.restore_rt(t)[1] == AltStack(DATA, defs.SS_AUTODISARM, 0x4000)


def test_sigaltstack_call() -> None:
    """The call's errors and what it reports."""
    with guest() as t:
        new, old = DATA, DATA + 16
        t.mem.write(new, struct.pack("<III", DATA + 0x1000, 0, 1024))
        assert perform(t, 186, new, old) == -defs.ENOMEM
        t.mem.write(new, struct.pack("<III", DATA + 0x1000, 4, 8192))
        assert perform(t, 186, new, old) == -defs.EINVAL
        t.mem.write(new, struct.pack("<III", DATA + 0x1000, 0, 8192))
        assert perform(t, 186, new, old) == 0
        assert struct.unpack("<III", t.mem.read(old, 12)) == (0, defs.SS_DISABLE, 0)
        t.cpu.esp = DATA + 0x2000
        assert perform(t, 186, new, old) == -defs.EPERM
        assert play(t, call(186, 0, old)) == [0]
        assert struct.unpack("<III", t.mem.read(old, 12))[1] == defs.SS_ONSTACK


def test_unusable_stack_is_a_segv() -> None:
    """A frame that cannot be written turns the signal into SIGSEGV, which then kills."""
    with guest() as t:
        t.process.signals.set(SIGUSR1, Action(HANDLER, defs.SA_SIGINFO))
        t.cpu.esp = 0x1000
        perform(t, 270, t.tid, t.tid, SIGUSR1)
        assert t.process.ending is not None
        assert t.process.ending.signal == defs.SIGSEGV
