"""Who waits for the alerts, on their topic and in Redis, and notes the time at which each could be read."""

import time
from abc import abstractmethod
from collections.abc import Mapping
from threading import Event, Thread
from typing import Final

import msgspec
import redis
from confluent_kafka import Consumer, TopicPartition
from msgspec import Struct

_WAIT_SECONDS: Final = 0.2
_PATIENCE: Final = 60.0
RULE: Final = "illegal_transition"

Alert = tuple[str, int]
"""Order and time (epoch ms) of an alert that opens: what the event says that brings it about."""


class _Record(Struct):
    rule: str
    step: str
    entity_id: str
    time: int


class Watch(Thread):
    """Notes when each alert of the rule that opens could first be read; epoch ms."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: dict[Alert, float] = {}
        self._ended = Event()

    def run(self) -> None:
        """Until ``end``."""
        while not self._ended.is_set():
            self.look()

    def end(self) -> Mapping[Alert, float]:
        """Stop; returns what was seen."""
        self._ended.set()
        self.join()
        self.close()
        return self.seen

    @abstractmethod
    def look(self) -> None:
        """Wait a little for the next."""

    @abstractmethod
    def close(self) -> None:
        """Disconnect."""

    def note(self, alert: Alert) -> None:
        """It can be read now."""
        self.seen.setdefault(alert, time.time() * 1000)


class TopicWatch(Watch):
    """The alerts' topic, read as a consumer of it would. ``doubled``: how many alerts stood there again."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        super().__init__()
        self.doubled = 0
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "benchmark"})
        numbers = self._consumer.list_topics(topic, timeout=_PATIENCE).topics[topic].partitions
        self._consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
        self._decode = msgspec.json.Decoder(_Record).decode

    def look(self) -> None:
        """One record, if one comes."""
        message = self._consumer.poll(_WAIT_SECONDS)
        if message is None or message.error() is not None:
            return
        record = self._decode(message.value() or b"")
        if record.rule == RULE and record.step == "opened":
            alert = (record.entity_id, record.time)
            self.doubled += alert in self.seen
            self.note(alert)

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()


class RedisWatch(Watch):
    """The read model's alerts: the server tells of each write to one, once the whole script has run."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        super().__init__()
        client.config_set("notify-keyspace-events", "Kh")
        self._alerts = f"__keyspace@0__:{prefix}alert:{RULE}/order/"
        self._listening = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        self._listening.psubscribe(f"{self._alerts}*")

    def look(self) -> None:
        """One message, if one comes."""
        message = self._listening.get_message(timeout=_WAIT_SECONDS)
        if message is not None:
            order, opened, *_ = message["channel"].removeprefix(self._alerts).split("/")
            self.note((order, int(opened)))

    def close(self) -> None:
        """Listen no more."""
        self._listening.close()
