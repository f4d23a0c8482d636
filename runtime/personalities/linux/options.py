"""What the caller decided about one guest process; the only settings the personality reads."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LinuxOptions:
    """Settings of a Linux i386 guest process."""

    sysroot: str | None = None  # -L: directory that the guest sees as /
    mounts: tuple[str, ...] = ()  # HOST[:GUEST][:ro|rw]
    host_fs: bool = False  # the guest sees the host's whole file tree, as under qemu-user
    net: str = "off"  # "off" or "host"
    env: tuple[str, ...] | None = None  # NAME=VALUE ...; None is the host's environment
    argv0: str | None = None  # -0
    stack_size: int = 8 << 20  # -s
    strace: bool = False
    report: bool = False
    quiet: bool = False  # say nothing at the end: the caller asks for what it wants to know
    memory_limit: int | None = None
    timeout: float | None = None  # seconds
    release: str = "6.1.0"  # -r: what uname tells
    extra: dict[str, str] = field(default_factory=dict)
