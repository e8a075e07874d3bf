"""Reads a reader to its end and keeps what it delivered."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from events.batch import RawBatch
from sources.reader import Reader, SourceError

PATIENCE_SECONDS = 90


@dataclass
class Delivered:
    """Everything a reader delivered, in order."""

    batches: list[RawBatch] = field(default_factory=list)

    @property
    def lines(self) -> list[bytes]:
        return [line for batch in self.batches for line in batch.lines]

    @property
    def positions(self) -> list[int]:
        return [position for batch in self.batches for position in batch.positions]

    @property
    def arrivals(self) -> list[int]:
        return [arrival for batch in self.batches for arrival in batch.arrivals or ()]

    @property
    def largest_batch(self) -> int:
        return max(len(batch.lines) for batch in self.batches)

    def of(self, partition: str) -> "Delivered":
        return Delivered([batch for batch in self.batches if batch.partition == partition])


def event_line(number: int, time: int = 1_769_846_400_000) -> bytes:
    """A small event, as a line without its newline."""
    event = (
        f'{{"type":"order.stage","id":"{number}","source":"oms","time":{time},"order_id":"O-{number}","stage":"paid"}}'
    )
    return event.encode()


def drain(reader: Reader) -> Delivered:
    """Reads a bounded input to its end."""
    return read_until(reader, lambda _: reader.finished)


def drain_until_error(reader: Reader) -> tuple[Delivered, SourceError]:
    """Reads until the reader refuses to go on."""
    delivered = Delivered()
    while not reader.finished:
        try:
            delivered.batches += reader.read(None)
        except SourceError as error:
            return delivered, error
    message = "the input ended without an error"
    raise AssertionError(message)


def read_until(reader: Reader, enough: Callable[[Delivered], bool]) -> Delivered:
    """Reads until that is enough, or fails after a while."""
    delivered = Delivered()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not enough(delivered):
        assert time.monotonic() < deadline, f"not enough after {PATIENCE_SECONDS} s: {delivered.batches[-3:]}"
        delivered.batches += reader.read(None)
    return delivered
