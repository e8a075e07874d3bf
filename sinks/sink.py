"""What every sink keeps to, and how one says that it cannot go on."""

from collections.abc import Sequence
from typing import Protocol

from events.records import Record


class Sink(Protocol):
    """Takes records out of the flow. Nothing that was given to it is lost without a SinkError."""

    def write(self, records: Sequence[Record]) -> None:
        """Hand the records over, in this order, and return only then.

        A sink that cannot keep up holds the caller back. Kinds of records that it does not keep are left out. A
        failure of an earlier record may be raised here too. Raises SinkError.
        """

    def flush(self) -> None:
        """Return when all records handed over are acknowledged. Raises SinkError."""

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
