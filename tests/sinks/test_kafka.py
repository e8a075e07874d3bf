import threading
import time
import uuid
from collections.abc import Callable, Iterator
from random import Random

import msgspec
import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from config.loader import load_settings
from config.settings import TopicSettings
from dataflows.run import KAFKA, RunPlan, execute
from dataflows.summary import Summary
from events.model import OrderChanged, OrderCreated, OrderFields
from events.records import AlertRecord, Record
from operators.heart.headers import MAX_RECORD
from sinks.kafka import KafkaSink
from sinks.sink import Sink, SinkError
from sources.topics import create_topics
from tests.sinks.samples import (
    ALERT,
    DEAD_LETTER,
    DIFF,
    EVERY_KIND,
    HOLD,
    LATE,
    NOON,
    VERSION,
    alert,
    kafka_settings,
    topics,
)
from tests.support.kafka_broker import KafkaBroker
from tests.support.ports import free_port

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka")]


def create(broker: KafkaBroker, of: TopicSettings, partitions: int = 1) -> None:
    outputs = (of.alerts, of.holds, of.versions, of.diffs, of.late)
    dead_letters = [name + of.dlq_suffix for name in (of.orders, of.behaviour, of.actions, of.rules)]
    for name in (*outputs, *dead_letters):
        broker.create_topic(name, partitions)


@pytest.fixture
def own_topics(kafka: KafkaBroker) -> TopicSettings:
    """The topics of one test."""
    of = topics(f"t{uuid.uuid4().hex[:8]}")
    create(kafka, of)
    return of


@pytest.fixture
def sink(kafka: KafkaBroker, own_topics: TopicSettings) -> Iterator[KafkaSink]:
    opened = KafkaSink(kafka_settings(kafka.bootstrap, own_topics))
    yield opened
    opened.close()


def read(broker: KafkaBroker, topic: str, partition: int = 0) -> list["Message[bytes, bytes]"]:
    """All records of a partition."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "test", "enable.auto.commit": False})
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=60)
    consumer.assign([TopicPartition(topic, partition, 0)])
    found: list[Message[bytes, bytes]] = []
    deadline = time.monotonic() + 90
    while len(found) < end and time.monotonic() < deadline:
        found += consumer.consume(10_000, 0.2)
    consumer.close()
    return found


def id_of(message: "Message[bytes, bytes]") -> str:
    return msgspec.json.decode(message.value() or b"", type=AlertRecord).id


def write_and_flush(sink: Sink, *records: Record) -> None:
    sink.write(records)
    sink.flush()


def test_each_record_arrives_in_its_topic(kafka: KafkaBroker, own_topics: TopicSettings, sink: Sink) -> None:
    sink.write([msgspec.structs.replace(r, topic=own_topics.orders) if r is DEAD_LETTER else r for r in EVERY_KIND])
    sink.flush()
    for topic, key, record in (
        (own_topics.alerts, "c1", ALERT),
        (own_topics.holds, "O-1", HOLD),
        (own_topics.versions, "O-1", VERSION),
        (own_topics.diffs, "O-1", DIFF),
        (own_topics.late, "订单-1", LATE),
    ):
        (message,) = read(kafka, topic)
        assert (message.key() or b"").decode() == key
        assert msgspec.json.decode(message.value() or b"", type=type(record)) == record
        assert dict(message.headers() or [])["ce_specversion"] == b"1.0"


def test_a_dead_letter_arrives_with_the_bytes_that_could_not_be_read(
    kafka: KafkaBroker, own_topics: TopicSettings, sink: Sink
) -> None:
    sink.write([msgspec.structs.replace(DEAD_LETTER, topic=own_topics.orders)])
    sink.flush()
    (message,) = read(kafka, f"{own_topics.orders}.dlq")
    assert message.value() == b'{"id\xff\x00'
    assert list(message.headers() or [])[:3] == [("trace", b"\xff\x00"), ("trace", b"two"), ("empty", None)]
    assert dict(message.headers() or [])["op_reason"] == b"not_json"


def test_an_entitys_records_keep_their_order(kafka: KafkaBroker) -> None:
    of = topics(f"t{uuid.uuid4().hex[:8]}")
    create(kafka, of, partitions=4)
    sink = KafkaSink(kafka_settings(kafka.bootstrap, of))
    sink.write([alert(id=f"a{n}", entity_id=f"c{n % 20}", step_number=n) for n in range(4_000)])
    sink.close()
    seen: dict[bytes, list[int]] = {}
    for partition in range(4):
        for message in read(kafka, of.alerts, partition):
            record = msgspec.json.decode(message.value() or b"", type=AlertRecord)
            seen.setdefault(message.key() or b"", []).append(record.step_number)
    assert sum(map(len, seen.values())) == 4_000
    assert all(numbers == sorted(numbers) for numbers in seen.values())


def test_a_full_queue_holds_the_flow_back_and_loses_nothing(kafka: KafkaBroker, own_topics: TopicSettings) -> None:
    settings = kafka_settings(kafka.bootstrap, own_topics, queue_buffering_max_messages="50")
    sink = KafkaSink(settings)
    sink.write([alert(id=f"a{number}") for number in range(2_000)])
    sink.close()
    assert len(read(kafka, own_topics.alerts)) == 2_000


def test_a_topic_that_is_not_there_is_named_at_the_start(
    kafka: KafkaBroker, own_topics: TopicSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.kafka_logs._NEW_TOPIC_SECONDS", 0.5)
    wrong = msgspec.structs.replace(own_topics, alerts="no.such.topic")
    with pytest.raises(SinkError, match=r"topic no.such.topic: .* create them with `orderpulse topics create`"):
        KafkaSink(kafka_settings(kafka.bootstrap, wrong))


def test_a_topic_that_is_not_there_when_a_record_needs_it_stops_the_flow(
    kafka: KafkaBroker, own_topics: TopicSettings
) -> None:
    sink = KafkaSink(kafka_settings(kafka.bootstrap, own_topics, topic_metadata_propagation_max_ms="500"))
    sink.write([msgspec.structs.replace(DEAD_LETTER, topic="nobody.knows")])
    expected = r"topic nobody.knows.dlq, key orders.order.events.v1/3: .*create it with"
    with pytest.raises(SinkError, match=expected):
        sink.flush()
    with pytest.raises(SinkError, match=expected):
        sink.write([ALERT])
    with pytest.raises(SinkError, match=expected):
        sink.close()


def test_a_record_that_the_topic_refuses_stops_the_flow(kafka: KafkaBroker, own_topics: TopicSettings) -> None:
    sink = KafkaSink(kafka_settings(kafka.bootstrap, own_topics, compression_type="none"))
    # The refusal may come back while the record is still being written, or only when all is flushed.
    with pytest.raises(SinkError, match=r"raise max.message.bytes"):
        write_and_flush(sink, alert(reason="x" * 2_000_000))


def test_a_record_too_large_for_the_client_stops_the_flow(kafka: KafkaBroker, own_topics: TopicSettings) -> None:
    sink = KafkaSink(kafka_settings(kafka.bootstrap, own_topics, message_max_bytes="2000"))
    with pytest.raises(SinkError, match=r"key c1: .*raise max.message.bytes"):
        sink.write([alert(reason="x" * 3_000)])


@pytest.fixture
def planned(kafka: KafkaBroker) -> TopicSettings:
    """Topics of one test, as `orderpulse topics create` makes them."""
    of = topics(f"t{uuid.uuid4().hex[:8]}")
    create_topics(kafka_settings(kafka.bootstrap, of))
    return of


def send(broker: KafkaBroker, topic: str, value: bytes, **client: str) -> None:
    """Puts one record with a header onto a topic."""
    options = {name.replace("_", "."): option for name, option in client.items()}
    producer = Producer({"bootstrap.servers": broker.bootstrap, "message.max.bytes": 100_000_000, **options})
    failed: list[KafkaError] = []
    producer.produce(
        topic, value, headers={"trace": b"7"}, on_delivery=lambda error, _: failed.append(error) if error else None
    )
    assert producer.flush(20) == 0
    assert failed == []


def run(broker: KafkaBroker, of: TopicSettings) -> Summary:
    """The flow over what stands in the topics now."""
    settings = load_settings()
    kafka = kafka_settings(broker.bootstrap, of)
    return execute(
        RunPlan(msgspec.structs.replace(settings, kafka=kafka), KAFKA, output=KAFKA, bounded=True, serve=False)
    )


@pytest.mark.parametrize(
    ("size", "compression"),
    [(MAX_RECORD + 1, "none"), (2 * MAX_RECORD - 1_000, "none"), (20 * MAX_RECORD, "zstd")],
    ids=["just above the limit", "as much as the topic takes", "compressed by its sender"],
)
def test_a_record_that_is_too_large_for_the_flow_fits_among_its_dead_letters(
    kafka: KafkaBroker, planned: TopicSettings, size: int, compression: str
) -> None:
    tight = bytes(size) if compression == "zstd" else Random(1).randbytes(size)
    send(kafka, planned.orders, tight, compression_type=compression)
    run(kafka, planned)
    (letter,) = read(kafka, f"{planned.orders}.dlq")
    assert letter.value() == tight
    assert next(iter(letter.headers() or [])) == ("trace", b"7")
    assert dict(letter.headers() or [])["op_reason"] == b"too_large"


def test_what_one_event_of_the_largest_size_leads_to_fits_into_its_topics(
    kafka: KafkaBroker, planned: TopicSettings
) -> None:
    recipient = Random(2).randbytes(MAX_RECORD // 2 - 400).hex()
    event = OrderCreated(id="e1", source="oms", time=NOON, order_id="O-1", recipient=recipient)
    moved = OrderChanged(
        id="e2", source="oms", time=NOON + 1, order_id="O-1", fields=OrderFields(recipient=recipient[::-1])
    )
    for each in (event, moved):
        line = msgspec.json.encode(each)
        assert MAX_RECORD - 2_000 < len(line) <= MAX_RECORD
        send(kafka, planned.orders, line)
    run(kafka, planned)
    assert [record.key() for record in read(kafka, planned.versions)] == [b"O-1", b"O-1"]


def test_guarantees_cannot_be_configured_away(kafka: KafkaBroker, own_topics: TopicSettings) -> None:
    settings = kafka_settings(kafka.bootstrap, own_topics, acks="0", enable_idempotence="false")
    sink = KafkaSink(settings)
    sink.write([ALERT])
    sink.close()
    assert len(read(kafka, own_topics.alerts)) == 1


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "did not come to pass within 60 s"
        time.sleep(0.01)


def test_a_broker_that_freezes_holds_the_flow_back_and_the_sink_says_so(own_kafka: KafkaBroker) -> None:
    of = topics()
    create(own_kafka, of)
    sink = KafkaSink(kafka_settings(own_kafka.bootstrap, of))
    own_kafka.pause()
    sink.write([ALERT])
    began = round(time.time() * 1000)
    flushing = threading.Thread(target=sink.flush)
    flushing.start()
    until(lambda: sink.waiting is not None)
    assert (waiting := sink.waiting) is not None
    assert waiting.reason.startswith(f"Kafka at {own_kafka.bootstrap} acknowledges nothing")
    assert abs(waiting.since_ms - began) < 1_000
    assert flushing.is_alive()
    own_kafka.resume()
    flushing.join(timeout=60)
    assert sink.waiting is None
    assert len(read(own_kafka, of.alerts)) == 1
    sink.close()


def test_a_broker_that_dies_again_and_again_gets_every_record_once_and_in_order(own_kafka: KafkaBroker) -> None:
    of = topics()
    create(own_kafka, of)
    sink = KafkaSink(kafka_settings(own_kafka.bootstrap, of))
    written = 0

    def write_on() -> None:
        nonlocal written
        while written < 30_000 or not done.is_set():
            sink.write([alert(id=f"a{number}") for number in range(written, written + 500)])
            sink.positions()
            written += 500
            time.sleep(0.02)

    done = threading.Event()
    writing = threading.Thread(target=write_on)
    writing.start()
    for _ in range(2):
        time.sleep(0.3)
        own_kafka.kill()
        time.sleep(0.3)
        own_kafka.launch()
    done.set()
    writing.join(timeout=120)
    sink.close()
    assert [id_of(message) for message in read(own_kafka, of.alerts)] == [f"a{number}" for number in range(written)]


def test_a_run_that_was_asked_to_stop_does_not_wait_for_ever(own_kafka: KafkaBroker) -> None:
    of = topics()
    create(own_kafka, of)
    stopping = threading.Event()
    sink = KafkaSink(kafka_settings(own_kafka.bootstrap, of), give_up=stopping.is_set)
    own_kafka.kill()
    sink.write([ALERT])
    stopping.set()
    with pytest.raises(
        SinkError, match=r"asked to stop after waiting for 2\.\d s: .* acknowledges nothing: .*; put it"
    ):
        sink.flush()
    with pytest.raises(SinkError, match="asked to stop"):
        sink.close()


def test_a_process_that_starts_while_the_broker_is_away_waits_for_it(own_kafka: KafkaBroker) -> None:
    of = topics()
    create(own_kafka, of)
    own_kafka.kill()
    sink = KafkaSink(kafka_settings(own_kafka.bootstrap, of), patient=True)
    resuming = threading.Thread(target=sink.resume, args=({},))
    resuming.start()
    until(lambda: sink.waiting is not None)
    own_kafka.launch()
    resuming.join(timeout=60)
    assert sink.waiting is None
    write_and_flush(sink, ALERT)
    assert len(read(own_kafka, of.alerts)) == 1
    sink.close()


def test_while_the_broker_is_away_the_last_positions_known_are_told(own_kafka: KafkaBroker) -> None:
    of = topics()
    create(own_kafka, of)
    sink = KafkaSink(kafka_settings(own_kafka.bootstrap, of))
    write_and_flush(sink, ALERT)
    before = sink.positions()
    write_and_flush(sink, alert(id="a2"))
    own_kafka.kill()
    assert sink.positions() == before
    own_kafka.launch()
    until(lambda: sink.positions() == before | {f"{of.alerts}/0": 2})
    sink.close()


def test_a_limit_of_time_that_an_installation_sets_ends_the_flow(own_kafka: KafkaBroker) -> None:
    of = topics()
    create(own_kafka, of)
    sink = KafkaSink(kafka_settings(own_kafka.bootstrap, of, message_timeout_ms="1500"))
    own_kafka.kill()
    sink.write([ALERT])
    with pytest.raises(SinkError, match=r"topic orders.alert.events.v1, key c1: .*brokers are up"):
        sink.flush()
    with pytest.raises(SinkError):
        sink.close()


def test_a_broker_that_does_not_answer_is_an_error_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.kafka._CONNECT_SECONDS", 1.0)
    with pytest.raises(SinkError, match=r"no answer within 1 s: .*(refused|down|failed).*; check kafka.bootstrap"):
        KafkaSink(kafka_settings(f"127.0.0.1:{free_port()}", topics()))


def test_an_unknown_client_setting_is_named() -> None:
    with pytest.raises(SinkError, match=r"no.such.setting.*; correct \[kafka.client\]"):
        KafkaSink(kafka_settings("127.0.0.1:1", topics(), no_such_setting="1"))


def test_a_secret_of_the_client_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_SECRET", raising=False)
    with pytest.raises(ValueError, match="NO_SUCH_SECRET"):
        KafkaSink(kafka_settings("127.0.0.1:1", topics(), sasl_password="${NO_SUCH_SECRET}"))


def test_what_is_acknowledged_shows_without_waiting_for_it(sink: KafkaSink) -> None:
    assert sink.progress() == (0, 0)
    sink.write([ALERT, HOLD])
    assert sink.progress()[0] == 2
    sink.flush()
    assert sink.progress() == (2, 2)
