"""Opcode rows of the integer insns, 80386 to P6 (Intel SDM vol. 2, appendix A)."""

ROWS = """
00 /r add Eb,Gb ; lock
01 /r add Ev,Gv ; lock
02 /r add Gb,Eb
03 /r add Gv,Ev
04 add al,Ib
05 add Av,Iz
80 /0 add Eb,Ib ; lock
81 /0 add Ev,Iz ; lock
82 /0 add Eb,Ib ; lock
83 /0 add Ev,Is ; lock
8d /r m lea Gv,M
88 /r mov Eb,Gb
89 /r mov Ev,Gv
8a /r mov Gb,Eb
8b /r mov Gv,Ev
b8+ mov Zv,Iv
70 jo Jb
e9 jmp Jz
"""
