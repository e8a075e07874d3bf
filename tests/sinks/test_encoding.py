import base64
from datetime import UTC, datetime

import msgspec
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka
from cloudevents.core.formats.json import JSONFormat

from events.records import AlertRecord, Record
from events.topics import DEAD_LETTER_HEADERS, OPTIONAL_DEAD_LETTER_HEADERS, OUTPUTS
from sinks.encoding import ENCODER, message
from tests.sinks.samples import (
    ALERT,
    DEAD_LETTER,
    DIFF,
    EVERY_KIND,
    HEALTH,
    HOLD,
    LATE,
    NOON,
    PRECISION,
    SNAPSHOT,
    VERSION,
    WITH_TOPIC,
    alert,
    topics,
)


@pytest.mark.parametrize(
    ("record", "topic", "key"),
    [
        (ALERT, "orders.alert.events.v1", "c1"),
        (HOLD, "orders.holds.v1", "O-1"),
        (VERSION, "orders.versions.v1", "O-1"),
        (DIFF, "orders.sync.diffs.v1", "O-1"),
        (LATE, "orders.late.v1", "订单-1"),
        (DEAD_LETTER, "orders.order.events.v1.dlq", "orders.order.events.v1/3"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, msgspec.Struct) else "",
)
def test_a_record_goes_to_its_topic_under_its_entity(record: Record, topic: str, key: str) -> None:
    outgoing = message(record, topics())
    assert outgoing is not None
    assert (outgoing.topic, outgoing.key) == (topic, key)


def test_an_order_snapshot_has_no_topic() -> None:
    assert message(SNAPSHOT, topics()) is None
    assert message(HEALTH, topics()) is None
    assert message(PRECISION, topics()) is None


def test_every_kind_of_record_but_the_snapshot_has_a_place() -> None:
    assert {output.record for output in OUTPUTS} == {type(record) for record in EVERY_KIND} - {
        type(SNAPSHOT),
        type(HEALTH),
        type(PRECISION),
    }
    assert len({output.file for output in OUTPUTS}) == len(OUTPUTS)


def test_the_order_in_which_evidence_was_put_in_does_not_show() -> None:
    forwards = alert(evidence={"a": 1, "b": {"c": 2, "d": 3}})
    backwards = alert(evidence={"b": {"d": 3, "c": 2}, "a": 1})
    assert ENCODER.encode(forwards) == ENCODER.encode(backwards)


def test_the_bytes_of_a_record_read_back_as_the_record() -> None:
    assert msgspec.json.decode(ENCODER.encode(ALERT), type=AlertRecord) == ALERT


@pytest.mark.parametrize("record", [record for record in WITH_TOPIC if record is not DEAD_LETTER])
def test_another_library_reads_a_record_as_a_cloud_event(record: Record) -> None:
    outgoing = message(record, topics())
    assert outgoing is not None
    headers = {name: value for name, value in outgoing.headers if isinstance(value, bytes)}
    assert len(headers) == len(outgoing.headers)
    event = from_kafka(KafkaMessage(headers, outgoing.key, outgoing.value), JSONFormat())
    assert headers["ce_specversion"] == b"1.0"  # the library assumes it where it is missing
    (name,) = [output.name for output in OUTPUTS if output.record is type(record)]
    content = msgspec.json.decode(msgspec.json.encode(record))
    assert event.get_id() == content["id"]
    assert event.get_type() == f"orderpulse.{name}.v1"
    assert event.get_source() == "/orderpulse"
    assert event.get_subject() == outgoing.key
    assert event.get_time() == datetime.fromtimestamp(NOON // 1000, UTC).replace(microsecond=123_000)
    assert event.get_datacontenttype() == "application/json"
    assert event.get_data() == content


def test_a_dead_letter_keeps_its_bytes_and_headers_and_says_what_was_wrong() -> None:
    outgoing = message(DEAD_LETTER, topics())
    assert outgoing is not None
    assert outgoing.value == base64.b64decode(DEAD_LETTER.payload) == b'{"id\xff\x00'
    assert outgoing.headers == [
        ("trace", b"\xff\x00"),
        ("trace", b"two"),
        ("empty", None),
        ("op_reason", b"not_json"),
        ("op_detail", "byte 4: ÿ".encode()),
        ("op_remedy", b"send JSON"),
        ("op_partition", b"orders.order.events.v1/3"),
        ("op_position", b"17"),
        ("op_arrival", b"2026-01-01T04:00:00.123Z"),
    ]


def test_what_a_dead_letter_says_behind_its_headers_is_documented() -> None:
    for letter, absent in (
        (DEAD_LETTER, frozenset[str]()),
        (msgspec.structs.replace(DEAD_LETTER, arrival=None), OPTIONAL_DEAD_LETTER_HEADERS),
    ):
        outgoing = message(letter, topics())
        assert outgoing is not None
        own = [name for name, _ in outgoing.headers[len(letter.headers) :]]
        assert own == [name for name in DEAD_LETTER_HEADERS if name not in absent]


def test_a_dead_letter_without_an_arrival_names_none() -> None:
    outgoing = message(msgspec.structs.replace(DEAD_LETTER, arrival=None), topics())
    assert outgoing is not None
    assert "op_arrival" not in dict(outgoing.headers)


def test_the_time_of_a_late_event_is_its_own() -> None:
    outgoing = message(LATE, topics())
    assert outgoing is not None
    assert dict(outgoing.headers)["ce_time"] == b"2026-01-01T04:00:00.123Z"
