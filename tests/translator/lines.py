"""Test lines of tests/semantics/*.ins -> cases and expectations.

A line reads ``bytes  disassembly  given => expected``, columns two spaces apart, ``#`` comments:

- the bytes are one insn at START, followed by F4 bytes: the case ends at the first of these;
- the disassembly is capstone's, or ``-`` where capstone differs between versions;
- given and expected are words ``name=hex``: registers of 32, 16 and 8 bits, flags (cf pf af zf sf
  of df tf nt ac id), ``[address]=bytes``, fcw fsw ftw mxcsr xmm0-7, st0-7 (ten bytes, as a number;
  giving any also sets TOP and tags), mm0-7, segment registers;
- expected ``eip=+n`` counts from the insn, ``eip=n`` is an address; else it is behind the insn;
- expected ``fault=de`` (and the other names in VECTORS): eip stays unless listed; ``cr2``;
- ``name=?`` in expected: undefined, not compared.  What is not listed must not change; what is not
  given is 0, memory the pattern of tests/native/layout.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.native import layout

START = layout.CODE + 0x800
VECTORS = {"de": 0, "db": 1, "bp": 3, "of": 4, "br": 5, "ud": 6}
VECTORS |= {"np": 11, "ss": 12, "gp": 13, "pf": 14, "mf": 16, "ac": 17, "xm": 19}
REGISTERS = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
# name -> index, shift, bits
PARTS = {
    **{name: (i, 0, 32) for i, name in enumerate(REGISTERS)},
    **{name[1:]: (i, 0, 16) for i, name in enumerate(REGISTERS)},
    **{name: (i, 0, 8) for i, name in enumerate(("al", "cl", "dl", "bl"))},
    **{name: (i, 8, 8) for i, name in enumerate(("ah", "ch", "dh", "bh"))},
}
FLAGS = {"cf": 0, "pf": 2, "af": 4, "zf": 6, "sf": 7, "df": 10, "of": 11}
FLAGS |= {"tf": 8, "nt": 14, "ac": 18, "id": 21}
SEGMENTS = ("cs", "ds", "es", "ss", "fs", "gs")
FX = {"fcw": (0, 2), "fsw": (2, 2), "ftw": (4, 1), "mxcsr": (24, 4)}
FX |= {f"st{i}": (32 + 16 * i, 10) for i in range(8)}
FX |= {f"xmm{i}": (160 + 16 * i, 16) for i in range(8)}

Value = int | bytes | None  # None: not compared


class Line(NamedTuple):
    """One test."""

    where: str
    code: bytes
    assembly: str
    case: np.ndarray
    expected: dict[str, Value]

    def __str__(self) -> str:
        return f"{self.where} {self.assembly}"


def words(text: str) -> dict[str, str]:
    """Split `name=value` words; a name may occur once."""
    result: dict[str, str] = {}
    for word in text.split():
        name, value = word.split("=", 1)
        if name in result:
            raise ValueError(f"{name} twice in {text}")
        result[name] = value
    return result


def _given(text: str) -> np.ndarray:
    """Build the case that a line's *given* describes."""
    case = np.zeros(1, dtype=layout.CASE)
    case["eip"] = START
    fx = bytearray(layout.default_fx().tobytes())
    registers, flags, changes = [0] * 8, 0x202, 0
    for name, value in words(text).items():
        if name.startswith("["):
            data = bytes.fromhex(value)
            change = case["changes"][0, changes]
            change["address"], change["size"] = int(name[1:-1], 16), len(data)
            change["data"][: len(data)] = list(data)
            changes += 1
        elif name in PARTS:
            index, shift, _ = PARTS[name]
            registers[index] |= int(value, 16) << shift
        elif name in FLAGS:
            flags |= int(value, 16) << FLAGS[name]
        elif re.fullmatch(r"st[0-7]", name):
            _push_given(fx, int(name[2]), int(value, 16))
        elif re.fullmatch(r"mm[0-7]", name):
            at = 32 + 16 * int(name[2])
            fx[4] = 0xFF
            fx[at : at + 10] = (0xFFFF << 64 | int(value, 16)).to_bytes(10, "little")
        else:
            at, size = FX[name]
            fx[at : at + size] = int(value, 16).to_bytes(size, "little")
    case["regs"], case["eflags"], case["n_changes"] = registers, flags, changes
    case["fx"] = np.frombuffer(bytes(fx), dtype=np.uint8)
    return case


def _push_given(fx: bytearray, index: int, value: int) -> None:
    """Put a value into ST(index), with TOP as if the stack held nothing else than given."""
    at = 32 + 16 * index
    fx[at : at + 10] = value.to_bytes(10, "little")
    depth = max(index + 1, (8 - (fx[3] >> 3 & 7)) & 7)
    top = -depth & 7
    fx[3] = fx[3] & ~0x38 | top << 3
    fx[4] = sum(1 << (top + i & 7) for i in range(depth))


def read(path: Path) -> list[Line]:
    """Read the tests of a file."""
    result = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.partition("#")[0].rstrip()
        if not text:
            continue
        left, arrow, after = text.partition("=>")
        columns = re.split(r"\s{2,}", left.strip(), maxsplit=2)
        if not arrow or len(columns) < 2:
            raise ValueError(f"{path.name}:{number}: {line}")
        code, assembly = bytes.fromhex(columns[0]), columns[1]
        given = columns[2] if len(columns) > 2 else ""
        expected: dict[str, Value] = {}
        for name, value in words(after).items():
            expected[name] = _expected(name, value)
        where = f"{path.stem}:{number}"
        result.append(Line(where, code, assembly, _given(given), expected))
    return result


def _expected(name: str, value: str) -> Value:
    if value == "?":
        return None
    if name == "fault":
        return VECTORS[value]
    if name == "eip":
        return int(value, 16) + (START if value[0] in "+-" else 0)
    if name.startswith("["):
        return bytes.fromhex(value)
    return int(value, 16)


def image(line: Line) -> bytes:
    """Return the code image of a line: its insn between HLT bytes."""
    return bytes([layout.HALT]) * (START - layout.CODE) + line.code


class _Check:
    """Compares one result with a line and collects what differs."""

    def __init__(self, line: Line, result: np.void) -> None:
        self.line, self.case, self.result = line, line.case[0], result
        self.expected = dict(line.expected)
        self.problems: list[str] = []

    def one(self, name: str, got: int, default: int, mask: int = -1) -> None:
        """Compare a number with what is expected, or with *default*."""
        want = self.expected.pop(name, default)
        if isinstance(want, int) and (got ^ want) & mask:
            self.problems.append(f"{name}={got & mask:x}, not {want & mask:x}")

    def all(self) -> list[str]:
        """Compare everything."""
        result, eip = self.result, int(self.result["eip"])
        fault = int(result["vector"])
        end = START + len(self.line.code)
        is_halted = fault == VECTORS["gp"] and not START <= eip < end
        expects_fault = "fault" in self.expected
        self.one("fault", 0x100 if is_halted else fault, 0x100)
        self.one("eip", eip, START if expects_fault else end)
        self.one("cr2", int(result["cr2"]), int(result["cr2"]))
        self.registers()
        self.fx(self.case["fx"].tobytes(), result["fx"].tobytes())
        self.memory()
        return self.problems + [f"unknown {name}" for name in self.expected]

    def registers(self) -> None:
        """Compare general registers, flags and segment registers."""
        for i, name in enumerate(REGISTERS):
            want, mask = int(self.case["regs"][i]), 0xFFFFFFFF
            for part, (index, shift, bits) in PARTS.items():
                if index != i or part not in self.expected:
                    continue
                value, part_mask = self.expected.pop(part), (1 << bits) - 1 << shift
                if isinstance(value, int):
                    want = want & ~part_mask | value << shift
                else:
                    mask &= ~part_mask
            self.one(name, int(self.result["regs"][i]), want, mask)
        before, after = int(self.case["eflags"]), int(self.result["eflags"])
        for name, bit in FLAGS.items():
            self.one(name, after >> bit & 1, before >> bit & 1)
        for name, got in zip(SEGMENTS, self.result["segments"].tolist(), strict=True):
            self.one(name, got, 0x23 if name == "cs" else 0 if name in ("fs", "gs") else 0x2B)

    def fx(self, before: bytes, after: bytes) -> None:
        """Compare x87 and vector state."""
        for i in range(8):
            if f"mm{i}" in self.expected:
                value = self.expected.pop(f"mm{i}")
                self.expected[f"st{i}"] = 0xFFFF << 64 | value if isinstance(value, int) else None
                self.expected.setdefault("ftw", 0xFF)
        for name, (at, size) in FX.items():
            got, old = (int.from_bytes(x[at : at + size], "little") for x in (after, before))
            self.one(name, got, old)

    def memory(self) -> None:
        """Compare all memory."""
        memory = layout.PATTERN.copy()

        def put(address: int, data: bytes) -> None:
            for number, base in enumerate(layout.REGIONS):
                if base <= address < base + layout.REGION_SIZE:
                    memory[number, address - base : address - base + len(data)] = list(data)

        for address, size, data in self.case["changes"][: self.case["n_changes"]].tolist():
            put(address, bytes(data)[:size])
        for name in [name for name in self.expected if name.startswith("[")]:
            value = self.expected.pop(name)
            if isinstance(value, bytes):
                put(int(name[1:-1], 16), value)
        for number, at in np.argwhere(memory != self.result["memory"])[:8].tolist():
            got, want = int(self.result["memory"][number, at]), int(memory[number, at])
            self.problems.append(f"[{layout.REGIONS[number] + at:x}]={got:02x}, not {want:02x}")


def differences(line: Line, result: np.void) -> list[str]:
    """Return what of a result differs from what the line expects."""
    return _Check(line, result).all()
