"""Paravirtual devices of a PC, PCI functions all: disks, console, random bytes, shared folders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from runtime.bus import Bus
from runtime.clock import Clock
from runtime.devices.pci import PciHost
from runtime.devices.virtio.block import VirtioBlock
from runtime.devices.virtio.console import VirtioConsole
from runtime.devices.virtio.device import VirtioDevice
from runtime.devices.virtio.entropy import VirtioEntropy
from runtime.devices.virtio.net import MAC, VirtioNet
from runtime.devices.virtio.pci import VirtioPci
from runtime.devices.virtio.share import VirtioShare
from runtime.disks.disk import Disk
from runtime.network.nat import UserNetwork
from runtime.network.poller import Poller, Post
from runtime.share.folder import Folder
from runtime.share.server import Server

_SLOTS = range(4, 32)  # of the PCI bus


@dataclass
class Share:
    """A folder of the host and the tag by which the guest mounts it."""

    path: str
    tag: str
    is_read_only: bool = False


@dataclass
class Forward:
    """A port of the host that leads to one of the guest."""

    host: str
    port: int
    guest: str
    guest_port: int


@dataclass
class Network:
    """A network card; the guest reaches what the host reaches, its own servers included."""

    forwards: list[Forward] = field(default_factory=list)
    mac: bytes = MAC


@dataclass
class Paravirtual:
    """Which devices a PC has."""

    disks: list[Disk] = field(default_factory=list)
    console: Callable[[bytes], None] | None = None  # what the guest writes goes there
    entropy: Callable[[int], bytes] | None = None  # os.urandom, or a source that repeats itself
    shares: list[Share] = field(default_factory=list)
    network: Network | None = None


class ParavirtualDevices:
    """The devices of one machine."""

    def __init__(self, bus: Bus, pci: PciHost, clock: Clock, post: Post, what: Paravirtual) -> None:
        """Make and plug in; *post* lets a call be made by the thread that runs the guest.

        OSError for folders that cannot be opened and ports that are taken, ValueError for bad tags.
        """
        physical = bus.physical
        self.disks = what.disks
        self.folders: list[Folder] = []
        self.console: VirtioConsole | None = None
        devices: list[VirtioDevice] = [
            VirtioBlock(physical, disk, serial=f"JV{i:05}") for i, disk in enumerate(what.disks, 1)
        ]
        if what.console is not None:
            self.console = VirtioConsole(physical, what.console)
            devices.append(self.console)
        if what.entropy is not None:
            devices.append(VirtioEntropy(physical, what.entropy))
        for share in what.shares:
            folder = Folder(share.path, is_read_only=share.is_read_only)
            self.folders.append(folder)
            devices.append(VirtioShare(physical, Server(folder), share.tag))
        self._poller: Poller | None = None
        self.network: UserNetwork | None = None
        if what.network is not None:
            self._poller = Poller(post)
            self.network = UserNetwork(clock, self._poller)
            card = VirtioNet(physical, self.network.frame, what.network.mac)
            self.network.deliver, card.on_reset = card.receive, self.network.hang_up
            self.network.guest_mac = what.network.mac
            for forward in what.network.forwards:
                self.network.forward(
                    (forward.host, forward.port), (forward.guest, forward.guest_port)
                )
            devices.append(card)
        if len(devices) > len(_SLOTS):
            raise ValueError(f"a PC has room for {len(_SLOTS)} paravirtual devices")
        for device in devices:
            device.post = post
        self.transports = [VirtioPci(bus, device) for device in devices]
        for slot, transport in zip(_SLOTS, self.transports, strict=False):
            pci.add(slot, 0, transport.function)

    def reset(self) -> None:
        """Do what RST# does."""
        for transport in self.transports:
            transport.reset()

    def close(self) -> None:
        """Write back and give back images and folders."""
        self.reset()
        for disk in self.disks:
            disk.flush()
            disk.close()
        for folder in self.folders:
            folder.close()
        if self.network is not None:
            self.network.close()
        if self._poller is not None:
            self._poller.close()
