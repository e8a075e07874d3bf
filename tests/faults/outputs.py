"""What a run left behind: every record of its output topics, and the read model in Redis."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from msgspec import Struct

from console.digests import SHAPES
from tests.faults.installation import Installation
from tests.faults.workload import KINDS

READ_SECONDS = 60.0
ANSWER_SECONDS = 30.0
_PAUSE_SECONDS = 0.1
PLATFORM = "platform"
LETTERS = "dead_letters"


class Written(Struct, frozen=True, gc=False):
    """One record of a topic. ``entity``: whose order of records counts. ``time``: when it was written, epoch ms."""

    id: str
    entity: str
    place: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes | None], ...]
    time: int


class Held(Struct, frozen=True):
    """What one key of Redis holds. ``ttl_ms``: -1 when it never expires."""

    type: str
    content: Any
    ttl_ms: int


class Outputs(Struct, frozen=True):
    """Records by topic, in the order of each partition; Redis by key."""

    topics: dict[str, list[Written]]
    redis: dict[str, Held]

    @property
    def counts(self) -> dict[str, int]:
        """How many records each topic holds."""
        return {name: len(records) for name, records in self.topics.items()}


def read_outputs(installation: Installation) -> Outputs:
    """Everything that a run wrote, but for ``meta`` in Redis and the alerts on platforms, here and there."""
    topics = read_topics(installation)
    topics["alerts"] = [each for each in topics["alerts"] if not _on_platform(each)]
    return Outputs(topics, read_model(installation))


def platform_alerts(installation: Installation) -> list[Written]:
    """What the platform said of itself."""
    return list(filter(_on_platform, read_topics(installation)["alerts"]))


def _on_platform(record: Written) -> bool:
    """Whether it is about the platform itself: which of those there are depends on how long an outage took."""
    return record.entity.startswith(f"{PLATFORM} ")


def end_offsets(consumer: Consumer, installation: Installation) -> dict[str, int]:
    """How many records each output topic holds by now."""
    return {
        name: sum(_end(consumer, TopicPartition(topic, part)) for part in range(installation.partitions))
        for name, topic in installation.output_topics.items()
    }


def consumer_of(installation: Installation) -> Consumer:
    """A consumer that talks to the broker itself, past any proxy."""
    return Consumer(
        {
            "bootstrap.servers": installation.servers.broker.bootstrap,
            "group.id": installation.name,
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 10,
            "log_level": 0,
        }
    )


def read_topics(installation: Installation) -> dict[str, list[Written]]:
    """The records of all output topics; the installation's own name is taken out of them."""
    names = {topic: name for name, topic in installation.output_topics.items()}
    found: dict[str, list[Written]] = {name: [] for name in names.values()}
    own_name = f"{installation.name}.".encode()
    for message in _messages(installation, names):
        name = names[message.topic() or ""]
        found[name].append(_written(name.partition("/")[0], message, own_name))
    return found


def read_inputs(installation: Installation) -> dict[tuple[str, int], list[bytes]]:
    """The records of all input topics by kind and partition: what the flow really had before it."""
    kinds = {installation.input_topic(kind): kind for kind in KINDS}
    found: dict[tuple[str, int], list[bytes]] = {
        (kind, part): [] for kind in KINDS for part in range(installation.partitions)
    }
    for message in _messages(installation, kinds):
        found[kinds[message.topic() or ""], message.partition() or 0].append(message.value() or b"")
    return found


def _messages(installation: Installation, topics: Iterable[str]) -> Iterator["Message[bytes, bytes]"]:
    """All messages of topics; those of one partition stay in order. Raises RuntimeError when they cannot be read."""
    consumer = consumer_of(installation)
    try:
        starts = [TopicPartition(topic, part, 0) for topic in topics for part in range(installation.partitions)]
        left = sum(_end(consumer, start) for start in starts)
        consumer.assign(starts)
        deadline = time.monotonic() + READ_SECONDS
        while left > 0:
            for message in consumer.consume(10_000, 0.5):
                if (error := message.error()) is not None:
                    raise RuntimeError(f"{message.topic()}: {error.str()}")
                left -= 1
                yield message
            if time.monotonic() > deadline:
                raise RuntimeError(f"{left} records of {installation.name} were not read within {READ_SECONDS:g} s")
    finally:
        consumer.close()


def _end(consumer: Consumer, partition: TopicPartition) -> int:
    """A broker that has just come back does not know for a moment what it leads."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            return consumer.get_watermark_offsets(partition, timeout=ANSWER_SECONDS)[1]
        except KafkaException as error:
            if error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)


def _written(kind: str, message: "Message[bytes, bytes]", own_name: bytes) -> Written:
    key, value = (message.key() or b"").replace(own_name, b""), (message.value() or b"").replace(own_name, b"")
    given = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    headers = tuple((name, content and content.replace(own_name, b"")) for name, content in given)
    by_name = {name: (content or b"").decode(errors="replace") for name, content in headers}
    if kind == LETTERS:
        name = f"{by_name['op_partition']}@{by_name['op_position']}"
        entity = name
    else:
        shape = SHAPES[kind]
        name = by_name["ce_id"]
        entity = shape.entity(msgspec.json.decode(value, type=shape.key))
    place = f"{message.partition()}@{message.offset()}"
    return Written(name, entity, place, key, value, headers, message.timestamp()[1])


def read_model(installation: Installation) -> dict[str, Held]:
    """All of Redis but ``meta``, and but for alerts on platforms."""
    with installation.servers.redis.client() as client:
        held = dict(_keys(client))
    held.pop(f"{installation.settings.redis.prefix}meta", None)
    return _without_platform(held)


_READ: dict[str, Callable[[Any, str], object]] = {
    "hash": lambda client, key: client.hgetall(key),
    "zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
    "set": lambda client, key: client.smembers(key),
    "list": lambda client, key: client.lrange(key, 0, -1),
    "string": lambda client, key: client.get(key),
}


def _keys(client: Any) -> Iterator[tuple[str, Held]]:
    keys = sorted(client.scan_iter(count=1_000))
    with client.pipeline(transaction=False) as asking:
        for key in keys:
            asking.type(key)
            asking.pttl(key)
        answers: list[Any] = asking.execute()
        types, ttls = answers[::2], answers[1::2]
        for key, kind in zip(keys, types, strict=True):
            _READ[kind](asking, key)
        contents: list[Any] = asking.execute()
    for key, kind, content, ttl in zip(keys, types, contents, ttls, strict=True):
        yield key, Held(kind, dict(content) if kind == "zset" else content, ttl)


def _without_platform(held: dict[str, Held]) -> dict[str, Held]:
    """The view without the alerts on platforms."""
    alerts = [alert for each in held.values() if each.type == "hash" for alert in _platform_alerts(each.content)]
    names = {alert[name] for alert in alerts for name in ("id", "episode")}
    kept = {}
    for key, each in held.items():
        if any(key.endswith(f"alert:{name}") for name in names):
            continue
        content = each.content
        if names and each.type in ("hash", "zset"):
            content = {name: value for name, value in content.items() if name not in names}
        if content:
            kept[key] = msgspec.structs.replace(each, content=content)
    return kept


def _platform_alerts(content: dict[str, str]) -> Iterator[dict[str, Any]]:
    for value in content.values():
        if f'"entity_type":"{PLATFORM}"' in value and '"episode"' in value:
            yield msgspec.json.decode(value)
