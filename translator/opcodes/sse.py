"""Opcode rows of the insns on XMM registers, SSE to SSSE3 (Intel SDM vol. 2, appendix A).

The mnemonics `movsd` and `cmpsd` also name string insns: those on XMM registers are called
`movsd.x` and `cmpsd.x` here.
"""

ROWS = """
# moves
np 0f 10 /r movups Vx,Wx
np 0f 11 /r movups Wx,Vx
66 0f 10 /r movupd Vx,Wx
66 0f 11 /r movupd Wx,Vx
f3 0f 10 /r movss Vx,Wd
f3 0f 11 /r movss Wd,Vx
f2 0f 10 /r movsd.x Vx,Wq
f2 0f 11 /r movsd.x Wq,Vx
np 0f 12 /r m movlps Vx,Mq
np 0f 12 /r r movhlps Vx,Wx
66 0f 12 /r m movlpd Vx,Mq
np 0f 13 /r m movlps Mq,Vx
66 0f 13 /r m movlpd Mq,Vx
np 0f 16 /r m movhps Vx,Mq
np 0f 16 /r r movlhps Vx,Wx
66 0f 16 /r m movhpd Vx,Mq
np 0f 17 /r m movhps Mq,Vx
66 0f 17 /r m movhpd Mq,Vx
f2 0f 12 /r movddup Vx,Wq
f3 0f 12 /r movsldup Vx,Wx
f3 0f 16 /r movshdup Vx,Wx
np 0f 28 /r movaps Vx,Wx
np 0f 29 /r movaps Wx,Vx
66 0f 28 /r movapd Vx,Wx
66 0f 29 /r movapd Wx,Vx
66 0f 6f /r movdqa Vx,Wx
66 0f 7f /r movdqa Wx,Vx
f3 0f 6f /r movdqu Vx,Wx
f3 0f 7f /r movdqu Wx,Vx
f2 0f f0 /r m lddqu Vx,Mx
np 0f 2b /r m movntps Mx,Vx
66 0f 2b /r m movntpd Mx,Vx
66 0f e7 /r m movntdq Mx,Vx
np 0f c3 /r m movnti Md,Gd
66 0f 6e /r movd Vx,Ed
66 0f 7e /r movd Ed,Vx
f3 0f 7e /r movq Vx,Wq
66 0f d6 /r movq Wq,Vx
f3 0f d6 /r r movq2dq Vx,Nq
np 0f 50 /r r movmskps Gd,Wx
66 0f 50 /r r movmskpd Gd,Wx
66 0f d7 /r r pmovmskb Gd,Wx
66 0f f7 /r r maskmovdqu Vx,Wx

# the control register, ordering (the prefetch hints are in integer.py)
np 0f ae /2 m ldmxcsr Md
np 0f ae /3 m stmxcsr Md
np 0f ae /5 r lfence
np 0f ae /6 r mfence
np 0f ae /7 r sfence
np 0f ae /7 m clflush Mb

# floating point: arithmetic
np 0f 51 /r sqrtps Vx,Wx
66 0f 51 /r sqrtpd Vx,Wx
f3 0f 51 /r sqrtss Vx,Wd
f2 0f 51 /r sqrtsd Vx,Wq
np 0f 52 /r rsqrtps Vx,Wx
f3 0f 52 /r rsqrtss Vx,Wd
np 0f 53 /r rcpps Vx,Wx
f3 0f 53 /r rcpss Vx,Wd
np 0f 58 /r addps Vx,Wx
66 0f 58 /r addpd Vx,Wx
f3 0f 58 /r addss Vx,Wd
f2 0f 58 /r addsd Vx,Wq
np 0f 59 /r mulps Vx,Wx
66 0f 59 /r mulpd Vx,Wx
f3 0f 59 /r mulss Vx,Wd
f2 0f 59 /r mulsd Vx,Wq
np 0f 5c /r subps Vx,Wx
66 0f 5c /r subpd Vx,Wx
f3 0f 5c /r subss Vx,Wd
f2 0f 5c /r subsd Vx,Wq
np 0f 5d /r minps Vx,Wx
66 0f 5d /r minpd Vx,Wx
f3 0f 5d /r minss Vx,Wd
f2 0f 5d /r minsd Vx,Wq
np 0f 5e /r divps Vx,Wx
66 0f 5e /r divpd Vx,Wx
f3 0f 5e /r divss Vx,Wd
f2 0f 5e /r divsd Vx,Wq
np 0f 5f /r maxps Vx,Wx
66 0f 5f /r maxpd Vx,Wx
f3 0f 5f /r maxss Vx,Wd
f2 0f 5f /r maxsd Vx,Wq
66 0f 7c /r haddpd Vx,Wx
f2 0f 7c /r haddps Vx,Wx
66 0f 7d /r hsubpd Vx,Wx
f2 0f 7d /r hsubps Vx,Wx
66 0f d0 /r addsubpd Vx,Wx
f2 0f d0 /r addsubps Vx,Wx

# floating point: comparison
np 0f c2 /r cmpps Vx,Wx,Kb
66 0f c2 /r cmppd Vx,Wx,Kb
f3 0f c2 /r cmpss Vx,Wd,Kb
f2 0f c2 /r cmpsd.x Vx,Wq,Kb
np 0f 2e /r ucomiss Vx,Wd
66 0f 2e /r ucomisd Vx,Wq
np 0f 2f /r comiss Vx,Wd
66 0f 2f /r comisd Vx,Wq

# floating point: conversion
np 0f 2a /r cvtpi2ps Vx,Qq
66 0f 2a /r cvtpi2pd Vx,Qq
f3 0f 2a /r cvtsi2ss Vx,Ed
f2 0f 2a /r cvtsi2sd Vx,Ed
np 0f 2c /r cvttps2pi Pq,Wq
66 0f 2c /r cvttpd2pi Pq,Wx
f3 0f 2c /r cvttss2si Gd,Wd
f2 0f 2c /r cvttsd2si Gd,Wq
np 0f 2d /r cvtps2pi Pq,Wq
66 0f 2d /r cvtpd2pi Pq,Wx
f3 0f 2d /r cvtss2si Gd,Wd
f2 0f 2d /r cvtsd2si Gd,Wq
np 0f 5a /r cvtps2pd Vx,Wq
66 0f 5a /r cvtpd2ps Vx,Wx
f3 0f 5a /r cvtss2sd Vx,Wd
f2 0f 5a /r cvtsd2ss Vx,Wq
np 0f 5b /r cvtdq2ps Vx,Wx
66 0f 5b /r cvtps2dq Vx,Wx
f3 0f 5b /r cvttps2dq Vx,Wx
66 0f e6 /r cvttpd2dq Vx,Wx
f2 0f e6 /r cvtpd2dq Vx,Wx
f3 0f e6 /r cvtdq2pd Vx,Wq

# logic, shuffles
np 0f 54 /r andps Vx,Wx
66 0f 54 /r andpd Vx,Wx
np 0f 55 /r andnps Vx,Wx
66 0f 55 /r andnpd Vx,Wx
np 0f 56 /r orps Vx,Wx
66 0f 56 /r orpd Vx,Wx
np 0f 57 /r xorps Vx,Wx
66 0f 57 /r xorpd Vx,Wx
np 0f 14 /r unpcklps Vx,Wx
66 0f 14 /r unpcklpd Vx,Wx
np 0f 15 /r unpckhps Vx,Wx
66 0f 15 /r unpckhpd Vx,Wx
np 0f c6 /r shufps Vx,Wx,Kb
66 0f c6 /r shufpd Vx,Wx,Kb

# integers: shuffles and single words
66 0f 6c /r punpcklqdq Vx,Wx
66 0f 6d /r punpckhqdq Vx,Wx
66 0f 70 /r pshufd Vx,Wx,Kb
f3 0f 70 /r pshufhw Vx,Wx,Kb
f2 0f 70 /r pshuflw Vx,Wx,Kb
66 0f c4 /r pinsrw Vx,Ew,Kb
66 0f c5 /r r pextrw Gd,Wx,Kb
66 0f 3a 0f /r palignr Vx,Wx,Kb

# integers: shifts by an immediate
66 0f 71 /2 r psrlw Wx,Kb
66 0f 71 /4 r psraw Wx,Kb
66 0f 71 /6 r psllw Wx,Kb
66 0f 72 /2 r psrld Wx,Kb
66 0f 72 /4 r psrad Wx,Kb
66 0f 72 /6 r pslld Wx,Kb
66 0f 73 /2 r psrlq Wx,Kb
66 0f 73 /3 r psrldq Wx,Kb
66 0f 73 /6 r psllq Wx,Kb
66 0f 73 /7 r pslldq Wx,Kb

# integers: lane by lane
66 0f 60 /r punpcklbw Vx,Wx
66 0f 61 /r punpcklwd Vx,Wx
66 0f 62 /r punpckldq Vx,Wx
66 0f 63 /r packsswb Vx,Wx
66 0f 64 /r pcmpgtb Vx,Wx
66 0f 65 /r pcmpgtw Vx,Wx
66 0f 66 /r pcmpgtd Vx,Wx
66 0f 67 /r packuswb Vx,Wx
66 0f 68 /r punpckhbw Vx,Wx
66 0f 69 /r punpckhwd Vx,Wx
66 0f 6a /r punpckhdq Vx,Wx
66 0f 6b /r packssdw Vx,Wx
66 0f 74 /r pcmpeqb Vx,Wx
66 0f 75 /r pcmpeqw Vx,Wx
66 0f 76 /r pcmpeqd Vx,Wx
66 0f d1 /r psrlw Vx,Wx
66 0f d2 /r psrld Vx,Wx
66 0f d3 /r psrlq Vx,Wx
66 0f d4 /r paddq Vx,Wx
66 0f d5 /r pmullw Vx,Wx
66 0f d8 /r psubusb Vx,Wx
66 0f d9 /r psubusw Vx,Wx
66 0f da /r pminub Vx,Wx
66 0f db /r pand Vx,Wx
66 0f dc /r paddusb Vx,Wx
66 0f dd /r paddusw Vx,Wx
66 0f de /r pmaxub Vx,Wx
66 0f df /r pandn Vx,Wx
66 0f e0 /r pavgb Vx,Wx
66 0f e1 /r psraw Vx,Wx
66 0f e2 /r psrad Vx,Wx
66 0f e3 /r pavgw Vx,Wx
66 0f e4 /r pmulhuw Vx,Wx
66 0f e5 /r pmulhw Vx,Wx
66 0f e8 /r psubsb Vx,Wx
66 0f e9 /r psubsw Vx,Wx
66 0f ea /r pminsw Vx,Wx
66 0f eb /r por Vx,Wx
66 0f ec /r paddsb Vx,Wx
66 0f ed /r paddsw Vx,Wx
66 0f ee /r pmaxsw Vx,Wx
66 0f ef /r pxor Vx,Wx
66 0f f1 /r psllw Vx,Wx
66 0f f2 /r pslld Vx,Wx
66 0f f3 /r psllq Vx,Wx
66 0f f4 /r pmuludq Vx,Wx
66 0f f5 /r pmaddwd Vx,Wx
66 0f f6 /r psadbw Vx,Wx
66 0f f8 /r psubb Vx,Wx
66 0f f9 /r psubw Vx,Wx
66 0f fa /r psubd Vx,Wx
66 0f fb /r psubq Vx,Wx
66 0f fc /r paddb Vx,Wx
66 0f fd /r paddw Vx,Wx
66 0f fe /r paddd Vx,Wx
66 0f 38 00 /r pshufb Vx,Wx
66 0f 38 01 /r phaddw Vx,Wx
66 0f 38 02 /r phaddd Vx,Wx
66 0f 38 03 /r phaddsw Vx,Wx
66 0f 38 04 /r pmaddubsw Vx,Wx
66 0f 38 05 /r phsubw Vx,Wx
66 0f 38 06 /r phsubd Vx,Wx
66 0f 38 07 /r phsubsw Vx,Wx
66 0f 38 08 /r psignb Vx,Wx
66 0f 38 09 /r psignw Vx,Wx
66 0f 38 0a /r psignd Vx,Wx
66 0f 38 0b /r pmulhrsw Vx,Wx
66 0f 38 1c /r pabsb Vx,Wx
66 0f 38 1d /r pabsw Vx,Wx
66 0f 38 1e /r pabsd Vx,Wx
"""
