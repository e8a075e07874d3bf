"""Confirms that nothing follows in a partition: the honest ground for letting time go on while it is silent.

Silence of the consumer proves nothing: a broker that is merely unreachable is silent too. librdkafka's end-of-partition
event comes once, stands in the consumer's queue for as long as nobody reads, and does not tell when the broker saw the
end; its cached watermarks are as old as the last fetch. So the leader of each silent partition is asked for its end
offset. The question notes the time before it is sent. Once the reader has delivered everything below the end offset of
the answer, nothing that the leader had appended before that time can follow. Without an answer nothing is confirmed.

The end asked for is the high watermark, not the last stable offset, so that records of a transaction still open keep
time from going on past them. Questions are sent and answered in the background, and never hold a read up.

A client keeps the epoch of the leader that it asked first, and the leader that came after it refuses every question
with that epoch: after such an answer a new client asks.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # public all the same
from msgspec import Struct

from sources.kafka_client import Partition, log, reason

EVERY_SECONDS = 0.2
ANSWER_SECONDS = 2.0
_OF_ANOTHER_LEADER = (KafkaError.FENCED_LEADER_EPOCH, KafkaError.UNKNOWN_LEADER_EPOCH)


class Answer(Struct, frozen=True):
    """What a leader said: its end offset, or why there is none. ``asked_at``: wall time in ms before the question."""

    partition: Partition
    asked_at: int
    end: int = -1
    error: str | None = None


class EndProbe:
    """Asks for end offsets, a few times a second, without ever waiting for the answers."""

    def __init__(self, options: Mapping[str, Any], now: Callable[[], int]) -> None:
        self._options = dict(options)
        self._admin = self._client()
        self._now = now
        # The client stands beside the question, so that one that was replaced stays until its last answer.
        self._open: dict[Partition, tuple[int, Future[Any], AdminClient]] = {}
        self._failing: set[Partition] = set()
        self._next = 0.0

    def due(self) -> bool:
        """Whether it is time for the next question."""
        return time.monotonic() >= self._next

    def ask(self, partitions: Iterable[Partition]) -> None:
        """Sends a question for each partition that has none under way.

        Those that failed last are asked one by one, since one question to several brokers is answered as late as the
        slowest of them.
        """
        self._next = time.monotonic() + EVERY_SECONDS
        waiting = [partition for partition in partitions if partition not in self._open]
        self._send([partition for partition in waiting if partition not in self._failing])
        for partition in waiting:
            if partition in self._failing:
                self._send([partition])

    def answers(self) -> list[Answer]:
        """The answers that have come since the last call."""
        self._admin.poll(0)  # serves the client's log lines
        done = [partition for partition, (_, future, _) in self._open.items() if future.done()]
        return [self._answer(partition, *self._open.pop(partition)) for partition in done]

    def _client(self) -> AdminClient:
        return AdminClient(self._options, logger=log)

    def _send(self, partitions: list[Partition]) -> None:
        if not partitions:
            return
        asked_at = self._now()
        latest = {TopicPartition(*partition): OffsetSpec.latest() for partition in partitions}  # type: ignore[no-untyped-call]
        futures = self._admin.list_offsets(
            latest, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=ANSWER_SECONDS
        )
        for asked, future in futures.items():
            self._open[Partition(asked.topic, asked.partition)] = (asked_at, future, self._admin)

    def _answer(self, partition: Partition, asked_at: int, future: Future[Any], asked: AdminClient) -> Answer:
        error = None
        end = -1
        try:
            end = future.result().offset
        except KafkaException as failure:
            error = reason(failure)
            if failure.args[0].code() in _OF_ANOTHER_LEADER and asked is self._admin:
                self._admin = self._client()
        if end < 0:  # a leader that does not answer in time is no exception, only a partition without offset
            self._failing.add(partition)
            return Answer(partition, asked_at, error=error or "its leader does not answer")
        self._failing.discard(partition)
        return Answer(partition, asked_at, end)
