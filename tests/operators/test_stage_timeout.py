"""`stage_timeout`: an order, or a parcel, stays in a stage for longer than its limit. The norms are the defaults'."""

import pytest

from tests.operators.timeline import alerts, play, settings, table, told

RULE = "stage_timeout"


@table(
    ("created, nothing more", ["10:00 created"], "10:06", ["10:05 opened breach"]),
    ("a millisecond before the deadline", ["10:00 created"], "10:04:59.999", []),
    ("exactly at the deadline", ["10:00 created"], "10:05", ["10:05 opened breach"]),
    ("paid in time", ["10:00 created", "10:04:59.999 paid"], "10:20", []),
    ("paid exactly at the deadline", ["10:00 created", "10:05 paid"], "10:20", []),
    (
        "paid a millisecond late",
        ["10:00 created", "10:05:00.001 paid"],
        "10:20",
        ["10:05 opened breach", "10:05:00.001 resolved breach paid_late"],
    ),
    (
        "cancelled instead of paid",
        ["10:00 created", "10:07 cancelled"],
        "12:00",
        ["10:05 opened breach", "10:07 resolved breach cancelled"],
    ),
    (
        "each stay in a stage is an alert of its own",
        ["10:00 created", "10:01 paid", "10:40 queued"],
        "11:15",
        ["10:31 opened breach", "10:40 resolved breach moved_on", "11:10 opened breach"],
    ),
    (
        "a payment that moves nothing does not start the clock again",
        ["10:00 created", "10:01 paid", "10:20 paid"],
        "10:40",
        ["10:31 opened breach"],
    ),
    (
        "an illegal move leaves the clock as it is",
        ["10:00 created", "10:04 packed"],
        "10:20",
        ["10:05 opened breach"],
    ),
    (
        "a payment made known after the warehouse went on: caught up at that moment",
        ["10:00 created", "10:06 queued", "10:07 paid"],
        "10:37",
        ["10:05 opened breach", "10:07 resolved breach paid_late", "10:37 opened breach"],
    ),
    (
        "an order made known last begins then",
        ["10:00 queued", "10:01 paid", "10:02 created"],
        "10:32",
        ["10:32 opened breach"],
    ),
    ("a finished order has no limit", ["10:00 created", "10:01 cancelled"], "+6d 10:00", []),
    (
        "an order id used again after it was forgotten is a new order",
        ["10:00 created", "10:01 cancelled", "+8d 10:00 created"],
        "+8d 10:05",
        ["+8d 10:05 opened breach"],
    ),
    (
        "an order id used again while the closed order is remembered is not",
        ["10:00 created", "10:01 cancelled", "+6d 10:00 created"],
        "+6d 10:30",
        [],
    ),
    (
        "two orders have nothing to do with each other",
        ["10:00 created", "10:02 created B", "10:03 paid"],
        "10:08",
        ["10:07 opened breach B"],
    ),
)
def test_an_order_must_leave_its_stage_in_time(lines: list[str], until: str, expected: list[str]) -> None:
    assert told(RULE, lines, until) == expected


@table(
    (
        "declared parcels take over the order's clock",
        ["10:00 created", "10:01 paid", "10:10 split parcels=P,Q", "10:20 queued A/P"],
        "10:45",
        ["10:31 opened breach A/Q"],
    ),
    (
        "the order's alert ends with the split and late parcels open their own",
        ["10:00 created", "10:01 paid", "10:40 split parcels=P,Q", "10:50 queued A/P"],
        "11:00",
        [
            "10:31 opened breach",
            "10:40 resolved breach split",
            "10:40 opened breach A/P",
            "10:40 opened breach A/Q",
            "10:50 resolved breach moved_on A/P",
        ],
    ),
    (
        "split exactly at the deadline: only the parcels are late",
        ["10:00 created", "10:01 paid", "10:31 split parcels=P,Q", "10:40 queued A/Q"],
        "10:45",
        ["10:31 opened breach A/P", "10:31 opened breach A/Q", "10:40 resolved breach moved_on A/Q"],
    ),
    (
        "one parcel is no split",
        ["10:00 created", "10:01 paid", "10:10 split parcels=P", "10:20 queued A/P"],
        "10:50",
        ["10:50 opened breach"],
    ),
    (
        "the second parcel named starts where the order stood before the first was named",
        ["10:00 created", "10:01 paid", "10:10 queued A/P", "10:20 queued A/Q"],
        "10:45",
        ["10:40 opened breach A/P"],
    ),
    (
        "a scan alone can name the second parcel",
        ["10:00 created", "10:01 paid", "10:10 queued A/P", "10:20 scanned A/Q scan=seen"],
        "10:35",
        ["10:31 opened breach A/Q"],
    ),
    (
        "a second parcel named when its stage is overdue is overdue at once",
        ["10:00 created", "10:01 paid", "10:10 queued A/P", "10:36 scanned A/Q scan=seen"],
        "10:37",
        ["10:36 opened breach A/Q"],
    ),
    (
        "a parcel named after a split starts where the order stood at the split",
        ["10:00 created", "10:01 paid", "10:05 split parcels=P,Q", "10:06 queued", "10:20 scanned A/R scan=seen"],
        "10:35",
        ["10:31 opened breach A/R"],
    ),
    (
        "a move that names no parcel moves every parcel that can",
        [
            "10:00 created",
            "10:01 paid",
            "10:02 split parcels=P,Q",
            "10:03 queued A/P",
            "10:04 accepted",
            "10:05 queued",
        ],
        "10:36",
        ["10:35 opened breach A/Q"],
    ),
    (
        "parcels that all move on are all in time",
        ["10:00 created", "10:01 paid", "10:02 split parcels=P,Q", "10:31 queued A/P", "10:31 queued A/Q"],
        "10:59",
        [],
    ),
    (
        "a parcel that is cancelled says so",
        ["10:00 created", "10:01 paid", "10:02 split parcels=P,Q", "10:40 cancelled A/P", "10:41 queued A/Q"],
        "10:42",
        [
            "10:31 opened breach A/P",
            "10:31 opened breach A/Q",
            "10:40 resolved breach cancelled A/P",
            "10:41 resolved breach moved_on A/Q",
        ],
    ),
    (
        "a parcel catches up by itself",
        [
            "10:00 created",
            "10:01 paid",
            "10:02 split parcels=P,Q",
            "10:03 accepted A/P",
            "10:10 queued A/P",
            "10:11 queued A/Q",
        ],
        "11:10",
        ["10:41 opened breach A/Q", "11:10 opened breach A/P"],
    ),
    (
        "a parcel catches up with what named none",
        [
            "10:00 created",
            "10:01 paid",
            "10:02 split parcels=P,Q",
            "10:03 accepted",
            "10:10 queued A/P",
            "10:11 queued A/Q",
        ],
        "11:10",
        ["10:41 opened breach A/Q", "11:10 opened breach A/P"],
    ),
)
def test_limits_run_for_each_parcel_of_a_split_order(lines: list[str], until: str, expected: list[str]) -> None:
    assert told(RULE, lines, until) == expected


@table(
    (
        "reminded, then overdue, then paid",
        ["10:00 created", "10:06 paid"],
        "10:20",
        ["10:03 opened reminder", "10:05 updated breach limit_exceeded", "10:06 resolved breach paid_late"],
    ),
    ("paid when the reminder is due", ["10:00 created", "10:03 paid"], "10:20", []),
    (
        "paid a millisecond after the reminder",
        ["10:00 created", "10:03:00.001 paid"],
        "10:20",
        ["10:03 opened reminder", "10:03:00.001 resolved reminder paid_late"],
    ),
    (
        "paid exactly at the deadline",
        ["10:00 created", "10:05 paid"],
        "10:20",
        ["10:03 opened reminder", "10:05 resolved reminder paid_late"],
    ),
    (
        "split between reminder and deadline: the parcels are reminded at that moment",
        ["10:00 created", "10:01 paid", "10:30 split parcels=P,Q", "10:30:30 queued A/P"],
        "10:32",
        [
            "10:29 opened reminder",
            "10:30 resolved reminder split",
            "10:30 opened reminder A/P",
            "10:30 opened reminder A/Q",
            "10:30:30 resolved reminder moved_on A/P",
            "10:31 updated breach limit_exceeded A/Q",
        ],
    ),
)
def test_a_reminder_comes_two_minutes_before_the_limit(lines: list[str], until: str, expected: list[str]) -> None:
    assert told(RULE, lines, until, settings(stage_timeout={"reminder_lead": "2m"})) == expected


@pytest.mark.parametrize("lead", ["5m", "6m"])
def test_a_reminder_that_would_not_come_after_the_start_is_none(lead: str) -> None:
    changed = settings(stage_timeout={"reminder_lead": lead})
    assert told(RULE, ["10:00 created"], "10:20", changed) == ["10:05 opened breach"]


def test_the_shortest_possible_reminder_comes_a_millisecond_after_the_start() -> None:
    changed = settings(stage_timeout={"reminder_lead": "4m59s999ms"})
    assert told(RULE, ["10:00 created"], "10:01", changed) == ["10:00:00.001 opened reminder"]


@table(
    ("general goods", ["10:00 created"], "10:20", ["10:07:30 opened breach"]),
    ("fresh goods have a norm of their own", ["10:00 created category=fresh"], "10:20", ["10:01:30 opened breach"]),
    (
        "where fresh goods have none of their own, the common one counts",
        ["10:00 created category=fresh", "10:01 paid"],
        "11:00",
        ["10:46 opened breach"],
    ),
    (
        "a category changed later counts from the next stage on",
        ["10:00 created", "10:01 changed category=frozen", "10:05 paid"],
        "11:00",
        ["10:06:30 opened breach"],
    ),
)
def test_limits_depend_on_category_and_factor(lines: list[str], until: str, expected: list[str]) -> None:
    norms = {"fresh": {"created": "1m"}, "frozen": {"paid": "1m"}}
    assert told(RULE, lines, until, settings(stage_timeout={"factor": 1.5, "by_category": norms})) == expected


def test_a_limit_is_rounded_down_to_milliseconds() -> None:
    changed = settings(stage_timeout={"factor": 0.5}, stages={"created": {"norm": "1001ms"}})
    assert told(RULE, ["10:00 created"], "10:01", changed) == ["10:00:00.500 opened breach"]


def test_severity_reason_and_evidence_are_those_of_the_step() -> None:
    changed = settings(stage_timeout={"reminder_lead": "2m", "version": 7})
    reminded, late, paid = alerts(RULE, play(["10:00 created", "10:06 paid"], "10:20", changed))
    assert [step.severity for step in (reminded, late, paid)] == ["info", "warning", "warning"]
    assert [step.reason for step in (reminded, late, paid)] == ["limit_near", "limit_exceeded", "paid_late"]
    assert [step.step_number for step in (reminded, late, paid)] == [1, 2, 3]
    assert len({(step.episode, step.opened_at, step.rule_version) for step in (reminded, late, paid)}) == 1
    assert (late.rule_version, late.orders, late.opened_at) == (7, ("A",), reminded.time)
    assert late.evidence == {
        "subject": "created",
        "since": late.time - 300_000,
        "deadline": late.time,
        "limit_ms": 300_000,
        "event_id": "0000",
    }


def test_a_limit_that_is_not_the_plain_norm_says_where_it_comes_from() -> None:
    changed = settings(stage_timeout={"by_category": {"fresh": {"created": "3m"}}})
    (late,) = alerts(RULE, play(["10:00 created category=fresh"], "10:05", changed))
    assert late.evidence["limit_from"] == [
        {"what": "norm", "category": "fresh", "ms": 180_000, "factor_thousandths": 1000}
    ]


def test_a_parcel_is_an_entity_of_its_own_that_names_its_order() -> None:
    lines = ["10:00 created", "10:01 paid", "10:10 split parcels=P,Q", "10:20 queued A/P"]
    (step,) = alerts(RULE, play(lines, "10:45"))
    assert (step.entity_type, step.entity_id, step.orders) == ("parcel", "A/Q", ("A",))


def test_without_the_detector_nobody_watches_stages() -> None:
    assert told(RULE, ["10:00 created"], "10:20", settings(stage_timeout={"enabled": False})) == []


def test_another_chain_brings_its_own_stages_and_limits() -> None:
    lines = ["10:00 created", "10:01 paid", "10:02 stock_checked", "10:03 courier_assigned"]
    assert told(RULE, lines, "11:03", settings(chain="fulfilment")) == ["11:03 opened breach"]
