"""The figures of two runs side by side."""

from collections import Counter

from hypothesis import given

from operators.judging.comparison import compare
from operators.judging.episodes import Episode
from operators.judging.matching import Span, pairs
from operators.judging.outcomes import Outcomes
from operators.judging.series import series
from tests.judging.alerts import HOUR, RUNS, alert
from tests.judging.test_outcomes import LATE


def test_a_rule_is_told_in_counts() -> None:
    first = [alert(1, 9, "A"), alert(1, 9, "B"), alert(1, 2, "C")]
    second = [alert(1, 9, "A"), alert(4, 9, "B"), alert(1, 2, "D")]
    (report,) = compare(first, second, Span(), {})
    counts = report.counts
    assert (counts.first, counts.second, counts.both) == (3, 3, 2)
    assert (counts.moved, counts.gained, counts.lost, counts.orders) == (1, 1, 1, 3)
    assert report.moves is not None
    assert report.moves.median == 3 * HOUR
    assert {change: [each.entity_id for each in found] for change, found in report.examples.items()} == {
        "gained": ["D"],
        "lost": ["C"],
        "moved": ["B"],
    }
    assert report.quality is None


def test_a_level_that_only_one_run_reaches_is_gained_there() -> None:
    first = [alert(1, 9, reminder=1)]
    second = [alert(1, 9, reminder=1, breach=3)]
    (report,) = compare(first, second, Span(), {})
    assert (report.counts.both, report.counts.gained) == (1, 0)
    assert report.levels["reminder"].counts.both == 1
    assert (report.levels["breach"].counts.both, report.levels["breach"].counts.gained) == (0, 1)


def test_what_was_gained_and_lost_is_judged_by_itself() -> None:
    marks = {"A": [(10 * HOUR, "late")], "B": [(9 * HOUR, "in_time")]}
    (report,) = compare(
        [alert(1, order="A")], [alert(1, order="B")], Span(), {"order_timeout": Outcomes("late", LATE, marks)}
    )
    assert report.quality is not None
    assert (report.quality.lost.right, report.quality.gained.wrong) == (1, 1)
    assert (report.quality.first.recall, report.quality.second.recall) == (1.0, 0.0)
    assert [each.outcome for found in report.examples.values() for each in found] == ["wrong", "right"]


@given(RUNS, RUNS)
def test_the_second_run_is_the_first_less_what_was_lost_and_with_what_was_gained(
    first: list[Episode], second: list[Episode]
) -> None:
    for report in compare(first, second, Span(), {}):
        of_rule = [sum(each.rule == report.rule for each in run) for run in (first, second)]
        assert [report.counts.first, report.counts.second] == of_rule
        for level in report.levels.values():
            assert level.counts.both + level.counts.lost <= report.counts.first


@given(RUNS, RUNS)
def test_nothing_gets_lost_between_the_steps_of_a_plot(first: list[Episode], second: list[Episode]) -> None:
    found = pairs(first, second, Span())
    drawn = series(found, Span(), offset=8 * HOUR)
    if drawn is None:
        assert not found
        return
    reports = compare(first, second, Span(), {})
    total = Counter[str]()
    for report in reports:
        total.update(both=report.counts.both, gained=report.counts.gained, lost=report.counts.lost)
    assert {name: sum(getattr(drawn, name)) for name in ("both", "gained", "lost")} == dict(total)
    assert len(drawn.starts) <= 49
