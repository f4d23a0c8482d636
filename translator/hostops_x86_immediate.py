"""Rows of x86-64 hosts for arithmetic with an immediate: op -> assembly and constraints."""

from __future__ import annotations

from translator.ir import Op


def _tied(mnemonic: str) -> str:
    return f'"{mnemonic} $2, ${{0:k}}", "=r,0,i,~{{flags}}"'


# 32 bits, in 64-bit registers whose upper half becomes 0: result, left operand, immediate.
BINARY = {
    Op.ADD: '"leal ${2:c}($1), ${0:k}", "=r,r,i"',
    Op.SUB: _tied("subl"),
    Op.AND: _tied("andl"),
    Op.OR: _tied("orl"),
    Op.XOR: _tied("xorl"),
    Op.MUL: '"imull $2, ${1:k}, ${0:k}", "=r,r,i,~{flags}"',
}
MOVE = '"movl $1, ${0:k}", "=r,i"'
LESS = '"subq $2, $0", "=r,0,i,~{flags}"'  # 64 bits; the immediate is positive
