"""Counts the dead letters of one partition: their share of the last records, and how many stand in a row."""

from bisect import bisect_right
from collections import deque

from msgspec import Struct

from config.settings import DeadLetterLimits
from events.records import DeadLetterRecord

_LINE_END = 2  # bytes at most between two lines of a file that follow each other


class _Reading(Struct):
    """One read: its records, and those of them that became dead letters."""

    records: int
    dead: int = 0
    first: int | None = None


class _Run(Struct):
    """Dead letters that follow each other in the log, from ``start`` to before ``end``."""

    start: int
    end: int
    letters: int


class DeadLetterCount:
    """The dead letters of one partition.

    The share is that of the last ``window`` records, or of the last read where that is longer; with fewer records read
    it is still that of ``window``, so that two bad ones among the first ten are no alarm. What stands in a row is told
    by the positions, so dead letters may become known in any order.
    """

    def __init__(self, limits: DeadLetterLimits) -> None:
        self._limits = limits
        self._readings: deque[_Reading] = deque()
        self._runs: list[_Run] = []
        self._row: _Run | None = None
        self._since_it_grew = 0
        self.records = 0
        self.dead = 0
        self.read_in_all = 0

    def read(self, records: int) -> None:
        """So many records came, good or bad."""
        self._readings.append(_Reading(records))
        self.records += records
        self.read_in_all += records
        self._since_it_grew += records
        while self.records - self._readings[0].records >= self._limits.window:
            gone = self._readings.popleft()
            self.records -= gone.records
            self.dead -= gone.dead

    def dead_letter(self, letter: DeadLetterRecord) -> None:
        """One of the records read became a dead letter."""
        if not self._readings:
            self._readings.append(_Reading(0))
        reading = self._readings[-1]
        reading.dead += 1
        reading.first = letter.position if reading.first is None else min(reading.first, letter.position)
        self.dead += 1
        run = self._put_in_a_row(letter.position, letter.position + _length(letter))
        if run.letters >= self.in_a_row:
            self._row, self._since_it_grew = run, 0

    @property
    def judged(self) -> int:
        """Of how many records the dead letters are a share."""
        return max(self.records, self._limits.window)

    @property
    def share(self) -> float:
        """The share of dead letters, 0 to 1."""
        return min(1.0, self.dead / self.judged)

    @property
    def in_a_row(self) -> int:
        """The longest row of late; 0 once it did not grow while half as many records as the limit were read."""
        over = self._since_it_grew >= max(1, self._limits.consecutive // 2)
        return 0 if over or self._row is None else self._row.letters

    @property
    def share_exceeded(self) -> bool:
        """Whether the share is above its limit."""
        return self.dead * 1000 > self._limits.share * self.judged

    @property
    def row_exceeded(self) -> bool:
        """Whether as many as the limit stand in a row."""
        return self.in_a_row >= self._limits.consecutive

    @property
    def calm(self) -> bool:
        """Whether both are below half of their limits."""
        return 2 * self.dead * 1000 < self._limits.share * self.judged and 2 * self.in_a_row < self._limits.consecutive

    @property
    def first_position(self) -> int:
        """Where the dead letters begin that the limits speak of."""
        if self.row_exceeded and self._row is not None:
            return self._row.start
        return min((reading.first for reading in self._readings if reading.first is not None), default=0)

    def _put_in_a_row(self, start: int, end: int) -> _Run:
        index = bisect_right(self._runs, start, key=lambda run: run.start)
        run = self._runs[index - 1] if index else None
        if run is not None and _follows(run.end, start, end):
            run.end = max(run.end, end)
            run.letters += 1
        else:
            run = _Run(start, end, 1)
            self._runs.insert(index, run)
            index += 1
        if index < len(self._runs) and _follows(run.end, self._runs[index].start, self._runs[index].end):
            following = self._runs.pop(index)
            run.end, run.letters = following.end, run.letters + following.letters
        if len(self._runs) > self._limits.window:
            del self._runs[0]
        return run


def _follows(end: int, start: int, its_end: int) -> bool:
    """Whether a record at ``start`` follows one that ended at ``end``; only lines of files have something between."""
    return start - end <= (0 if its_end - start == 1 else _LINE_END)


def _length(letter: DeadLetterRecord) -> int:
    """How far the next record's position is: 1 in Kafka and in tables, the line's bytes in files of lines."""
    if letter.partition.startswith(f"{letter.topic}/") or letter.partition.endswith(".parquet"):
        return 1
    padding = letter.payload[-2:].count("=")
    return max(2, len(letter.payload) * 3 // 4 - padding)
