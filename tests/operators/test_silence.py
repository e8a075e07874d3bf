"""`silence`: what stops producing. Orders that come to stand before a silent stage are told apart from no orders."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from config.loader import load_settings
from config.problems import ConfigurationError
from events.records import AlertRecord
from operators.heart.component import Environment
from operators.registry import components_of
from tests.operators.timeline import SETTINGS, alerts, event, play, settings, table, told

RULE = "silence"
ON: Mapping[str, Any] = {"enabled": True, "history": 1, "weeks": 2, "expected": 5}
DEFAULTS = settings(silence={"enabled": True})
LEARNT = settings(silence=ON)
WITH_A_JOB = settings(silence={"enabled": True, "jobs": {"push": {"period": "15m", "stage": "queued"}}})
A_QUEUED = ["10:00 created", "10:01 paid", "10:02 queued"]


def paid(first: int, last: int, hour: int = 10) -> list[str]:
    """Orders O<minute>, one a minute, each created and paid in one minute of the hour."""
    return [
        line
        for minute in range(first, last + 1)
        for line in (
            f"{hour}:{minute:02d}:10 created O{hour}{minute:02d} amount=100",
            f"{hour}:{minute:02d}:20 paid O{hour}{minute:02d}",
        )
    ]


def weeks(lines: Iterable[str], count: int = 2) -> list[str]:
    """The same day in several weeks, with orders of their own."""
    return [
        f"+{7 * week}d {line}W{week}" if "O" in line else f"+{7 * week}d {line}"
        for week in range(count)
        for line in lines
    ]


def ready(order: str, *clock: str) -> list[str]:
    """An order that is created, paid and queued at these times."""
    return [f"{time} {what} {order}" for time, what in zip(clock, ("created", "paid", "queued"), strict=False)]


@table(
    ("the stage stands while orders are being paid", [*A_QUEUED, *paid(5, 40)], "10:50",
     ["10:36 opened silent queued"]),
    ("half an hour begins with the first order that comes to wait", [*A_QUEUED, *paid(30, 59)], "11:10",
     ["11:01 opened silent queued"]),
    ("one order is enough to wait", [*A_QUEUED, *paid(5, 5)], "10:50", ["10:36 opened silent queued"]),
    ("an order enters in the last minute", [*A_QUEUED, *paid(5, 6), "10:35:30 queued O1005"], "11:00", []),
    ("an order enters in the minute after", [*A_QUEUED, *paid(5, 6), "10:36 queued O1005"], "11:00",
     ["10:36 opened silent queued", "10:37 resolved silent moves_again queued"]),
    ("nothing is paid, nothing waits", [*A_QUEUED, "10:50 created B"], "12:00", []),
    ("what waits is cancelled in time", [*A_QUEUED, *paid(5, 5), "10:20 cancelled O1005"], "12:00", []),
    ("what waits is cancelled too late", [*A_QUEUED, *paid(5, 5), "10:50 cancelled O1005"], "12:00",
     ["10:36 opened silent queued", "10:51 resolved silent nothing_waits queued"]),
    ("one that waited already when the last one entered is no news",
     ["9:50 created B", "9:51 paid B", *A_QUEUED], "12:00", []),
    ("the alert is told again when twice as many wait", [*A_QUEUED, *paid(5, 59), *paid(0, 59, 11)], "12:00",
     ["10:36 opened silent queued", "11:07 updated silent more_wait queued"]),
)  # fmt: skip
def test_a_stage_stands_while_the_one_before_it_moves(lines: list[str], until: str, expected: list[str]) -> None:
    assert told(RULE, lines, until, DEFAULTS) == expected


def test_a_parcel_that_waits_makes_its_order_wait() -> None:
    lines = [*A_QUEUED, "10:05 created B amount=700", "10:06 paid B", "10:07 split B parcels=P,Q", "10:08 queued B/P"]
    (opened,) = alerts(RULE, play(lines, "11:00", DEFAULTS))
    assert opened.evidence["count"] == 1
    assert opened.evidence["amount"] == 700
    assert told(RULE, [*lines, "10:09 queued B/Q"], "11:00", DEFAULTS) == []


def test_the_alert_has_the_number_and_the_amount_of_the_orders_that_wait() -> None:
    opened, resolved = alerts(RULE, play([*A_QUEUED, *paid(5, 40), "11:00 queued O1005"], "11:30", DEFAULTS))[:2]
    assert (opened.entity_type, opened.entity_id, opened.severity) == ("stage", "queued", "critical")
    assert {name: opened.evidence[name] for name in ("count", "amount", "other", "expected")} == {
        "count": 31, "amount": 3_100, "other": 31, "expected": None,
    }  # fmt: skip
    assert opened.text.zh == (
        "环节「已进仓队列」自 2026-05-10 10:06:00+08:00 起没有动静(按以往应有 ? 条),而别处有 31 条;"
        "31 单共 31.00 元在等待"
    )
    assert resolved.reason == "moves_again"
    assert (resolved.evidence["count"], resolved.evidence["amount"]) == (36, 3_600)


def test_an_amount_that_becomes_known_while_the_order_waits_is_counted() -> None:
    known_late = settings(stages={"paid": {"silence": "30m"}}, silence={"enabled": True})
    lines = ["10:00 moved B stage=created", "10:05 created B amount=4200"]
    (opened,) = alerts(RULE, play(lines, "10:40", known_late))
    assert (opened.entity_id, opened.evidence["count"], opened.evidence["amount"]) == ("paid", 1, 4_200)


BEAT = "10:00 beat - job=push"


@table(
    ("it runs in time", [BEAT, "10:15 beat - job=push"], "10:34", []),
    ("it runs exactly at the end of its grace", [BEAT, "10:20 beat - job=push"], "10:39", []),
    ("it misses its period", [BEAT], "11:00", ["10:20 opened missed_period push"]),
    ("it runs a millisecond late", [BEAT, "10:20:00.001 beat - job=push"], "10:30",
     ["10:20 opened missed_period push", "10:20:00.001 resolved missed_period moves_again push"]),
    ("it never ran", A_QUEUED, "10:21", ["10:21 opened missed_period push"]),
)  # fmt: skip
def test_a_job_runs_within_its_period_and_grace(lines: list[str], until: str, expected: list[str]) -> None:
    assert told(RULE, lines, until, WITH_A_JOB) == expected


@table(
    ("the heartbeat says its period", ["10:00 beat - job=sync period=600000"], "11:00",
     ["10:15 opened missed_period sync"]),
    ("a heartbeat without a period of a job that is not named", ["10:00 beat - job=sync"], "11:00", []),
)  # fmt: skip
def test_a_job_that_the_settings_do_not_name(lines: list[str], until: str, expected: list[str]) -> None:
    assert told(RULE, lines, until, DEFAULTS) == expected


def test_a_job_that_dies_in_the_evening_is_found_with_the_orders_that_wait_for_it() -> None:
    """It ran each quarter of an hour and died at 20:15, while orders came and were paid."""
    runs = [f"{at} beat - job=push" for at in ("19:45", "20:00", "20:15")]
    pushed = ["20:10 created P", "20:11 paid P", "20:15 queued P"]
    evening = sorted([*runs, *pushed, *paid(16, 59, 20), *paid(0, 59, 21)])
    job, stage = alerts(RULE, play(evening, "21:05", WITH_A_JOB))[:2]
    assert (job.entity_id, job.level, job.evidence["since"]) == ("push", "missed_period", event("20:15 paid").time)
    assert (job.time, job.evidence["count"]) == (event("20:35 paid").time, 19)
    assert (stage.entity_id, stage.time) == ("queued", event("20:47 paid").time)


HOUR_OF_ORDERS = [
    f"{hour}:{minute:02d} created O{hour}{minute:02d} amount=100" for hour in (9, 10) for minute in range(60)
]


def learnt(*second_week: str) -> list[str]:
    """A week with orders each minute from nine to eleven, then the same weekday, as told."""
    return [*HOUR_OF_ORDERS, *(f"+7d {line}" for line in second_week)]


@table(
    ("no order where one a minute is usual", learnt("10:00 created B"), "+7d 10:30",
     ["+7d 10:12 opened no_orders created"]),
    ("an order every nine minutes is few, but no silence",
     learnt(*(f"10:{n:02d} created B{n}" for n in range(0, 60, 9))), "+7d 11:00", []),
    ("at night nothing is usual", learnt("10:59 created B", "23:00 signal B signal=scrolled"), "+7d 23:59", []),
    ("what is not known yet is not judged", learnt("11:30 created B"), "+8d 11:00", []),
    ("orders come again", learnt("10:00 created B", "10:20 created C"), "+7d 10:25",
     ["+7d 10:12 opened no_orders created", "+7d 10:21 resolved no_orders moves_again created"]),
)  # fmt: skip
def test_no_orders_is_judged_by_what_is_usual_in_that_hour_of_the_week(
    lines: list[str], until: str, expected: list[str]
) -> None:
    assert told(RULE, lines, until, LEARNT) == expected


def test_hours_in_which_nothing_is_usual_do_not_count_against_a_limit() -> None:
    """The warehouse takes orders until eleven; who pays at half past ten in the evening waits until the morning."""
    day = [line for n in range(60) for line in ready(f"O{n}", f"10:{n:02d}", f"10:{n:02d}:10", f"10:{n:02d}:20")]
    first = ["9:00 created A", "9:01 paid", "9:02 queued", *day]
    late = [*(f"+7d {line}".replace(" O", " S") for line in first), "+7d 22:30 created Z", "+7d 22:31 paid Z"]
    assert told(RULE, [*first, *late], "+8d 6:00", LEARNT) == []


def test_hours_of_the_week_are_those_of_the_shop_s_zone() -> None:
    """In Honolulu it is another hour of another day, but the same one each week."""
    there = settings(zone="Pacific/Honolulu", silence=ON)
    assert told(RULE, learnt("10:00 created B"), "+7d 10:30", there) == ["+7d 10:12 opened no_orders created"]


def of_sources(day: int, hour: int, until: int, *sources: str) -> list[str]:
    """Statuses of one order, one a minute and source."""
    return [
        f"+{day}d {hour}:{minute:02d} status A source={source} system={source} status=S{day}{minute}"
        for minute in range(until)
        for source in sources
    ]


def silent_sources(second_week: list[str], until: str) -> list[str]:
    lines = ["9:00 created", *of_sources(0, 9, 60, "erp", "wms"), *of_sources(0, 10, 60, "erp", "wms"), *second_week]
    return told(RULE, lines, until, LEARNT)


@table(
    ("one stops while the other goes on", [*of_sources(7, 10, 10, "erp"), *of_sources(7, 10, 40, "wms")], "+7d 10:40",
     ["+7d 10:21 opened silent erp"]),
    ("both stop: nobody says that anything moves", of_sources(7, 10, 10, "erp", "wms"), "+7d 11:00", []),
    ("both stop, one comes back", [*of_sources(7, 10, 10, "erp", "wms"), *of_sources(7, 10, 40, "wms")[30:]],
     "+7d 11:00", ["+7d 10:31 opened silent erp"]),
    ("it goes on", [*of_sources(7, 10, 10, "erp"), *of_sources(7, 10, 40, "wms"), *of_sources(7, 10, 30, "erp")[29:]],
     "+7d 10:35", ["+7d 10:21 opened silent erp", "+7d 10:30 resolved silent moves_again erp"]),
)  # fmt: skip
def test_a_source_is_silent_while_others_are_not(lines: list[str], until: str, expected: list[str]) -> None:
    in_order = sorted(lines, key=lambda line: event(line).time)
    assert silent_sources(in_order, until) == expected


def test_sources_that_run_dry_because_nobody_buys_are_no_alerts_of_their_own() -> None:
    """No order comes any more, so no payment does, while parcels are still being scanned; until somebody buys."""
    day = [*HOUR_OF_ORDERS, *(line.replace("created", "paid").partition(" amount")[0] for line in HOUR_OF_ORDERS)]
    day += [f"{hour}:{minute:02d} scanned O900 scan=seen" for hour in (9, 10) for minute in range(60)]
    again = [f"+7d 10:{minute:02d} scanned O900 scan=seen" for minute in range(50)]
    again += ["+7d 10:00 created B", "+7d 10:00:30 paid B", "+7d 10:30 created C"]
    lines = [*sorted(day, key=lambda line: event(line).time), *sorted(again, key=lambda line: event(line).time)]
    off = settings(silence=ON, stages={"queued": {"silence": "7d"}})
    assert [step for step in told(RULE, lines, "+7d 10:45", off) if not step.endswith("queued")] == [
        "+7d 10:12 opened no_orders created",
        "+7d 10:31 resolved no_orders moves_again created",
        "+7d 10:42 opened no_orders created",
    ]


def test_a_source_with_a_limit_of_its_own_needs_no_history() -> None:
    limited = settings(silence={"enabled": True, "all_sources": False, "sources": {"tmall": {"limit": "20m"}}})
    lines = ["10:00 created B source=tmall", *(f"10:{n:02d} created C{n}" for n in range(1, 40))]
    (opened,) = alerts(RULE, play(lines, "10:40", limited))
    assert (opened.entity_type, opened.entity_id, opened.level) == ("source", "tmall", "silent")
    assert opened.time == event("10:21 created").time
    assert opened.evidence["other"] == 20


def test_only_so_many_sources_are_watched() -> None:
    few = settings(silence={"enabled": True, "most": 2, "sources": {name: {"limit": "20m"} for name in "abcd"}})
    lines = [
        *(f"10:00 created {name} source={name}" for name in "dcba"),
        *(f"10:{n} created C{n}" for n in range(10, 59)),
    ]
    assert told(RULE, lines, "10:58", few) == ["10:21 opened silent a", "10:21 opened silent b"]


def test_who_is_gone_for_long_is_gone_for_good() -> None:
    short = settings(silence={"enabled": True, "forget_after": "1h", "sources": {}})
    lines = ["10:00 beat - job=sync period=600000", *A_QUEUED, "11:30 created B"]
    assert told(RULE, lines, "11:40", short) == [
        "10:15 opened missed_period sync",
        "11:31 resolved missed_period forgotten sync",
    ]


def test_nothing_is_told_while_time_stands() -> None:
    """A broker that is away stops time, so it makes nobody silent; what comes afterwards has its own event times."""
    lines = [*A_QUEUED, *paid(5, 40)]
    assert told(RULE, lines[: len(lines) // 2], None, DEFAULTS) == []


def test_silence_is_off_unless_wanted_and_then_costs_nothing() -> None:
    names = {kind.name for stage in ("orders", "entities") for kind in components_of(stage, Environment(SETTINGS, 4))}
    assert not names & {"silence", "silence_counts"}
    assert told(RULE, [*A_QUEUED, *paid(5, 40)], "12:00", SETTINGS) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"step": "7m"}, "detectors.silence.step"),
        ({"history": 5}, "detectors.silence.history"),
        ({"shortest": "8d"}, "detectors.silence.shortest"),
        ({"sources": {"tmall": {"limit": "0s"}}}, "detectors.silence.sources.tmall.limit"),
        ({"jobs": {"push": {"period": "15m", "stage": "packed"}}}, "detectors.silence.jobs.push.stage"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_settings(overrides={"detectors": {"silence": change}})
    assert [problem.field for problem in refused.value.problems] == [field]


def test_all_steps_of_an_episode_share_it() -> None:
    steps = alerts(RULE, play([*A_QUEUED, *paid(5, 59), "11:30 queued O1005"], "11:40", DEFAULTS))[:2]
    assert [step.step for step in steps] == ["opened", "resolved"]
    assert {step.episode for step in steps} == {f"silence/stage/queued/{steps[0].time}"}
    assert all(isinstance(step, AlertRecord) for step in steps)
