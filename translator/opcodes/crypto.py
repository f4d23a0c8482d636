"""Opcode rows of insns for ciphers, digests and Galois fields (Intel SDM vol. 2, appendix A)."""

AES = """
66 0f 38 db /r aesimc Vx,Wx
66 0f 38 dc /r aesenc Vx,Wx
66 0f 38 dd /r aesenclast Vx,Wx
66 0f 38 de /r aesdec Vx,Wx
66 0f 38 df /r aesdeclast Vx,Wx
66 0f 3a df /r aeskeygenassist Vx,Wx,Kb
"""

PCLMULQDQ = """
66 0f 3a 44 /r pclmulqdq Vx,Wx,Kb
"""

SHA = """
np 0f 38 c8 /r sha1nexte Vx,Wx
np 0f 38 c9 /r sha1msg1 Vx,Wx
np 0f 38 ca /r sha1msg2 Vx,Wx
np 0f 38 cb /r sha256rnds2 Vx,Wx
np 0f 38 cc /r sha256msg1 Vx,Wx
np 0f 38 cd /r sha256msg2 Vx,Wx
np 0f 3a cc /r sha1rnds4 Vx,Wx,Kb
"""

GFNI = """
66 0f 38 cf /r gf2p8mulb Vx,Wx
66 0f 3a ce /r gf2p8affineqb Vx,Wx,Kb
66 0f 3a cf /r gf2p8affineinvqb Vx,Wx,Kb
"""
