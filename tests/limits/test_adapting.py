"""Limits that adapt: promised time, hour of the day, season, working calendar. 2026-05-10 is a Sunday."""

from typing import Any

import pytest

from config.settings import Settings
from events.records import AlertRecord
from tests.operators.timeline import alerts, at, play, settings, table, told

RULE = "stage_timeout"
EVENING: dict[str, Any] = {"hours": {"evening": {"times": ["20:00/24:00"], "extra": "1h", "stages": ["created"]}}}
PROMISED: dict[str, Any] = {"promised_for": ["presale"]}
THEN = at("+2d 10:00")
LATER = at("+3d 10:00")
PRESALE = [f"10:00 created category=presale promised_at={THEN}", "10:01 paid"]


def adapting(rule: str = RULE, **changes: Any) -> Settings:
    return settings(**{rule: changes})


@table(
    ("before the hour", ["19:59:59.999 created"], "20:10", ["20:04:59.999 opened breach"]),
    ("from the hour on", ["20:00 created"], "21:05", ["21:05 opened breach"]),
    ("until midnight", ["23:59 created"], "+1d 1:04", ["+1d 01:04 opened breach"]),
    ("midnight is the next day", ["+1d 0:00 created"], "+1d 0:05", ["+1d 00:05 opened breach"]),
    ("only where it says", ["20:00 created", "20:01 paid"], "20:31", ["20:31 opened breach"]),
)
def test_an_order_placed_in_the_evening_may_wait_longer(lines: list[str], until: str, expected: list[str]) -> None:
    assert told(RULE, lines, until, adapting(**EVENING)) == expected


def test_hours_may_pass_midnight_and_several_add_up() -> None:
    hours = {
        "night": {"times": ["22:00/06:00"], "extra": "1h"},
        "small": {"times": ["00:00/03:00", "05:00/06:00"], "extra": "10m"},
    }
    lines = ["1:00 created", "4:00 created B", "6:00 created C"]
    assert told(RULE, lines, "7:00", adapting(hours=hours)) == [
        "02:15 opened breach",
        "05:05 opened breach B",
        "06:05 opened breach C",
    ]


def test_the_hour_is_that_of_the_zone_of_the_shop() -> None:
    berlin = settings(zone="Europe/Berlin", stage_timeout=EVENING)
    assert told(RULE, ["+1d 2:00 created"], "+1d 3:10", berlin) == ["+1d 03:05 opened breach"]  # 20:00 in Berlin


def test_the_first_season_that_has_the_day_counts_for_its_stages() -> None:
    seasons = {
        "spring": {"dates": ["05-10/05-10"], "factor": 2, "stages": ["created"]},
        "year": {"dates": ["03-01/02-28"], "factor": 3},
    }
    lines = ["10:00 created", "+1d 10:00 created B", "+1d 10:01 paid B"]
    assert told(RULE, lines, "+2d 0:00", adapting(seasons=seasons)) == [
        "10:10 opened breach",
        "+1d 11:31 opened breach B",
    ]


@table(
    ("over the weekend", ["10:00 created"], "+2d 0:00", ["+1d 00:05 opened breach"]),
    ("the stage has its own", ["10:00 created", "10:04 paid"], "+2d 0:00", ["+1d 09:30 opened breach"]),
    (
        "one stage counts every moment",
        ["10:00 created", "10:01 paid", "10:02 queued"],
        "+2d 0:00",
        ["10:32 opened breach"],
    ),
)
def test_limits_count_working_time_alone(lines: list[str], until: str, expected: list[str]) -> None:
    office = {"calendars": {"office": {"holidays": "china", "weekend": ["sat", "sun"], "times": ["09:00/18:00"]}}}
    by_stage = {"calendar": "china", "calendars": {"paid": "office", "queued": ""}}
    assert told(RULE, lines, "+1d 10:00", settings(stage_timeout=by_stage, **office)) == expected


def test_a_lead_is_working_time_too() -> None:
    office = {"calendars": {"office": {"holidays": "none", "weekend": ["sun"], "times": ["09:00/18:00"]}}}
    rules = settings(stage_timeout={"calendar": "office", "reminder_lead": "20m"}, **office)
    lines = ["+1d 17:40 created", "+1d 17:41 paid"]
    assert told(RULE, lines, "+2d 10:00", rules) == [
        "+1d 17:51 opened reminder",
        "+2d 09:11 updated breach limit_exceeded",
    ]


@table(
    ("it waits for its promise", PRESALE, "+3d 0:00", ["+2d 10:30 opened breach"]),
    ("until it is paid it is like any other", PRESALE[:1], "+1d 0:00", ["10:05 opened breach"]),
    ("an ordinary order", [f"10:00 created promised_at={THEN}", "10:01 paid"], "+3d 0:00", ["10:31 opened breach"]),
    ("a promise that has passed", [*PRESALE[:1], "+3d 9:00 paid"], "+4d 0:00",
     ["10:05 opened breach", "+3d 09:00 resolved breach paid_late", "+3d 09:30 opened breach"]),
    ("postponed", [*PRESALE, f"+1d 9:00 changed promised_at={LATER}"], "+4d 0:00", ["+3d 10:30 opened breach"]),
    ("postponed after the alert", [*PRESALE, f"+2d 11:00 changed promised_at={LATER}"], "+4d 0:00",
     ["+2d 10:30 opened breach", "+2d 11:00 resolved breach rescheduled", "+3d 10:30 opened breach"]),
    ("brought forward", [*PRESALE, f"+1d 9:00 changed promised_at={at('+1d 8:00')}"], "+4d 0:00",
     ["+1d 09:00 opened breach"]),
    ("no longer promised", [*PRESALE, "10:02 changed promised_at=-"], "+4d 0:00", ["10:31 opened breach"]),
    ("the same promise again", [*PRESALE, f"+1d 9:00 changed promised_at={THEN}"], "+4d 0:00",
     ["+2d 10:30 opened breach"]),
    ("shipped before it was promised", [*PRESALE, *(f"10:02 {stage}" for stage in
     ("queued", "accepted", "printed", "picked", "packed", "collected"))], "+3d 10:02", ["+3d 10:02 opened breach"]),
)  # fmt: skip
@pytest.mark.parametrize("by_history", [False, True])
def test_presale_clocks_start_at_the_promised_time(
    lines: list[str], until: str, expected: list[str], by_history: bool
) -> None:
    rules = adapting(**PROMISED, history={"enabled": by_history, "minimum": 200})
    assert told(RULE, lines, until, rules) == expected


def test_the_handling_limit_and_standstills_wait_for_the_promise_too() -> None:
    rules = settings(order_timeout=PROMISED, stage_timeout=PROMISED)
    assert told("order_timeout", PRESALE, "+3d 0:00", rules) == ["+2d 12:00 opened breach"]
    assert told("no_progress", PRESALE, "+3d 0:00", rules) == ["+2d 12:00 opened no_progress"]
    moved = [*PRESALE, f"+2d 13:00 changed promised_at={LATER}"]
    assert told("order_timeout", moved, "+4d 0:00", rules) == [
        "+2d 12:00 opened breach",
        "+2d 13:00 resolved breach rescheduled",
        "+3d 12:00 opened breach",
    ]


def test_the_handling_limit_adapts_by_hour_season_and_calendar() -> None:
    rules = adapting(
        "order_timeout",
        hours={"evening": {"times": ["20:00/24:00"], "extra": "30m"}},
        seasons={"peak": {"dates": ["05-01/05-31"], "factor": 2}},
        calendar="china",
    )
    assert told("order_timeout", ["20:00 created", "20:01 paid"], "+1d 5:00", rules) == ["+1d 04:30 opened breach"]


def one(lines: list[str], until: str, rules: Settings) -> AlertRecord:
    return alerts(RULE, play(lines, until, rules))[0]


def test_the_alert_says_how_its_limit_came_about() -> None:
    rules = adapting(
        **PROMISED,
        factor=2,
        calendar="china",
        by_category={"presale": {"paid": "1h"}},
        seasons={"peak": {"dates": ["05-01/05-31"], "factor": 1.5}},
        hours={"day": {"times": ["08:00/20:00"], "extra": "15m"}},
    )
    alert = one([*PRESALE[:1], "10:01 paid"], "+3d 0:00", rules)
    assert alert.evidence["subject"] == "paid"
    assert alert.evidence["limit_ms"] == 195 * 60_000
    assert alert.evidence["limit_from"] == [
        {"what": "norm", "category": "presale", "ms": 3_600_000, "factor_thousandths": 2000},
        {"what": "promised", "promised_at": THEN, "entered_at": at("10:01")},
        {"what": "season", "season": "peak", "factor_thousandths": 1500},
        {"what": "hours", "hours": "day", "extra_ms": 900_000},
        {"what": "calendar", "calendar": "china", "working_ms": 195 * 60_000},
    ]
    assert alert.text.zh.endswith(
        "时限依据:类目 presale 标准 1h × 2、自承诺时间 2026-05-12 10:00+08:00 起计、季节 peak × 1.5、时段 day +15m、"
        "只计日历 china 的工作时间"
    )
    assert alert.text.en.endswith(
        "limit from: norm of presale 1h x 2, from the promised time 2026-05-12 10:00+08:00, season peak x 1.5, "
        "hours day +15m, working time of calendar china only"
    )


def test_a_limit_that_is_the_plain_norm_says_no_more_than_ever() -> None:
    alert = one(["10:00 created"], "10:06", adapting())
    assert "limit_from" not in alert.evidence
    assert alert.text.en.endswith("(deadline 2026-05-10 10:05:00+08:00)")
