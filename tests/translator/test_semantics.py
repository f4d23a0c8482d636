"""Every line of tests/semantics/*.ins on every tier, and on the host CPU as the referee."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import capstone
import numpy as np
import pytest

from tests.native.host import Native, NativeError
from tests.translator import lines
from tests.translator.fakes import FakeMachine
from translator import features

DIRECTORY = Path(__file__).parent.parent / "semantics"
# Files of insns that only some hosts allow guests.
NEEDS = {"sse41": "sse4_1", "sse42": "sse4_2"}
LINES = [
    line
    for path in sorted(DIRECTORY.glob("*.ins"))
    if NEEDS.get(path.stem) in (None, *features.GUEST)
    for line in lines.read(path)
]
# Beside the two below: names of strategies, run by tests.machine.Bare.
BLOCK = pytest.param("block", marks=pytest.mark.slow)
TIERS = ("interp", "native", "stencil", "region", "region-x87", BLOCK)


class Machine(Protocol):
    """Code image and cases in, results out."""

    def run(self, code: bytes, cases: np.ndarray) -> np.ndarray:
        """Run the cases."""


@pytest.fixture(scope="module", params=TIERS)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Yield the machine of each tier."""
    if request.param == "interp":
        yield FakeMachine()
    elif request.param == "native":
        try:
            with Native() as native:
                yield native
        except NativeError as problem:
            pytest.skip(str(problem))
    else:
        from tests.machine import Bare

        bare = Bare(request.param)
        yield bare
        bare.close()


@pytest.mark.parametrize("line", LINES, ids=str)
def test_line(line: lines.Line, machine: Machine) -> None:
    """Run one insn and compare the whole state."""
    is_bmi = line.where.startswith("bmi:")
    if is_bmi and isinstance(machine, Native) and "bmi2" not in features.HOST:
        pytest.skip("this host has no BMI2")
    result = machine.run(lines.image(line), line.case)[0]
    assert not lines.differences(line, result)


def test_disassembly() -> None:
    """The bytes are the insns that the lines say."""
    disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
    for line in LINES:
        if line.assembly != "-":
            start = lines.START
            found = next(disassembler.disasm(line.code, start, 1), None)
            assert found is not None, line.where
            text = f"{found.mnemonic} {found.op_str}".strip()
            assert (line.where, text) == (line.where, line.assembly)
            assert found.size == len(line.code), line.where
