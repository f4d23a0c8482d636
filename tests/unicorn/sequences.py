"""Random sequences of API calls on one machine: what is drawn, and what a library makes of it."""

from __future__ import annotations

import contextlib
import struct
from typing import Any, NamedTuple

import pytest

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
st = hypothesis.strategies

FLAGS = 0x8C5  # all that are defined behind every insn below: not AF
NAMES = ("EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI", "EIP")
WRITTEN = ("EAX", "ECX", "EDX", "EBX", "EBP")
PAGE = 0x1000


class Layout(NamedTuple):
    """Where code, data and stack are: two pages each; linear and physical."""

    mode: int
    code: int
    data: int
    stack: int
    data_at: int  # physical address
    paged: bool


FLAT = Layout(4, 0x100000, 0x200000, 0x300000, 0x200000, False)
REAL = Layout(2, 0x1000, 0x4000, 0x8000, 0x4000, False)
PAGED = Layout(4, 0x100000, 0x200000, 0x300000, 0x80000, True)
LAYOUTS = (FLAT, FLAT, REAL, PAGED)
DIRECTORY = 0x10000

# Insns of one register, of two, with a memory operand at ESI; reg fields are 0 to 3, 5 and 7.
ONE = ("40", "48", "f7d8", "f7d0", "50", "58")
TWO = ("01", "29", "31", "21", "09", "39", "85", "89", "0fb6", "0fbe", "11", "19", "87", "0f44")
MEMORY = (
    "8b",
    "89",
    "03",
    "01",
    "29",
    "33",
    "88",
    "8a",
    "3b",
    "0fb6",
    "0fb7",
    "87",
    "0fc1",
    "ff00",
)
PLAIN = ("90", "f9", "f8", "f5", "98", "99", "a5", "aa", "ac", "6a05", "66ab", "9090", "fc", "d7")
OUTSIDE = ("cd21", "cc", "e460", "e662", "ed", "ef", "f7f1", "f4", "cd80")
FAR = ("8b", "89", "ff30", "0fb6", "01")  # of EDX: mostly nowhere
CALLS = ("e800000000", "e8010000009058", "c3", "e2f0", "ebfe")


def modrm(mod: int, reg: int, rm: int) -> bytes:
    return bytes([mod << 6 | reg << 3 | rm])


REGISTERS = st.sampled_from([0, 1, 2, 3, 5, 7])


@st.composite
def insns(draw: Any, layout: Layout) -> bytes:
    kind = draw(st.integers(0, 8))
    if kind == 0:
        opcode = bytes.fromhex(draw(st.sampled_from(ONE)))
        return opcode[:-1] + bytes([opcode[-1] + draw(REGISTERS)])
    if kind == 1:
        opcode = bytes.fromhex(draw(st.sampled_from(TWO)))
        return opcode + modrm(3, draw(REGISTERS), draw(st.sampled_from([0, 1, 2, 3])))
    if kind in (2, 3):
        opcode = bytes.fromhex(draw(st.sampled_from(MEMORY)))
        reg = draw(st.sampled_from([0, 1, 2, 3]))
        if len(opcode) == 2 and opcode[0] == 0xFF:
            opcode, reg = opcode[:1], 0
        # [esi + n], in 16-bit code [bp + n]
        return opcode + modrm(1, reg, 6) + bytes([draw(st.integers(0, 127))])
    if kind == 4:
        return bytes.fromhex(draw(st.sampled_from(PLAIN)))
    if kind == 5:
        size = 2 if layout.mode == 2 else 4
        number = draw(st.one_of(
            st.integers(0, (1 << 8 * size) - 1), st.integers(layout.data, layout.data + 0x1FF8)
        ))  # fmt: skip
        return bytes([0xB8 + draw(REGISTERS)]) + number.to_bytes(size, "little")
    if kind == 6:
        return bytes.fromhex(draw(st.sampled_from(OUTSIDE)))
    if kind == 7:
        opcode = bytes.fromhex(draw(st.sampled_from(FAR)))
        reg = draw(st.sampled_from([0, 1, 3]))
        if len(opcode) == 2 and opcode[0] == 0xFF:
            opcode, reg = opcode[:1], 6
        return opcode + modrm(0, reg, 2 if layout.mode == 4 else 5)  # [edx]; [di]
    code = draw(st.sampled_from([2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15]))
    return bytes([0x70 + code, 1, 0x40])  # a jump over an insn


class Sequence(NamedTuple):
    layout: Layout
    code: bytes
    starts: list[int]
    calls: list[tuple[Any, ...]]


KINDS = (
    "CODE", "BLOCK", "MEM_READ", "MEM_WRITE", "MEM_READ|MEM_WRITE", "INTR", "IN", "OUT", "INVALID",
    "MEM_UNMAPPED", "MEM_PROT",
)  # fmt: skip


@st.composite
def calls(draw: Any, layout: Layout, starts: list[int]) -> tuple[Any, ...]:
    where = st.sampled_from(starts)
    kind = draw(st.integers(0, 11))
    if kind <= 4:
        return "run", draw(where), draw(where), draw(st.sampled_from([0, 0, 1, 2, 5, 17, 40]))
    if kind <= 6:
        hook = draw(st.sampled_from(KINDS))
        if hook.startswith("MEM_R") or hook == "MEM_WRITE":
            first = draw(st.integers(0, 0x140))
            ranges = st.sampled_from([(1, 0), (first, first + 3), (first, first), (0x900, 0x1000)])
        else:
            ranges = st.one_of(st.tuples(where, where), st.just((1, 0)))
        return (
            "hook",
            hook,
            *draw(ranges),
            draw(st.sampled_from(["log", "log", "log", "stop", "eax", "nest"])),
        )
    if kind == 7:
        return "unhook", draw(st.integers(0, 3))
    if kind == 8:
        value = draw(
            st.one_of(st.integers(0, 0xFFFFFFFF), st.integers(layout.data, layout.data + 0x1F00))
        )
        return (
            "register",
            draw(st.sampled_from(WRITTEN)),
            value & (0xFFFF if layout.mode == 2 else -1),
        )
    if kind == 9:
        return "write", draw(st.integers(0, 0x1F0)), draw(st.binary(min_size=1, max_size=8))
    if kind == 10:
        return draw(st.sampled_from([("save",), ("restore",)]))
    return "protect", draw(st.sampled_from([0, 1, 3, 7])), draw(st.sampled_from([0, PAGE]))


@st.composite
def sequences(draw: Any) -> Sequence:
    layout = draw(st.sampled_from(LAYOUTS))
    parts = draw(st.lists(insns(layout), min_size=1, max_size=12))
    starts = [sum(map(len, parts[:i])) for i in range(len(parts) + 1)]
    if draw(st.booleans()):  # a loop of all of it
        parts.append(bytes([0x4D, 0x75, 256 - starts[-1] - 3 & 0xFF]))  # dec ebp; jnz
        starts.append(starts[-1] + 3)
    done = draw(st.lists(calls(layout, starts), min_size=1, max_size=9))
    return Sequence(layout, b"".join(parts), starts, [*done, ("run", 0, starts[-1], 0)])


class Player:
    """Carries a sequence out with one library."""

    def __init__(self, lib: Any, sequence: Sequence) -> None:
        self.lib, self.sequence = lib, sequence
        self.layout = layout = sequence.layout
        self.log: list[Any] = []
        self.handles: list[int] = []
        self.saved: Any = None
        self.is_nested = self.has_nested = False
        self.is_vague = False  # there was an exception
        self.uc = uc = lib.Uc(lib.UC_ARCH_X86, layout.mode)
        for start in (layout.code, layout.data_at, layout.stack):
            uc.mem_map(start, 2 * PAGE)
        uc.mem_write(layout.code, sequence.code + b"\x90" * 8 + b"\xf4")
        uc.mem_write(layout.data_at, bytes(range(256)) * 8)
        if layout.paged:
            uc.mem_map(DIRECTORY, 2 * PAGE)
            entries = [address | 7 for address in range(0, 0x400000, PAGE)]
            for i in range(2):
                entries[layout.data // PAGE + i] = layout.data_at + i * PAGE | 7
            uc.mem_write(DIRECTORY, struct.pack("<I", DIRECTORY + PAGE | 7))
            uc.mem_write(DIRECTORY + PAGE, struct.pack("<1024I", *entries))
            self.put("CR3", DIRECTORY)
            self.put("CR0", 0x80000011)
        for name, value in (
            ("ESP", layout.stack + 0x1000), ("ESI", layout.data + 256), ("EDI", layout.data + 512),
            ("EBP", 7 if layout.mode == 4 else layout.data + 256), ("ECX", 3),
        ):  # fmt: skip
            self.put(name, value)

    def get(self, name: str) -> Any:
        return self.uc.reg_read(getattr(self.lib.x86_const, "UC_X86_REG_" + name))

    def put(self, name: str, value: int) -> None:
        self.uc.reg_write(getattr(self.lib.x86_const, "UC_X86_REG_" + name), value)

    def play(self) -> list[Any]:
        for call, *arguments in self.sequence.calls:
            try:
                if getattr(self, "do_" + call)(*arguments):
                    break
            except self.lib.UcError as error:
                self.log.append((call, "error", error.errno))
        layout = self.layout
        for start in (layout.code, layout.data_at, layout.stack):
            self.log.append(bytes(self.uc.mem_read(start, 2 * PAGE)))
        return self.log

    # -- calls -------------------------------------------------------------------------------------
    def do_run(self, begin: int, until: int, count: int) -> bool:
        code = self.layout.code
        self.put("EFLAGS", 2)
        failed, self.is_vague = 0, False
        try:
            self.uc.emu_start(code + begin, code + until, count=count or 300)
        except self.lib.UcError as error:
            self.log.append(("error", error.errno))
            failed = error.errno
        # Unicorn calls these once more where `count` ends in front of a block.
        while self.log and self.log[-1][:2] == ("BLOCK", self.get("EIP")):
            self.log.pop()
        values = [self.get(name) for name in NAMES]
        if (
            failed or self.is_vague
        ):  # Unicorn does not compute the flags of the insns before one that fails
            self.uc.ctl_flush_tb()
            self.log.append(values)
            # Unicorn remembers exceptions for ever; nor does it know the limit of CS.
            return self.layout.mode == 2 or failed in (10, 21)
        self.log.append([*values, self.get("EFLAGS") & FLAGS])
        self.uc.ctl_flush_tb()
        return False

    def do_hook(self, kind: str, first: int, last: int, action: str) -> None:
        lib, uc, layout = self.lib, self.uc, self.layout
        x86 = lib.x86_const
        number = len(self.handles)
        everywhere = first > last

        def act(result: Any = None) -> Any:
            if action == "stop":
                uc.emu_stop()
            elif action == "eax":
                self.put("EAX", 0x1234)
            elif action == "nest" and kind == "CODE" and not self.is_nested:
                self.is_nested = self.has_nested = True
                with contextlib.suppress(lib.UcError):
                    uc.emu_start(layout.code, layout.code + self.sequence.starts[1], count=2)
                self.is_nested = False
            return result

        def log(*values: Any) -> None:
            self.log.append((kind, *values, number))

        begin, end, bits, callback, insn = 1, 0, 0, None, 0
        if kind in ("CODE", "BLOCK"):
            begin, end = (1, 0) if everywhere else (layout.code + first, layout.code + last)
            bits = getattr(lib, "UC_HOOK_" + kind)

            def callback(uc: Any, at: int, size: int, data: object) -> None:
                # Unicorn does not know the size of what it cannot decode.
                log(at, size if kind == "CODE" and size < 16 else 0, self.get("EFLAGS") & FLAGS)
                act()

        elif kind.startswith("MEM_") and kind not in ("MEM_UNMAPPED", "MEM_PROT"):
            if not everywhere:
                begin, end = layout.data_at + first, layout.data_at + last
            for name in kind.split("|"):
                bits |= getattr(lib, "UC_HOOK_" + name)

            def callback(
                uc: Any, access: int, at: int, size: int, value: int, data: object
            ) -> None:
                log(access, at, size, value)
                if action == "eax":
                    self.put("EBX", 7)  # what the insn itself does not read any more, mostly

        elif kind in ("MEM_UNMAPPED", "MEM_PROT"):
            bits = getattr(lib, "UC_HOOK_" + kind)

            def callback(
                uc: Any, access: int, at: int, size: int, value: int, data: object
            ) -> bool:
                log(access, at, size, value)
                if action == "eax" and kind == "MEM_UNMAPPED" and at < 1 << 31:
                    try:
                        uc.mem_map(at & -PAGE, 2 * PAGE)
                    except lib.UcError:
                        return False
                    return True
                if action == "eax" and kind == "MEM_PROT":
                    uc.mem_protect(at & -PAGE, PAGE, 7)
                    return True
                return False

        elif kind == "INTR":
            bits = lib.UC_HOOK_INTR

            def callback(uc: Any, vector: int, data: object) -> None:
                log(vector, self.get("EIP"))
                self.is_vague |= vector < 3
                if vector < 3 or action == "stop":
                    uc.emu_stop()

        elif kind == "INVALID":
            bits = lib.UC_HOOK_INSN_INVALID

            def callback(uc: Any, data: object) -> bool:
                log(self.get("EIP"))
                if action == "eax":
                    self.put("EIP", self.get("EIP") + 2)
                return action == "eax"

        else:
            bits, insn = lib.UC_HOOK_INSN, getattr(x86, "UC_X86_INS_" + kind)

            def callback(uc: Any, *values: Any) -> Any:
                log(*values[:-1])
                return act(0x55667788 if kind == "IN" else None)

        self.handles.append(uc.hook_add(bits, callback, None, begin, end, insn))
        uc.ctl_flush_tb()

    def do_unhook(self, which: int) -> None:
        if which < len(self.handles):
            self.uc.hook_del(self.handles.pop(which))
            self.uc.ctl_flush_tb()

    def do_register(self, name: str, value: int) -> None:
        self.put(name, value)

    def do_write(self, at: int, data: bytes) -> None:
        self.uc.mem_write(self.layout.data_at + at, data)

    def do_save(self) -> None:
        self.saved = self.uc.context_save()

    def do_restore(self) -> None:
        if self.saved is not None:
            self.uc.context_restore(self.saved)

    def do_protect(self, perms: int, offset: int) -> None:
        if not self.layout.paged:  # Unicorn does not look at it again
            self.uc.mem_protect(self.layout.data_at + offset, PAGE, perms)
