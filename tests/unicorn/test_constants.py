"""Every constant of the unicorn package is here, with its number, and nothing else."""

from __future__ import annotations

import importlib

import pytest

from tests.unicorn.referee import unicorn

pytestmark = pytest.mark.particular
MODULES = (
    "unicorn_const", "x86_const", "arm_const", "arm64_const", "mips_const", "ppc_const",
    "riscv_const", "s390x_const", "sparc_const", "m68k_const", "tricore_const",
)  # fmt: skip


def numbers(module: str) -> dict[str, int]:
    names = vars(importlib.import_module(module))
    return {name: value for name, value in names.items() if name.startswith("UC_")}


@pytest.mark.parametrize("module", MODULES)
def test_constants(module: str) -> None:
    unicorn()
    assert numbers(f"jitemu.unicorn.{module}") == numbers(f"unicorn.{module}")


def test_a_few_without_the_referee() -> None:
    found = numbers("jitemu.unicorn.x86_const")
    assert len(found) == 1618
    assert found["UC_X86_REG_EAX"] == 19
    assert numbers("jitemu.unicorn.unicorn_const")["UC_HOOK_CODE"] == 4
    assert not hasattr(importlib.import_module("jitemu.unicorn.x86_const"), "UC_X86_REG_NONE")
