"""Reviews and failures, counted: precision per rule and version, capture and recall of weak signals."""

from typing import Any

from config.settings import Settings
from events.records import FeedbackTotals
from tests.operators.timeline import at, of_kind, play, settings, table

BURST = [f"10:0{n} created O{n} card=K amount=5" for n in range(3)]  # opens at 10:02 and holds the three
ORANGE = ["10:00 created", "10:01 paid", "10:02 signal signal=rating_threat", "10:03 signal signal=rating_threat"]
LOCK = "10:04 signal signal=rating_threat"


def feeding(**changes: Any) -> Settings:
    return settings(feedback={"enabled": True, **changes})


def totals(lines: list[str], until: str = "+1d 0:00", rules: Settings | None = None) -> dict[str, dict[str, int]]:
    """The last counts of each rule and version, and of weak signals."""
    found = of_kind(FeedbackTotals, play(lines, until, rules or feeding()))
    return {
        record.subject if record.subject == "capture" else f"{record.rule}:{record.rule_version}": record.counts
        for record in sorted(found, key=lambda record: record.number)
    }


@table(
    ("raised, not reviewed", BURST, "+1d 0:00", ["raised 3"]),
    ("one of each", [*BURST, "10:20 confirmed O0", "10:21 released O1"], "+1d 0:00",
     ["confirmed 1", "raised 3", "released 1"]),
    ("the same review twice is once", [*BURST, "10:20 confirmed O0", "10:21 confirmed O0"], "+1d 0:00",
     ["confirmed 1", "raised 3"]),
    ("the newest review counts", [*BURST, "10:20 confirmed O0", "10:21 released O0"], "+1d 0:00",
     ["confirmed 0", "raised 3", "released 1"]),
    ("a review of an order that nothing was said of", [*BURST, "10:20 confirmed Z"], "+1d 0:00", ["raised 3"]),
)  # fmt: skip
def test_reviews_of_held_orders_are_counted(lines: list[str], until: str, expected: list[str]) -> None:
    assert [f"{name} {count}" for name, count in totals(lines, until)["card_burst:1"].items()] == expected


def test_a_review_that_names_an_alert_judges_that_one_alone() -> None:
    lines = [*ORANGE, "10:04 created B card=K amount=5", "10:04 created C card=K amount=5",
             "10:05 created A2 card=K amount=5", LOCK]  # fmt: skip
    episode = f"resonance/order/A/{at('10:03')}"
    found = totals([*lines, f"10:20 confirmed A episode={episode}", f"10:21 released B episode={episode}"])
    assert found["resonance:1"] == {"confirmed": 1, "raised": 1}
    assert found["resonance:0"] == {"released": 1}  # order B does not know that alert, nor its version
    assert found["card_burst:1"] == {"raised": 3}


def test_versions_are_counted_apart_from_each_other() -> None:
    newer = settings(feedback={"enabled": True}, card_burst={"version": 7})
    assert totals(BURST, rules=newer)["card_burst:7"] == {"raised": 3}


def test_a_review_judges_what_was_not_judged_before_it() -> None:
    later = [f"12:0{n} created O{n + 7} card=K amount=5" for n in range(2)]
    lines = [*BURST, "10:20 released O0", *later, "12:02 paid O0 card=K", "12:30 confirmed O0"]
    assert totals(lines)["card_burst:1"] == {"confirmed": 1, "raised": 6, "released": 1}


@table(
    ("still open", ORANGE, "+1d 0:00", ["weak 1"]),
    ("it was locked", [*ORANGE, LOCK], "+1d 0:00", ["turned 1", "weak 1"]),
    ("cancelled after payment", [*ORANGE, "11:00 cancelled"], "+1d 0:00",
     ["failed 1", "failed_alerted 1", "turned 1", "weak 1"]),
    ("the parcel was lost", [*ORANGE, "11:00 scanned scan=lost"], "+1d 0:00",
     ["failed 1", "failed_alerted 1", "turned 1", "weak 1"]),
    ("locked, then cancelled, is one", [*ORANGE, LOCK, "11:00 cancelled"], "+1d 0:00",
     ["failed 1", "failed_alerted 1", "turned 1", "weak 1"]),
    ("cancelled before payment is no failure", ["10:00 created", *ORANGE[2:], "11:00 cancelled"], "+1d 0:00",
     ["quiet 1", "weak 1"]),
    ("failed without a sign", ["10:00 created", "10:01 paid", "11:00 cancelled"], "+1d 0:00", ["failed 1"]),
    ("failed in the moment of the alert", [*ORANGE, "10:03 scanned scan=lost"], "+1d 0:00", ["failed 1"]),
    ("locked at once is no weak signal", ["10:00 created", "10:01 paid",
     "10:02 chat text='急用,差评'", "10:02 signal signal=courier_exception", "10:02 signal signal=rating_threat",
     "11:00 cancelled"], "+1d 0:00", ["failed 1", "failed_alerted 1", "turned 1", "weak 1"]),
    ("nothing came of it for so long", ORANGE, "+40d 0:00", ["quiet 1", "weak 1"]),
    ("it fails late", [*ORANGE, "+20d 0:00 cancelled"], "+50d 0:00",
     ["failed 1", "failed_alerted 1", "turned 1", "weak 1"]),
    ("it fails too late to be counted", [*ORANGE, "+35d 0:00 cancelled"], "+50d 0:00",
     ["failed 1", "quiet 1", "weak 1"]),
)  # fmt: skip
def test_weak_signals_are_followed_to_what_came_of_them(lines: list[str], until: str, expected: list[str]) -> None:
    assert [f"{name} {count}" for name, count in totals(lines, until)["capture"].items()] == expected


def test_what_is_a_failure_is_for_the_settings_to_say() -> None:
    rules = feeding(
        failures={"cancelled": "never", "stages": ["queued"], "statuses": {"crm": ["REFUNDED"]}, "scans": []}
    )
    lines = [*ORANGE, "11:00 created B", "11:01 queued B", "11:02 paid B", "11:03 queued B", "12:00 cancelled"]
    assert totals(lines, rules=rules)["capture"] == {"failed": 1, "quiet": 1, "weak": 1}
    refunded = [*lines, "13:00 status system=crm status=REFUNDED"]
    assert totals(refunded, rules=rules)["capture"] == {
        "failed": 2, "failed_alerted": 1, "quiet": 0, "turned": 1, "weak": 1,
    }  # fmt: skip


def test_counts_are_given_out_once_per_step_in_which_they_changed() -> None:
    found = [
        (record.time, record.number, record.counts["raised"])
        for record in of_kind(FeedbackTotals, play([*BURST, "10:02:30 created O3 card=K amount=5",
                                                    "10:03 created O4 card=K amount=5"], "12:00", feeding()))
    ]  # fmt: skip
    # The fifth order also completes a burst of any amount, which names all five.
    assert found == [(at("10:03"), 1, 4), (at("10:04"), 2, 10)]


def test_without_feedback_nothing_is_counted() -> None:
    assert totals([*BURST, *ORANGE, "11:00 cancelled"], rules=settings()) == {}
