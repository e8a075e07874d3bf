"""Which guarded writes a record leads to. Nothing here talks to Redis."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from events.records import AlertRecord, FeedbackTotals, HoldRecord, OrderSnapshot, Record, SourceHealth
from sinks import read_model_scripts as scripts
from sinks.encoding import ENCODER

MERGE_RULE = "merge_candidate"
CREATED_AT = "basics.created_at"  # of a snapshot's fields: epoch ms; it never changes once it is known

_AT_ONCE = 200  # items in one run: the server serves nobody else for these few milliseconds

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One run of a script over items."""

    script: str
    items: list[Item]


def calls_for(records: Sequence[Record]) -> list[Call]:
    """The calls for all records: of several states of one order, hold or alert the newest alone is sent."""
    orders: dict[str, OrderSnapshot] = {}
    holds: dict[str, HoldRecord] = {}
    contracts: dict[str, SourceHealth] = {}
    feedback: dict[str, FeedbackTotals] = {}
    alerts: list[AlertRecord] = []
    for record in records:
        if isinstance(record, OrderSnapshot):
            order = orders.setdefault(record.order_id, record)
            if (record.version, record.time) > (order.version, order.time):
                orders[record.order_id] = record
        elif isinstance(record, SourceHealth):
            if record.time >= contracts.setdefault(record.source, record).time:
                contracts[record.source] = record
        elif isinstance(record, FeedbackTotals):
            if record.number >= feedback.setdefault(feedback_key(record), record).number:
                feedback[feedback_key(record)] = record
        elif isinstance(record, HoldRecord):
            if record.version > holds.setdefault(record.order_id, record).version:
                holds[record.order_id] = record
        elif isinstance(record, AlertRecord):
            alerts.append(record)
    return [
        *_calls(scripts.ORDERS, map(_order, orders.values())),
        *_calls(scripts.HOLDS, map(_hold, holds.values())),
        *_calls(scripts.CONTRACTS, map(_contract, contracts.values())),
        *_calls(scripts.FEEDBACK, map(_feedback, feedback.values())),
        *_calls(scripts.ALERTS, _alerts(alerts)),
        *_calls(scripts.FEED, map(_feed_entry, alerts)),
    ]


def call_for_mark(worker: int, workers: int, watermark_ms: int, wall_ms: int, counts: Mapping[str, int]) -> Call:
    """How far one of several workers has come."""
    entry = {"watermark": watermark_ms, "updated_at": wall_ms, "counts": dict(counts)}
    return Call(scripts.MARK, [{"worker": worker, "workers": workers, "entry": _json(entry)}])


def call_for_sweep(rules: Iterable[str], before_ms: int) -> Call:
    """Take members from the indexes that came before a time and whose own entry has expired."""
    open_alerts = ["alerts:open", *(f"alerts:open:{rule}" for rule in sorted(rules))]
    entries = {**dict.fromkeys(open_alerts, "alert:"), "merges:open": "merge:", "holds": "hold:"}
    sweeps = [
        {"index": index, "entry": entry, "before": before_ms, "at_once": _AT_ONCE} for index, entry in entries.items()
    ]
    return Call(scripts.SWEEP, sweeps)


def _calls(script: str, items: Iterable[Item]) -> Iterator[Call]:
    rest = list(items)
    for start in range(0, len(rest), _AT_ONCE):
        yield Call(script, rest[start : start + _AT_ONCE])


def _order(order: OrderSnapshot) -> Item:
    item = {
        "order_id": order.order_id,
        "version": order.version,
        "time": order.time,
        "closed": int(order.closed),
        "customer_id": order.customer_id or "",
        "fields": _json(order.fields),
    }
    if order.customer_id and CREATED_AT in order.fields:
        item["created_at"] = order.fields[CREATED_AT]
    return item


def _contract(health: SourceHealth) -> Item:
    return {
        "source": health.source,
        "time": health.time,
        "records": health.records,
        "fields": _json(health.fields),
        "open": _json(health.open),
    }


def feedback_key(totals: FeedbackTotals) -> str:
    """Where the counts of a version of a rule, or those of weak signals, stand."""
    return "capture" if totals.subject == "capture" else f"precision:{totals.rule}:{totals.rule_version}"


def _feedback(totals: FeedbackTotals) -> Item:
    return {
        "key": feedback_key(totals),
        "member": f"{totals.rule}:{totals.rule_version}",
        "number": totals.number,
        "time": totals.time,
        "counts": totals.counts,
    }


def _hold(hold: HoldRecord) -> Item:
    return {
        "order_id": hold.order_id,
        "version": hold.version,
        "status": hold.status,
        "since": min((cause.since for cause in hold.causes), default=hold.time),
        "record": _json(hold),
    }


def _alerts(alerts: Iterable[AlertRecord]) -> Iterator[Item]:
    newest: dict[str, AlertRecord] = {}
    acknowledged: dict[str, int] = {}
    for alert in alerts:
        if alert.step_number > newest.setdefault(alert.episode, alert).step_number:
            newest[alert.episode] = alert
        if alert.step == "acknowledged":
            acknowledged[alert.episode] = max(acknowledged.get(alert.episode, 0), alert.step_number)
    for episode, alert in newest.items():
        yield _alert(alert, acknowledged.get(episode, 0))


def _alert(alert: AlertRecord, acknowledged: int) -> Item:
    item = {
        "episode": alert.episode,
        "rule": alert.rule,
        "step": alert.step,
        "step_number": alert.step_number,
        "opened_at": alert.opened_at,
        "acknowledged": acknowledged,
        "orders": _json(alert.orders),
        "record": _json(alert),
    }
    if alert.rule == MERGE_RULE:
        item["merge"] = {
            "customer_id": alert.entity_id,
            "orders": item["orders"],
            "open": int(alert.step != "resolved"),
            "opened_at": alert.opened_at,
            "time": alert.time,
            "reason": alert.reason,
            "evidence": _json(alert.evidence),
        }
    return item


def _feed_entry(alert: AlertRecord) -> Item:
    return {"id": alert.id, "time": alert.time, "record": _json(alert)}


def _json(value: Any) -> str:
    return ENCODER.encode(value).decode()
