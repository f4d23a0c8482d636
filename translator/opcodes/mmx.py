"""Opcode rows of the insns on MMX registers, MMX to SSSE3 (Intel SDM vol. 2, appendix A)."""

ROWS = """
# moves
np 0f 6e /r movd Pq,Ed
np 0f 7e /r movd Ed,Pq
np 0f 6f /r movq Pq,Qq
np 0f 7f /r movq Qq,Pq
np 0f e7 /r m movntq Mq,Pq
np 0f f7 /r r maskmovq Pq,Nq
f2 0f d6 /r r movdq2q Pq,Wx
np 0f 77 emms

# shuffles and single words
np 0f 70 /r pshufw Pq,Qq,Kb
np 0f c4 /r pinsrw Pq,Ew,Kb
np 0f c5 /r r pextrw Gd,Nq,Kb
np 0f d7 /r r pmovmskb Gd,Nq
np 0f 3a 0f /r palignr Pq,Qq,Kb

# shifts by an immediate
np 0f 71 /2 r psrlw Nq,Kb
np 0f 71 /4 r psraw Nq,Kb
np 0f 71 /6 r psllw Nq,Kb
np 0f 72 /2 r psrld Nq,Kb
np 0f 72 /4 r psrad Nq,Kb
np 0f 72 /6 r pslld Nq,Kb
np 0f 73 /2 r psrlq Nq,Kb
np 0f 73 /6 r psllq Nq,Kb

# lane by lane
np 0f 60 /r punpcklbw Pq,Qd
np 0f 61 /r punpcklwd Pq,Qd
np 0f 62 /r punpckldq Pq,Qd
np 0f 63 /r packsswb Pq,Qq
np 0f 64 /r pcmpgtb Pq,Qq
np 0f 65 /r pcmpgtw Pq,Qq
np 0f 66 /r pcmpgtd Pq,Qq
np 0f 67 /r packuswb Pq,Qq
np 0f 68 /r punpckhbw Pq,Qq
np 0f 69 /r punpckhwd Pq,Qq
np 0f 6a /r punpckhdq Pq,Qq
np 0f 6b /r packssdw Pq,Qq
np 0f 74 /r pcmpeqb Pq,Qq
np 0f 75 /r pcmpeqw Pq,Qq
np 0f 76 /r pcmpeqd Pq,Qq
np 0f d1 /r psrlw Pq,Qq
np 0f d2 /r psrld Pq,Qq
np 0f d3 /r psrlq Pq,Qq
np 0f d4 /r paddq Pq,Qq
np 0f d5 /r pmullw Pq,Qq
np 0f d8 /r psubusb Pq,Qq
np 0f d9 /r psubusw Pq,Qq
np 0f da /r pminub Pq,Qq
np 0f db /r pand Pq,Qq
np 0f dc /r paddusb Pq,Qq
np 0f dd /r paddusw Pq,Qq
np 0f de /r pmaxub Pq,Qq
np 0f df /r pandn Pq,Qq
np 0f e0 /r pavgb Pq,Qq
np 0f e1 /r psraw Pq,Qq
np 0f e2 /r psrad Pq,Qq
np 0f e3 /r pavgw Pq,Qq
np 0f e4 /r pmulhuw Pq,Qq
np 0f e5 /r pmulhw Pq,Qq
np 0f e8 /r psubsb Pq,Qq
np 0f e9 /r psubsw Pq,Qq
np 0f ea /r pminsw Pq,Qq
np 0f eb /r por Pq,Qq
np 0f ec /r paddsb Pq,Qq
np 0f ed /r paddsw Pq,Qq
np 0f ee /r pmaxsw Pq,Qq
np 0f ef /r pxor Pq,Qq
np 0f f1 /r psllw Pq,Qq
np 0f f2 /r pslld Pq,Qq
np 0f f3 /r psllq Pq,Qq
np 0f f4 /r pmuludq Pq,Qq
np 0f f5 /r pmaddwd Pq,Qq
np 0f f6 /r psadbw Pq,Qq
np 0f f8 /r psubb Pq,Qq
np 0f f9 /r psubw Pq,Qq
np 0f fa /r psubd Pq,Qq
np 0f fb /r psubq Pq,Qq
np 0f fc /r paddb Pq,Qq
np 0f fd /r paddw Pq,Qq
np 0f fe /r paddd Pq,Qq
np 0f 38 00 /r pshufb Pq,Qq
np 0f 38 01 /r phaddw Pq,Qq
np 0f 38 02 /r phaddd Pq,Qq
np 0f 38 03 /r phaddsw Pq,Qq
np 0f 38 04 /r pmaddubsw Pq,Qq
np 0f 38 05 /r phsubw Pq,Qq
np 0f 38 06 /r phsubd Pq,Qq
np 0f 38 07 /r phsubsw Pq,Qq
np 0f 38 08 /r psignb Pq,Qq
np 0f 38 09 /r psignw Pq,Qq
np 0f 38 0a /r psignd Pq,Qq
np 0f 38 0b /r pmulhrsw Pq,Qq
np 0f 38 1c /r pabsb Pq,Qq
np 0f 38 1d /r pabsw Pq,Qq
np 0f 38 1e /r pabsd Pq,Qq
"""
