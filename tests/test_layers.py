"""Imports go one way, jitemu -> runtime -> translator; capstone has one importer."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import REPOSITORY

pytestmark = pytest.mark.particular

LAYERS = ("translator", "runtime", "jitemu")
MAX_LINES = 500
FORBIDDEN_NAMES = {"utils", "common", "core", "helpers_misc"}


def sources() -> list[Path]:
    """Return the package's source files."""
    found = [path for layer in LAYERS for path in sorted((REPOSITORY / layer).rglob("*.py"))]
    assert found
    return found


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted names of all that a file imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide their layer"
            yield node.module or ""


def name(path: Path) -> str:
    """Return a file's path as the test id."""
    return str(path.relative_to(REPOSITORY))


@pytest.mark.parametrize("path", sources(), ids=name)
def test_imports_go_one_way(path: Path) -> None:
    """A layer imports itself and the layers below, and never the tests."""
    layer = LAYERS.index(path.relative_to(REPOSITORY).parts[0])
    above = {*LAYERS[layer + 1 :], "tests", "benchmarks"}
    bad = [module for module in imported(path) if module.split(".")[0] in above]
    assert not bad


@pytest.mark.parametrize("path", sources(), ids=name)
def test_files_are_small(path: Path) -> None:
    """No source file is longer than the house's ceiling, and none is named after nothing."""
    assert len(path.read_text().splitlines()) <= MAX_LINES
    assert path.stem not in FORBIDDEN_NAMES


def test_capstone_has_one_importer() -> None:
    """Disassembly is text for people: one module knows the library."""
    users = [path for path in sources() if any(m.startswith("capstone") for m in imported(path))]
    assert len(users) <= 1


def test_host_numbers_are_in_one_place() -> None:
    """Only runtime/host.py calls the host by number, so that other hosts stay possible."""
    for path in sources():
        text = path.read_text()
        assert "libc.syscall" not in text or path.stem == "host", path
