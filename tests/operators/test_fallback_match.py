"""`fallback_match`: orders taken by hand while the main system is down, and the same orders when it is back."""

from typing import Any

import pytest

from config.loader import load_settings
from config.problems import ConfigurationError
from events.records import HoldRecord, VersionRecord
from tests.operators.timeline import alerts, of_kind, play, settings, table, told

RULE = "fallback_match"
ON = settings(fallback={"enabled": True})
TAKEN = "10:00 created FB source=fallback phone=13800001234 items=cherry amount=9900"
PLACED = "12:00 created M phone='+86 138 0000 1234' items=Cherry amount=9900"


def said(lines: list[str], until: str, **fallback: Any) -> list[str]:
    """The steps with all orders that they name."""
    given = settings(fallback={"enabled": True, **fallback})
    return [f"{line} {' '.join(step.orders)}" for line, step in zip(
        told(RULE, lines, until, given), alerts(RULE, play(lines, until, given)), strict=True
    )]  # fmt: skip


def merges(lines: list[str], until: str = "+1d 0:00", **fallback: Any) -> list[str]:
    """Which orders were merged: `FB > M`."""
    given = settings(fallback={"enabled": True, **fallback})
    return [
        f"{version.order_id} > {change.new}"
        for version in of_kind(VersionRecord, play(lines, until, given))
        for change in version.changes
        if change.field == "basics.merged_into"
    ]


@table(
    ("the same order comes when the system is back", [TAKEN, PLACED], "13:00", ["FB > M"]),
    ("in the other order", ["9:00 created M phone=13800001234 items=cherry", TAKEN], "13:00", ["FB > M"]),
    ("at the same moment", [TAKEN, PLACED.replace("12:00", "10:00")], "13:00", ["FB > M"]),
    ("exactly at the end of the window", [TAKEN, PLACED.replace("12:00", "+3d 10:00")], "+4d 0:00", ["FB > M"]),
    ("a millisecond later", [TAKEN, PLACED.replace("12:00", "+3d 10:00:00.001")], "+4d 0:00", []),
    ("another phone", [TAKEN, PLACED.replace("1234", "1235")], "13:00", []),
    ("a masked phone", [TAKEN, "12:00 created M phone=138****1234 items=cherry"], "13:00", []),
    ("another product", [TAKEN, PLACED.replace("Cherry", "pear")], "13:00", []),
    ("the same twice: the second is one more order", [TAKEN, PLACED, PLACED.replace("M", "N")], "13:00", ["FB > M"]),
    ("two by hand, two in the system, in turn",
     [TAKEN, PLACED, TAKEN.replace("10:00", "12:30").replace("FB", "FB2"),
      PLACED.replace("12:00", "12:40").replace("M", "N")], "13:00", ["FB > M", "FB2 > N"]),
    ("its number is quoted, with no phone at all", [TAKEN, "12:00 created M fallback_id=FB"], "13:00", ["FB > M"]),
    ("its number is quoted before it is known", ["9:00 created M fallback_id=FB", TAKEN], "13:00", ["FB > M"]),
    ("a system says so itself", [TAKEN, "11:00 merged FB merged_into=M"], "13:00", ["FB > M"]),
    ("a person says so", [TAKEN, "11:00 linked FB main_order_id=M"], "13:00", ["FB > M"]),
    ("merged into itself", [TAKEN, "11:00 merged FB merged_into=FB"], "13:00", []),
    ("the order is told again", [TAKEN, PLACED, PLACED.replace("12:00", "12:30")], "13:00", ["FB > M"]),
)  # fmt: skip
def test_an_order_that_certainly_is_double_is_merged_once(lines: list[str], until: str, expected: list[str]) -> None:
    assert merges(lines, until) == expected
    assert said(lines, until) == []


@table(
    ("another quantity", [TAKEN, "12:00 created M phone=13800001234 items=cherry,cherry"], "13:00",
     ["12:00 opened doubtful FB FB M"]),
    ("no product", [TAKEN, "12:00 created M phone=13800001234"], "13:00", ["12:00 opened doubtful FB FB M"]),
    ("two by hand fit", [TAKEN, TAKEN.replace("FB", "FB2"), PLACED], "13:00",
     ["12:00 opened doubtful FB FB M", "12:00 opened doubtful FB2 FB2 M"]),
    ("one more fits", [TAKEN, TAKEN.replace("FB", "FB2"), PLACED, PLACED.replace("12:00", "12:10").replace("M", "N")],
     "13:00",
     ["12:00 opened doubtful FB FB M", "12:00 opened doubtful FB2 FB2 M",
      "12:10 updated doubtful two_candidates FB FB M N", "12:10 updated doubtful two_candidates FB2 FB2 M N"]),
    ("one more by hand fits what already was doubtful",
     [TAKEN, TAKEN.replace("FB", "FB2"), PLACED, TAKEN.replace("10:00", "12:30").replace("FB", "FB3")], "13:00",
     ["12:00 opened doubtful FB FB M", "12:00 opened doubtful FB2 FB2 M", "12:30 opened doubtful FB3 FB3 M"]),
    ("linked by a person", [TAKEN, "12:00 created M phone=13800001234", "12:30 linked FB main_order_id=M"], "13:00",
     ["12:00 opened doubtful FB FB M", "12:30 resolved doubtful linked FB FB M"]),
    ("rejected by a person", [TAKEN, "12:00 created M phone=13800001234", "12:30 rejected FB main_order_id=M"], "13:00",
     ["12:00 opened doubtful FB FB M", "12:30 resolved doubtful rejected FB FB M"]),
    ("the right one comes later", [TAKEN, "11:00 created N phone=13800001234", PLACED], "13:00",
     ["11:00 opened doubtful FB FB N", "12:00 resolved doubtful merged FB FB N M"]),
    ("cancelled meanwhile", [TAKEN, "11:00 created M phone=13800001234", "11:30 cancelled FB"], "13:00",
     ["11:00 opened doubtful FB FB M", "11:30 resolved doubtful cancelled FB FB M"]),
    ("cancelled before", [TAKEN, "11:00 cancelled FB", PLACED], "13:00", ["12:00 opened doubtful FB FB M"]),
    ("its number is quoted twice", [TAKEN, PLACED, "12:30 created N fallback_id=FB"], "13:00",
     ["12:30 opened doubtful FB FB N"]),
    ("a rejected one is quoted again", [TAKEN, "12:00 created M phone=13800001234",
     "12:30 rejected FB main_order_id=M", "12:40 merged FB merged_into=M"], "13:00",
     ["12:00 opened doubtful FB FB M", "12:30 resolved doubtful rejected FB FB M"]),
)  # fmt: skip
def test_what_is_doubtful_goes_to_a_person(lines: list[str], until: str, expected: list[str]) -> None:
    assert said(lines, until) == expected


def test_what_is_doubtful_is_never_merged_by_itself() -> None:
    assert merges([TAKEN, TAKEN.replace("FB", "FB2"), PLACED, "+2d 9:00 created X"], "+3d 0:00") == []


def test_amounts_count_where_the_settings_say_so() -> None:
    dearer = PLACED.replace("9900", "9901")
    assert merges([TAKEN, dearer]) == ["FB > M"]
    keys = ("product", "quantity", "amount")
    assert merges([TAKEN, dearer], keys=keys) == []
    assert said([TAKEN, dearer], "13:00", keys=keys) == ["12:00 opened doubtful FB FB M"]
    assert merges([TAKEN, PLACED.replace("Cherry", "pear")], keys=()) == ["FB > M"]


def test_the_clocks_of_a_merged_order_end_with_it() -> None:
    lines = [TAKEN, PLACED]
    assert told("stage_timeout", lines, "12:00", ON) == ["10:05 opened breach FB", "12:00 resolved breach merged FB"]
    assert told("no_progress", ["10:00 created FB source=fallback phone=13800001234 items=cherry",
                                PLACED.replace("12:00", "12:30")], "12:30", ON) == [
        "12:00 opened no_progress FB", "12:30 resolved no_progress merged FB"]  # fmt: skip


def test_the_merged_order_is_cancelled_everywhere_and_names_the_one_that_counts() -> None:
    records = play([TAKEN, PLACED], "12:00", ON)
    last = [version for version in of_kind(VersionRecord, records) if version.order_id == "FB"][-1]
    assert (last.event_type, last.event_id, last.system) == ("order.merged", "FB/merged/M", "orderpulse")
    assert {change.field: change.new for change in last.changes} == {
        "basics.merged_into": "M",
        "basics.stage": "cancelled",
        "status.business": "cancelled",
        "status.finance": "void",
    }


def test_after_the_fallback_order_has_shipped_the_other_one_is_held() -> None:
    way = ("paid", "queued", "accepted", "printed", "picked", "packed", "collected")
    shipped = [f"10:{minute:02d} {stage} FB" for minute, stage in enumerate(way, 1)]
    lines = [TAKEN, *shipped, PLACED]
    assert merges(lines) == []
    assert said(lines, "13:00") == ["12:00 opened shipped FB FB M"]
    (hold,) = of_kind(HoldRecord, play(lines, "13:00", ON))
    assert (hold.order_id, hold.status, hold.reason) == ("M", "held", RULE)
    (alert,) = alerts(RULE, play(lines, "13:00", ON))
    assert alert.severity == "critical"
    assert alert.evidence["candidates"][0]["order_id"] == "M"


def test_the_alert_shows_both_orders_and_nothing_of_the_buyer() -> None:
    (alert,) = alerts(RULE, play([TAKEN, "12:00 created M phone=13800001234 amount=19800"], "12:00", ON))
    assert alert.orders == ("FB", "M")
    taken, (placed,) = alert.evidence["taken"], alert.evidence["candidates"]
    assert taken["items"] == [{"product": "cherry", "quantity": 1}]
    assert (taken["amount"], placed["amount"], placed["order_id"], placed["why"]) == (
        9900,
        19800,
        "M",
        "product_unknown",
    )
    assert "1380000" not in str(alert)
    assert alert.text.en == (
        "order FB, taken by hand, may be the same as an order of the main system (FB, M): "
        "same phone, product not known; a person has to decide"
    )


def test_without_it_nothing_is_merged_and_nothing_is_built() -> None:
    assert told(RULE, [TAKEN, PLACED], "13:00") == []
    versions = of_kind(VersionRecord, play([TAKEN, PLACED], "13:00"))
    assert not any(change.field == "basics.merged_into" for version in versions for change in version.changes)


def test_a_stage_that_cannot_take_merged_orders_is_refused() -> None:
    for stage in ("nowhere", "packed", "completed"):
        with pytest.raises(ConfigurationError, match=r"fallback\.merged_stage"):
            load_settings(overrides={"fallback": {"enabled": True, "merged_stage": stage}})
