"""Translating blocks in compiled code: scan, plan and copy, at the speed of a C translator.

The functions in scan.py, plan.py and write.py are Python restricted to 64-bit integers and memory
accesses (`compiler.py` says which), so that LLVM can compile them.  They do exactly what decode.py,
planner.py, strategies/stencils.py and the runtime's code cache do for a block whose shapes and
stencils are known; for anything else they say what is missing, or leave the block to those.

known.py holds the shapes and stencils, table.py the installed blocks and links, and proceed.py lets
guest code go on from block to block.
"""
