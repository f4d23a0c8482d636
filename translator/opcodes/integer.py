"""Opcode rows of the integer insns, 80386 to P6 (Intel SDM vol. 2, appendix A)."""

ALU = ("add", "or", "adc", "sbb", "and", "sub", "xor", "cmp")
SHIFTS = ("rol", "ror", "rcl", "rcr", "shl", "shr", "shl", "sar")
CODES = ("o", "no", "b", "nb", "e", "ne", "be", "nbe", "s", "ns", "p", "np", "l", "nl", "le", "nle")


def _alu(number: int, name: str) -> str:
    """All forms of one of the eight ALU insns; only cmp, which writes nothing, cannot be locked."""
    first, lock = 8 * number, "" if name == "cmp" else "; lock"
    return f"""
{first:02x} /r {name} Eb,Gb {lock}
{first + 1:02x} /r {name} Ev,Gv {lock}
{first + 2:02x} /r {name} Gb,Eb
{first + 3:02x} /r {name} Gv,Ev
{first + 4:02x} {name} al,Ib
{first + 5:02x} {name} Av,Iz
80 /{number} {name} Eb,Ib {lock}
81 /{number} {name} Ev,Iz {lock}
82 /{number} {name} Eb,Ib {lock}
83 /{number} {name} Ev,Is {lock}
"""


def _shift(number: int, name: str) -> str:
    """All forms of one shift or rotate; counts known at translation belong to the shape."""
    return f"""
c0 /{number} {name} Eb,Kb
c1 /{number} {name} Ev,Kb
d0 /{number} {name} Eb,1
d1 /{number} {name} Ev,1
d2 /{number} {name} Eb,cl
d3 /{number} {name} Ev,cl
"""


def _condition(number: int, code: str) -> str:
    """The insns that a condition code selects."""
    return f"""
{0x70 + number:02x} j{code} Jb
0f {0x80 + number:02x} j{code} Jz
0f {0x90 + number:02x} /r set{code} Eb
0f {0x40 + number:02x} /r cmov{code} Gv,Ev
"""


GROUPS = "".join(
    [_alu(i, name) for i, name in enumerate(ALU)]
    + [_shift(i, name) for i, name in enumerate(SHIFTS)]
    + [_condition(i, code) for i, code in enumerate(CODES)]
)

ARITHMETIC = """
40+ inc Zv
48+ dec Zv
fe /0 inc Eb ; lock
fe /1 dec Eb ; lock
ff /0 inc Ev ; lock
ff /1 dec Ev ; lock
84 /r test Eb,Gb
85 /r test Ev,Gv
a8 test al,Ib
a9 test Av,Iz
f6 /0 test Eb,Ib
f6 /1 test Eb,Ib
f7 /0 test Ev,Iz
f7 /1 test Ev,Iz
f6 /2 not Eb ; lock
f7 /2 not Ev ; lock
f6 /3 neg Eb ; lock
f7 /3 neg Ev ; lock
f6 /4 mul Eb
f7 /4 mul Ev
f6 /5 imul1 Eb
f7 /5 imul1 Ev
f6 /6 div Eb
f7 /6 div Ev
f6 /7 idiv Eb
f7 /7 idiv Ev
69 /r imul3 Gv,Ev,Iz
6b /r imul3 Gv,Ev,Is
0f af /r imul2 Gv,Ev
0f a4 /r shld Ev,Gv,Kb
0f a5 /r shld Ev,Gv,cl
0f ac /r shrd Ev,Gv,Kb
0f ad /r shrd Ev,Gv,cl
0f a3 /r bt Ev,Gv
0f ab /r bts Ev,Gv ; lock
0f b3 /r btr Ev,Gv ; lock
0f bb /r btc Ev,Gv ; lock
0f ba /4 bt Ev,Kb
0f ba /5 bts Ev,Kb ; lock
0f ba /6 btr Ev,Kb ; lock
0f ba /7 btc Ev,Kb ; lock
0f bc /r bsf Gv,Ev
0f bd /r bsr Gv,Ev
27 daa
2f das
37 aaa
3f aas
d4 aam Kb
d5 aad Kb
98 cbw
99 cwd
"""

MOVES = """
88 /r mov Eb,Gb
89 /r mov Ev,Gv
8a /r mov Gb,Eb
8b /r mov Gv,Ev
a0 mov al,Ob
a1 mov Av,Ov
a2 mov Ob,al
a3 mov Ov,Av
b0+ mov Zb,Ib
b8+ mov Zv,Iv
c6 /0 mov Eb,Ib
c7 /0 mov Ev,Iz
8d /r m lea Gv,M
0f b6 /r movzx Gv,Eb
0f b7 /r movzx Gv,Ew
0f be /r movsx Gv,Eb
0f bf /r movsx Gv,Ew
86 /r xchg Eb,Gb ; lock
87 /r xchg Ev,Gv ; lock
90 nop
90+ xchg Av,Zv
0f c0 /r xadd Eb,Gb ; lock
0f c1 /r xadd Ev,Gv ; lock
0f b0 /r cmpxchg Eb,Gb ; lock
0f b1 /r cmpxchg Ev,Gv ; lock
0f c7 /1 m cmpxchg8b Mq ; lock
0f c8+ bswap Zv
d7 xlat
9e sahf
9f lahf
f5 cmc
f8 clc
f9 stc
fc cld
fd std
d6 salc
"""

STACK = """
50+ push Zv
58+ pop Zv
68 push Iz
6a push Is
ff /6 push Ev
8f /0 pop Ev
60 pusha
61 popa
9c pushf ; system
9d popf ; system
c8 enter Iw,Kb
c9 leave
"""

STRINGS = """
a4 movs Yb,Xb
a5 movs Yv,Xv
a6 cmps Yb,Xb
a7 cmps Yv,Xv
aa stos Yb,al
ab stos Yv,Av
ac lods al,Xb
ad lods Av,Xv
ae scas al,Yb
af scas Av,Yv
"""

BRANCHES = """
e9 jmp Jz
eb jmp Jb
ff /4 jmpi Ev ; system
e8 call Jz
ff /2 calli Ev ; system
c3 ret ; system
c2 retn Iw ; system
e0 loopne Jb
e1 loope Jb
e2 loop Jb
e3 jcxz Jb
9a callf Ap ; system
ea jmpf Ap ; system
ff /3 m callfi M ; system
ff /5 m jmpfi M ; system
cb retf ; system
ca retfn Iw ; system
cf iret ; system
cc int3 ; system
cd int Kb ; system
ce into ; system
f1 int1 ; system
62 /r m bound Gv,M
"""

SEGMENTS = """
8c /0 mov Ev,Sw
8c /1 mov Ev,Sw
8c /2 mov Ev,Sw
8c /3 mov Ev,Sw
8c /4 mov Ev,Sw
8c /5 mov Ev,Sw
8e /0 movseg Sw,Ew ; system
8e /2 movseg Sw,Ew ; system
8e /3 movseg Sw,Ew ; system
8e /4 movseg Sw,Ew ; system
8e /5 movseg Sw,Ew ; system
06 pushseg es
0e pushseg cs
16 pushseg ss
1e pushseg ds
0f a0 pushseg fs
0f a8 pushseg gs
07 popseg es ; system
17 popseg ss ; system
1f popseg ds ; system
0f a1 popseg fs ; system
0f a9 popseg gs ; system
c4 /r m lseg Gv,es,M ; system
c5 /r m lseg Gv,ds,M ; system
0f b2 /r m lseg Gv,ss,M ; system
0f b4 /r m lseg Gv,fs,M ; system
0f b5 /r m lseg Gv,gs,M ; system
63 /r arpl Ew,Gw ; system
0f 02 /r lar Gv,Ew ; system
0f 03 /r lsl Gv,Ew ; system
0f 00 /4 verr Ew ; system
0f 00 /5 verw Ew ; system
"""

# About the processor and the machine around it.
SYSTEM = """
f4 hlt ; system
fa cli ; system
fb sti ; system
e4 in al,Ib ; system
e5 in Av,Ib ; system
e6 out Ib,al ; system
e7 out Ib,Av ; system
ec in al,dx ; system
ed in Av,dx ; system
ee out dx,al ; system
ef out dx,Av ; system
6c ins Yb,dx ; system
6d ins Yv,dx ; system
6e outs dx,Xb ; system
6f outs dx,Xv ; system
0f 00 /0 sldt Ev ; system
0f 00 /1 str Ev ; system
0f 00 /2 lldt Ew ; system
0f 00 /3 ltr Ew ; system
0f 01 /0 m sgdt M ; system
0f 01 /1 m sidt M ; system
0f 01 /2 m lgdt M ; system
0f 01 /3 m lidt M ; system
0f 01 /4 smsw Ev ; system
0f 01 /6 lmsw Ew ; system
0f 01 /7 m invlpg M ; system
0f 06 clts ; system
66 0f 38 82 /r m invpcid Gd,M ; system
0f 08 invd ; system
0f 09 wbinvd ; system
0f 20 /0 movcr Rd,Cd ; system
0f 20 /2 movcr Rd,Cd ; system
0f 20 /3 movcr Rd,Cd ; system
0f 20 /4 movcr Rd,Cd ; system
0f 21 /r movdr Rd,Dd ; system
0f 22 /0 setcr Cd,Rd ; system
0f 22 /2 setcr Cd,Rd ; system
0f 22 /3 setcr Cd,Rd ; system
0f 22 /4 setcr Cd,Rd ; system
0f 23 /r setdr Dd,Rd ; system
0f 30 wrmsr ; system
0f 32 rdmsr ; system
0f 33 rdpmc ; system
0f 34 sysenter ; system
0f 35 sysexit ; system
0f 31 rdtsc ; system
0f a2 cpuid ; system
0f 0d /r hint Ev
0f 18 /r hint Ev
0f 19 /r hint Ev
0f 1a /r hint Ev
0f 1b /r hint Ev
0f 1c /r hint Ev
0f 1d /r hint Ev
0f 1e /r hint Ev
0f 1f /r hint Ev
"""

ROWS = GROUPS + ARITHMETIC + MOVES + STACK + STRINGS + BRANCHES + SEGMENTS + SYSTEM
