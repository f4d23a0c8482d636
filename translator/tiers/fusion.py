"""Unit -> which HOST ops take their memory operand straight from, or put it into, guest memory.

An x87 insn that stores its result must not raise its exceptions if the store faults, which only
the host's own insn on that very memory does.  It also saves the way through a temporary.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from translator.hostops import HOSTOPS
from translator.ir import Op, Unit, Value


class Fusion(NamedTuple):
    """HOST op -> address of its memory operand; and the LOADs and STOREs that it makes useless."""

    addresses: dict[Value, Value]
    useless: frozenset[Value]


NONE = Fusion({}, frozenset())


def fusion(unit: Unit) -> Fusion:
    """Find the HOST ops of a unit whose operand in memory is one of the guest's."""
    hosts = [v for v in unit.ops if v.op is Op.HOST]
    if not hosts:
        return NONE
    uses = Counter(a for v in unit.ops for a in v.args)
    addresses: dict[Value, Value] = {}
    useless: set[Value] = set()
    for host in hosts:
        row = HOSTOPS[str(host.attr)]
        # Not with an x87 input as well: LLVM frees its register only where no fault happens.
        if len(row.ins) == 1 and row.ins[0][0] == "*m":
            (arg,) = host.args
            if arg.op is Op.LOAD and uses[arg] == 1:
                addresses[host] = arg.args[0]
                useless.add(arg)
        if row.outs and row.outs[0][0] == "=*m":
            stores = [v for v in unit.ops if v.op is Op.STORE and v.args[1] is host]
            parts = sum(v.op is Op.PART and v.args[0] is host for v in unit.ops)
            # Storing earlier is the same if the address is known and nothing else reads the value.
            if len(stores) == 1 and uses[host] == parts + 1 and _known(stores[0], host):
                addresses[host] = stores[0].args[0]
                useless.add(stores[0])
    return Fusion(addresses, frozenset(useless))


def _known(store: Value, host: Value) -> bool:
    return store.args[0].index < host.index
