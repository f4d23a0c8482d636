"""Opcode rows -> random insns with start states that make them meet interesting operands."""
