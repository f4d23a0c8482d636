"""Which flags an insn reads, defines, leaves undefined: the one table (SDM vol. 1, app. A)."""

from __future__ import annotations

from tests.generate.encode import Encoded

CF, PF, AF, ZF, SF, OF = 0x001, 0x004, 0x010, 0x040, 0x080, 0x800
ALL = CF | PF | AF | ZF | SF | OF

# mnemonics -> flags undefined afterwards, whatever the operands
ALWAYS = {
    "and or xor test": AF,
    "mul imul1 imul2 imul3": SF | ZF | AF | PF,
    "div idiv": ALL,
    "bt bts btr btc": OF | SF | AF | PF,
    "bsf bsr": CF | OF | SF | AF | PF,
    "daa das": OF,
    "aaa aas": OF | SF | ZF | PF,
    "aam aad": OF | AF | CF,
    "lzcnt tzcnt": OF | SF | PF | AF,
    "andn blsi blsmsk blsr bzhi": AF | PF,
    "bextr": AF | SF | PF,
}
UNDEFINED = {name: flags for names, flags in ALWAYS.items() for name in names.split()}
DEFINED_ALL = {
    "add",
    "sub",
    "adc",
    "sbb",
    "cmp",
    "neg",
    "xadd",
    "cmpxchg",
    "cmps",
    "scas",
    "ucomiss",
    "ucomisd",
    "comiss",
    "comisd",
    "popcnt",
    "ptest",
    "pcmpestri",
    "pcmpestrm",
    "pcmpistri",
    "pcmpistrm",
    "lzcnt",
    "tzcnt",
    "andn",
    "blsi",
    "blsmsk",
    "blsr",
    "bextr",
    "bzhi",
}
DEFINED_ALL |= {"popf", "iret", "fcomi", "fcomip", "fucomi", "fucomip"}
DEFINES = {
    **dict.fromkeys(DEFINED_ALL, ALL),
    **dict.fromkeys(("and", "or", "xor", "test", "inc", "dec"), ALL),
    **dict.fromkeys(("mul", "imul1", "imul2", "imul3"), CF | OF),
    **dict.fromkeys(("bt", "bts", "btr", "btc"), CF),
    **dict.fromkeys(("bsf", "bsr", "lar", "lsl", "verr", "verw", "arpl", "cmpxchg8b"), ZF),
    **dict.fromkeys(("daa", "das"), ALL & ~OF),
    **dict.fromkeys(("aaa", "aas"), AF | CF),
    **dict.fromkeys(("aam", "aad"), SF | ZF | PF),
    **dict.fromkeys(("clc", "stc"), CF),
    "sahf": ALL & ~OF,
    "adcx": CF,
    "adox": OF,
}
DEFINES["inc"] = DEFINES["dec"] = ALL & ~CF
SHIFTS = {"shl", "shr", "sar", "rol", "ror", "rcl", "rcr", "shld", "shrd"}
CONDITIONS = {
    "o": OF, "b": CF, "e": ZF, "be": CF | ZF, "s": SF, "p": PF, "l": SF | OF, "le": SF | OF | ZF,
}  # fmt: skip
READS = {
    **dict.fromkeys(("adc", "sbb", "rcl", "rcr", "cmc", "salc"), CF),
    **dict.fromkeys(("daa", "das", "aaa", "aas"), CF | AF),
    **dict.fromkeys(("lahf",), ALL & ~OF),
    "adcx": CF,
    "adox": OF,
    **dict.fromkeys(("pushf", "int", "int3", "into"), ALL),
    **dict.fromkeys(("loope", "loopne"), ZF),
    **dict.fromkeys(("fcmovb", "fcmovnb"), CF),
    **dict.fromkeys(("fcmove", "fcmovne"), ZF),
    **dict.fromkeys(("fcmovbe", "fcmovnbe"), CF | ZF),
    **dict.fromkeys(("fcmovu", "fcmovnu"), PF),
}


def reads(mnemonic: str) -> int:
    """Return the flags whose value changes what the insn does."""
    for prefix in ("cmov", "set", "j"):
        if mnemonic.startswith(prefix):
            code = mnemonic.removeprefix(prefix)
            code = code if code in CONDITIONS else code.removeprefix("n")
            if code in CONDITIONS:
                return CONDITIONS[code]
    return READS.get(mnemonic, 0)


def width_of(insn: Encoded) -> int:
    """Return the width of the insn's first sized operand."""
    return 8 if insn.row.operands and insn.row.operands[0].endswith("b") else insn.opsize


def shift_count(insn: Encoded, cl: int | None) -> int | None:
    """Return the masked count of a shift; None if CL is not known."""
    if "1" in insn.row.operands:
        return 1
    if "cl" in insn.row.operands:
        return None if cl is None else cl & 31
    return insn.immediates[-1] & 31


def undefined_after(insn: Encoded, before: int, cl: int | None = None) -> int:
    """Return the undefined flags after the insn, given those before it and CL if known."""
    name = insn.row.mnemonic
    if name not in SHIFTS:
        return before & ~DEFINES.get(name, 0) | UNDEFINED.get(name, 0)
    count, width = shift_count(insn, cl), width_of(insn)
    if count == 0:
        return before
    is_rotate = name in ("rol", "ror", "rcl", "rcr")
    if count is None:  # any of the cases below
        return before | (OF if is_rotate else OF | AF | CF)
    result = 0 if count == 1 else OF
    if is_rotate and name[0:2] == "rc" and count % (width + 1) == 0:
        return before | result  # through the carry and back: CF stays what it was
    if is_rotate:
        return before & ~(CF | OF) | result
    result |= AF
    if name in ("shl", "shr") and count >= width:
        result |= CF
    if name in ("shld", "shrd") and count > width:
        result = ALL
    return result
