"""What the host's limit of mappings leaves possible."""

import subprocess
import sys
from pathlib import Path

import pytest

_PAGES = 200_000  # more than two for each mapping that vm.max_map_count allows by default (65,530)
_PROGRAM = """
import errno, sys
from runtime import hostmap

before = [hostmap.reserve(4096, 4096) for _ in range(int(sys.argv[1]))]  # moves the count
size = 4096 * int(sys.argv[2])
base = hostmap.reserve(1 << size.bit_length(), 4096)
for page in range(0, size, 8192):
    error = hostmap.map_fixed(base + page, 4096, hostmap.PROT_READ, -1, 0, shared=True)
    if error:
        break
print(errno.errorcode.get(error))
hostmap.reserve_again(base + 4096 * 100, 4096)
hostmap.reserve_again(base, size)
print(hostmap.map_fixed(base, 4096, hostmap.PROT_READ, -1, 0, shared=True))
"""


@pytest.mark.parametrize("others", range(3))
def test_memory_is_given_back_when_mappings_run_out(others: int) -> None:
    limit = int(Path("/proc/sys/vm/max_map_count").read_text())
    if limit * 2 > _PAGES:
        pytest.skip(f"the host allows {limit} mappings")
    root = Path(__file__).parents[2]
    words = [sys.executable, "-c", _PROGRAM, str(others), str(_PAGES)]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("ENOMEM\n0\n", "")
