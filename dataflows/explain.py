"""Why an order alerted, or why not: its history run once more, watched; see docs/explain.md."""

import base64
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from config.settings import Settings
from dataflows.environment import environment_of
from dataflows.explain_chain import ChainSearch, Steps, concerns
from dataflows.explain_history import History, look_at_the_end
from dataflows.explain_scan import RULES, Found
from dataflows.explain_why_not import why_not
from dataflows.memory import MemoryDriver
from events.batch import RawBatch
from events.explanation import (
    AlertEntry,
    AnyEntry,
    DeadLetterEntry,
    EventEntry,
    Explanation,
    FactEntry,
    HoldEntry,
    LookEntry,
    Nearest,
    Range,
    Related,
)
from events.normal_form import mask
from events.records import AlertRecord, DeadLetterRecord, FieldChange, HoldRecord, Record, VersionRecord
from operators.heart.component import Environment
from operators.orders.order_document import MASKED
from operators.topology import STAGES, Topology, topology
from operators.trace.trace import Node, Trace
from operators.trace.traced import traced

_MORE_PASSES: Final = 3
# What is told to these is the outcome: what they were told before the order came to them has no part in it.
_ENDS: Final = ("alerts", "feedback")
# What comes out does not depend on either; few groups are built sooner, and a single process has the memory.
_GROUPS: Final = 8
_LIVE_CELLS: Final = 16_384


class UnknownOrderError(Exception):
    """No event in what was read names the order."""


def explain(history: History, settings: Settings, order_id: str, *, rule: str | None = None) -> Explanation:
    """Everything about an order in a history, and why ``rule`` did not alert for it.

    Raises UnknownOrderError and SourceError.
    """
    plan = _plan(settings)
    own = history.scan(plan, {stage: frozenset({order_id, f"order:{order_id}"}) for stage in plan.stages})
    if all(each.stage == RULES for each in own):
        raise UnknownOrderError(order_id)
    trace, records = _watched(history, plan, order_id, own)
    until = history.watermark or 0
    steps = Steps([record for record in records if concerns(record, order_id)], until)
    chain = ChainSearch(plan, trace, own, steps, lambda keys: history.scan(plan, keys)).chain()
    versions = [record for record in records if isinstance(record, VersionRecord)]
    timeline = _timeline(trace, records, versions, own)
    nearest = _sorted_nearest(trace.nearest.values())
    alerts = [record for record in steps.records if isinstance(record, AlertRecord)]
    return Explanation(
        order_id=order_id,
        read=_range(history, own, until),
        version=versions[-1].version if versions else 0,
        closed=any(isinstance(entry, FactEntry) and entry.fact == "OrderClosed" for entry in timeline),
        order=_fields(versions),
        timeline=tuple(timeline),
        nearest=nearest,
        related=_related(order_id, timeline),
        chain=chain,
        why_not=None if rule is None else why_not(rule, settings, nearest, alerts),
    )


def _plan(settings: Settings) -> Topology:
    """The flow of these settings, with versions, and without what explains nothing."""
    wanted = replace(
        settings, versions=replace(settings.versions, enabled=True), diffs=replace(settings.diffs, enabled=False)
    )
    environment = environment_of(wanted, read_model=False)
    return topology(replace(environment, groups=_GROUPS, live_cells=_LIVE_CELLS))


def _watched(history: History, plan: Topology, order_id: str, own: Sequence[Found]) -> tuple[Trace, list[Record]]:
    """Run the flow over the history, with all that concerns the order watched from the beginning.

    What the order comes to touch is known from its own events; what only shows among others takes one more pass.
    """
    known = _touched(plan, order_id, own)
    needle = msgspec.json.encode(order_id)

    def keep(record: Record) -> bool:
        if isinstance(record, DeadLetterRecord):
            return needle in base64.b64decode(record.payload)
        return concerns(record, order_id) or (isinstance(record, VersionRecord) and record.order_id == order_id)

    trace = Trace(order_id, known)
    records = history.run(plan, trace, keep)
    for _ in range(_MORE_PASSES):
        late = {node for node in trace.found if node.stage not in _ENDS and not trace.is_own(node.key)}
        if not late:
            break
        known |= late
        trace = Trace(order_id, known)
        records = history.run(plan, trace, keep)
    return trace, records


def _touched(plan: Topology, order_id: str, own: Sequence[Found]) -> set[Node]:
    """The nodes to which the order's events alone lead."""
    trace = Trace(order_id)
    batches = [
        RawBatch(str(number), "own", [each.line], (0,), finished=True)
        for number, each in enumerate({each.place: each for each in own}.values())
    ]
    small = _with_groups(plan, 1)
    driver = MemoryDriver(traced(small, trace), [batch.partition for batch in batches])
    driver.feed(*batches)
    look_at_the_end(driver, driver.intake.watermark)
    return {Node(stage, key) for stage, keys in trace.watched.items() for key in keys}


def _with_groups(plan: Topology, groups: int) -> Topology:
    environment: Environment = replace(plan.environment, groups=groups)
    return topology(environment)


def _timeline(
    trace: Trace, records: Iterable[Record], versions: Iterable[VersionRecord], own: Sequence[Found]
) -> list[AnyEntry]:
    """What was watched and what came of it, by time; in one moment by stages."""
    made = {(record.time, record.system, record.event_id): record for record in versions}
    places: dict[tuple[str, str, int], list[tuple[str, int]]] = defaultdict(list)
    for each in own:
        places[each.event.source, each.event.id, each.at].append(each.place)
    entries: list[AnyEntry] = []
    for entry in trace.timeline():
        if isinstance(entry, EventEntry):
            name = (entry.source, entry.id, entry.at)
            place = places[name].pop(0) if len(places[name]) > 1 else next(iter(places[name]), None)
            version = made.pop((entry.at, entry.source, entry.id), None) if entry.stage == "orders" else None
            entries.append(_completed(entry, place, version))
        else:
            entries.append(entry)
    entries.extend(_of_records(records))
    return sorted(entries, key=lambda entry: (entry.at, STAGES.index(entry.stage), isinstance(entry, HoldEntry)))


def _completed(entry: EventEntry, place: tuple[str, int] | None, version: VersionRecord | None) -> EventEntry:
    if place is not None:
        entry = replace(entry, partition=place[0], position=place[1])
    if version is not None and not entry.duplicate:
        entry = replace(entry, version=version.version, changes=tuple(map(_masked, version.changes)))
    return entry


def _of_records(records: Iterable[Record]) -> Iterator[AnyEntry]:
    for record in records:
        match record:
            case AlertRecord():
                key = f"{record.entity_type}:{record.entity_id}"
                yield AlertEntry(at=record.time, stage="alerts", key=key, record=record)
            case HoldRecord():
                yield HoldEntry(at=record.time, stage="alerts", key=f"order:{record.order_id}", record=record)
            case DeadLetterRecord():
                yield DeadLetterEntry(
                    at=0,
                    stage=STAGES[0],
                    reason=record.reason,
                    detail=record.detail,
                    partition=record.partition,
                    position=record.position,
                )
            case _:
                pass


def _masked(change: FieldChange) -> FieldChange:
    if change.field not in MASKED:
        return change
    return FieldChange(change.field, _hidden(change.old), _hidden(change.new))


def _hidden(value: Any) -> Any:
    return mask(value) if isinstance(value, str) else value


def _fields(versions: Iterable[VersionRecord]) -> dict[str, Any]:
    """The order's fields as of the end."""
    fields: dict[str, Any] = {}
    for record in versions:
        if record.version == 1:
            fields.clear()  # it was forgotten, and began anew
        fields |= {change.field: change.new for change in map(_masked, record.changes)}
    return {name: value for name, value in sorted(fields.items()) if value is not None}


def _sorted_nearest(nearest: Iterable[Nearest]) -> tuple[Nearest, ...]:
    return tuple(sorted(nearest, key=_place))


def _place(each: Nearest) -> tuple[str, bool, float, str, str]:
    """By rule; conditions that do not alert alone come last, else what came nearest first."""
    return each.look.rule, each.look.condition, -each.look.share, each.key, each.look.subject


def _related(order_id: str, timeline: Iterable[AnyEntry]) -> tuple[Related, ...]:
    """Who was in a window or an alert together with the order, by what they share."""
    orders: Mapping[str, dict[str, None]] = defaultdict(dict)
    for entry in timeline:
        named: tuple[str, ...] = ()
        if isinstance(entry, LookEntry):
            named = entry.look.orders
        elif isinstance(entry, AlertEntry):
            named = entry.record.orders
        orders[entry.key].update(dict.fromkeys(named))
    return tuple(
        Related(key=key, orders=others)
        for key, found in sorted(orders.items())
        if (others := tuple(name for name in found if name != order_id))
    )


def _range(history: History, own: Sequence[Found], until: int) -> Range:
    times = [each.at for each in own if each.stage != RULES]
    return Range(
        inputs=history.partitions,
        events=history.events,
        first=min(times, default=None),
        last=max(times, default=None),
        until=until,
        start=history.start,
    )
