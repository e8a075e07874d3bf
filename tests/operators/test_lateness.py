"""The clock of a partition: what is late, what is from the future, how far time is. Judged from the log alone."""

import pytest

from operators.heart.lateness import AFTER_TIME, BEFORE_TIME, PartitionClock
from tests.operators.timeline import SETTINGS, at

TIME = SETTINGS.time
OUT_OF_ORDER, IDLE, FUTURE = int(TIME.out_of_orderness), int(TIME.idle_delay), int(TIME.future_tolerance)
TEN = at("10:00")


def clock(*log: tuple[int, int | None]) -> PartitionClock:
    """A clock after a log of (time, arrival)."""
    made = PartitionClock(TIME)
    for time, arrival in log:
        made.judge(time, arrival)
    return made


def is_late(made: PartitionClock, time: int, arrival: int | None = None) -> bool:
    bound = made.judge(time, arrival)
    assert bound is not None
    return time < bound


def test_nothing_is_late_in_an_empty_log() -> None:
    assert not is_late(clock(), TEN)
    assert clock().watermark == BEFORE_TIME - OUT_OF_ORDER - 1 or clock().watermark < 0


@pytest.mark.parametrize(("behind", "late"), [(0, False), (OUT_OF_ORDER, False), (OUT_OF_ORDER + 1, True)])
def test_late_is_what_is_more_than_the_out_of_orderness_behind_the_largest_time(behind: int, late: bool) -> None:
    assert is_late(clock((TEN, None)), TEN - behind) is late


@pytest.mark.parametrize(("delay", "late"), [(0, False), (IDLE, False), (IDLE + 1, True)])
def test_late_is_what_arrived_more_than_the_idle_delay_after_its_time(delay: int, late: bool) -> None:
    assert is_late(clock(), TEN, TEN + delay) is late


def test_a_late_event_does_not_take_time_back() -> None:
    made = clock((TEN, None), (TEN - 3_600_000, None))
    assert made.largest == TEN
    assert made.watermark == TEN - OUT_OF_ORDER - 1


@pytest.mark.parametrize(("ahead", "taken"), [(FUTURE, True), (FUTURE + 1, False)])
def test_an_event_too_far_ahead_of_its_arrival_is_from_the_future(ahead: int, taken: bool) -> None:
    made = clock()
    assert (made.judge(TEN + ahead, TEN) is not None) is taken
    assert made.largest == (TEN + ahead if taken else BEFORE_TIME)


@pytest.mark.parametrize(("beyond", "taken"), [(0, True), (1, False)])
def test_without_arrival_the_log_itself_says_what_is_too_far_ahead(beyond: int, taken: bool) -> None:
    made = clock((TEN, None))
    time = TEN + int(TIME.max_advance) + beyond
    assert (made.judge(time, None) is not None) is taken


@pytest.mark.parametrize(
    ("time", "taken"),
    [
        (int(TIME.earliest) - 1, False),
        (int(TIME.earliest), True),
        (int(TIME.latest) - 1, True),
        (int(TIME.latest), False),
    ],
)
def test_a_first_event_must_lie_between_earliest_and_latest(time: int, taken: bool) -> None:
    assert (clock().judge(time, None) is not None) is taken


def test_an_event_before_earliest_is_refused_also_behind_others() -> None:
    assert clock((TEN, None)).judge(int(TIME.earliest) - 1, None) is None


def test_what_is_refused_does_not_move_the_clock() -> None:
    made = clock((TEN, None))
    made.judge(int(TIME.latest), None)
    made.judge(0, None)
    assert (made.largest, made.watermark) == (TEN, TEN - OUT_OF_ORDER - 1)


def test_every_record_to_come_is_applied_after_the_watermark() -> None:
    made = clock((TEN, None))
    before = made.watermark
    bound = made.judge(TEN - 3_600_000, None)
    assert bound == before + 1


def test_the_end_of_time_is_the_last_time_at_which_anything_is_applied() -> None:
    made = clock((TEN, None), (TEN - 60_000, TEN + 60_000 + IDLE))
    assert made.last_applied == TEN + 60_000


def test_a_finished_log_holds_nobody_back() -> None:
    made = clock((TEN, None))
    made.finished = True
    assert made.watermark == AFTER_TIME


def test_confirmed_silence_lets_time_go_on_behind_the_idle_delay() -> None:
    made = clock((TEN, None))
    made.idle(TEN + 600_000)
    assert made.watermark == TEN + 600_000 - IDLE - 1
    made.idle(TEN + 300_000)
    assert made.watermark == TEN + 600_000 - IDLE - 1


def test_an_event_that_only_silence_made_late_is_counted_as_forced() -> None:
    made = clock((TEN, None))
    made.idle(TEN + 600_000)
    assert is_late(made, TEN + 1)
    assert made.forced == 1


def test_a_snapshot_goes_on_where_the_clock_stood() -> None:
    made = clock((TEN, None), (TEN - 60_000, None))
    made.idle(TEN + 600_000)
    restored = PartitionClock(TIME)
    restored.restore(made.snapshot())
    assert restored.snapshot() == made.snapshot()
    assert restored.watermark == made.watermark
    assert restored.judge(TEN, None) == made.judge(TEN, None)
