"""Rules that change while the flow runs: when they take effect, and what becomes of what is already under way."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from config.settings import Settings
from dataflows.memory import MemoryDriver
from events.model import AnyEvent, RulePublished
from events.records import AlertRecord, DeadLetterRecord, HoldRecord, LateRecord, Record
from operators.heart.component import Environment
from operators.heart.lateness import AFTER_TIME
from operators.heart.snapshots import SnapshotError
from operators.rules.in_effect import RulesInEffect
from operators.rules.rulebook import Rulebook
from operators.topology import topology
from tests.operators.timeline import HASH_KEY, SETTINGS, alerts, at, event, of_kind, say, settings
from tests.support.flow import batch
from tests.support.rules import document

Line = str | RulePublished


def rule(moment: str, name: str, version: int, effective: str | None = None, **changes: Any) -> RulePublished:
    """A document that is published at a moment of the day."""
    return document(name, version, at(moment), at(effective or moment), **changes)


def flow_of(until: str, files: Settings = SETTINGS) -> MemoryDriver:
    return MemoryDriver(topology(Environment(files, 4, HASH_KEY)), ["day"], until=at(until))


def log_of(lines: Sequence[Line]) -> list[tuple[AnyEvent, int | None]]:
    return [(event(line, number) if isinstance(line, str) else line, None) for number, line in enumerate(lines)]


def play(lines: Sequence[Line], until: str, files: Settings = SETTINGS) -> list[Record]:
    return flow_of(until, files).feed(batch("day", log_of(lines), finished=True))


def told(name: str, lines: Sequence[Line], until: str, files: Settings = SETTINGS) -> list[str]:
    """The steps of a rule, each with the version that it names."""
    return [f"{say(step)} v{step.rule_version}" for step in alerts(name, play(lines, until, files))]


def letters(records: Sequence[Record]) -> list[tuple[str, str]]:
    return [(letter.reason, letter.detail) for letter in of_kind(DeadLetterRecord, records)]


SHORTER: dict[str, Any] = {"norms": {"created": "3m"}}


def test_a_limit_is_that_of_the_moment_at_which_its_stage_is_entered() -> None:
    lines: list[Line] = [
        rule("10:00", "stage_timeout", 2, "10:02", **SHORTER),
        "10:01:59.999 created A",
        "10:02 created B",
    ]
    assert told("stage_timeout", lines, "10:30") == ["10:05 opened breach B v2", "10:06:59.999 opened breach v1"]


def test_a_document_counts_only_once_it_was_published() -> None:
    lines: list[Line] = ["10:00 created A", rule("10:01", "stage_timeout", 2, "09:00", **SHORTER), "10:01 created B"]
    assert told("stage_timeout", lines, "10:30") == ["10:04 opened breach B v2", "10:05 opened breach v1"]


def test_what_is_due_at_the_moment_of_change_is_judged_by_the_rule_before() -> None:
    lines: list[Line] = [
        rule("09:00", "stage_timeout", 2, "10:05:00.001", enabled=False),
        "10:00 created A",
        "10:00:00.001 created B",
    ]
    assert told("stage_timeout", lines, "10:30") == ["10:05 opened breach v1"]


def test_all_steps_of_a_limit_name_the_version_that_set_it() -> None:
    lines: list[Line] = ["10:00 created", rule("10:06", "stage_timeout", 2, **SHORTER), "10:07 paid"]
    assert told("stage_timeout", lines, "10:30") == ["10:05 opened breach v1", "10:07 resolved breach paid_late v1"]


def test_stage_limits_are_also_those_of_no_progress() -> None:
    lines: list[Line] = [rule("09:00", "stage_timeout", 2, norms={"created": "5h"}), "10:00 created"]
    assert told("no_progress", lines, "20:00") == ["15:00 opened no_progress v1"]


def test_the_larger_of_two_versions_for_one_moment_holds() -> None:
    three, two = (
        rule("09:00", "stage_timeout", 3, "10:00", norms={"created": "2m"}),
        rule("09:30", "stage_timeout", 2, "10:00", norms={"created": "9m"}),
    )
    for first, second in ((three, two), (two, three)):
        records = play([first, second, "10:00 created"], "10:30")
        assert [(step.time, step.rule_version) for step in alerts("stage_timeout", records)] == [(at("10:02"), 3)]
        assert letters(records) == []


def test_an_older_version_that_comes_after_a_newer_one_took_effect_has_none_and_that_is_said_once() -> None:
    lines: list[Line] = [
        rule("09:00", "stage_timeout", 3, norms={"created": "2m"}),
        rule("09:30", "stage_timeout", 2, norms={"created": "9m"}),
        "10:00 created",
    ]
    records = play(lines, "10:30")

    assert [(step.time, step.rule_version) for step in alerts("stage_timeout", records)] == [(at("10:02"), 3)]
    (letter,) = of_kind(DeadLetterRecord, records)
    assert letter.reason == "superseded_rule"
    assert letter.detail == "stage_timeout, version 2: version 3 is known already, so it has no effect"
    assert letter.position == 1


def test_a_version_that_waits_is_overtaken_by_a_newer_one() -> None:
    lines: list[Line] = [
        rule("09:00", "stage_timeout", 2, "12:00", norms={"created": "9m"}),
        rule("09:30", "stage_timeout", 3, norms={"created": "2m"}),
        "12:30 created",
    ]
    records = play(lines, "13:00")
    assert [step.rule_version for step in alerts("stage_timeout", records)] == [3]
    assert [reason for reason, _ in letters(records)] == ["superseded_rule"]


def test_a_version_that_is_not_larger_than_that_of_the_file_has_no_effect() -> None:
    files = settings(stage_timeout={"version": 5})
    lines: list[Line] = [rule("09:00", "stage_timeout", 5, **SHORTER), "10:00 created"]

    records = play(lines, "10:30", files)

    assert [(step.time, step.rule_version) for step in alerts("stage_timeout", records)] == [(at("10:05"), 5)]
    assert letters(records) == [
        ("superseded_rule", "stage_timeout, version 5: version 5 is known already, so it has no effect")
    ]


def test_another_document_with_a_version_that_was_heard_is_refused_and_the_same_one_again_is_not_heard() -> None:
    first = rule("09:00", "stage_timeout", 2, "10:00", **SHORTER)
    other = msgspec.structs.replace(first, id="other", settings={"norms": {"created": "9m"}})
    assert letters(play([first, other, "10:00 created"], "10:30")) == [
        ("superseded_rule", "stage_timeout, version 2: version 2 is known already, so it has no effect")
    ]
    assert letters(play([first, first, "10:00 created", first], "10:30")) == []


def test_a_broken_document_is_one_dead_letter_that_names_each_field_and_the_old_rule_goes_on() -> None:
    lines: list[Line] = [rule("09:00", "stage_timeout", 2, norms={"craeted": "3m"}, factr=2), "10:00 created"]

    records = play(lines, "10:30")

    assert [(step.time, step.rule_version) for step in alerts("stage_timeout", records)] == [(at("10:05"), 1)]
    assert letters(records) == [
        (
            "invalid_rule",
            (
                "stage_timeout, version 2: settings.norms.craeted: is not a stage; did you mean 'created'?; "
                "settings.factr: unknown setting; did you mean 'factor'?"
            ),
        )
    ]


def test_a_late_document_takes_effect_at_its_bound_and_is_told_once() -> None:
    lines: list[Line] = [
        "10:00 created A",
        "10:10 created B",
        rule("10:00", "stage_timeout", 2, **SHORTER),
        "10:10 created C",
    ]

    records = play(lines, "10:30")

    assert [(step.entity_id, step.rule_version) for step in alerts("stage_timeout", records)] == [
        ("A", 1), ("B", 2), ("C", 2),
    ]  # fmt: skip
    (late,) = of_kind(LateRecord, records)
    assert (late.event_type, late.entity_id, late.applied_at) == ("rule.published", "stage_timeout", at("10:09:50"))


def test_a_document_does_not_move_time() -> None:
    """One of today in last week's files must not let every open order run out."""
    flow = MemoryDriver(topology(Environment(SETTINGS, 4, HASH_KEY)), ["day"])
    records = flow.feed(batch("day", log_of(["10:00 created", rule("+7d 10:00", "resonance", 2)]), finished=True))
    assert of_kind(AlertRecord, records) == []
    assert flow.intake.watermark == at("10:00")


BURST = [f"10:0{number} created O{number} card=c amount={100 + number}" for number in range(5)]


def test_a_burst_is_judged_by_the_limit_of_its_moment() -> None:
    four = rule("09:00", "card_burst", 2, "10:03", any_amount={"count": 4})
    assert told("card_burst", [four, *BURST], "10:05") == [
        "10:03 opened burst card c: O0 O1 O2 O3 v2",
        "10:04 updated burst joined card c: O0 O1 O2 O3 O4 v2",
    ]
    assert told("card_burst", [rule("09:00", "card_burst", 2, "10:05", any_amount={"count": 4}), *BURST], "10:05") == [
        "10:04 opened burst card c: O0 O1 O2 O3 O4 v1"
    ]


def test_a_burst_that_is_none_by_the_new_numbers_ends_at_the_next_event_of_its_card() -> None:
    ten = rule("10:04:30", "card_burst", 2, any_amount={"count": 10})
    steps = told("card_burst", [*BURST, ten, "10:06 created O6 card=c amount=106"], "10:07")
    assert steps == [
        "10:04 opened burst card c: O0 O1 O2 O3 O4 v1",
        "10:06 resolved burst window_passed card c: O0 O1 O2 O3 O4 v2",
    ]


def test_a_burst_that_is_none_by_the_new_numbers_ends_without_an_event_too() -> None:
    ten = rule("10:04:30", "card_burst", 2, any_amount={"count": 10})
    (_, resolved) = told("card_burst", [*BURST, ten], "11:00")
    assert resolved == "10:10:00.001 resolved burst window_passed card c: O0 O1 O2 O3 O4 v2"


def test_which_keys_and_moments_count_changes_at_its_moment() -> None:
    only_phones = rule("10:02", "card_burst", 2, keys=["phone"], judged_on=["paid"])
    assert told("card_burst", [*BURST[:2], only_phones, *BURST[2:]], "10:05") == []


def test_a_document_may_begin_to_hold_where_the_file_holds_nothing() -> None:
    files = settings(card_burst={"hold": False}, resonance={"hold": False})
    records = play([rule("09:00", "card_burst", 2, hold=True), *BURST], "10:05", files)
    assert len(of_kind(HoldRecord, records)) == 5


SIGNS = ["10:00 created", "10:00 signal signal=rating_threat", "10:01 signal signal=urgency_words"]


def test_a_threshold_is_judged_at_the_next_signal_and_the_weight_of_earlier_ones_stays() -> None:
    lower = rule("10:02", "resonance", 2, orange=2, weights={"rating_threat": 0.1, "coupon_depth": 0.1})
    lines: list[Line] = [*SIGNS[:2], "10:01 signal signal=payment_dwell", lower, "10:03 signal signal=coupon_depth"]
    assert told("resonance", lines, "10:04") == ["10:03 opened orange v2"]


def test_an_alert_that_is_none_by_the_new_threshold_ends_before_the_next_signal_counts() -> None:
    higher = rule("10:02", "resonance", 2, orange=3)
    lines: list[Line] = [*SIGNS, higher, "10:03 signal signal=payment_dwell"]
    assert told("resonance", lines, "10:04") == [
        "10:01 opened orange v1",
        "10:03 resolved orange quiet v2",
        "10:03 opened orange v2",
    ]


def test_a_shorter_window_forgets_what_it_does_not_reach() -> None:
    shorter = rule("10:02", "resonance", 2, window="90s")
    lines: list[Line] = [*SIGNS, shorter, "10:02 signal signal=payment_dwell"]
    assert told("resonance", lines, "10:02:00.500") == ["10:01 opened orange v1", "10:02 resolved orange quiet v2"]


def test_what_leaves_the_window_at_the_moment_of_change_leaves_it_by_the_rule_before() -> None:
    other = rule("10:02", "resonance", 2, "10:30:00.001", orange=3)
    assert told("resonance", [*SIGNS, other], "10:40") == [
        "10:01 opened orange v1",
        "10:30:00.001 resolved orange quiet v1",
    ]


def test_a_rule_that_is_switched_off_opens_nothing_and_lets_what_is_open_end() -> None:
    lines: list[Line] = [
        "10:00 created A",
        rule("10:06", "stage_timeout", 2, enabled=False),
        "10:06 created B",
        "10:20 paid A",
        rule("10:30", "stage_timeout", 3),
        "10:30 created C",
        "10:31 paid B",
    ]
    assert told("stage_timeout", lines, "10:36") == [
        "10:05 opened breach v1",
        "10:20 resolved breach paid_late v1",
        "10:35 opened breach C v3",
    ]


def test_a_rule_that_is_switched_off_holds_nothing() -> None:
    off = rule("10:02", "card_burst", 2, enabled=False)
    records = play([off, *BURST, rule("10:05", "card_burst", 3), "10:06 created O6 card=c amount=106"], "10:07")
    assert of_kind(HoldRecord, records) == []
    assert alerts("card_burst", records) == []


def test_a_rule_that_the_file_switches_off_cannot_be_changed() -> None:
    files = settings(card_burst={"enabled": False})
    records = play([rule("09:00", "card_burst", 2, enabled=True), *BURST], "10:05", files)
    ((reason, detail),) = letters(records)
    assert reason == "invalid_rule"
    assert "set detectors.card_burst.enabled = true there, and start the run again" in detail


def test_illegal_moves_and_merge_groups_follow_their_rules() -> None:
    lines: list[Line] = [
        rule("09:00", "merge_candidate", 2, window="5m"),
        rule("09:00", "illegal_transition", 4),
        "10:00 created A customer=C address=home",
        "10:04 created B customer=C address=home",
        "10:05 packed B",
    ]
    assert [step.rule_version for step in alerts("illegal_transition", play(lines, "10:20"))] == [4]
    assert told("merge_candidate", lines, "10:20") == [
        "10:04 opened candidate customer C: A B v2",
        "10:09 resolved candidate window_closed customer C: A B v2",
    ]


def restarted(lines: Sequence[Line], cut: int, until: str, files: Settings) -> list[Record]:
    before, after = flow_of(until), flow_of(until, files)
    log = log_of(lines)
    records = before.feed(batch("day", log[:cut]))
    after.restore(before.snapshot())
    return [*records, *after.feed(batch("day", log[cut:], cut, finished=True))]


@pytest.mark.parametrize("cut", range(4))
def test_a_restart_loses_neither_what_holds_nor_what_waits(cut: int) -> None:
    lines: list[Line] = [
        rule("10:00", "stage_timeout", 2, "10:02", **SHORTER),
        "10:01 created A",
        "10:02 created B",
        "10:20 paid A",
    ]
    records = restarted(lines, cut, "10:30", SETTINGS)
    steps = [f"{say(step)} v{step.rule_version}" for step in alerts("stage_timeout", records)]
    assert steps == told("stage_timeout", lines, "10:30")


def test_a_file_with_a_newer_version_holds_after_a_restart() -> None:
    lines: list[Line] = [rule("10:00", "stage_timeout", 2, **SHORTER), "10:15 created A", "10:30 created B"]
    files = settings(stage_timeout={"version": 3})
    assert [
        (step.entity_id, step.rule_version)
        for step in alerts("stage_timeout", restarted(lines, 2, "10:50", files))
        if step.step == "opened"
    ] == [("A", 3), ("B", 3)]


def test_a_document_in_effect_that_does_not_fit_the_files_of_a_restart_is_refused_with_the_remedy() -> None:
    lines: list[Line] = [rule("10:00", "resonance", 2, orange=3), "10:15 created A"]
    with pytest.raises(SnapshotError, match=r"rule resonance, version 2 is in effect.*settings\.lock.*larger version"):
        restarted(lines, 2, "10:50", settings(resonance={"orange": 1, "lock": 2}))


def test_the_end_of_all_input_is_no_moment_at_which_a_rule_changes() -> None:
    assert RulesInEffect(Rulebook(SETTINGS)).next > AFTER_TIME
