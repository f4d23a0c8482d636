"""Decoder cases of Zydis and XED -> those of 16 and 32 bits: bytes, mode, length, mnemonic."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.running import SUITES
from translator.decode import Truncated, decode
from translator.mode import USER, Mode, Segments

FOLDER = SUITES / "decode"
REAL = Mode(False, False, Segments.REAL, protected=False, cpl=0, system=True)
_XED = re.compile(r"BUILDDIR/xed +(?:-b \S+ +)?(?P<mode>-16|-32|-64)? *-(?:d|de|v) +(?P<bytes>.*)")
_OUTPUT = re.compile(r"^([0-9A-F]+)\n.*?ICLASS: +(\w+).*?EXTENSION: +(\w+)", re.S | re.M)
_ZYDIS = re.compile(r"MNEMONIC: (\w+)(?: \w+)* \[.*?LENGTH: +(\d+).*?ISA-SET: (\S+)", re.S)
# Extensions that no guest has.
FOREIGN = re.compile(r"(?:AVX|FMA|VIA)\w*")
# Their output shows the bytes given, and there is another insn behind.
LONGER = {"test-00031", "test-00089", "test-00090"}
_ALIASES = {
    "jz": "je", "ret_near": "ret", "lds": "lseg", "les": "lseg", "mov_cr": "movcr", "nop": "hint",
}  # fmt: skip
_INDIRECT = {"call": "calli", "jmp": "jmpi"}
_STRING = re.compile(r"(?:rep\w?_)?(movs|cmps|stos|lods|scas)[bwd]")


class Case(NamedTuple):
    """One insn: its mnemonic is "" where it is invalid."""

    name: str
    mode: Mode
    code: bytes
    length: int
    mnemonic: str
    extension: str

    def differences(self) -> list[str]:
        """Return what our decoder says otherwise."""
        try:
            insn = decode(self.code, 0, self.mode)
        except Truncated:
            return [] if not self.mnemonic else ["bytes are missing"]
        if not self.mnemonic or self.is_foreign:
            return [] if insn.mnemonic == "ud" else [f"{insn.mnemonic} instead of nothing"]
        known = _names(self.mnemonic)
        problems = [] if insn.mnemonic in known else [f"{insn.mnemonic}, not {self.mnemonic}"]
        if insn.length != self.length and self.name not in LONGER:
            problems.append(f"{insn.length} bytes, not {self.length}")
        return problems

    @property
    def is_foreign(self) -> bool:
        """Whether the insn is of an extension that no guest has."""
        return FOREIGN.match(self.extension) is not None


def _names(mnemonic: str) -> set[str]:
    """Return what our decoder may call an insn of theirs."""
    name = mnemonic.removesuffix("_lock").removesuffix("_near")
    if string := _STRING.fullmatch(name):
        name = string[1]
    name = "callf" if name == "call_far" else name
    far = {"callf", "jmpf"} if name in _INDIRECT and mnemonic == name else set()
    return {name, _ALIASES.get(name, name), _INDIRECT.get(name, name)} | far


def _rows(name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(FOLDER / name) as lines:
        yield from map(json.loads, lines)


def _zydis() -> Iterator[Case]:
    for row in _rows("zydis_cases.jsonl.gz"):
        mode, _, text = row["args"].partition(" ")
        if mode not in ("-16", "-32"):
            continue
        code, expect = bytes.fromhex(text), row["expect"]
        found = _ZYDIS.search(expect)
        name, length, isa = found.groups() if found else ("", "0", "")
        yield Case(row["case"], _mode(mode), code, int(length), name, isa)


def _xed() -> Iterator[Case]:
    for row in _rows("xed_tests.jsonl.gz"):
        found = _XED.match(row["cmd"].strip())
        if found is None or found["mode"] == "-64":
            continue
        text = found["bytes"].replace(" ", "")
        if not re.fullmatch(r"(?:[0-9a-fA-F]{2})+", text):
            continue
        output = row["stdout.reference"]
        known = _OUTPUT.search(output)
        used, name, isa = known.groups() if known else ("", "", "")
        mode = _mode(found["mode"] or "-32")
        yield Case(row["test"], mode, bytes.fromhex(text), len(used) // 2, name.lower(), isa)


def _mode(switch: str) -> Mode:
    return REAL if switch == "-16" else USER


def cases() -> list[Case]:
    """Return all cases of 16 and 32 bits."""
    return [*_zydis(), *_xed()]
