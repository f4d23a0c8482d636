"""Opcode rows of the later insns on general registers (Intel SDM vol. 2, appendix A)."""

POPCNT = """
f3 0f b8 /r popcnt Gv,Ev
"""

ABM = """
f3 0f bd /r lzcnt Gv,Ev
"""

BMI1 = """
f3 0f bc /r tzcnt Gv,Ev
vex.np 0f 38 f2 /r andn Gd,Bd,Ed
vex.np 0f 38 f3 /1 blsr Bd,Ed
vex.np 0f 38 f3 /2 blsmsk Bd,Ed
vex.np 0f 38 f3 /3 blsi Bd,Ed
vex.np 0f 38 f7 /r bextr Gd,Ed,Bd
"""

ADX = """
66 0f 38 f6 /r adcx Gd,Ed
f3 0f 38 f6 /r adox Gd,Ed
"""

MOVBE = """
0f 38 f0 /r m movbe Gv,Mv
0f 38 f1 /r m movbe Mv,Gv
"""

MOVDIRI = """
np 0f 38 f9 /r m movdiri Md,Gd
"""

MOVDIR64B = """
66 0f 38 f8 /r m movdir64b Gd,M
"""

BMI2 = """
vex.np 0f 38 f5 /r bzhi Gd,Ed,Bd
vex.f2 0f 38 f5 /r pdep Gd,Bd,Ed
vex.f3 0f 38 f5 /r pext Gd,Bd,Ed
vex.f2 0f 38 f6 /r mulx Gd,Bd,Ed
vex.66 0f 38 f7 /r shlx Gd,Ed,Bd
vex.f3 0f 38 f7 /r sarx Gd,Ed,Bd
vex.f2 0f 38 f7 /r shrx Gd,Ed,Bd
vex.f2 0f 3a f0 /r rorx Gd,Ed,Kb
"""
