"""Run a guest from Python, a slice at a time: python examples/embed.py PROGRAM [ARGS...]."""

from __future__ import annotations

import sys

from jitemu import Process

SLICE = 20_000  # insns


def main(program: str, *args: str) -> int:
    """Show where the guest is after every slice, then its output and its end."""
    with Process(program, args, capture=True) as guest:
        while not (result := guest.run(budget=SLICE)).is_over:
            insn = guest.disassemble(count=1)[0]
            print(f"{guest.statistics.insns:>10} insns  {insn.address:#010x}  {insn.text}")
            stack = guest.memory[guest.regs.esp : guest.regs.esp + 16]  # numpy, not copied
            print(f"{'':>10} eax={guest.regs.eax:#x}, stack {stack.tolist()}")
        print(f"{result.reason}: {result.returncode}; it printed {result.stdout!r}")
        print(guest.statistics.text("stencil"))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
