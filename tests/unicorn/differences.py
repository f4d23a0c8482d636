# ruff: noqa: E501
"""Where jitemu.unicorn does not do what Unicorn 2.1.4 does: why, and which lines of the logs differ."""

from __future__ import annotations

from typing import NamedTuple


class Difference(NamedTuple):
    why: str
    theirs: list[str]
    ours: list[str]


def _state(**given: str) -> str:
    names = ("EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI", "EIP", "EFLAGS")
    values = {name: given.get(name, "0x0") for name in names} | {"ESP": "0x300800"}
    return str((values,))


DIFFERENCES = {
    "memory_hook_kinds": Difference(
        "Unicorn's Python refuses UC_HOOK_MEM_READ_AFTER, which its C interface has",
        ["('raised', 'UcError')"],
        [
            "('both', 16, '0x200010', 4, 0, None)",
            "('range', 16, '0x200010', 4, 0, None)",
            "('after', 25, '0x200010', 4, 1684234849, None)",
            "('both', 17, '0x200010', 4, 1684234849, None)",
            "('done',)",
            _state(EAX="0x64636261", EBX="0x200010", EIP="0x100004", EFLAGS="0x2"),
        ],
    ),
    "interrupts": Difference(
        "F1 is a defined insn, a trap to vector 1 (SDM vol. 2, INT1). The #DE that follows an unhandled #DE is told as "
        "vector 8 by Unicorn, which remembers the first one for ever: the CPU was set anew in between",
        [
            "('error', 10)",
            _state(EAX="0x1", EIP="0x100001", EFLAGS="0x2"),
            "('error', 10)",
            _state(EAX="0x2", EIP="0x100001", EFLAGS="0x2"),
        ],
        [
            "('error', 21)",
            _state(EAX="0x1", EIP="0x100002", EFLAGS="0x2"),
            "('int', 1, '0x100002', 9)",
            "('done',)",
            _state(EAX="0x3", EIP="0x100003", EFLAGS="0x6"),
            "('int', 0, '0x100003', 9)",
        ],
    ),
    "halts": Difference(
        "a hook that is added after code was translated acts at once",
        [],
        ["('code', '0x100000', 1, None)", "('code', '0x100001', 1, None)"],
    ),
    "hooks_in_hooks": Difference(
        "a hook that is added by a hook acts at once",
        [],
        [
            "('second', '0x100002', 1, None)",
            "('second', '0x100003', 1, None)",
            "('second', '0x100002', 1, None)",
            "('second', '0x100003', 1, None)",
        ],
    ),
    "self_modifying": Difference(
        "code that the host writes is what runs next",
        [_state(EAX="0xe", EIP="0x100004", EFLAGS="0x2")],
        [_state(EAX="0xa", EIP="0x100004", EFLAGS="0x6")],
    ),
    "unmap_while_running": Difference(
        "code that is unmapped does not run on",
        ["('done',)", _state(EAX="0x3", EIP="0x100003", EFLAGS="0x6")],
        ["('error', 8)", _state(EAX="0x1", EIP="0x100001", EFLAGS="0x2")],
    ),
    "map_arguments": Difference(
        "mem_write takes whatever has bytes; what has none is a TypeError",
        [
            "(\"write (1048576, 'abc')\", 'ArgumentError')",
            "(\"write (1048576, bytearray(b'abc'))\", 'ArgumentError')",
        ],
        [
            "(\"write (1048576, 'abc')\", 'TypeError')",
            "(\"write (1048576, bytearray(b'abc'))\", None)",
        ],
    ),
    "edges": Difference(
        "Unicorn counts the end of emulation as an insn of the block in front of it",
        ["('0x100008', 1, 2, '0x100005', 3, 2)"],
        ["('0x100008', 1, 1, '0x100005', 3, 2)"],
    ),
    "errors": Difference(
        "an architecture that there is not is UC_ERR_ARCH; a mode that is no number a TypeError",
        ["('(99, 4)', 'KeyError')", "(\"('a', 4)\", 'KeyError')", "('(4, None)', 'ArgumentError')"],
        ["('(99, 4)', 'UcError', 2)", "(\"('a', 4)\", 'UcError', 2)", "('(4, None)', 'TypeError')"],
    ),
    "code_elsewhere": Difference(
        "code that is written through another linear page runs at once, and counts insn by insn",
        ["(['0x2', '0x1', '0x400011', '0x80000011', '0x0', '0x10000'],)"],
        ["(['0x1', '0x2', '0x400013', '0x80000011', '0x0', '0x10000'],)"],
    ),
    "large_pages": Difference(
        "the accessed bit of a directory entry comes with the first access that succeeds",
        ["('2710010007200100a7008000',)"],
        ["('271001000720010087008000',)"],
    ),
    "memory_changes_under_paging": Difference(
        "a translation that exists hides from Unicorn that its page must not be read any more",
        ["('error', 12)", "(['0x65676170', '0x0', '0x500a', '0x80000011', '0x0', '0x10000'],)"],
        ["('error', 13)", "(['0x65676170', '0x0', '0x5000', '0x80000011', '0x0', '0x10000'],)"],
    ),
    "contexts_of_paging": Difference(
        "a context with paging off turns it off; Unicorn goes on with the translations that it has",
        ["('done',)", "(['0x11223344', '0x0', '0x5005', '0x11', '0x0', '0x0'],)"],
        ["('error', 6)", "(['0x0', '0x0', '0x5000', '0x11', '0x0', '0x0'],)"],
    ),
    "tlb_mode": Difference(
        "a page is asked for once, whether or not there is memory behind it; Unicorn asks twice for code that must "
        "not be executed, and again where no memory is",
        ["('fill', '0x400000', 16)", *["('fill', '0x1000', 18)"] * 2] * 2,
        [],
    ),
    "ring_3": Difference(
        "ring 3 needs IOPL or a bitmap for ports (SDM vol. 1, 19.5.1): Unicorn lets it access them",
        [
            f"(['{eax}', '0x9002', '0x7000', '0x1b', '0x23', '{ds}', '{ds}', '{flags}'],)"
            for eax, ds, flags in (
                *[("0x0", "0x0", "0x2")] * 4,
                ("0x0", "0x10", "0x46"),
                ("0x8", "0x10", "0x46"),
            )
        ],
        [
            line
            for eax, ds, flags in (*[("0x0", "0x0", "0x2")] * 4, *[("0x8", "0x10", "0x46")] * 2)
            for line in (
                "('int', 13, '0x9000')",
                f"(['{eax}', '0x9000', '0x7000', '0x1b', '0x23', '{ds}', '{ds}', '{flags}'],)",
            )
        ],
    ),
    "memory_hooks_come_and_go": Difference(
        "a hook that is added by a hook acts at once",
        [],
        ["('read', 16, '0x200000', 4, '0x0')"] * 3,
    ),
    "initial_registers": Difference(
        "x87, SSE and, in 16-bit mode, the tables are as after reset (SDM vol. 3, table 10-1); Unicorn has zeros there: all "
        "floating-point exceptions unmasked",
        [
            f"({mode}, '{name}', {value})"
            for mode, values in (
                (2, [(name, "(0, 0, 0, 0)") for name in ("GDTR", "IDTR", "LDTR", "TR")]),
                (4, []),
            )
            for name, value in (*values, ("FPCW", 0), ("FPTAG", 21845), ("MXCSR", 0))
        ],
        [
            f"({mode}, '{name}', {value})"
            for mode, values in (
                (
                    2,
                    [
                        ("GDTR", "(0, 0, 65535, 0)"),
                        ("IDTR", "(0, 0, 65535, 0)"),
                        ("LDTR", "(0, 0, 65535, 33280)"),
                        ("TR", "(0, 0, 65535, 35584)"),
                    ],
                ),
                (4, []),
            )
            for name, value in (*values, ("FPCW", 0x37F), ("FPTAG", 65535), ("MXCSR", 0x1F80))
        ],
    ),
}
