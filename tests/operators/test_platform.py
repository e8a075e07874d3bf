"""Alerts about the flow itself: when they open, what they say, how they end."""

import re
from string import Formatter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.loader import load_settings
from config.settings import PlatformSettings
from config.texts import load_texts
from events.records import AlertRecord, DeadLetterRecord
from operators.heart.dead_letters import dead_letter
from operators.platform.open_alerts import RULES, PlatformSnapshotError
from operators.platform.watch import DeadLetterLimitError, PlatformWatch

TOPIC = "orders.order.events.v1"
P = f"{TOPIC}/3"
NOON = 1_772_413_200_000
SECOND, MINUTE = 1_000, 60_000


def limits(action: str = "alert", leave_out_after: str = "0s") -> PlatformSettings:
    return load_settings(
        overrides={
            "platform": {
                "dead_letters": {"window": 100, "share": 0.1, "consecutive": 20, "action": action},
                "backlog": {"records": 1000, "delay": "10m"},
                "unreachable": {"alert_after": "30s", "leave_out_after": leave_out_after},
            }
        }
    ).platform


def letter(position: int, partition: str = P, payload: bytes = b"bad") -> DeadLetterRecord:
    return dead_letter(TOPIC, partition, position, payload, "not_json", "bad")


def refused(payload: bytes, reason: str = "invalid_rule", position: int = 7) -> DeadLetterRecord:
    return dead_letter(TOPIC, P, position, payload, reason, "settings.window: a duration needs a unit")


def steps(records: list[AlertRecord]) -> list[tuple[str, str, str]]:
    return [(record.rule, record.step, record.reason) for record in records]


class Flow:
    """A watch with a partition whose records are given as a text: ``.`` good, ``x`` dead."""

    def __init__(self, settings: PlatformSettings | None = None) -> None:
        self.watch = PlatformWatch(settings or limits())
        self.position = 0
        self.now = NOON

    def reads(self, records: str) -> list[AlertRecord]:
        self.watch.read(P, len(records))
        for index, sign in enumerate(records):
            if sign == "x":
                self.watch.dead_letter(letter(self.position + index))
        self.position += len(records)
        self.now += SECOND
        return self.watch.judge(self.now)


def test_a_share_above_the_limit_is_an_alert_and_one_below_half_of_it_ends_it() -> None:
    flow = Flow()

    quiet = [each for _ in range(10) for each in flow.reads("x.........")]
    (opened,) = flow.reads("xx........")
    still = [flow.reads("." * 10) for _ in range(6)]
    (resolved,) = flow.reads("." * 10)

    assert quiet == []
    assert (opened.rule, opened.step, opened.level, opened.reason) == (
        "dead_letters",
        "opened",
        "share",
        "share_exceeded",
    )
    assert (opened.entity_type, opened.entity_id, opened.orders) == ("platform", P, ())
    assert opened.evidence["dead"] == 11
    assert opened.evidence["first_position"] == 10
    assert still == [[]] * 6
    assert (resolved.step, resolved.reason) == ("resolved", "below_limit")
    assert (opened.id, resolved.id) == (f"{opened.episode}#1", f"{opened.episode}#2")
    assert opened.episode == f"dead_letters/platform/{P}/{opened.opened_at}"


def test_a_few_bad_records_among_the_first_are_no_alert() -> None:
    assert Flow().reads("xx.x..") == []


def test_as_many_in_a_row_as_the_limit_are_an_alert_that_names_where_they_begin() -> None:
    flow = Flow(limits())

    assert flow.reads("." * 1000 + "x" * 19) == []
    (opened,) = flow.reads("x")

    assert (opened.level, opened.reason) == ("consecutive", "in_a_row")
    assert opened.evidence["first_position"] == 1000
    assert opened.evidence["in_a_row"] == 20


def test_a_good_record_between_them_breaks_a_row() -> None:
    assert Flow().reads("." * 1000 + ("x" * 19 + ".") * 4) == []


@given(st.permutations(range(20)), st.lists(st.integers(50, 900), max_size=5, unique=True))
def test_a_row_is_found_in_whatever_order_its_letters_become_known(row: list[int], others: list[int]) -> None:
    watch = PlatformWatch(limits())
    watch.read(P, 1000)
    for position in [*row, *others]:
        watch.dead_letter(letter(position))

    (opened,) = watch.judge(NOON)

    assert opened.level == "consecutive"
    assert opened.evidence["first_position"] == 0


def test_lines_of_a_file_follow_each_other_by_their_length() -> None:
    watch = PlatformWatch(limits())
    lengths, position = [5, 40, 300, 7, 12] * 4, 0
    watch.read("order-0.ndjson", 1000)
    for length in lengths:
        watch.dead_letter(letter(position, "order-0.ndjson", b"b" * length))
        position += length + 1

    (opened,) = watch.judge(NOON)

    assert opened.level == "consecutive"


def test_lines_of_a_file_with_good_ones_between_are_no_row() -> None:
    watch = PlatformWatch(limits())
    watch.read("order-0.ndjson", 1000)
    for index in range(40):
        watch.dead_letter(letter(index * 100, "order-0.ndjson", b"b" * 60))

    assert watch.judge(NOON) == []


def test_partitions_are_judged_apart() -> None:
    watch = PlatformWatch(limits())
    for number in range(10):
        watch.read(f"{TOPIC}/{number}", 10)
        watch.dead_letter(letter(0, f"{TOPIC}/{number}"))
        watch.dead_letter(letter(5, f"{TOPIC}/{number}"))

    assert watch.judge(NOON) == []
    assert watch.dead_letter_shares()[f"{TOPIC}/0"] == 0.02


def test_with_action_stop_the_alert_is_given_once_and_then_the_run_ends() -> None:
    flow = Flow(limits(action="stop"))

    (opened,) = flow.reads("x" * 25)
    with pytest.raises(DeadLetterLimitError) as error:
        flow.reads("." * 1000)

    assert opened.rule == "dead_letters"
    assert error.value.where == f"{P}, from position 0"
    assert "25 records in a row" in error.value.what
    assert "orderpulse dlq list" in str(error.value)


def test_after_a_restart_only_new_dead_letters_stop_the_run() -> None:
    before = Flow(limits(action="stop"))
    (opened,) = before.reads("x" * 25)
    after = Flow(limits(action="stop"))
    after.watch.restore(before.watch.snapshot())

    (resolved,) = after.reads("." * 200)

    assert (resolved.episode, resolved.step) == (opened.episode, "resolved")


def test_an_alert_that_was_open_before_a_restart_does_not_end_before_as_much_was_read_as_could_open_it() -> None:
    before = Flow()
    before.reads("x" * 25)
    after = Flow()
    after.watch.restore(before.watch.snapshot())

    assert after.watch.judge(NOON) == []
    assert after.reads("." * 19) == []
    assert len(after.reads(".")) == 1


def test_a_backlog_opens_above_its_limit_and_ends_below_half_of_it() -> None:
    watch = PlatformWatch(limits(), "process 1")

    def judged(records: int, delay: int) -> list[tuple[str, str, str]]:
        watch.lag({P: records, f"{TOPIC}/1": 10}, delay)
        return steps(watch.judge(NOON))

    assert judged(900, MINUTE) == []
    assert judged(2000, MINUTE) == [("backlog", "opened", "records_exceeded")]
    assert judged(500, MINUTE) == []
    assert judged(400, 6 * MINUTE) == []
    assert judged(400, MINUTE) == [("backlog", "resolved", "below_limit")]
    assert judged(0, 11 * MINUTE) == [("backlog", "opened", "delay_exceeded")]


def test_a_backlog_around_its_limit_does_not_flap() -> None:
    watch = PlatformWatch(limits())
    given: list[AlertRecord] = []
    for records in [990, 1010] * 50:
        watch.lag({P: records}, 0)
        given += watch.judge(NOON)

    assert len(given) == 1


def test_a_partition_that_does_not_answer_is_an_alert_after_a_while_from_that_moment() -> None:
    watch = PlatformWatch(limits())
    watch.unreachable({P: (NOON, "its leader does not answer")})

    assert watch.judge(NOON + 29 * SECOND) == []
    (opened,) = watch.judge(NOON + 47 * SECOND)
    assert watch.judge(NOON + 5 * MINUTE) == []
    watch.unreachable({})
    assert watch.judge(NOON + 6 * MINUTE) == []
    (resolved,) = watch.judge(NOON + 6 * MINUTE + 15 * SECOND)

    assert opened.rule == "partition_unreachable"
    assert opened.time == opened.opened_at == NOON + 30 * SECOND
    assert "its leader does not answer" in opened.text.en
    assert (resolved.reason, resolved.evidence["lasted_ms"]) == ("answers_again", 5 * MINUTE + 45 * SECOND)


def test_a_partition_that_comes_and_goes_is_one_alert() -> None:
    watch = PlatformWatch(limits())
    given: list[AlertRecord] = []
    for minute in range(10):
        start = NOON + minute * MINUTE
        watch.unreachable({P: (start, "away")})
        given += watch.judge(start + 50 * SECOND)
        watch.unreachable({})
        given += watch.judge(start + 51 * SECOND)

    assert steps(given) == [("partition_unreachable", "opened", "unreachable")]


def test_a_partition_left_out_is_an_alert_of_its_own_if_the_settings_ask_for_it() -> None:
    never, after_two_minutes = PlatformWatch(limits()), PlatformWatch(limits(leave_out_after="2m"))
    for watch in (never, after_two_minutes):
        watch.unreachable({P: (NOON, "away")})

    found = [[record.rule for record in watch.judge(NOON + 3 * MINUTE)] for watch in (never, after_two_minutes)]

    assert found == [["partition_unreachable"], ["partition_unreachable", "partition_left_out"]]


def test_a_sink_that_stands_still_is_an_alert_until_it_goes_on() -> None:
    watch = PlatformWatch(limits())
    watch.waiting({"Redis at cache:6379": (NOON, "connection refused")})
    (opened,) = watch.judge(NOON + MINUTE)
    watch.waiting({})
    watch.judge(NOON + 2 * MINUTE)
    (resolved,) = watch.judge(NOON + 3 * MINUTE)

    assert (opened.rule, opened.entity_id) == ("component_waiting", "Redis at cache:6379")
    assert opened.text.en == (
        "Redis at cache:6379 has stood still since 2026-03-02T01:00:00.000Z and holds the flow back: connection refused"
    )
    assert resolved.reason == "goes_on"


def test_what_stood_open_before_a_restart_ends_after_it() -> None:
    before = PlatformWatch(limits())
    before.waiting({"Kafka": (NOON, "no acknowledgement")})
    before.unreachable({P: (NOON, "away")})
    before.lag({P: 5000}, 0)
    opened = before.judge(NOON + MINUTE)

    after = PlatformWatch(limits())
    after.restore(before.snapshot())
    after.lag({P: 0}, 0)
    resolved = [*after.judge(NOON + 2 * MINUTE), *after.judge(NOON + 3 * MINUTE)]

    assert {record.episode for record in resolved} == {record.episode for record in opened}
    assert {record.step for record in resolved} == {"resolved"}


def test_what_stands_on_after_a_restart_is_not_opened_again() -> None:
    before, after = PlatformWatch(limits()), PlatformWatch(limits())
    before.unreachable({P: (NOON, "away")})
    before.judge(NOON + MINUTE)

    after.restore(before.snapshot())
    after.unreachable({P: (NOON + MINUTE, "away")})

    assert after.judge(NOON + 5 * MINUTE) == []


def test_with_another_number_of_processes_what_another_one_watches_ends_at_once() -> None:
    before = PlatformWatch(limits(), "flow/1")
    before.unreachable({P: (NOON, "away"), f"{TOPIC}/4": (NOON, "away")})
    before.lag({P: 5000}, 0)
    before.judge(NOON + MINUTE)
    after = PlatformWatch(limits(), "flow")
    after.restore(before.snapshot(), [P])
    after.unreachable({P: (NOON, "away")})

    ended = [(record.rule, record.entity_id, record.reason) for record in after.judge(NOON + 2 * MINUTE)]

    assert ended == [
        ("backlog", "flow/1", "watched_elsewhere"),
        ("partition_unreachable", f"{TOPIC}/4", "watched_elsewhere"),
    ]
    assert after.judge(NOON + 5 * MINUTE) == []


def test_dead_letters_of_partitions_that_are_read_elsewhere_are_not_judged() -> None:
    watch = PlatformWatch(limits())
    for position in range(200):
        watch.dead_letter(letter(position))

    assert watch.judge(NOON) == []


def told_of_rules(watch: PlatformWatch, now: int) -> list[tuple[str, str, str]]:
    return [(record.step, record.entity_id, record.reason) for record in watch.judge(now)]


def test_a_refused_rule_is_an_alert_that_names_rule_and_version_until_a_good_one_comes() -> None:
    watch = PlatformWatch(limits())
    watch.read(P, 1_000)
    watch.dead_letter(refused(b'{"rule": "card_burst", "version": 3}'))
    (opened,) = watch.judge(NOON)
    watch.dead_letter(refused(b'{"rule": "card_burst", "version": 3}', position=8))
    watch.rules_published(["resonance"])

    assert (opened.rule, opened.entity_id, opened.severity) == ("rule_refused", "card_burst/3", "critical")
    assert opened.text.en == (
        "version 3 of the rule card_burst was refused, the one before goes on: "
        "settings.window: a duration needs a unit "
        f"({P}, position 7)"
    )
    assert told_of_rules(watch, NOON + MINUTE) == []
    watch.rules_published(["card_burst"])
    assert told_of_rules(watch, NOON + 2 * MINUTE) == [("resolved", "card_burst/3", "published_again")]


def test_a_refused_rule_that_nobody_mends_is_told_for_a_day_also_over_a_restart() -> None:
    before, after = PlatformWatch(limits()), PlatformWatch(limits())
    before.read(P, 1_000)
    before.dead_letter(refused(b"[[["))
    assert told_of_rules(before, NOON) == [("opened", "?/?", "rule_refused")]
    after.restore(before.snapshot())

    assert told_of_rules(after, NOON + 23 * 60 * MINUTE) == []
    assert told_of_rules(after, NOON + 24 * 60 * MINUTE) == [("resolved", "?/?", "told_long_enough")]


def test_a_rule_that_a_newer_one_has_overtaken_is_no_trouble() -> None:
    watch = PlatformWatch(limits())
    watch.read(P, 200)
    for position in range(200):
        watch.dead_letter(refused(b'{"rule": "card_burst", "version": 3}', "superseded_rule", position))

    assert watch.judge(NOON) == []


def test_a_snapshot_of_a_later_version_is_refused() -> None:
    with pytest.raises(PlatformSnapshotError, match="format 9"):
        PlatformWatch(limits()).restore(msgspec.msgpack.encode({"format": 9}))


def test_the_same_observations_give_the_same_records() -> None:
    one, other = Flow(), Flow()
    script = ["x" * 25, "." * 100, "x." * 30, "." * 200]

    assert [one.reads(each) for each in script] == [other.reads(each) for each in script]


def test_every_rule_and_level_is_said_in_both_languages_without_a_hole() -> None:
    watch = PlatformWatch(limits(leave_out_after="2m"))
    given: list[AlertRecord] = []
    for lag, delay in ((5000, 0), (0, 0), (0, 20 * MINUTE), (0, 0)):
        watch.lag({P: lag}, delay)
        given += watch.judge(NOON)
    watch.unreachable({P: (NOON, "away")})
    watch.waiting({"Kafka": (NOON, "away")})
    watch.read(P, 100)
    for position in range(0, 40, 2):
        watch.dead_letter(letter(position))
    watch.read(f"{TOPIC}/4", 30)
    for position in range(30):
        watch.dead_letter(letter(position, f"{TOPIC}/4"))
    watch.dead_letter(refused(b'{"rule": "card_burst", "version": 3}'))
    given += watch.judge(NOON + 3 * MINUTE)
    watch.rules_published(["card_burst"])
    watch.unreachable({})
    watch.waiting({})
    for partition in (P, f"{TOPIC}/4"):
        watch.read(partition, 1000)
        watch.read(partition, 1000)
    given += [*watch.judge(NOON + 4 * MINUTE), *watch.judge(NOON + 5 * MINUTE)]

    templates = load_texts().rules
    said = {(record.rule, "resolved" if record.step == "resolved" else record.level) for record in given}
    assert said == {(rule, name) for rule in RULES for name in templates[rule]}
    for record in given:
        template = templates[record.rule]["resolved" if record.step == "resolved" else record.level]
        for pattern, text in ((template.zh, record.text.zh), (template.en, record.text.en)):
            parts = Formatter().parse(pattern)
            filled = "".join(re.escape(literal) + (r"\s*\S.*?" if name else "") for literal, name, _, _ in parts)
            assert re.fullmatch(filled, text), text
            assert "None" not in text
