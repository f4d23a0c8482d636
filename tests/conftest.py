"""Fixtures and marks for all tests; nothing here needs the emulator."""

from __future__ import annotations

import gc
import os
import signal
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import debian, forced
from tests.hoststate import descriptors, dispositions


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let all guests run in one way."""
    group = parser.getgroup("guests", "how guests are translated")
    group.addoption("--strategy", metavar="NAME", help="run every guest under this strategy")
    group.addoption(
        "--region-threshold",
        type=int,
        metavar="INSNS",
        help="and with this threshold of the strategies region and tiered",
    )


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Decide before any test is imported, but after pytest has taken SIGSEGV for itself."""
    forced.apply(config.getoption("--strategy"), config.getoption("--region-threshold"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what would not be another test under another strategy."""
    out = [item for item in items if forced.is_left_out(item)]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if not forced.is_left_out(item)]
    if forced.patience() > 1 and config.getoption("timeout") is None:
        for item in items:
            marker = item.get_closest_marker("timeout")
            limit = float(marker.args[0] if marker is not None else config.getini("timeout"))
            item.add_marker(pytest.mark.timeout(limit * forced.patience()), append=False)


@pytest.fixture(scope="session")
def sysroot() -> Path:
    """Return the i386 Debian sysroot, or skip saying why there is none."""
    try:
        return debian.sysroot()
    except debian.SysrootError as problem:
        pytest.skip(f"no i386 Debian sysroot: {problem}")


@pytest.fixture(scope="module")
def tidy() -> None:
    """Free what tests of other files left in cycles now, not while descriptors are compared."""
    gc.collect()


@pytest.fixture
def untouched(tidy: None) -> Iterator[None]:
    """Check that a test leaves this process's descriptors, signals and mask as they were."""
    before = descriptors(), dispositions(), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    yield
    assert (descriptors(), dispositions(), signal.pthread_sigmask(signal.SIG_BLOCK, [])) == before


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test marked `alone` in a forked child.

    Other threads (pytest-xdist's) would take signals that the kernel should keep pending for the
    test, and what it does to this process's signals would change the tests that come after it.
    """
    if not pyfuncitem.get_closest_marker("alone"):
        return None
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            names = pyfuncitem._fixtureinfo.argnames
            pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
        except BaseException:
            os.write(writer, traceback.format_exc()[-4000:].encode())
            os._exit(1)
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        text = pipe.read().decode(errors="replace")
    status = os.waitpid(child, 0)[1]
    if status:
        pytest.fail(text or f"the test's process died: status {status:#x}", pytrace=False)
    return True
