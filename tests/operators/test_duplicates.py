"""Duplicates: (source, id) of a key is remembered for one horizon at least and two at most."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.heart.duplicates import Duplicates, Ids
from tests.operators.timeline import play, told

HORIZON = 1_000
HASHED = [("oms", str(number)) for number in range(300)]
EVENTS = st.lists(st.tuples(st.sampled_from(("oms", "wms")), st.sampled_from("1234"), st.integers(0, 700)), max_size=30)


def test_the_same_id_of_the_same_source_is_seen() -> None:
    known, ids = Duplicates(HORIZON), Ids()
    assert [known.seen(ids, "oms", "1", at) for at in (5, 5, 6)] == [False, True, True]


def test_the_same_id_of_another_source_is_not() -> None:
    known, ids = Duplicates(HORIZON), Ids()
    assert [known.seen(ids, *name, 5) for name in (("oms", "1"), ("wms", "1"), ("oms", "2"))] == [False] * 3


def test_where_a_source_ends_and_an_id_begins_is_not_mixed_up() -> None:
    known, ids = Duplicates(HORIZON), Ids()
    assert not known.seen(ids, "shop", "12", 5)
    assert not known.seen(ids, "shop1", "2", 5)


def test_the_same_id_of_another_key_is_not_seen() -> None:
    known = Duplicates(HORIZON)
    assert not known.seen(Ids(), "oms", "1", 5)
    assert not known.seen(Ids(), "oms", "1", 5)


@pytest.mark.parametrize("first", [0, 1, 500, 999, 1_000, 1_001])
def test_an_id_is_remembered_for_a_whole_horizon_wherever_it_begins(first: int) -> None:
    known, ids = Duplicates(HORIZON), Ids()
    known.seen(ids, "oms", "1", first)
    assert known.seen(ids, "oms", "1", first + HORIZON)


@pytest.mark.parametrize("first", [0, 1, 500, 999, 1_000, 1_001])
def test_an_id_is_forgotten_after_two_horizons(first: int) -> None:
    known, ids = Duplicates(HORIZON), Ids()
    known.seen(ids, "oms", "1", first)
    assert not known.seen(ids, "oms", "1", first + 2 * HORIZON)


def test_a_long_silence_forgets_everything() -> None:
    known, ids = Duplicates(HORIZON), Ids()
    known.seen(ids, "oms", "1", 0)
    known.seen(ids, "oms", "2", 10 * HORIZON)
    assert not known.seen(ids, "oms", "1", 10 * HORIZON)


@given(EVENTS, st.data())
def test_what_is_seen_does_not_depend_on_when_something_is_forgotten(
    events: list[tuple[str, str, int]], data: st.DataObject
) -> None:
    known, plain, tidied = Duplicates(HORIZON), Ids(), Ids()
    at = 0
    for source, event_id, pause in events:
        if data.draw(st.booleans()):
            known.forget(tidied, at + data.draw(st.integers(0, pause)))
        at += pause
        assert known.seen(tidied, source, event_id, at) == known.seen(plain, source, event_id, at)


@given(EVENTS)
def test_what_is_forgotten_on_time_leaves_nothing_behind(events: list[tuple[str, str, int]]) -> None:
    known, ids = Duplicates(HORIZON), Ids()
    at = 0
    for source, event_id, pause in events:
        at += pause
        known.seen(ids, source, event_id, at)
    wakings = 0
    while ids:
        at = known.forget_at(ids)
        known.forget(ids, at)
        wakings += 1
    assert wakings <= 2


def test_a_key_with_many_events_knows_them_all_and_no_other() -> None:
    known, ids = Duplicates(HORIZON), Ids()
    for count, name in enumerate(HASHED):
        assert not known.seen(ids, *name, 5)
        if count in (60, 63, 64, 65, 299):  # they change into a set on the way
            assert all(known.seen(ids, *earlier, 5) for earlier in HASHED[: count + 1])


def test_half_of_one_digest_and_half_of_the_next_are_not_taken_for_an_id() -> None:
    known, ids = Duplicates(HORIZON), Ids()
    known.seen(ids, "oms", "wanted", 5)
    wanted = ids.current
    assert isinstance(wanted, bytes)
    for cut in range(1, 8):
        across = Ids(until=ids.until, current=bytes(cut) + wanted + bytes(8 - cut))
        assert not known.seen(across, "oms", "wanted", 5)
        behind = Ids(until=ids.until, current=bytes(cut) + wanted + bytes(8 - cut) + wanted)
        assert known.seen(behind, "oms", "wanted", 5)


@pytest.mark.parametrize("count", [1, 64, 200])
def test_ids_at_rest_remember_both_generations(count: int) -> None:
    known, ids = Duplicates(HORIZON), Ids()
    for number in range(count):
        known.seen(ids, "oms", f"old {number}", 999)
    for number in range(count):
        known.seen(ids, "oms", f"new {number}", 1_000)
    woken = msgspec.msgpack.decode(msgspec.msgpack.encode(ids), type=Ids)
    for number in range(count):
        assert known.seen(woken, "oms", f"old {number}", 1_001)
        assert known.seen(woken, "oms", f"new {number}", 1_001)
    assert not known.seen(woken, "oms", "other", 1_001)


def test_a_copy_days_later_has_no_second_effect() -> None:
    lines = ["10:00 created id=1 source=oms", "10:01 cancelled", "+1d 10:00 created id=1 source=oms"]
    assert told("illegal_transition", lines) == []
    assert play(lines) == play(lines[:2])


def test_two_orders_may_share_an_id() -> None:
    shared = ["10:00 created A id=1", "10:00 created B id=1", "10:04 paid A id=2", "10:04 paid B id=2"]
    apart = ["10:00 created A id=1", "10:00 created B id=3", "10:04 paid A id=2", "10:04 paid B id=4"]
    opened = told("stage_timeout", shared, "10:40")
    assert opened == told("stage_timeout", apart, "10:40")
    assert len(opened) == len({line.split()[-1] for line in opened}) > 1


def test_a_copy_of_a_customers_behaviour_counts_once() -> None:
    once = ["10:00 created customer=C", "10:01 chat - customer=C id=1 text=必须今天到"]
    again = [*once, once[1], once[1]]
    assert play(again) == play(once)
