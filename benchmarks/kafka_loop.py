"""What one would write first over Kafka: the bare consume loop, and the plain loop behind it.

``python -m benchmarks.kafka_loop consume CONFIG`` reads all events that stand on the topics and does nothing with them;
``... plain CONFIG TOPIC`` decodes them, merges the partitions by time, gives them to the plain loop and produces its
alerts. Both print as JSON how many there were, and the seconds from the first record read on.
"""

import json
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from benchmarks.plain_loop import PlainLoop
from config.loader import load_settings
from config.settings import KafkaSettings
from events.model import AnyEvent, Event

# With the client's own settings fetching pauses for a second whenever 100,000 records are queued.
_TUNED: Final[dict[str, Any]] = {"fetch.queue.backoff.ms": 10, "enable.auto.commit": False}
# More at once costs more for each: they have left the processor's cache before they are looked at.
_AT_ONCE: Final = 1_000
_BETWEEN_MERGES: Final = 20
_WAIT_SECONDS: Final = 0.1
_PRODUCER: Final[dict[str, Any]] = {"linger.ms": 5, "compression.type": "lz4"}
_AFTER_TIME: Final = 2**62
_time = attrgetter("time")

Ends = dict[tuple[str, int], int]


class Topic:
    """Alerts as records of a topic."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap, **_PRODUCER})
        self._name = name

    def write(self, line: bytes, /) -> None:
        """One alert."""
        self._producer.produce(self._name, line)
        self._producer.poll(0)

    def close(self) -> None:
        """Wait until the broker has them all; raises RuntimeError when it has not."""
        if self._producer.flush(60):
            raise RuntimeError("the broker did not take the alerts")


class Records:
    """What a consumer gives. ``began``: when the first came, by the clock of ``time.perf_counter``."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.began = 0.0

    def some(self) -> list["Message[bytes, bytes]"]:
        """The next few, or none if none comes for a moment."""
        messages = self._consumer.consume(_AT_ONCE, _WAIT_SECONDS)
        if messages and not self.began:
            self.began = time.perf_counter()
        return messages

    def many(self) -> Iterator["Message[bytes, bytes]"]:
        """As many as there are, but not more than are worth a merge."""
        for _ in range(_BETWEEN_MERGES):
            messages = self.some()
            if not messages:
                return
            yield from messages


def opened(settings: KafkaSettings) -> tuple[Consumer, Ends]:
    """A consumer of all partitions with events, and the offsets behind their last records; empty ones are left out."""
    consumer = Consumer({"bootstrap.servers": settings.bootstrap, "group.id": "plain loop", **_TUNED})
    ends: Ends = {}
    for topic in (settings.topics.orders, settings.topics.behaviour, settings.topics.actions):
        for number in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
            end = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1]
            if end:
                ends[topic, number] = end
    consumer.assign([TopicPartition(topic, number, 0) for topic, number in ends])
    return consumer, ends


def consume(records: Records, ends: Ends) -> int:
    """Read everything and do nothing."""
    count, wanted = 0, sum(ends.values())
    while count < wanted:
        count += len(records.some())
    return count


def in_order(records: Records, ends: Ends) -> Iterator[Event]:
    """The events of all partitions, merged by time: what the slowest of them has passed goes on.

    Each partition stands in time order, so sorting is merging, and is done in C.
    """
    decode = msgspec.json.Decoder(AnyEvent).decode
    reached = dict.fromkeys(ends, 0)
    waiting: list[Event] = []
    while reached:
        for message in records.many():
            partition = (message.topic() or "", message.partition() or 0)
            event = decode(message.value() or b"")
            waiting.append(event)
            reached[partition] = event.time
            if (message.offset() or 0) + 1 >= ends[partition]:
                del reached[partition]
        waiting.sort(key=_time)
        passed = bisect_right(waiting, min(reached.values(), default=_AFTER_TIME), key=_time)
        yield from waiting[:passed]
        del waiting[:passed]


def main() -> int:
    """Run one of them."""
    _, name, config, *topic = sys.argv
    settings = load_settings(Path(config))
    consumer, ends = opened(settings.kafka)
    records = Records(consumer)
    if name == "consume":
        count = consume(records, ends)
    else:
        out = Topic(settings.kafka.bootstrap, topic[0])
        count = PlainLoop(settings, out).run(in_order(records, ends))
        out.close()
    seconds = time.perf_counter() - records.began
    consumer.close()
    print(json.dumps({"events": count, "seconds": seconds}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
