"""The hardware-recorded vectors of suites/hw32 -> cases and the results recorded for them."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests import compare
from tests.native import layout
from translator import features

# What is there only on some hosts: capstone's group -> name in translator/features.py; and the
# names of insns that have no group.
HOSTED_GROUPS = {
    "sse41": "sse4_1",
    "sse42": "sse4_2",
    "aes": "aes",
    "pclmul": "pclmulqdq",
    "sha": "sha_ni",
}
HOSTED_NAMES = {
    "phminposuw": "sse4_1",
    "pcmpestrm": "sse4_2",
    "pcmpistrm": "sse4_2",
    "gf2p8mulb": "gfni",
    "gf2p8affineqb": "gfni",
    "gf2p8affineinvqb": "gfni",
}
VECTORS = {"DE": 0, "BP": 3, "OF": 4, "BR": 5, "UD": 6, "GP": 13, "PF": 14}
CODE_PAGE = 0x1000


class Vector(NamedTuple):
    """One recorded test: the code page, the case, what was recorded and the undefined flags."""

    name: str
    form: str
    code: bytes
    cases: np.ndarray
    expected: np.void
    undefined: int
    has_fx: bool
    is_transcendental: bool


def is_wanted(row: dict[str, Any]) -> bool:
    """Whether this host can execute the insns of this test."""
    name, groups = row["name"].removeprefix("lock ").split()[0], set(row.get("groups", ()))
    needed = {HOSTED_GROUPS[group] for group in HOSTED_GROUPS.keys() & groups}
    needed |= {HOSTED_NAMES[name]} if name in HOSTED_NAMES else set()
    return needed <= features.GUEST


def _fx(state: dict[str, Any]) -> np.ndarray:
    image = layout.default_fx()
    struct.pack_into("<HHB", image, 0, state["fcw"], state["fsw"], state["ftw"])
    struct.pack_into("<I", image, 24, state["mxcsr"])
    for slot in range(8):
        image[32 + 16 * slot : 42 + 16 * slot] = list(bytes.fromhex(state["st"][slot]))
        image[160 + 16 * slot : 176 + 16 * slot] = list(bytes.fromhex(state["xmm"][slot]))
    return image


def _update_fx(image: np.ndarray, changed: dict[str, Any]) -> None:
    for name, at, form in (
        ("fcw", 0, "<H"),
        ("fsw", 2, "<H"),
        ("ftw", 4, "<B"),
        ("mxcsr", 24, "<I"),
    ):
        if name in changed:
            struct.pack_into(form, image, at, changed[name])
    for name, at in (("st", 32), ("xmm", 160)):
        for slot, value in changed.get(name, {}).items():
            data = list(bytes.fromhex(value))
            begin = at + 16 * int(slot)
            image[begin : begin + len(data)] = data


def _poke(memory: np.ndarray, address: int, data: bytes) -> None:
    for region, base in enumerate(layout.REGIONS):
        if base <= address < base + layout.REGION_SIZE:
            memory[region, address - base : address - base + len(data)] = list(data)


def vector(row: dict[str, Any]) -> Vector:
    """Convert one JSON row."""
    code = bytearray([layout.HALT]) * CODE_PAGE
    data = bytes.fromhex(row["bytes"])
    at = row["eip"] - layout.CODE
    code[at : at + len(data)] = data
    cases = np.zeros(1, dtype=layout.CASE)
    case = cases[0]
    case["eip"], case["regs"], case["eflags"] = row["eip"], row["regs"], row["eflags"] | 0x202
    case["fx"] = _fx(row["fx"]) if "fx" in row else layout.default_fx()
    want = np.zeros(1, dtype=layout.RESULT)[0]
    want["memory"] = layout.PATTERN
    changes = [(a, bytes.fromhex(h)) for a, h in row["mem"]]
    pieces = [
        (a + i, d[i : i + layout.CHANGE_SIZE])
        for a, d in changes
        for i in range(0, len(d), layout.CHANGE_SIZE)
    ]
    case["n_changes"] = len(pieces)
    for number, (address, piece) in enumerate(pieces):
        padded = list(piece.ljust(layout.CHANGE_SIZE, b"\0"))
        case["changes"][number] = (address, len(piece), padded)
        _poke(want["memory"], address, piece)
    for address, text in row["mem_out"]:
        _poke(want["memory"], address, bytes.fromhex(text))
    kind, cr2 = row.get("exc") or ("GP", None)
    want["vector"], want["cr2"] = VECTORS[kind], cr2 or 0
    want["eip"], want["regs"], want["eflags"] = row["eip_out"], row["regs_out"], row["eflags_out"]
    want["fx"] = case["fx"]
    _update_fx(want["fx"], row.get("fx_out") or {})
    transcendental = len(data) >= 2 and data[-2] == 0xD9 and data[-1] >= 0xF0
    form = row.get("form", "seq")
    return Vector(
        row["name"], form, bytes(code), cases, want, row["undef_flags"], "fx" in row, transcendental
    )


def differences(got: np.void, item: Vector) -> list[str]:
    """Return what differs from what was recorded, in what was recorded."""
    want = item.expected
    want["segments"], want["error"] = got["segments"], got["error"]
    if want["vector"] == VECTORS["GP"] and got["vector"] == VECTORS["PF"] and not got["cr2"]:
        want["vector"] = VECTORS["PF"]  # the recorder took address 0 for none
    if not item.has_fx:
        want["fx"] = got["fx"]
    elif item.is_transcendental:
        _forgive_ulp(got["fx"], want["fx"])
    # Only the arithmetic flags and DF were recorded.
    return compare.differences(got, want, item.undefined | ~0xCD5)


def _forgive_ulp(got: np.ndarray, want: np.ndarray) -> None:
    """Copy results that differ by one unit in the last place, as those of other CPUs may."""
    for begin in range(32, 160, 16):
        mine, theirs = (int.from_bytes(bytes(x[begin : begin + 10]), "little") for x in (got, want))
        if abs(mine - theirs) == 1:
            want[begin : begin + 10] = got[begin : begin + 10]
    # C1 says which way the result was rounded.
    want[3] ^= (want[3] ^ got[3]) & 2


def load(path: Path, step: int = 1, offset: int = 0) -> Iterator[Vector]:
    """Yield every *step*-th wanted vector of a file."""
    with gzip.open(path) as lines:
        rows = (row for row in map(json.loads, lines) if is_wanted(row))
        for number, row in enumerate(rows):
            if number % step == offset:
                yield vector(row)
