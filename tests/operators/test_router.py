"""The router: who an event is for, and what becomes of records that cannot be used."""

from collections import Counter
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.batch import RawBatch
from events.model import UNREADABLE, AnyEvent
from operators.heart.component import Environment
from operators.heart.router import Routed, Router, key_group
from operators.topology import topology
from tests.operators.timeline import SETTINGS, event, settings
from tests.oracle.generate import Log, logs
from tests.support.flow import batch, line

GROUPS = 8


def router(**changes: object) -> Router:
    rules = settings(**changes) if changes else SETTINGS
    return Router(rules.time, GROUPS, topology(Environment(rules, GROUPS)).routes)


def raw(*lines: str | bytes, **more: object) -> RawBatch:
    encoded = [text if isinstance(text, bytes) else line(event(text, n)) for n, text in enumerate(lines)]
    return RawBatch("log/0", "log", encoded, range(len(encoded)), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "stage", "key"),
    [
        ("10:00 created", "orders", "A"),
        ("10:00 queued A/P", "orders", "A"),
        ("10:00 chat text=hello", "signals", "A"),
        ("10:00 chat A customer=C text=hello", "signals", "A"),
        ("10:00 chat - customer=C text=hello", "entities", "customer:C"),
        ("10:00 released", "alerts", "order:A"),
        ("10:00 acknowledged card:K rule=card_burst opened=10:00", "alerts", "card:K"),
    ],
)
def test_an_event_goes_to_the_key_group_of_whom_it_is_about(text: str, stage: str, key: str) -> None:
    routed = router().route(raw(text))
    assert {name: list(groups) for name, groups in routed.chunks.items()} == {stage: [key_group(key, GROUPS)]}
    assert routed.dead == []


def test_key_groups_are_the_same_in_every_process() -> None:
    assert [key_group(key, 64) for key in ("A", "order:A", "订单-1", "")] == [11, 5, 44, 0]


def test_keys_spread_over_all_groups() -> None:
    counts = Counter(key_group(f"O-{number}", 64) for number in range(64_000))
    assert len(counts) == 64
    assert max(counts.values()) < 1_200


def test_every_record_of_a_batch_goes_somewhere_once_and_keeps_its_position() -> None:
    texts = [f"10:00 created O{n}" for n in range(50)]
    routed = router().route(raw(*texts, b"{", b"[]"))
    placed = [position for chunk in routed.chunks["orders"].values() for position in chunk.positions]
    assert sorted([*placed, *(letter.position for letter in routed.dead)]) == list(range(52))
    assert routed.events == 52


def test_late_events_carry_the_time_at_which_they_are_applied() -> None:
    routed = router().route(raw("10:00 created", "9:00 paid"))
    (chunk,) = routed.chunks["orders"].values()
    assert chunk.late == {1: event("9:59:50 paid").time}
    assert routed.late == 1


def test_arrivals_count_unless_the_topic_was_filled_after_the_fact() -> None:
    late = raw("10:00 created", arrivals=[event("10:30 paid").time])
    assert router().route(late).late == 1
    assert router(time={"arrival": "ignore"}).route(late).late == 0


def test_a_dead_letter_keeps_arrival_and_headers() -> None:
    batch = raw("10:00 created", b"{", arrivals=[event("10:00 paid").time] * 2, headers={1: (("trace", b"\xff"),)})
    (letter,) = router().route(batch).dead
    assert (letter.id, letter.arrival, letter.headers) == ("log/0@1", event("10:00 paid").time, (("trace", "/w=="),))


def test_time_waits_for_partitions_that_have_not_spoken() -> None:
    made = router()
    made.expect(["log/0", "log/1"])
    made.route(raw("10:00 created"))
    assert made.watermark < 0
    assert made.slowest() == "log/1"


def test_events_that_nobody_wants_are_left_out_and_are_no_dead_letters() -> None:
    routed = router(resonance={"enabled": False}).route(raw("10:00 chat text=hello"))
    assert (routed.chunks, routed.dead, routed.events) == ({}, [], 1)


def test_a_record_of_exactly_the_largest_size_is_taken() -> None:
    def padded(size: int) -> bytes:
        text = line(event("10:00 created recipient=x"))
        return text.replace(b'"x"', b'"' + b"x" * (size - len(text) + 1) + b'"')

    assert router().route(raw(padded(1 << 20))).dead == []
    assert [letter.reason for letter in router().route(raw(padded((1 << 20) + 1))).dead] == ["too_large"]


Placed = tuple[str, int, str, int | None]  # stage, key group, the event, and when it is applied if it is late
ODD = (
    b'{"type":"job.heartbeat","id":"1","source":"s","time":1780239600000,"job":"J","order_id":5}',
    b'{"type":"order.stage","id":"2","source":"s","time":1780239600000,"order_id":"O","stage":"paid","customer_id":5}',
    b'{"type":"order.stage","id":"3","source":"s","time":1780239600000,"order_id":"O","stage":5}',
    b'{"type":"order.nothing","id":"4","source":"s","time":1780239600000,"order_id":"O"}',
    b'{"type":"order.stage","id":"5","source":"s","time":1780239600000,"stage":"paid"}',
    b'{"type":"order.stage","id":"6","source":"s","time":-1,"order_id":"O","stage":"paid"}',
    b'{"type":"rule.published","id":"7","source":"s","time":1780239600000,"rule":"none"}',
    b"{}",
    b"5\n6",
    b"",
)


@given(logs(SETTINGS), st.lists(st.tuples(st.integers(0, 20), st.sampled_from(ODD))), st.integers(1, 9))
def test_whether_key_groups_get_lines_or_events_makes_no_difference(
    drawn: dict[str, Log], odd: list[tuple[int, bytes]], size: int
) -> None:
    plan = topology(Environment(SETTINGS, GROUPS))
    lines, events = (
        Router(SETTINGS.time, GROUPS, plan.routes, None, plan.rulebook, whole=whole) for whole in (False, True)
    )
    for name, log in drawn.items():
        records = list(log)
        for place, record in odd:
            records.insert(place, (record, log[0][1] if log else None))
        for start in range(0, len(records), size):
            one, other = (router.route(batch(name, records[start : start + size], start)) for router in (lines, events))
            assert Counter(placed(one)) == Counter(placed(other))
            assert dead(one) == dead(other)
            assert (one.events, one.late, one.forced, one.rules) == (
                other.events, other.late, other.forced, other.rules,
            )  # fmt: skip
            assert lines.snapshot() == events.snapshot()


def placed(routed: Routed) -> Iterator[Placed]:
    """Each event that a key group gets; of a line what a key group makes of it."""
    for stage, groups in routed.chunks.items():
        for group, chunk in groups.items():
            records = list(map(str, chunk.events)) or [decoded(text) for text in chunk.lines]
            for index, record in enumerate(records):
                yield stage, group, record, (chunk.late or {}).get(index)


def decoded(text: bytes) -> str:
    """The event of a line, or why there is none."""
    try:
        return str(msgspec.json.decode(text, type=AnyEvent))
    except UNREADABLE as error:
        return str(error)


def dead(routed: Routed) -> list[tuple[int, str]]:
    return sorted((letter.position, letter.reason) for letter in routed.dead)
