"""Opcode rows of the SSE insns (Intel SDM vol. 2, appendix A)."""

ROWS = """
"""
