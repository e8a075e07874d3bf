"""The order in which what happens in one millisecond is applied: fixed by the events, never by their arrival."""

from typing import Any, Final

import msgspec

from config.settings import Settings
from events.model import (
    Event,
    LogisticsScan,
    OrderCreated,
    OrderSplit,
    OrderStage,
    PaymentFailed,
    PaymentSucceeded,
)
from operators.heart.buffer import Ties
from operators.heart.messages import AFTER_EVENTS, Late, Note, entity_of

_FIRST: Final[dict[type[Event], int]] = {OrderCreated: 1, PaymentSucceeded: 2, PaymentFailed: 2, OrderSplit: 3}
_FIRST_STAGE: Final = 10
_LAST_EVENT: Final = AFTER_EVENTS - 1

Tie = tuple[int, str, str, bytes]


class Ordering:
    """Settles ties of entries that are sorted by time, only where there are any: most milliseconds hold one entry.

    Within a millisecond: notes that come before events, the events in the order of docs/rules.md, the notes that come
    after. Notes of one origin stay in the order in which the origin sent them (the sort is stable).
    """

    def __init__(self, settings: Settings) -> None:
        self._stages = {name: index for index, name in enumerate(settings.stages, start=_FIRST_STAGE)}
        self._scans = settings.flow.scans

    def settle(self, entries: list[Any], ties: Ties) -> None:
        """Put entries that are sorted by time into the order in which they are applied."""
        for first, end in ties:
            entries[first:end] = sorted(entries[first:end], key=self._tie)

    def _tie(self, entry: Any) -> Tie:
        if isinstance(entry, Note):
            return (entry.rank, entry.origin, "", b"")
        event = entry.event if isinstance(entry, Late) else entry
        # The content comes last so that two different events that share an id still have one order.
        return (self._rank(event), event.source, event.id, msgspec.json.encode(event))

    def _rank(self, event: Event) -> int:
        first = _FIRST.get(type(event))
        if first is not None:
            return first
        if isinstance(event, OrderStage):
            return self._stages.get(event.stage, _LAST_EVENT)
        if isinstance(event, LogisticsScan):
            return self._stages.get(self._scans.get(event.scan, ""), _LAST_EVENT)
        return _LAST_EVENT


class OrderByOrder(Ordering):
    """Events of several orders that meet before each of them has been applied: by order id, within it as ever."""

    def _tie(self, entry: Any) -> Tie:
        event = entry.event if isinstance(entry, Late) else entry
        rank, source, event_id, content = super()._tie(event)
        return (rank, entity_of(event), f"{source}\0{event_id}", content)
