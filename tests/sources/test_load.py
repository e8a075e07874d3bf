import gzip
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from config.settings import KafkaSettings, TimeSettings, TopicSettings
from config.units import Duration, Instant
from operators.heart.headers import MAX_RECORD
from sources.kafka import KafkaInput
from sources.load import load_files
from sources.reader import SourceError
from sources.topics import create_topics, planned_topics, topic_facts
from tests.sources.support import Delivered, drain, event_line
from tests.support.kafka_broker import KafkaBroker

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka")]

ZERO = 1_769_846_400_000
DAY = 86_400_000
NUMBERS = count()
TIMES = TimeSettings(
    out_of_orderness=Duration(10_000),
    idle_delay=Duration(30_000),
    future_tolerance=Duration(300_000),
    max_advance=Duration(366 * DAY),
    earliest=Instant.parse("2000-01-01T00:00:00Z"),
    latest=Instant.parse("2050-01-01T00:00:00Z"),
    duplicate_horizon=Duration(3 * DAY),
    arrival="record",
)

Load = Callable[..., dict[str, int]]


@pytest.fixture
def settings(kafka: KafkaBroker) -> KafkaSettings:
    """A cluster with topics of this test's own, not made yet."""
    prefix = f"load-{next(NUMBERS)}"
    names = ("orders", "behaviour", "actions", "rules", "alerts", "diffs", "versions", "holds", "late")
    topics = TopicSettings(**{name: f"{prefix}.{name}" for name in names}, dlq_suffix=".dlq")
    return KafkaSettings(kafka.bootstrap, prefix, "earliest", 1_000, 4, 1, topics, {})


@pytest.fixture
def load(settings: KafkaSettings, tmp_path: Path) -> Load:
    """Makes the topics, writes files and loads them."""

    def load_these(files: dict[str, list[bytes]], retention: int = -1) -> dict[str, int]:
        create_topics(settings, retention=retention)
        for name, lines in files.items():
            content = b"".join(line + b"\n" for line in lines)
            (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return load_files([tmp_path], settings, TIMES, progress=lambda _: None)

    return load_these


def what_stands_in(settings: KafkaSettings, topic: str) -> Delivered:
    reader = KafkaInput(settings, [topic], start="earliest", bounded=True).open()
    delivered = drain(reader)
    reader.close()
    return delivered


def test_each_file_goes_to_the_partition_that_its_name_says(settings: KafkaSettings, load: Load) -> None:
    orders, chats = [event_line(number) for number in range(10)], [b'{"type":"behaviour.chat"}']
    counts = load({"order-3.ndjson": orders, "order-0.ndjson.gz": orders[:2], "behaviour-1.jsonl": chats})
    assert counts == {settings.topics.orders: 12, settings.topics.behaviour: 1}
    loaded = what_stands_in(settings, settings.topics.orders)
    assert loaded.of(f"{settings.topics.orders}/3").lines == orders
    assert loaded.of(f"{settings.topics.orders}/0").lines == orders[:2]
    assert what_stands_in(settings, settings.topics.behaviour).of(f"{settings.topics.behaviour}/1").lines == chats


def test_a_record_arrives_at_the_newest_event_time_of_its_file_so_far(settings: KafkaSettings, load: Load) -> None:
    times = [ZERO, ZERO + 5, ZERO - 60_000, ZERO + 9]
    load({"order-0.ndjson": [event_line(number, moment) for number, moment in enumerate(times)]})
    arrivals = what_stands_in(settings, settings.topics.orders).arrivals
    assert arrivals == [ZERO, ZERO + 5, ZERO + 5, ZERO + 9]


@pytest.mark.parametrize(
    "bad",
    [
        b"{broken",
        b'{"type":"order.stage","id":"\xff"}',
        b'{"type":"order.stage","id":"1","source":"oms","time":2000000000000,"order_id":"O-1"}',
        event_line(1, ZERO + 367 * DAY),
        event_line(1, 1),
    ],
    ids=["no JSON", "no UTF-8", "no event", "too far ahead", "too old"],
)
def test_a_bad_line_is_loaded_as_it_is_and_makes_no_other_event_late(
    settings: KafkaSettings, load: Load, bad: bytes
) -> None:
    load({"order-0.ndjson": [event_line(0, ZERO), bad, event_line(2, ZERO + 1)]})
    loaded = what_stands_in(settings, settings.topics.orders)
    assert loaded.lines[1] == bad
    assert loaded.arrivals == [ZERO, ZERO, ZERO + 1]


def test_the_longest_record_that_a_flow_takes_can_be_loaded_and_a_longer_one_too(
    settings: KafkaSettings, load: Load
) -> None:
    lines = [event_line(number) + b" " * padding for number, padding in ((0, MAX_RECORD), (1, MAX_RECORD // 2))]
    load({"order-0.ndjson": lines})
    assert what_stands_in(settings, settings.topics.orders).lines == lines


def test_events_of_the_future_are_loaded_too(settings: KafkaSettings, load: Load) -> None:
    next_year = time.time_ns() // 1_000_000 + 365 * DAY
    load({"order-0.ndjson": [event_line(0, next_year)]})
    assert what_stands_in(settings, settings.topics.orders).arrivals == [next_year]


def test_events_that_the_topic_would_not_keep_are_refused(load: Load) -> None:
    with pytest.raises(SourceError, match=r"older than the topic's retention; set retention\.ms=-1"):
        load({"order-0.ndjson": [event_line(0, time.time_ns() // 1_000_000 - 2 * DAY)]}, retention=DAY)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["truth.ndjson"], "its name says no kind of events; call it order-<n>"),
        (["order-4.ndjson"], "goes to partition 4, but .* has 4"),
        (["order-1.ndjson", "orders-1.ndjson"], "goes to partition .*orders/1, and so does order-1"),
    ],
)
def test_a_file_that_fits_nowhere_is_named(load: Load, names: list[str], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        load({name: [event_line(0)] for name in names})


def test_loading_into_topics_that_do_not_exist_says_how_to_make_them(settings: KafkaSettings, tmp_path: Path) -> None:
    (tmp_path / "order-0.ndjson").write_bytes(event_line(0))
    with pytest.raises(SourceError, match=r"orders does not exist.*make it with `orderpulse topics create`"):
        load_files([tmp_path], settings, TIMES, progress=lambda _: None)


def test_topics_are_made_once_and_left_alone_afterwards(kafka: KafkaBroker, settings: KafkaSettings) -> None:
    kafka.create_topic(settings.topics.orders, partitions=7)
    first = {report.name: report for report in create_topics(settings)}
    assert (first[settings.topics.orders].created, first[settings.topics.orders].partitions) == (False, 7)
    assert {name for name, report in first.items() if report.created} == {
        plan.name for plan in planned_topics(settings)
    } - {settings.topics.orders}
    assert not any(report.created for report in create_topics(settings))


def test_every_topic_of_the_settings_is_made_and_each_input_has_dead_letters(settings: KafkaSettings) -> None:
    create_topics(settings)
    topics = settings.topics
    inputs = {topics.orders, topics.behaviour, topics.actions}
    outputs = {topics.alerts, topics.diffs, topics.versions, topics.holds, topics.late}
    found = AdminClient({"bootstrap.servers": settings.bootstrap}).list_topics(timeout=60).topics
    mine = {name: len(topic.partitions) for name, topic in found.items() if name.startswith(f"{settings.group}.")}
    letters = {f"{name}.dlq" for name in (*inputs, topics.rules)}
    assert mine == dict.fromkeys(inputs | outputs | letters, 4) | {topics.rules: 1}


def test_only_rules_and_holds_are_compacted(settings: KafkaSettings) -> None:
    plans = planned_topics(settings, retention=3_600_000)
    compacted = [plan for plan in plans if plan.config.get("cleanup.policy") == "compact"]
    assert [plan.name for plan in compacted] == [settings.topics.rules, settings.topics.holds]
    assert compacted[0].config["retention.ms"] == "-1", "a rule of last year still holds"


def test_a_dead_letter_topic_takes_larger_records_than_its_input(settings: KafkaSettings) -> None:
    limits = {plan.name: int(plan.config["max.message.bytes"]) for plan in planned_topics(settings)}
    topics = settings.topics
    for name in (topics.orders, topics.behaviour, topics.actions):
        assert limits[f"{name}.dlq"] > limits[name] > MAX_RECORD


def test_the_broker_stamps_the_inputs_where_it_is_asked_to(settings: KafkaSettings) -> None:
    create_topics(settings, broker_stamps=True)
    facts = topic_facts(settings, [settings.topics.orders, settings.topics.alerts])
    assert facts[settings.topics.orders].broker_stamps
    assert not facts[settings.topics.alerts].broker_stamps
