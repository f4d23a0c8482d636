"""Install pip into this environment from its wheel on PyPI, for Pythons without ensurepip."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request

INDEX = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple")


def newest(page: str) -> str:
    """Return the link of the newest final release of pip on an index page."""
    links = re.findall(r'href="([^"]*/pip-([\d.]+)-py3-none-any\.whl[^"]*)"', page)
    return max(links, key=lambda link: [int(part) for part in link[1].split(".")])[0]


def main() -> int:
    """Fetch the wheel and let it install itself."""
    folder = f"{INDEX.rstrip('/')}/pip/"
    try:
        with urllib.request.urlopen(folder, timeout=60) as answer:
            link = newest(answer.read().decode())
        with urllib.request.urlopen(urllib.parse.urljoin(folder, link), timeout=60) as answer:
            wheel = answer.read()
    except (OSError, ValueError) as error:
        print(f"cannot get pip from {folder}: {error}", file=sys.stderr)
        print("install python3-venv, or set PIP_INDEX_URL", file=sys.stderr)
        return 1
    name = os.path.basename(urllib.parse.urlparse(link).path)
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, name)
        with open(path, "wb") as file:
            file.write(wheel)
        command = [sys.executable, os.path.join(path, "pip"), "install", "-q", path]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
