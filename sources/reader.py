"""What every source of events offers to the flow: batches of raw records, partition by partition."""

from collections.abc import Sequence
from typing import Protocol

from events.batch import RawBatch


class SourceError(Exception):
    """An input cannot be read, or not any further: what happened, where, and what to do about it."""

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(what, where, remedy)  # all three, so that a copy made by pickling is whole
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.remedy}"


class Reader(Protocol):
    """Reads several logs at once. It never waits longer than about 100 ms and keeps no event back."""

    @property
    def partitions(self) -> Sequence[str]:
        """The names of the logs; they stay the same for the life of the reader."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the input is bounded and wholly delivered."""
        ...

    def read(self, prefer: str | None) -> list[RawBatch]:
        """What has come, at most one batch per partition; none is an ordinary answer.

        ``prefer`` names the partition that the caller would like to have next, the one furthest behind in event
        time; a reader that cannot choose ignores it. Raises SourceError when the input cannot be read any further.
        """
        ...

    def positions(self) -> dict[str, int]:
        """The next position of each partition: a reader that starts there goes on where this one stands."""
        ...

    def lag(self) -> dict[str, int]:
        """How many records of each partition are not read yet; empty for input that is not a stream."""
        ...

    def close(self) -> None:
        """Gives files and connections back."""
        ...
