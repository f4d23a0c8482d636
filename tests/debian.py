"""Package names -> an i386 Debian sysroot in the user's cache, and the native run in it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from jitemu.sysroot import RELEASE, SysrootError, make, show

__all__ = ["SysrootError", "cache_root", "locked", "sysroot", "versions"]
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
        shutil.rmtree(root, ignore_errors=True)
        try:
            found = make(root, packages, lambda text: show(text and f"sysroot: {text}"))
        except SysrootError as error:
            raise SysrootError(f"{error} (or set JITEMU_SYSROOT to an i386 sysroot)") from None
        (home / "versions.json").write_text(json.dumps(found, indent=1))
    return root


def versions(root: Path) -> dict[str, str]:
    """Return package -> version of a sysroot that `sysroot` made."""
    path = root.parent / "versions.json"
    loaded: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    return loaded


# The reference run sees the sysroot read-only, the working directory at its own path, and the
# machine's /dev and /proc. No entry of /dev can be removed: programs remove what they could not
# write to its end, and root's `nasm -o /dev/null` would mean the machine's. Others may not anyway.
ENTER = """set -e
PATH=/usr/sbin:/usr/bin:/sbin:/bin
root=$1 work=$2; shift 2
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount -o remount,bind,ro "$root/dev" 2>/dev/null || :
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
