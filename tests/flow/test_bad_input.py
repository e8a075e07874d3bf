"""Bad input through the real flow: a dead letter with its reason, place and bytes, or an error that says what to do.

The good events around it are all applied, and time does not follow the bad ones.
"""

import base64
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from config.settings import KafkaSettings, Settings
from dataflows.run import RunPlan, execute
from dataflows.summary import Summary
from events.records import AlertRecord, DeadLetterRecord, VersionRecord
from operators.heart.dead_letters import REMEDIES
from sinks.sink import SinkError
from sources.reader import SourceError
from tests.operators.timeline import SETTINGS, at, clock, event
from tests.sinks.samples import topics
from tests.support.flow import line
from tests.support.kafka_broker import KafkaBroker
from tests.support.ports import free_port

BEFORE = line(event("10:00 created A", 1))
AFTER = line(event("10:06 created B", 2))
NOON = at("12:00")


class Ran(NamedTuple):
    """What a run over one file gave."""

    summary: Summary
    letters: list[DeadLetterRecord]
    versions: list[VersionRecord]
    alerts: list[AlertRecord]


def run(directory: Path, *lines: bytes) -> Ran:
    (directory / "order-0.ndjson").write_bytes(b"".join(text + b"\n" for text in lines))
    output = directory / "out"
    summary = execute(RunPlan(SETTINGS, [directory / "order-0.ndjson"], output=output, serve=False))

    def read(name: str, kind: type[msgspec.Struct]) -> list[msgspec.Struct]:
        return [msgspec.json.decode(text, type=kind) for text in (output / name).read_bytes().splitlines()]

    return Ran(
        summary,
        read("dead_letters.ndjson", DeadLetterRecord),  # type: ignore[arg-type]
        read("versions.ndjson", VersionRecord),  # type: ignore[arg-type]
        read("alerts.ndjson", AlertRecord),  # type: ignore[arg-type]
    )


def record(**fields: object) -> bytes:
    """A record like a good event at noon, with other or further fields; None leaves one out."""
    usual = {"type": "order.created", "id": "x", "source": "oms", "time": NOON, "order_id": "X"}
    return msgspec.json.encode({name: value for name, value in {**usual, **fields}.items() if value is not None})


NEAR = at("10:03")  # a time that would be in order, were the rest of the record
BAD = {
    "broken JSON": (b'{"type":"order.created","id":"x"', "not_json"),
    "text": (b"this is not JSON at all, whatever else it may be", "not_json"),
    "two objects": (record(time=NEAR) * 2, "not_json"),
    "an array": (b"[" + record(time=NEAR) + b"]", "not_an_event"),
    "a number": (b"42", "not_an_event"),
    "null": (b"null", "not_an_event"),
    "a null byte": (record(time=NEAR).replace(b"order.created", b"order\x00created"), "not_json"),
    "nothing but null bytes": (b"\x00" * 64, "not_json"),
    "a null byte behind it": (record(time=NEAR) + b"\x00", "not_json"),
    "invalid UTF-8 in a name": (record(time=NEAR).replace(b'"X"', b'"\xff\xfe"'), "not_json"),
    "invalid UTF-8 in a detail": (record(time=NEAR, recipient="?").replace(b"?", b"\xc3\x28"), "invalid_field"),
    "half a surrogate in a name": (record(time=NEAR).replace(b'"X"', b'"\\ud800"'), "not_json"),
    "half a surrogate in a detail": (record(time=NEAR, recipient="?").replace(b"?", b"\\ud800"), "not_json"),
    "too deep for any reader": (
        record(time=NEAR)[:-1] + b',"more":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "not_json",
    ),
    "10 MB": (record(time=NEAR, recipient="r" * 10_000_000), "too_large"),
    "no id": (record(time=NEAR, id=None), "not_an_event"),
    "an empty id": (record(time=NEAR, id=""), "not_an_event"),
    "no source": (record(time=NEAR, source=None), "not_an_event"),
    "no time": (record(time=None), "not_an_event"),
    "no type": (record(time=NEAR, type=None), "not_an_event"),
    "a time as text": (record(time="2026-05-10T10:03:00Z"), "not_an_event"),
    "a time with a fraction": (record(time=NEAR + 0.5), "not_an_event"),
    "an id as number": (record(time=NEAR, id=7), "not_an_event"),
    "an order as number": (record(time=NEAR, order_id=7), "not_an_event"),
    "an order with an endless name": (record(time=NEAR, order_id="X" * 300), "not_an_event"),
    "a negative amount": (record(time=NEAR, amount=-1), "invalid_field"),
    "an amount as text": (record(time=NEAR, amount="12.50"), "invalid_field"),
    "an amount in yuan": (record(time=NEAR, amount=12.5), "invalid_field"),
    "an unknown currency": (record(time=NEAR, currency="XYZ"), "invalid_field"),
    "items that are none": (record(time=NEAR, items="shoes"), "invalid_field"),
    "a stage event without its stage": (record(time=NEAR, type="order.stage"), "invalid_field"),
    "a time in seconds": (record(time=NEAR // 1000), "time_in_seconds"),
    "a negative time": (record(time=-1), "time_out_of_range"),
    "the year 1999": (record(time=946_684_799_999), "time_out_of_range"),
    "the year 2099": (record(time=4_070_908_800_000), "time_out_of_range"),
    "the year 2049": (record(time=2_493_072_000_000), "future_time"),
    "microseconds": (record(time=NEAR * 1000), "time_out_of_range"),
    "an unknown type": (record(time=NEAR, type="order.teleported"), "unknown_type"),
    "an order event that names no order": (record(time=NEAR, order_id=None), "names_no_entity"),
    "behaviour of nobody": (record(time=NEAR, type="behaviour.chat", order_id=None), "names_no_entity"),
    "a review of nothing": (record(time=NEAR, type="review.released", order_id=None), "names_no_entity"),
    "an acknowledgement of nothing": (record(time=NEAR, type="alert.acknowledged", order_id=None), "names_no_entity"),
}


@pytest.mark.parametrize(("bad", "reason"), BAD.values(), ids=BAD)
def test_a_bad_record_is_a_dead_letter_and_the_others_are_applied(bad: bytes, reason: str, tmp_path: Path) -> None:
    ran = run(tmp_path, BEFORE, bad, AFTER)

    (letter,) = ran.letters
    assert (letter.reason, letter.remedy) == (reason, REMEDIES[reason])
    assert (letter.partition, letter.position, letter.topic) == ("order-0.ndjson", len(BEFORE) + 1, "files")
    assert base64.b64decode(letter.payload) == bad
    assert letter.detail
    assert [version.order_id for version in ran.versions] == ["A", "B"]
    assert [(clock(alert.time), alert.entity_id) for alert in ran.alerts] == [("10:05", "A")]
    assert ran.summary.watermark == at("10:06")
    assert ran.summary.late == 0


@pytest.mark.parametrize(
    "bad",
    [
        record(type="order.teleported"),
        record(order_id=None),
        record()[:-1],
    ],
    ids=["an unknown type", "no order", "broken"],
)
def test_time_does_not_follow_a_bad_record_that_speaks_of_later(bad: bytes, tmp_path: Path) -> None:
    ran = run(tmp_path, BEFORE, bad, AFTER)
    assert len(ran.letters) == 1
    assert (ran.summary.watermark, ran.summary.late) == (at("10:06"), 0)


def test_time_follows_a_sound_header_even_where_another_field_of_the_record_is_bad(tmp_path: Path) -> None:
    ran = run(tmp_path, BEFORE, record(amount=-1), AFTER)
    assert [letter.reason for letter in ran.letters] == ["invalid_field"]
    assert ran.summary.watermark > at("10:06")
    assert ran.summary.late == 1
    assert sorted(version.order_id for version in ran.versions) == ["A", "B"]


def test_all_kinds_of_bad_records_in_one_file_leave_the_good_ones_alone(tmp_path: Path) -> None:
    good = [line(event(f"10:{minute:02d} created O{minute}", minute)) for minute in range(len(BAD) + 1)]
    lines = [good[0]]
    for (bad, _), more in zip(BAD.values(), good[1:], strict=True):
        lines += [bad, more]
    ran = run(tmp_path, *lines)
    assert sorted(letter.reason for letter in ran.letters) == sorted(reason for _, reason in BAD.values())
    assert {base64.b64decode(letter.payload) for letter in ran.letters} == {bad for bad, _ in BAD.values()}
    content = (tmp_path / "order-0.ndjson").read_bytes()
    for letter in ran.letters:
        assert content[letter.position :].startswith(base64.b64decode(letter.payload) + b"\n")
    assert len(ran.versions) == len(good)
    assert ran.summary.watermark == at(f"10:{len(BAD)}")


def test_a_first_record_with_a_wrong_clock_does_not_make_the_others_late(tmp_path: Path) -> None:
    ran = run(tmp_path, record(time=4_070_908_800_000), BEFORE, AFTER)
    assert [letter.reason for letter in ran.letters] == ["time_out_of_range"]
    assert len(ran.versions) == 2


def test_blank_lines_a_byte_order_mark_and_a_missing_last_newline_are_no_records(tmp_path: Path) -> None:
    path = tmp_path / "order-0.ndjson"
    path.write_bytes(b"\xef\xbb\xbf" + BEFORE + b"\r\n\n  \n" + AFTER)
    summary = execute(RunPlan(SETTINGS, [path], output=tmp_path / "out", serve=False))
    assert (summary.events, summary.watermark) == (2, at("10:06"))
    assert (tmp_path / "out" / "dead_letters.ndjson").read_bytes() == b""


def test_an_empty_file_gives_empty_outputs(tmp_path: Path) -> None:
    ran = run(tmp_path)
    assert ran.summary.events == 0
    assert (ran.letters, ran.versions, ran.alerts) == ([], [], [])


def test_an_empty_file_beside_others_does_not_hold_time_back(tmp_path: Path) -> None:
    (tmp_path / "order-1.ndjson").write_bytes(b"")
    (tmp_path / "order-0.ndjson").write_bytes(BEFORE + b"\n" + AFTER + b"\n")
    summary = execute(RunPlan(SETTINGS, [tmp_path], output=tmp_path / "out", serve=False))
    assert summary.watermark == at("10:06")


def test_a_path_that_does_not_exist_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere: does not exist; check the path"):
        execute(RunPlan(SETTINGS, [tmp_path / "nowhere"], output=tmp_path / "out", serve=False))
    assert not (tmp_path / "out").exists()


def test_a_directory_without_event_files_says_which_files_are_expected(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "readme.txt").write_text("no events")
    with pytest.raises(SourceError, match=r"no event files in this directory; expected are files named .*\.ndjson"):
        execute(RunPlan(SETTINGS, [tmp_path / "in"], output=tmp_path / "out", serve=False))
    assert not (tmp_path / "out").exists()


def test_outputs_of_an_earlier_run_are_not_touched_unless_that_is_asked_for(tmp_path: Path) -> None:
    run(tmp_path, BEFORE, AFTER)
    earlier = (tmp_path / "out" / "alerts.ndjson").read_bytes()
    with pytest.raises(SinkError, match=r"already holds outputs .*alerts.ndjson.*; choose another directory"):
        run(tmp_path, BEFORE)
    assert (tmp_path / "out" / "alerts.ndjson").read_bytes() == earlier
    plan = RunPlan(SETTINGS, [tmp_path / "order-0.ndjson"], output=tmp_path / "out", serve=False, overwrite=True)
    assert execute(plan).events == 1
    assert (tmp_path / "out" / "alerts.ndjson").read_bytes() == b""


def test_a_damaged_packed_file_ends_the_run_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "order-0.ndjson.gz").write_bytes(b"\x1f\x8b\x08\x00 this was never packed")
    with pytest.raises(SourceError, match=r"order-0\.ndjson\.gz"):
        execute(RunPlan(SETTINGS, [tmp_path], output=tmp_path / "out", serve=False))


def with_kafka(**changes: object) -> Settings:
    kafka: KafkaSettings = msgspec.structs.replace(SETTINGS.kafka, **changes)
    return msgspec.structs.replace(SETTINGS, kafka=kafka)


def test_a_topic_that_does_not_exist_is_named_with_the_remedy(kafka: KafkaBroker, tmp_path: Path) -> None:
    settings = with_kafka(bootstrap=kafka.bootstrap, topics=topics("nobody-made-these"))
    with pytest.raises(SourceError, match=r"nobody-made-these.*orderpulse topics create"):
        execute(RunPlan(settings, "kafka", output=tmp_path / "out", bounded=True, serve=False))


def test_an_output_topic_that_does_not_exist_is_named_with_the_remedy(kafka: KafkaBroker, tmp_path: Path) -> None:
    (tmp_path / "order-0.ndjson").write_bytes(BEFORE + b"\n")
    settings = with_kafka(bootstrap=kafka.bootstrap, topics=topics("nobody-made-these-either"))
    with pytest.raises(SinkError, match=r"nobody-made-these-either.*orderpulse topics create"):
        execute(RunPlan(settings, [tmp_path], output="kafka", serve=False))


def test_a_broker_that_nobody_runs_is_named(tmp_path: Path) -> None:
    settings = with_kafka(bootstrap=f"127.0.0.1:{free_port()}")
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:\d+"):
        execute(RunPlan(settings, "kafka", output=tmp_path / "out", bounded=True, serve=False))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("server", ["redis://:wrong@{place}", "redis://127.0.0.1:{nobody}/0", "http://{place}"])
def test_a_redis_that_cannot_be_used_is_named_without_its_password(
    server: str, redis_server: str, tmp_path: Path
) -> None:
    (tmp_path / "order-0.ndjson").write_bytes(BEFORE + b"\n")
    url = server.format(place=redis_server.removeprefix("redis://"), nobody=free_port())
    settings = msgspec.structs.replace(SETTINGS, redis=msgspec.structs.replace(SETTINGS.redis, url=url))
    with pytest.raises(SinkError, match=r"redis\.url") as raised:
        execute(RunPlan(settings, [tmp_path / "order-0.ndjson"], redis=True, serve=False))
    assert "wrong@" not in str(raised.value)
