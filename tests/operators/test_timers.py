"""Timers: every moment comes in the order of time, whenever it was asked for and however far ahead it lies."""

from hypothesis import given
from hypothesis import strategies as st

from operators.heart.timers import Timers
from tests.operators.timeline import table, told

DAY = 86_400_000
MOMENTS = st.one_of(st.integers(0, 1_000), st.integers(0, 10 * DAY))
FILED = st.lists(st.tuples(MOMENTS, st.integers(0, 2**32 - 1)), max_size=30)


@given(FILED, st.lists(MOMENTS, max_size=5).map(sorted))
def test_what_is_filed_is_told_once_and_before_it_is_due(filed: list[tuple[int, int]], steps: list[int]) -> None:
    timers = Timers()
    for due, mark in filed:
        timers.file(due, mark)
    found: list[tuple[int, int]] = []
    for step in [*steps, 10 * DAY]:
        if step >= timers.horizon:
            found += timers.extend(step)
        assert timers.horizon > step
        assert sorted(timer for timer in filed if timer[0] <= step) == sorted(each for each in found if each[0] <= step)
    assert sorted(found) == sorted(filed)


def test_what_is_due_before_the_horizon_is_sorted_in_and_nothing_else() -> None:
    timers = Timers()
    assert list(timers.extend(1_000)) == []
    timers.schedule(5, "a")
    timers.schedule(timers.horizon, "b")
    timers.file(5, 1)
    timers.file(timers.horizon, 2)
    assert timers.heap == [(5, "a")]
    assert list(timers.extend(timers.horizon)) == [(1_048_576, 2)]


def test_after_a_restart_nothing_is_due() -> None:
    timers = Timers()
    timers.file(DAY, 1)
    list(timers.extend(1_000))
    timers.schedule(5, "a")
    timers.clear()
    assert timers.heap == []
    assert list(timers.extend(10 * DAY)) == []


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
