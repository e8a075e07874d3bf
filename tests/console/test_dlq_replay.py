"""`orderpulse dlq replay`: letters go back as they came, or mended, and each of them once."""

import base64
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from hypothesis import given
from hypothesis import strategies as st

from config.settings import TopicSettings
from console.letters import FIRST_ARRIVAL, REPLAYED_FROM, Letter, letters_in, split_headers
from console.repairs import line_to_edit, repaired
from console.resend import headers_of, is_a_line
from events.batch import Headers
from events.records import DeadLetterRecord
from operators.heart.dead_letters import dead_letter
from sinks.encoding import message
from sources.lines import LineLog
from tests.console.conftest import Outcome, orderpulse
from tests.sinks.samples import topics
from tests.support.kafka_broker import KafkaBroker

ARRIVAL = 1_772_413_200_000
GOOD = b'{"type":"order.created","id":"1","source":"tmall","time":1772413200000,"order_id":"A","amount":9900}'
BAD = b'{"type":"order.created","id":"1","source":"tmall","time":1772413200000,"order_id":"A","amount":"99.00"}'
HEADERS: Headers = (("trace", b"\xff\x00"), ("trace", b"two"), ("empty", None))

names = st.text(max_size=20) | st.sampled_from(["op_reason", "op_position", "op_arrival", REPLAYED_FROM])
header_lists = st.lists(st.tuples(names, st.none() | st.binary(max_size=20)), max_size=8).map(tuple)


def letter(
    payload: bytes = BAD, position: int = 17, partition: str = "orders.order.events.v1/3", headers: Headers = ()
) -> DeadLetterRecord:
    topic = partition.rpartition("/")[0] or "files"
    return dead_letter(topic, partition, position, payload, "invalid_field", "amount", ARRIVAL, headers)


def write_results(directory: Path, *letters: DeadLetterRecord) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "dead_letters.ndjson").write_bytes(msgspec.json.Encoder().encode_lines(letters))
    return directory


def replay(*arguments: object) -> Outcome:
    return orderpulse("dlq", "replay", *arguments, "--json")


# What a letter is made of


@given(st.binary(max_size=60), header_lists, st.integers(0, 2**53), st.none() | st.integers(0, 4_000_000_000_000))
def test_bytes_headers_position_and_arrival_survive_the_way_through_the_topic(
    payload: bytes, headers: Headers, position: int, arrival: int | None
) -> None:
    record = dead_letter("t", "t/1", position, payload, "not_json", "bäd", arrival, headers)
    sent = message(record, topics())
    assert sent is not None
    as_read = tuple((name, value.encode() if isinstance(value, str) else value) for name, value in sent.headers)

    original, said = split_headers(as_read)

    assert sent.value == payload
    assert original == headers
    assert said["op_position"] == str(position)
    assert ("op_arrival" in said) == (arrival is not None)


@given(st.binary(max_size=60), header_lists)
def test_a_letter_that_fails_again_and_again_still_has_what_it_first_came_with(
    payload: bytes, headers: Headers
) -> None:
    first = as_letter(dead_letter("t", "t/1", 5, payload, "not_json", "", ARRIVAL, headers))
    second = as_letter(dead_letter("t", "t/1", 90, payload, "not_json", "", ARRIVAL + 60_000, headers_of(first)))
    third = headers_of(second)

    before = [(value or b"").decode(errors="replace") for name, value in headers if name == REPLAYED_FROM]
    assert third[: len(headers)] == headers
    assert second.replayed_from == (*before, "t/1@5")
    if FIRST_ARRIVAL not in dict(headers):
        arrivals = [value for name, value in third if name == FIRST_ARRIVAL]
        assert arrivals == [b"2026-03-02T01:00:00.000Z"]


def as_letter(record: DeadLetterRecord) -> Letter:
    return Letter(
        record.id, record.topic, record.partition, record.position, record.reason, record.detail, record.remedy,
        record.arrival, base64.b64decode(record.payload),
        tuple((name, None if value is None else base64.b64decode(value)) for name, value in record.headers),
    )  # fmt: skip


# Mending


@given(st.sampled_from([GOOD, GOOD + b" ", b"\n" + GOOD, GOOD.replace(b"tmall", "天猫".encode())]))
def test_a_line_that_nobody_edits_gives_the_bytes_that_it_was_made_of(payload: bytes) -> None:
    with TemporaryDirectory() as directory:
        file = Path(directory) / "mend.ndjson"
        file.write_bytes(line_to_edit(as_letter(letter(payload))))
        assert repaired(file) == {"orders.order.events.v1/3@17": payload}


def test_letters_are_written_out_as_objects_texts_or_bytes(tmp_path: Path) -> None:
    run = write_results(
        tmp_path / "run", letter(BAD, 1), letter(b"{torn", 2), letter(b'{"a\xff"}', 3), letter(BAD + b"\n", 4)
    )

    outcome = replay("--input", run, "--edit", tmp_path / "mend.ndjson")

    lines = [json.loads(line) for line in (tmp_path / "mend.ndjson").read_bytes().splitlines()]
    assert outcome.value["edited"] == 4
    assert lines[0]["event"]["amount"] == "99.00"
    assert (lines[0]["reason"], lines[0]["detail"]) == ("invalid_field", "amount")
    assert lines[1]["text"] == "{torn"
    assert base64.b64decode(lines[2]["payload"]) == b'{"a\xff"}'
    assert lines[3]["text"] == BAD.decode() + "\n"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('{"id":"x"}', 'exactly one of "event", "text" and "payload"'),
        ('{"id":"x","event":{},"text":""}', "exactly one"),
        ('{"id":"x","event":{"type":"order.created"}}', "line 1, x: still no event"),
        ('{"id":"x","payload":"%%%"}', "line 1: "),
        ("{torn", "line 1: "),
        (f'{{"id":"x","event":{GOOD.decode()}}}\n' * 2, "line 2: x stands here a second time"),
        (
            f'{{"id":"orders.order.events.v1/3@99","event":{GOOD.decode()}}}',
            "no dead letter orders.order.events.v1/3@99",
        ),
    ],
)
def test_what_is_wrong_with_a_mended_file_is_said_before_anything_is_replayed(
    tmp_path: Path, lines: str, says: str
) -> None:
    run, mended, out = write_results(tmp_path / "run", letter()), tmp_path / "mended.ndjson", tmp_path / "out.ndjson"
    mended.write_text(lines, encoding="utf-8")

    outcome = replay("--input", run, "--output", out, "--repaired", mended)

    assert outcome.code == 1
    assert says in outcome.complained
    assert not out.exists()


# Into files


def test_mended_letters_become_a_file_of_events(tmp_path: Path) -> None:
    run = write_results(tmp_path / "run", letter(BAD, 1, "order-0.ndjson"), letter(b"[]", 200, "order-0.ndjson"))
    mended, out = tmp_path / "mended.ndjson", tmp_path / "out.ndjson"
    mended.write_bytes(b'{"id":"order-0.ndjson@1","event":' + GOOD + b"}\n")

    outcome = replay("--input", run, "--output", out, "--repaired", mended)

    assert out.read_bytes() == GOOD + b"\n"
    assert (outcome.code, outcome.value["letters"], outcome.value["replayed"]) == (0, 1, 1)


@given(st.lists(st.binary(max_size=80), max_size=8))
def test_what_is_taken_as_a_line_comes_out_of_the_file_as_it_went_in(payloads: list[bytes]) -> None:
    kept = [payload for payload in payloads if is_a_line(payload)]
    with TemporaryDirectory() as directory:
        file = Path(directory) / "replayed.ndjson"
        file.write_bytes(b"".join(payload + b"\n" for payload in kept))
        log, read = LineLog(file), list[bytes]()
        while not log.finished:
            read += log.read(100)[0]
        log.close()
    assert read == kept


def test_what_cannot_be_a_line_is_left_and_said(tmp_path: Path) -> None:
    run = write_results(tmp_path / "run", letter(b"{\n}", 1), letter(b"", 2), letter(b"[]", 3))

    outcome = replay("--input", run, "--output", tmp_path / "out.ndjson")
    for_people = orderpulse("dlq", "replay", "--input", run, "--output", tmp_path / "other.ndjson")

    assert (tmp_path / "out.ndjson").read_bytes() == b"[]\n"
    assert (outcome.code, for_people.code) == (1, 1)
    assert outcome.value["refused"] == {"no_line": [f"orders.order.events.v1/3@{position}" for position in (1, 2)]}
    assert "hold a line break" in for_people.complained
    assert "1 record can still not be read" not in for_people.said


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    run, out = write_results(tmp_path / "run", letter()), tmp_path / "out.ndjson"
    out.touch()

    assert replay("--input", run, "--output", out).code == 2
    assert replay("--input", run, "--edit", out).code == 2


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    run = write_results(tmp_path / "run", letter(), letter(position=18))

    outcome = replay("--input", run, "--output", tmp_path / "out.ndjson", "--dry-run")
    edit = replay("--input", run, "--edit", tmp_path / "edit.ndjson", "--dry-run")

    assert (outcome.value["replayed"], outcome.value["dry_run"], edit.value["edited"]) == (2, True, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert [path.name for path in run.iterdir()] == ["dead_letters.ndjson"]


@pytest.mark.parametrize(
    ("arguments", "positions"),
    [
        (["orders.order.events.v1/3@2"], [2]),
        (["--reason", "not_json"], []),
        (["--source", "orders.order.events.v1/1"], [3]),
        (["--since", "2026-03-02T09:00:00+08:00"], [1, 2, 3]),
        (["--until", "2026-03-02T09:00:00+08:00"], []),
    ],
)
def test_letters_are_chosen_by_id_reason_source_and_time(
    tmp_path: Path, arguments: list[str], positions: list[int]
) -> None:
    run = write_results(
        tmp_path / "run", letter(b"[1]", 1), letter(b"[2]", 2), letter(b"[3]", 3, "orders.order.events.v1/1")
    )

    replay("--input", run, "--output", tmp_path / "out.ndjson", *arguments)

    assert (tmp_path / "out.ndjson").read_bytes() == b"".join(b"[%d]\n" % position for position in positions)


def test_edit_and_repaired_do_not_go_together(tmp_path: Path) -> None:
    assert replay("--input", tmp_path, "--edit", "a", "--repaired", "b").code == 2


# Into topics


class Topics:
    """Topics of one test, with what stands in them."""

    def __init__(self, broker: KafkaBroker, directory: Path) -> None:
        self.prefix = uuid.uuid4().hex[:8]
        self.names = topics(self.prefix)
        self.bootstrap = broker.bootstrap
        self.config = directory / "my.toml"
        fields = "\n".join(f'{name} = "{getattr(self.names, name)}"' for name in TopicSettings.__struct_fields__)
        self.config.write_text(
            f'[kafka]\nbootstrap = "{broker.bootstrap}"\n[kafka.topics]\n{fields}\n', encoding="utf-8"
        )
        self.partition = f"{self.names.orders}/2"
        assert orderpulse("topics", "create", "--config", self.config).code == 0

    def come(self, *records: tuple[bytes | None, bytes, Headers]) -> list[DeadLetterRecord]:
        """Records of partition 2 of the orders, each of which becomes a dead letter."""
        producer = Producer({"bootstrap.servers": self.bootstrap})
        letters = []
        for position, (key, value, headers) in enumerate(records):
            producer.produce(self.names.orders, value, key, 2, headers=list(headers))
            letters.append(letter(value, position, self.partition, headers))
        for each in letters:
            outgoing = message(each, self.names)
            assert outgoing is not None
            producer.produce(outgoing.topic, outgoing.value, outgoing.key, headers=outgoing.headers)
        producer.flush(20)
        return letters

    def fail_again(self) -> None:
        """The newest record of partition 2 becomes a dead letter, as the flow writes it."""
        *_, (offset, _, value, headers) = self.records()
        outgoing = message(letter(value, offset, self.partition, headers), self.names)
        assert outgoing is not None
        producer = Producer({"bootstrap.servers": self.bootstrap})
        producer.produce(outgoing.topic, outgoing.value, outgoing.key, headers=outgoing.headers)
        producer.flush(20)

    def records(self) -> list[tuple[int, bytes | None, bytes, Headers]]:
        """Offset, key, value and headers of what stands in partition 2 of the orders."""
        return list(self._read(TopicPartition(self.names.orders, 2, 0)))

    def _read(self, partition: TopicPartition) -> Iterator[tuple[int, bytes | None, bytes, Headers]]:
        options = {"bootstrap.servers": self.bootstrap, "group.id": "a test", "enable.auto.commit": False}
        consumer = Consumer(options)
        _, end = consumer.get_watermark_offsets(partition, timeout=20)
        consumer.assign([partition])
        offset = -1
        while offset + 1 < end:
            got: Any = consumer.poll(10)
            assert got is not None
            assert got.error() is None
            offset = got.offset()
            yield offset, got.key(), got.value(), tuple(got.headers() or ())
        consumer.close()


@pytest.fixture
def on_topics(kafka: KafkaBroker, tmp_path: Path) -> Topics:
    return Topics(kafka, tmp_path)


def test_letters_go_back_to_their_partition_with_key_bytes_and_headers(on_topics: Topics) -> None:
    on_topics.come((b"A\xff", b'{"id\xff\x00', HEADERS), (None, b"[]", ()), (b"B", b"", ()))

    outcome = replay("--config", on_topics.config)

    came, back = on_topics.records()[:3], on_topics.records()[3:]
    assert outcome.value["to"] == {on_topics.names.orders: 3}
    assert outcome.value["keys"] == {"kept": 3}
    assert [(key, value) for _, key, value, _ in back] == [(key, value) for _, key, value, _ in came]
    for (offset, _, _, headers), (_, _, _, now) in zip(came, back, strict=True):
        own = (
            (REPLAYED_FROM, f"{on_topics.partition}@{offset}".encode()),
            (FIRST_ARRIVAL, b"2026-03-02T01:00:00.000Z"),
        )
        assert now == (*headers, *own)


def test_a_letter_is_replayed_once(on_topics: Topics) -> None:
    on_topics.come((b"A", BAD, ()), (b"A", b"[]", ()))

    first = replay("--config", on_topics.config, "--dry-run")
    second = replay("--config", on_topics.config, f"{on_topics.partition}@0")
    third = replay("--config", on_topics.config)
    fourth = replay("--config", on_topics.config)
    again = replay("--config", on_topics.config, "--again")

    assert [each.value["replayed"] for each in (first, second, third, fourth, again)] == [2, 1, 1, 0, 2]
    assert [each.value["already_replayed"] for each in (first, second, third, fourth, again)] == [0, 0, 1, 2, 0]
    assert len(on_topics.records()) == 6


def test_a_mended_letter_goes_back_under_the_key_of_the_original(on_topics: Topics, tmp_path: Path) -> None:
    on_topics.come((b"the key", BAD, HEADERS), (b"other", b"[]", ()))
    mended = tmp_path / "mended.ndjson"
    replay("--config", on_topics.config, "--edit", mended, f"{on_topics.partition}@0")
    mended.write_bytes(mended.read_bytes().replace(b'"99.00"', b"9900"))

    outcome = replay("--config", on_topics.config, "--repaired", mended)

    *_, (_, key, value, headers) = on_topics.records()
    assert outcome.value["replayed"] == 1
    assert (key, value) == (b"the key", GOOD)
    assert headers[:3] == HEADERS


def test_a_letter_that_fails_again_says_what_it_was(on_topics: Topics) -> None:
    on_topics.come((b"A", b"[]", HEADERS))
    replay("--config", on_topics.config)
    on_topics.fail_again()

    listed = orderpulse("dlq", "list", "--config", on_topics.config, "--json").value
    outcome = replay("--config", on_topics.config)

    first, second = listed["letters"]
    assert first["replayed_to"] == f"{on_topics.partition}@1"
    assert (second["id"], second["replayed_from"]) == (f"{on_topics.partition}@1", [f"{on_topics.partition}@0"])
    assert (outcome.value["replayed"], outcome.value["already_replayed"], outcome.value["failed_before"]) == (1, 1, 1)
    *_, (_, _, _, headers) = on_topics.records()
    assert [value for name, value in headers if name == REPLAYED_FROM] == [
        f"{on_topics.partition}@{offset}".encode() for offset in (0, 1)
    ]


def test_a_letter_whose_record_is_gone_gets_the_key_of_its_order(on_topics: Topics) -> None:
    producer = Producer({"bootstrap.servers": on_topics.bootstrap})
    for value, position in ((GOOD, 70), (b"[]", 71)):
        outgoing = message(letter(value, position, on_topics.partition), on_topics.names)
        assert outgoing is not None
        producer.produce(outgoing.topic, outgoing.value, outgoing.key, headers=outgoing.headers)
    producer.flush(20)

    outcome = replay("--config", on_topics.config)

    assert outcome.value["keys"] == {"made": 1, "none": 1}
    assert [key for _, key, _, _ in on_topics.records()] == [b"A", None]


def test_letters_of_a_run_over_files_go_to_topics_by_the_type_of_their_event(on_topics: Topics, tmp_path: Path) -> None:
    run = write_results(tmp_path / "run", letter(GOOD, 1, "a.ndjson"), letter(b"[]", 2, "a.ndjson"))

    outcome = replay("--config", on_topics.config, "--input", run)
    again = replay("--config", on_topics.config, "--input", run)

    assert outcome.code == 1
    assert outcome.value["to"] == {on_topics.names.orders: 1}
    assert outcome.value["refused"] == {"no_topic": ["a.ndjson@2"]}
    assert (again.value["already_replayed"], again.value["replayed"]) == (1, 0)
    assert [each.id for each in letters_in(run)] == ["a.ndjson@1", "a.ndjson@2"]


def test_no_consumer_group_is_touched(on_topics: Topics, kafka: KafkaBroker) -> None:
    on_topics.come((b"A", BAD, ()))
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    before = {group.group_id for group in admin.list_consumer_groups().result().valid}

    replay("--config", on_topics.config)

    assert {group.group_id for group in admin.list_consumer_groups().result().valid} == before
