"""Package names -> an i386 Debian sysroot in the user's cache, and the native run in it.

Nothing of the machine's own package state is read or changed: apt works in a private directory.
No root rights are needed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

RELEASE = "bookworm"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
DEFAULT_SOURCES = (
    ("http://deb.debian.org/debian", (RELEASE, f"{RELEASE}-updates")),
    ("http://deb.debian.org/debian-security", (f"{RELEASE}-security",)),
)
PACKAGES = (
    "base-files",
    "libc6",
    "libc-bin",
    "bash",
    "dash",
    "coreutils",
    "perl-base",
    "perl",
    "python3-minimal",
    "python3",
    "libpython3-stdlib",
    "sqlite3",
    "xz-utils",
    "bzip2",
    "zstd",
    "gzip",
    "openssl",
    "gcc-12",
    "cpp-12",
    "binutils",
    "libc6-dev",
    "tar",
    "gawk",
    "mawk",
    "sed",
    "grep",
    "findutils",
    "diffutils",
    "lua5.4",
    "busybox-static",
    "bc",
    "dc",
    "file",
    "jq",
    "m4",
    "make",
    "p7zip-full",
    "patch",
    "ed",
    "time",
    "util-linux",
    "bsdextrautils",
    "procps",
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


def cache_root() -> Path:
    """Return the directory in which the tests keep what they fetch and build."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    root = Path(base) / "jitemu-tests"
    root.mkdir(parents=True, exist_ok=True)
    return root


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock, so that parallel test runs build each thing once."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def report(text: str) -> None:
    """Show progress, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


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
        command = ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", root]
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


def sysroot(packages: Sequence[str] = PACKAGES) -> Path:
    """Return an i386 sysroot with *packages* and all they depend on, made on first use.

    JITEMU_SYSROOT names a ready one. Raises SysrootError where it cannot be made.
    """
    if given := os.environ.get("JITEMU_SYSROOT"):
        return Path(given)
    key = hashlib.sha256(" ".join(sorted(packages)).encode()).hexdigest()[:12]
    home = cache_root() / f"sysroot-{RELEASE}-i386-{key}"
    root = home / "root"
    home.mkdir(parents=True, exist_ok=True)
    with locked(home / "lock"):
        if (home / "versions.json").exists():
            return root
        missing = [tool for tool in ("apt-get", "dpkg-deb", "tar") if not shutil.which(tool)]
        if missing:
            raise SysrootError(
                f"needs {', '.join(missing)} to fetch Debian packages "
                "(or set JITEMU_SYSROOT to an i386 sysroot)"
            )
        config = write_apt_config(home / "apt")
        report("sysroot: apt-get update")
        # One mirror out of step is no reason to give up: what is missing shows in the next command.
        with contextlib.suppress(SysrootError):
            apt(config, "update")
        report("sysroot: downloading packages (about 120 MB, once)")
        apt(config, "install", "--yes", "--download-only", *packages)
        shutil.rmtree(root, ignore_errors=True)
        make_skeleton(root)
        archives = sorted((home / "apt/archives").glob("*.deb"))
        for number, archive in enumerate(archives, 1):
            report(f"sysroot: unpacking {number}/{len(archives)} {archive.name.split('_')[0]}")
            unpack(archive, root)
        finish(root)
        versions = json.dumps(installed_versions(home / "apt/archives"), indent=1)
        (home / "versions.json").write_text(versions)
        for archive in archives:
            archive.unlink()
        report("")
    return root


def versions(root: Path) -> dict[str, str]:
    """Return package -> version of a sysroot that `sysroot` made."""
    path = root.parent / "versions.json"
    loaded: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    return loaded


# The reference run sees the sysroot read-only, the working directory at its own path, and the
# machine's /dev and /proc.
ENTER = """set -e
PATH=/usr/sbin:/usr/bin:/sbin:/bin
root=$1 work=$2; shift 2
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
mount -t tmpfs none "$root/tmp"
case $work in /tmp/*) ;; *) echo "the working directory must be below /tmp" >&2; exit 125;; esac
mkdir -p "$root$work"
mount --bind "$work" "$root$work"
mount -o remount,bind,ro "$root"
exec chroot "$root" /usr/bin/env -i --chdir="$work" "$@"
"""


def native_prefix(root: Path, work: Path) -> list[str]:
    """Return the command before `NAME=VALUE... PROGRAM ARGS...` that runs it on this CPU."""
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *as_root, "--mount", "sh", "-c", ENTER, "sh", str(root), str(work)]


def native_problem(root: Path) -> str | None:
    """Return why programs of the sysroot cannot run natively here, or None if they can."""
    if not shutil.which("unshare"):
        return "needs unshare (util-linux)"
    work = Path("/tmp") / f"jitemu-native-{os.getpid()}"
    work.mkdir(exist_ok=True)
    try:
        command = [*native_prefix(root, work), "LC_ALL=C", "/bin/true"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    finally:
        work.rmdir()
    return (
        None
        if done.returncode == 0
        else f"a native run in the sysroot fails: {done.stderr.strip()[-200:]}"
    )


if __name__ == "__main__":
    print(sysroot())
