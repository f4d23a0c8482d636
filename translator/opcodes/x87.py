"""Opcode rows of the x87 insns, undocumented aliases included (Intel SDM vol. 2, appendix A)."""

ROWS = """
9b fwait

# arithmetic: ST with memory, ST with a register, a register with ST, and the popping forms
d8 /0 m fadd st0,Md
d8 /1 m fmul st0,Md
d8 /4 m fsub st0,Md
d8 /5 m fsubr st0,Md
d8 /6 m fdiv st0,Md
d8 /7 m fdivr st0,Md
d8 /0 r fadd st0,T
d8 /1 r fmul st0,T
d8 /4 r fsub st0,T
d8 /5 r fsubr st0,T
d8 /6 r fdiv st0,T
d8 /7 r fdivr st0,T
dc /0 m fadd st0,Mq
dc /1 m fmul st0,Mq
dc /4 m fsub st0,Mq
dc /5 m fsubr st0,Mq
dc /6 m fdiv st0,Mq
dc /7 m fdivr st0,Mq
dc /0 r fadd T,st0
dc /1 r fmul T,st0
dc /4 r fsubr T,st0
dc /5 r fsub T,st0
dc /6 r fdivr T,st0
dc /7 r fdiv T,st0
de /0 r faddp T,st0
de /1 r fmulp T,st0
de /4 r fsubrp T,st0
de /5 r fsubp T,st0
de /6 r fdivrp T,st0
de /7 r fdivp T,st0
da /0 m fiadd st0,Md
da /1 m fimul st0,Md
da /4 m fisub st0,Md
da /5 m fisubr st0,Md
da /6 m fidiv st0,Md
da /7 m fidivr st0,Md
de /0 m fiadd st0,Mw
de /1 m fimul st0,Mw
de /4 m fisub st0,Mw
de /5 m fisubr st0,Mw
de /6 m fidiv st0,Mw
de /7 m fidivr st0,Mw

# comparison
d8 /2 m fcom st0,Md
d8 /3 m fcomp st0,Md
dc /2 m fcom st0,Mq
dc /3 m fcomp st0,Mq
d8 /2 r fcom st0,T
d8 /3 r fcomp st0,T
dc /2 r fcom st0,T
dc /3 r fcomp st0,T
de /2 r fcomp st0,T
de =d9 fcompp
da /2 m ficom st0,Md
da /3 m ficomp st0,Md
de /2 m ficom st0,Mw
de /3 m ficomp st0,Mw
dd /4 r fucom st0,T
dd /5 r fucomp st0,T
da =e9 fucompp
db /5 r fucomi st0,T
db /6 r fcomi st0,T
df /5 r fucomip st0,T
df /6 r fcomip st0,T
d9 =e4 ftst
d9 =e5 fxam

# loads, stores, exchange
d9 /0 m fld Md
dd /0 m fld Mq
db /5 m fld Mt
d9 /0 r fld T
d9 /2 m fst Md
dd /2 m fst Mq
dd /2 r fst T
d9 /3 m fstp Md
dd /3 m fstp Mq
db /7 m fstp Mt
dd /3 r fstp T
d9 /3 r fstpnce T
df /2 r fstp T
df /3 r fstp T
df /0 m fild Mw
db /0 m fild Md
df /5 m fild Mq
df /2 m fist Mw
db /2 m fist Md
df /3 m fistp Mw
db /3 m fistp Md
df /7 m fistp Mq
df /1 m fisttp Mw
db /1 m fisttp Md
dd /1 m fisttp Mq
df /4 m fbld Mt
df /6 m fbstp Mt
d9 /1 r fxch T
dd /1 r fxch T
df /1 r fxch T
da /0 r fcmovb st0,T
da /1 r fcmove st0,T
da /2 r fcmovbe st0,T
da /3 r fcmovu st0,T
db /0 r fcmovnb st0,T
db /1 r fcmovne st0,T
db /2 r fcmovnbe st0,T
db /3 r fcmovnu st0,T
d9 =e8 fld1
d9 =e9 fldl2t
d9 =ea fldl2e
d9 =eb fldpi
d9 =ec fldlg2
d9 =ed fldln2
d9 =ee fldz

# functions
d9 =e0 fchs
d9 =e1 fabs
d9 =f0 f2xm1
d9 =f1 fyl2x
d9 =f2 fptan
d9 =f3 fpatan
d9 =f4 fxtract
d9 =f5 fprem1
d9 =f8 fprem
d9 =f9 fyl2xp1
d9 =fa fsqrt
d9 =fb fsincos
d9 =fc frndint
d9 =fd fscale
d9 =fe fsin
d9 =ff fcos

# stack and control
d9 =f6 fdecstp
d9 =f7 fincstp
dd /0 r ffree T
df /0 r ffreep T
d9 =d0 fnop
d9 /4 m fldenv M
d9 /6 m fnstenv M
dd /4 m frstor M
dd /6 m fnsave M
d9 /5 m fldcw Mw
d9 /7 m fnstcw Mw
dd /7 m fnstsw Mw
df =e0 fnstsw ax
db =e2 fnclex
db =e3 fninit
db =e0 fneni
db =e1 fndisi
db =e4 fnsetpm
np 0f ae /0 m fxsave M
np 0f ae /1 m fxrstor M
"""
