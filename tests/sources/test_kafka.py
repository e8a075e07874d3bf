import time
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from config.settings import KafkaSettings, TopicSettings
from sources.kafka import KafkaInput
from sources.kafka_reader import KafkaReader
from sources.reader import Input, Reader, SourceError
from tests.sources.support import Delivered, drain, event_line, read_until
from tests.support.kafka_broker import KafkaBroker

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka")]

ZERO = 1_769_846_400_000  # 2026-01-31T08:00:00Z
NUMBERS = count()

Headers = list[tuple[str, str | bytes | None]]
Send = Callable[..., None]
Open = Callable[..., KafkaReader]


def wall_time() -> int:
    return time.time_ns() // 1_000_000


def settings_for(bootstrap: str, **options: str) -> KafkaSettings:
    names = ("orders", "behaviour", "actions", "rules", "alerts", "diffs", "versions", "holds", "late", "dlq_suffix")
    topics = TopicSettings(**{name: f"unused.{name}" for name in names})
    return KafkaSettings(bootstrap, f"group-{next(NUMBERS)}", "earliest", 1_000, 2, 1, topics, options)


@pytest.fixture
def topic(kafka: KafkaBroker) -> str:
    name = f"reader-{next(NUMBERS)}"
    kafka.create_topic(name, partitions=2)
    return name


@pytest.fixture
def send(kafka: KafkaBroker, topic: str) -> Iterator[Send]:
    """Puts values onto a partition; the record of value i arrives i milliseconds after ZERO."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap})

    def produce(partition: int, *values: bytes | None, headers: Headers | None = None) -> None:
        for index, value in enumerate(values):
            producer.produce(topic, value, partition=partition, timestamp=ZERO + index, headers=headers)
        assert producer.flush(20) == 0

    yield produce
    producer.flush(5)


@pytest.fixture
def open_reader(kafka: KafkaBroker, topic: str) -> Iterator[Open]:
    readers = []
    settings = settings_for(kafka.bootstrap)

    def open_one(
        start: str = "earliest", *, bounded: bool = False, positions: Mapping[str, int | None] | None = None
    ) -> KafkaReader:
        reader = KafkaInput(settings, [topic], start=start, bounded=bounded).open(positions)
        readers.append(reader)
        return reader

    yield open_one
    for reader in readers:
        reader.close()


def lines(first: int, end: int) -> list[bytes]:
    return [event_line(number) for number in range(first, end)]


def confirmations(delivered: Delivered) -> dict[str, int]:
    return {batch.partition: batch.end_confirmed_at for batch in delivered.batches if batch.end_confirmed_at}


def confirmed_since(moment: int, partition: str) -> Callable[[Delivered], bool]:
    return lambda delivered: confirmations(delivered).get(partition, 0) >= moment


def test_a_bounded_read_delivers_every_record_up_to_the_ends_of_its_start(
    topic: str, send: Send, open_reader: Open
) -> None:
    send(0, *lines(0, 3_000))
    send(1, *lines(3_000, 3_010))
    reader: Reader = open_reader(bounded=True)
    send(0, b"later")
    delivered = drain(reader)
    assert delivered.of(f"{topic}/0").lines == lines(0, 3_000)
    assert delivered.of(f"{topic}/1").lines == lines(3_000, 3_010)
    assert delivered.of(f"{topic}/0").positions == list(range(3_000))
    assert delivered.of(f"{topic}/0").arrivals == [ZERO + index for index in range(3_000)]
    assert delivered.largest_batch <= 1_000
    assert reader.positions() == {f"{topic}/0": 3_000, f"{topic}/1": 10}
    assert [batch.finished for batch in delivered.of(f"{topic}/0").batches][-1:] == [True]


def test_an_empty_partition_of_a_bounded_read_is_finished_at_once(topic: str, open_reader: Open) -> None:
    delivered = drain(open_reader(bounded=True))
    assert sorted((batch.partition, batch.lines, batch.finished) for batch in delivered.batches) == [
        (f"{topic}/0", [], True),
        (f"{topic}/1", [], True),
    ]


def test_a_bounded_read_ends_behind_the_mark_of_a_transaction(
    kafka: KafkaBroker, topic: str, open_reader: Open
) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": f"writer-{next(NUMBERS)}"})
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(topic, b"paid", partition=0)
    producer.commit_transaction()
    assert drain(open_reader(bounded=True)).lines == [b"paid"]


def test_headers_and_tombstones_keep_records_and_positions_together(send: Send, open_reader: Open) -> None:
    send(0, b"a", None, b"b")
    send(0, b"c", headers=[("ce_type", b"x"), ("empty", None)])
    reader = open_reader(bounded=True)
    delivered = drain(reader)
    assert delivered.lines == [b"a", b"b", b"c"]
    assert delivered.positions == [0, 2, 3]
    assert reader.tombstones == 1
    headers = {
        batch.positions[index]: each for batch in delivered.batches for index, each in (batch.headers or {}).items()
    }
    assert headers == {3: (("ce_type", b"x"), ("empty", None))}


def test_members_share_the_partitions_without_waiting_for_each_other(topic: str, send: Send, open_reader: Open) -> None:
    send(0, b"a")
    send(1, b"b")
    first, second = (open_reader(bounded=True, positions={f"{topic}/{number}": None}) for number in (0, 1))
    assert (first.partitions, second.partitions) == ((f"{topic}/0",), (f"{topic}/1",))
    assert (drain(first).lines, drain(second).lines) == ([b"a"], [b"b"])


def test_latest_begins_behind_the_records_that_are_there(send: Send, open_reader: Open) -> None:
    send(0, b"old")
    reader = open_reader("latest")
    send(0, b"new")
    assert read_until(reader, lambda delivered: bool(delivered.lines)).lines == [b"new"]


def test_a_moment_begins_at_the_first_record_that_arrived_then(send: Send, open_reader: Open) -> None:
    send(0, *lines(0, 10))
    reader = open_reader("2026-01-31T16:00:00.007+08:00", bounded=True)
    assert drain(reader).lines == lines(7, 10)


def test_named_offsets_begin_there_and_partitions_not_named_at_their_first_record(
    topic: str, send: Send, open_reader: Open
) -> None:
    send(0, *lines(0, 10))
    send(1, *lines(10, 12))
    delivered = drain(open_reader(f"{topic}/0:8", bounded=True))
    assert delivered.of(f"{topic}/0").lines == lines(8, 10)
    assert delivered.of(f"{topic}/1").lines == lines(10, 12)


def test_committed_goes_on_where_the_group_stood_and_else_at_the_first_record(
    topic: str, send: Send, open_reader: Open
) -> None:
    send(0, *lines(0, 10))
    send(1, *lines(10, 12))
    first = open_reader()
    read_until(first, lambda delivered: len(delivered.lines) == 12)
    first.commit({f"{topic}/0": 9})
    stored = first._consumer.committed  # the commit arrives in the background, when the broker comes to it
    read_until(first, lambda _: stored([TopicPartition(topic, 0)], timeout=10)[0].offset == 9)
    delivered = drain(open_reader("committed", bounded=True))
    assert delivered.of(f"{topic}/0").lines == lines(9, 10)
    assert delivered.of(f"{topic}/1").lines == lines(10, 12)


def test_a_position_behind_the_end_of_the_log_is_refused(topic: str, open_reader: Open) -> None:
    with pytest.raises(SourceError, match=rf"{topic}/0: .*offset 5.*the log ends at 0"):
        open_reader(f"{topic}/0:5")


def test_a_reader_goes_on_at_its_positions_and_where_it_has_none_as_the_settings_say(
    topic: str, send: Send, open_reader: Open
) -> None:
    send(0, *lines(0, 10))
    send(1, *lines(10, 20))
    positions = {f"{topic}/0": 7, f"{topic}/1": None}
    delivered = drain(open_reader(f"{topic}/1:8", bounded=True, positions=positions))
    assert delivered.of(f"{topic}/0").lines == lines(7, 10)
    assert delivered.of(f"{topic}/1").lines == lines(18, 20)


@pytest.mark.parametrize(
    ("position", "message"), [(2, "the log now begins at 5: 3 records"), (11, "the log ends at 10")]
)
def test_a_position_that_the_log_does_not_hold_is_refused(
    kafka: KafkaBroker, topic: str, send: Send, open_reader: Open, position: int, message: str
) -> None:
    send(0, *lines(0, 10))
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.delete_records([TopicPartition(topic, 0, 5)])[TopicPartition(topic, 0)].result(10)
    with pytest.raises(SourceError, match=rf"{topic}/0: .*{message}.*; a new recovery store begins anew"):
        open_reader(positions={f"{topic}/0": position})


def test_a_position_of_a_partition_that_is_not_there_is_refused(open_reader: Open) -> None:
    with pytest.raises(SourceError, match=r"other/0: .*not part of the input"):
        open_reader(positions={"other/0": 5})


def test_an_input_knows_all_partitions_sorted_as_texts(kafka: KafkaBroker, topic: str) -> None:
    kafka.create_topic(wide := f"a-wide-{topic}", partitions=11)
    names: Input = KafkaInput(settings_for(kafka.bootstrap), [topic, wide], start="earliest")
    assert names.partitions == tuple(
        sorted([f"{topic}/0", f"{topic}/1", *(f"{wide}/{number}" for number in range(11))])
    )
    names.close()


def test_a_process_without_a_partition_reads_nothing(open_reader: Open) -> None:
    reader = open_reader(positions={})
    assert (reader.read(None), reader.positions(), dict(reader.unreachable()), reader.waiting) == ([], {}, {}, None)
    assert open_reader(bounded=True, positions={}).finished


def test_offsets_of_a_partition_that_is_not_read_are_refused(open_reader: Open) -> None:
    with pytest.raises(SourceError, match="names other/0"):
        open_reader("other/0:5")


def test_the_end_of_a_silent_partition_is_confirmed_again_and_again(send: Send, open_reader: Open) -> None:
    send(0, b"a")
    reader = open_reader()
    opened = wall_time()
    times = [batch.end_confirmed_at for batch in read_for(reader, 2.0).batches if batch.end_confirmed_at]
    assert len(times) >= 6  # two partitions, a few times a second
    assert all(opened <= moment <= wall_time() for moment in times)
    assert max(times) - min(times) > 500


def test_what_was_there_before_a_confirmed_end_was_delivered_before(topic: str, send: Send, open_reader: Open) -> None:
    reader = open_reader()
    for round_number in range(5):
        send(0, event_line(round_number))
        delivered = read_until(reader, confirmed_since(wall_time(), f"{topic}/0"))
        assert delivered.lines == [event_line(round_number)]


def test_records_of_an_open_transaction_keep_the_end_from_being_confirmed(
    kafka: KafkaBroker, topic: str, open_reader: Open
) -> None:
    reader = open_reader()
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": f"writer-{next(NUMBERS)}"})
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(topic, b"paid", partition=0)
    producer.flush()
    written = wall_time()
    late = {batch.partition for batch in read_for(reader, 1.5).batches if batch.end_confirmed_at > written}
    assert late == {f"{topic}/1"}
    producer.commit_transaction()
    after = read_until(reader, lambda seen: f"{topic}/0" in confirmations(seen))
    assert after.lines == [b"paid"]


def test_a_held_partition_rests_and_then_goes_on_without_loss(topic: str, send: Send, open_reader: Open) -> None:
    reader = open_reader()
    reader.hold([f"{topic}/0"])
    send(0, *lines(0, 2_500))
    send(1, b"b")
    resting = read_for(reader, 1.0)
    assert resting.lines == [b"b"]
    assert f"{topic}/1" in confirmations(resting)
    assert reader.lag()[f"{topic}/0"] == 2_500
    reader.hold([])
    assert read_until(reader, lambda seen: len(seen.lines) >= 2_500).lines == lines(0, 2_500)


def test_lag_is_what_has_not_been_read(topic: str, send: Send, open_reader: Open) -> None:
    send(0, *lines(0, 10))
    reader = open_reader()
    assert reader.lag() == {f"{topic}/0": 10, f"{topic}/1": 0}
    read_until(reader, lambda delivered: len(delivered.lines) == 10)
    assert reader.lag() == {f"{topic}/0": 0, f"{topic}/1": 0}


def test_a_topic_that_does_not_exist_is_named_with_the_remedy(kafka: KafkaBroker) -> None:
    with pytest.raises(
        SourceError, match=r"the topic no-such-topic does not exist.*make it with `orderpulse topics create`"
    ):
        KafkaInput(settings_for(kafka.bootstrap), ["no-such-topic"], start="earliest")


def test_a_secret_that_is_not_set_is_named(kafka: KafkaBroker, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BROKER_PASSWORD", raising=False)
    settings = settings_for(kafka.bootstrap, **{"sasl.password": "${BROKER_PASSWORD}"})
    with pytest.raises(SourceError, match=r"BROKER_PASSWORD is not set"):
        KafkaInput(settings, [topic], start="earliest")


@pytest.mark.slow
def test_an_unreachable_broker_confirms_nothing_is_reported_and_is_read_again(tmp_path: Path) -> None:
    with KafkaBroker.start(tmp_path) as broker:
        broker.create_topic("orders")
        reader = KafkaInput(settings_for(broker.bootstrap), ["orders"], start="earliest").open()
        read_until(reader, lambda seen: bool(confirmations(seen)))
        broker.pause()
        paused_at = wall_time()
        silent = read_until(reader, lambda _: reader.waiting is not None)
        assert max(confirmations(silent).values(), default=0) <= paused_at
        assert paused_at - 1_000 <= reader.unreachable()["orders/0"].since_ms <= wall_time()
        assert broker.bootstrap in str(reader.waiting)
        broker.resume()
        read_until(reader, confirmed_since(paused_at + 1, "orders/0"))
        assert (dict(reader.unreachable()), reader.waiting) == ({}, None)
        reader.close()


def read_for(reader: KafkaReader, seconds: float) -> Delivered:
    deadline = time.monotonic() + seconds
    return read_until(reader, lambda _: time.monotonic() > deadline)


def test_a_read_that_comes_in_portions_is_one_batch_of_each_partition_with_all_that_its_records_carry(
    topic: str, send: Send, open_reader: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sources.kafka_reader.PORTION", 7)
    send(0, *lines(0, 50), None)
    send(0, b"marked", headers=[("ce_type", b"x")])
    send(1, *lines(50, 80))
    delivered = drain(open_reader(bounded=True))
    first = delivered.of(f"{topic}/0")
    assert first.lines == [*lines(0, 50), b"marked"]
    assert first.positions == [*range(50), 51]
    assert first.arrivals == [*range(ZERO, ZERO + 50), ZERO]
    assert {first.positions[at]: each for batch in first.batches for at, each in (batch.headers or {}).items()} == {
        51: (("ce_type", b"x"),)
    }
    assert delivered.of(f"{topic}/1").lines == lines(50, 80)
    assert delivered.largest_batch > 7
