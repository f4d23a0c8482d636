"""Opcode rows of the MMX insns (Intel SDM vol. 2, appendix A)."""

ROWS = """
"""
