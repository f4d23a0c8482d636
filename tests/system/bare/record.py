"""Writes expected.txt: python -m tests.system.bare.record (needs qemu-system-i386).

Without the file's tests being changed, the file must not change.
"""

from __future__ import annotations

from pathlib import Path

from tests.system.bare.referee import run_all, run_qemu, summary
from tests.system.bare.scenarios import FAMILIES, draw

EXPECTED = Path(__file__).with_name("expected.txt")
COUNT = 64  # scenarios of each family


def main() -> None:
    """Run all families under QEMU."""
    lines = []
    for name in FAMILIES:
        scenarios = draw(name, COUNT)
        found = run_all(run_qemu, scenarios)
        lines += [summary(*pair) for pair in zip(scenarios, found, strict=True)]
    EXPECTED.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
