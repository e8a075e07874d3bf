"""`contract`: a source sends something else than its profile expects, or than it used to."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from config.settings import Settings
from dataflows.memory import MemoryDriver
from events.model import ContractCounted, Deviation, DeviationCount, FieldCount, NameCount, TraitCount
from events.records import AlertRecord, Record, SourceHealth
from operators.contracts.shares import absorb
from operators.contracts.state import Deviated, Example, Looks, Past
from operators.heart.component import Environment
from operators.topology import topology
from tests.operators.timeline import SETTINGS, alerts, at, clock, of_kind, settings
from tests.support.flow import batch

SLICE = 15_000
FIELD = "out_trade_no"
LOG = "orders.raw.pay.v1/0"
SHORT = settings(contract={"learning": 20, "gone_after": "5m", "usual_after": "30m", "names_at_once": 2})


def counted(end: int, seen: int = 20, source: str = "pay", log: str = LOG, **more: Any) -> ContractCounted:
    """The counts of the slice that ends at ``end``; ``more``: deviations by name, or ``names`` and ``traits``."""
    names, traits = more.pop("names", ()), more.pop("traits", {})
    deviations = tuple(
        DeviationCount(cast("Deviation", what), count, position=end // SLICE % 10_000, since=end - SLICE + 1)
        for what, count in sorted(more.items())
        if count
    )
    return ContractCounted(
        id=f"{log}/{end - SLICE}",
        source=source,
        time=end,
        entity_type="source",
        entity_id=source,
        partition=log,
        start=end - SLICE,
        records=seen,
        fields=(FieldCount(FIELD, seen, deviations), FieldCount("amount", seen)) if seen else (),
        names=tuple(NameCount("header" if name.startswith("x-") else "field", name, 1, 7) for name in names),
        traits=tuple(TraitCount(name, value, 1, 7) for name, value in traits.items()),
    )


def slices(start: str, count: int, **each: Any) -> list[ContractCounted]:
    """As many slices in a row, all alike."""
    first = at(start)
    return [counted(first + number * SLICE, **each) for number in range(1, count + 1)]


def played(events: Sequence[ContractCounted], settings: Settings = SETTINGS) -> list[Record]:
    """What comes of counts."""
    flow = MemoryDriver(topology(Environment(settings, 4, read_model=True)), ["log"])
    return flow.feed(batch("log", [(event, None) for event in events], finished=True))


def steps(events: Sequence[ContractCounted], settings: Settings = SETTINGS) -> list[str]:
    """The steps of the rule in words."""
    return [
        f"{clock(step.time)} {step.step} {step.entity_id} {step.level} {step.reason}"
        for step in alerts("contract", played(events, settings))
    ]


HEALTHY = slices("10:00", 8)
AFTER = "10:02"


def test_a_needed_field_that_vanishes_alerts_with_the_first_slice() -> None:
    assert steps([*HEALTHY, *slices(AFTER, 4, lacking=20)]) == [
        "10:02:15 opened pay/out_trade_no vanished share_exceeded"
    ]


def test_the_alert_names_source_field_since_when_and_an_example() -> None:
    (alert,) = alerts("contract", played([*HEALTHY, *slices(AFTER, 1, lacking=20)]))
    assert (alert.entity_type, alert.severity) == ("source_field", "critical")
    assert alert.evidence["since"] == at(AFTER) + 1
    assert alert.evidence["example"].startswith(f"{LOG}/")
    assert (alert.evidence["count"], alert.evidence["seen"], alert.evidence["past_thousandths"]) == (20, 80, 0)
    assert "out_trade_no" in alert.text.en
    assert "2026-05-10 10:02:00+08:00" in alert.text.en
    assert "out_trade_no" in alert.text.zh


def test_it_resolves_itself_when_the_field_is_back() -> None:
    events = [*HEALTHY, *slices(AFTER, 2, lacking=20), *slices("10:02:30", 6)]
    assert steps(events) == [
        "10:02:15 opened pay/out_trade_no vanished share_exceeded",
        "10:03:30 resolved pay/out_trade_no vanished below_limit",
    ]
    assert alerts("contract", played(events))[1].evidence["affected"] == 40


def test_a_field_that_an_event_can_do_without_is_compared_with_its_past() -> None:
    assert steps([*HEALTHY, *slices(AFTER, 4, missing=20)]) == [
        "10:02:30 opened pay/out_trade_no vanished share_exceeded"
    ]
    assert steps(slices("10:00", 12, missing=20)) == []
    assert steps(slices("10:00", 12, missing=10)) == []
    assert steps([*slices("10:00", 8, missing=10), *slices(AFTER, 4, missing=20)]) == [
        "10:03 opened pay/out_trade_no vanished share_exceeded"
    ]


def test_too_few_records_are_no_alert() -> None:
    assert steps([*HEALTHY, *slices(AFTER, 1, seen=2, lacking=2)]) == []
    assert steps([*slices("10:00", 8, seen=2), *slices(AFTER, 4, seen=2, lacking=1)]) == [
        "10:02:45 opened pay/out_trade_no vanished share_exceeded"
    ]


@pytest.mark.parametrize(
    ("what", "level"),
    [("unparsable", "unparsable"), ("unknown_status", "unknown_status"), ("decrypt_failed", "decrypt_failed")],
)
def test_what_loses_events_alerts_without_any_past(what: str, level: str) -> None:
    assert steps(slices("10:00", 1, **{what: 5})) == [f"10:00:15 opened pay/out_trade_no {level} share_exceeded"]


def test_times_far_from_arrival_are_compared_with_the_past() -> None:
    assert steps(slices("10:00", 12, time_offset=20)) == []
    assert steps([*HEALTHY, *slices(AFTER, 4, time_offset=20)]) == [
        "10:02:30 opened pay/out_trade_no time_offset share_exceeded"
    ]


def test_a_bad_time_is_no_measure_for_later() -> None:
    """While an alert is open, nothing about its field becomes past."""
    records = played([*HEALTHY, *slices(AFTER, 40, lacking=20)])
    newest = of_kind(SourceHealth, records)[-1]
    assert newest.fields[FIELD]["past"] == {"seen": 100}
    assert newest.fields["amount"]["past"]["seen"] == 20 * 44
    assert [(each["field"], each["level"]) for each in newest.open] == [(FIELD, "vanished")]


def test_other_sources_go_on() -> None:
    good = [counted(event.time, source="shop", log="raw/1") for event in [*HEALTHY, *slices(AFTER, 4)]]
    bad = [*HEALTHY, *slices(AFTER, 4, lacking=20)]
    merged = sorted([*good, *bad], key=lambda event: event.time)
    assert steps(merged) == steps(bad)


def test_partitions_of_one_source_are_judged_together_in_any_order() -> None:
    one = [*HEALTHY, *slices(AFTER, 4, lacking=20)]
    other = [counted(event.time, log="orders.raw.pay.v1/1") for event in one]
    pairs = [[first, second] for first, second in zip(one, other, strict=True)]
    forth = [event for pair in pairs for event in pair]
    back = [event for pair in pairs for event in reversed(pair)]
    assert steps(forth) == steps(back) == ["10:02:30 opened pay/out_trade_no vanished share_exceeded"]


def test_the_same_counts_again_change_nothing() -> None:
    events = [*HEALTHY, *slices(AFTER, 4, lacking=20)]
    doubled = [event for event in events for _ in range(2)]
    assert played(doubled) == played(events)


def test_a_new_field_and_a_new_header_are_told_once_learned() -> None:
    events = [*slices("10:00", 2, names=["id"]), *slices("10:00:30", 1, names=["id", "x-wx-nonce", "coupon"])]
    assert steps(events, SHORT) == [
        "10:00:45 opened pay/coupon new_field appeared",
        "10:00:45 opened pay/x-wx-nonce new_header appeared",
    ]
    assert steps(events[1:], SHORT)[:1] == ["10:00:45 opened pay/coupon new_field appeared"]
    assert steps(events) == []


def test_what_is_new_ends_when_it_is_gone_or_has_become_usual() -> None:
    known = slices("10:00", 2, names=["id"])
    once = [*known, *slices("10:00:30", 1, names=["x-a"]), *slices("10:00:45", 21, names=["id"])]
    assert steps(once, SHORT)[1:] == ["10:05:45 resolved pay/x-a new_header gone"]
    always = [*known, *slices("10:00:30", 125, names=["x-a"])]
    assert steps(always, SHORT)[1:] == ["10:30:45 resolved pay/x-a new_header usual"]


def test_a_flood_of_names_is_no_flood_of_alerts() -> None:
    names = [f"name-{letter}" for letter in "abcdefgh"]
    assert len(steps([*slices("10:00", 2), *slices("10:00:30", 1, names=names)], SHORT)) == 2


def test_another_scheme_or_version_is_told_with_the_old_ones() -> None:
    events = [
        *slices("10:00", 2, traits={"algorithm": "CBC"}),
        *slices("10:00:30", 1, traits={"algorithm": "GCM"}),
    ]
    (alert,) = alerts("contract", played(events, SHORT))
    assert (alert.level, alert.entity_id) == ("scheme_changed", "pay/algorithm")
    assert (alert.evidence["value"], alert.evidence["before"]) == ("GCM", ["CBC"])
    assert "algorithm of pay is GCM" in alert.text.en


def test_switched_off_nobody_judges() -> None:
    off = settings(contract={"enabled": False})
    assert steps(slices("10:00", 8, lacking=20), off) == []
    assert "contract.counted" not in topology(Environment(off, 4)).routes


def test_every_step_has_its_texts() -> None:
    for record in played([*HEALTHY, *slices(AFTER, 2, lacking=20), *slices("10:02:30", 6)]):
        if isinstance(record, AlertRecord):
            assert record.text.zh
            assert "{" not in record.text.en + record.text.zh


def test_chance_is_no_alert() -> None:
    """Of a field that one record in ten lacks, four in a row may lack it once in a while; twenty do not."""
    often = slices("10:00", 20, missing=2)
    assert steps([*often, *slices("10:06", 1, seen=4, missing=4)]) == []
    assert steps([*often, *slices("10:07", 1, seen=20, missing=20)]) == [
        "10:07:15 opened pay/out_trade_no vanished share_exceeded"
    ]


def test_an_older_past_weighs_half_each_time_that_memory_is_full() -> None:
    past = Past()
    for _ in range(3):
        absorb(past, Looks(60, {"missing": Deviated(30, Example(0, "raw/0", 1))}), memory=100)
    assert past == Past(60, {"missing": 30})
    absorb(past, Looks(60), memory=100)
    assert past == Past(60, {"missing": 15})
