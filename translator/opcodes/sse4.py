"""Opcode rows of SSE4.1 and SSE4.2 (Intel SDM vol. 2, appendix A)."""

SSE41 = """
# moves of parts
66 0f 3a 14 /r m pextrb Mb,Vx,Kb
66 0f 3a 14 /r r pextrb Rd,Vx,Kb
66 0f 3a 15 /r m pextrw Mw,Vx,Kb
66 0f 3a 15 /r r pextrw Rd,Vx,Kb
66 0f 3a 16 /r pextrd Ed,Vx,Kb
66 0f 3a 17 /r extractps Ed,Vx,Kb
66 0f 3a 20 /r m pinsrb Vx,Mb,Kb
66 0f 3a 20 /r r pinsrb Vx,Rd,Kb
66 0f 3a 21 /r insertps Vx,Wd,Kb
66 0f 3a 22 /r pinsrd Vx,Ed,Kb
66 0f 38 2a /r m movntdqa Vx,Mx

# blends: the mask is an immediate, or the signs of XMM0's lanes
66 0f 3a 0c /r blendps Vx,Wx,Kb
66 0f 3a 0d /r blendpd Vx,Wx,Kb
66 0f 3a 0e /r pblendw Vx,Wx,Kb
66 0f 38 10 /r pblendvb Vx,Wx
66 0f 38 14 /r blendvps Vx,Wx
66 0f 38 15 /r blendvpd Vx,Wx

# floating point
66 0f 3a 08 /r roundps Vx,Wx,Kb
66 0f 3a 09 /r roundpd Vx,Wx,Kb
66 0f 3a 0a /r roundss Vx,Wd,Kb
66 0f 3a 0b /r roundsd Vx,Wq,Kb
66 0f 3a 40 /r dpps Vx,Wx,Kb
66 0f 3a 41 /r dppd Vx,Wx,Kb

# integers
66 0f 38 17 /r ptest Vx,Wx
66 0f 38 20 /r pmovsxbw Vx,Wq
66 0f 38 21 /r pmovsxbd Vx,Wd
66 0f 38 22 /r pmovsxbq Vx,Ww
66 0f 38 23 /r pmovsxwd Vx,Wq
66 0f 38 24 /r pmovsxwq Vx,Wd
66 0f 38 25 /r pmovsxdq Vx,Wq
66 0f 38 28 /r pmuldq Vx,Wx
66 0f 38 29 /r pcmpeqq Vx,Wx
66 0f 38 2b /r packusdw Vx,Wx
66 0f 38 30 /r pmovzxbw Vx,Wq
66 0f 38 31 /r pmovzxbd Vx,Wd
66 0f 38 32 /r pmovzxbq Vx,Ww
66 0f 38 33 /r pmovzxwd Vx,Wq
66 0f 38 34 /r pmovzxwq Vx,Wd
66 0f 38 35 /r pmovzxdq Vx,Wq
66 0f 38 38 /r pminsb Vx,Wx
66 0f 38 39 /r pminsd Vx,Wx
66 0f 38 3a /r pminuw Vx,Wx
66 0f 38 3b /r pminud Vx,Wx
66 0f 38 3c /r pmaxsb Vx,Wx
66 0f 38 3d /r pmaxsd Vx,Wx
66 0f 38 3e /r pmaxuw Vx,Wx
66 0f 38 3f /r pmaxud Vx,Wx
66 0f 38 40 /r pmulld Vx,Wx
66 0f 38 41 /r phminposuw Vx,Wx
66 0f 3a 42 /r mpsadbw Vx,Wx,Kb
"""

SSE42 = """
66 0f 38 37 /r pcmpgtq Vx,Wx
66 0f 3a 60 /r pcmpestrm Vx,Wx,Kb
66 0f 3a 61 /r pcmpestri Vx,Wx,Kb
66 0f 3a 62 /r pcmpistrm Vx,Wx,Kb
66 0f 3a 63 /r pcmpistri Vx,Wx,Kb
f2 0f 38 f0 /r crc32 Gd,Eb
f2 0f 38 f1 /r crc32 Gd,Ev
"""
