"""python -m jitemu.unicorn SCRIPT ARGS: run a script that imports unicorn, with jitemu instead."""

from __future__ import annotations

import importlib
import runpy
import sys
from pathlib import Path

_MODULES = (
    "unicorn_const", "x86_const", "arm_const", "arm64_const", "mips_const", "ppc_const",
    "riscv_const", "s390x_const", "sparc_const", "m68k_const", "tricore_const",
)  # fmt: skip


def install() -> None:
    """Let `import unicorn` find this package from now on."""
    package = importlib.import_module("jitemu.unicorn")
    for name in ("", ".unicorn", ".unicorn_py3", ".unicorn_py3.unicorn"):
        sys.modules["unicorn" + name] = package
    vars(package).update(unicorn=package, unicorn_py3=package)  # what these names lead to
    for name in _MODULES:
        sys.modules[f"unicorn.{name}"] = importlib.import_module(f"jitemu.unicorn.{name}")


def main() -> int:
    """Run the script that the command line names."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print("usage: python -m jitemu.unicorn SCRIPT [ARGUMENTS]")
        return 0 if len(sys.argv) > 1 else 2
    path = Path(sys.argv[1])
    if not path.is_file():
        print(f"jitemu.unicorn: there is no script {path}", file=sys.stderr)
        return 2
    install()
    del sys.argv[0]
    sys.path[0] = str(path.resolve().parent)
    runpy.run_path(str(path), run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
