"""One simulated trade from files to files, and from Kafka to Kafka and Redis: the same records, the same truth."""

import base64
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from config.loader import load_settings
from config.settings import Settings
from config.units import Instant
from dataflows.run import RunPlan, execute
from dataflows.summary import Summary
from events.normal_form import mask
from events.records import (
    AlertRecord,
    DeadLetterRecord,
    DiffRecord,
    HoldRecord,
    LateRecord,
    VersionRecord,
)
from events.topics import OUTPUTS
from operators.orders.order_document import MASKED
from sources.load import load_files
from sources.simulator import SimulationPlan, write
from sources.topics import create_topics
from tests.sinks.samples import topics
from tests.support.kafka_broker import KafkaBroker
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.xdist_group("kafka")]

TRADE = SimulationPlan(orders=1_500, seed=21, duplicates=0.03, late=0.03, bad=0.01)
TOPIC_OF: dict[type[msgspec.Struct], str] = {
    AlertRecord: "alerts",
    HoldRecord: "holds",
    VersionRecord: "versions",
    DiffRecord: "diffs",
    LateRecord: "late",
}
Messages = list["Message[bytes, bytes]"]


class Runs(NamedTuple):
    """What both runs left behind."""

    settings: Settings
    files: Path
    from_files: Summary
    from_kafka: Summary
    topics: dict[str, Messages]
    redis: Any  # answers are text: the client types them as either
    sent: int


@pytest.fixture(scope="module")
def runs(kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    directory = tmp_path_factory.mktemp("trade")
    with RedisServer.start(directory / "redis") as server:
        settings = _settings(kafka, server)
        write(TRADE, settings, directory)
        from_files = execute(RunPlan(settings, [directory / "events"], output=directory / "out", serve=False))

        create_topics(settings.kafka)
        sent = load_files([directory / "events"], settings.kafka, settings.time, progress=lambda _: None)
        plan = RunPlan(settings, "kafka", output="kafka", redis=True, bounded=True, serve=False)
        from_kafka = execute(plan)
        names = settings.kafka.topics
        outputs = (names.alerts, names.holds, names.versions, names.diffs, names.late)
        letters = [f"{name}{names.dlq_suffix}" for name in (names.orders, names.behaviour, names.actions)]
        found = {name: consumed(kafka, name, settings.kafka.partitions) for name in (*outputs, *letters)}
        with server.client() as client:
            yield Runs(settings, directory / "out", from_files, from_kafka, found, client, sum(sent.values()))


def _settings(kafka: KafkaBroker, server: RedisServer) -> Settings:
    own = topics(f"t{uuid.uuid4().hex[:8]}")
    settings = load_settings(overrides={"redis": {"url": server.url, "feed_length": 100_000}})
    on_broker = msgspec.structs.replace(settings.kafka, bootstrap=kafka.bootstrap, topics=own)
    return msgspec.structs.replace(settings, kafka=on_broker)


def consumed(kafka: KafkaBroker, topic: str, partitions: int) -> Messages:
    """All messages of a topic; those of one partition stay in order."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "test", "enable.auto.commit": False})
    starts = [TopicPartition(topic, number, 0) for number in range(partitions)]
    expected = sum(consumer.get_watermark_offsets(start, timeout=60)[1] for start in starts)
    consumer.assign(starts)
    found: Messages = []
    deadline = time.monotonic() + 120
    while len(found) < expected and time.monotonic() < deadline:
        found += consumer.consume(10_000, 0.5)
    consumer.close()
    assert len(found) == expected
    return found


def file_lines(runs: Runs, kind: type[msgspec.Struct]) -> list[bytes]:
    (file,) = (output.file for output in OUTPUTS if output.record is kind)
    return (runs.files / file).read_bytes().splitlines()


def topic_values(runs: Runs, kind: type[msgspec.Struct]) -> list[bytes]:
    return [message.value() or b"" for message in runs.topics[getattr(runs.settings.kafka.topics, TOPIC_OF[kind])]]


def decoded(runs: Runs, kind: type[msgspec.Struct]) -> list[Any]:
    return [msgspec.json.decode(value, type=kind) for value in topic_values(runs, kind)]


def per_entity(records: Iterable[Any]) -> dict[tuple[str, ...], list[str]]:
    seen: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for record in records:
        entity = (record.entity_type, record.entity_id) if isinstance(record, AlertRecord) else (record.order_id,)
        seen[entity].append(record.id)
    return seen


def test_every_line_of_the_files_was_read_from_kafka(runs: Runs) -> None:
    assert runs.sent == runs.from_files.events == runs.from_kafka.events
    assert runs.from_kafka.duplicates == runs.from_files.duplicates > 0
    assert runs.from_kafka.late == runs.from_files.late > 0
    assert runs.from_kafka.forced == 0
    assert runs.from_kafka.watermark == runs.from_files.watermark


@pytest.mark.parametrize("kind", TOPIC_OF, ids=lambda kind: TOPIC_OF[kind])
def test_topics_hold_the_lines_of_the_files(runs: Runs, kind: type[msgspec.Struct]) -> None:
    assert Counter(topic_values(runs, kind)) == Counter(file_lines(runs, kind))
    assert topic_values(runs, kind)


@pytest.mark.parametrize("kind", [AlertRecord, HoldRecord, VersionRecord, DiffRecord], ids=lambda kind: TOPIC_OF[kind])
def test_an_entity_s_records_come_in_the_same_order_and_from_one_partition(
    runs: Runs, kind: type[msgspec.Struct]
) -> None:
    in_files: list[Any] = [msgspec.json.decode(text, type=kind) for text in file_lines(runs, kind)]
    assert per_entity(decoded(runs, kind)) == per_entity(in_files)

    partitions: dict[bytes, set[int]] = defaultdict(set)
    for message in runs.topics[getattr(runs.settings.kafka.topics, TOPIC_OF[kind])]:
        partitions[message.key() or b""].add(message.partition() or 0)
    assert all(len(numbers) == 1 for numbers in partitions.values())


def test_dead_letters_arrive_on_the_topic_of_their_input_with_their_original_bytes(runs: Runs) -> None:
    letters = [msgspec.json.decode(text, type=DeadLetterRecord) for text in file_lines(runs, DeadLetterRecord)]
    messages = [message for name, found in runs.topics.items() if name.endswith(".dlq") for message in found]
    assert Counter(message.value() or b"" for message in messages) == Counter(
        base64.b64decode(letter.payload) for letter in letters
    )
    assert letters
    reasons = Counter(dict(message.headers() or [])["op_reason"] for message in messages)
    assert reasons == Counter(letter.reason.encode() for letter in letters)
    for message in messages:
        headers = dict(message.headers() or [])
        place = headers["op_partition"]
        assert isinstance(place, bytes)
        assert place.decode().rpartition("/")[0] == (message.topic() or "").removesuffix(".dlq")


def test_results_are_cloud_events(runs: Runs) -> None:
    for kind, name in TOPIC_OF.items():
        output = next(output for output in OUTPUTS if output.record is kind)
        for message in runs.topics[getattr(runs.settings.kafka.topics, name)][:200]:
            record: Any = msgspec.json.decode(message.value() or b"", type=kind)
            headers = dict(message.headers() or [])
            assert headers["ce_specversion"] == b"1.0"
            assert headers["content-type"] == b"application/json"
            assert headers["ce_type"] == output.ce_type.encode()
            assert headers["ce_id"] == record.id.encode()
            assert headers["ce_subject"] == message.key()
            assert headers["ce_time"] == str(Instant(record.time)).encode()


def test_the_open_alerts_in_redis_are_the_episodes_whose_last_step_is_not_resolved(runs: Runs) -> None:
    last = {alert.episode: alert for alert in decoded(runs, AlertRecord)}
    still_open = {episode for episode, alert in last.items() if alert.step != "resolved"}
    assert set(runs.redis.zrange("op:v1:alerts:open", 0, -1)) == still_open
    assert len(last) > len(still_open)
    for rule in {alert.rule for alert in last.values()}:
        of_rule = {episode for episode in still_open if last[episode].rule == rule}
        assert set(runs.redis.zrange(f"op:v1:alerts:open:{rule}", 0, -1)) == of_rule
    for episode in still_open:
        stored = msgspec.json.decode(str(runs.redis.hget(f"op:v1:alert:{episode}", "record")), type=AlertRecord)
        assert stored == last[episode]


def test_the_feed_in_redis_holds_every_step(runs: Runs) -> None:
    ids = {alert.id for alert in decoded(runs, AlertRecord)}
    assert set(runs.redis.zrange("op:v1:feed", 0, -1)) == ids


def test_the_holds_in_redis_are_the_newest_of_each_order(runs: Runs) -> None:
    last = {hold.order_id: hold for hold in decoded(runs, HoldRecord)}
    held = {order for order, hold in last.items() if hold.status == "held"}
    assert set(runs.redis.zrange("op:v1:holds", 0, -1)) == held
    assert last
    for order, hold in last.items():
        stored = runs.redis.hgetall(f"op:v1:hold:{order}")
        assert (stored["status"], int(stored["version"])) == (hold.status, hold.version)


def test_the_orders_in_redis_are_the_fold_of_their_versions(runs: Runs) -> None:
    fields: dict[str, dict[str, Any]] = defaultdict(dict)
    versions: dict[str, int] = {}
    for version in decoded(runs, VersionRecord):
        versions[version.order_id] = version.version
        for change in version.changes:
            fields[version.order_id][change.field] = change.new
    assert len(versions) >= TRADE.orders
    for order, number in versions.items():
        stored = runs.redis.hgetall(f"op:v1:order:{order}")
        assert int(stored["version"]) == number
        expected = {
            name: mask(value) if name in MASKED and isinstance(value, str) else value
            for name, value in fields[order].items()
            if value is not None
        }
        assert msgspec.json.decode(stored["fields"]) == expected


def test_redis_says_how_far_the_view_has_come(runs: Runs) -> None:
    meta = runs.redis.hgetall("op:v1:meta")
    assert int(meta["watermark"]) == runs.from_kafka.watermark
    counts = msgspec.json.decode(meta["counts"])
    assert counts["events"] == runs.from_kafka.events
