"""Accesses of guest memory that cannot be, or shall be seen: hooks, devices, what is not there.

The interp tier executes an insn with an Access as its memory when a hook wants to see it, or after
the host found that it cannot be done directly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime import native
from runtime.access import GuestMemory
from runtime.embed.space import Part, Space
from runtime.memory import EXEC, READ, WRITE
from runtime.system.linear import SUPERVISOR, USER
from translator.quick import paging as at_page

if TYPE_CHECKING:
    from runtime.embed.machine import Machine
    from runtime.embed.paged import Paged

# What a memory hook is told, in the numbers of the unicorn package.
ACCESS = {
    "read": 16, "write": 17, "fetch": 18,
    "read_unmapped": 19, "write_unmapped": 20, "fetch_unmapped": 21,
    "write_prot": 22, "read_prot": 23, "fetch_prot": 24, "read_after": 25,
}  # fmt: skip
_MASKS = [(1 << 8 * size) - 1 for size in range(9)]
_NEEDS = {"read": READ, "write": WRITE, "fetch": EXEC}
_WALKS = {"read": at_page.A_MARK, "write": at_page.A_MARK | at_page.A_WRITE}
_WALKS["fetch"] = at_page.A_MARK | at_page.A_FETCH


class Failure(Exception):  # noqa: N818 (why the guest cannot go on)
    """The guest did what nobody handles; `kind` names it: read_unmapped, exception, invalid, ..."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class Stopped(Exception):  # noqa: N818 (a request)
    """A hook asked to stop in the middle of an insn."""


class Access(GuestMemory):
    """Guest memory of one machine, with its hooks and devices."""

    def __init__(self, machine: Machine, space: Space) -> None:
        super().__init__(space)
        self.machine, self.space = machine, space
        self.by_kind, self.devices = machine.hooks.by_kind, space.device_pages
        self.is_watched = False  # there are hooks for accesses that can be
        self.linear: Paged | None = None  # where addresses are not physical ones
        self.view = SUPERVISOR  # of linear memory

    def use(self, linear: Paged) -> None:
        """Take addresses for linear ones from now on."""
        self.linear, self.devices = linear, {}
        self.select(linear.view)

    def select(self, view: int) -> None:
        """See linear memory as supervisor or user code."""
        if self.linear is not None:
            self.view, self.base = view, self.linear.bases[view]

    def place(self, address: int, kind: str) -> int:
        """Return the physical address of an access; GuestFault(14)."""
        if self.linear is None:
            return address
        user = at_page.A_USER if self.view == USER else 0
        return self.linear.walk(address, _WALKS[kind] | user) >> 8 << 12 | address & 0xFFF

    def load_system(self, address: int, width: int) -> int:
        """Read as ring 0 does, whatever the privilege level."""
        before = self.view
        self.select(SUPERVISOR)
        try:
            return self.load(address, width)
        finally:
            self.select(before)

    def store_system(self, address: int, value: int, width: int) -> None:
        """Write as ring 0 does."""
        before = self.view
        self.select(SUPERVISOR)
        try:
            self.store(address, value, width)
        finally:
            self.select(before)

    # -- numbers -----------------------------------------------------------------------------------
    def load(self, address: int, width: int) -> int:
        """Read *width* bits."""
        device = self.devices.get(address >> 12)
        if device is not None and device.read is not None and not self.is_watched:
            size = width >> 3
            if address & 0xFFF <= 4096 - size and size <= 4:
                owner, offset = self.machine.owner, address - device.origin
                return device.read(owner, offset, size, device.read_data) & _MASKS[size]
        call = native.loads.get(width)
        if call is None:
            low = self.load(address, 64)
            return low | self.load(address + 8 & 0xFFFFFFFF, width - 64) << 64
        if self.by_kind["read"] and not self._tell("read", address, width // 8, 0):
            self._parts("read", address, width // 8, 0)  # hooks may map it: then it is told
            self._tell("read", address, width // 8, 0)
        while call(self.base + address, self.out_address):
            if self.linear is None or not self._prepare(address, width // 8, "read"):
                value = self._load_odd(address, width // 8)
                break
        else:
            value = self.out.value
        if self.by_kind["read_after"]:
            self._tell("read_after", address, width // 8, value)
        return value

    def store(self, address: int, value: int, width: int) -> None:
        """Write *width* bits."""
        device = self.devices.get(address >> 12)
        if device is not None and device.write is not None and not self.is_watched:
            size = width >> 3
            if address & 0xFFF <= 4096 - size and size <= 4:
                owner, offset = self.machine.owner, address - device.origin
                device.write(owner, offset, size, value, device.write_data)
                return
        call = native.stores.get(width)
        if call is None:
            self.store(address, value & 0xFFFFFFFFFFFFFFFF, 64)
            self.store(address + 8 & 0xFFFFFFFF, value >> 64, width - 64)
            return
        if self.by_kind["write"]:
            self._tell("write", address, width // 8, value)
        while call(self.base + address, value):
            if not self._prepare(address, width // 8, "write"):
                self._store_odd(address, value, width // 8)
                return

    def cmpxchg(self, address: int, expected: int, new: int, width: int) -> int:
        """Write *new* if *expected* is there; return what was there."""
        if self.by_kind["write"]:
            self._tell("write", address, width // 8, new)
        call = native.exchanges[width]
        while call(self.base + address, expected, new, self.out_address):
            if not self._prepare(address, width // 8, "write"):
                seen = self._load_odd(address, width // 8)
                if seen == expected:
                    self._store_odd(address, new, width // 8)
                return seen
        return self.out.value & ((1 << width) - 1)

    # -- what the host cannot do -------------------------------------------------------------------
    def _prepare(self, address: int, size: int, kind: str) -> bool:
        """Whether the host may try an access again: code was there, or no page was mapped."""
        if self.linear is None:
            return self.space.prepare_write(address, size)
        last = address + size - 1
        if last >> 32:
            return False
        how = _WALKS[kind] | (at_page.A_USER if self.view == USER else 0)
        done = True
        for page in range(address >> 12, (last >> 12) + 1):
            at = max(address, page << 12)
            done = self.linear.fill(at, how & ~at_page.A_MARK, self.view) and done
        return done

    def _load_odd(self, address: int, size: int) -> int:
        parts = self._parts("read", address, size, 0)
        data = b"".join(self.space.peek_part(part, at, count) for part, at, count in parts)
        return int.from_bytes(data, "little")

    def _store_odd(self, address: int, value: int, size: int) -> None:
        data = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
        done = 0
        for part, at, count in self._parts("write", address, size, value):
            self.space.poke_part(part, at, data[done : done + count])
            done += count

    def _parts(self, kind: str, address: int, size: int, value: int) -> list[tuple[Part, int, int]]:
        """Return what an access touches, once hooks have made that possible; Failure.

        Of a second page hooks are told where it begins: a read is as long as before, of a write it
        is the byte there.
        """
        found: list[tuple[Part, int, int]] = []
        at, left = address, size
        first = self.place(address, kind)
        while left:
            place = self.place(at, kind) if at != address else first
            if place == first:
                part = self.permitted(kind, place, first, size, value)
            elif kind == "write":
                byte = value >> 8 * (size - left) & 0xFF
                part = self.permitted(kind, place, place, 1, byte)
            else:
                part = self.permitted(kind, place, place, size, 0)
            count = min(left, part.end - place)
            if self.linear is not None:
                count = min(count, 0x1000 - (at & 0xFFF))
            found.append((part, place, count))
            at = at + count & 0xFFFFFFFF
            left -= count
        return found

    def permitted(self, kind: str, at: int, address: int, size: int, value: int) -> Part:
        """Return what is at an address if it may be accessed so, asking the hooks; Failure."""
        part = self.space.part_at(at)
        if part is None:
            self._ask(kind + "_unmapped", address, size, value)
            part = self.space.part_at(at)
            if part is None:
                raise Failure("map")
        if not part.perms & _NEEDS[kind]:
            self._ask(kind + "_prot", address, size, value)
            part = self.space.part_at(at)
            if part is None or not part.perms & _NEEDS[kind]:
                raise Failure(kind + "_prot")
        return part

    def _ask(self, kind: str, address: int, size: int, value: int) -> None:
        """Return if a hook says that it has made an access possible."""
        machine = self.machine
        for call, data in machine.hooks.at(kind, address):
            handled = call(machine.owner, ACCESS[kind], address, size, _signed(value, size), data)
            if handled:
                return
            if machine.stopping:
                raise Stopped
        raise Failure(kind)

    def _tell(self, kind: str, address: int, size: int, value: int) -> bool:
        """Call the hooks that see an access; False for a read where nothing is mapped."""
        machine = self.machine
        if self.linear is not None:
            address = self.place(address, "write" if kind == "write" else "read")
        if kind == "read" and self.space.part_at(address) is None:
            return False  # as in Unicorn, where those for writes are called
        number = _signed(value, size)
        for call, data in machine.hooks.at(kind, address):
            call(machine.owner, ACCESS[kind], address, size, number, data)
            if machine.stopping:
                raise Stopped
        return True


def _signed(value: int, size: int) -> int:
    """Return a value as hooks get it: 64 bits with a sign."""
    value &= (1 << 8 * size) - 1
    return value - (1 << 64) if value >> 63 else value
