"""Partitions that run ahead of the others in event time rest until these have come closer."""

from events.batch import RawBatch
from sources.pacing import Pacing
from tests.sources.support import event_line

NOON = 1_769_846_400_000


def read(partition: str, count: int, until: int, *, finished: bool = False) -> RawBatch:
    """A batch of ``count`` records, the last one at ``until`` ms past noon."""
    lines = [event_line(number, NOON + until) for number in range(count)]
    return RawBatch(partition, "orders", lines, range(count), finished=finished)


def test_a_partition_rests_when_too_many_of_its_records_wait_for_the_others() -> None:
    pacing = Pacing(most=100, clock=lambda: 0.0)
    pacing.take([read("slow", 10, until=1_000), read("fast", 101, until=9_000)])

    assert pacing.resting("slow") == {"fast"}


def test_few_records_ahead_hold_nobody() -> None:
    pacing = Pacing(most=100, clock=lambda: 0.0)
    pacing.take([read("slow", 10, until=1_000), read("fast", 100, until=9_000)])

    assert pacing.resting("slow") == frozenset()


def test_it_goes_on_once_half_of_them_are_caught_up_with() -> None:
    now = [0.0]
    pacing = Pacing(most=100, clock=lambda: now[0])
    pacing.take([read("slow", 10, until=1_000), *(read("fast", 60, until=each) for each in (5_000, 6_000, 7_000))])
    assert pacing.resting("slow") == {"fast"}

    pacing.take([read("slow", 10, until=5_000)])
    now[0] = 1.0
    assert pacing.resting("slow") == {"fast"}, "120 still wait"
    pacing.take([read("slow", 10, until=7_000)])
    now[0] = 2.0
    assert pacing.resting("slow") == frozenset()


def test_the_slowest_one_never_rests() -> None:
    pacing = Pacing(most=100, clock=lambda: 0.0)
    pacing.take([read("one", 10, until=1_000), read("other", 500, until=9_000)])
    assert pacing.resting("one") == {"other"}

    assert pacing.resting("other") == frozenset()


def test_whoever_has_ended_holds_nobody_back() -> None:
    pacing = Pacing(most=100, clock=lambda: 0.0)
    pacing.take([read("short", 500, until=9_000, finished=True), read("long", 10, until=1_000)])

    assert pacing.resting("long") == frozenset()


def test_records_without_a_time_are_passed_over() -> None:
    pacing = Pacing(most=10, clock=lambda: 0.0)
    batch = read("fast", 20, until=9_000)
    batch.lines[-1] = b"no event"
    pacing.take([read("slow", 10, until=1_000), batch])

    assert pacing.resting("slow") == {"fast"}
