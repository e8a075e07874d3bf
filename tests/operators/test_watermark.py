"""The watermark of a key group: the least of all who feed it, and the end of all input."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.heart.lateness import AFTER_TIME, BEFORE_TIME
from operators.heart.watermark import Origins

NAMES = ("source/0", "source/1", "orders/0")
SAYINGS = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 100)), max_size=20)


def test_time_does_not_begin_before_everybody_has_spoken() -> None:
    origins = Origins(NAMES)
    origins.advance("source/0", 10)
    origins.advance("orders/0", 12)
    assert origins.watermark == BEFORE_TIME
    origins.advance("source/1", 7)
    assert origins.watermark == 7


@given(SAYINGS)
def test_time_is_the_least_of_what_each_said_last_and_never_goes_back(sayings: list[tuple[str, int]]) -> None:
    origins, before = Origins(NAMES), BEFORE_TIME
    for name, watermark in sayings:
        origins.advance(name, watermark)
        assert origins.watermark >= before
        before = origins.watermark
    said = {name: max((time for who, time in sayings if who == name), default=BEFORE_TIME) for name in NAMES}
    assert origins.watermark == min(said.values())


def test_an_origin_that_has_ended_holds_nobody_back() -> None:
    origins = Origins(NAMES)
    origins.advance("source/0", 10)
    origins.advance("source/1", AFTER_TIME, ended=4)
    origins.advance("orders/0", 8)
    assert origins.watermark == 8


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_when_all_have_ended_time_goes_to_the_last_event_of_any_of_them(order: tuple[int, int]) -> None:
    origins = Origins(["source/0", "source/1"])
    ends = {0: 30, 1: 20}
    for number in order:
        origins.advance(f"source/{number}", AFTER_TIME, ended=ends[number])
    assert origins.watermark == 30


def test_inputs_that_end_without_an_event_do_not_begin_time() -> None:
    origins = Origins(["source/0"])
    origins.advance("source/0", AFTER_TIME, ended=BEFORE_TIME)
    assert origins.watermark == BEFORE_TIME


def test_an_origin_that_nobody_knows_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Origins(NAMES).advance("source/9", 10)
