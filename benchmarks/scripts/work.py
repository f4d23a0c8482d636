"""Classes, dictionaries, json, regular expressions, hashes; argv[1] is how much."""

import hashlib
import json
import re
import sys
from collections.abc import Iterator


class Vector:
    def __init__(self, x: float, y: float) -> None:
        self.x, self.y = x, y

    def __add__(self, other: "Vector") -> "Vector":
        return Vector(self.x + other.x, self.y + other.y)

    def scaled(self, factor: float) -> "Vector":
        return Vector(self.x * factor, self.y * factor)


def numbers(count: int) -> Iterator[int]:
    seed = 1
    for _ in range(count):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        yield seed >> 8


def fall(steps: int) -> str:
    place, speed = Vector(0.0, 0.0), Vector(1.0, 2.0)
    for _ in range(steps):
        speed = speed + place.scaled(-0.01)
        place = place + speed.scaled(0.01)
    return f"{place.x:.9f} {place.y:.9f}"


def queens(size: int, row: int = 0, columns: int = 0, down: int = 0, up: int = 0) -> int:
    if row == size:
        return 1
    found, free = 0, ~(columns | down | up) & (1 << size) - 1
    while free:
        bit = free & -free
        free ^= bit
        found += queens(size, row + 1, columns | bit, (down | bit) << 1, (up | bit) >> 1)
    return found


for number in range(int(sys.argv[1])):
    records = [
        {"key": n % 997, "text": f"item {n:x}", "parts": [n & 7, n / 8]} for n in numbers(2000)
    ]
    again = json.loads(json.dumps(records, sort_keys=True))
    groups: dict[int, list[str]] = {}
    for record in sorted(again, key=lambda r: (r["key"], r["text"])):
        groups.setdefault(record["key"], []).append(record["text"])
    text = " ".join(word for key in sorted(groups) for word in groups[key])
    found = re.findall(r"item ([0-9a-f]*[a-f])(?= )", text)
    big = pow(3, 2000 + number) % (10**300 + 7)
    digest = hashlib.sha256(f"{text}{found}{big}".encode()).hexdigest()
    print(number, len(found), queens(7), fall(5000), digest)
