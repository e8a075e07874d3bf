"""Where Bytewax runs what: which worker a key group and a source partition live on.

Bytewax 0.21.1 places a key on the worker ``SipHash-1-3(key, 0xff) modulo workers``, and the n-th of the sorted source
partitions on the worker ``n modulo workers``. Knowing both, each worker can tell on its own what is its own, and key
groups get names that spread evenly over any usual number of workers.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import count
from typing import Final, TypeVar

_Item = TypeVar("_Item")
_EVEN_FOR: Final = 120  # a multiple of 2, 3, 4, 5, 6, 8, 10, 12, ...
_MASK: Final = (1 << 64) - 1
# What the search finds for the usual number of groups: it takes 0.2 s, which each start would wait for.
# fmt: off
_FOUND: Final = (
    429, 67, 42, 26, 110, 724, 33, 8, 79, 1, 71, 123, 227, 209, 233, 150, 372, 459, 24, 97, 165, 305, 10, 58, 911, 71,
    563, 263, 35, 96, 57, 438, 66, 28, 149, 73, 76, 136, 265, 447, 51, 46, 22, 14, 7, 1, 56, 4, 26, 261, 70, 47, 2, 37,
    80, 381, 119, 110, 351, 212, 49, 207, 13, 85,
)
# fmt: on


@lru_cache(maxsize=8)
def group_names(groups: int) -> tuple[str, ...]:
    """The key under which Bytewax sees each key group: group n lives on worker n modulo workers, up to 6 and for 8."""
    return tuple(_name(number) for number in range(groups))


def _name(number: int) -> str:
    if number < len(_FOUND):
        return f"{number:03d}.{_FOUND[number]}"
    return _searched(number)


def _searched(number: int) -> str:
    return next(name for salt in count() if _hash(name := f"{number:03d}.{salt}") % _EVEN_FOR == number % _EVEN_FOR)


def process_name(worker: int, workers: int) -> str:
    """A key that lives on this worker."""
    return next(
        name for salt in count() if worker_of_key(name := f"process {worker} of {workers}.{salt}", workers) == worker
    )


def worker_of_key(key: str, workers: int) -> int:
    """The worker that a key lives on."""
    return _hash(key) % workers


def groups_of(worker: int, workers: int, groups: int) -> tuple[int, ...]:
    """The key groups that live on a worker."""
    return tuple(number for number, name in enumerate(group_names(groups)) if worker_of_key(name, workers) == worker)


def partitions_of(worker: int, workers: int, partitions: Sequence[str]) -> tuple[str, ...]:
    """The source partitions that a worker reads."""
    return tuple(sorted(partitions)[worker::workers])


class Addresses:
    """Under which key Bytewax hands something to the process that a key group lives in; ``processes``: all keys."""

    def __init__(self, groups: int, workers: int) -> None:
        self.processes = tuple(process_name(worker, workers) for worker in range(workers))
        self._of = tuple(self.processes[worker_of_key(name, workers)] for name in group_names(groups))

    def addressed(self, by_group: dict[int, _Item]) -> Iterable[tuple[str, dict[int, _Item]]]:
        """Items by key group, for each process its own."""
        if not by_group:
            return ()
        if len(self.processes) == 1:
            return ((self.processes[0], by_group),)
        found: dict[str, dict[int, _Item]] = {}
        for number, item in by_group.items():
            found.setdefault(self._of[number], {})[number] = item
        return found.items()


def _hash(key: str) -> int:
    """How Rust's default hasher hashes a string: SipHash-1-3 with zero keys over its bytes and 0xff."""
    data = key.encode() + b"\xff"
    v0, v1, v2, v3 = 0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573
    length = len(data)
    padded = data + bytes(7 - length % 8) + bytes((length & 0xFF,))
    for start in range(0, len(padded), 8):
        word = int.from_bytes(padded[start : start + 8], "little")
        v3 ^= word
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        v0 ^= word
    v2 ^= 0xFF
    for _ in range(3):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


def _round(v0: int, v1: int, v2: int, v3: int) -> tuple[int, int, int, int]:
    """One round of SipHash (Aumasson, Bernstein: SipHash, a fast short-input PRF, 2012)."""
    v0 = (v0 + v1) & _MASK
    v1 = _rotated(v1, 13) ^ v0
    v0 = _rotated(v0, 32)
    v2 = (v2 + v3) & _MASK
    v3 = _rotated(v3, 16) ^ v2
    v0 = (v0 + v3) & _MASK
    v3 = _rotated(v3, 21) ^ v0
    v2 = (v2 + v1) & _MASK
    v1 = _rotated(v1, 17) ^ v2
    v2 = _rotated(v2, 32)
    return v0, v1, v2, v3


def _rotated(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (64 - bits))) & _MASK
