"""Puts event files onto the input topics, so that a flow judges every event there as it would in the files."""

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from msgspec import Struct

from config.settings import KafkaSettings, TimeSettings, TopicSettings
from events.batch import RawBatch
from events.model import UNREADABLE, AnyEvent, Event, RulePublished
from events.topics import rule_key
from sources.files import SUFFIXES, FileInput
from sources.kafka_client import ANSWER_SECONDS, Partition, client_options, log
from sources.reader import SourceError
from sources.topics import INPUT_BYTES, TopicFacts, topic_facts

PRODUCER_DEFAULTS = {
    "enable.idempotence": True,
    "max.in.flight.requests.per.connection": 1,  # see sinks/kafka.py: on a topic just made, more lose records unnoticed
    "linger.ms": 20,
    "compression.type": "lz4",
    "queue.buffering.max.messages": 200_000,
    # An input topic takes records of that size, also such as the flow will refuse for theirs; the default is 1 MB.
    "message.max.bytes": INPUT_BYTES,
    "message.timeout.ms": 60_000,
}
FLUSH_SECONDS = 60.0
STEM = re.compile(r"(?P<kind>.*?)[-_.]?(?P<number>\d*)")
KEY_FIELDS = ("order_id", "customer_id", "entity_id")

_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(AnyEvent)


class _Target(Struct):
    """Where one file goes. ``newest``: the largest event time of its lines so far."""

    partition: Partition
    newest: int | None = None
    finished: bool = False


def load_files(
    paths: Sequence[Path], settings: KafkaSettings, times: TimeSettings, *, progress: Callable[[int], None]
) -> dict[str, int]:
    """Produces every line of the files; gives the number of records for each topic.

    The name of a file says where it goes: ``order-3.ndjson`` to partition 3 of the orders topic, ``behaviour-3`` and
    ``actions-3`` likewise; without digits to partition 0. A record's timestamp is the largest event time in its file up
    to it, so its lateness is judged as in the file. Lines that are no event, or whose time the flow will refuse, are
    produced as they are and do not move that time. ``progress`` is called with the number of lines just read.
    Raises SourceError for names that fit no topic, missing topics and partitions, and when a record is not delivered.
    """
    reader = FileInput(paths).open()
    try:
        targets = _targets(reader.partitions, settings.topics)
        loader = _Loader(settings, times, targets, _checked_facts(settings, targets))
        while not reader.finished:
            for batch in reader.read(_furthest_behind(targets)):
                loader.produce(batch)
                progress(len(batch.lines))
        return loader.finish()
    finally:
        reader.close()


class _Loader:
    """Produces batches and keeps the first failure, so that it is raised where the caller sees it."""

    def __init__(
        self, settings: KafkaSettings, times: TimeSettings, targets: dict[str, _Target], facts: dict[str, TopicFacts]
    ) -> None:
        self._producer = Producer(PRODUCER_DEFAULTS | client_options(settings), logger=log)
        self._where = settings.bootstrap
        self._times = times
        self._targets = targets
        self._oldest_kept = {
            name: round(time.time() * 1000) - fact.retention if fact.retention >= 0 else 0
            for name, fact in facts.items()
        }
        self._failure: KafkaError | None = None
        self._delivered = dict.fromkeys(facts, 0)

    def produce(self, batch: RawBatch) -> None:
        """Puts the records of one file onto its partition."""
        target = self._targets[batch.partition]
        for line in batch.lines:
            event = _event(line)
            if event is not None and self._is_plausible(event.time, target.newest):
                target.newest = event.time if target.newest is None else max(target.newest, event.time)
            stamp = target.newest if target.newest is not None else int(self._times.earliest)
            if stamp < self._oldest_kept[target.partition.topic]:
                raise _too_old(target.partition.topic)
            self._send(target.partition, line, _key(event), stamp)
        target.finished = batch.finished
        self._producer.poll(0)
        self._raise_failure()

    def finish(self) -> dict[str, int]:
        """Waits until the broker has everything."""
        left = self._producer.flush(FLUSH_SECONDS)
        self._raise_failure()
        if left:
            raise SourceError(
                f"{left} records were not delivered within {FLUSH_SECONDS:.0f} s",
                self._where,
                "check that the brokers run, then load again",
            )
        return self._delivered

    def _send(self, partition: Partition, line: bytes, key: str | None, stamp: int) -> None:
        while True:
            try:
                self._producer.produce(
                    partition.topic,
                    value=line,
                    key=key,
                    partition=partition.number,
                    timestamp=max(stamp, 1),  # 0 would stand for "now"
                    on_delivery=self._note_delivery,
                )
            except BufferError:
                self._producer.poll(ANSWER_SECONDS)
                self._raise_failure()
            except KafkaException as error:
                self._failure = error.args[0]
                self._raise_failure()
            else:
                return

    def _note_delivery(self, error: KafkaError | None, message: "Message[bytes, bytes]") -> None:
        if error is not None:
            self._failure = self._failure or error
        elif topic := message.topic():
            self._delivered[topic] += 1

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise SourceError(
                f"a record was not delivered: {self._failure.str()}",
                self._where,
                "mend that, make the topics anew and load again",
            )

    def _is_plausible(self, moment: int, newest: int | None) -> bool:
        """Whether the flow will take the event; one that it refuses must not make the others late."""
        if not self._times.earliest <= moment <= self._times.latest:
            return False
        return newest is None or moment <= newest + self._times.max_advance


def _targets(names: Sequence[str], topics: TopicSettings) -> dict[str, _Target]:
    targets: dict[str, _Target] = {}
    owners: dict[Partition, str] = {}
    for name in names:
        partition = _partition_of(name, topics)
        if partition in owners:
            raise SourceError(
                f"goes to partition {partition}, and so does {owners[partition]}",
                name,
                "name each file of a kind with a number of its own",
            )
        owners[partition] = name
        targets[name] = _Target(partition)
    return targets


def _partition_of(name: str, topics: TopicSettings) -> Partition:
    file = PurePath(name).name
    stem = next((file.removesuffix(suffix) for suffix in SUFFIXES if file.endswith(suffix)), PurePath(file).stem)
    kinds = {
        "order": topics.orders,
        "orders": topics.orders,
        "behaviour": topics.behaviour,
        "action": topics.actions,
        "actions": topics.actions,
        "rules": topics.rules,
    }
    match = STEM.fullmatch(stem)
    if match is None or match["kind"] not in kinds:
        raise SourceError(
            "its name says no kind of events", name, "call it order-<n>, behaviour-<n>, actions-<n> or rules-0"
        )
    return Partition(kinds[match["kind"]], int(match["number"] or 0))


def _checked_facts(settings: KafkaSettings, targets: dict[str, _Target]) -> dict[str, TopicFacts]:
    facts = topic_facts(settings, sorted({target.partition.topic for target in targets.values()}))
    for name, target in targets.items():
        topic, number = target.partition
        if number >= facts[topic].partitions:
            raise SourceError(
                f"goes to partition {number}, but {topic} has {facts[topic].partitions}",
                name,
                "give the topic more partitions, or write fewer files",
            )
    for topic, fact in facts.items():
        if fact.broker_stamps:
            log.warning('%s: the broker stamps the records; run the flow with time.arrival = "ignore"', topic)
    return facts


def _furthest_behind(targets: dict[str, _Target]) -> str:
    """The file whose time is least far, so that a flow that reads along never has to wait for one partition."""
    unfinished = [name for name, target in targets.items() if not target.finished]
    return min(unfinished, key=lambda name: targets[name].newest or 0)


def _event(line: bytes) -> Event | None:
    try:
        return _decoder.decode(line)
    except UNREADABLE:  # no JSON, or no event, or not even UTF-8
        return None


def _key(event: Event | None) -> str | None:
    if isinstance(event, RulePublished):
        return rule_key(event)
    return next((value for field in KEY_FIELDS if (value := getattr(event, field, None))), None)


def _too_old(topic: str) -> SourceError:
    return SourceError(
        "the broker would delete these events at once: they are older than the topic's retention",
        topic,
        "set retention.ms=-1 on the topic, or make it with `orderpulse topics create`",
    )
