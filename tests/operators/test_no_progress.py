"""`no_progress`: nothing changed in an order's status for too long."""

from tests.operators.timeline import alerts, play, settings, table, told

RULE = "no_progress"
PACKED = ["9:00 created", "9:00 paid", *(f"10:00 {stage}" for stage in ("queued", "accepted", "printed", "picked"))]


@table(
    ("created, nothing more", ["10:00 created"], "12:01", ["12:00 opened no_progress"]),
    ("a millisecond before", ["10:00 created"], "11:59:59.999", []),
    ("a move exactly at the deadline", ["10:00 created", "12:00 paid"], "13:59:59.999", []),
    (
        "a move a millisecond late",
        ["10:00 created", "12:00:00.001 paid"],
        "13:00",
        ["12:00 opened no_progress", "12:00:00.001 resolved no_progress moved_on"],
    ),
    (
        "cancelled",
        ["10:00 created", "12:30 cancelled"],
        "20:00",
        ["12:00 opened no_progress", "12:30 resolved no_progress cancelled"],
    ),
    ("a stage with a limit above the floor", [*PACKED, "10:00 packed"], "14:00", ["14:00 opened no_progress"]),
    ("that stage, a millisecond before", [*PACKED, "10:00 packed"], "13:59:59.999", []),
    ("a finished order", ["10:00 created", "10:01 cancelled"], "+6d 10:00", []),
    (
        "a new raw status of a system is progress",
        ["10:00 created", "11:00 status system=oms status=NEW"],
        "13:00",
        ["13:00 opened no_progress"],
    ),
    (
        "the same raw status again is none",
        [
            "10:00 created",
            "11:00 status system=oms status=NEW",
            "12:00 status system=oms status=NEW",
            "13:30 status system=oms status=SEEN",
        ],
        "15:00",
        ["13:00 opened no_progress", "13:30 resolved no_progress moved_on"],
    ),
    (
        "the same word of another system is",
        ["10:00 created", "11:00 status system=oms status=NEW", "12:00 status system=erp status=NEW"],
        "14:00",
        ["14:00 opened no_progress"],
    ),
    (
        "what is no change of status is no progress",
        [
            "10:00 created",
            "11:00 changed courier=sf",
            "11:10 failed",
            "11:20 scanned scan=seen",
            "11:30 packed",
            "11:40 waybill ms=100",
            "11:50 created",
        ],
        "12:30",
        ["12:00 opened no_progress"],
    ),
    (
        "a parcel's move is the order's progress",
        ["10:00 created", "10:00 paid", "10:01 split parcels=P,Q", "11:30 queued A/P"],
        "13:30",
        ["13:30 opened no_progress"],
    ),
    (
        "a raw status before the order is known starts nothing",
        ["10:00 status system=oms status=NEW", "11:00 created"],
        "13:00",
        ["13:00 opened no_progress"],
    ),
    (
        "two silences are two alerts",
        ["10:00 created", "12:10 paid"],
        "14:10",
        ["12:00 opened no_progress", "12:10 resolved no_progress moved_on", "14:10 opened no_progress"],
    ),
    (
        "a status that itself cancels the order",
        ["10:00 created", "12:10 cancelled", "12:20 status system=oms status=VOID"],
        "20:00",
        ["12:00 opened no_progress", "12:10 resolved no_progress cancelled"],
    ),
)
def test_an_order_must_make_progress(lines: list[str], until: str, expected: list[str]) -> None:
    assert told(RULE, lines, until) == expected


def test_the_category_s_limit_of_the_stage_counts_where_it_is_above_the_floor() -> None:
    changed = settings(stage_timeout={"by_category": {"furniture": {"created": "3h"}}})
    assert told(RULE, ["10:00 created category=furniture"], "13:00", changed) == ["13:00 opened no_progress"]


def test_a_status_rule_that_moves_the_order_moves_it() -> None:
    changed = settings(status={"systems": {"oms": {"VOID": {"stage": "cancelled"}}}})
    lines = ["10:00 created", "12:30 status system=oms status=VOID"]
    assert told(RULE, lines, "20:00", changed)[0] == "12:00 opened no_progress"
    assert told("stage_timeout", lines, "20:00", changed)[-1] == "12:30 resolved breach cancelled"


def test_the_alert_names_the_stage_and_what_came_last() -> None:
    (late,) = alerts(RULE, play(["10:00 created", "10:30 paid"], "12:30"))
    assert (late.severity, late.reason) == ("warning", "limit_exceeded")
    assert (late.evidence["subject"], late.evidence["event_id"]) == ("paid", "0001")


def test_without_the_detector_silence_is_not_noticed() -> None:
    assert told(RULE, ["10:00 created"], "20:00", settings(no_progress={"enabled": False})) == []
