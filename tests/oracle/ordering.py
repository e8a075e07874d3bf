"""The order in which events are applied, and duplicates ("Order of events" in docs/rules.md)."""

from collections.abc import Iterable, Sequence

from config.settings import Settings
from events.model import (
    AlertAcknowledged,
    AnyEvent,
    Behaviour,
    ContractCounted,
    JobHeartbeat,
    LogisticsScan,
    OrderCreated,
    OrderSplit,
    OrderStage,
    PaymentFailed,
    PaymentSucceeded,
    ReviewConfirmed,
    ReviewReleased,
    RulePublished,
)
from tests.oracle.model import AppliedEvent


def in_order(events: Sequence[AppliedEvent], settings: Settings, end: int) -> list[AppliedEvent]:
    """The events up to ``end``, each once, in the order in which they are applied."""
    stages = {name: index for index, name in enumerate(settings.stages)}
    scans = settings.flow.scans

    def place(applied: AppliedEvent) -> tuple[int, bool, str, tuple[int, int], str, str]:
        event = applied.event
        order_id: str | None = getattr(event, "order_id", None)  # what names no order comes after what does
        order = order_id is None, order_id or ""
        return applied.time, *order, rank(event, stages, scans), event.source, event.id

    return without_duplicates(sorted((item for item in events if item.time <= end), key=place))


def rank(event: AnyEvent, stages: dict[str, int], scans: dict[str, str]) -> tuple[int, int]:
    """Which of an order's events of one millisecond comes first; what names no stage of the chain stands after it."""
    match event:
        case OrderCreated():
            return 0, 0
        case PaymentSucceeded() | PaymentFailed():
            return 1, 0
        case OrderSplit():
            return 2, 0
        case OrderStage():
            return 3, stages.get(event.stage, len(stages))
        case LogisticsScan():
            return 3, stages.get(scans.get(event.scan, ""), len(stages))
        case _:
            return 4, 0


def without_duplicates(events: Iterable[AppliedEvent]) -> list[AppliedEvent]:
    """The first of all events with the same name."""
    seen: set[tuple[str, ...]] = set()
    first = []
    for applied in events:
        name = name_of(applied.event)
        if name not in seen:
            seen.add(name)
            first.append(applied)
    return first


def name_of(event: AnyEvent) -> tuple[str, ...]:
    """What tells an event from every other: whose it is, its source, its id."""
    return (*owner(event), event.source, event.id)


def owner(event: AnyEvent) -> tuple[str, str]:
    """Whose event it is; two events of different owners may share source and id."""
    match event:
        case Behaviour(order_id=None):
            return "customer", str(event.customer_id)
        case Behaviour():
            return "signs of order", str(event.order_id)
        case ReviewReleased() | ReviewConfirmed():
            return "alerts of order", event.order_id
        case AlertAcknowledged() | ContractCounted():
            return f"alerts of {event.entity_type}", event.entity_id
        case JobHeartbeat(job=name) | RulePublished(rule=name):
            return type(event).__name__, name
        case _:
            return "order", event.order_id
