"""Fallback orders are merged as docs/rules.md says, whatever batches, copies, key groups and restarts there are."""

from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from config.loader import load_settings
from dataflows.memory import MemorySnapshot
from events.model import (
    AnyEvent,
    FallbackLinked,
    FallbackRejected,
    Item,
    LogisticsScan,
    OrderCreated,
    OrderMerged,
    OrderStage,
    PaymentSucceeded,
)
from events.records import AlertRecord, DeadLetterRecord, LateRecord, Record, VersionRecord
from operators.heart.inputs import GroupOutput
from tests.flow.test_properties import assert_same, fed, portions
from tests.oracle.fallbacks import fallback_match
from tests.oracle.keys import Keys
from tests.oracle.lateness import applied
from tests.oracle.ordering import in_order
from tests.support.flow import batch, driver, run

SETTINGS = load_settings(overrides={"fallback": {"enabled": True, "window": "2h"}, "detectors": {
    name: {"enabled": False} for name in ("card_burst", "merge_candidate", "resonance", "stage_timeout")}})  # fmt: skip
HOUR = 3_600_000
START = 1_780_239_600_000
TAKEN, PLACED = ("F1", "F2", "F3"), ("M1", "M2", "M3", "M4")
WAY = ("queued", "accepted", "printed", "picked", "packed")
EventLog = list[tuple[bytes | AnyEvent, int | None]]
CHANCE = st.randoms(use_true_random=False)


@st.composite
def _events(draw: st.DrawFn) -> list[AnyEvent]:
    told: list[AnyEvent] = []
    for order_id in draw(st.lists(st.sampled_from((*TAKEN, *PLACED)), min_size=2, max_size=9)):
        told.append(_created(draw, order_id))
        if draw(st.integers(0, 3)) == 0:
            told += draw(st.sampled_from((_shipped(order_id), _cancelled(order_id))))
    decisions: st.SearchStrategy[type[FallbackLinked | FallbackRejected]]
    decisions = st.sampled_from((FallbackLinked, FallbackRejected))
    for kind in draw(st.lists(decisions, max_size=3)):
        told.append(kind(id="?", source="console", time=0, order_id=draw(st.sampled_from(TAKEN)),
                         main_order_id=draw(st.sampled_from(PLACED))))  # fmt: skip
    if draw(st.integers(0, 4)) == 0:
        told.append(OrderMerged(id="?", source="oms", time=0, order_id=draw(st.sampled_from(TAKEN)),
                                merged_into=draw(st.sampled_from(PLACED))))  # fmt: skip
    gaps = draw(st.lists(st.sampled_from((0, 0, 1, 60_000, HOUR, 2 * HOUR, 2 * HOUR + 1)),
                         min_size=len(told), max_size=len(told)))  # fmt: skip
    time, timed = START, []
    for number, (event, gap) in enumerate(zip(told, gaps, strict=True)):
        time += gap
        timed.append(msgspec.structs.replace(event, id=str(number), time=time))
    return timed


def _created(draw: st.DrawFn, order_id: str) -> OrderCreated:
    by_hand = order_id in TAKEN
    return OrderCreated(
        id="?",
        source="fallback" if by_hand else "oms",
        time=0,
        order_id=order_id,
        phone=draw(st.sampled_from(("13800001234", "+86 138 0000 1234", "13800005678", "138****1234", None))),
        items=tuple(
            Item(sku, draw(st.sampled_from((1, 1, 2))))
            for sku in draw(st.sampled_from((("a",), ("A",), ("a",), ("b",), ("a", "b"), ())))
        ),
        amount=draw(st.sampled_from((100, 100, 200))),
        fallback_id=draw(st.sampled_from((None, None, None, *TAKEN))),
    )


def _shipped(order_id: str) -> list[AnyEvent]:
    return [
        PaymentSucceeded(id="?", source="pay", time=0, order_id=order_id),
        *(OrderStage(id="?", source="wms", time=0, order_id=order_id, stage=stage) for stage in WAY),
        LogisticsScan(id="?", source="tms", time=0, order_id=order_id, scan="collected"),
    ]


def _cancelled(order_id: str) -> list[AnyEvent]:
    return [OrderStage(id="?", source="oms", time=0, order_id=order_id, stage="cancelled")]


@st.composite
def _logs(draw: st.DrawFn) -> dict[str, EventLog]:
    logs: dict[str, EventLog] = {"a": [], "b": []}
    for event in draw(EVENTS):
        logs[draw(st.sampled_from("ab"))].append((event, None))
        if draw(st.integers(0, 5)) == 0:
            logs[draw(st.sampled_from("ab"))].append((event, None))
    bad = (b'{"type":"order.created","id":"x","source":"oms","time":%d,"order_id":"M1","phone":7}' % START, None)
    if draw(st.booleans()):
        logs["a"].append(bad)
    return {name: log for name, log in logs.items() if log}


EVENTS = _events()
LOGS = _logs().filter(bool)


def _found(records: list[Record]) -> tuple[Counter[Any], Counter[Any]]:
    steps = Counter(
        (step.step, step.entity_id, step.time, step.level, None if step.step == "opened" else step.reason, step.orders)
        for step in records
        if isinstance(step, AlertRecord) and step.rule == "fallback_match"
    )
    merges = Counter(
        (version.order_id, change.new, version.time)
        for version in records
        if isinstance(version, VersionRecord)
        for change in version.changes
        if change.field == "basics.merged_into"
    )
    return steps, merges


@given(LOGS)
def test_orders_are_merged_and_shown_as_the_rules_say(logs: Mapping[str, EventLog]) -> None:
    events, _, end = applied(logs, SETTINGS.time)
    expected, merges = fallback_match(in_order(events, SETTINGS, end), SETTINGS, Keys(b""))
    steps, merged = _found(run(logs, SETTINGS))
    assert merged == Counter(merges)
    assert steps == Counter(
        (step.step, step.entity_id, step.time, step.level, step.reason, step.orders) for step in expected
    )


@given(LOGS, st.sampled_from((1, 2, 7, 64)), CHANCE)
def test_batches_copies_and_key_groups_change_nothing(
    logs: Mapping[str, EventLog], groups: int, chance: Random
) -> None:
    assert_same(fed(driver(SETTINGS, logs, groups), portions(logs, chance), chance), run(logs, SETTINGS))


@given(LOGS, st.sampled_from((1, 8)), CHANCE)
def test_restarts_change_nothing(logs: Mapping[str, EventLog], groups: int, chance: Random) -> None:
    batches, flow = portions(logs, chance), driver(SETTINGS, logs, groups)
    cut = chance.randint(0, len(batches))
    records = fed(flow, batches[:cut])
    stored = msgspec.msgpack.encode(flow.snapshot())
    ended = [name for name, clock in flow.intake.router.clocks.items() if clock.finished]
    flow = driver(SETTINGS, logs, groups)
    flow.restore(msgspec.msgpack.decode(stored, type=MemorySnapshot))
    for name in ended:
        flow.intake.router.clocks[name].finished = True
    assert_same([*records, *fed(flow, batches[cut:]), *flow.feed()], run(logs, SETTINGS, groups))


def _noting(advance: Callable[[], GroupOutput], outputs: list[GroupOutput]) -> Callable[[], GroupOutput]:
    def advance_and_note() -> GroupOutput:
        outputs.append(advance())
        return outputs[-1]

    return advance_and_note


def test_what_is_wrong_or_late_is_said_and_counted_once() -> None:
    order = OrderCreated(id="1", source="oms", time=START, order_id="M1", phone="13800001234")
    late = msgspec.structs.replace(order, id="2", order_id="M2", time=START - HOUR)
    bad = msgspec.json.encode(order).replace(b'"M1"', b'"M3","amount":"much"')
    flow = driver(SETTINGS, ["a"], groups=1)
    outputs: list[GroupOutput] = []
    for groups in flow.groups.values():
        setattr(groups[0], "advance", _noted(groups[0].advance, outputs))  # noqa: B010
    records = flow.feed(batch("a", [(order, None), (late, None), (bad, None), (order, None)], finished=True))
    letters = [record for record in records if isinstance(record, DeadLetterRecord)]
    assert [letter.reason for letter in letters] == ["invalid_field"]
    assert [record.event_id for record in records if isinstance(record, LateRecord)] == ["2"]
    assert sum(output.counts.applied for output in outputs) == 2
    assert sum(output.counts.duplicates for output in outputs) == 1


def test_a_late_fallback_order_still_finds_its_double() -> None:
    placed = OrderCreated(id="1", source="oms", time=START, order_id="M1", phone="13800001234", items=(Item("a"),))
    late = msgspec.structs.replace(placed, id="2", source="fallback", order_id="F1", time=START - HOUR)
    _, merges = _found(run({"a": [(placed, None), (late, None)]}, SETTINGS))
    assert [*merges] == [("F1", "M1", START)]


def _noted(advance: Callable[[], GroupOutput], outputs: list[GroupOutput]) -> Callable[[], GroupOutput]:
    def noted() -> GroupOutput:
        outputs.append(advance())
        return outputs[-1]

    return noted
