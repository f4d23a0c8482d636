"""Opcode rows of the X87 insns (Intel SDM vol. 2, appendix A)."""

ROWS = """
"""
