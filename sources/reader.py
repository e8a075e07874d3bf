"""What every source of events offers to the flow: an input, and readers of some of its partitions."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from events.batch import RawBatch


class SourceError(Exception):
    """An input cannot be read, or not any further: what happened, where, and what to do about it.

    ``passing``: it may pass by itself, as when a broker restarts; whoever has begun already may try again.
    """

    def __init__(self, what: str, where: str, remedy: str, *, passing: bool = False) -> None:
        super().__init__(what, where, remedy)  # all three, so that a copy made by pickling is whole
        self.passing = passing
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.remedy}"


class Unreachable(Struct, frozen=True):
    """A partition that does not answer. ``since_ms``: wall time, epoch ms; ``cause``: in words, for people."""

    since_ms: int
    cause: str


class Waiting(Struct, frozen=True):
    """A part of the run that is held up. ``since_ms``: wall time, epoch ms; ``reason``: what it waits for."""

    since_ms: int
    reason: str


class Reader(Protocol):
    """Reads several logs at once. It never waits longer than about 100 ms and keeps no event back."""

    @property
    def partitions(self) -> Sequence[str]:
        """The names of the logs; they stay the same for the life of the reader."""
        ...

    @property
    def waiting(self) -> Waiting | None:
        """Why nothing at all can be read now, or None. The reader goes on by itself. Safe to ask from any thread."""
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

    def unreachable(self) -> Mapping[str, Unreachable]:
        """The partitions that do not answer now. They hold time back, and are read on by themselves when they do.

        Safe to ask from any thread.
        """
        ...

    def close(self) -> None:
        """Gives files and connections back."""
        ...


class Input(Protocol):
    """Everything that a run may read, before it is said which process reads what of it."""

    @property
    def partitions(self) -> Sequence[str]:
        """The names of all logs, sorted as texts: the same in every process that is given the same input."""
        ...

    def open(self, positions: Mapping[str, int | None] | None = None) -> Reader:
        """A reader of exactly the partitions named, each from its position; without ``positions`` of all.

        None as a position: from where the settings say. Raises SourceError for a partition that the input does not
        have, and for a position that its log does not have, not yet or no longer.
        """
        ...

    def close(self) -> None:
        """Gives back what the input itself holds. Its readers are closed on their own."""
        ...


def chosen(partitions: Sequence[str], positions: Mapping[str, int | None] | None) -> dict[str, int | None]:
    """The positions of an ``open``, sorted by name; raises SourceError when one names no partition of the input."""
    if positions is None:
        return dict.fromkeys(partitions)
    for name in sorted(positions):
        if name not in partitions:
            raise SourceError(
                "reading was to go on there, but it is not part of the input",
                name,
                "give the input that the recovery store was made with, or begin with a new recovery store",
            )
    return {name: positions[name] for name in sorted(positions)}
