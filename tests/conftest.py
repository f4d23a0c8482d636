"""Fixtures and marks for all tests; nothing here needs the emulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import debian


@pytest.fixture(scope="session")
def sysroot() -> Path:
    """Return the i386 Debian sysroot, or skip saying why there is none."""
    try:
        return debian.sysroot()
    except debian.SysrootError as problem:
        pytest.skip(f"no i386 Debian sysroot: {problem}")
