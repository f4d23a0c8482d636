"""The decoder cases of Zydis and XED that have 16 or 32 bits."""

from __future__ import annotations

import pytest

from tests.vectors import decoding

_KNOWN = decoding.cases() if decoding.FOLDER.exists() else []


def test_there_are_cases() -> None:
    """The readers find them."""
    if not decoding.FOLDER.exists():
        pytest.skip(f"{decoding.FOLDER} is missing (set JITEMU_SUITES)")
    assert len(_KNOWN) > 80


@pytest.mark.parametrize("case", _KNOWN, ids=[f"{c.name}-{c.code.hex()}" for c in _KNOWN])
def test_case(case: decoding.Case) -> None:
    """Validity, mnemonic and length are those of the other decoder."""
    assert not case.differences()
