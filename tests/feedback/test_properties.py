"""Feedback equals a slow count over all alerts and events, and depends on the events alone."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from config.loader import load_settings
from dataflows.memory import MemorySnapshot
from events.model import (
    AnyEvent,
    BehaviourSignal,
    LogisticsScan,
    OrderCreated,
    OrderStage,
    PaymentSucceeded,
    ReviewConfirmed,
    ReviewReleased,
)
from events.records import AlertRecord, FeedbackTotals, Record
from tests.flow.test_properties import CHANCE, Logs, fed, portions
from tests.oracle.generate import BASE, Log, logs
from tests.oracle.histories import Histories
from tests.oracle.keys import Keys
from tests.oracle.lateness import applied
from tests.oracle.model import AppliedEvent
from tests.oracle.ordering import in_order
from tests.support.flow import batch, driver

SETTINGS = load_settings(overrides={"feedback": {"enabled": True, "window": "3650d"}})
LOGS = logs(SETTINGS)
LAST_STEP = 120_000
MINUTE = 60_000
Counts = dict[str, dict[str, int]]
Review = ReviewConfirmed | ReviewReleased

# Three orders of one card, which is a burst; one of them has two signs, a weak signal, and then much may happen.
HAPPENED = ("sign", "sign", "paid", "cancelled", "lost", "another", "confirmed", "released", "it", "not it")
GAPS = (0, 0, 1, MINUTE, MINUTE, 60 * MINUTE)
STEPS = st.tuples(st.sampled_from(HAPPENED), st.sampled_from((0, 0, 0, 1, 2)), st.sampled_from(GAPS))
SIGNS = [("sign", 0, MINUTE)] * 2
TROUBLE = st.builds(
    lambda before, after: [*before, *SIGNS, *after],
    st.lists(STEPS, max_size=3),
    st.lists(STEPS, min_size=3, max_size=16),
)
ANY_ALERT = "card_burst/?"


def counted(records: Iterable[Record]) -> Counts:
    """The last counts; what is 0 is left out."""
    found: Counts = {}
    for record in records:
        if isinstance(record, FeedbackTotals):
            name = record.subject if record.subject == "capture" else f"{record.rule}:{record.rule_version}"
            found[name] = {what: count for what, count in record.counts.items() if count}
    return {name: each for name, each in found.items() if each}


def expected(events: Sequence[AppliedEvent], records: Iterable[Record], end: int) -> Counts:
    """The same, from alerts and events as a whole."""
    ordered = in_order(events, SETTINGS, end)
    named: dict[str, dict[str, tuple[int, str]]] = defaultdict(dict)  # order -> episode -> since when, rule
    weak: dict[str, tuple[int, bool]] = {}
    locked: dict[str, int] = {}
    for alert in sorted((r for r in records if isinstance(r, AlertRecord)), key=lambda r: (r.time, r.step_number)):
        if alert.rule in ("card_burst", "resonance") and alert.step in ("opened", "updated"):
            for order in alert.orders:
                named[order].setdefault(alert.episode, (alert.time, alert.rule))
        if alert.rule == "resonance" and alert.step in ("opened", "updated"):
            if alert.level == "lock":
                locked.setdefault(alert.entity_id, alert.time)
            weak.setdefault(alert.entity_id, (alert.time, alert.level == "orange"))
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for episodes in named.values():
        for _, rule in episodes.values():
            counts[f"{rule}:1"]["raised"] += 1
    for rule, verdict in _verdicts(ordered, named):
        counts[rule][verdict] += 1
    failed, ended = _ends(ordered)
    for order, at in failed.items():
        counts["capture"]["failed"] += 1
        counts["capture"]["failed_alerted"] += order in weak and weak[order][0] < at
    for order, (since, orange) in weak.items():
        if orange and not (order in failed and failed[order] <= since):
            counts["capture"]["weak"] += 1
            turned = order in locked or order in failed
            counts["capture"]["turned"] += turned
            counts["capture"]["quiet"] += not turned and order in ended
    return {
        name: {what: count for what, count in each.items() if count}
        for name, each in counts.items()
        if any(each.values())
    }


def _verdicts(
    events: Sequence[AppliedEvent], named: Mapping[str, Mapping[str, tuple[int, str]]]
) -> Iterable[tuple[str, str]]:
    """The rule and version of each alert that was reviewed, and what was said last; 0: of an alert not known."""
    said: dict[tuple[str, str], str] = {}
    for item in events:
        if isinstance(item.event, Review):
            order, episode = item.event.order_id, item.event.episode
            verdict = "confirmed" if isinstance(item.event, ReviewConfirmed) else "released"
            there = [(order, name) for name, (since, _) in named.get(order, {}).items() if since <= item.time]
            unnamed = [(order, name) for owner, name in said if owner == order and (order, name) not in there]
            meant = [(order, episode)] if episode else [key for key in there if key not in said] or [*there, *unnamed]
            for one in meant:
                said[one] = verdict
    for (order, episode), verdict in said.items():
        yield f"{episode.partition('/')[0]}:{int(episode in named.get(order, {}))}", verdict


def _ends(events: Sequence[AppliedEvent]) -> tuple[dict[str, int], set[str]]:
    """When each order failed first, and which ones ended."""
    failed: dict[str, int] = {}
    ended = set()
    for life in Histories(events, SETTINGS, Keys(b"")):
        if life.closed is not None:
            ended.add(life.order_id)
        for change in life.changes:
            moved = change.kind in ("applied", "parcels") and change.before != change.after == "cancelled"
            if moved and change.before is not None and SETTINGS.stages[change.before].paid:
                failed.setdefault(life.order_id, change.time)
    for item in events:
        if isinstance(item.event, LogisticsScan) and item.event.scan in SETTINGS.feedback.failures.scans:
            failed[item.event.order_id] = min(failed.get(item.event.order_id, item.time), item.time)
    return failed, ended


def run_to(chosen: Mapping[str, Log], end: int) -> list[Record]:
    flow = driver(SETTINGS, chosen, until=end)
    return flow.feed(*(batch(name, log, finished=True) for name, log in chosen.items()))


def told(steps: Sequence[tuple[str, int, int]]) -> list[AnyEvent]:
    """What happened, as events; reviews of a certain alert name none of them yet."""
    events: list[AnyEvent] = []
    time = BASE
    for number, (what, order, gap) in enumerate([*(("another", n, MINUTE) for n in range(3)), *steps]):
        time += gap
        head: dict[str, Any] = {"id": str(number), "source": "oms", "time": time, "order_id": f"O{order}"}
        match what:
            case "sign":
                events.append(BehaviourSignal(**head, signal="rating_threat"))
            case "paid":
                events.append(PaymentSucceeded(**head))
            case "cancelled":
                events.append(OrderStage(**head, stage="cancelled"))
            case "lost":
                events.append(LogisticsScan(**head, scan="lost"))
            case "another":
                events.append(OrderCreated(**{**head, "order_id": f"O{number}"}, card="card-1", amount=9900))
            case "confirmed" | "it":
                events.append(ReviewConfirmed(**head, episode=ANY_ALERT if what == "it" else None))
            case "released" | "not it":
                events.append(ReviewReleased(**head, episode=ANY_ALERT if what == "not it" else None))
    return events


def naming(events: Sequence[AnyEvent], chance: Random) -> list[AnyEvent]:
    """The same, where reviews name an alert of their order that is open by then, or one that it does not know."""
    alerts = [r for r in run_to({"a": [(e, None) for e in events]}, events[-1].time) if isinstance(r, AlertRecord)]

    def named(event: AnyEvent) -> AnyEvent:
        if not isinstance(event, Review) or event.episode is None:
            return event
        known = {a.episode for a in alerts if event.order_id in a.orders and a.time <= event.time}
        return msgspec.structs.replace(event, episode=chance.choice([*sorted(known), ANY_ALERT]))

    return [named(event) for event in events]


def assert_counted(chosen: Logs) -> None:
    events, _, end = applied(chosen, SETTINGS.time)
    records = run_to(chosen, end + LAST_STEP)
    before_end = [record for record in records if not isinstance(record, AlertRecord) or record.time <= end]
    assert counted(records) == expected(events, before_end, end)


@given(LOGS)
def test_feedback_counts_what_came_of_alerts(chosen: Logs) -> None:
    assert_counted(chosen)


@given(TROUBLE, CHANCE)
@example([*SIGNS, ("lost", 0, 0)], Random(0))  # in the moment of the alert
@example([*SIGNS, ("cancelled", 0, MINUTE), ("lost", 0, MINUTE)], Random(0))  # quiet at first
def test_feedback_counts_what_came_of_orders_in_trouble(steps: list[tuple[str, int, int]], chance: Random) -> None:
    assert_counted({"a": [(event, None) for event in naming(told(steps), chance)]})


@given(LOGS, st.sampled_from((1, 3, 64)), CHANCE)
def test_batches_key_groups_and_restarts_do_not_matter_to_feedback(chosen: Logs, groups: int, chance: Random) -> None:
    end = applied(chosen, SETTINGS.time)[2] + LAST_STEP
    batches = portions(chosen, chance)
    cut = len(batches) // 2
    flow = driver(SETTINGS, chosen, groups, until=end)
    records = fed(flow, batches[:cut])
    ended = [name for name, clock in flow.intake.router.clocks.items() if clock.finished]
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(flow.snapshot()), type=MemorySnapshot)
    flow = driver(SETTINGS, chosen, groups, until=end)
    flow.restore(stored)
    records += flow.feed(*(batch(name, (), finished=True) for name in ended))
    records += fed(flow, batches[cut:])
    assert _sorted(records) == _sorted(run_to(chosen, end))


def _sorted(records: Iterable[Record]) -> list[bytes]:
    kept = [record for record in records if isinstance(record, FeedbackTotals)]
    return sorted(msgspec.json.encode(record, order="deterministic") for record in kept)
