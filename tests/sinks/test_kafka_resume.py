"""After a restart the flow writes again what it wrote after its snapshot; the topics hold it once."""

import uuid
from collections.abc import Iterator

import msgspec
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from events.records import AlertRecord, HoldRecord, Record
from sinks.kafka import KafkaSink
from tests.sinks.samples import ALERT, DEAD_LETTER, DIFF, HOLD, LATE, NOON, VERSION, alert, kafka_settings, topics
from tests.sinks.test_kafka import create, read, send, until
from tests.support.kafka_broker import KafkaBroker

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka")]

DAY = 86_400_000


class Place:
    """The topics of one test, and the sinks of one process after another."""

    def __init__(self, broker: KafkaBroker, partitions: int) -> None:
        self.broker = broker
        self.topics = topics(f"t{uuid.uuid4().hex[:8]}")
        self.partitions = partitions
        self._sinks: list[KafkaSink] = []
        create(broker, self.topics, partitions)

    def sink(self, positions: dict[str, int] | None = None) -> KafkaSink:
        """A process that has just started, from these positions."""
        sink = KafkaSink(kafka_settings(self.broker.bootstrap, self.topics))
        self._sinks.append(sink)
        if positions is not None:
            sink.resume(positions)
        return sink

    def ids(self, topic: str) -> list[str]:
        """The ids in a topic, partition by partition."""
        return [
            msgspec.json.decode(message.value() or b"")["id"]
            for partition in range(self.partitions)
            for message in read(self.broker, topic, partition)
        ]

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()


@pytest.fixture
def place(kafka: KafkaBroker) -> Iterator[Place]:
    opened = Place(kafka, 1)
    yield opened
    opened.close()


@pytest.fixture
def wide(kafka: KafkaBroker) -> Iterator[Place]:
    opened = Place(kafka, 3)
    yield opened
    opened.close()


def alerts(*numbers: int) -> list[Record]:
    return [alert(id=f"a{number}", entity_id=f"c{number}") for number in numbers]


def write(sink: KafkaSink, *records: Record) -> None:
    sink.write(records)
    sink.flush()


def hold(version: int, order: str = "O-1") -> HoldRecord:
    return msgspec.structs.replace(HOLD, id=f"hold/{order}/{version}", order_id=order, version=version)


def test_what_was_written_after_the_snapshot_stands_there_once(wide: Place) -> None:
    former = wide.sink()
    write(former, *alerts(*range(50)))
    positions = former.positions()
    write(former, *alerts(*range(50, 90)))
    sink = wide.sink(positions)
    write(sink, *alerts(*range(50, 120)))
    assert sorted(wide.ids(wide.topics.alerts)) == sorted(f"a{number}" for number in range(120))


def test_every_kind_of_record_is_recognized(place: Place) -> None:
    dead = msgspec.structs.replace(DEAD_LETTER, topic=place.topics.orders)
    kinds = (ALERT, HOLD, VERSION, DIFF, LATE, dead)
    write(place.sink(), *kinds)
    write(place.sink({}), *kinds)
    of = place.topics
    names = (of.alerts, of.holds, of.versions, of.diffs, of.late, f"{of.orders}.dlq")
    assert {name: len(read(place.broker, name)) for name in names} == dict.fromkeys(names, 1)


def test_a_dead_letter_is_known_by_where_it_stood_and_not_by_an_older_fate_of_its_bytes(place: Place) -> None:
    again = msgspec.structs.replace(
        DEAD_LETTER,
        id="other/0@4",
        topic=place.topics.orders,
        partition="other/0",
        position=4,
        headers=(("op_partition", "eA=="), ("op_position", "MQ==")),  # it was a dead letter before, x@1
    )
    write(place.sink(), again)
    write(place.sink({}), again, msgspec.structs.replace(again, id="other/0@5", position=5))
    assert len(read(place.broker, f"{place.topics.orders}.dlq")) == 2


def test_until_everything_has_come_again_a_snapshot_keeps_the_old_position(place: Place) -> None:
    former = place.sink()
    write(former, *alerts(0))
    old = former.positions()
    write(former, *alerts(1, 2))
    sink = place.sink(old)
    log = f"{place.topics.alerts}/0"
    write(sink, *alerts(1))
    assert sink.positions()[log] == old[log] == 1
    # A crash here: the next process has to find a2 once more.
    write(place.sink(sink.positions()), *alerts(2))
    assert place.ids(place.topics.alerts) == ["a0", "a1", "a2"]
    write(sink, *alerts(2))
    until(lambda: sink.positions()[log] == 3)


def test_no_snapshot_waits_for_the_broker_to_tell_a_position_but_the_first(place: Place) -> None:
    sink, log = place.sink(), f"{place.topics.alerts}/0"
    write(sink, *alerts(0))
    assert sink.positions()[log] == 1
    write(sink, *alerts(1))
    assert sink.positions()[log] == 1
    until(lambda: sink.positions()[log] == 2)


def test_what_other_processes_wrote_is_forgotten_when_time_has_passed_it(place: Place) -> None:
    write(place.sink(), *alerts(1, 2))
    sink = place.sink({})
    log = f"{place.topics.alerts}/0"
    sink.passed(NOON + 1)
    assert sink.positions()[log] == 0
    sink.passed(NOON + DAY)
    assert sink.positions()[log] == 2


def test_a_newer_hold_is_not_followed_by_the_older_ones_that_compaction_took_away(place: Place) -> None:
    write(place.sink(), hold(3))  # versions 1 and 2 are compacted already
    sink = place.sink({})
    write(sink, hold(1), hold(1, "O-2"), hold(2), hold(3), hold(4))
    assert place.ids(place.topics.holds) == ["hold/O-1/3", "hold/O-2/1", "hold/O-1/4"]
    assert sink.positions()[f"{place.topics.holds}/0"] == 3


def test_where_retention_deleted_the_position_reading_begins_with_what_is_left(place: Place) -> None:
    write(place.sink(), *alerts(*range(10)))
    admin = AdminClient({"bootstrap.servers": place.broker.bootstrap})
    admin.delete_records([TopicPartition(place.topics.alerts, 0, 6)])[TopicPartition(place.topics.alerts, 0, 6)].result(
        30
    )
    write(place.sink({f"{place.topics.alerts}/0": 2}), *alerts(*range(2, 12)))
    found = [f"a{number}" for number in (6, 7, 8, 9, 2, 3, 4, 5, 10, 11)]
    assert [id_of(value) for value in left(place)] == found


def left(place: Place) -> list[bytes]:
    """The values of a partition whose beginning was deleted."""
    consumer = Consumer({"bootstrap.servers": place.broker.bootstrap, "group.id": "t"})
    first, end = consumer.get_watermark_offsets(TopicPartition(place.topics.alerts, 0), timeout=60)
    consumer.assign([TopicPartition(place.topics.alerts, 0, first)])
    values = [message.value() or b"" for message in consumer.consume(end - first, 60)]
    consumer.close()
    return values


def id_of(value: bytes) -> str:
    return msgspec.json.decode(value, type=AlertRecord).id


def test_a_position_behind_the_end_belongs_to_another_log_and_all_is_read(place: Place) -> None:
    write(place.sink(), *alerts(0, 1))
    write(place.sink({f"{place.topics.alerts}/0": 900}), *alerts(0, 1, 2))
    assert place.ids(place.topics.alerts) == ["a0", "a1", "a2"]


def test_what_other_programs_wrote_into_a_topic_is_left_alone(place: Place) -> None:
    own_words = b"no json \xff"
    send(place.broker, place.topics.alerts, own_words)
    send(place.broker, f"{place.topics.orders}.dlq", own_words)
    sink = place.sink({})
    write(sink, ALERT)
    assert len(read(place.broker, place.topics.alerts)) == 2
    assert sink.positions()[f"{place.topics.alerts}/0"] == 2


def test_positions_are_not_asked_again_when_nothing_was_written(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = place.sink()
    write(sink, *alerts(1))
    before = sink.positions()
    monkeypatch.setattr(sink, "_logs", None)
    assert sink.positions() == before


def test_a_partition_without_a_position_is_read_from_its_beginning(wide: Place) -> None:
    write(wide.sink(), *alerts(*range(30)))
    positions = wide.sink().positions()
    del positions[f"{wide.topics.alerts}/1"]
    sink = wide.sink(positions)
    stood_in_1 = [id_of(message.value() or b"") for message in read(wide.broker, wide.topics.alerts, 1)]
    assert stood_in_1
    write(sink, *(alert(id=each, entity_id=f"c{each[1:]}") for each in stood_in_1))
    assert len(wide.ids(wide.topics.alerts)) == 30
