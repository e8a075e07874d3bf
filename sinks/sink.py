"""What every sink keeps to, and how one says that it waits or cannot go on."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from events.records import Record


class Waiting(Struct, frozen=True):
    """A sink that is held up. ``since_ms``: wall time, epoch ms; ``reason``: what it waits for."""

    since_ms: int
    reason: str


class Sink(Protocol):
    """Takes records out of the flow. Nothing that was given to it is lost without a SinkError.

    What it writes to may be away for as long as it likes: it holds the flow back and goes on by itself. A class that
    derives from this one and writes nowhere needs ``write``, ``flush`` and ``close`` alone.
    """

    def write(self, records: Sequence[Record]) -> None:
        """Hand the records over, in this order, and return only then.

        A sink that cannot keep up holds the caller back. Kinds of records that it does not keep are left out. A
        failure of an earlier record may be raised here too. Raises SinkError.
        """

    def flush(self) -> None:
        """Return when all records handed over are acknowledged. Raises SinkError."""

    def positions(self) -> dict[str, int]:
        """Where in its logs everything stands that it writes from now on: at these places, or behind them.

        Kafka: "topic/partition" -> offset; files: name -> length in bytes. Asked for each snapshot, which counts
        once ``flush`` has returned. Empty for a sink that may be told everything again. Raises SinkError.
        """
        return {}

    def resume(self, positions: Mapping[str, int]) -> None:
        """Once, before the first ``write``: the flow begins again at the snapshot that holds these positions.

        What stands behind them, written by whatever process, is left out when the flow writes it again. A log without
        a position is read from its beginning. Raises SinkError.
        """
        return

    def passed(self, watermark_ms: int) -> None:
        """All records up to this event time (epoch ms) that will ever be handed over to this sink have been.

        So what ``resume`` found and still waits for may be forgotten: the key groups of other processes wrote it.
        """
        return

    def progress(self) -> tuple[int, int]:
        """How many records were written to it so far, and how many of them are acknowledged, as far as is known by now.

        A sink whose ``write`` returns only then has nothing to count.
        """
        return 0, 0

    @property
    def waiting(self) -> Waiting | None:
        """What it waits for at this moment, or None. Safe to ask from any thread."""
        return None

    def close(self) -> None:
        """Flush and let go of connections and files; nothing may be written after it. Raises SinkError."""


class SinkError(Exception):
    """A sink cannot go on: which one, at which topic and key, why, and what to do.

    The flow must stop; the records since its last snapshot are written again after a restart.
    """

    def __init__(self, sink: str, cause: str, remedy: str, topic: str | None = None, key: str | None = None) -> None:
        # All of it goes to Exception, so that the error survives the way from one process to another.
        super().__init__(sink, cause, remedy, topic, key)
        self.sink = sink
        self.cause = cause
        self.remedy = remedy
        self.topic = topic
        self.key = key

    def __str__(self) -> str:
        place = self.sink
        if self.topic is not None:
            place += f", topic {self.topic}"
        if self.key is not None:
            place += f", key {self.key}"
        return f"{place}: {self.cause}; {self.remedy}"
