import logging

import pytest

from sources.outages import Outages
from sources.reader import Unreachable, Waiting

ZERO = 1_769_846_400_000  # 2026-01-31T08:00:00Z
NORTH, SOUTH = "orders/0", "orders/1"


@pytest.fixture
def outages() -> Outages:
    return Outages([NORTH, SOUTH], "kafka:9092")


def waiting(outages: Outages) -> Waiting | None:
    return outages.waiting


def test_a_partition_is_unreachable_since_the_first_question_without_an_answer(outages: Outages) -> None:
    outages.unanswered(NORTH, ZERO, "its leader does not answer")
    outages.unanswered(NORTH, ZERO + 2_000, "timed out")
    assert outages.current() == {NORTH: Unreachable(ZERO, "its leader does not answer")}
    assert waiting(outages) is None
    outages.answered(NORTH)
    assert not outages.current()


def test_when_the_last_partition_is_gone_the_whole_reader_waits_since_then(outages: Outages) -> None:
    outages.unanswered(SOUTH, ZERO + 5_000, "refused")
    outages.unanswered(NORTH, ZERO, "refused")
    assert waiting(outages) == Waiting(ZERO + 5_000, "no partition of the input answers at kafka:9092: refused")
    outages.answered(NORTH)
    assert waiting(outages) is None
    assert list(outages.current()) == [SOUTH]


def test_a_leader_that_answers_does_not_mend_a_fetch_that_fails(outages: Outages) -> None:
    outages.failed(NORTH, ZERO, "its records cannot be fetched")
    outages.answered(NORTH)
    assert list(outages.current()) == [NORTH]
    outages.delivered(NORTH)
    assert not outages.current()


def test_records_show_that_everything_works_again(outages: Outages) -> None:
    outages.failed(NORTH, ZERO, "its records cannot be fetched")
    outages.unanswered(NORTH, ZERO, "its leader does not answer")
    outages.delivered(NORTH)
    assert not outages.current()


def test_a_partition_that_is_read_to_its_end_is_not_waited_for(outages: Outages) -> None:
    outages.unanswered(NORTH, ZERO, "refused")
    outages.forget(SOUTH)
    assert waiting(outages) is not None
    outages.forget(NORTH)
    outages.unanswered(NORTH, ZERO, "refused")
    assert (dict(outages.current()), waiting(outages)) == ({}, None)


def test_what_another_thread_was_given_does_not_change(outages: Outages) -> None:
    outages.unanswered(NORTH, ZERO, "refused")
    given = outages.current()
    outages.answered(NORTH)
    assert list(given) == [NORTH]


def test_an_outage_is_told_once_and_its_end_too(outages: Outages, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="orderpulse.kafka"):
        for _ in range(3):
            outages.unanswered(NORTH, ZERO, "refused")
        for _ in range(3):
            outages.delivered(NORTH)
    assert caplog.messages == [
        "orders/0: refused (since 2026-01-31T08:00:00.000Z); trying again",
        "orders/0: is read again",
    ]
