"""`orderpulse dlq`: from results, and from topics."""

import json
from pathlib import Path
from typing import Self

import msgspec
import pytest

from console.dlq import hex_dump
from console.letters import Wanted, letters_on
from events.batch import RawBatch
from events.records import DeadLetterRecord
from sinks.encoding import message
from tests.console.conftest import orderpulse
from tests.sinks.samples import DEAD_LETTER, kafka_settings, topics


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """A run's directory with two dead letters: bytes that are no text, and a text."""
    text = msgspec.structs.replace(
        DEAD_LETTER, id="f.ndjson@3", topic="files", partition="f.ndjson", position=3, reason="not_an_event",
        arrival=None, payload="W10=", headers=(),
    )  # fmt: skip
    (tmp_path / "dead_letters.ndjson").write_bytes(msgspec.json.Encoder().encode_lines([DEAD_LETTER, text]))
    return tmp_path


def test_dead_letters_are_counted_by_reason(results: Path) -> None:
    listed = orderpulse("dlq", "list", "--input", results, "--json").value

    records = [json.loads(line) for line in (results / "dead_letters.ndjson").read_bytes().splitlines()]
    assert listed["count"] == len(records)
    assert sum(listed["by_reason"].values()) == len(records)
    assert listed["letters"][0]["id"] == records[0]["id"]


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (("--reason", "not_json"), [DEAD_LETTER.id]),
        (("--source", "files"), ["f.ndjson@3"]),
        (("--source", DEAD_LETTER.partition), [DEAD_LETTER.id]),
        (("--since", "2026-01-01T00:00:00Z"), [DEAD_LETTER.id]),
        (("--until", "2026-01-01T00:00:00Z"), []),
        (("--limit", "1"), [DEAD_LETTER.id]),
    ],
)
def test_letters_are_chosen_by_reason_source_and_time(
    letters: Path, arguments: tuple[str, ...], ids: list[str]
) -> None:
    listed = orderpulse("dlq", "list", "--input", letters, *arguments, "--json").value

    assert [letter["id"] for letter in listed["letters"]] == ids


def test_letters_without_an_arrival_are_not_left_out_silently(letters: Path) -> None:
    outcome = orderpulse("dlq", "list", "--input", letters, "--since", "2026-01-01T00:00:00Z")

    assert "1 dead letter without an arrival left out" in outcome.complained


def test_bytes_that_are_no_text_are_shown_in_hexadecimal(letters: Path) -> None:
    shown = orderpulse("dlq", "show", DEAD_LETTER.id, "--input", letters)

    assert "not_json: byte 4: ÿ" in shown.said
    assert "send JSON" in shown.said
    assert "orders.order.events.v1/3 at 17" in shown.said
    assert "00000000  7b 22 69 64 ff 00" in shown.said
    assert "trace: two" in shown.said


def test_a_text_is_shown_as_it_came(letters: Path) -> None:
    assert orderpulse("dlq", "show", "f.ndjson@3", "--input", letters).said.endswith("2 bytes:\n[]\n")
    assert orderpulse("dlq", "show", "f.ndjson@3", "--input", letters, "--json").value["text"] == "[]"


def test_a_letter_that_is_not_there_is_an_error(letters: Path) -> None:
    outcome = orderpulse("dlq", "show", "nobody@1", "--input", letters)

    assert outcome.code == 1
    assert "orderpulse dlq list" in outcome.complained


def test_a_hex_dump_has_sixteen_bytes_a_line() -> None:
    first, second = hex_dump(bytes(range(60, 80))).splitlines()

    assert first == "00000000  3c 3d 3e 3f 40 41 42 43 44 45 46 47 48 49 4a 4b  <=>?@ABCDEFGHIJK"
    assert second.startswith("00000010  4c 4d 4e 4f ")


def test_a_letter_read_from_its_topic_is_the_one_from_the_file(monkeypatch: pytest.MonkeyPatch, letters: Path) -> None:
    names = topics()
    sent = message(DEAD_LETTER, names)
    assert sent is not None
    headers = tuple((name, value if value is None or isinstance(value, bytes) else value.encode()) for name, value in sent.headers)  # fmt: skip  # noqa: E501
    batch = RawBatch(f"{sent.topic}/0", sent.topic, [sent.value], [4], headers={0: headers})

    class Topic:
        finished = False

        def __init__(self, *_: object, **__: object) -> None: ...

        def open(self) -> Self:
            return self

        def read(self, prefer: str | None) -> list[RawBatch]:
            self.finished = True
            return [batch]

        def close(self) -> None: ...

    monkeypatch.setattr("sources.kafka.KafkaInput", Topic)
    (from_topic,) = letters_on(kafka_settings("nowhere:1", names), [sent.topic])

    shown = orderpulse("dlq", "show", DEAD_LETTER.id, "--input", letters, "--json").value
    assert isinstance(DEAD_LETTER, DeadLetterRecord)
    for name in ("id", "topic", "partition", "position", "reason", "detail", "remedy", "arrival"):
        assert getattr(from_topic, name) == shown[name]
    assert from_topic.headers == (("trace", b"\xff\x00"), ("trace", b"two"), ("empty", None))
    assert Wanted(source="orders.order.events.v1").takes(from_topic)
