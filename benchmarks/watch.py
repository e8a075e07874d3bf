"""A reader that says how far a run has read, and what a process takes at that moment."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from events.batch import RawBatch
from sources.reader import Reader

_STATUS: Final = Path("/proc/self/status")


class Moment(Struct, frozen=True):
    """``wall_s``, ``cpu_s``: of this process, since some moment; ``rss_mb``: now; ``peak_rss_mb``: so far."""

    wall_s: float
    cpu_s: float
    rss_mb: float
    peak_rss_mb: float


def moment() -> Moment:
    """Now. Memory as Linux tells it."""
    memory = dict(line.split(":", 1) for line in _STATUS.read_text(encoding="ascii").splitlines())
    rss, peak = (int(memory[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return Moment(time.perf_counter(), time.process_time(), rss, peak)


class Watched:
    """Passes everything on to a reader; ``before`` is told before each read how many records were read."""

    def __init__(self, reader: Reader, before: Callable[[int], None]) -> None:
        self._reader = reader
        self._before = before
        self._read = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def read(self, prefer: str | None) -> list[RawBatch]:
        """What has come."""
        self._before(self._read)
        batches = self._reader.read(prefer)
        self._read += sum(len(batch.lines) for batch in batches)
        return batches
