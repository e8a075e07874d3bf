"""Timers: every moment comes in the order of time, whenever it was asked for and however far ahead it lies."""

from heapq import heappop

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.heart.timers import Due, Timers
from tests.operators.timeline import table, told

DAY = 86_400_000
MOMENTS = st.one_of(st.integers(0, 1_000), st.integers(0, 10 * DAY))
TIMERS = st.lists(st.tuples(MOMENTS, st.sampled_from("abc")), max_size=30)


def due_by(timers: Timers, time: int) -> list[Due]:
    """Takes all timers up to a moment, as a key group does."""
    timers.reach(time)
    found = []
    while timers.heap and timers.heap[0][0] <= time:
        found.append(heappop(timers.heap))
    return found


@given(TIMERS, st.lists(MOMENTS, max_size=5).map(sorted))
def test_timers_come_by_time_then_key_however_time_goes_on(wanted: list[Due], steps: list[int]) -> None:
    timers = Timers()
    for due, key in wanted:
        timers.schedule(due, key)
    found = [timer for step in [*steps, 10 * DAY] for timer in due_by(timers, step)]
    assert found == sorted(wanted)


@given(st.lists(st.tuples(MOMENTS, MOMENTS), max_size=20))
def test_a_timer_that_is_set_while_time_goes_on_comes_in_its_turn(asked: list[tuple[int, int]]) -> None:
    timers = Timers()
    now, waiting = 0, []
    for step, ahead in asked:
        timers.schedule(now + ahead, "a")
        waiting.append((now + ahead, "a"))
        now += step
        assert due_by(timers, now) == sorted(timer for timer in waiting if timer[0] <= now)
        waiting = [timer for timer in waiting if timer[0] > now]


def test_what_lies_far_ahead_is_not_sorted_in() -> None:
    timers = Timers()
    for hours in range(1, 100):
        timers.schedule(hours * 3_600_000, "a")
    timers.reach(3_600_000)
    assert timers.heap == [(3_600_000, "a")]


@pytest.mark.parametrize("due", [5, DAY])
def test_a_timer_for_a_time_that_is_over_comes_at_once(due: int) -> None:
    timers = Timers()
    timers.reach(2 * DAY)
    timers.schedule(due, "a")
    assert timers.heap == [(due, "a")]


@given(TIMERS, TIMERS, MOMENTS)
def test_a_restart_leaves_exactly_the_timers_it_is_given(before: list[Due], after: list[Due], reached: int) -> None:
    timers = Timers()
    for due, key in before:
        timers.schedule(due, key)
    timers.reach(reached)
    timers.restart(after)
    assert due_by(timers, 10 * DAY) == sorted(after)


@table(
    (
        "each order is woken at its own deadline",
        ["10:00 created A", "10:01 created B"],
        "10:10",
        ["10:05 opened breach", "10:06 opened breach B"],
    ),
    (
        "a deadline that moved later does not wake an order for nothing that shows",
        ["10:00 created", "10:04 paid", "10:34 queued"],
        "10:40",
        [],
    ),
)
def test_orders_are_woken_when_their_time_has_come(lines: list[str], until: str, expected: list[str]) -> None:
    assert told("stage_timeout", lines, until) == expected
