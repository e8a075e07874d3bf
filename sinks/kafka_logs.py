"""The topics that the Kafka sink writes to, as logs: where they end, and what stands in them behind a position."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ListOffsetsResultInfo,
    OffsetSpec,
)

from sinks.patience import Patience
from sinks.sink import SinkError

_ANSWER_SECONDS = 3.0
_POLL_SECONDS = 0.1
_SILENT_SECONDS = 2.0
# The broker may still hold a request of a process that was killed, and append it after it answered the first question
# of this one: so long is waited before what is found there counts as all.
_SETTLE_SECONDS = 0.5
_NEW_TOPIC_SECONDS = 5.0
_AT_ONCE = 10_000

_OPTIONS: dict[str, Any] = {
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "earliest",  # the first there is, where a position has been deleted
    "isolation.level": "read_uncommitted",
    # By default fetching pauses for a second whenever the queue is full.
    "fetch.queue.backoff.ms": 10,
    "queued.max.messages.kbytes": 32_768,
}
# Errors that no patience mends.
REFUSALS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "allow the account of [kafka.client] to read, describe and write the topics",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "allow the account of [kafka.client] to read as the group kafka.group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "allow the account of [kafka.client] to write (IdempotentWrite)",
    KafkaError.SASL_AUTHENTICATION_FAILED: "correct user and password in [kafka.client]",
    KafkaError._AUTHENTICATION: "correct user and password in [kafka.client]",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "create it with `orderpulse topics create`, or correct [kafka.topics]",
    KafkaError._UNKNOWN_TOPIC: "create it with `orderpulse topics create`, or correct [kafka.topics]",
}
_EARLIEST, _LATEST = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]
_UNKNOWN = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)


class Log(NamedTuple):
    """One partition of a topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"


Offsets = dict[Log, int]
Answers = dict[TopicPartition, Future[ListOffsetsResultInfo]]
_Answer = TypeVar("_Answer")


class KafkaLogs:
    """Asks about the logs of some topics. A broker that does not answer is waited for (see Patience)."""

    def __init__(self, name: str, client: Mapping[str, Any], group: str, patience: Patience) -> None:
        """``name`` stands in errors; ``client`` are options of librdkafka with the address."""
        self._name = name
        self._client = {**client, "log_level": 0}  # what is wrong comes back as an answer
        self._group = group
        self._patience = patience
        self._question: Answers = {}
        self._connect()

    def find(self, topics: Collection[str]) -> list[Log]:
        """All partitions of the topics; raises SinkError when one is missing, and not just new."""
        give_up_at = time.monotonic() + _NEW_TOPIC_SECONDS
        while True:
            found = self._answer(lambda: self._admin.list_topics(timeout=_ANSWER_SECONDS)).topics
            missing = sorted(topic for topic in topics if topic not in found or not found[topic].partitions)
            if not missing:
                return [Log(topic, number) for topic in sorted(topics) for number in sorted(found[topic].partitions)]
            if time.monotonic() > give_up_at:
                remedy = "create them with `orderpulse topics create`, or correct [kafka.topics]"
                raise SinkError(self._name, "not there, or not visible", remedy, ", ".join(missing))
            time.sleep(_POLL_SECONDS)

    def ends(self, logs: Collection[Log]) -> Offsets:
        """The offset behind the last record of each."""
        return self._answer(lambda: self._ask(logs, _LATEST))

    def ends_if_answered(self, logs: Collection[Log]) -> Offsets | None:
        """The same; None when the broker does not answer now."""
        return self._answered_now(self._send(logs, _LATEST))

    def ask_ends(self, logs: Collection[Log]) -> None:
        """Ask for them without waiting for the answer."""
        self._question = self._send(logs, _LATEST)

    def asked_ends(self) -> Offsets | None:
        """The answer to what was asked, once; None as long as there is none. What failed is asked again."""
        question = self._question
        if not all(answer.done() for answer in question.values()):
            return None
        ends = self._answered_now(question)
        if ends is None:
            self.ask_ends([Log(asked.topic, asked.partition) for asked in question])
        return ends

    def read_back(
        self, logs: Collection[Log], positions: Mapping[str, int], take: Callable[["Message[bytes, bytes]"], None]
    ) -> Offsets:
        """Hand over every record from the positions ("topic/partition") to the end; return where reading began.

        It begins with the first record there is where no position is given, where the position was deleted, and where
        the log does not reach it: then it is another log of the same name.
        """
        firsts = self._answer(lambda: self._ask(logs, _EARLIEST))
        asked_at = time.monotonic()
        ends = self.ends(logs)
        starts = {
            log: max(positions.get(str(log), 0), first) if positions.get(str(log), 0) <= ends[log] else first
            for log, first in firsts.items()
        }
        with self._consumer() as consumer:
            self._read(consumer, starts, ends, take)
            time.sleep(max(0.0, asked_at + _SETTLE_SECONDS - time.monotonic()))
            self._read(consumer, ends, self.ends(logs), take)
        return starts

    def _read(
        self, consumer: Consumer, starts: Offsets, ends: Offsets, take: Callable[["Message[bytes, bytes]"], None]
    ) -> None:
        reached, ends = dict(starts), dict(ends)
        consumer.assign([TopicPartition(*log, start) for log, start in starts.items() if start < ends[log]])
        moved_at = time.monotonic()
        reason = "no answer"
        while any(reached[log] < end for log, end in ends.items()):
            for message in consumer.consume(_AT_ONCE, _POLL_SECONDS):
                error = message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    self._check(error)
                    reason = error.str()
                    continue
                if error is None:
                    take(message)
                log = Log(str(message.topic()), message.partition() or 0)
                reached[log] = (message.offset() or 0) + (error is None)
                moved_at = time.monotonic()
            if (seconds := time.monotonic() - moved_at) > _SILENT_SECONDS:
                self._patience.held_up(f"{self._name}: the output topics cannot be read: {reason}", seconds)
                # After the loss of a broker a log may have become shorter. What others append meanwhile is theirs.
                for log, end in (self.ends_if_answered(ends) or {}).items():
                    ends[log] = min(ends[log], end)
        self._patience.over()

    @contextmanager
    def _consumer(self) -> Iterator[Consumer]:
        consumer = Consumer({**self._client, **_OPTIONS, "group.id": self._group})
        try:
            yield consumer
        finally:
            consumer.close()

    def _connect(self) -> None:
        # Anew after each failure: after the restart of a broker the client asks with the old leader's epoch for ever.
        self._admin = AdminClient(self._client)

    def _ask(self, logs: Collection[Log], spec: OffsetSpec) -> Offsets:
        return self._offsets(self._send(logs, spec))

    def _send(self, logs: Collection[Log], spec: OffsetSpec) -> Answers:
        asked = {TopicPartition(*log): spec for log in logs}
        return self._admin.list_offsets(asked, request_timeout=_ANSWER_SECONDS)

    def _answered_now(self, answers: Answers) -> Offsets | None:
        try:
            return self._offsets(answers)
        except KafkaException:
            self._connect()
            return None

    def _offsets(self, answers: Answers) -> Offsets:
        wait(answers.values())
        offsets = {Log(asked.topic, asked.partition): answer.result().offset for asked, answer in answers.items()}
        for log, offset in offsets.items():
            if offset < 0:  # what the client says for a leader that is away
                raise KafkaException(KafkaError(KafkaError._TRANSPORT, f"the leader of {log} does not answer"))
        return offsets

    def _answer(self, ask: Callable[[], _Answer]) -> _Answer:
        began = time.monotonic()
        while True:
            try:
                answer = ask()
            except KafkaException as error:
                # A broker that has just started, and a topic that has just been made, may not know of each other yet.
                if error.args[0].code() not in _UNKNOWN or time.monotonic() - began > _NEW_TOPIC_SECONDS:
                    self._check(error.args[0])
                # The question itself has waited already, so the pause need not grow.
                self._patience.held_up(f"{self._name} does not answer: {error.args[0].str()}", time.monotonic() - began)
                time.sleep(_POLL_SECONDS)
                self._connect()
            else:
                self._patience.over()
                return answer

    def _check(self, error: KafkaError) -> None:
        """Raise SinkError for what no waiting mends."""
        if error.code() in REFUSALS:
            raise SinkError(self._name, error.str(), REFUSALS[error.code()])
