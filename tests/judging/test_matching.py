"""Which alerts of two runs are the same."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from operators.judging.episodes import Episode
from operators.judging.matching import Pair, Span, pairs
from tests.judging.alerts import HOUR, RUNS, alert

Found = list[tuple[int | None, int | None]]


def found(first: Sequence[Episode], second: Sequence[Episode], span: Span = Span()) -> Found:  # noqa: B008
    return [
        tuple(None if each is None else each.opened_at // HOUR for each in (pair.first, pair.second))  # type: ignore[misc]
        for pair in pairs(first, second, span)
    ]


def test_an_alert_that_opens_later_is_moved() -> None:
    (pair,) = pairs([alert(1, 9)], [alert(4, 9)], Span())
    assert pair.moved_by == 3 * HOUR


def test_an_alert_that_opens_after_the_other_has_ended_is_another_one() -> None:
    assert found([alert(1, 3)], [alert(4, 9)]) == [(1, None), (None, 4)]


def test_an_alert_that_opens_the_moment_the_other_ends_is_the_same() -> None:
    assert found([alert(1, 4)], [alert(4, 9)]) == [(1, 4)]


def test_an_open_alert_meets_whatever_opens_later() -> None:
    assert found([alert(1)], [alert(99)]) == [(1, 99)]


def test_alerts_of_other_orders_and_rules_do_not_meet() -> None:
    assert found([alert(1)], [alert(1, order="B"), alert(1, rule="stage_timeout")]) == [(1, None), (None, 1), (None, 1)]


def test_two_alerts_that_become_one_are_one_moved_and_one_lost() -> None:
    assert found([alert(1, 3), alert(5, 9)], [alert(2, 9)]) == [(1, 2), (5, None)]


def test_an_alert_belongs_to_the_range_when_it_opens_there_in_either_run() -> None:
    span = Span(3 * HOUR, 6 * HOUR)
    assert found([alert(2)], [alert(4)], span) == [(2, 4)]
    assert found([alert(4)], [alert(9)], span) == [(4, 9)]
    assert found([alert(1)], [alert(2)], span) == []
    assert found([alert(6)], [], span) == []
    assert found([alert(3)], [], span) == [(3, None)]


@given(RUNS, RUNS, st.randoms(use_true_random=False))
def test_every_alert_stands_in_exactly_one_pair_whatever_the_order(
    first: list[Episode], second: list[Episode], chance: object
) -> None:
    result = pairs(first, second, Span())
    assert sorted(map(repr, (pair.first for pair in result if pair.first))) == sorted(map(repr, first))
    assert sorted(map(repr, (pair.second for pair in result if pair.second))) == sorted(map(repr, second))
    shuffled = sorted(first, key=repr, reverse=True)
    assert pairs(shuffled, second, Span()) == result


@given(RUNS, RUNS)
def test_a_pair_overlaps_and_nothing_that_could_pair_stays_alone(first: list[Episode], second: list[Episode]) -> None:
    result = pairs(first, second, Span())
    for pair in result:
        if pair.first is not None and pair.second is not None:
            assert _overlap(pair.first, pair.second)
    alone = [pair for pair in result if pair.first is None or pair.second is None]
    assert not any(
        one.first is not None and other.second is not None and _overlap(one.first, other.second)
        for one in alone
        for other in alone
    )


@given(RUNS, RUNS)
def test_the_other_way_round_gained_and_lost_change_places(first: list[Episode], second: list[Episode]) -> None:
    there = pairs(first, second, Span())
    back = pairs(second, first, Span())
    assert sorted(map(repr, there)) == sorted(repr(Pair(pair.second, pair.first)) for pair in back)


@given(RUNS)
def test_a_run_against_itself_differs_in_nothing(run: list[Episode]) -> None:
    assert all(pair.first == pair.second for pair in pairs(run, run, Span()))


def _overlap(one: Episode, other: Episode) -> bool:
    if one.subject != other.subject:
        return False
    ends = [episode.ended_at for episode in (one, other)]
    latest = max(one.opened_at, other.opened_at)
    return all(end is None or end >= latest for end in ends)
