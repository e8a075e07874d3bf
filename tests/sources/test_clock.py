import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.clock import SteadyClock, host_steady_ms, host_wall_ms

START = 1_769_846_400_000  # 2026-01-31T08:00:00Z
HOUR = 3_600_000
TOLERANCE = 2_000


class Host:
    """A machine in true time, whose wall clock may be wrong; its steady clock counts from some zero of its own."""

    def __init__(self, *, wrong_by: int = 0) -> None:
        self.true = START
        self.wrong_by = wrong_by
        self.clock = SteadyClock(lambda: self.true + self.wrong_by, lambda: self.true - START + 12_345)

    def pass_by(self, milliseconds: int) -> int:
        self.true += milliseconds
        return self.clock.now()


def test_time_follows_the_wall_clock() -> None:
    host = Host()
    assert [host.pass_by(step) for step in (0, 1, 999, HOUR)] == [START, START + 1, START + 1_000, START + HOUR + 1_000]


def test_small_corrections_are_followed() -> None:
    host = Host()
    host.wrong_by = TOLERANCE
    assert host.pass_by(1_000) == START + 1_000 + TOLERANCE


def test_many_small_steps_forward_are_not_a_way_around_the_tolerance() -> None:
    host = Host()
    for _ in range(50):
        host.wrong_by += 1_500
        host.pass_by(1_000)
    assert host.clock.now() == host.true


def test_a_jump_forward_is_not_believed() -> None:
    host = Host()
    host.wrong_by = 5 * HOUR
    assert [host.pass_by(1_000), host.pass_by(HOUR)] == [START + 1_000, START + HOUR + 1_000]
    assert host.clock.jump_ms == 5 * HOUR


def test_a_jump_forward_is_believed_as_far_as_a_broker_confirms_it() -> None:
    host = Host(wrong_by=-5 * HOUR)  # started with a clock that was behind, which is then set to rights
    host.wrong_by = 0
    assert host.pass_by(1_000) == START - 5 * HOUR + 1_000
    host.clock.confirm(host.true - 4 * HOUR)  # a record that stood in the log for hours
    assert host.pass_by(0) == host.true - 4 * HOUR
    host.clock.confirm(host.true - 300)
    assert host.pass_by(1_000) == host.true
    assert host.clock.jump_ms == 0


def test_a_broker_that_is_ahead_confirms_no_more_than_wall_time() -> None:
    host = Host()
    host.clock.confirm(host.true + 5 * HOUR)
    assert host.pass_by(1_000) == host.true


def test_a_jump_back_makes_time_stand_until_the_wall_clock_has_caught_up() -> None:
    host = Host()
    host.pass_by(1_000)
    host.wrong_by = -60_000
    assert host.pass_by(30_000) == START + 1_000
    assert host.clock.jump_ms == -60_000
    assert host.pass_by(40_000) == START + 11_000


def test_after_a_jump_back_records_that_come_later_carry_time_on() -> None:
    host = Host()
    host.wrong_by = -HOUR
    host.pass_by(1_000)
    host.clock.confirm(host.true - 200)
    assert host.pass_by(10_000) == host.true - 200


def test_after_a_jump_back_and_forth_the_time_is_right_without_any_record() -> None:
    host = Host()
    host.wrong_by = -HOUR
    host.pass_by(1_000)
    host.wrong_by = 0
    assert host.pass_by(1_000) == host.true


def test_each_jump_is_told_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    host = Host()
    with caplog.at_level(logging.INFO, logger="orderpulse.clock"):
        for wrong_by in (HOUR, HOUR, -HOUR, -HOUR, 0, 0):
            host.wrong_by = wrong_by
            host.pass_by(1_000)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO"]
    assert "3600.0 s ahead" in caplog.messages[0]
    assert "set back by 3600.0 s" in caplog.messages[1]


def test_the_host_has_both_clocks() -> None:
    assert host_wall_ms() > START - 365 * 24 * HOUR
    assert 0 <= host_steady_ms() <= host_steady_ms()


offsets = st.integers(-24 * HOUR, 24 * HOUR)
steps = st.tuples(
    st.sampled_from(["jump", "small step", "pass", "record", "two passes"]), st.integers(0, 3 * HOUR), offsets
)


def walk(host: Host, steps: list[tuple[str, int, int]]) -> list[int]:
    """Lets things happen to the host; what the clock said after each."""
    said = [host.clock.now()]
    for kind, length, offset in steps:
        if kind == "jump":
            host.wrong_by = offset
        elif kind == "small step":
            host.wrong_by += offset % TOLERANCE
        elif kind == "record":
            host.clock.confirm(host.true - length)
        elif kind == "pass":
            host.true += length
        else:
            host.pass_by(length // 2)
            host.true += length // 2
        said.append(host.clock.now())
    return said


@given(offsets, st.lists(steps, max_size=30))
def test_no_sequence_of_jumps_drives_time_ahead_of_both_true_time_and_the_steady_pace(
    wrong_at_first: int, steps: list[tuple[str, int, int]]
) -> None:
    host = Host(wrong_by=wrong_at_first)
    for step in steps:
        [_, said] = walk(host, [step])
        assert said <= max(host.true, host.true + wrong_at_first) + TOLERANCE


@given(offsets, st.lists(steps, max_size=30))
def test_time_never_goes_back(wrong_at_first: int, steps: list[tuple[str, int, int]]) -> None:
    said = walk(Host(wrong_by=wrong_at_first), steps)
    assert said == sorted(said)


@given(offsets, st.lists(steps, max_size=30))
def test_whatever_happened_a_right_clock_and_a_record_that_just_came_make_the_time_right(
    wrong_at_first: int, steps: list[tuple[str, int, int]]
) -> None:
    host = Host(wrong_by=wrong_at_first)
    walk(host, steps)
    host.wrong_by = 0
    host.clock.confirm(host.true)
    assert max(host.true, host.clock.now()) - host.true <= max(0, wrong_at_first) + TOLERANCE
    host.true += 2 * 24 * HOUR  # what was promised before is behind by then
    assert host.clock.now() == host.true
