"""What became of orders, and how right alerts were by that."""

import pytest

from config.loader import load_settings
from config.outcomes import CANCELLED, CONFIRMED, RELEASED, conditions, delivering
from config.problems import ConfigurationError
from config.settings import OutcomeSettings
from operators.judging.matching import Span
from operators.judging.outcomes import Outcomes, quality
from operators.judging.watch import OutcomeBook
from tests.judging.alerts import HOUR, alert

SETTINGS = load_settings()
LATE = OutcomeSettings(failed=("late",), fine=("in_time",))
REVIEWED = OutcomeSettings(failed=("confirmed",), fine=("released",))


def book(*names: str) -> OutcomeBook:
    return OutcomeBook(conditions(frozenset(names), SETTINGS), SETTINGS)


def test_delivered_after_the_promise_is_late_from_the_promise_on() -> None:
    noted = book("late", "in_time")
    noted.created("A", 10 * HOUR, HOUR)
    noted.moved("A", "signed", 12 * HOUR)
    assert noted.marks == {"A": [(10 * HOUR, "late")]}


def test_delivered_at_the_promised_moment_is_in_time() -> None:
    noted = book("late", "in_time")
    noted.created("A", 10 * HOUR, HOUR)
    noted.moved("A", "signed", 10 * HOUR)
    assert noted.marks == {"A": [(10 * HOUR, "in_time")]}


def test_only_the_first_delivery_counts() -> None:
    noted = book("late", "in_time")
    noted.created("A", 10 * HOUR, HOUR)
    noted.moved("A", "signed", 9 * HOUR)
    noted.moved("A", "completed", 99 * HOUR)
    noted.finish(100 * HOUR)
    assert noted.marks == {"A": [(9 * HOUR, "in_time")]}


def test_not_delivered_when_the_promise_has_passed_is_late_too() -> None:
    noted = book("late", "in_time")
    for order, promised in (("A", 10), ("B", 20), ("C", 10)):
        noted.created(order, promised * HOUR, HOUR)
    noted.moved("C", "cancelled", 2 * HOUR)
    noted.finish(20 * HOUR)
    assert noted.marks == {"A": [(10 * HOUR, "late")]}


def test_a_promise_may_be_changed_and_taken_back() -> None:
    noted = book("late", "in_time")
    noted.created("A", 10 * HOUR, HOUR)
    noted.promised("A", 20 * HOUR)
    noted.created("B", 10 * HOUR, HOUR)
    noted.promised("B", None)
    noted.moved("A", "signed", 15 * HOUR)
    noted.moved("B", "signed", 15 * HOUR)
    assert noted.marks == {"A": [(15 * HOUR, "in_time")]}


def test_an_order_may_take_longer_than_it_should() -> None:
    noted = book("over:9h", "within:9h")
    for order, delivered in (("A", 10), ("B", 11)):
        noted.created(order, None, HOUR)
        noted.moved(order, "signed", delivered * HOUR)
    assert noted.marks == {"A": [(10 * HOUR, "within:9h")], "B": [(10 * HOUR, "over:9h")]}


def test_stages_and_reviews_are_noted_as_far_as_anybody_asks() -> None:
    noted = book("stage:in_transit", "cancelled", "confirmed")
    noted.moved("A", "in_transit", HOUR)
    noted.moved("A", "cancelled", 2 * HOUR)
    noted.reviewed("A", CONFIRMED, 3 * HOUR)
    noted.reviewed("A", RELEASED, 4 * HOUR)
    assert noted.marks == {"A": [(HOUR, "stage:in_transit"), (2 * HOUR, CANCELLED), (3 * HOUR, CONFIRMED)]}


def test_the_latest_word_of_a_review_decides() -> None:
    marks = {"A": [(HOUR, "confirmed"), (2 * HOUR, "released")], "B": [(HOUR, "released"), (2 * HOUR, "confirmed")]}
    found = Outcomes("reviewed", REVIEWED, marks)
    assert [found.verdict([order]) for order in "ABC"] == ["wrong", "right", "unknown"]
    assert found.failed_at == {"B": 2 * HOUR}


def test_one_failed_order_makes_an_alert_right() -> None:
    found = Outcomes("late", LATE, {"A": [(HOUR, "in_time")], "B": [(HOUR, "late")]})
    assert found.verdict("ABC") == "right"
    assert found.verdict("AC") == "wrong"
    assert found.verdict("C") == "unknown"


def test_precision_and_recall_rest_on_counts() -> None:
    marks = {order: [(10 * HOUR, "late")] for order in "ABCD"} | {"E": [(9 * HOUR, "in_time")]}
    alerts = [alert(1, order="A"), alert(11, order="B"), alert(2, order="E"), alert(3, order="Z")]
    found = quality(alerts, Outcomes("late", LATE, marks), Span())
    assert (found.alerts.right, found.alerts.wrong, found.alerts.unknown) == (2, 1, 1)
    assert found.alerts.precision == pytest.approx(2 / 3)
    assert (found.caught, found.failed, found.recall, found.lead) == (1, 4, 0.25, 9 * HOUR)


def test_what_nothing_is_known_of_has_no_figure() -> None:
    found = quality([alert(1)], Outcomes("late", LATE, {}), Span())
    assert (found.alerts.precision, found.recall, found.lead) == (None, None, None)


def test_an_order_that_joined_a_burst_later_was_named_only_then() -> None:
    burst = alert(1, orders=("A", "B"))
    burst.orders["B"] = 12 * HOUR
    found = quality([burst], Outcomes("late", LATE, {order: [(10 * HOUR, "late")] for order in "AB"}), Span())
    assert found.caught == 1


def test_a_level_counts_from_when_it_was_reached() -> None:
    watched = alert(1, reminder=1, breach=11)
    outcome = Outcomes("late", LATE, {"A": [(10 * HOUR, "late")]})
    assert quality([watched], outcome, Span(), "reminder").caught == 1
    assert quality([watched], outcome, Span(), "breach").caught == 0


def test_the_chain_tells_what_delivered_means() -> None:
    assert delivering(SETTINGS) == {"signed", "completed"}
    named = load_settings(overrides={"backtest": {"delivered": ["collected"]}})
    assert delivering(named) == {"collected"}


def test_a_definition_that_cannot_be_is_refused_by_its_field() -> None:
    wrong = {
        "delivered": ["nowhere"],
        "outcomes": {"late": {"failed": ["laet"], "fine": ["stage:nowhere", "over:9"]}},
        "judged_by": {"resonance": "nothing"},
    }
    with pytest.raises(ConfigurationError) as refused:
        load_settings(overrides={"backtest": wrong})
    assert [problem.field for problem in refused.value.problems] == [
        "backtest.outcomes.late.failed",
        "backtest.outcomes.late.fine",
        "backtest.outcomes.late.fine",
        "backtest.judged_by.resonance",
        "backtest.delivered",
    ]
