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


def pytest_configure(config: pytest.Config) -> None:
    """Leave the slow tests out unless the command line selects by mark."""
    config.addinivalue_line("markers", "slow: takes minutes; run with -m slow")
    if not config.option.markexpr:
        config.option.markexpr = "not slow"
