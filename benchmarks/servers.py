"""The servers that benchmarks over Kafka need, started for them alone, and what these servers take of the machine."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, TopicPartition
from msgspec import Struct

from tests.support.kafka_broker import KafkaBroker
from tests.support.redis_server import RedisServer

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PATIENCE: Final = 60.0
# As a broker is that runs for days: it shares the cores with what is measured.
_FULLY_COMPILED: Final = ("-XX:TieredStopAtLevel=4",)


class Spending(Struct, frozen=True):
    """CPU seconds, user and system, that the servers took."""

    kafka_s: float
    redis_s: float

    def since(self, before: "Spending") -> "Spending":
        """What was taken since then."""
        return Spending(self.kafka_s - before.kafka_s, self.redis_s - before.redis_s)


class Servers(Struct, frozen=True):
    """A broker and a Redis, both real."""

    kafka: KafkaBroker
    redis: RedisServer

    def spent(self) -> Spending:
        """Since they were started."""
        return Spending(cpu_seconds(self.kafka.pid), cpu_seconds(self.redis.pid))


@contextmanager
def servers(place: Path) -> Iterator[Servers]:
    """Both of them, with their files in a directory, until the end of the block."""
    broker = KafkaBroker.start(place / "kafka", java_options=_FULLY_COMPILED)
    with broker, RedisServer.start(place / "redis") as redis:
        yield Servers(broker, redis)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads, so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


class Tail:
    """What comes to a topic from now on."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "benchmark"})
        numbers = self._consumer.list_topics(topic, timeout=_PATIENCE).topics[topic].partitions
        self._logs = [TopicPartition(topic, number) for number in numbers]
        self._begin = self._ends()

    def values(self) -> list[bytes]:
        """All that has come. Raises RuntimeError when the broker does not give it."""
        ends = self._ends()
        wanted = sum(ends) - sum(self._begin)
        starts = [TopicPartition(log.topic, log.partition, at) for log, at in zip(self._logs, self._begin, strict=True)]
        self._consumer.assign(starts)
        found: list[bytes] = []
        until = time.monotonic() + _PATIENCE
        while len(found) < wanted and time.monotonic() < until:
            messages = self._consumer.consume(10_000, 0.1)
            found += [message.value() or b"" for message in messages if message.error() is None]
        self._consumer.close()
        if len(found) < wanted:
            raise RuntimeError(f"{len(found)} of {wanted} records of {self._logs[0].topic} could be read")
        return found

    def _ends(self) -> Sequence[int]:
        return [self._consumer.get_watermark_offsets(log, timeout=_PATIENCE)[1] for log in self._logs]
