"""Debian's kernel with an initramfs of busybox, without firmware: says what it says under QEMU."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jitemu import Machine
from jitemu.sysroot import SysrootError
from tests.boot import linux
from tests.running import SUITES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200), pytest.mark.particular]
SECONDS = 900
SUITE = SUITES / "linux_boot"
CPUS = {"pentium3": "Pentium III (Coppermine)", "max": "jitemu virtual CPU"}


@pytest.fixture(scope="module")
def files() -> tuple[Path, bytes]:
    """Return the kernel and the initramfs."""
    if not SUITE.exists():
        pytest.skip(f"{SUITE} is missing (set JITEMU_SUITES)")
    if not linux.has_tools():
        pytest.skip("apt-get or dpkg-deb is missing: no kernel to boot")
    try:
        kernel, busybox = linux.boot_files()
    except SysrootError as error:
        pytest.skip(f"cannot fetch the kernel: {error}")
    init = (SUITE / "init.sh").read_bytes()
    return kernel, linux.initramfs(init, busybox.read_bytes())


def expected(cpu: str) -> str:
    text = (SUITE / "expected_tail.txt").read_text()
    return re.sub(r"(model name\t: ).*", rf"\g<1>{CPUS[cpu]}", text)


# Interrupts by the 8259s; by the I/O APIC, as ACPI describes it, and as the MP table does.
WIRED = [(cpu, linux.APPEND) for cpu in CPUS]
WIRED += [("max", f"console=ttyS0 panic=-1 {more}") for more in ("acpi=force", "acpi=off")]


@pytest.mark.parametrize(("cpu", "append"), WIRED)
def test_boot_to_the_end(files: tuple[Path, bytes], tmp_path: Path, cpu: str, append: str) -> None:
    kernel, initramfs = files
    initrd = tmp_path / "initrd"
    initrd.write_bytes(initramfs)
    with Machine(
        kernel=kernel,
        initrd=initrd,
        append=append,
        memory=linux.MEMORY,
        cpu=cpu,
        reboot=False,
    ) as machine:
        if "acpi=off" in append:  # nothing switches it off
            machine.serial[0].wait("INIT-DONE", SECONDS)
        else:
            assert machine.run(timeout=SECONDS).reason == "power off"
        output = machine.serial[0].output.decode().replace("\r", "")
        said = "\n".join(line for line in output.splitlines() if not line.startswith("["))
        assert expected(cpu).strip() in said
