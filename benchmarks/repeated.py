"""A long trade out of a short one: copies of it, one behind the other in event time, each with names of its own.

The copies are written as they are made, so memory does not bound their number. A copy begins after the last event of
the one before, by when all orders of that have come to their end.
"""

import re
from pathlib import Path
from typing import BinaryIO

import msgspec

from benchmarks.workload import Workload, WorkloadPlan, cache_place, cached_workload, kept

_NAMES = re.compile(rb'"(id|order_id|customer_id|payment_id|parcel_id)":"([^"]*)"')
_CARD = re.compile(rb'"card":"(\d+)"')
_TIME = re.compile(rb'"time":(\d+)')
_CHUNK = 4 << 20


def cached_copies(plan: WorkloadPlan, copies: int, cache: Path | None = None) -> Workload:
    """The copies, made unless an earlier run has left them in the temporary directory. ``plan`` is of one copy."""
    once = cached_workload(plan, cache)
    home = cache_place(cache) / f"{plan.name}-x{copies}"
    return kept(home, lambda directory: repeat(once, copies, directory))


def repeat(once: Workload, copies: int, directory: Path) -> Workload:
    """Write so many copies into a directory."""
    step = once.span_ms + 1
    for path in sorted(Path(once.directory).iterdir()):
        with (directory / path.name).open("wb") as out:
            for number in range(copies):
                _copy(path, out, number, number * step)
    return msgspec.structs.replace(
        once,
        directory=str(directory),
        events=once.events * copies,
        behaviour=once.behaviour * copies,
        bytes=sum(path.stat().st_size for path in directory.iterdir()),
        span_ms=step * copies - 1,
    )


def _copy(path: Path, out: BinaryIO, number: int, shift: int) -> None:
    with path.open("rb") as whole:
        while lines := whole.readlines(_CHUNK):
            out.write(renamed(b"".join(lines), number, shift))


def renamed(lines: bytes, number: int, shift: int) -> bytes:
    """Lines of events with the names of the ``number``-th copy, ``shift`` ms later."""
    if number == 0:
        return lines
    lines = _NAMES.sub(rb'"\1":"\g<2>~%d"' % number, lines)
    lines = _CARD.sub(rb'"card":"\g<1>%02d"' % number, lines)
    return _TIME.sub(lambda found: b'"time":%d' % (int(found[1]) + shift), lines)
