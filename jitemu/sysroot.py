"""`jitemu sysroot`: names of Debian packages -> a directory with them that -L takes.

Nothing of the machine's own package state is read or changed: apt works in a private directory.
No root rights are needed, but apt-get, dpkg-deb and tar.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from jitemu.complain import complain
from jitemu.options import Parser, UsageError

RELEASE = "bookworm"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
DEFAULT_SOURCES = (
    ("http://deb.debian.org/debian", (RELEASE, f"{RELEASE}-updates")),
    ("http://deb.debian.org/debian-security", (f"{RELEASE}-security",)),
)
ALTERNATIVES = {
    "usr/bin/awk": "mawk",
    "usr/bin/cc": "gcc-12",
    "usr/bin/gcc": "gcc-12",
    "usr/bin/cpp": "cpp-12",
}
USRMERGE = ("bin", "sbin", "lib")


class SysrootError(Exception):
    """The sysroot cannot be made here; the message says why and what to do."""


def machine_sources() -> list[tuple[str, tuple[str, ...]]]:
    """Return (URI, suites) of the Debian mirrors this machine uses, else the public ones."""
    found: list[tuple[str, tuple[str, ...]]] = []
    wanted = {RELEASE, f"{RELEASE}-updates", f"{RELEASE}-security"}
    for path in sorted(Path("/etc/apt").glob("sources.list.d/*.sources")):
        for stanza in path.read_text(errors="replace").split("\n\n"):
            fields = dict(re.findall(r"^(\w[\w-]*):[ \t]*(.*)$", stanza, re.M))
            suites = tuple(s for s in fields.get("Suites", "").split() if s in wanted)
            if suites and "main" in fields.get("Components", "").split():
                found += [(uri, suites) for uri in fields.get("URIs", "").split()[:1]]
    lists = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt").glob("sources.list.d/*.list"))]
    for path in lists:
        for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
            match = re.match(r"deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)", line.strip())
            if match and match[2] in wanted and "main" in match[3].split():
                found.append((match[1], (match[2],)))
    return found if any(RELEASE in suites for _, suites in found) else list(DEFAULT_SOURCES)


def write_apt_config(state: Path) -> Path:
    """Write a private apt configuration for i386 below *state*, with the machine's proxies."""
    for part in ("lists/partial", "archives/partial", "etc/sources.list.d", "etc/parts", "log"):
        (state / part).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    stanzas = [
        f"Types: deb\nURIs: {uri}\nSuites: {' '.join(suites)}\nComponents: main\n"
        "Architectures: i386\n" + (f"Signed-By: {KEYRING}\n" if KEYRING.exists() else "")
        for uri, suites in machine_sources()
    ]
    (state / "etc/sources.list.d/debian.sources").write_text("\n".join(stanzas))
    proxies = subprocess.run(
        ["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=False
    ).stdout
    kept = [line for line in proxies.splitlines() if re.match(r"Acquire::https?::\S*Proxy", line)]
    config = state / "apt.conf"
    config.write_text(
        f"""Dir::State "{state}";
Dir::State::status "{state}/status";
Dir::State::lists "{state}/lists";
Dir::Cache "{state}";
Dir::Cache::archives "{state}/archives";
Dir::Etc "{state}/etc";
Dir::Etc::Parts "{state}/etc/parts";
Dir::Log "{state}/log";
APT::Architecture "i386";
APT::Architectures {{ "i386"; }};
APT::Sandbox::User "";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Retries "3";
Debug::NoLocking "true";
"""
        + "\n".join(kept)
        + "\n"
    )
    return config


def apt(config: Path, *arguments: str) -> str:
    """Run apt-get with the private configuration and return its output."""
    command = ["apt-get", "-q", *arguments]
    env = {**os.environ, "APT_CONFIG": str(config), "LC_ALL": "C"}
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=1800, check=False
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or [
            done.stderr.strip()[-300:]
        ]
        raise SysrootError(f"`{' '.join(command[:3])}` failed: {lines[0]}")
    return done.stdout


def unpack(archive: Path, root: Path) -> None:
    """Unpack one .deb into *root*, following the directory links of a merged /usr."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as tar:
        command = ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", str(root)]
        subprocess.run(command, stdin=tar.stdout, check=True)
    if tar.returncode:
        raise SysrootError(f"dpkg-deb could not read {archive.name}")


def make_skeleton(root: Path) -> None:
    """Lay out what the packages expect to exist before the first one is unpacked."""
    for name in USRMERGE:
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in ("dev", "proc", "sys", "tmp", "etc", "root", "work"):
        (root / name).mkdir(exist_ok=True)


def finish(root: Path) -> None:
    """Do the little that the packages' own scripts would have done."""
    for link, target in ALTERNATIVES.items():
        if not (root / link).is_symlink() and (root / "usr/bin" / target).exists():
            (root / link).symlink_to(target)
    (root / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/bin/sh\n"
    )
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")


def installed_versions(archives: Path) -> dict[str, str]:
    """Return package -> version of the fetched archives."""
    pairs = (path.name.split("_") for path in sorted(archives.glob("*.deb")))
    return {name: version.replace("%3a", ":") for name, version, _ in pairs}


def make(root: Path, packages: Sequence[str], report: Callable[[str], None]) -> dict[str, str]:
    """Fill the new directory *root* with packages and all they depend on; return their versions."""
    missing = [tool for tool in ("apt-get", "dpkg-deb", "tar") if not shutil.which(tool)]
    if missing:
        raise SysrootError(f"needs {', '.join(missing)} to fetch Debian packages")
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=f".{root.name}-apt-") as name:
        state = Path(name)
        config = write_apt_config(state)
        report("apt-get update")
        # One mirror out of step is no reason to give up: what is missing shows in the next command.
        with contextlib.suppress(SysrootError):
            apt(config, "update")
        report(f"downloading {', '.join(packages[:4])}{' ...' if len(packages) > 4 else ''}")
        apt(config, "install", "--yes", "--download-only", *packages)
        root.mkdir(exist_ok=True)
        make_skeleton(root)
        archives = sorted((state / "archives").glob("*.deb"))
        for number, archive in enumerate(archives, 1):
            report(f"unpacking {number}/{len(archives)} {archive.name.split('_')[0]}")
            unpack(archive, root)
        finish(root)
        report("")
        return installed_versions(state / "archives")


def sysroot(words: Sequence[str]) -> int:
    """Make a sysroot in a new or empty directory."""
    made = Parser(
        prog="jitemu sysroot",
        description="Fetch i386 packages of Debian 12, with all that they depend on, and unpack "
        "them into DIR, for `jitemu run -L DIR`. Needs apt-get and dpkg-deb, but no root rights; "
        "the machine's own packages are neither read nor changed.",
        epilog="example: jitemu sysroot ~/i386 bash coreutils perl-base python3-minimal",
        allow_abbrev=False,
    )
    made.add_argument("directory", type=Path, metavar="DIR", help="a new or empty directory")
    made.add_argument("packages", nargs="+", metavar="PACKAGE", help="names of Debian packages")
    try:
        found = made.parse_args(words)
        root: Path = found.directory.absolute()
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise UsageError(f"{found.directory} is there already and not an empty directory")
        root.parent.mkdir(parents=True, exist_ok=True)
        versions = make(root, found.packages, show)
    except UsageError as error:
        complain(f"sysroot: {error}")
        return 2
    except (SysrootError, OSError, subprocess.SubprocessError) as error:
        show("")
        complain(f"sysroot: {error}")
        return 1
    print(f"{root}: {len(versions)} packages", flush=True)
    return 0


def show(text: str) -> None:
    """Show progress, on a terminal only."""
    if sys.stderr is not None and sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
